"""How Sphinx builds the documentation; `make docs`."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

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
    "sphinx.ext.viewcode",
]
smartquotes = False  # options begin with two hyphens
exclude_patterns = ["**/.jupyter_cache"]
templates_path = ["_templates"]

html_theme = "furo"
html_title = "itk-nephi"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_js_files = ["figures.js"]
html_math_renderer = "mathml"
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


def visit_math(translator: Any, node: nodes.math | nodes.math_block) -> None:
    """Write a formula as MathML, which browsers show offline and without a script."""
    formula = node.astext()
    if isinstance(node, nodes.math):
        translator.body.append(convert(formula))
    else:
        aligned = rf"\begin{{align*}}{formula}\end{{align*}}" if r"\\" in formula else formula
        translator.body.append(f'<div class="math">{convert(aligned, display="block")}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> None:
    """Register the reference and the formulas with Sphinx."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
    app.connect("config-inited", write_reference)
