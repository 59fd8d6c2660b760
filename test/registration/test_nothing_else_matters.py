"""Units of length and of intensity, and what lies outside masks, do not change a result."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from itk_nephi.fields.settings import FieldSettings
from itk_nephi.losses.settings import SIMILARITIES
from itk_nephi.phantoms.pairs import deformed_shape
from itk_nephi.registration.pairwise import register
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import ImageDomain, image_from_array
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import transform_points

SETTINGS = RegistrationSettings(
    field=FieldSettings(width=8, frequencies=4, global_code=2, local_channels=2, local_grid=4),
    smoothing_sigmas=(2.0, 1.0),
    steps=12,
    points=300,
    regularizer_points=40,
)


@pytest.fixture(scope="module")
def shape() -> ImagePair:
    return deformed_shape(2, size=32, motion=2, seed=1).pair


def array(image: Any) -> np.ndarray:
    return itk.array_view_from_image(image).astype(np.float64)


def registered(fixed: Any, moving: Any, **options: Any) -> Any:
    given = {"settings": SETTINGS, "initial_transform": None, "seed": 3} | options
    return register(fixed, moving, **given).fixed_to_moving


def parameters(transform: Any) -> bytes:
    return np.array(transform.GetParameters()).tobytes()


def settings_of(similarity: Any) -> RegistrationSettings:
    if similarity == "windowed_ncc":
        return RegistrationSettings.preset("fast")
    return replace(SETTINGS, similarity=similarity)


def view(image: Any) -> np.ndarray:
    place = np.indices(array(image).shape) - np.array(array(image).shape)[:, None, None] / 2
    return (place**2).sum(axis=0) < 13**2


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_what_lies_outside_masks_changes_no_bit(shape: ImagePair, similarity: str) -> None:
    settings = settings_of(similarity)
    if similarity != "windowed_ncc":
        settings = replace(settings, importance_sampling=0.3)
    masks = [
        image_from_array(view(i).astype(np.uint8), ImageDomain.of(i)) for i in shape.images.values()
    ][:2]
    results = []
    for outside in (0.0, -2000.0, 1e20, np.nan, np.inf):
        images = [
            image_from_array(
                np.where(view(image), array(image), outside).astype(np.float32),
                ImageDomain.of(image),
            )
            for image in (shape.fixed_image, shape.moving_image)
        ]
        results.append(
            parameters(
                registered(*images, fixed_mask=masks[0], moving_mask=masks[1], settings=settings)
            )
        )
    assert len(set(results)) == 1


def test_averaged_images_do_not_see_outside_either(shape: ImagePair) -> None:
    settings = replace(SETTINGS, working_voxels=300)
    domain = ImageDomain.of(shape.fixed_image)
    masks = {
        "fixed_mask": image_from_array(view(shape.fixed_image).astype(np.uint8), domain),
        "moving_mask": image_from_array(np.ones(domain.size[::-1], np.uint8), domain),
    }
    results = set()
    for outside in (0.0, 1e20, np.nan):
        values = np.where(view(shape.fixed_image), array(shape.fixed_image), outside)
        fixed = image_from_array(values.astype(np.float32), domain)
        found = registered(fixed, shape.moving_image, **masks, settings=settings)
        results.add(parameters(found))
    assert len(results) == 1


def test_with_one_mask_extreme_intensities_outside_do_not_matter(shape: ImagePair) -> None:
    domain = ImageDomain.of(shape.fixed_image)
    mask = image_from_array(view(shape.fixed_image).astype(np.uint8), domain)
    results = set()
    for outside in (-1e9, 1e20, np.nan):
        values = np.where(view(shape.fixed_image), array(shape.fixed_image), outside)
        fixed = image_from_array(values.astype(np.float32), domain)
        found = registered(fixed, shape.moving_image, fixed_mask=mask, settings=SETTINGS)
        results.add(parameters(found))
    assert len(results) == 1


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize(
    ("scale", "offset"), [(1e15, 0.0), (1e-12, 0.0), (1e290, 0.0), (1.0, 1e10)]
)
def test_extreme_intensities_move_as_usual_ones(
    shape: ImagePair, similarity: str, scale: float, offset: float
) -> None:
    settings = settings_of(similarity)
    points = ImageDomain.of(shape.fixed_image).grid_points().reshape(-1, 2)[::7]
    moved = []
    for a, b in ((1.0, 0.0), (scale, offset)):
        images = [
            image_from_array(a * array(image) + b, ImageDomain.of(image))
            for image in (shape.fixed_image, shape.moving_image)
        ]
        moved.append(transform_points(registered(*images, settings=settings), points))
    assert np.linalg.norm(moved[0] - points, axis=1).max() > 0.2
    np.testing.assert_allclose(moved[1], moved[0], atol=0.02)


@pytest.mark.parametrize("unit", [1e-3, 25.4])
@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_lengths_in_another_unit_give_the_same_in_voxels(
    shape: ImagePair, similarity: str, unit: float
) -> None:
    landmarks = shape.evaluation_landmarks
    settings = settings_of(similarity)
    moved = []
    for scale in (1.0, unit):
        images = []
        for image in (shape.fixed_image, shape.moving_image):
            domain = ImageDomain.of(image)
            domain = replace(
                domain,
                spacing=tuple(s * scale for s in domain.spacing),
                origin=tuple(x * scale for x in domain.origin),
            )
            images.append(image_from_array(array(image), domain))
        guide = None if landmarks is None else [points * scale for points in landmarks]
        transform = registered(*images, guide_landmarks=guide, settings=settings)
        points = ImageDomain.of(images[0]).grid_points().reshape(-1, 2)[::7]
        moved.append((transform_points(transform, points) - points) / scale)
    assert np.linalg.norm(moved[0], axis=1).max() > 0.2
    np.testing.assert_allclose(moved[1], moved[0], atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.0035, 0.02])
def test_hot_voxels_do_not_hide_the_image(shape: ImagePair, share: float) -> None:
    points = ImageDomain.of(shape.fixed_image).grid_points().reshape(-1, 2)[::7]
    moved = []
    for hot in (False, True):
        values = array(shape.fixed_image).copy()
        if hot:
            is_hot = np.random.default_rng(0).random(values.shape) < share
            is_hot[5, 5] = True
            values[is_hot] = 1e6
        fixed = image_from_array(values, ImageDomain.of(shape.fixed_image))
        moved.append(transform_points(registered(fixed, shape.moving_image), points))
    assert np.linalg.norm(moved[1] - moved[0], axis=1).mean() < 0.3
