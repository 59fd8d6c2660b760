from dataclasses import replace
from typing import Any

import itk
import numpy as np
import pytest
import torch

from itk_nephi.phantoms.pairs import deformed_shape
from itk_nephi.registration.checks import (
    check_channels,
    checked_initial_transform,
    landmark_pairs,
)
from itk_nephi.spatial.conversion import displacement_field_transform, vector_image
from itk_nephi.spatial.domain import ImageDomain, image_from_array
from itk_nephi.spatial.transforms import compose

CPU = torch.device("cpu")


def shift(offset: Any) -> Any:
    transform = itk.TranslationTransform[itk.D, len(offset)].New()
    transform.SetOffset(list(map(float, offset)))
    return transform


def test_images_of_a_subject_lie_on_one_grid(image: Any, domain: ImageDomain) -> None:
    check_channels([image, image], "fixed")
    moved = replace(domain, origin=tuple(x + 1 for x in domain.origin))
    other = image_from_array(itk.array_from_image(image), moved)
    with pytest.raises(ValueError, match=r"images of fixed on the same grid, got fixed\[1\] on"):
        check_channels([image, other], "fixed")
    with pytest.raises(TypeError, match=r"expected moving\[1\] to be an itk.Image, got str"):
        check_channels([image, "b.mha"], "moving")


def test_landmarks_become_coords_the_moving_ones_seen_from_fixed(domain: ImageDomain) -> None:
    dimension = domain.dimension
    coords = np.random.default_rng(1).uniform(-0.5, 0.5, (2, 6, dimension))
    fixed, moving = domain.points_from_coords(coords[0]), domain.points_from_coords(coords[1])
    offset = np.arange(1.0, dimension + 1)
    pairs = landmark_pairs((fixed, moving + offset), domain, shift(-offset), 3.0, CPU)
    for found, expected in zip(pairs.coords, coords, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert pairs.scale == 3.0 / domain.scale
    assert torch.equal(pairs.weights, torch.ones(6))
    weights = [0, 1, 2, 3, 4, 5]
    pairs = landmark_pairs((fixed, moving, weights), domain, shift(-offset), 3.0, CPU)
    assert pairs.weights.tolist() == weights


def test_landmarks_that_are_none_are_refused() -> None:
    domain = ImageDomain((4, 5), (1.0, 1.0), (0.0, 0.0), ((1.0, 0.0), (0.0, 1.0)))
    points = np.ones((3, 2))
    for wrong, message in (
        ((points, points, [1, 2, -1]), "0 or more for each of 3 pairs"),
        ((points, points, [0, 0, 0]), "not all 0, got"),
        ((points, np.nan * points), "guide_landmarks to be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            landmark_pairs(wrong, domain, shift([0, 0]), 1.0, CPU)


def test_a_singular_initial_transform_is_refused() -> None:
    pair = deformed_shape(2, size=24, motion=2, seed=1).pair
    flat = itk.AffineTransform[itk.D, 2].New()
    flat.SetMatrix(itk.matrix_from_array(np.diag([1.0, 0.0])))
    nested = compose([itk.IdentityTransform[itk.D, 2].New(), flat])
    rounded = itk.AffineTransform[itk.D, 2].New()
    rounded.SetMatrix(itk.matrix_from_array(1e-3 * np.array([[0.1, 0.3], [0.3, 0.9]])))
    for transform in (flat, nested, rounded):
        with pytest.raises(ValueError, match="have an inverse, got one with a AffineTransform of"):
            checked_initial_transform(replace(pair, initial_transform=transform))


def test_an_initial_transform_that_is_not_finite_is_refused() -> None:
    pair = deformed_shape(2, size=24, motion=2, seed=1).pair
    turned = itk.AffineTransform[itk.D, 2].New()
    turned.SetMatrix(itk.matrix_from_array(np.array([[1.0, np.nan], [0.0, 1.0]])))
    splines = itk.BSplineTransform[itk.D, 2, 3].New()
    coefficients = splines.GetParameters()
    coefficients[3] = np.nan
    splines.SetParameters(coefficients)
    values = np.zeros((24, 24, 2))
    values[2, 3, 1] = np.inf
    field = displacement_field_transform(vector_image(values, pair.fixed_image, itk.D))
    for transform in (turned, shift([np.nan, 0]), splines, compose([shift([1, 0]), field])):
        with pytest.raises(ValueError, match=r"initial_transform to be finite, got a .* with NaN"):
            checked_initial_transform(replace(pair, initial_transform=transform))


def test_an_initial_transform_without_parts_is_refused() -> None:
    pair = deformed_shape(2, size=24, motion=2, seed=1).pair
    empty = itk.CompositeTransform[itk.D, 2].New()
    for transform in (empty, compose([empty])):
        with pytest.raises(ValueError, match="be a transform, got a composite of none"):
            checked_initial_transform(replace(pair, initial_transform=transform))


def test_a_small_initial_transform_is_not_a_singular_one() -> None:
    pair = deformed_shape(2, size=24, motion=2, seed=1).pair
    small = itk.AffineTransform[itk.D, 2].New()
    small.SetMatrix(itk.matrix_from_array(np.diag([1e-12, 1e-15])))
    assert checked_initial_transform(replace(pair, initial_transform=small))[0] is small
