"""A chest CT breathed out, as a function of points."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from itk_nephi.spatial.domain import Array

AXES = {2: [0, 2], 3: [0, 1, 2]}
"""The components of a point in the chest that each dimension keeps."""

Tube = tuple[Array, Array, float, float]  # start, end, and the radius at both, mm


def _grow_tree(
    rng: np.random.Generator, start: Array, radius: float, cloud: Array, forks: int
) -> list[Tube]:
    """Fill a cloud of points: a branch heads for the middle of its share, and two take over."""
    middle = cloud.mean(axis=0)
    if forks == 0:
        return [(start, start + 0.9 * (middle - start), radius, 0.8 * radius)]
    end = (start + middle) / 2
    along = (cloud - middle) @ np.linalg.eigh(np.cov(cloud.T))[1][:, -1]
    near = along < np.quantile(along, rng.uniform(0.35, 0.65))
    return [
        (start, end, radius, 0.8 * radius),
        *_grow_tree(rng, end, 0.8 * radius, cloud[near], forks - 1),
        *_grow_tree(rng, end, 0.8 * radius, cloud[~near], forks - 1),
    ]


def tube_level(tubes: list[Tube], points: Array, reach: float) -> Array:
    """Return how deep points, shape (..., D), lie in tubes, mm, cut off at -reach."""
    components = points.reshape(-1, points.shape[-1]).T
    order = np.argsort(components[-1], kind="stable")
    ordered = np.ascontiguousarray(components[:, order])
    level = np.full(len(order), -reach, dtype=float)
    for start, end, first_radius, last_radius in tubes:
        margin = max(first_radius, last_radius) + reach
        low, high = sorted((start[-1], end[-1]))
        near = slice(*np.searchsorted(ordered[-1], (low - margin, high + margin)))
        line = end - start
        offset = ordered[:, near] - start[:, None]
        along = np.clip((line / (line @ line)) @ offset, 0, 1)
        offset -= line[:, None] * along
        depth = first_radius + (last_radius - first_radius) * along
        depth -= np.sqrt(np.einsum("dn,dn->n", offset, offset))
        np.maximum(level[near], depth, out=level[near])
    result = np.empty_like(level)
    result[order] = level
    return result.reshape(points.shape[:-1])


def _soft_minimum(*levels: Array) -> Array:
    result: Array = -3 * np.log(sum(np.exp(-level / 3) for level in levels))
    return result


class Chest:
    """A chest breathed out: intensity, lungs and labels, as functions of points.

    In the methods x, y, z are mm from the center, to the left, to the back and up; in 2D, y is 0.
    A level is about the depth inside a structure, mm, negative outside.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws the anatomy.
    center : array, shape (D,)
        The middle of the chest, mm.
    blur : float
        Half the width of an edge, mm.

    Attributes
    ----------
    forks : array, shape (N, D)
        The points where vessels fork, mm.
    """

    def __init__(self, rng: np.random.Generator, center: Array, blur: float) -> None:
        self._center = center
        self._blur = blur
        self._domes = np.array([[-58, 5, -48], [58, 5, -58]]) + rng.uniform(-5, 5, (2, 3))
        self._heart = np.array([22, -28, -62]) + rng.uniform(-6, 6, 3)
        self._cavity = np.array([112, 78, 172]) * rng.uniform(0.95, 1.02, 3)
        axes = AXES[len(center)]
        throat, carina = center + np.array([[0, 2, 140], [0, 4, 26]])[:, axes]
        cloud = rng.uniform(-1, 1, (60_000, 3)) * [115, 80, 120]
        cloud = center + cloud[:, axes]
        cloud = cloud[self.lung_level(cloud) > 4]
        self._vessels: list[Tube] = []
        self._airways: list[Tube] = [(throat, carina, 8.5, 8.5)]
        for side in (-1, 1):
            hilum = center + np.array([22 * side, 8, 2])[axes]
            targets = cloud[side * (cloud[:, 0] - center[0]) > 0]
            self._vessels += _grow_tree(rng, hilum - 4, 7.5, targets, forks=3 * len(center))
            self._airways += [(carina, hilum, 7, 5.5), *_grow_tree(rng, hilum, 5.5, targets, 3)]
        starts, counts = np.unique([tube[0] for tube in self._vessels], axis=0, return_counts=True)
        self.forks = starts[counts == 2]

    def draw(self, points: Array) -> tuple[Array, npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
        """Return Hounsfield units, whether in a lung, and labels at points, shape (..., D), mm."""
        x, y, z = self._components(points)
        hounsfield = np.full(x.shape, -1000.0)

        def paint(level: Array, value: Array | float, where: Any = ...) -> None:
            share = (1 + np.tanh(level / self._blur)) / 2
            hounsfield[where] += share * (value - hounsfield[where])

        body = 106 * (1 - (np.abs(x / 144) ** 2.6 + np.abs(y / 106) ** 2.6) ** (1 / 2.6))
        cavity = self._cavity_level(x, y, z)
        lung = self.lung_level(points)
        reach = 4 * self._blur
        near = lung > -reach
        airway = tube_level(self._airways, points, reach)
        bone = self._bone_level(x, y, z)
        paint(body, -95)  # fat
        paint(body - 9, 45)  # muscle
        paint(_soft_minimum(cavity, -self._diaphragm_level(x, y, z)), 75)  # liver
        paint(self._heart_level(x, y, z), 110)
        paint(12 - np.hypot(x - 18, y - 48), 140)  # aorta
        paint(lung, -855 + 0.5 * y)
        paint(tube_level(self._vessels, points[near], reach), 60, near)
        paint(airway + 1.5, -100)  # wall
        paint(airway, -990)
        paint(bone, 550)
        paint(bone - 3, 220)  # marrow
        labels = np.where(airway > 0, 3, (lung > 0) * np.where(x < 0, 1, 2))
        return hounsfield, lung > 0, labels

    def lung_level(self, points: Array) -> Array:
        """Return the level of the lungs at points, shape (..., D), mm."""
        x, y, z = self._components(points)
        return _soft_minimum(
            self._cavity_level(x, y, z),
            self._diaphragm_level(x, y, z),
            -self._heart_level(x, y, z) - 3,
            np.abs(x) - 12 - 0.1 * np.abs(z),
            np.hypot(x, y - 72) - 27,
        )

    def _components(self, points: Array) -> tuple[Array, Array, Array]:
        offset = points - self._center
        x, z = offset[..., 0], offset[..., -1]
        return x, offset[..., 1] if len(self._center) == 3 else np.zeros_like(x), z

    def _cavity_level(self, x: Array, y: Array, z: Array) -> Array:
        a, b, c = self._cavity
        up = np.maximum(z + 70, 0)
        power = np.abs(x / a) ** 2.3 + np.abs(y / b) ** 2.3 + (up / c) ** 2.3
        level: Array = b * (1 - power ** (1 / 2.3))
        return level

    def _diaphragm_level(self, x: Array, y: Array, z: Array) -> Array:
        height = np.full_like(x, -112)
        for a, b, top in self._domes:
            height += (top + 112) * np.exp(-(((x - a) / 42) ** 2) - ((y - b) / 60) ** 2)
        return z - height

    def _heart_level(self, x: Array, y: Array, z: Array) -> Array:
        a, b, c = self._heart
        tilted = z - c + 0.5 * (x - a)
        level: Array = 40 - np.sqrt(((x - a) / 1.2) ** 2 + (y - b) ** 2 + (tilted / 1.1) ** 2)
        return level

    def _bone_level(self, x: Array, y: Array, z: Array) -> Array:
        wall = self._cavity_level(x, y, z) + 8
        ribs = 4.5 - np.hypot(wall, 0.65 * (np.mod(z - 0.5 * y + 8, 25) - 12.5))
        vertebrae = _soft_minimum(17 - np.hypot(x, y - 70), 10 - np.abs(np.mod(z, 24) - 12))
        arches = 5 - np.abs(np.hypot(x, 1.2 * (y - 92)) - 10)
        sternum = np.minimum.reduce([13 - np.abs(x), 4 - np.abs(wall), -y])
        level: Array = np.maximum.reduce([ribs, vertebrae, arches, sternum])
        return level
