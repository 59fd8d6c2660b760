"""How Sphinx builds the documentation; `make docs`."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

project = "itk-nephi"
author = "the contributors of itk-nephi"
copyright = f"2026, {author}"
release = installed_version("itk-nephi")

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
]
smartquotes = False  # options begin with two hyphens
exclude_patterns = ["**/.jupyter_cache"]
templates_path = ["_templates"]

html_theme = "furo"
html_title = "itk-nephi"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_theme_options = {"navigation_with_keys": True}

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3

nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE.parent / "build" / "docs" / "notebooks")
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc has them
numpydoc_show_class_members = False


def write_reference(app: Any, _config: Any) -> None:
    """Write the pages of the reference before Sphinx looks for pages."""
    from reference_pages import write_pages

    write_pages(Path(app.srcdir) / "reference")


def setup(app: Any) -> None:
    """Register the reference with Sphinx."""
    app.connect("config-inited", write_reference)
