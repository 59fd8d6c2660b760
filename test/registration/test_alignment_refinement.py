"""An alignment becomes the map under which windows are most alike, in its degrees of freedom."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import itk
import numpy as np
import pytest
import torch
from support.registrations import HASTY

from itk_nephi.registration.problem import RegistrationProblem
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.spatial.domain import Array, ImageDomain, image_from_array
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import matrix_and_offset, transform_points

CPU = torch.device("cpu")
ON_LATTICE = RegistrationSettings.preset("default")

SIZES = {2: (72, 60), 3: (44, 40, 36)}


def domain_of(dimension: int, unit: float = 1.0, shift: float = 0.0) -> ImageDomain:
    """Return a grid that is anisotropic, turned and far from the origin, in a unit of length."""
    turn = np.eye(dimension)
    c, s = np.cos(0.3), np.sin(0.3)
    turn[:2, :2] = [[c, -s], [s, c]]
    return ImageDomain(
        size=SIZES[dimension],
        spacing=tuple(unit * np.array((1.2, 0.9, 1.5)[:dimension])),
        origin=tuple(unit * (np.array((120.0, -40.0, 77.0)[:dimension]) + shift)),
        direction=tuple(map(tuple, turn.tolist())),
    )


def matrix_of(dimension: int, kind: str) -> Array:
    """Return the linear part of a motion: a turn of 3 degrees, for affine with strain."""
    matrix = np.eye(dimension)
    c, s = np.cos(np.radians(3)), np.sin(np.radians(3))
    matrix[:2, :2] = [[c, -s], [s, c]]
    return matrix if kind == "rigid" else matrix @ np.diag((1.05, 0.97, 1.03)[:dimension])


def blobs(points: Array, domain: ImageDomain) -> Array:
    """Return the sum of many Gaussians about a domain, at any points, shape (N, D)."""
    rng = np.random.default_rng(0)
    centers = domain.points_from_coords(rng.uniform(-1.1, 1.1, (150, domain.dimension)))
    widths = rng.uniform(2.0, 4.0, 150) * domain.voxel_size
    heights = rng.normal(size=150)
    result = np.zeros(len(points))
    for center, width, height in zip(centers, widths, heights, strict=True):
        square = ((points - center) ** 2).sum(axis=1)
        result += height * np.exp(-square / (2 * width**2))
    return result


def moved_pair(dimension: int, kind: str, unit: float = 1.0) -> tuple[ImagePair, Any]:
    """Return images of the same blobs, and the map between them."""
    fixed, moving = domain_of(dimension, unit), domain_of(dimension, unit, shift=4.0)
    truth = itk.AffineTransform[itk.D, dimension].New()
    truth.SetCenter(fixed.center.tolist())
    truth.SetMatrix(itk.matrix_from_array(matrix_of(dimension, kind)))
    truth.SetTranslation((moving.center - fixed.center).tolist())
    inverse = truth.GetInverseTransform()
    images = []
    for domain, to_fixed in ((fixed, None), (moving, inverse)):
        points = domain.grid_points().reshape(-1, dimension)
        values = blobs(points if to_fixed is None else transform_points(to_fixed, points), fixed)
        shape = domain.size[::-1]
        images.append(image_from_array(values.reshape(shape).astype(np.float32), domain))
    return ImagePair(fixed=(images[0],), moving=(images[1],)), truth


def distance(one: Any, other: Any, domain: ImageDomain) -> float:
    """Return how far two maps send points of a domain apart, voxels, at most."""
    points = domain.grid_points().reshape(-1, domain.dimension)[::17]
    apart = transform_points(one, points) - transform_points(other, points)
    return float(np.linalg.norm(apart, axis=1).max() / domain.voxel_size)


def start_of(monkeypatch: pytest.MonkeyPatch, transform: Any) -> None:
    """Let alignments find a transform."""
    monkeypatch.setattr(
        "itk_nephi.registration.problem.checked_initial_transform", lambda _: (transform, "")
    )


def shifted(truth: Any, domain: ImageDomain, voxels: float) -> Any:
    start = truth.Clone()
    start.SetTranslation((np.array(truth.GetTranslation()) + voxels * domain.voxel_size).tolist())
    return start


@pytest.mark.parametrize("kind", ["rigid", "affine"])
def test_a_map_nearby_is_found(dimension: int, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pair, truth = moved_pair(dimension, kind)
    domain = ImageDomain.of(pair.fixed_image)
    start = shifted(truth, domain, 0.8)
    start.SetMatrix(itk.matrix_from_array(matrix_of(dimension, "rigid")))
    start_of(monkeypatch, start)
    found = RegistrationProblem.prepare(
        [replace(pair, initial_transform=kind)], ON_LATTICE, CPU
    ).initial_transform
    assert distance(start, truth, domain) > 1
    assert distance(found, truth, domain) < 0.1
    if kind == "rigid":
        matrix, _ = matrix_and_offset(found)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(dimension), atol=1e-9)


def test_translations_stay_translations(dimension: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pair, truth = moved_pair(dimension, "affine")
    domain = ImageDomain.of(pair.fixed_image)
    start_of(monkeypatch, shifted(truth, domain, 0.5))
    found = RegistrationProblem.prepare(
        [replace(pair, initial_transform="translation")], ON_LATTICE, CPU
    ).initial_transform
    linear, _ = matrix_and_offset(found)
    np.testing.assert_allclose(linear, matrix_of(dimension, "affine"), atol=1e-9)
    assert distance(found, truth, domain) < 0.1


@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_the_unit_of_length_does_not_matter(
    dimension: int, unit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for scale in (1.0, unit):
        pair, truth = moved_pair(dimension, "affine", scale)
        domain = ImageDomain.of(pair.fixed_image)
        start_of(monkeypatch, shifted(truth, domain, 0.8))
        transform = RegistrationProblem.prepare(
            [replace(pair, initial_transform="affine")], ON_LATTICE, CPU
        ).initial_transform
        corners = domain.points_from_coords(np.eye(dimension))
        found.append(transform_points(transform, corners) / scale)
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)


def test_a_transform_of_the_user_is_left_as_it_is(dimension: int) -> None:
    pair, truth = moved_pair(dimension, "affine")
    start = shifted(truth, ImageDomain.of(pair.fixed_image), 0.8)
    problem = RegistrationProblem.prepare([replace(pair, initial_transform=start)], ON_LATTICE, CPU)
    assert problem.initial_transform is start


def test_other_similarities_do_not_refine(dimension: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pair, truth = moved_pair(dimension, "affine")
    start = shifted(truth, ImageDomain.of(pair.fixed_image), 0.8)
    start_of(monkeypatch, start)
    problem = RegistrationProblem.prepare([replace(pair, initial_transform="affine")], HASTY, CPU)
    assert problem.initial_transform is start


def test_what_shares_nothing_stays_nearby(dimension: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pair, truth = moved_pair(dimension, "affine")
    domain = ImageDomain.of(pair.moving_image)
    noise = np.random.default_rng(0).normal(size=domain.size[::-1]).astype(np.float32)
    start_of(monkeypatch, truth)
    found = RegistrationProblem.prepare(
        [replace(pair, moving=(image_from_array(noise, domain),), initial_transform="affine")],
        ON_LATTICE,
        CPU,
    ).initial_transform
    # a tenth of the longest edge, in the moving image, which is larger by 5 % along an axis
    edge = 2 * domain.scale / domain.voxel_size
    assert distance(found, truth, domain) < 0.105 * edge
