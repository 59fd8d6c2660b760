"""`itk-nephi register-series`: images over time, from files to files."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest
from support.command_line import QUICK, assert_fails, run
from support.transforms import read_transform

from itk_nephi import RegistrationSettings, register_series
from itk_nephi.io.images import read_image
from itk_nephi.io.pair_files import write_pair
from itk_nephi.phantoms.pairs import deformed_shape
from itk_nephi.registration import series
from itk_nephi.workflows.series_files import files

POINT = [3.0, -2.0]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("images")
    for motion in (1, 2):
        shape = deformed_shape(2, size=24, motion=motion, seed=1).pair
        (folder / str(motion)).mkdir()
        write_pair(shape, folder / str(motion), ".nrrd")
    first, second = (folder / str(motion) for motion in (1, 2))
    return [first / "fixed.nrrd", first / "moving.nrrd", second / "moving.nrrd"]


@pytest.mark.parametrize("texts", [("0.5", "0.75", "1"), ("20240115", "20240116", "20240117")])
def test_transforms_of_all_times_are_those_of_python(
    images: list[Path], tmp_path: Path, texts: tuple[str, str, str]
) -> None:
    first, between, last = map(float, texts)
    times = ["--times", f"{texts[0]},{texts[2]}", "--at", texts[1]]
    mask = ["--fixed-mask", images[0].with_name("fixed_mask.nrrd")]
    quick = [*QUICK[:-1], "identity"]
    result = run("register-series", *images, "-o", tmp_path / "out", *times, *mask, *quick)
    assert result.exit_code == 0, result.output
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == set(files((first, last), (between,)))

    fixed, *moving = (read_image(path, "image") for path in images)
    settings = RegistrationSettings.preset(
        "default", steps=2, points=100, smoothing_sigmas=(2.0, 1.0)
    )
    expected = register_series(
        fixed,
        moving,
        (first, last),
        fixed_mask=read_image(mask[1], "mask"),
        settings=settings,
    )
    for text in texts:
        for name in ("fixed_to_moving", "moving_to_fixed"):
            found: Any = read_transform(tmp_path / "out" / f"{name}_{text}.h5")
            wanted = getattr(expected.at(float(text)), name)
            np.testing.assert_array_equal(found.TransformPoint(POINT), wanted.TransformPoint(POINT))
    warped = itk.imread(str(tmp_path / "out" / f"warped_{texts[2]}.nii.gz"))
    assert np.asarray(warped).shape == np.asarray(fixed).shape
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    knots = [first, last]
    assert (metrics["times"], metrics["knots"], metrics["steps"]) == (knots, knots, 4)


@pytest.mark.parametrize(
    ("start", "digits"),
    [(0.0, "0"), (1.0, "1"), (-0.5, "-0.5"), (20240115.0, "20240115"), (1e-7, "0.0000001")],
)
def test_times_that_differ_at_all_have_files_of_their_own(start: float, digits: str) -> None:
    times = (start, math.nextafter(start, math.inf))
    names = files(times)
    assert f"warped_{digits}.nii.gz" in names
    assert len(set(names)) == len(names) == 2 * 3 + 1


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        (["--times", "1"], "expected a time for each of 2 images, got 1"),
        (["--times", "1,x"], "expected --times to be numbers separated by commas"),
        (["--at", "7"], "expected further times from 0 to 1, got 7"),
        (["--fixed-mask", "none.nrrd"], "expected --fixed-mask to be"),
    ],
)
def test_faulty_options_are_named(
    images: list[Path], tmp_path: Path, options: list[str], fragment: str
) -> None:
    quick = [*QUICK[:-1], "identity"]
    result = run("register-series", *images, "-o", tmp_path / "out", *options, *quick)
    assert_fails(result, fragment)
    assert not (tmp_path / "out").exists()


def test_an_interrupted_series_keeps_what_was_reached(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any, **options: Any) -> Any:
        def callback(progress: Any) -> None:
            if progress.done == 3:
                raise KeyboardInterrupt

        return register_series(*arguments, **{**options, "callback": callback})

    monkeypatch.setattr(series, "register_series", interrupted)
    output = tmp_path / "out"
    result = run("register-series", *images, "-o", output, *QUICK[:-1], "identity")
    assert result.exit_code == 130
    assert "interrupted after step 3: writing what was reached" in result.stderr
    assert {path.name for path in output.iterdir()} == set(files((0.0, 1.0)))


def test_no_input_is_replaced(images: list[Path], tmp_path: Path) -> None:
    start = tmp_path / "fixed_to_moving_0.h5"
    itk.transformwrite(itk.AffineTransform[itk.D, 2].New(), str(start))
    before = start.read_bytes()
    result = run(
        "register-series", *images, "-o", tmp_path, "--initial-transform", start, *QUICK[:-2]
    )
    assert_fails(result, "expected --output to replace no input, got", start.name)
    assert start.read_bytes() == before
