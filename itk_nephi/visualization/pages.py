"""All HTML comes from here: the templates, filled in, with what they are given escaped."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from itk_nephi.visualization import palette


def render(template: str, **values: Any) -> str:
    """Fill in a template.

    Parameters
    ----------
    template : str
        The name of its file.
    **values
        What it shows; a missing one is an error.

    Returns
    -------
    str
        HTML.
    """
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("itk_nephi.visualization"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["palette"] = palette
    environment.filters["number"] = _number
    return environment


def _number(value: float | None, decimals: int = 2) -> str:
    """Return a number as text, two digits where its decimals would be zeros; a dash for none."""
    if value is None or value != value:
        return "-"
    is_small = 0 < abs(value) < 10 ** (1 - decimals)
    return f"{value:.2g}" if is_small else f"{value:,.{decimals}f}"
