"""Forward-mode differentiation: values with their derivatives along the coords."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor


class Jet:
    """Dual numbers: values at points and, if asked for, their derivatives along each coordinate.

    Every operation propagates both, which is the forward mode of differentiation.

    Parameters
    ----------
    value : Tensor, shape (N, K)
    tangents : Tensor, shape (D, N, K), optional
        The derivative of ``value`` along each coordinate.
    """

    def __init__(self, value: Tensor, tangents: Tensor | None = None) -> None:
        self.value = value
        self.tangents = tangents

    @property
    def derivatives(self) -> Tensor:
        """The tangents of a jet that has them."""
        if self.tangents is None:
            raise ValueError("expected a jet with derivatives, got values only")
        return self.tangents

    def linear(self, weight: Tensor, bias: Tensor | None = None) -> Jet:
        """Apply an affine map, (K_out, K) and (K_out,)."""
        value = F.linear(self.value, weight, bias)
        return Jet(value, None if self.tangents is None else self.tangents @ weight.T)

    def split(self, count: int) -> tuple[Jet, Jet]:
        """Split off the first ``count`` features."""
        if self.tangents is None:
            return Jet(self.value[:, :count]), Jet(self.value[:, count:])
        return (
            Jet(self.value[:, :count], self.tangents[:, :, :count]),
            Jet(self.value[:, count:], self.tangents[:, :, count:]),
        )

    def sine(self) -> Jet:
        """Apply the sine."""
        if self.tangents is None:
            return Jet(self.value.sin())
        return Jet(self.value.sin(), self.value.cos() * self.tangents)

    def __add__(self, other: Jet) -> Jet:
        if self.tangents is None or other.tangents is None:
            return Jet(self.value + other.value)
        return Jet(self.value + other.value, self.tangents + other.tangents)

    def __mul__(self, other: Jet) -> Jet:
        value = self.value * other.value
        if self.tangents is None or other.tangents is None:
            return Jet(value)
        return Jet(value, self.tangents * other.value + self.value * other.tangents)
