"""A GPU whose memory does not suffice, as all that register see it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import itk
import pytest
import torch
from support.command_line import assert_fails, run

from itk_nephi.io.errors import plain_words
from itk_nephi.phantoms.pairs import deformed_shape
from itk_nephi.registration.pairwise import register
from itk_nephi.registration.problem import RegistrationProblem
from itk_nephi.registration.series import register_series

WORDS = "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has 79 GiB of which 1 GiB is free."
SENTENCE = r"expected 2\.50 GiB of free GPU memory, got 1 GiB: use smaller working_voxels, .* cpu"


def test_a_full_gpu_is_one_sentence_at_every_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise torch.cuda.OutOfMemoryError(WORDS)

    pair = deformed_shape(2, size=24, motion=2, seed=1).pair
    monkeypatch.setattr(RegistrationProblem, "prepare", fail)
    doors: list[Callable[[], Any]] = [
        lambda: register(pair.fixed, pair.moving),
        lambda: register_series(pair.fixed, [pair.moving]),
        lambda: itk.nephi_registration_method(pair.fixed_image, pair.moving_image),
    ]
    for door in doors:
        with pytest.raises((MemoryError, RuntimeError)) as error:
            door()
        assert re.fullmatch(SENTENCE, plain_words(error.value))
    paths = [tmp_path / f"{name}.nii.gz" for name in ("fixed", "moving")]
    for path, image in zip(paths, (pair.fixed_image, pair.moving_image), strict=True):
        itk.imwrite(image, path)
    result = run("register", *paths, "-o", tmp_path / "out")
    assert_fails(result)
    assert re.search(SENTENCE, result.stderr)
