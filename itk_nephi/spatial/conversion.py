"""Conversion of transforms for other programs: to a displacement field or a B-spline transform.

Both are samples on the grid of a reference image. Beyond that grid the transforms made here do not
move points, as is usual for these classes of ITK.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Array, ImageDomain
from itk_nephi.spatial.inversion import TOLERANCE, InvertedPoints, invert_points

FEWEST_SAMPLES = 1.5
"""Voxels for each control point; with fewer, a fit overshoots unless it meets voxel by voxel."""


def to_displacement_field(transform: Any, reference: Any) -> Any:
    """Sample a transform as a displacement field on the grid of an image.

    Parameters
    ----------
    transform : itk.Transform
        Maps from the points of ``reference``.
    reference : itk.Image
        Gives the grid.

    Returns
    -------
    itk.Image of itk.Vector of float
        Displacements in physical space (x to the left, y to the back, z to the head), mm.

    Raises
    ------
    ValueError
        If the dimensions differ.
    """
    dimension = reference.GetImageDimension()
    if transform.GetInputSpaceDimension() != dimension:
        raise ValueError(
            f"expected reference in {transform.GetInputSpaceDimension()} dimensions like the "
            f"transform, got {dimension}"
        )
    return itk.displacement_field(transform, reference_image=reference, use_reference_image=True)


def to_displacement_field_transform(transform: Any, reference: Any) -> Any:
    """Sample a transform as an ``itk.DisplacementFieldTransform``, linear between the voxels.

    Arguments and errors as for :func:`to_displacement_field`.
    """
    return displacement_field_transform(to_displacement_field(transform, reference))


def displacement_field_transform(field: Any) -> Any:
    """Make an ``itk.DisplacementFieldTransform`` of a displacement field image, mm."""
    transform = itk.DisplacementFieldTransform[itk.D, field.GetImageDimension()].New()
    values = np.asarray(itk.array_view_from_image(field))
    transform.SetDisplacementField(vector_image(values, field, itk.D))
    return transform


def inverse_displacement_field(
    transform: Any, reference: Any, *, guess: Any = None, tolerance: float | None = None
) -> tuple[Any, InvertedPoints]:
    """Sample the exact inverse of a transform as a displacement field.

    Parameters
    ----------
    transform : itk.Transform
        Maps to the points of ``reference``.
    reference : itk.Image
        Gives the grid.
    guess : itk.Transform, optional
        As for :func:`itk_nephi.spatial.inversion.invert_points`.
    tolerance : float, optional
        Largest residual, mm; a thousandth of the smallest distance of voxels when left out.

    Returns
    -------
    field : itk.Image of itk.Vector of float
        The displacements of the inverse, mm.
    inverted : InvertedPoints
        The same as points, and how exact they are; in the order of the voxels.
    """
    size = tuple(reference.GetLargestPossibleRegion().GetSize())
    points = ImageDomain.of(reference).voxel_points(np.arange(np.prod(size)))
    if tolerance is None:
        tolerance = TOLERANCE * min(reference.GetSpacing())
    inverted = invert_points(transform, points, guess=guess, tolerance=tolerance)
    displacement = (inverted.points - points).reshape(*size[::-1], len(size))
    return vector_image(displacement, reference, itk.F), inverted


def to_bspline_transform(
    transform: Any,
    reference: Any,
    *,
    spacing: float | None = None,
    tolerance: float | None = None,
) -> tuple[Any, float]:
    """Fit a cubic B-spline transform to the displacements of a transform at the voxels of an image.

    The fit is that of least squares; where that leaves a choice, the smoothest one. Its domain is
    the image and one voxel more on each side.

    Parameters
    ----------
    transform : itk.Transform
        Maps from the points of ``reference``.
    reference : itk.Image
        Where to fit.
    spacing : float, optional
        Largest distance between control points, mm; below 1.5 voxels they lie at the voxels.
    tolerance : float, optional
        Largest error allowed, mm: the spacing is refined until it is met, at the latest where
        there is a control point for each voxel, which leaves rounding errors of float. Give either
        this or ``spacing``.

    Returns
    -------
    transform : itk.BSplineTransform
        The fit.
    largest_error : float
        The largest difference of the displacements of the two at a voxel of ``reference``, mm.

    Raises
    ------
    ValueError
        If not one of ``spacing`` and ``tolerance`` is given, or it is not positive; or the
        dimensions differ.
    """
    if (spacing is None) == (tolerance is None):
        raise ValueError(f"expected spacing or tolerance, got {spacing} and {tolerance}")
    for name, value in (("spacing", spacing), ("tolerance", tolerance)):
        if value is not None and not 0 < value < np.inf:
            raise ValueError(f"expected {name} to be positive, in mm, got {value}")
    field = to_displacement_field(transform, reference)
    values = np.asarray(itk.array_view_from_image(field))
    size = np.array(field.GetLargestPossibleRegion().GetSize())
    extent = (size + 1) * np.array(field.GetSpacing())
    distance = spacing or extent.max() / 4
    while True:
        cells = np.maximum(np.ceil(extent / distance - 1e-6).astype(int), 1)
        cells = np.where(FEWEST_SAMPLES * cells > size, size + 1, cells)
        fitted = _fit(values, field, extent, cells)
        largest = _largest_difference(values, to_displacement_field(fitted, reference))
        if tolerance is None or largest <= tolerance or (cells > size).all():
            return fitted, largest
        distance /= 2**0.5


def _fit(values: Array, field: Any, extent: Array, cells: Any) -> Any:
    """Fit a B-spline transform with some cells between its control points along each axis."""
    dimension = len(cells)
    transform = itk.BSplineTransform[itk.D, dimension, 3].New()
    one_voxel = itk.array_from_matrix(field.GetDirection()) @ np.array(field.GetSpacing())
    first = ImageDomain.of(field).voxel_points(np.zeros(1, int))[0]
    transform.SetTransformDomainOrigin((first - one_voxel).tolist())
    transform.SetTransformDomainDirection(field.GetDirection())
    transform.SetTransformDomainPhysicalDimensions(extent.tolist())
    transform.SetTransformDomainMeshSize(cells.tolist())
    solvers = [
        _least_squares(samples, count)
        for samples, count in zip(values.shape, cells[::-1], strict=False)
    ]
    parameters = []
    for component in np.moveaxis(values, -1, 0):
        coefficients = component.astype(float)
        for axis, solver in enumerate(solvers):
            moved = np.tensordot(solver, coefficients, axes=(1, axis))
            coefficients = np.moveaxis(moved, 0, axis)
        parameters += coefficients.ravel().tolist()
    transform.SetParameters(itk.OptimizerParameters[itk.D](parameters))
    return transform


def _least_squares(samples: int, cells: int) -> Array:
    """Return the matrix from samples, one voxel off both ends, to cubic B-spline coefficients.

    A penalty on second differences, too small to be seen in the fit, chooses where the samples
    leave a choice (P-splines: Eilers & Marx, Statistical Science 1996).
    """
    position = np.arange(1, samples + 1) / (samples + 1) * cells
    first = position.astype(int)
    t = position - first
    weights = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    basis = np.zeros((samples, cells + 3))
    for offset, weight in enumerate(weights):
        basis[np.arange(samples), first + offset] = weight / 6
    penalty = 1e-6 * np.diff(np.eye(cells + 3), 2, axis=0)
    return np.asarray(np.linalg.pinv(np.concatenate([basis, penalty]))[:, :samples])


def _largest_difference(values: Array, field: Any) -> float:
    difference = np.asarray(itk.array_view_from_image(field)) - values
    return float(np.sqrt(np.square(difference).sum(axis=-1).max()))


def vector_image(values: Array, reference: Any, component: Any) -> Any:
    """Return an image of vectors, shape (k, j, i, D), on the grid of another image.

    ``component`` is ITK's name of their type, ``itk.F`` or ``itk.D``.
    """
    dimension = reference.GetImageDimension()
    image = itk.Image[itk.Vector[component, dimension], dimension].New()
    image.SetRegions(reference.GetLargestPossibleRegion())
    image.SetSpacing(reference.GetSpacing())
    image.SetOrigin(reference.GetOrigin())
    image.SetDirection(reference.GetDirection())
    image.Allocate()
    itk.array_view_from_image(image)[:] = values
    return image
