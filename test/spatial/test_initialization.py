from dataclasses import replace
from typing import Any

import itk
import numpy as np
import pytest

from itk_nephi.phantoms.pairs import lung
from itk_nephi.spatial.domain import Array, ImageDomain, image_from_array
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.initialization import compute_initial_transform


def translation(offset: Any) -> Any:
    transform = itk.TranslationTransform[itk.D, len(offset)].New()
    transform.SetOffset([float(x) for x in offset])
    return transform


def affine(domain: ImageDomain, offset: Any) -> Any:
    """An affine transform about the domain's center."""
    dimension = domain.dimension
    change = np.random.default_rng(1).uniform(-0.08, 0.08, (dimension, dimension))
    transform = itk.AffineTransform[itk.D, dimension].New()
    transform.SetMatrix(itk.matrix_from_array(np.eye(dimension) + change))
    transform.SetCenter(domain.center.tolist())
    transform.SetTranslation([float(x) for x in offset])
    return transform


def moved(transform: Any, points: Array) -> Array:
    return np.array([transform.TransformPoint(point) for point in points.tolist()])


@pytest.fixture(scope="module", params=[2, 3], ids=["2D", "3D"])
def chest(request: pytest.FixtureRequest) -> ImagePair:
    """Voxels of 6 to 10 mm."""
    size = {2: (48, 40), 3: (36, 30, 28)}[request.param]
    return lung(request.param, size=size, motion=0, noise=5).pair


def resampled(image: Any, transform: Any, domain: ImageDomain) -> Any:
    """Return the image that ``transform`` maps the given one to, on a domain."""
    values = np.zeros(domain.size[::-1], np.float32)
    return itk.resample_image_filter(
        image,
        transform=transform.GetInverseTransform(),
        use_reference_image=True,
        reference_image=image_from_array(values, domain),
        default_pixel_value=-1000.0,
    )


@pytest.mark.parametrize("truth", ["translation", "affine"])
def test_images_far_apart_are_brought_home(chest: ImagePair, truth: str) -> None:
    offset = np.array([60.0, -45.0, 80.0])[: chest.fixed_image.GetImageDimension()]
    domain = ImageDomain.of(chest.fixed_image)
    transform = translation(offset) if truth == "translation" else affine(domain, offset)
    elsewhere = ImageDomain.of(chest.moving_image)
    elsewhere = replace(elsewhere, origin=tuple(elsewhere.origin + offset))
    moving = resampled(chest.fixed_image, transform, elsewhere)
    points = domain.grid_points()[itk.array_from_image(chest.fixed_mask) > 0][::7]
    expected = moved(transform, points)
    assert np.linalg.norm(expected - points, axis=1).min() > 60
    found = compute_initial_transform("affine", chest.fixed_image, moving)
    errors = np.linalg.norm(moved(found, points) - expected, axis=1)
    # a quarter and half of a voxel
    assert errors.mean() < 1.5
    assert errors.max() < 4.0


def test_masks_say_where_to_look(chest: ImagePair) -> None:
    domain = ImageDomain.of(chest.fixed_image)
    offset = np.array([12.0, -9.0, 15.0])[: domain.dimension]
    elsewhere = replace(domain, origin=tuple(domain.origin + offset))
    moving = image_from_array(itk.array_from_image(chest.fixed_image), elsewhere)
    mask = itk.array_from_image(chest.fixed_mask)
    values = itk.array_from_image(moving)
    # what lies outside the mask does not move along
    values[mask == 0] = itk.array_from_image(chest.fixed_image)[::-1][mask == 0]
    found = compute_initial_transform(
        "affine",
        chest.fixed_image,
        image_from_array(values, elsewhere),
        chest.fixed_mask,
        image_from_array(mask, elsewhere),
    )
    points = domain.grid_points()[mask > 0][::7]
    errors = np.linalg.norm(moved(found, points) - points - offset, axis=1)
    assert errors.mean() < 1.5


def test_the_same_images_give_the_same_bits(chest: ImagePair) -> None:
    found = [
        compute_initial_transform("affine", chest.fixed_image, chest.moving_image) for _ in range(3)
    ]
    assert len({tuple(transform.GetParameters()) for transform in found}) == 1


def test_the_identity_moves_nothing(image: Any) -> None:
    found = compute_initial_transform("identity", image, image)
    assert list(found.GetOffset()) == [0.0] * image.GetImageDimension()


def test_geometry_brings_the_centers_together(image: Any, domain: ImageDomain) -> None:
    other = replace(
        domain, size=tuple(n + 3 for n in domain.size), spacing=(1.5,) * len(domain.size)
    )
    values = np.arange(np.prod(other.size), dtype=np.float32).reshape(other.size[::-1])
    moving = image_from_array(values, other)
    found = compute_initial_transform("geometry", image, moving)
    np.testing.assert_allclose(moved(found, domain.center[None])[0], other.center, atol=1e-9)


def test_moments_bring_the_centroids_together(domain: ImageDomain) -> None:
    index, other_index = [2, 5, 3][: domain.dimension], [7, 1, 1][: domain.dimension]
    images, masks = [], []
    for place in (index, other_index):
        values = np.full(domain.size[::-1], -1000, np.float32)
        values[tuple(reversed(place))] = 500
        images.append(image_from_array(values, domain))
        masks.append(image_from_array((values > 0).astype(np.uint8), domain))
    expected = domain.points_from_index(other_index) - domain.points_from_index(index)
    found = compute_initial_transform("moments", images[0], images[1])
    np.testing.assert_allclose(np.array(found.GetOffset()), expected, atol=1e-9)
    # with both masks, the intensities do not count
    found = compute_initial_transform("moments", images[1], images[0], masks[0], masks[1])
    np.testing.assert_allclose(np.array(found.GetOffset()), expected, atol=1e-9)
    found = compute_initial_transform("moments", images[0], images[1], masks[1])
    np.testing.assert_allclose(np.array(found.GetOffset()), expected, atol=1e-9)


def test_an_unknown_kind_is_refused(image: Any) -> None:
    message = (
        "expected initial_transform to be one of identity, geometry, moments, affine, got 'rigid'"
    )
    with pytest.raises(ValueError, match=message):
        compute_initial_transform("rigid", image, image)


def test_masks_that_no_translation_brings_together_are_refused() -> None:
    section = lung(2, size=(48, 40), motion=0).pair
    distance = np.linalg.norm(np.indices((40, 48)).T - [20, 24], axis=-1).T
    ring, middle = ((distance > 16) & (distance < 18)), distance < 3
    domain = ImageDomain.of(section.fixed_image)
    masks = [image_from_array(mask.astype(np.uint8), domain) for mask in (ring, middle)]
    with pytest.raises(ValueError, match="expected images and masks that overlap"):
        compute_initial_transform(
            "affine", section.fixed_image, section.fixed_image, masks[0], masks[1]
        )


def test_a_moving_image_much_smaller_than_the_fixed_one_is_found(chest: ImagePair) -> None:
    domain = ImageDomain.of(chest.fixed_image)
    dimension = domain.dimension
    start, size = [n // 4 for n in domain.size], [n // 2 for n in domain.size]
    region = itk.ImageRegion[dimension](start, size)
    part = itk.region_of_interest_image_filter(chest.fixed_image, region_of_interest=region)
    found = compute_initial_transform("affine", chest.fixed_image, part)
    points = ImageDomain.of(part).grid_points().reshape(-1, dimension)[::7]
    errors = np.linalg.norm(moved(found, points) - points, axis=1)
    assert errors.mean() < 3.0
