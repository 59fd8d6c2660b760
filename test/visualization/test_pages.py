from __future__ import annotations

import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

import itk_nephi
from itk_nephi.visualization import palette
from itk_nephi.visualization.pages import render

TEMPLATES = Path(itk_nephi.__file__).parent / "visualization" / "templates"
PAGES = ("batch.html", "report.html")
ROW = {"row": 1, "name": "a", "status": "done", "remarks": ""}


def test_the_templates_belong_to_the_package() -> None:
    pages = {*PAGES, "notebook.html", "page.html"}
    assert {path.name for path in TEMPLATES.iterdir()} == pages | {
        "losses.svg",
        "page.css",
        "report.css",
        "report.js",
    }


def test_pages_share_their_frame_and_take_their_colors_from_the_palette() -> None:
    for name in PAGES:
        assert (TEMPLATES / name).read_text().startswith('{% extends "page.html" %}')
    colors = {color for color in vars(palette).values() if isinstance(color, str)}
    for path in TEMPLATES.iterdir():
        assert not colors & set(re.findall(r"#[0-9a-f]{6}", path.read_text()))
    text = render("batch.html", rows=[], done=[], means={}, shown=set())
    assert f"--outline: {palette.OUTLINE};" in text


def test_what_is_shown_is_escaped() -> None:
    row = ROW | {"name": "a <b>&/c?", "remarks": "<i>"}
    text = render("batch.html", rows=[row], done=[row], means={}, shown={row["name"]})
    assert ">a &lt;b&gt;&amp;/c?</a>" in text
    assert 'href="a%20%3Cb%3E%26/c%3F/overview.png"' in text
    assert "&lt;i&gt;" in text


def test_means_stand_below_the_values_that_there_are() -> None:
    rows = [ROW | {"dice_after": 0.91234, "seconds": 8.0}, ROW | {"name": "b", "status": "failed"}]
    text = render(
        "batch.html", rows=rows, done=rows[:1], means={"seconds": 8.0}, shown={ROW["name"]}
    )
    assert re.findall(r"<th scope=.col.>(.*?)</th>", text) == ["row", "seconds"]
    assert re.findall(r"<td>(.*?)</td>", text) == ["8", "", "", "", "8", ""]
    assert "<h1>1 of 2 pairs registered</h1>" in text
    assert '<tr class="failed">' in text
    assert text.count("overview.png") == 1


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="rows"):
        render("batch.html", done=[], means={})
