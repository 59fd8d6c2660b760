"""Rotations: even coverings of the rotation groups of the plane and of space."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np

from itk_nephi.spatial.domain import Array


def axis_rotations(dimension: int) -> Array:
    """Return the rotations that map the axes onto each other: 4 in the plane, 24 in space.

    Returns
    -------
    array, shape (N, D, D)
        Matrices of 0, 1 and -1; the identity is the first.
    """
    matrices = [
        np.diag(signs)[list(order)]
        for order in permutations(range(dimension))
        for signs in product((1.0, -1.0), repeat=dimension)
    ]
    return np.array([matrix for matrix in matrices if np.linalg.det(matrix) > 0])


def small_rotations(dimension: int) -> Array:
    """Return rotations near the identity that cover all of them once the axes are exchanged.

    In space they are 27, on a lattice of quaternions around 1. Applied after each of the 24
    rotations of the axes they leave no rotation further than 20.9 degrees away. In the plane they
    are 18, 5 degrees apart.

    Returns
    -------
    array, shape (N, D, D)
        Matrices; the identity is the first.

    References
    ----------
    Karney, Quaternions in molecular modeling, J. Mol. Graph. Model. 25, 2007 (the set c48u27).
    """
    if dimension == 2:
        angles = np.radians(5.0) * np.array([0, *(s * k for k in range(1, 9) for s in (1, -1)), 9])
        return np.array([[[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]] for a in angles])
    lattice = sorted(product((-1, 0, 1), repeat=3), key=lambda step: (np.abs(step).sum(), step))
    return np.array([from_quaternion(np.array([1.0, *(LATTICE * np.array(s))])) for s in lattice])


LATTICE = 0.25
"""Step between the quaternions of small rotations, of real part 1."""


def from_quaternion(quaternion: Array) -> Array:
    """Return the matrix, shape (3, 3), of a quaternion of any length, real part first."""
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def angle_between(one: Array, other: Array) -> Array:
    """Return the angles, radians, shape (...), between rotations, shape (..., D, D)."""
    relative = np.swapaxes(one, -1, -2) @ other
    trace = np.trace(relative, axis1=-2, axis2=-1)
    cosine = trace / 2 if relative.shape[-1] == 2 else (trace - 1) / 2
    angles: Array = np.arccos(np.clip(cosine, -1, 1))
    return angles


def nearest_rotation(matrix: Array) -> Array:
    """Return the rotation, shape (D, D), that is nearest to a matrix, never a reflection."""
    left, _, right = np.linalg.svd(matrix)
    left[:, -1] *= np.linalg.det(left) * np.linalg.det(right)
    rotation: Array = left @ right
    return rotation
