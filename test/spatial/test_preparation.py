"""Images and masks are taken as they are meant, or refused in plain words."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations, product
from typing import Any

import itk
import numpy as np
import pytest
from support.domains import corner_indices

from itk_nephi.spatial.domain import ImageDomain, image_from_array
from itk_nephi.spatial.preparation import checked_image, checked_mask


def stored_in_every_way(image: Any) -> Iterator[Any]:
    """Yield the image with its axes permuted and flipped in memory, and its geometry to match."""
    domain = ImageDomain.of(image)
    axes = range(domain.dimension)
    values = itk.array_from_image(image).transpose()  # i first
    for order in permutations(axes):
        for flips in product((False, True), repeat=domain.dimension):
            stored = np.flip(values.transpose(order), tuple(a for a in axes if flips[a]))
            first = np.zeros(domain.dimension)
            for axis, flip in zip(order, flips, strict=True):
                first[axis] = domain.size[axis] - 1 if flip else 0
            direction = np.array(domain.direction)[:, order] * np.where(flips, -1.0, 1.0)
            yield image_from_array(
                stored.transpose(),
                ImageDomain(
                    size=tuple(domain.size[axis] for axis in order),
                    spacing=tuple(domain.spacing[axis] for axis in order),
                    origin=tuple(domain.points_from_index(first).tolist()),
                    direction=tuple(tuple(row) for row in direction.tolist()),
                ),
            )


def test_storage_does_not_matter(image: Any) -> None:
    expected = checked_image(image, "fixed")
    domain = ImageDomain.of(expected)
    mask = checked_mask(
        image_from_array((itk.array_from_image(image) > 0).astype(np.uint8), domain),
        *("fixed_mask", image, "fixed"),
    )
    ways = list(stored_in_every_way(image))
    assert len(ways) == {2: 8, 3: 48}[domain.dimension]
    for stored in ways:
        checked = checked_image(stored, "fixed")
        np.testing.assert_array_equal(checked, expected)
        np.testing.assert_allclose(ImageDomain.of(checked).origin, domain.origin, atol=1e-12)
        np.testing.assert_array_equal(ImageDomain.of(checked).direction, domain.direction)
        assert ImageDomain.of(checked).spacing == domain.spacing
        values = (itk.array_from_image(stored) > 0).astype(np.uint8)
        stored_mask = image_from_array(values, ImageDomain.of(stored))
        checked = checked_mask(stored_mask, "fixed_mask", stored, "fixed")
        np.testing.assert_array_equal(checked, mask)


def test_the_same_point_has_the_same_value_in_canonical_order(image: Any) -> None:
    for stored in stored_in_every_way(image):
        checked = checked_image(stored, "fixed")
        for index in corner_indices(ImageDomain.of(stored)).tolist():
            point = stored.TransformIndexToPhysicalPoint(index)
            found = checked.TransformPhysicalPointToIndex(point)
            assert checked.GetPixel(found) == stored.GetPixel(index)


@pytest.mark.parametrize("pixel", ["uint8", "int16", "uint16", "float32", "float64"])
def test_every_scalar_pixel_type_becomes_float(image: Any, pixel: str) -> None:
    values = (50 * np.abs(itk.array_from_image(image))).astype(pixel)
    checked = checked_image(image_from_array(values, ImageDomain.of(image)), "fixed")
    assert isinstance(checked, itk.Image[itk.F, values.ndim])
    np.testing.assert_array_equal(checked, values.astype(np.float32))


@pytest.mark.parametrize("pixel", ["uint8", "int16", "float32"])
def test_every_scalar_pixel_type_becomes_a_mask_of_0_and_1(image: Any, pixel: str) -> None:
    values = np.rint(3 * np.abs(itk.array_from_image(image))).astype(pixel)
    mask = image_from_array(values, ImageDomain.of(image))
    checked = checked_mask(mask, "fixed_mask", image, "fixed")
    assert isinstance(checked, itk.Image[itk.UC, values.ndim])
    np.testing.assert_array_equal(checked, values != 0)


def test_float_values_below_1_make_a_soft_mask(image: Any) -> None:
    domain = ImageDomain.of(image)
    values = np.random.default_rng(2).uniform(size=domain.size[::-1]).astype(np.float32)
    values[..., 0] = 0
    expected = checked_image(image_from_array(values, domain), "fixed")
    checked = checked_mask(image_from_array(values, domain), "fixed_mask", image, "fixed")
    assert isinstance(checked, itk.Image[itk.F, values.ndim])
    np.testing.assert_array_equal(checked, expected)
    for wrong in (1.5, -0.1):
        values.flat[-1] = wrong
        with pytest.raises(ValueError, match="fixed_mask to be from 0 to 1 where it is soft, got"):
            checked_mask(image_from_array(values, domain), "fixed_mask", image, "fixed")


def test_what_is_no_image_is_refused(image: Any) -> None:
    with pytest.raises(TypeError, match=r"expected moving to be an itk\.Image, got ndarray"):
        checked_image(np.zeros((5, 5)), "moving")
    with pytest.raises(TypeError, match=r"expected fixed_mask to be an itk\.Image, got str"):
        checked_mask("mask.mha", "fixed_mask", image, "fixed")


def test_pixels_that_are_not_scalars_are_refused(domain: ImageDomain) -> None:
    values = np.zeros((*reversed(domain.size), 2), np.float32)
    vectors = itk.image_from_array(values, is_vector=True)
    with pytest.raises(TypeError, match="expected fixed to have scalar pixels, got 2 components"):
        checked_image(vectors, "fixed")


def test_an_image_of_four_dimensions_or_of_one_slice_is_refused() -> None:
    with pytest.raises(ValueError, match="moving: expected an image in 2 or 3 dimensions, got 4"):
        checked_image(itk.image_from_array(np.zeros((3, 3, 3, 3), np.float32)), "moving")
    with pytest.raises(ValueError, match="fixed: expected at least two voxels on every axis"):
        checked_image(itk.image_from_array(np.zeros((1, 3, 3), np.float32)), "fixed")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_not_finite_are_refused(image: Any, bad: float) -> None:
    values = itk.array_from_image(image)
    values.flat[[3, 5]] = bad
    with pytest.raises(ValueError, match="expected moving to be finite, got 2 NaN or infinite"):
        checked_image(image_from_array(values, ImageDomain.of(image)), "moving")


def test_a_constant_image_is_refused(domain: ImageDomain) -> None:
    image = image_from_array(np.full(domain.size[::-1], 7, np.int16), domain)
    with pytest.raises(ValueError, match="expected fixed to have contrast, got 7 in every voxel"):
        checked_image(image, "fixed")


@pytest.mark.parametrize(("kind", "noise"), [(np.float32, 1e-6), (np.float64, 1e-14)])
def test_rounding_is_no_contrast(domain: ImageDomain, kind: type, noise: float) -> None:
    values = 5 + noise * np.random.default_rng(0).random(domain.size[::-1])
    image = image_from_array(values.astype(kind), domain)
    with pytest.raises(ValueError, match="contrast, got 5 in every voxel but for rounding"):
        checked_image(image, "fixed")
    checked_image(image_from_array((5 + 100 * (values - 5)).astype(kind), domain), "fixed")


def test_an_empty_mask_is_refused(image: Any, domain: ImageDomain) -> None:
    mask = image_from_array(np.zeros(domain.size[::-1], np.uint8), domain)
    with pytest.raises(ValueError, match=r"expected fixed_mask to have .* got an empty mask"):
        checked_mask(mask, "fixed_mask", image, "fixed")


def test_a_mask_on_another_grid_is_refused(image: Any, domain: ImageDomain) -> None:
    values = np.ones(domain.size[::-1], np.uint8)
    elsewhere = replace(domain, origin=tuple(x + 1 for x in domain.origin))
    mask = image_from_array(values, elsewhere)
    with pytest.raises(
        ValueError, match="expected moving_mask to lie on the grid of moving, got another: origin"
    ):
        checked_mask(mask, "moving_mask", image, "moving")
    other = itk.image_from_array(np.ones((4,) * (5 - domain.dimension), np.uint8))
    with pytest.raises(ValueError, match="expected moving_mask to lie on the grid of moving"):
        checked_mask(other, "moving_mask", image, "moving")


def test_a_large_image_and_its_mask_are_averaged_alike(image: Any) -> None:
    domain = ImageDomain.of(image)
    inside = (itk.array_from_image(image) > 0).astype(np.uint8)
    mask = image_from_array(inside, domain)
    few = np.prod(domain.size) // 3
    for stored in stored_in_every_way(image):
        averaged = checked_image(stored, "fixed", few)
        assert np.asarray(averaged).size <= few
        np.testing.assert_allclose(averaged, checked_image(image, "fixed", few), rtol=1e-5)
    averaged_mask = checked_mask(mask, "fixed_mask", image, "fixed", few)
    assert ImageDomain.of(averaged_mask).matches(ImageDomain.of(averaged))
    values = np.asarray(averaged_mask)
    assert values.min() >= 0
    assert values.max() <= 1
    assert ((values > 0) & (values < 1)).any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_mask_that_is_not_finite_is_refused(image: Any, value: float) -> None:
    values = np.ones(itk.array_from_image(image).shape, np.float32)
    values[1] = value
    mask = image_from_array(values, ImageDomain.of(image))
    with pytest.raises(ValueError, match=r"expected fixed_mask to be finite, got \d+ NaN or inf"):
        checked_mask(mask, "fixed_mask", image, "fixed")


def test_rounding_of_a_mask_is_no_fault(image: Any) -> None:
    values = np.zeros(itk.array_from_image(image).shape, np.float32)
    values[1:3] = 1.0000001
    hard = checked_mask(image_from_array(values, ImageDomain.of(image)), "m", image, "fixed")
    assert np.unique(itk.array_from_image(hard)).tolist() == [0, 1]
    values[0], values[2] = -1e-7, 0.5
    soft = checked_mask(image_from_array(values, ImageDomain.of(image)), "m", image, "fixed")
    assert np.unique(itk.array_from_image(soft)).tolist() == [0, 0.5, 1]
    values[0] = 1.1
    with pytest.raises(ValueError, match="from 0 to 1 where it is soft"):
        checked_mask(image_from_array(values, ImageDomain.of(image)), "m", image, "fixed")


@pytest.mark.parametrize("weight", [1, 0.5])
def test_a_mask_of_which_averages_leave_nothing_is_refused(weight: float) -> None:
    values = np.zeros((33, 33), np.float32)
    values[:, -1] = weight
    mask = itk.image_from_array(values)
    checked_mask(mask, "fixed_mask", mask, "fixed")
    with pytest.raises(ValueError, match=r"fixed_mask to have .* averaged, .* larger working_vox"):
        checked_mask(mask, "fixed_mask", mask, "fixed", 1000)
