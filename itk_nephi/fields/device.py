"""The memory of a device: constants made once, copies that nobody waits for, and where it is full.

A GPU computes what it was given while the host goes on. It is idle where the host waits for a
number, or for a copy from memory that is not pinned.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from traceback import clear_frames
from typing import Any

import torch
from torch import Tensor


@lru_cache(maxsize=1024)
def constant(values: tuple[Any, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a tensor of a few numbers, which is not to be changed; made once for each device."""
    return torch.tensor(values, dtype=dtype, device=device)


def upload(values: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the host to a device, without waiting for it."""
    if device.type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


class Reading:
    """Numbers of a device on their way to the host.

    Parameters
    ----------
    values : Tensor, shape (N,)
        The numbers, which the device may still have to compute.
    """

    def __init__(self, values: Tensor) -> None:
        self._values, self._arrived = values.detach(), None
        if values.device.type == "cuda":
            self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._values.copy_(values.detach(), non_blocking=True)
            self._arrived = torch.cuda.current_stream(values.device).record_event()

    def numbers(self) -> list[float]:
        """Wait until they are there, and return them."""
        if self._arrived is not None:
            self._arrived.synchronize()
        found: list[float] = self._values.cpu().tolist()
        return found


@contextmanager
def memory_errors_named(remedy: str) -> Iterator[None]:
    """Raise a MemoryError of one clear sentence where the memory of a GPU does not suffice.

    Parameters
    ----------
    remedy : str
        What helps.

    Raises
    ------
    MemoryError
        Instead of torch's error.
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        # else its traceback would keep all tensors
        clear_frames(error.__traceback__)
        raise MemoryError(_memory_message(str(error), remedy)) from None


def _memory_message(words: str, remedy: str) -> str:
    amount = r"([\d.]+ [KMGT]?i?B)"
    wanted = re.search(rf"[Tt]ried to allocate {amount}", words)
    free = re.search(rf"{amount} (?:is )?free", words)
    return (
        f"expected {wanted[1] if wanted else 'more'} of free GPU memory, got "
        f"{free[1] if free else 'less'}: {remedy}"
    )
