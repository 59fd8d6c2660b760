"""The exact inverse of any transform at given points, by Newton's method."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Array
from itk_nephi.spatial.transforms import (
    POINTS_AT_ONCE,
    flatten,
    jacobians,
    resolution,
    transform_points,
)

logger = logging.getLogger(__name__)

TOLERANCE = 1e-3
"""The largest residual of a converged point, voxels, where none is given."""


@dataclass(frozen=True)
class InvertedPoints:
    """The inverse of a transform at points, with its residuals.

    Parameters
    ----------
    points : array, shape (N, D)
        What the transform maps to the points given, mm; the closest ones reached where it did not
        converge.
    residuals : array, shape (N,)
        The distances of their images under the transform from the points given, mm.
    converged : array of bool, shape (N,)
        Where the residual is within the tolerance.
    """

    points: Array
    residuals: Array
    converged: npt.NDArray[np.bool_]


def inverse_parts(transform: Any) -> list[Any]:
    """Return the inverse of each part of a transform, in the order in which they undo it.

    None stands for a part whose inverse ITK does not know; that of an ``itk.NePhiTransform`` is
    approximate.
    """
    inverses = [part.GetInverseTransform() for part in reversed(flatten(transform))]
    return [None if inverse is None else itk.down_cast(inverse) for inverse in inverses]


def invert_points(
    transform: Any,
    points: npt.ArrayLike,
    *,
    guess: Any = None,
    tolerance: float | None = None,
    max_iterations: int = 50,
) -> InvertedPoints:
    """Compute the inverse of a transform at points: what it maps to them.

    Newton's method with the Jacobian of :func:`itk_nephi.spatial.jacobians`; a step that does not
    come closer is halved. So it converges from afar where the transform does not fold.

    Parameters
    ----------
    transform : itk.Transform
        From the points returned to the points given.
    points : array, shape (N, D)
        Physical points, mm.
    guess : itk.Transform, optional
        An approximate inverse to start from. Left out, it is made of the inverses of the parts that
        have one, such as the other field of an ``itk.NePhiTransform``.
    tolerance : float, optional
        The largest residual of a converged point, mm; a thousandth of the transform's smallest
        voxel when left out, see :func:`itk_nephi.spatial.transforms.resolution`.
    max_iterations : int
        How often to step, halved steps included.

    Raises
    ------
    ValueError
        If the tolerance is not positive or the points are not of the transform's dimension.
    """
    if tolerance is None:
        tolerance = TOLERANCE * resolution(transform, points)
    if not tolerance > 0:
        raise ValueError(f"expected tolerance to be positive, in mm, got {tolerance}")
    targets = found = np.array(points, dtype=float)
    for part in inverse_parts(transform) if guess is None else [guess]:
        if part is not None:
            found = transform_points(part, found)
    found = found.copy()
    residuals = np.empty(len(found))
    for start in range(0, len(found), POINTS_AT_ONCE):
        chunk = slice(start, start + POINTS_AT_ONCE)
        residuals[chunk] = _polish(
            transform, targets[chunk], found[chunk], tolerance, max_iterations
        )
    converged = residuals <= tolerance
    if not converged.all():
        logger.warning(
            "%d of %d points did not converge to an inverse within %g mm",
            np.count_nonzero(~converged),
            len(converged),
            tolerance,
        )
    return InvertedPoints(found, residuals, converged)


def _polish(
    transform: Any, targets: Array, found: Array, tolerance: float, max_iterations: int
) -> Array:
    """Improve points, in place, by damped Newton steps; return the residuals, mm."""
    errors = transform_points(transform, found) - targets
    residuals = np.linalg.norm(errors, axis=1)
    steps, lengths = np.empty_like(found), np.empty(len(found))
    waiting = moved = np.flatnonzero(np.isfinite(residuals) & (residuals > tolerance))
    for _ in range(max_iterations):
        if not len(waiting):
            break
        inverse_jacobians = np.linalg.pinv(jacobians(transform, found[moved]))
        steps[moved] = (inverse_jacobians @ errors[moved, :, None])[..., 0]
        lengths[moved] = 1.0

        trial = found[waiting] - lengths[waiting, None] * steps[waiting]
        trial_errors = transform_points(transform, trial) - targets[waiting]
        trial_residuals = np.linalg.norm(trial_errors, axis=1)
        closer = trial_residuals < residuals[waiting]
        moved = waiting[closer]
        found[moved], errors[moved] = trial[closer], trial_errors[closer]
        residuals[moved] = trial_residuals[closer]
        lengths[waiting[~closer]] /= 2
        waiting, moved = (which[residuals[which] > tolerance] for which in (waiting, moved))
    return np.asarray(residuals)
