"""Adam, as torch computes it, without the two seconds that torch takes to load its optimizers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

DECAY = (0.9, 0.999)
"""What stays, after a step, of the means of the gradients and of their squares."""
EPSILON = 1e-8


class Adam:
    """Takes steps along gradients, each parameter's scaled by how large its gradients are.

    Parameters
    ----------
    groups : sequence of sequences of Tensor
        The parameters that share a step size.

    References
    ----------
    Kingma and Ba, Adam: a method for stochastic optimization, ICLR 2015.
    """

    def __init__(self, groups: Sequence[Sequence[Tensor]]) -> None:
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
        unbiased_mean, unbiased_square = (1 - decay**self._steps for decay in DECAY)
        moments = iter(zip(self._means, self._squares, strict=True))
        for group, rate in zip(self._groups, rates, strict=True):
            for parameter, (mean, square) in zip(group, moments, strict=False):
                if parameter.grad is None:
                    continue
                mean.lerp_(parameter.grad, 1 - DECAY[0])
                square.mul_(DECAY[1]).addcmul_(parameter.grad, parameter.grad, value=1 - DECAY[1])
                scale = (square / unbiased_square).sqrt_().add_(EPSILON)
                parameter.addcdiv_(mean, scale, value=-rate / unbiased_mean)

    def state(self) -> dict[str, Any]:
        """Return where it stands."""
        return {"steps": self._steps, "means": self._means, "squares": self._squares}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from where another one stood."""
        self._steps = state["steps"]
        self._means, self._squares = state["means"], state["squares"]
