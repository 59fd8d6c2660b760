import subprocess
import sys
from contextlib import ExitStack

import torch

from itk_nephi.fields.threads import torch_threads


def test_the_innermost_counts_and_the_outermost_gives_back() -> None:
    before = torch.get_num_threads()
    with torch_threads(3):
        with torch_threads(2):
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == before


def test_the_first_may_leave_before_the_last() -> None:
    before = torch.get_num_threads()
    first, last = ExitStack(), ExitStack()
    first.enter_context(torch_threads(3))
    last.enter_context(torch_threads(2))
    first.close()
    assert torch.get_num_threads() == 2
    last.close()
    assert torch.get_num_threads() == before


def test_a_fork_of_a_process_that_has_computed_computes_alone() -> None:
    code = """
import os, torch
from itk_nephi.fields.threads import torch_threads
def compute():
    with torch_threads(2):
        return float((torch.ones(600, 600) @ torch.ones(600, 600)).exp().clamp(max=2).mean())
compute()
child = os.fork()
if not child:
    os._exit(int(compute()))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, check=True, capture_output=True, timeout=60).stdout == b"2\n"
