"""What compares images, and maps with their inverses, at all points of a lattice at once.

In single precision on the CPU these are compiled; elsewhere torch computes the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from itk_nephi.fields.compiled import call_on_lattice, can_fuse, memory_of
from itk_nephi.fields.interpolation import sample_grid
from itk_nephi.fields.lattice import Lattice
from itk_nephi.fields.sampled_image import SampledImage
from itk_nephi.fields.threads import torch_threads

POOL = {2: F.avg_pool2d, 3: F.avg_pool3d}

LEAST_VARIANCE = 1e-4
"""The least variance in a window of an image of unit variance that has contrast."""

LEAST_FLOOR = 0.02
"""The least part of an image's variance that is taken for contrast."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LatticeImages:
    """An image on a lattice, the reference, and another one to sample at its moved points.

    Parameters
    ----------
    lattice : Lattice
        The points.
    reference : Tensor, shape (k, j, i)
        The values of the first image.
    inside : Tensor, shape (k, j, i)
        1 at points in it, else 0.
    reference_weights : Tensor, shape (k, j, i), optional
        Of its mask; all 1 when left out.
    other : SampledImage
        The second image, of one channel.
    other_weights : SampledImage, optional
        Its mask on the same grid.
    """

    lattice: Lattice
    reference: Tensor
    inside: Tensor
    reference_weights: Tensor | None = None
    other: SampledImage
    other_weights: SampledImage | None = None


def local_dissimilarity(
    displacement: Tensor, images: LatticeImages, *, radius: int, floor: float, threads: int
) -> Tensor:
    r"""Return 1 - LNCC^2: the squared local normalized cross-correlation, which keeps its sign.

    .. math:: 1 - \langle c |c| / ((v_f + s)(v_m + s)) \rangle

    with the covariance and the variances of all points of a window that lie in both images, and the
    mean over all windows, weighted by the masks at their centers.

    Parameters
    ----------
    displacement : Tensor, shape (D, k, j, i)
        Of the points of the lattice, coords.
    images : LatticeImages
        The images.
    radius : int
        Of the windows: they hold ``2 radius + 1`` points along each axis.
    floor : float
        Added to variances, so that windows of less contrast have less weight.
    threads : int
        How many compute, with the same result, where it is compiled.

    Returns
    -------
    Tensor, shape ()
        Dimensionless: 0 for a perfect linear relation in all windows, 1 for none.

    References
    ----------
    Avants et al., Symmetric diffeomorphic image registration with cross-correlation, Medical Image
    Analysis 2008.
    """
    fused = can_fuse(displacement, images.reference)
    affine = images.other.index_map() if fused else None
    if affine is None:
        return _local_dissimilarity(displacement, images, radius, floor)
    result: Tensor = _Correlation.apply(  # type: ignore[no-untyped-call]
        displacement, images, affine, radius, floor, threads
    )
    return result


def with_contrast(images: Tensor, inside: Tensor, radius: int) -> Tensor:
    """Return 1 where there is contrast in a window of any image, of unit variance, and else 0.

    Parameters
    ----------
    images : Tensor, shape (C, k, j, i)
        On a lattice.
    inside : Tensor, shape (k, j, i)
        1 at points that lie in them, else 0.
    radius : int
        Of the windows.
    """
    powers = torch.cat([inside[None], inside * images, inside * images.square()])
    count, *sums = _window_sums(powers, radius)
    count = count.clamp(min=1e-6)
    variances = [
        square / count - (total / count).square()
        for total, square in zip(sums[: len(images)], sums[len(images) :], strict=True)
    ]
    return (inside > 0).to(images) * (torch.stack(variances).amax(dim=0) > LEAST_VARIANCE)


class Contrast(NamedTuple):
    """How contrast is distributed in an image: the mean and the median variance of its windows.

    The mean is far larger where few windows, such as those of a lung's vessels, hold most of the
    contrast, while others hold mostly noise; in a brain it is everywhere, and both are alike.
    """

    mean: float
    median: float

    @classmethod
    def of(cls, image: Tensor, weights: Tensor | None, radius: int) -> Contrast:
        """Measure an image of unit variance on a lattice, in windows that do not overlap.

        Parameters
        ----------
        image : Tensor, shape (k, j, i)
            On a lattice.
        weights : Tensor, shape (k, j, i), optional
            Of its mask, in which at least half of each window lies.
        radius : int
            Of the windows.
        """
        edge = min(2 * radius + 1, *image.shape)
        inside = torch.ones_like(image) if weights is None else (weights > 0).to(image)
        powers = torch.stack([inside, inside * image, inside * image.square()])
        share, mean, square = POOL[image.ndim](powers[:, None], edge)[:, 0]
        chosen = share >= 0.5
        if not chosen.any():
            return cls(0.0, 0.0)
        variances = square[chosen] / share[chosen] - (mean[chosen] / share[chosen]).square()
        # rounding errors of a sum depend on the number of threads
        with torch_threads(1):
            return cls(float(variances.mean()), float(variances.median()))

    @property
    def floor(self) -> float:
        """What :func:`local_dissimilarity` adds to variances, so that noise has less weight."""
        return max(LEAST_FLOOR, self.mean - self.median)

    @property
    def sparsity(self) -> float:
        """In how many windows there is one with as much contrast as in an even image."""
        return max(1.0, self.mean / max(self.median, LEAST_FLOOR))


def spline_diffusion(splines: Sequence[Tensor], lattice: Lattice) -> Tensor:
    r"""Return the diffusion energy of B-splines, by differences of their coefficients.

    .. math:: \frac{1}{V D^2} \sum_s \int \lVert \nabla u_s \rVert^2

    with the volume V of the lattice's box.

    Parameters
    ----------
    splines : sequence of Tensor, shape (k, j, i, D)
        Coefficients, coords, see :func:`itk_nephi.fields.interpolation.sample_spline`.
    lattice : Lattice
        The points.

    Returns
    -------
    Tensor, shape ()
        Dimensionless.
    """
    volume = 2**lattice.dimension * math.prod(lattice.half_extent)
    total = splines[0].new_zeros(())
    for spline in splines:
        cells = [count - 3 for count in spline.shape[-2::-1]]
        edges = [2 * bound / count for bound, count in zip(lattice.bounds, cells, strict=True)]
        for axis, edge in enumerate(edges):
            slopes = spline.diff(dim=-2 - axis) / edge
            total = total + math.prod(edges) * slopes.square().sum()
    energy: Tensor = total / (volume * lattice.dimension**2)
    return energy


def composition_energy(
    there: Tensor,
    back: Tensor,
    lattice: Lattice,
    weights: tuple[float, float],
    *,
    stride: int,
    threads: int,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Return weighted GradICON and inverse consistency error of displacements u, v on a lattice.

    .. math::
        r_{uv}(x) = u(x) + v(x + u(x)), \quad
        \frac{1}{N D^2} \sum \lVert \nabla r \rVert^2, \quad \frac{1}{N D} \sum \lVert r \rVert^2

    in the mean over both orders, of r_uv and r_vu.

    Parameters
    ----------
    there, back : Tensor, shape (D, k, j, i)
        Of the points of the lattice, coords; the outer one of a composition is interpolated
        linearly, and beyond the lattice as at its border.
    lattice : Lattice
        The points.
    weights : (float, float)
        Of both.
    stride : int
        Every so many points along each axis are looked at; r is differentiated by the differences
        between them.
    threads : int
        How many compute, with the same result, where it is compiled.

    Returns
    -------
    energy : Tensor, shape ()
        The weighted sum, which can be differentiated.
    gradicon : Tensor, shape ()
        Dimensionless, as :func:`itk_nephi.losses.gradicon`.
    residual : Tensor, shape ()
        Mean square over the axes, coords^2.
    """
    if not can_fuse(there, back):
        return _composition_energy(there, back, lattice, weights, stride)
    result: tuple[Tensor, Tensor, Tensor] = _Composition.apply(  # type: ignore[no-untyped-call]
        there, back, lattice, weights, stride, threads
    )
    return result


class _WindowSums(torch.autograd.Function):
    """Sums over windows, (C, k, j, i); the gradient is what they make of the sums' gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, radius: int) -> Tensor:
        ctx.radius = radius
        return _window_sums(values, radius)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return _window_sums(grad, ctx.radius), None


def _window_sums(values: Tensor, radius: int) -> Tensor:
    """Sum over windows cut at the border, axis by axis, which is far fewer operations."""
    dimension = values.ndim - 1
    # padded beforehand, as pooling wants no image smaller than a window
    values = F.pad(values, (radius,) * (2 * dimension))
    for axis in range(dimension):
        edge = [2 * radius + 1 if each == axis else 1 for each in range(dimension)]
        values = POOL[dimension](values, edge, stride=1, divisor_override=1)
    return values


class _Correlation(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        displacement: Tensor,
        images: LatticeImages,
        affine: tuple[Any, Any],
        radius: int,
        floor: float,
        threads: int,
    ) -> Tensor:
        lattice, values = images.lattice, images.other.values
        weights = None if images.other_weights is None else images.other_weights.values
        displacement = displacement.contiguous()
        gradient = torch.empty_like(displacement) if ctx.needs_input_grad[0] else None
        sums = torch.empty(2, dtype=torch.float64)
        call_on_lattice(
            "CorrelateImages",
            lattice.dimension,
            [*lattice.layout, *values.shape[:1:-1], radius],
            [*lattice.bounds, *np.ravel(affine[0]), *affine[1]],
            memory_of([images.reference, images.inside, images.reference_weights]),
            memory_of([values, weights]),
            memory_of(displacement),
            floor,
            threads,
            memory_of(sums),
            memory_of(gradient),
        )
        count = sums[1].clamp(min=1e-6)
        ctx.gradient = None if gradient is None else gradient.mul_(-float(1 / count))
        return (1 - sums[0] / count).to(displacement)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        gradient, ctx.gradient = ctx.gradient, None
        return _multiplied(gradient, grad), None, None, None, None, None


class _Composition(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        there: Tensor,
        back: Tensor,
        lattice: Lattice,
        weights: tuple[float, float],
        stride: int,
        threads: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        ways = [there.contiguous(), back.contiguous()]
        ctx.gradients = [torch.zeros_like(u) if any(ctx.needs_input_grad) else None for u in ways]
        means = torch.empty(2, 2, dtype=torch.float64)
        factors = torch.tensor(weights, dtype=torch.float64) / 2
        for order, found in zip((slice(None), slice(None, None, -1)), means, strict=True):
            # adds to the gradients
            call_on_lattice(
                "Compose",
                lattice.dimension,
                [*lattice.layout, stride],
                lattice.bounds,
                *map(memory_of, ways[order]),
                threads,
                *map(memory_of, (found, factors, *ctx.gradients[order])),
            )
        gradicon, residual = means.mean(dim=0).to(there)
        ctx.mark_non_differentiable(gradicon, residual)
        return (factors * means).sum().to(there), gradicon, residual

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> Any:
        gradients, ctx.gradients = ctx.gradients, None
        return *(_multiplied(each, grad) for each in gradients), None, None, None, None


def _multiplied(gradient: Tensor, grad: Tensor) -> Tensor:
    """Return a gradient times another one in its own memory, which costs less than new memory."""
    return gradient if float(grad) == 1 else gradient.mul_(grad)


def _local_dissimilarity(
    displacement: Tensor, images: LatticeImages, radius: int, floor: float
) -> Tensor:
    lattice = images.lattice
    moved = torch.stack(lattice.moved(displacement), dim=-1).flatten(0, -2)
    values, inside = (lattice.image(each) for each in images.other(moved))
    weights = inside.detach()
    if images.other_weights is not None:
        weights = weights * lattice.image(images.other_weights(moved)[0]).detach()
    if images.reference_weights is not None:
        weights = weights * images.reference_weights
    inside = (inside * images.inside)[None]
    reference = images.reference[None]

    def sums(products: Tensor) -> Tensor:
        found: Tensor = _WindowSums.apply(products, radius)  # type: ignore[no-untyped-call]
        return found

    count, moved_sum, reference_sum = sums(inside), sums(inside * values), sums(inside * reference)
    share = 1 / (count + 1e-6)
    covariance = sums(inside * reference * values) - share * reference_sum * moved_sum
    variances = torch.ones_like(count)
    for each, total in ((reference, reference_sum), (values, moved_sum)):
        variance = sums(inside * each.square()) - share * total.square()
        variances = variances * (variance.clamp(min=0) + floor * count + 1e-9)
    correlation = covariance * covariance.abs() / variances
    return 1 - (weights * correlation).sum() / weights.sum().clamp(min=1e-6)


def _composition_energy(
    there: Tensor, back: Tensor, lattice: Lattice, weights: tuple[float, float], stride: int
) -> tuple[Tensor, Tensor, Tensor]:
    every = (slice(None), *(slice(None, None, stride),) * lattice.dimension)
    gradicon = square = there.new_zeros(())
    for inner, outer in ((there, back), (back, there)):
        u = inner[every]
        box = zip(lattice.moved(u, stride), lattice.center, lattice.half_extent, strict=True)
        position = torch.stack([(coords - middle) / half for coords, middle, half in box], dim=-1)
        residual = u + sample_grid(outer[None], position.flatten(0, -2)).T.reshape(u.shape)
        for axis, step in enumerate(lattice.steps):
            slopes = residual.diff(dim=-1 - axis) / (stride * step)
            gradicon = gradicon + slopes.square().mean() / (2 * lattice.dimension)
        square = square + residual.square().mean() / 2
    return weights[0] * gradicon + weights[1] * square, gradicon.detach(), square.detach()
