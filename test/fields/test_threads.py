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
