"""The number of torch's threads, which is one in forked processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch

_lock = Lock()
_given_back: list[list[int]] = []
"""What each context in force gives back. Torch has one number for the whole process: of callers in
several threads, one that ends before those that began later leaves it to the next of them."""


_state = {"forked": False}
"""Whether this process is a fork of one that may have computed."""


def _compute_alone() -> None:
    """Compute on one thread in a forked process: torch's others stayed behind, and are waited for.

    The results are the same on any number of threads.
    """
    _state["forked"] = True
    torch.set_num_threads(1)


os.register_at_fork(after_in_child=_compute_alone)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Compute on this many threads of torch, and give back those that there were."""
    with _lock:
        usual = [torch.get_num_threads()]
        _given_back.append(usual)
        torch.set_num_threads(1 if _state["forked"] else count)
    try:
        yield
    finally:
        with _lock:
            position = next(n for n, other in enumerate(_given_back) if other is usual)
            later = _given_back[position + 1 :]
            if later:
                later[0][0] = usual[0]
            else:
                torch.set_num_threads(usual[0])
            del _given_back[position]
