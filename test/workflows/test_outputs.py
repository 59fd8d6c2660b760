from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest
from support.command_line import RESULTS
from support.reports import phantom_pair, translation
from support.transforms import read_transform

from itk_nephi.evaluation.evaluation import evaluate
from itk_nephi.registration.result import Registration
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.resampling import resample
from itk_nephi.spatial.transforms import compose
from itk_nephi.workflows import outputs
from itk_nephi.workflows.provenance import describe_inputs

INITIAL, FOUND, BACK = ((4.0, -2.0), (6.0, 1.0), (-5.0, -1.0))


@pytest.fixture(scope="module")
def pair() -> ImagePair:
    return replace(phantom_pair(2), sources={})


@pytest.fixture(scope="module")
def written(
    pair: ImagePair, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("written")
    registration = Registration(
        fixed_to_moving=compose([translation(*FOUND)]),
        moving_to_fixed=compose([translation(*BACK)]),
        initial_transform=translation(*INITIAL),
        history=[],
        settings=RegistrationSettings(steps=7),
        seed=3,
        interrupted=True,
    )
    seconds = {"read": 1.0, "register": 2.0}
    inputs = describe_inputs(pair)
    metrics = outputs.write(
        folder, pair, registration, inputs=inputs, seconds=seconds, device="cpu"
    )
    return folder, metrics


def test_all_that_is_promised_is_there(written: tuple[Path, dict[str, Any]]) -> None:
    assert {path.name for path in written[0].iterdir()} == RESULTS - {"config.toml"}


def test_transforms_are_what_was_found(written: tuple[Path, dict[str, Any]]) -> None:
    for name, offset in (("fixed_to_moving", FOUND), ("moving_to_fixed", BACK)):
        moved = read_transform(written[0] / f"{name}.h5").TransformPoint([1.0, 2.0])
        np.testing.assert_allclose(moved, np.add([1.0, 2.0], offset))


def test_images_are_on_the_grid_of_the_fixed_image(
    written: tuple[Path, dict[str, Any]], pair: ImagePair
) -> None:
    folder, _ = written
    warped = itk.imread(str(folder / "warped.nii.gz"))
    expected = resample(pair.moving_image, [translation(*FOUND)], pair.fixed_image)
    np.testing.assert_array_equal(warped, expected)
    determinants = np.asarray(itk.imread(str(folder / "jacobian_determinant.nii.gz")))
    np.testing.assert_allclose(determinants, np.ones(np.asarray(pair.fixed_image).shape))


def test_metrics_are_evaluations_as_stored_before_and_after(
    written: tuple[Path, dict[str, Any]], pair: ImagePair
) -> None:
    folder, metrics = written
    assert json.loads((folder / "metrics.json").read_text()) == json.loads(json.dumps(metrics))
    for stage, offset, back in (
        ("as_stored", (0.0, 0.0), None),
        ("before", INITIAL, None),
        ("after", FOUND, translation(*BACK)),
    ):
        assert metrics[stage] == evaluate(pair, translation(*offset), back).to_json()
    error = metrics["after"]["inverse_consistency_error_mm"]
    assert error["mean"] == pytest.approx(1)  # FOUND and BACK together move by 1 mm
    assert metrics["seconds"]["total"] >= 3
    assert (metrics["seed"], metrics["device"], metrics["interrupted"]) == (3, "cpu", True)
    assert metrics["settings"]["steps"] == 7


def test_the_summary_has_the_numbers_and_the_files(written: tuple[Path, dict[str, Any]]) -> None:
    folder, metrics = written
    text = outputs.format_summary(metrics, folder)
    error = {stage: metrics[stage]["landmark_error_mm"] for stage in ("as_stored", "after")}
    assert f"mean {error['as_stored']['mean']:.2f} mm as stored" in text
    assert f"largest {error['after']['max']:.2f} mm, of 9" in text
    assert "inverse consistency error 1.00 mm on average" in text
    assert "folding          none in the fixed mask" in text
    assert "Dice" not in text  # there are no labels
    for name in ("fixed_to_moving.h5", "moving_to_fixed.h5", "report.html"):
        assert str(folder / name) in text


def evaluation(ncc: float | None, **further: Any) -> dict[str, Any]:
    return {"region": "fixed mask", "folding_fraction": 0.0, "ncc": ncc} | further


def result(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    consistency = {"mean": 0.125, "p95": 0.5}
    return {
        "as_stored": {"landmark_error_mm": {"mean": 20.0}},
        "before": before,
        "after": {"inverse_consistency_error_mm": consistency} | after,
        "seconds": {"total": 12.3},
        "peak_memory_mib": 1536.0,
        "results": ["transforms", "images", "evaluation", "report"],
    }


def test_the_summary_has_the_numbers_before_and_now() -> None:
    errors = {"count": 51, "mean": 2.0, "median": 1.5, "p95": 5.25, "max": 9.0}
    before = evaluation(None, landmark_error_mm={"mean": 8.0}, dice={"1": 0.25, "2": 0.75})
    after = evaluation(0.9375, landmark_error_mm=errors, dice={"1": 0.5, "2": 0.875})
    lines = outputs.format_summary(result(before, after), Path("out")).splitlines()
    for line in (
        "landmark error   mean 20.00 mm as stored, 8.00 mm after the initial transform, "
        "2.00 mm now",
        "                 now: median 1.50, 95th percentile 5.25, largest 9.00 mm, of 51",
        "Dice of labels   mean 0.500 before, 0.688 now",
        "NCC              none before, 0.938 now (1 is best)",
        "folding          none in the fixed mask",
        "time             12 s, memory 1.5 GiB",
        "  out/fixed_to_moving.h5",
    ):
        assert line in lines


def test_the_summary_is_silent_on_what_was_not_measured_and_tells_of_folds() -> None:
    after = evaluation(0.9, folding_fraction=0.000123, region="fixed image")
    text = outputs.format_summary(result(evaluation(0.5), after), Path("out"))
    assert "landmark" not in text
    assert "Dice" not in text
    assert "0.012% in the fixed image" in text
    few = evaluation(0.9, folding_fraction=1.5e-7)
    text = outputs.format_summary(result(evaluation(0.5), few), Path("out"))
    assert "folding          1.5e-05% in the fixed mask" in text
