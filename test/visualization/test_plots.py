from __future__ import annotations

import base64
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from itk_nephi.registration.result import Progress
from itk_nephi.visualization import plots

HISTORY = [
    Progress(1 + n // 3, 2, n + 1, 6, {"dissimilarity": 1 / (n + 1), "total": 2 / (n + 1)})
    for n in range(6)
]


def test_the_report_has_a_curve_of_each_term_and_a_line_where_a_level_ends() -> None:
    picture = base64.b64decode(plots.losses(HISTORY).split(",")[1]).decode()
    _, *curves = picture.split("<polyline points=")
    for curve, factor in zip(curves, (1, 2), strict=True):
        x, y = np.array([point.split(",") for point in curve.split('"')[1].split()], float).T
        np.testing.assert_allclose(x, np.linspace(0, plots.WIDTH, 6))
        slope = np.polyfit(np.log(factor / np.arange(1, 7)), y, 1)[0]
        np.testing.assert_allclose(np.diff(y), slope * np.diff(-np.log(np.arange(1, 7))), atol=0.2)
    assert f"M{plots.WIDTH / 2} 0v" in picture
    assert ">dissimilarity<" in picture
    assert ">total<" in picture


@pytest.mark.parametrize("values", [[0.0], [0.0, 1.0], [np.nan, 1.0, 2.0], [3.0] * 3000])
def test_losses_of_any_size_are_drawn(values: list[float]) -> None:
    history = [Progress(1, 1, n + 1, len(values), {"a & b": one}) for n, one in enumerate(values)]
    picture = base64.b64decode(plots.losses(history).split(",")[1]).decode()
    ElementTree.fromstring(picture)
    assert "nan" not in picture


def test_plots_are_the_same_svg_each_time() -> None:
    for draw in (
        lambda: plots.losses(HISTORY),
        lambda: plots.landmark_errors({"a": np.arange(3.0), "b": np.ones(3)}, "a"),
        lambda: plots.methods([{"name": "a", "seconds": 1.0}, {"name": "b", "error": "no"}]),
    ):
        kind, content = draw().split(";base64,")
        assert kind == "data:image/svg+xml"
        assert base64.b64decode(content).rstrip().endswith(b"</svg>")
        assert draw() == f"{kind};base64,{content}"


def test_methods_that_failed_are_not_drawn() -> None:
    figure = plots.draw_methods([{"name": "a", "seconds": 1.0}, {"name": "b", "error": "no"}])
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["a"]


@pytest.mark.parametrize(
    "module",
    ["canvas", "notebook", "overview", "pages", "palette", "planes", "plots", "report", "slices"],
)
def test_pictures_and_pages_need_neither_torch_nor_matplotlib(module: str) -> None:
    code = (
        f"import sys, itk_nephi.visualization.{module}\n"
        "assert not {'torch', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
