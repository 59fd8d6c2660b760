from dataclasses import replace
from typing import Any

import itk
import numpy as np
import pytest
import torch

from itk_nephi.composite import flat_transforms
from itk_nephi.domain import Array, ImageDomain, image_from_array
from itk_nephi.image import SampledImage
from itk_nephi.initial import initial_transform, inverse_transforms, space_map
from itk_nephi.phantom import Phantom, lung


def translation(offset: Any) -> Any:
    transform = itk.TranslationTransform[itk.D, len(offset)].New()
    transform.SetOffset([float(x) for x in offset])
    return transform


def affine(domain: ImageDomain, offset: Any, amount: float = 0.08) -> Any:
    """An affine transform about the domain's centre."""
    dimension = domain.dimension
    change = np.random.default_rng(1).uniform(-amount, amount, (dimension, dimension))
    transform = itk.AffineTransform[itk.D, dimension].New()
    transform.SetMatrix(itk.matrix_from_array(np.eye(dimension) + change))
    transform.SetCenter(domain.centre.tolist())
    transform.SetTranslation([float(x) for x in offset])
    return transform


def b_spline(domain: ImageDomain, amount: float = 0.5) -> Any:
    """Moves points by up to about ``amount`` mm; ITK has no inverse of it."""
    dimension = domain.dimension
    transform = itk.BSplineTransform[itk.D, dimension, 3].New()
    transform.SetTransformDomainOrigin((domain.centre - 2 * domain.scale).tolist())
    transform.SetTransformDomainPhysicalDimensions([4 * domain.scale] * dimension)
    transform.SetTransformDomainMeshSize([6] * dimension)
    parameters = np.random.default_rng(2).uniform(
        -amount, amount, transform.GetNumberOfParameters()
    )
    transform.SetParameters(itk.OptimizerParameters[itk.D](parameters.tolist()))
    return transform


def composite(*last_to_first: Any) -> Any:
    """Chain transforms; the last one is applied first."""
    result = itk.CompositeTransform[itk.D, last_to_first[0].GetInputSpaceDimension()].New()
    for transform in last_to_first:
        result.AddTransform(transform)
    return result


def moved(transform: Any, points: Array) -> Array:
    return np.array([transform.TransformPoint(point) for point in points.tolist()])


def points_in(domain: ImageDomain, count: int = 60) -> Array:
    relative = np.random.default_rng(count).uniform(-1, 1, (count, domain.dimension))
    return domain.points_from_coords(relative * domain.bounds)


def kinds_of_transforms(domain: ImageDomain) -> dict[str, Any]:
    offset = [2.0, -1.0, 3.0][: domain.dimension]
    return {
        "translation": translation(offset),
        "affine": affine(domain, offset),
        "b-spline": b_spline(domain),
        "composite": composite(affine(domain, offset), b_spline(domain)),
        "nested": composite(
            translation(offset),
            composite(b_spline(domain), composite(affine(domain, offset), translation(offset))),
        ),
    }


KINDS = pytest.mark.parametrize(
    "kind", ["translation", "affine", "b-spline", "composite", "nested"]
)


@pytest.fixture(scope="module", params=[2, 3], ids=["2D", "3D"])
def chest(request: pytest.FixtureRequest) -> Phantom:
    """Voxels of 6 to 10 mm."""
    size = {2: (48, 40), 3: (36, 30, 28)}[request.param]
    return lung(request.param, size=size, motion=0, noise=5)


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
def test_images_far_apart_are_brought_home(chest: Phantom, truth: str) -> None:
    offset = np.array([60.0, -45.0, 80.0])[: chest.fixed.GetImageDimension()]
    domain = ImageDomain.of(chest.fixed)
    transform = translation(offset) if truth == "translation" else affine(domain, offset)
    elsewhere = ImageDomain.of(chest.moving)
    elsewhere = replace(elsewhere, origin=tuple(elsewhere.origin + offset))
    moving = resampled(chest.fixed, transform, elsewhere)
    points = domain.grid_points()[itk.array_from_image(chest.fixed_mask) > 0][::7]
    expected = moved(transform, points)
    assert np.linalg.norm(expected - points, axis=1).min() > 60
    found = initial_transform("affine", chest.fixed, moving)
    errors = np.linalg.norm(moved(found, points) - expected, axis=1)
    # a quarter and half of a voxel
    assert errors.mean() < 1.5
    assert errors.max() < 4.0


def test_masks_say_where_to_look(chest: Phantom) -> None:
    domain = ImageDomain.of(chest.fixed)
    offset = np.array([12.0, -9.0, 15.0])[: domain.dimension]
    elsewhere = replace(domain, origin=tuple(domain.origin + offset))
    moving = image_from_array(itk.array_from_image(chest.fixed), elsewhere)
    mask = itk.array_from_image(chest.fixed_mask)
    values = itk.array_from_image(moving)
    # what lies outside the mask does not move along
    values[mask == 0] = itk.array_from_image(chest.fixed)[::-1][mask == 0]
    found = initial_transform(
        "affine",
        chest.fixed,
        image_from_array(values, elsewhere),
        chest.fixed_mask,
        image_from_array(mask, elsewhere),
    )
    points = domain.grid_points()[mask > 0][::7]
    errors = np.linalg.norm(moved(found, points) - points - offset, axis=1)
    assert errors.mean() < 1.5


def test_the_same_images_give_the_same_bits(chest: Phantom) -> None:
    found = [initial_transform("affine", chest.fixed, chest.moving) for _ in range(3)]
    assert len({tuple(transform.GetParameters()) for transform in found}) == 1


def test_the_identity_moves_nothing(image: Any) -> None:
    found = initial_transform("identity", image, image)
    assert list(found.GetOffset()) == [0.0] * image.GetImageDimension()


def test_geometry_brings_the_centres_together(image: Any, domain: ImageDomain) -> None:
    other = replace(
        domain, size=tuple(n + 3 for n in domain.size), spacing=(1.5,) * len(domain.size)
    )
    values = np.arange(np.prod(other.size), dtype=np.float32).reshape(other.size[::-1])
    moving = image_from_array(values, other)
    found = initial_transform("geometry", image, moving)
    np.testing.assert_allclose(moved(found, domain.centre[None])[0], other.centre, atol=1e-9)


def test_moments_bring_the_centroids_together(domain: ImageDomain) -> None:
    index, other_index = [2, 5, 3][: domain.dimension], [7, 1, 1][: domain.dimension]
    images, masks = [], []
    for place in (index, other_index):
        values = np.full(domain.size[::-1], -1000, np.float32)
        values[tuple(reversed(place))] = 500
        images.append(image_from_array(values, domain))
        masks.append(image_from_array((values > 0).astype(np.uint8), domain))
    expected = domain.points_from_index(other_index) - domain.points_from_index(index)
    found = initial_transform("moments", images[0], images[1])
    np.testing.assert_allclose(np.array(found.GetOffset()), expected, atol=1e-9)
    # with both masks, the intensities do not count
    found = initial_transform("moments", images[1], images[0], masks[0], masks[1])
    np.testing.assert_allclose(np.array(found.GetOffset()), expected, atol=1e-9)
    found = initial_transform("moments", images[0], images[1], masks[1])
    np.testing.assert_allclose(np.array(found.GetOffset()), expected, atol=1e-9)


def test_an_unknown_kind_is_refused(image: Any) -> None:
    message = "expected initial to be one of identity, geometry, moments, affine, got 'rigid'"
    with pytest.raises(ValueError, match=message):
        initial_transform("rigid", image, image)


def test_masks_that_no_translation_brings_together_are_refused() -> None:
    section = lung(2, size=(48, 40), motion=0)
    distance = np.linalg.norm(np.indices((40, 48)).T - [20, 24], axis=-1).T
    ring, middle = ((distance > 16) & (distance < 18)), distance < 3
    domain = ImageDomain.of(section.fixed)
    masks = [image_from_array(mask.astype(np.uint8), domain) for mask in (ring, middle)]
    with pytest.raises(ValueError, match="expected images and masks that overlap"):
        initial_transform("affine", section.fixed, section.fixed, masks[0], masks[1])


def test_a_moving_image_much_smaller_than_the_fixed_one_is_found(chest: Phantom) -> None:
    domain = ImageDomain.of(chest.fixed)
    dimension = domain.dimension
    start, size = [n // 4 for n in domain.size], [n // 2 for n in domain.size]
    region = itk.ImageRegion[dimension](start, size)
    part = itk.region_of_interest_image_filter(chest.fixed, region_of_interest=region)
    found = initial_transform("affine", chest.fixed, part)
    points = points_in(ImageDomain.of(part))
    errors = np.linalg.norm(moved(found, points) - points, axis=1)
    assert errors.mean() < 3.0


@KINDS
def test_a_composite_is_flattened_in_the_order_of_application(
    domain: ImageDomain, kind: str
) -> None:
    transform = kinds_of_transforms(domain)[kind]
    parts = flat_transforms(transform)
    assert len(parts) == {"composite": 2, "nested": 4}.get(kind, 1)
    assert not any("Composite" in part.GetNameOfClass() for part in parts)
    points = points_in(domain)
    expected = moved(transform, points)
    for part in parts:
        points = moved(part, points)
    np.testing.assert_allclose(points, expected, atol=1e-12)


@KINDS
def test_inverse_transforms_undo_a_transform(domain: ImageDomain, kind: str) -> None:
    transform = kinds_of_transforms(domain)[kind]
    points = points_in(domain)
    there = moved(transform, points)
    assert np.abs(there - points).max() > 0.2
    image_domain = replace(domain, origin=tuple(there[0] - points[0] + domain.origin))
    for inverse in inverse_transforms(transform, domain, image_domain):
        there = moved(inverse, there)
    exact = kind in ("translation", "affine")
    # mm, where the inverse is interpolated between 64 points along the image
    np.testing.assert_allclose(there, points, atol=1e-9 if exact else 0.05)


def test_the_sampled_inverse_can_be_inverted_again(domain: ImageDomain) -> None:
    (inverse,) = inverse_transforms(b_spline(domain), domain, domain)
    again = inverse.GetInverseTransform()
    points = points_in(domain)
    np.testing.assert_allclose(moved(again, points), moved(b_spline(domain), points), atol=0.05)


@KINDS
def test_a_space_map_moves_points_as_its_transform(domain: ImageDomain, kind: str) -> None:
    dimension = domain.dimension
    transform = kinds_of_transforms(domain)[kind]
    # an image that is linear in the point tells where it is sampled
    far = replace(
        domain,
        size=(2,) * dimension,
        spacing=(60.0,) * dimension,
        origin=tuple(domain.centre - np.array(domain.direction) @ np.full(dimension, 30.0)),
    )
    values = torch.tensor(np.moveaxis(far.grid_points() - domain.centre, -1, 0)[None])
    found = SampledImage(values, far, domain, space_map(transform, domain))
    points = points_in(domain)
    places, inside = found(torch.tensor(domain.coords_from_points(points)))
    expected = moved(transform, points) - domain.centre
    assert inside.all()
    exact = kind in ("translation", "affine")
    # mm, where the transform is interpolated between voxels of up to 2.9 mm
    np.testing.assert_allclose(places, expected, atol=1e-9 if exact else 0.1)


def test_a_space_map_is_affine_where_the_transform_is(domain: ImageDomain) -> None:
    for kind, transform in kinds_of_transforms(domain).items():
        linear = kind in ("translation", "affine")
        assert (space_map(transform, domain).displacement is None) == linear
