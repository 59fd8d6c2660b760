from __future__ import annotations

import weakref

import pytest
import torch
from support.other_device import ELSEWHERE, IS_THERE, other_device

from itk_nephi.fields.device import Reading, constant, memory_errors_named, upload

CPU = torch.device("cpu")

needs_elsewhere = pytest.mark.skipif(not IS_THERE, reason="the process has no such device")

WORDS = (
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.11 GiB of "
    "which 512.00 MiB is free. Process 7 has 78.61 GiB memory in use."
)


@needs_elsewhere
def test_constants_are_made_once_here_and_elsewhere() -> None:
    first = constant((1, 2), torch.float32, CPU)
    assert first.tolist() == [1, 2]
    assert constant((1, 2), torch.float32, CPU) is first
    assert constant((1, 2), torch.int64, CPU).dtype == torch.int64
    with other_device():
        assert constant((1, 2), torch.float32, torch.device(ELSEWHERE)).device.type == ELSEWHERE


@needs_elsewhere
def test_numbers_go_elsewhere_and_come_back() -> None:
    values = torch.tensor([1.5, -2.0])
    for name in ("cpu", ELSEWHERE):
        with other_device() as waits:
            there = upload(values, torch.device(name))
            assert there.device.type == name
            assert Reading(2 * there).numbers() == [3.0, -4.0]
        assert (waits.uploads, waits.downloads) == ((1, 1) if name == ELSEWHERE else (0, 0))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (WORDS, "expected 2.50 GiB of free GPU memory, got 512.00 MiB: use less"),
        ("CUDA error: out of memory", "expected more of free GPU memory, got less: use less"),
    ],
)
def test_a_full_gpu_is_one_sentence_and_lets_tensors_go(words: str, message: str) -> None:
    seen = []

    @memory_errors_named("use less")
    def compute() -> None:
        values = torch.zeros(3)
        seen.append(weakref.ref(values))
        raise torch.cuda.OutOfMemoryError(words)

    with pytest.raises(MemoryError) as error:
        compute()
    assert str(error.value) == message
    assert seen[0]() is None


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="another"), memory_errors_named("use less"):
        raise RuntimeError("another")
