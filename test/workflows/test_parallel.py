from __future__ import annotations

import os
import signal

from itk_nephi.workflows.parallel import run_parallel


def squared(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def test_what_kills_every_process_does_not_end_the_rest() -> None:
    assert sorted(run_parallel(squared, [1, 2, 3], 2, None)) == [(1, 1), (2, None), (3, 9)]
