"""Synthetic image pairs: the paper's triangles and circles, and a breathing chest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from itk_nephi.phantoms.chest import AXES, Chest
from itk_nephi.phantoms.motions import Motion, Stretch
from itk_nephi.phantoms.shapes import Shape
from itk_nephi.spatial.domain import Array, Image, ImageDomain, image_from_array
from itk_nephi.spatial.image_pair import ImagePair

PointMap = Callable[[Array], Array]


@dataclass(frozen=True, kw_only=True, eq=False)
class Phantom:
    """An image pair whose true transform is known.

    Parameters
    ----------
    pair : ImagePair
        Images of float, masks and labels of unsigned char, and landmarks to judge the result by.
    fixed_to_moving, moving_to_fixed : callable
        Map points, shape (..., D), mm; smooth, and inverse to each other up to rounding errors.
    """

    pair: ImagePair
    fixed_to_moving: PointMap
    moving_to_fixed: PointMap


class _Images(NamedTuple):
    image: Image
    mask: Image
    labels: Image


def triangles_and_circles(
    dimension: int = 2, *, size: int = 64, hollow: bool = False, seed: int = 0
) -> ImagePair:
    """Draw a pair of shapes as in the paper, each a triangle or a circle.

    In 3D they are tetrahedra and balls. There is no true transform between two shapes;
    the overlap of the labels is the measure.

    Parameters
    ----------
    dimension : int
        2 or 3.
    size : int
        Voxels along each axis, 1 mm apart.
    hollow : bool
        Draw the outlines only.
    seed : int
        The same seed gives the same pair.

    Returns
    -------
    ImagePair
        Label 1 is the shape; the masks are the whole images.

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Tian et al., NePhi, arXiv:2309.07322; level sets and distributions as in the published code.
    """
    domain = _cube(dimension, size)
    rng = np.random.default_rng(seed)
    points = domain.grid_points()
    fixed, moving = (Shape.random(rng, domain, hollow) for _ in range(2))
    return _pair(
        f"triangles and circles {seed}",
        _shape_images(fixed, domain, points),
        _shape_images(moving, domain, points),
    )


def deformed_shape(
    dimension: int = 2,
    *,
    size: int = 64,
    hollow: bool = False,
    motion: float = 5.0,
    seed: int = 0,
) -> Phantom:
    """Draw a triangle or a circle, and the same under a known random deformation.

    Parameters
    ----------
    dimension, size, hollow, seed
        As for :func:`triangles_and_circles`.
    motion : float
        The largest displacement in the image, mm, at most a tenth of ``size``.

    Returns
    -------
    Phantom
        Label 1 is the shape, the masks are the whole images, the landmarks lie on the boundary.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    domain = _cube(dimension, size)
    _check_motion(motion, size / 10)
    rng = np.random.default_rng(seed)
    shape = Shape.random(rng, domain, hollow)
    stretches = [
        Stretch(
            axis=axis,
            amount=1.0,
            center=domain.center + size * rng.uniform(-0.2, 0.2, dimension),
            widths=np.full(dimension, 0.5 * size),
            bias=rng.uniform(-1, 1),
        )
        for axis in range(dimension)
    ]
    points = domain.grid_points()
    truth = Motion.reaching(motion, points, stretches)
    landmarks = shape.boundary(rng.normal(size=(50, dimension)))
    return Phantom(
        pair=_pair(
            f"deformed shape {seed}",
            _shape_images(shape, domain, points),
            _shape_images(shape, domain, truth.moving_to_fixed(points)),
            evaluation_landmarks=(landmarks, truth.fixed_to_moving(landmarks)),
        ),
        fixed_to_moving=truth.fixed_to_moving,
        moving_to_fixed=truth.moving_to_fixed,
    )


def lung(
    dimension: int = 3,
    *,
    size: Sequence[int] | None = None,
    motion: float = 30.0,
    noise: float = 25.0,
    seed: int = 0,
) -> Phantom:
    """Draw a chest breathed out (fixed) and breathed in (moving).

    Intensity is a function of points, evaluated at the voxels of the fixed image and at those of
    the moving image mapped back, so neither is a resampled copy of the other. Both grids are
    anisotropic and turned, each in its own way.

    Parameters
    ----------
    dimension : int
        3, or 2 for a coronal section.
    size : sequence of int, optional
        Voxels of the fixed image along each axis; by default 96 x 80 x 72, in 2D 128 x 88. The
        chest always fills the image.
    motion : float
        The largest displacement in the lungs, mm, from 0 to 40; it is found near the diaphragm.
    noise : float
        Standard deviation of the noise, drawn for each image anew, Hounsfield units.
    seed : int
        The same seed gives the same chest, grids, motion and noise.

    Returns
    -------
    Phantom
        Images in Hounsfield units, masks of the lungs, labels 1 (right lung), 2 (left lung) and 3
        (airways), and landmarks at the forks of the vessels.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    if size is None:
        size = (96, 80, 72) if dimension == 3 else (128, 88)
    _check_size(dimension, size)
    _check_motion(motion, 40)
    if not 0 <= noise < np.inf:
        raise ValueError(f"expected noise of at least 0 Hounsfield units, got {noise}")
    rng = np.random.default_rng(seed)
    center = np.array([14.0, -162.0, 381.0])[AXES[dimension]]
    moving_size = [round(factor * n) for factor, n in zip((0.95, 1.05, 1.08), size, strict=False)]
    fixed_domain = _turned_domain(rng, size, center)
    moving_domain = _turned_domain(rng, moving_size, center + rng.uniform(-6, 6, dimension))
    chest = Chest(rng, center, blur=max(fixed_domain.spacing) / 2)

    points = fixed_domain.grid_points()
    values, lungs, labels = chest.draw(points)
    truth = Motion.reaching(motion, points[lungs], _breathing(rng, center))
    values += noise * rng.standard_normal(values.shape)
    fixed = _images(fixed_domain, values, lungs, labels)
    values, lungs, labels = chest.draw(truth.moving_to_fixed(moving_domain.grid_points()))
    values += noise * rng.standard_normal(values.shape)
    moving = _images(moving_domain, values, lungs, labels)

    landmarks = chest.forks[chest.lung_level(chest.forks) > max(fixed_domain.spacing)]
    return Phantom(
        pair=_pair(
            f"lung {seed}",
            fixed,
            moving,
            evaluation_landmarks=(landmarks, truth.fixed_to_moving(landmarks)),
        ),
        fixed_to_moving=truth.fixed_to_moving,
        moving_to_fixed=truth.moving_to_fixed,
    )


def _check_size(dimension: int, size: Sequence[int]) -> None:
    if dimension not in (2, 3):
        raise ValueError(f"expected a dimension of 2 or 3, got {dimension}")
    if len(size) != dimension or min(size) < 16:
        raise ValueError(
            f"expected a size of at least 16 voxels on each of {dimension} axes, got {tuple(size)}"
        )


def _check_motion(motion: float, largest: float) -> None:
    if not 0 <= motion <= largest:
        raise ValueError(f"expected a motion of 0 to {largest:g} mm, got {motion}")


def _breathing(rng: np.random.Generator, center: Array) -> list[Stretch]:
    """Move the ribs out and forward, and the diaphragm down by about 1 mm."""
    outward, forward, downward = rng.uniform([0.15, 0.15, 0.5], [0.25, 0.25, 0.6])
    middle = rng.uniform(-10, 10)
    axes = AXES[len(center)]
    stretches = [
        (0, outward, [0, 0, -50], [70, 150, 90], 0.0),
        (1, forward, [0, 70, -40], [120, 90, 90], 0.0),
        (2, downward, [-58, 15, middle], [55, 80, 60], -1.0),
        (2, downward, [58, 15, middle], [55, 80, 60], -1.0),
    ]
    return [
        Stretch(
            axis=axes.index(axis),
            amount=amount,
            center=center + np.array(offset)[axes],
            widths=np.array(widths)[axes],
            bias=bias,
        )
        for axis, amount, offset, widths, bias in stretches
        if axis in axes
    ]


def _cube(dimension: int, size: int) -> ImageDomain:
    _check_size(dimension, (size,) * dimension)
    return ImageDomain(
        size=(size,) * dimension,
        spacing=(1.0,) * dimension,
        origin=(0.0,) * dimension,
        direction=tuple(tuple(row) for row in np.eye(dimension).tolist()),
    )


def _turned_domain(rng: np.random.Generator, size: Sequence[int], center: Array) -> ImageDomain:
    """Return a grid around the whole chest, turned by several degrees about every axis."""
    dimension = len(size)
    skew = np.triu(rng.uniform(0.03, 0.06, (dimension, dimension)), 1)
    skew *= rng.choice([-1, 1], skew.shape)
    skew -= skew.T
    # Cayley: a rotation to machine precision
    direction = np.linalg.solve(np.eye(dimension) - skew, np.eye(dimension) + skew)
    extent = np.array([304.0, 226.0, 264.0])[AXES[dimension]]
    spacing = extent / np.array(size)
    return ImageDomain(
        size=tuple(size),
        spacing=tuple(spacing.tolist()),
        origin=tuple((center - direction @ (extent - spacing) / 2).tolist()),
        direction=tuple(tuple(row) for row in direction.tolist()),
    )


def _pair(
    name: str,
    fixed: _Images,
    moving: _Images,
    evaluation_landmarks: tuple[Array, Array] | None = None,
) -> ImagePair:
    return ImagePair(
        name=name,
        fixed=(fixed.image,),
        moving=(moving.image,),
        fixed_mask=fixed.mask,
        moving_mask=moving.mask,
        labels=(fixed.labels, moving.labels),
        evaluation_landmarks=evaluation_landmarks,
    )


def _images(
    domain: ImageDomain, values: Array, mask: npt.NDArray[np.bool_], labels: npt.NDArray[Any]
) -> _Images:
    return _Images(
        image=image_from_array(values.astype(np.float32), domain),
        mask=image_from_array(mask.astype(np.uint8), domain),
        labels=image_from_array(labels.astype(np.uint8), domain),
    )


def _shape_images(shape: Shape, domain: ImageDomain, points: Array) -> _Images:
    """Draw a shape; ``points`` are where the voxels of the domain look it up."""
    values = shape.intensity(points)
    return _images(domain, values, np.ones(values.shape, bool), values > 0.2)
