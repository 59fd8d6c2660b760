from dataclasses import replace
from typing import Any

import itk
import numpy as np
import pytest
import torch

from itk_nephi.fields.sampled_image import SampledImage
from itk_nephi.fields.sampled_transforms import inverse_transforms, sample_transform
from itk_nephi.spatial.domain import Array, ImageDomain
from itk_nephi.spatial.transforms import compose


def b_spline(domain: ImageDomain) -> Any:
    """Moves points by up to about half a millimeter; ITK has no inverse of it."""
    dimension = domain.dimension
    transform = itk.BSplineTransform[itk.D, dimension, 3].New()
    transform.SetTransformDomainOrigin((domain.center - 2 * domain.scale).tolist())
    transform.SetTransformDomainPhysicalDimensions([4 * domain.scale] * dimension)
    transform.SetTransformDomainMeshSize([6] * dimension)
    values = np.random.default_rng(2).uniform(-0.5, 0.5, transform.GetNumberOfParameters())
    transform.SetParameters(itk.OptimizerParameters[itk.D](values.tolist()))
    return transform


def moved(transform: Any, points: Array) -> Array:
    return np.array([transform.TransformPoint(point) for point in points.tolist()])


@pytest.fixture
def points(domain: ImageDomain) -> Array:
    relative = np.random.default_rng(60).uniform(-1, 1, (60, domain.dimension))
    return domain.points_from_coords(relative * domain.bounds)


@pytest.fixture
def transforms(domain: ImageDomain, affine: Any) -> dict[str, Any]:
    translation, spline = itk.TranslationTransform[itk.D, domain.dimension].New(), b_spline(domain)
    translation.SetOffset([2.0, -1.0, 3.0][: domain.dimension])
    return {
        "translation": translation,
        "affine": affine,
        "b-spline": spline,
        "composite": compose([spline, affine]),
        "nested": compose([compose([compose([translation, affine]), spline]), translation]),
    }


KINDS = pytest.mark.parametrize(
    "kind", ["translation", "affine", "b-spline", "composite", "nested"]
)


@KINDS
def test_inverse_transforms_undo_a_transform(
    transforms: dict[str, Any], domain: ImageDomain, points: Array, kind: str
) -> None:
    transform = transforms[kind]
    there = moved(transform, points)
    assert np.abs(there - points).max() > 0.2
    image_domain = replace(domain, origin=tuple(there[0] - points[0] + domain.origin))
    for inverse in inverse_transforms(transform, domain, image_domain):
        there = moved(inverse, there)
    exact = kind in ("translation", "affine")
    # mm, where the inverse is interpolated between 64 points along the image
    np.testing.assert_allclose(there, points, atol=1e-9 if exact else 0.05)


def test_the_sampled_inverse_can_be_inverted_again(domain: ImageDomain, points: Array) -> None:
    (inverse,) = inverse_transforms(b_spline(domain), domain, domain)
    again = inverse.GetInverseTransform()
    np.testing.assert_allclose(moved(again, points), moved(b_spline(domain), points), atol=0.05)


@KINDS
def test_a_space_map_moves_points_as_its_transform(
    transforms: dict[str, Any], domain: ImageDomain, points: Array, kind: str
) -> None:
    dimension = domain.dimension
    transform = transforms[kind]
    # an image that is linear in the point tells where it is sampled
    far = replace(
        domain,
        size=(2,) * dimension,
        spacing=(60.0,) * dimension,
        origin=tuple(domain.center - np.array(domain.direction) @ np.full(dimension, 30.0)),
    )
    values = torch.tensor(np.moveaxis(far.grid_points() - domain.center, -1, 0)[None])
    found = SampledImage(values, far, domain, sample_transform(transform, domain))
    places, inside = found(torch.tensor(domain.coords_from_points(points)))
    expected = moved(transform, points) - domain.center
    assert inside.all()
    exact = kind in ("translation", "affine")
    # mm, where the transform is interpolated between voxels of up to 2.9 mm
    np.testing.assert_allclose(places, expected, atol=1e-9 if exact else 0.1)


def test_a_space_map_is_affine_where_the_transform_is(
    transforms: dict[str, Any], domain: ImageDomain
) -> None:
    for kind, transform in transforms.items():
        linear = kind in ("translation", "affine")
        assert (sample_transform(transform, domain).displacement is None) == linear
