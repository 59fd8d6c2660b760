"""Files in, files out: the road that the command line and batches take."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.registrations import HASTY, same_bits

from itk_nephi import register
from itk_nephi.evaluation.evaluation import evaluate
from itk_nephi.io.pair_files import PairPaths, read_pair, write_pair
from itk_nephi.phantoms.pairs import deformed_shape
from itk_nephi.registration import pairwise
from itk_nephi.registration.result import Progress
from itk_nephi.workflows import register_files
from itk_nephi.workflows.provenance import sha256


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> PairPaths:
    pair = deformed_shape(2, size=24, motion=2, seed=1).pair
    return write_pair(pair, tmp_path_factory.mktemp("pair"), ".nrrd")


def test_it_registers_what_the_files_hold_and_tells_what_it_wrote(
    paths: PairPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Any] = []

    def watched(*images: Any, **options: Any) -> Any:
        found.append(register(*images, **options))
        return found[-1]

    monkeypatch.setattr(pairwise, "register", watched)
    metrics = register_files(paths, tmp_path, settings=HASTY, seed=4)
    pair = read_pair(paths)
    expected = register(
        pair.fixed,
        pair.moving,
        fixed_mask=pair.fixed_mask,
        moving_mask=pair.moving_mask,
        settings=HASTY,
        seed=4,
    )
    assert same_bits(found[0], expected)
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written == json.loads(json.dumps(metrics))
    evaluation = evaluate(pair, expected.fixed_to_moving, expected.moving_to_fixed)
    assert written["after"] == evaluation.to_json()
    assert written["before"] == evaluate(pair, expected.initial_transform).to_json()
    assert written["inputs"] == {name: str(path) for name, path in paths.files.items()}
    assert written["initial_transform"] == "affine"


def test_a_dissimilarity_is_written_by_its_name_and_inputs_as_they_were_read(
    paths: PairPaths, tmp_path: Path
) -> None:
    moving = tmp_path / "moving.nrrd"
    moving.write_bytes(paths.moving.read_bytes())
    checksum = sha256(moving)

    def differences(warped: Any, fixed: Any, weights: Any) -> Any:
        moving.unlink(missing_ok=True)
        return (weights * (warped - fixed).square()).mean()

    settings = replace(HASTY, dissimilarity=differences)
    metrics = register_files(replace(paths, moving=moving), tmp_path, settings=settings)
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written["settings"]["dissimilarity"] == differences.__qualname__
    assert metrics["settings"].keys() == written["settings"].keys()
    assert not moving.exists()
    assert written["sha256"]["moving"] == checksum
    assert differences.__name__ in (tmp_path / "report.html").read_text()


def test_progress_is_open_while_it_registers(paths: PairPaths, tmp_path: Path) -> None:
    told: list[Any] = []

    @contextmanager
    def progress() -> Iterator[Any]:
        told.append("begin")
        yield told.append
        told.append("end")

    register_files(paths, tmp_path, settings=HASTY, progress=progress)
    assert (told[0], told[-1]) == ("begin", "end")
    assert all(isinstance(step, Progress) for step in told[1:-1])
    assert len(told) == 2 + HASTY.steps


def test_an_interruption_is_told_before_anything_is_written(
    paths: PairPaths, tmp_path: Path
) -> None:
    @contextmanager
    def progress() -> Iterator[Any]:
        def callback(step: Progress) -> None:
            if step.done == 2:
                raise KeyboardInterrupt

        yield callback

    steps: list[int] = []

    def refuse(count: int) -> None:
        steps.append(count)
        raise KeyboardInterrupt

    options: dict[str, Any] = {"settings": HASTY, "progress": progress}
    with pytest.raises(KeyboardInterrupt):
        register_files(paths, tmp_path, interrupted=refuse, **options)
    assert steps == [2]
    assert list(tmp_path.iterdir()) == []
    assert register_files(paths, tmp_path, **options)["interrupted"]
    assert (tmp_path / "fixed_to_moving.h5").exists()
