"""How well two images explain each other under an affine map, and the map that does best.

The measure is the correlation ratio [1]_, averaged over both directions: the share of one image's
variance, where both overlap, that a function of the other image explains. The function is found
anew for each map, so contrasts may be reversed or of another modality. How large the overlap is
does not matter as long as it is half of one of the images; below, the measure falls in proportion.

Maps are affine, as homogeneous matrices, in the normalized coordinates of levels.

References
----------
.. [1] Roche et al., The correlation ratio as a new similarity measure for multimodal image
   registration, MICCAI 1998.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from itk_nephi.alignment.level import Level
from itk_nephi.spatial.domain import Array

ENOUGH = 0.5
"""The overlap, share of one of the images, above which its size does not matter."""
DAMPING = 1e-2
"""Of the first step, share of the diagonal of the Hessian."""
LONGEST_STEP = 0.5
"""How far a step moves a corner at most, normalized: a quarter of an edge."""
LEAST_GAIN = 1e-5
"""Of similarity, by which a step is worth another one."""
LEAST_CURVATURE = 0.02
"""Share of the expected one, below which a step is no measure of the Hessian."""
HALVINGS = 5


@dataclass(frozen=True, eq=False)
class Fit:
    """How well a level is explained, how much of it is covered, and what a motion would change.

    ``gradient`` and ``hessian`` (Gauss-Newton; 0 where not asked for) are those of half the
    unexplained share by the elements of an infinitesimal motion: its linear part row by row, then
    its translation.
    """

    explained: float
    coverage: float
    gradient: Array
    hessian: Array


def explain(
    level: Level, other: Level, matrix: Array, *, curved: bool, backwards: bool = False
) -> Fit:
    """Predict a level from another and differentiate by a motion of space.

    Parameters
    ----------
    level, other : Level
        What is predicted, and from what.
    matrix : array, shape (D + 1, D + 1)
        From points of the one to points of the other.
    curved : bool
        Compute the Hessian, too.
    backwards : bool
        The motion acts on the points that ``matrix`` maps to; or, backwards, its inverse on those
        that it maps from.
    """
    motions = matrix[:-1].size
    fit = np.empty(2 + motions + motions**2)
    other.call(
        "ExplainLevel",
        [curved, backwards],
        matrix[:-1].ravel().tolist(),
        level.points,
        level.point_weights,
        level.residuals,
        fit,
    )
    gradient, hessian = fit[2 : 2 + motions], fit[2 + motions :].reshape(motions, motions)
    return Fit(float(fit[0]), float(fit[1]), gradient, hessian)


def similarity(fixed: Level, moving: Level, matrix: Array, *, curved: bool = False) -> Fit:
    """Explain both levels by each other under a map from fixed to moving points."""
    one = explain(fixed, moving, matrix, curved=curved)
    inverse = np.array(np.linalg.inv(matrix))
    other = explain(moving, fixed, inverse, backwards=True, curved=curved)
    coverage = max(one.coverage, other.coverage)
    share = min(1.0, coverage / ENOUGH)
    return Fit(
        (one.explained + other.explained) / 2 * share,
        coverage,
        (one.gradient + other.gradient) / 2 * share,
        (one.hessian + other.hessian) / 2 * share,
    )


def refine(
    fixed: Level,
    moving: Level,
    matrix: Array,
    generators: Array,
    *,
    iterations: int,
    tolerance: float,
) -> tuple[Array, float]:
    """Climb to the next maximum of the similarity by damped quasi-Newton steps.

    Parameters
    ----------
    fixed, moving : Level
        The images.
    matrix : array, shape (D + 1, D + 1)
        The start.
    generators : array, shape (K, D + 1, D + 1)
        The motions allowed: a basis of a Lie algebra.
    iterations : int
        How many maps to try at most.
    tolerance : float
        A step that moves the corners of the images by less than this is the last; normalized.
        So is one that promises less than ``LEAST_GAIN``.

    Returns
    -------
    matrix : array, shape (D + 1, D + 1)
        Never worse than the start.
    explained : float
        Its similarity, at most 1.
    """
    basis = np.stack(
        [np.concatenate([g[:-1, :-1].ravel(), g[:-1, -1]]) for g in generators], axis=1
    )
    corners = moving.corners
    best = similarity(fixed, moving, matrix, curved=True)
    hessian, gradient = basis.T @ best.hessian @ basis, basis.T @ best.gradient
    damping = DAMPING
    for _ in range(iterations):
        floor = 1e-9 * np.trace(hessian) + 1e-30
        step = -np.linalg.solve(hessian + np.diag(damping * np.diag(hessian) + floor), gradient)
        promised = -2 * float(gradient @ step + step @ hessian @ step / 2)
        motion = np.tensordot(step, generators, axes=1)
        moved = motion[:-1, :-1] @ corners + motion[:-1, -1:]
        length = float(np.sqrt((moved**2).sum(axis=0).max()))
        if length > LONGEST_STEP:
            step *= LONGEST_STEP / length
            motion *= LONGEST_STEP / length
        tried = exponential(motion) @ matrix
        trial = similarity(fixed, moving, tried)
        changed = basis.T @ trial.gradient
        hessian = _secant_update(hessian, step, changed - gradient)
        if trial.explained > best.explained:
            matrix, best, gradient = tried, trial, changed
            damping = max(damping / 5, 1e-6)
        else:
            damping *= 8
        if length < tolerance or promised < LEAST_GAIN or damping > 1e4:
            break
    return matrix, best.explained


def _secant_update(hessian: Array, step: Array, change: Array) -> Array:
    """Return a Hessian (BFGS) that agrees with how a step changed the gradient.

    That of Gauss and Newton is too large where texture and noise make gradients, which takes many
    short steps.
    """
    curvature = float(step @ change)
    along = hessian @ step
    expected = float(step @ along)
    if not curvature > LEAST_CURVATURE * expected > 0:
        return hessian
    updated: Array = hessian - np.outer(along, along) / expected
    updated += np.outer(change, change) / curvature
    return updated


def exponential(matrix: Array) -> Array:
    """Return the exponential of a small square matrix with elements below 1."""
    scaled = matrix / 2**HALVINGS
    term = result = np.eye(len(matrix))
    for order in range(1, 10):
        term = term @ scaled / order
        result = result + term
    for _ in range(HALVINGS):
        result = result @ result
    return result
