from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from itk_nephi.fields.settings import FieldSettings
from itk_nephi.phantoms.pairs import deformed_shape
from itk_nephi.registration.pairwise import register
from itk_nephi.registration.result import Progress, Registration
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.spatial.image_pair import ImagePair

SETTINGS = RegistrationSettings(
    field=FieldSettings(
        width=8,
        frequencies=4,
        global_code=2,
        local_channels=2,
        local_grid=4,
        spline_spacings=(9.0, 4.0),
    ),
    smoothing_sigmas=(1.0, 0.0),
    steps=5,
    spline_learning_rate=0.5,
    points=200,
    regularizer_points=40,
)


@pytest.fixture(scope="module")
def shape() -> ImagePair:
    return deformed_shape(2, size=24, motion=2, seed=1).pair


def registered(shape: ImagePair, path: Path | None = None, **options: Any) -> Registration:
    options = {
        "settings": SETTINGS,
        "initial_transform": None,
        "checkpoint_interval": 0.0,
    } | options
    return register(shape.fixed, shape.moving, checkpoint=path, **options)


def parameters(registration: Registration) -> tuple[bytes, bytes]:
    return tuple(
        np.array(transform.GetParameters()).tobytes()
        for transform in (registration.fixed_to_moving, registration.moving_to_fixed)
    )


def interrupt_after(step: int) -> Any:
    def callback(progress: Progress) -> None:
        if progress.done == step + 1:
            raise StopIteration

    return callback


@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        replace(SETTINGS, steps=8, early_stop=True),
        # lets a level diverge and begin again
        replace(SETTINGS, steps=8, network_learning_rate=0.03),
        RegistrationSettings.preset("default", steps=10),
    ],
)
def test_a_run_that_goes_on_gives_the_same_bytes(
    shape: ImagePair, tmp_path: Path, settings: RegistrationSettings
) -> None:
    expected = registered(shape, settings=settings)
    last = len(expected.history)
    # within a level, between the levels, and before the last step
    for step in (3, last // 2, last - 1):
        path = tmp_path / f"{step}.checkpoint"
        first = registered(shape, path, settings=settings, callback=interrupt_after(step))
        assert first.interrupted
        assert path.exists()
        second = registered(shape, path, settings=settings)
        assert second.history == expected.history
        assert parameters(second) == parameters(expected)
        assert not second.interrupted
        assert list(tmp_path.iterdir()) == []


def test_a_run_that_was_killed_goes_on(shape: ImagePair, tmp_path: Path) -> None:
    path = tmp_path / "state.checkpoint"
    program = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_checkpoint import SETTINGS, deformed_shape, registered
def kill(progress):
    if progress.done == 8:
        os.kill(os.getpid(), signal.SIGKILL)
shape = deformed_shape(2, size=24, motion=2, seed=1).pair
registered(shape, Path({str(path)!r}), callback=kill)
"""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], check=False, capture_output=True
    )
    assert result.returncode == -signal.SIGKILL, result.stderr
    assert path.exists()
    seen: list[Progress] = []
    found = registered(shape, path, callback=seen.append)
    assert [progress.done for progress in seen] == [8, 9, 10]
    assert parameters(found) == parameters(registered(shape))


@pytest.fixture
def checkpoint(shape: ImagePair, tmp_path: Path) -> Path:
    path = tmp_path / "state.checkpoint"
    registered(shape, path, callback=interrupt_after(3))
    return path


def test_the_checkpoint_of_another_run_is_refused_and_stays(
    shape: ImagePair, checkpoint: Path
) -> None:
    before = checkpoint.read_bytes()
    other = deformed_shape(2, size=24, motion=2, seed=2).pair
    warm = registered(shape)
    landmarks = shape.evaluation_landmarks
    for name, pair, options in (
        ("moving", replace(shape, moving=other.moving), {}),
        ("fixed", replace(shape, fixed=other.fixed), {}),
        ("fixed_mask", shape, {"fixed_mask": shape.fixed_mask}),
        ("guide_landmarks", shape, {"guide_landmarks": landmarks}),
        ("initial_transform", shape, {"initial_transform": "moments"}),
        ("initial_transform", shape, {"initial_transform": warm.initial_transform}),
        ("warm_start", shape, {"warm_start": warm}),
        ("seed", shape, {"seed": 1}),
        ("gradicon_weight", shape, {"settings": replace(SETTINGS, gradicon_weight=0.25)}),
    ):
        with pytest.raises(ValueError, match=f"of one with another {name}; delete it to start"):
            registered(pair, checkpoint, **options)
    assert checkpoint.read_bytes() == before


class Trap:
    def __reduce__(self) -> Any:
        return pytest.fail, ("code of the checkpoint was executed",)


def test_what_is_no_checkpoint_is_refused_and_not_executed(
    shape: ImagePair, tmp_path: Path
) -> None:
    path = tmp_path / "state.checkpoint"
    for write in (
        lambda: path.write_text("once upon a time"),
        lambda: path.write_bytes(b""),
        lambda: torch.save([1, 2], path),
        lambda: torch.save({"run": {}}, path),
        lambda: torch.save(Trap(), path),
        lambda: path.write_bytes(pickle.dumps(Trap())),
    ):
        write()
        with pytest.raises(ValueError, match=r"checkpoint to be a file that a registration wrote"):
            registered(shape, path)


def test_a_truncated_checkpoint_is_refused(shape: ImagePair, checkpoint: Path) -> None:
    checkpoint.write_bytes(checkpoint.read_bytes()[:-500])
    with pytest.raises(ValueError, match=r"checkpoint to be a file that a registration wrote"):
        registered(shape, checkpoint)


def test_a_place_where_nothing_can_be_kept_is_refused(shape: ImagePair, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("", "none/state.checkpoint", "pipe", "loop"):
        path = tmp_path / name
        with pytest.raises(ValueError, match="checkpoint to be a file in an existing folder"):
            registered(shape, path)
    with pytest.raises(ValueError, match="checkpoint_interval of 0 or more, got -1"):
        registered(shape, tmp_path / "state.checkpoint", checkpoint_interval=-1)


def test_a_function_is_known_by_its_name(shape: ImagePair, tmp_path: Path) -> None:
    def differences(fixed: Any, moving: Any, weights: Any) -> Any:
        return (weights[:, None] * (fixed - moving).square()).mean()

    path = tmp_path / "state.checkpoint"
    settings = replace(SETTINGS, dissimilarity=differences)
    registered(shape, path, settings=settings, callback=interrupt_after(3))
    assert not registered(shape, path, settings=settings).interrupted


def test_a_kept_checkpoint_gives_the_result_at_once(shape: ImagePair, tmp_path: Path) -> None:
    path = tmp_path / "state.checkpoint"
    expected = registered(shape, path, keep_checkpoint=True)
    assert path.exists()
    seen: list[Progress] = []
    found = registered(shape, path, callback=seen.append)
    assert seen == []
    assert found.history == expected.history
    assert parameters(found) == parameters(expected)
    assert not path.exists()
