from dataclasses import replace
from typing import Any

import itk
import numpy as np
import pytest

from itk_nephi.alignment.initialization import compute_initial_transform
from itk_nephi.phantoms.pairs import lung
from itk_nephi.spatial.domain import Array, ImageDomain, image_from_array
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.initialization import TRANSLATIONS, compute_translation


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


def test_images_far_apart_are_brought_home(chest: ImagePair) -> None:
    offset = np.array([60.0, -45.0, 80.0])[: chest.fixed_image.GetImageDimension()]
    domain = ImageDomain.of(chest.fixed_image)
    transform = affine(domain, offset)
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


def test_other_kinds_bring_the_images_together_without_comparing_them(chest: ImagePair) -> None:
    for kind in TRANSLATIONS:
        expected = compute_translation(kind, chest.fixed_image, chest.moving_image)
        for images in (
            (chest.fixed_image, chest.moving_image),
            ([chest.fixed_image] * 2, [chest.moving_image] * 2),
        ):
            found = compute_initial_transform(kind, *images)
            assert list(found.GetParameters()) == list(expected.GetParameters())


def test_doubts_are_warned_of(dimension: int) -> None:
    squares = sum((axis - 10.0) ** 2 for axis in np.indices((21,) * dimension))
    ball = itk.image_from_array(np.exp(-squares / 18).astype(np.float32))
    elsewhere = itk.image_duplicator(ball)
    elsewhere.SetOrigin([40.0] * dimension)
    with pytest.warns(UserWarning, match="ambiguous"):
        compute_initial_transform("rigid", ball, elsewhere)
    # where the images lie decides
    compute_initial_transform("rigid", ball, ball)


def test_an_unknown_kind_is_refused(image: Any) -> None:
    kinds = "identity, geometry, moments, translation, rigid, similarity, affine"
    with pytest.raises(ValueError, match=f"one of {kinds}, got 'afine'"):
        compute_initial_transform("afine", image, image)
