from __future__ import annotations

from support.parallel import squared

from itk_nephi.workflows.parallel import run_parallel


def test_what_kills_every_process_does_not_end_the_rest() -> None:
    assert sorted(run_parallel(squared, [1, 2, 3], 2, None)) == [(1, 1), (2, None), (3, 9)]
