from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import itk
import numpy as np
import pytest

from itk_nephi.alignment.initialization import compute_initial_transform
from itk_nephi.spatial.domain import ImageDomain, image_like
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import transform_points
from itk_nephi.workflows.method_input import MethodInput

flat = pytest.mark.parametrize("dimension", [2], ids=["2D"])


@flat
def test_methods_other_than_nephi_say_that_they_want_a_linear_start(pair: ImagePair) -> None:
    initial_transform = itk.BSplineTransform[itk.D, 2, 3].New()
    task = MethodInput(pair=replace(pair, initial_transform=initial_transform), folder=Path())
    with pytest.raises(ValueError, match=r"expected a linear initial transform .*BSpline"):
        task.initial_affine()


@flat
def test_methods_see_nothing_that_judges_them(pair: ImagePair, tmp_path: Path) -> None:
    landmarks = pair.evaluation_landmarks
    seen = MethodInput(pair=replace(pair, guide_landmarks=landmarks), folder=tmp_path).pair
    assert seen.labels is seen.evaluation_landmarks is seen.guide_landmarks is None
    assert seen.fixed is pair.fixed
    assert seen.moving_mask is pair.moving_mask
    assert seen.initial_transform == "moments"


def test_every_method_starts_where_nephi_does(pair: ImagePair, tmp_path: Path) -> None:
    fixed, moving = pair.fixed_image, pair.moving_image
    points = ImageDomain.of(fixed).grid_points().reshape(-1, pair.dimension)
    for kind in ("geometry", "moments", None):
        task = MethodInput(pair=replace(pair, initial_transform=kind), folder=tmp_path)
        expected = compute_initial_transform(
            kind or "identity", fixed, moving, pair.fixed_mask, pair.moving_mask
        )
        np.testing.assert_allclose(
            transform_points(task.initial_affine(), points),
            transform_points(expected, points),
            atol=1e-9,
        )


def test_images_are_of_float_and_masks_of_0_and_1(pair: ImagePair, tmp_path: Path) -> None:
    soft = image_like(pair.fixed_mask, 0.25 * itk.array_from_image(pair.fixed_mask))
    whole = image_like(pair.moving_image, np.asarray(pair.moving_image).astype(np.int16))
    changed = replace(pair, fixed_mask=soft, moving=(whole,), moving_mask=None)
    task = MethodInput(pair=changed, folder=tmp_path)
    for image, given in zip(task.images, (pair.fixed_image, whole), strict=True):
        assert np.asarray(image).dtype == np.float32
        np.testing.assert_array_equal(image, given)
        assert ImageDomain.of(image) == ImageDomain.of(given)
    mask, none = task.masks
    assert none is None
    assert np.asarray(mask).dtype == np.uint8
    np.testing.assert_array_equal(mask, pair.fixed_mask)
