"""An alignment refined by what the registration compares, before its field begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from itk_nephi.alignment.problem import generators
from itk_nephi.fields.lattice import Lattice
from itk_nephi.fields.threads import torch_threads
from itk_nephi.registration.lattice_objective import LatticeObjective
from itk_nephi.registration.sampler import PairSampler
from itk_nephi.registration.settings import RegistrationSettings, lattice_spacing
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Array, Transform
from itk_nephi.spatial.initialization import ALIGNMENTS
from itk_nephi.spatial.transforms import transform_points

SIGMAS = (2.0, 1.0)
"""Standard deviations of the Gaussian, voxels; the first is taken that leaves enough windows."""

ITERATIONS, HALVINGS = 30, 6
"""Steps of BFGS, and how often each is halved, at most."""

ENOUGH, LEAST_GAIN = 1e-4, 1e-6
"""Share of the expected gain that makes a step a good one, and the gain that is the last."""

FLOOR = 0.005
"""Added to variances in windows: over whole images noise averages out, so that little is enough."""

LEAST_WINDOWS = 3
"""How many windows beside each other are needed along each axis."""

FARTHEST = 0.1
"""How far a corner may move, share of the longest edge: whatever goes farther is no refinement."""


def refine_alignment(
    alignment: Transform,
    kind: str,
    samplers: Sequence[PairSampler],
    settings: RegistrationSettings,
) -> Transform:
    """Return the map near an alignment under which windows of the images are most alike.

    What an alignment maximizes is a measure of whole images, in which large contrasts, such as that
    of a head with the air around it, count most. Windows of all contrasts count alike.

    Parameters
    ----------
    alignment : itk.Transform
        From fixed to moving space, linear.
    kind : {"translation", "rigid", "similarity", "affine"}
        Its degrees of freedom.
    samplers : sequence of PairSampler
        The images, brought together by the alignment.
    settings : RegistrationSettings
        Of the registration.

    Returns
    -------
    itk.Transform
        The alignment itself where images are too small, or where no map nearby is better.
    """
    sampler, edge = samplers[0], LEAST_WINDOWS * (2 * settings.window_radius + 1)
    domain = sampler.domain
    for sigma in SIGMAS:
        spacing = lattice_spacing(sigma) * sampler.voxel_size
        if min(Lattice.spaced(domain, spacing).size) >= edge:
            break
    else:
        return alignment
    objectives = [
        replace(LatticeObjective.prepare(each, sigma, settings, trains_network=False), floor=FLOOR)
        for each in samplers
    ]
    matrix = _matrix_at_minimum(objectives, generators(domain.dimension, ALIGNMENTS.index(kind)))
    corners = np.stack(np.meshgrid(*[(-b, b) for b in domain.bounds]), axis=-1)
    farthest = np.linalg.norm(_mapped(matrix, corners) - corners, axis=-1).max()
    if not 0 < farthest <= 2 * FARTHEST:
        return alignment
    simplex = np.vstack([np.zeros(domain.dimension), np.eye(domain.dimension)])
    moved = domain.points_from_coords(_mapped(matrix, simplex))
    return _linear(domain.points_from_coords(simplex), transform_points(alignment, moved))


def _matrix_at_minimum(objectives: Sequence[LatticeObjective], motions: Array) -> Array:
    """Return the homogeneous matrix, in coords, at the minimum next to the identity.

    It is the exponential of a sum of infinitesimal motions, shape (K, D + 1, D + 1).
    """
    coords = [objective.lattice.coords(objective.sampler.device) for objective in objectives]
    basis = torch.from_numpy(motions)
    threads = torch.get_num_threads()

    def compare(amounts: Array) -> tuple[float, Array]:
        leaf = torch.from_numpy(amounts).requires_grad_()
        motion = torch.tensordot(leaf, basis, dims=1)
        steps = [torch.matrix_exp(way) - torch.eye(len(way)) for way in (motion, -motion)]
        total = torch.zeros((), dtype=torch.float64)
        for objective, where in zip(objectives, coords, strict=True):
            displacements = [
                objective.lattice.image(where @ step[:-1, :-1].T + step[:-1, -1])
                for step in (each.to(where) for each in steps)
            ]
            total = total + objective.dissimilarity(displacements, threads).to(total)
        (gradient,) = torch.autograd.grad(total, leaf)
        return float(total.detach()), gradient.numpy()

    with torch_threads(1):  # rounding errors of sums depend on their number
        amounts = _minimized(compare, np.zeros(len(motions)), objectives[0].step_size / 2)
        motion = torch.tensordot(torch.from_numpy(amounts), basis, dims=1)
        matrix: Array = torch.matrix_exp(motion).numpy()
    return matrix


def _minimized(
    function: Callable[[Array], tuple[float, Array]], position: Array, length: float
) -> Array:
    """Return the next minimum of a few variables, by steps of BFGS; the first has a length.

    torch's own optimizers load a compiler, which takes seconds and 70 MiB.
    """
    value, gradient = function(position)
    inverse = np.eye(len(position)) * length / max(float(np.linalg.norm(gradient)), 1e-30)
    for iteration in range(ITERATIONS):
        step = -inverse @ gradient
        expected = float(gradient @ step)
        for _ in range(HALVINGS):
            found, slope = function(position + step)
            if found <= value + ENOUGH * expected:
                break
            step, expected = step / 2, expected / 2
        else:
            break
        change, gain = slope - gradient, value - found
        position, value, gradient = position + step, found, slope
        if gain < LEAST_GAIN:
            break
        curvature = float(change @ step)
        if curvature > 0:
            if iteration == 0:
                inverse = np.eye(len(position)) * curvature / float(change @ change)
            along = np.eye(len(position)) - np.outer(step, change) / curvature
            inverse = along @ inverse @ along.T + np.outer(step, step) / curvature
    return position


def _mapped(matrix: Array, coords: Array) -> Array:
    mapped: Array = coords @ matrix[:-1, :-1].T + matrix[:-1, -1]
    return mapped


def _linear(points: Array, images: Array) -> Transform:
    """Return the linear map of D + 1 points to their images, the first of them its center."""
    transform = itk.AffineTransform[itk.D, points.shape[1]].New()
    matrix = np.linalg.solve(points[1:] - points[0], images[1:] - images[0]).T
    transform.SetCenter(points[0].tolist())
    transform.SetMatrix(itk.matrix_from_array(np.ascontiguousarray(matrix)))
    transform.SetTranslation((images[0] - points[0]).tolist())
    return transform
