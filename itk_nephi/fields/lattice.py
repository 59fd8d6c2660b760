"""Points that span the box of a domain regularly, and what fields do to all of them at once."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from itk_nephi.fields.compiled import call_on_lattice, can_fuse, memory_of
from itk_nephi.fields.interpolation import sample_spline
from itk_nephi.spatial.domain import ImageDomain

LINEAR = {2: "bilinear", 3: "trilinear"}


@dataclass(frozen=True)
class Lattice:
    """Regularly spaced points that span the box of a domain, its corners among them.

    Parameters
    ----------
    size : tuple of int
        Points along each axis, at least two; i first.
    bounds : tuple of float
        The domain's largest coords per axis.
    """

    size: tuple[int, ...]
    bounds: tuple[float, ...]

    @classmethod
    def spaced(cls, domain: ImageDomain, spacing: float) -> Lattice:
        """Return points about ``spacing`` mm apart, though not closer than the domain's voxels."""
        spacings = np.maximum(spacing, domain.spacing)
        cells = np.maximum(1, np.rint(2 * domain.half_extent / spacings))
        return cls(tuple(int(n) + 1 for n in cells), domain.bounds)

    @property
    def dimension(self) -> int:
        """Number of spatial dimensions, 2 or 3."""
        return len(self.size)

    def coarser(self, longest: int) -> Lattice:
        """Return the same box with at most so many points along its longest axis."""
        share = min(1.0, (longest - 1) / (max(self.size) - 1))
        return Lattice(tuple(max(2, round(share * (n - 1)) + 1) for n in self.size), self.bounds)

    def coords(self, device: torch.device) -> Tensor:
        """Return the coords of all points, shape (N, D), i fastest."""
        axes = [
            torch.linspace(-b, b, n, device=device)
            for b, n in zip(self.bounds, self.size, strict=True)
        ]
        grid = torch.meshgrid(*reversed(axes), indexing="ij")
        return torch.stack(grid[::-1], dim=-1).flatten(0, -2)

    def image(self, values: Tensor) -> Tensor:
        """Arrange what belongs to the points, (N, C) or (N,): (C, k, j, i) or (k, j, i)."""
        return values.movedim(0, -1).reshape(*values.shape[1:], *reversed(self.size))

    def refined(self, values: Tensor, lattice: Lattice) -> Tensor:
        """Interpolate values, shape (C, k, j, i), linearly at the points of another lattice."""
        if lattice.size == self.size:
            return values
        size, mode = lattice.size[::-1], LINEAR[self.dimension]
        return F.interpolate(values[None], size, mode=mode, align_corners=True)[0]

    def splines(self, splines: Sequence[Tensor], threads: int = 1) -> Tensor:
        """Evaluate B-splines at all points, axis by axis, which is far fewer operations.

        Parameters
        ----------
        splines : sequence of Tensor, shape (k, j, i, D)
            Coefficients, see :func:`itk_nephi.fields.interpolation.sample_spline`.
        threads : int
            How many compute, with the same result, where it is compiled.

        Returns
        -------
        Tensor, shape (D, k, j, i)
            Their sum.
        """
        if not splines:
            raise ValueError("expected one or more splines, got none")
        if can_fuse(*splines):
            result: Tensor = _Splines.apply(  # type: ignore[no-untyped-call]
                self, threads, *splines
            )
            return result
        return torch.stack([self._spline(each) for each in splines]).sum(dim=0)

    def _spline(self, coefficients: Tensor) -> Tensor:
        values = coefficients.movedim(-1, 0)
        for axis in reversed(range(self.dimension)):
            weights = _spline_weights(coefficients.shape[-2 - axis], self.size[axis])
            # takes the first axis away, and adds its points as the last one
            values = torch.tensordot(values, weights.to(values), dims=([1], [1]))
        return values


class _Splines(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, lattice: Lattice, threads: int, *splines: Tensor) -> Tensor:
        ctx.lattice, ctx.threads = lattice, threads
        ctx.shapes = [spline.shape for spline in splines]
        displacement = splines[0].new_zeros(lattice.dimension, *reversed(lattice.size))
        for spline in splines:
            _call_with_spline("AddSpline", ctx, spline.shape, spline.contiguous(), displacement)
        return displacement

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        grad = grad.contiguous()
        gradients = [
            grad.new_zeros(shape) if needed else None
            for shape, needed in zip(ctx.shapes, ctx.needs_input_grad[2:], strict=True)
        ]
        for gradient in gradients:
            if gradient is not None:
                _call_with_spline("ProjectOnSpline", ctx, gradient.shape, grad, gradient)
        return None, None, *gradients


def _call_with_spline(
    name: str, ctx: Any, shape: Sequence[int], given: Tensor, added: Tensor
) -> None:
    cells = [count - 3 for count in shape[-2::-1]]
    call_on_lattice(
        name,
        ctx.lattice.size,
        [*ctx.lattice.size, *cells],
        ctx.lattice.bounds,
        memory_of(given),
        ctypes.c_int64(ctx.threads),
        memory_of(added),
    )


@lru_cache(maxsize=64)
def _spline_weights(count: int, points: int) -> Tensor:
    """Return the shares of the coefficients of an axis in each of its points, (points, count)."""
    position = torch.linspace(-1, 1, points, dtype=torch.float64)[:, None]
    return sample_spline(torch.eye(count, dtype=torch.float64), position)
