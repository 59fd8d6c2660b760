"""Regular points in the box of a domain, and what fields do to all of them at once."""

from __future__ import annotations

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
    """Points of the regular ones that span the box of a domain, its corners among them.

    Parameters
    ----------
    size : tuple of int
        Points along each axis, at least two; i first.
    bounds : tuple of float
        The domain's largest coords per axis.
    first : tuple of int, optional
        Which of the box's points are the first along each axis; 0 when left out.
    whole : tuple of int, optional
        How many points span the box along each axis; ``size`` when left out.
    """

    size: tuple[int, ...]
    bounds: tuple[float, ...]
    first: tuple[int, ...] = ()
    whole: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "first", self.first or (0,) * self.dimension)
        object.__setattr__(self, "whole", self.whole or self.size)

    @classmethod
    def spaced(cls, domain: ImageDomain, spacing: float) -> Lattice:
        """Return points about ``spacing`` mm apart, though not closer than the domain's voxels."""
        spacings = np.maximum(spacing, domain.spacing)
        # a half is one in any unit of length
        cells = np.maximum(1, np.rint(np.round(2 * domain.half_extent / spacings, 9)))
        return cls(tuple(int(n) + 1 for n in cells), domain.bounds)

    @property
    def dimension(self) -> int:
        """Number of spatial dimensions, 2 or 3."""
        return len(self.size)

    @property
    def layout(self) -> tuple[int, ...]:
        """Size, first and whole, as compiled functions take them."""
        return (*self.size, *self.first, *self.whole)

    @property
    def steps(self) -> tuple[float, ...]:
        """The distance of the points along each axis, coords."""
        return tuple(2 * b / (n - 1) for b, n in zip(self.bounds, self.whole, strict=True))

    @property
    def center(self) -> tuple[float, ...]:
        """The middle of the points, coords."""
        low = np.multiply(self.first, self.steps) - self.bounds
        return tuple(map(float, low + self.half_extent))

    @property
    def half_extent(self) -> tuple[float, ...]:
        """Half of the distance of the first and the last points along each axis, coords."""
        return tuple(step * (n - 1) / 2 for step, n in zip(self.steps, self.size, strict=True))

    @property
    def slices(self) -> tuple[slice, ...]:
        """Where an array of the whole box's points, k, j, i, holds these."""
        ranges = zip(self.first, self.size, strict=True)
        return tuple(slice(first, first + count) for first, count in ranges)[::-1]

    def around(self, chosen: Tensor, margin: int) -> Lattice:
        """Return the box around chosen points of the whole, shape (k, j, i), and a margin."""
        if not chosen.any():
            return self
        first, size = [], []
        for axis, whole in enumerate(self.whole):
            others = [each for each in range(self.dimension) if each != self.dimension - 1 - axis]
            numbers = chosen.any(dim=others).nonzero()
            begin = max(0, min(int(numbers.min()) - margin, whole - 2))
            end = min(whole, max(int(numbers.max()) + margin + 1, begin + 2))
            first.append(begin)
            size.append(end - begin)
        return Lattice(tuple(size), self.bounds, tuple(first), self.whole)

    def coarser(self, longest: int) -> Lattice:
        """Return the whole box with at most so many points along its longest axis."""
        share = min(1.0, (longest - 1) / (max(self.whole) - 1))
        return Lattice(tuple(max(2, round(share * (n - 1)) + 1) for n in self.whole), self.bounds)

    def coords(self, device: torch.device) -> Tensor:
        """Return the coords of all points, shape (N, D), i fastest."""
        grid = torch.meshgrid(*reversed(self._axes(device)), indexing="ij")
        return torch.stack(grid[::-1], dim=-1).flatten(0, -2)

    def moved(self, displacement: Tensor, stride: int = 1) -> list[Tensor]:
        """Return the coords along each axis, i first, of points that were moved.

        Parameters
        ----------
        displacement : Tensor, shape (D, k, j, i)
            Of every so many points.
        stride : int
            How many.

        Returns
        -------
        list of Tensor, shape (k, j, i)
        """
        last, moved = self.dimension - 1, []
        for axis, coords in enumerate(self._axes(displacement.device)):
            shape = [-1 if each == last - axis else 1 for each in range(self.dimension)]
            coords = coords[::stride].to(displacement.dtype).view(shape)
            moved.append(coords + displacement[axis])
        return moved

    def _axes(self, device: torch.device) -> list[Tensor]:
        """Return the points' coords along each axis, i first."""
        layout = zip(self.bounds, self.whole, self.first, self.size, strict=True)
        return [
            torch.linspace(-b, b, whole, device=device)[first : first + count]
            for b, whole, first, count in layout
        ]

    def image(self, values: Tensor) -> Tensor:
        """Arrange what belongs to the points, (N, C) or (N,): (C, k, j, i) or (k, j, i)."""
        return values.movedim(0, -1).reshape(*values.shape[1:], *reversed(self.size))

    def refined(self, values: Tensor, lattice: Lattice) -> Tensor:
        """Interpolate values of the whole box, (C, k, j, i), linearly at another lattice."""
        if lattice.whole != self.whole:
            size, mode = lattice.whole[::-1], LINEAR[self.dimension]
            values = F.interpolate(values[None], size, mode=mode, align_corners=True)[0]
        return values[(slice(None), *lattice.slices)]

    def with_splines(
        self, displacement: Tensor, splines: Sequence[Tensor], threads: int = 1
    ) -> Tensor:
        """Add B-splines at all points, axis by axis, which is far fewer operations.

        Parameters
        ----------
        displacement : Tensor, shape (D, k, j, i)
            Of the points; is left as it is.
        splines : sequence of Tensor, shape (k, j, i, D)
            Coefficients, see :func:`itk_nephi.fields.interpolation.sample_spline`.
        threads : int
            How many compute, with the same result, where it is compiled.

        Returns
        -------
        Tensor, shape (D, k, j, i)
            The sum of all.
        """
        if splines and can_fuse(displacement, *splines):
            result: Tensor = _Splines.apply(  # type: ignore[no-untyped-call]
                self, threads, displacement, *splines
            )
            return result
        return sum((self._spline(each) for each in splines), start=displacement)

    def _spline(self, coefficients: Tensor) -> Tensor:
        values = coefficients.movedim(-1, 0)
        for axis in reversed(range(self.dimension)):
            weights = _spline_weights(
                coefficients.shape[-2 - axis], self.whole[axis], values.dtype, values.device
            )
            weights = weights[self.slices[-1 - axis]]
            # takes the first axis away, and adds its points as the last one
            values = torch.tensordot(values, weights, dims=([1], [1]))
        return values


class _Splines(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, lattice: Lattice, threads: int, displacement: Tensor, *splines: Tensor
    ) -> Tensor:
        ctx.lattice, ctx.threads = lattice, threads
        ctx.shapes = [spline.shape for spline in splines]
        displacement = displacement.clone(memory_format=torch.contiguous_format)
        for spline in splines:
            _call_with_spline("AddSpline", ctx, spline.shape, spline.contiguous(), displacement)
        return displacement

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        grad = grad.contiguous()
        gradients = [
            grad.new_zeros(shape) if needed else None
            for shape, needed in zip(ctx.shapes, ctx.needs_input_grad[3:], strict=True)
        ]
        for gradient in gradients:
            if gradient is not None:
                _call_with_spline("ProjectOnSpline", ctx, gradient.shape, grad, gradient)
        return None, None, grad, *gradients


def _call_with_spline(
    name: str, ctx: Any, shape: Sequence[int], given: Tensor, added: Tensor
) -> None:
    cells = [count - 3 for count in shape[-2::-1]]
    call_on_lattice(
        name,
        ctx.lattice.dimension,
        [*ctx.lattice.layout, *cells],
        ctx.lattice.bounds,
        memory_of(given),
        ctx.threads,
        memory_of(added),
    )


@lru_cache(maxsize=64)
def _spline_weights(count: int, points: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the shares of the coefficients of an axis in each of its points, (points, count)."""
    position = torch.linspace(-1, 1, points, dtype=torch.float64)[:, None]
    return sample_spline(torch.eye(count, dtype=torch.float64), position).to(device, dtype)
