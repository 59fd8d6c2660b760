"""A triangle or a circle, in 3D a tetrahedron or a ball, as a function of points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from itk_nephi.spatial.domain import Array, ImageDomain

# outward normals of the faces of a regular triangle and tetrahedron
FACES = {
    2: np.array([[1, 0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]]),
    3: np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 3**0.5,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Shape:
    """A ball, or where ``faces`` are its normals a triangle (tetrahedron); lengths in mm."""

    center: Array
    radius: float
    faces: Array | None
    edge: float
    hollow: bool

    @classmethod
    def random(cls, rng: np.random.Generator, domain: ImageDomain, hollow: bool) -> Shape:
        """Draw a center, a size, and whether it is a ball."""
        length = domain.size[0] - 1
        turn = np.linalg.qr(rng.normal(size=(domain.dimension, domain.dimension)))[0]
        return cls(
            center=length * rng.uniform(0.4, 0.7, domain.dimension),
            radius=length * rng.uniform(0.2, 0.4),
            faces=FACES[domain.dimension] @ turn if rng.uniform() < 0.5 else None,
            edge=length / 40,
            hollow=hollow,
        )

    def intensity(self, points: Array) -> Array:
        """Return the intensity, 0 to 1, at points, shape (..., D), mm."""
        distance = np.linalg.norm(points - self.center, axis=-1)
        inside: Array = np.tanh((self._reach(points - self.center) - distance) / self.edge)
        return 1 - inside**2 if self.hollow else (inside + 1) / 2

    def boundary(self, directions: Array) -> Array:
        """Return the points, mm, where rays from the center leave the shape."""
        units = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
        points: Array = self.center + self._reach(directions)[..., None] * units
        return points

    def _reach(self, directions: Array) -> Array:
        """Return the distance of the boundary from the center; towards the center itself, any."""
        length = np.maximum(np.linalg.norm(directions, axis=-1), 1e-12)
        if self.faces is None:
            return np.full_like(length, self.radius)
        dimension = len(self.center)
        nearest = np.maximum((directions @ self.faces.T).max(axis=-1), length / dimension)
        reach: Array = self.radius / dimension * length / nearest
        return reach
