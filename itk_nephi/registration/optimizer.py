"""Adam, the sizes of its steps, and how many there is time for."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import Any

import torch
from torch import Tensor

MEAN_DECAY = 0.9
"""What stays, after a step, of the means of the gradients."""

EPSILON = 1e-8

LEAST_STEPS = 10
"""How many steps of a level are taken, if so many are asked for, however short the time."""

RISE = 0.2
"""During which part of a level the sizes of its steps rise, before they fall."""

WINDOW = 25
"""How many steps are compared with as many before, to see a plateau."""

TAIL = 25
"""Within how many steps a level ends that has come to a plateau."""


class Adam:
    """Takes steps along gradients, each parameter's scaled by how large its gradients are.

    Parameters
    ----------
    groups : sequence of sequences of Tensor
        The parameters that share a step size.
    square_decay : float
        What stays, after a step, of the means of the squared gradients: the more, the noisier
        these are.

    References
    ----------
    Kingma and Ba, Adam: a method for stochastic optimization, ICLR 2015.
    """

    def __init__(self, groups: Sequence[Sequence[Tensor]], square_decay: float) -> None:
        self._decays = MEAN_DECAY, square_decay
        self._groups = [list(group) for group in groups]
        self._steps = 0
        self._means, self._squares = (
            [torch.zeros_like(parameter) for group in groups for parameter in group]
            for _ in range(2)
        )

    @torch.no_grad()
    def step(self, rates: Sequence[float]) -> None:
        """Take a step of the given size for each group; parameters without gradient stay."""
        self._steps += 1
        mean_decay, square_decay = self._decays
        unbiased_mean, unbiased_square = (1 - decay**self._steps for decay in self._decays)
        moments = iter(zip(self._means, self._squares, strict=True))
        for group, rate in zip(self._groups, rates, strict=True):
            chosen = [
                (parameter, parameter.grad, mean, square)
                for parameter, (mean, square) in zip(group, moments, strict=False)
                if parameter.grad is not None
            ]
            if not chosen:
                continue
            # on a GPU one kernel takes all tensors
            parameters, gradients, means, squares = map(list, zip(*chosen, strict=True))
            torch._foreach_lerp_(means, gradients, 1 - mean_decay)
            torch._foreach_mul_(squares, square_decay)
            torch._foreach_addcmul_(squares, gradients, gradients, value=1 - square_decay)
            scales = torch._foreach_div(squares, unbiased_square)
            torch._foreach_sqrt_(scales)
            torch._foreach_add_(scales, EPSILON)
            torch._foreach_addcdiv_(parameters, means, scales, value=-rate / unbiased_mean)

    def state(self) -> dict[str, Any]:
        """Return where it stands."""
        return {"steps": self._steps, "means": self._means, "squares": self._squares}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore the :meth:`state` of another one."""
        self._steps = state["steps"]
        self._means, self._squares = state["means"], state["squares"]


class Schedule:
    r"""The steps of one level: their sizes rise, then fall to zero, however many there are.

    The first step has the phase p = 0. With n steps left, each goes on by (1 - p) / n, so that the
    last ends at 1; n may be reduced at any time. The size of a step is the largest size times

    .. math:: \min(1, (p + 1 / n_0) / 0.2) (1 + \cos \pi p) / 2 \min(1, N / N_f)^2

    with n_0 steps at first, N = n / (1 - p) steps now, and N_f full steps: Adam, which begins anew,
    knows too little for large steps, and what few overshoot, few cannot put right.

    A level has come to a plateau when the mean dissimilarity of the last ``WINDOW`` steps is less
    than a standard error below that of the ``WINDOW`` steps before. The points of each step are
    drawn anew, so that these errors are independent, and the successive differences estimate their
    variance whatever the trend (von Neumann). The level then ends within ``TAIL`` steps.

    Parameters
    ----------
    steps : int
        How many steps to take, at most.
    full_steps : int
        In how many, or more, a step may have the largest size.
    early_stop : bool
        Whether to end after a plateau.
    """

    def __init__(self, steps: int, *, full_steps: int = 1, early_stop: bool = False) -> None:
        self.steps, self.full_steps = steps, full_steps
        self.early_stop = early_stop
        self.phase = 0.0
        self.tail: int | None = None
        self.recent: list[float] = []

    def factor(self, left: int) -> float:
        """Return the size of the next of ``left`` steps, in largest step sizes."""
        rise = min(1.0, (self.phase + 1 / self.steps) / RISE)
        steps = self.steps if self.tail is not None else round(left / (1 - self.phase))
        full = min(1.0, steps / self.full_steps) ** 2
        return full * rise * (1 + math.cos(math.pi * self.phase)) / 2

    def length(self, pace: float) -> int:
        """Return how many steps a whole level takes where there is time for ``pace`` steps."""
        return int(min(self.steps, max(LEAST_STEPS, pace)))

    def left(self, pace: float) -> int:
        """Return how many steps are left where there is time for ``pace`` steps a whole level."""
        if self.phase == 1:
            return 0
        left = max(1, round((1 - self.phase) * self.length(pace)))
        return left if self.tail is None else min(left, self.tail)

    def advance(self, left: int, dissimilarity: float | None) -> None:
        """Go on to the next of ``left`` steps; the dissimilarity is None if not known yet."""
        self.phase = 1.0 if left == 1 else self.phase + (1 - self.phase) / left
        if self.tail is not None:
            self.tail -= 1
        elif self.early_stop and dissimilarity is not None:
            self.recent.append(dissimilarity)
            if len(self.recent) == 2 * WINDOW:
                if _plateau(self.recent):
                    self.tail = TAIL
                self.recent = self.recent[WINDOW:]

    def state(self) -> dict[str, Any]:
        """Return where it stands."""
        return {"phase": self.phase, "tail": self.tail, "recent": list(self.recent)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore the :meth:`state` of another one."""
        self.phase, self.tail, self.recent = state["phase"], state["tail"], state["recent"]


class TimeLimit:
    """Computes how many steps there is time for.

    Parameters
    ----------
    end : float
        When to end, by :func:`time.perf_counter`, seconds; infinite where time does not matter.
    """

    def __init__(self, end: float) -> None:
        self._end = end
        self._preparation = 0.0
        self._step_began: float | None = None
        self._durations: deque[float] = deque(maxlen=20)

    def prepared(self, seconds: float) -> None:
        """Note how long it took to prepare a level; the next ones are expected to take as long."""
        self._preparation = seconds
        self._step_began = None

    def pace(self, phase: float, later: int) -> float:
        """Return for how many steps of each level there is time, at the beginning of a step.

        Parameters
        ----------
        phase : float
            Which part of the current level is done.
        later : int
            How many levels follow.
        """
        now = time.perf_counter()
        if self._step_began is not None:
            self._durations.append(now - self._step_began)
        self._step_began = now
        # the median forgives the first step, which takes longer
        if self._end == math.inf or len(self._durations) < 3:
            return math.inf
        seconds = self._end - now - later * self._preparation
        return seconds / median(self._durations) / (1 - phase + later)


def _plateau(values: list[float]) -> bool:
    """Return whether the second half of some values is not clearly below the first."""
    differences = [after - before for before, after in pairwise(values)]
    variance = fmean(difference**2 for difference in differences) / 2
    gain = fmean(values[:WINDOW]) - fmean(values[WINDOW:])
    return gain < math.sqrt(2 * variance / WINDOW)
