from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest
from support.reports import decoded, outcome, page, phantom_pair, translation

from itk_nephi.evaluation.statistics import Statistics
from itk_nephi.registration.result import Progress
from itk_nephi.spatial.domain import ImageDomain, image_like
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.visualization.report import render_report

VOID = {"meta", "link", "img", "input", "br"}


class Elements(HTMLParser):
    """Every element with its attributes, and the text; tags must be closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("script", "style"):
            self.text += data


def mirror(domain: ImageDomain) -> Any:
    """Fold: mirror x at the middle of the image."""
    transform = itk.AffineTransform[itk.D, domain.dimension].New()
    transform.SetMatrix(itk.matrix_from_array(np.diag([-1.0] + [1.0] * (domain.dimension - 1))))
    transform.SetCenter(domain.center.tolist())
    return transform


def viewer(text: str) -> Any:
    return json.loads(re.search(r'id="viewer">(.*?)</script>', text, re.DOTALL).group(1))


@pytest.fixture(scope="module", params=[2, 3], ids=["2D", "3D"])
def pair(request: pytest.FixtureRequest) -> ImagePair:
    return phantom_pair(request.param)


@pytest.fixture(scope="module")
def text(pair: ImagePair) -> str:
    history = [Progress(1 + n // 2, 2, n + 1, 4, {"total": 1.0 / (n + 1)}) for n in range(4)]
    return page(pair, history=history)


def test_the_page_asks_for_nothing_from_elsewhere(text: str) -> None:
    for tag, attributes in Elements(text).found:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, attributes)
    code = re.sub(r"data:[\w/+;,=-]+", "", text)
    assert "@import" not in code
    assert "url(" not in code
    assert re.findall(r"https?://[^\s\"']+", code) == ["http://www.w3.org/2000/svg"]
    assert "default-src 'none'" in text


def test_every_part_has_its_tab_and_its_heading(text: str) -> None:
    elements = Elements(text).found
    identifiers = [a["id"] for _, a in elements if "id" in a]
    assert len(identifiers) == len(set(identifiers))
    tabs = [a for _, a in elements if a.get("role") == "tab"]
    panels = [a["id"] for _, a in elements if a.get("role") == "tabpanel"]
    assert [tab["aria-controls"] for tab in tabs] == panels
    assert panels == ["images", "accuracy", "losses", "record"]
    for tag, attributes in elements:
        assert tag != "img" or attributes["alt"]


def test_every_slice_has_its_pictures(text: str, pair: ImagePair) -> None:
    shown = viewer(text)
    assert [plane["name"] for plane in shown["planes"]] == (
        ["image"] if pair.dimension == 2 else ["axial", "coronal", "sagittal"]
    )
    assert shown["names"] == ["before", "found"]
    for plane in shown["planes"]:
        for entry in plane["slices"]:
            assert len(entry["pictures"]) == 3
            for picture in (*entry["pictures"], entry["volume"]):
                assert picture.startswith("data:image/jpeg;base64,")
            assert entry["consistency"].startswith("data:image/png;base64,")
            assert entry["folds"] == 0
        assert any(entry["outline"] for entry in plane["slices"])
        # each landmark is on one slice
        marks = "".join(entry["landmarks"] for entry in plane["slices"])
        assert marks.count("L") == 9
        assert plane["bar"] <= plane["extent"][0] / 3
    # the two transforms leave each point half a mm off along every axis
    assert shown["consistency"] == pytest.approx(0.5 * pair.dimension**0.5)
    assert shown["farthest"] == pytest.approx(pair.dimension**0.5)


def test_the_viewer_starts_in_the_middle_of_the_mask() -> None:
    pair = phantom_pair(3)
    inside = np.zeros(np.asarray(pair.fixed_image).shape, np.uint8)
    inside[:, :, 3:5] = 1
    pair = replace(pair, fixed_mask=image_like(pair.fixed_image, inside))
    sagittal = viewer(page(pair))["planes"][2]
    assert sagittal["name"] == "sagittal"
    assert sagittal["slices"][sagittal["start"]]["outline"]
    assert not sagittal["slices"][0]["outline"]


def test_folds_are_counted_in_each_slice(pair: ImagePair) -> None:
    transform = mirror(ImageDomain.of(pair.fixed_image))
    identity = outcome(pair, "before", translation(*[0.0] * pair.dimension))
    shown = viewer(
        render_report(pair, [outcome(pair, "folded", transform, transform)], identity, {})
    )
    size = {"axial": (0, 1), "coronal": (0, 2), "sagittal": (1, 2), "image": (0, 1)}
    domain = ImageDomain.of(pair.fixed_image).canonical()
    for plane in shown["planes"]:
        first, second = size[plane["name"]]
        for entry in plane["slices"]:
            assert entry["folds"] == domain.size[first] * domain.size[second]


def test_what_lies_outside_the_moving_image_does_not_take_the_contrast() -> None:
    pair = phantom_pair(2)
    raised = image_like(pair.moving_image, 1e4 + np.asarray(pair.moving_image, float))
    shift = translation(0.8 * ImageDomain.of(pair.fixed_image).half_extent[0], 0.0)
    still = translation(0.0, 0.0)
    pages = [
        render_report(one, [outcome(one, "shifted", shift)], outcome(one, "before", still), {})
        for one in (pair, replace(pair, moving=(raised,)))
    ]
    shown = [decoded(viewer(p)["planes"][0]["slices"][0]["pictures"][2]) for p in pages]
    assert np.median(np.abs(shown[0].astype(int) - shown[1])) <= 1


def test_names_are_shown_as_they_are_whatever_they_hold() -> None:
    pair = phantom_pair(2)
    awkward = "</script><b onclick='x'>&amp;\"q\".nii"
    sources = {"fixed": Path(awkward), "moving": Path(f"a/{awkward}")}
    renamed = replace(pair, sources=sources)
    rows = [{"name": awkward, "error": awkward}]
    record = {
        "inputs": {name: str(path) for name, path in sources.items()},
        "settings": {"similarity": awkward},
        "initial_transform": awkward,
    }
    text = page(renamed, awkward, record, comparison={"methods": rows})
    elements = Elements(text)
    assert "b" not in {tag for tag, _ in elements.found}
    assert elements.text.count(awkward) >= 8
    assert viewer(text)["names"] == ["before", awkward]


def test_the_comparison_has_a_row_for_each_method_and_says_what_failed() -> None:
    pair = phantom_pair(2)
    rows = [
        {
            "name": "elastix",
            "error": None,
            "seconds": 35.25,
            "cpu_seconds": 61.0,
            "peak_memory_mib": 812.0,
            "landmark_error_mm": {"mean": 1.43, "median": 1.06, "p95": 2.5, "max": 12.0},
            "dice": {"1": 0.9, "2": 0.8},
            "folding_fraction": 0.0,
            "log_jacobian_sd": 0.21,
            "inverse_consistency_error_mm": None,
        },
        {"name": "greedy", "error": "expected greedy to be installed"},
    ]
    text = Elements(page(pair, comparison={"methods": rows})).text
    for fragment in ("elastix", "1.43", "1.06", "0.850", "35.2", "expected greedy to be installed"):
        assert fragment in text
    assert "Comparison" not in Elements(page(pair)).text


def test_the_page_shows_the_numbers_of_the_evaluations() -> None:
    pair = phantom_pair(2)
    before = outcome(pair, "start", translation(0.0, 0.0))
    found = outcome(pair, "found", translation(1.0, 1.0), translation(-1.0, 0.0))
    errors = np.arange(9.0)
    evaluation = replace(
        found.evaluation,
        ncc=0.875,
        log_jacobian_sd=0.1234,
        landmark_error_mm=Statistics.of(errors),
        landmark_errors_mm=errors,
        dice={3: 0.5, 4: 0.25},
    )
    before = replace(before, evaluation=replace(before.evaluation, ncc=np.nan, dice={3: 0, 4: 0.1}))
    stored = replace(before.evaluation, landmark_errors_mm=errors + 100)
    found = replace(found, evaluation=evaluation)
    html = render_report(pair, [found], before, {}, as_stored=stored)
    text = " ".join(re.sub("<[^>]*>", " ", html).split())
    for fragment in (
        "Landmark error, mean 4.00 mm",
        "Overlap of labels, mean Dice 0.375 0.050 before",
        "NCC 0.875 - before",
        "Folding none of the fixed mask",
        "Inverse consistency error, mean 1.00 mm 1.00 mm at the 95th percentile",
        "found 4.00 4.00 7.60 8.00",
        "9 108.00",
        "SD of log Jacobian 0.123",
        "Inverse consistency error, largest, mm 1.000",
    ):
        assert fragment in text


def test_the_page_warns_of_what_should_not_be_overlooked() -> None:
    pair = phantom_pair(2)
    before = outcome(pair, "start", translation(0.0, 0.0))
    assert before.evaluation.landmark_error_mm is not None
    worse = replace(
        before.evaluation,
        ncc=before.evaluation.ncc - 0.1,
        folding_fraction=0.0123,
        landmark_error_mm=replace(before.evaluation.landmark_error_mm, mean=50.0),
    )
    found = replace(before, name="found", evaluation=worse)
    record = {"interrupted": True, "steps": 17}
    text = Elements(render_report(pair, [found], before, record)).text
    for warning in (
        "interrupted after step 17",
        "folds in 1.23% of the fixed mask",
        "Landmarks are farther apart than before: start",
        "less alike than before: start",
    ):
        assert warning in text
    same = replace(before, name="found")
    assert "Look here" not in Elements(render_report(pair, [same], before, {})).text


def test_transforms_without_inverse_and_pairs_without_anything_else_are_shown() -> None:
    pair = replace(phantom_pair(3), fixed_mask=None, evaluation_landmarks=None)
    bare = outcome(pair, "peer", translation(1.0, 0.0, 0.0))
    shown = viewer(render_report(pair, [replace(bare, determinants=None)], bare, {}))
    assert not shown["has_volume"]
    assert not shown["has_consistency"]
    assert not shown["has_landmarks"]
    assert all(entry["consistency"] is None for entry in shown["planes"][0]["slices"])
