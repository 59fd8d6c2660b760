from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813, as its users write it

from itk_nephi.io.image_writing import write_image
from itk_nephi.io.transforms import write_transform
from itk_nephi.spatial.conversion import (
    inverse_displacement_field,
    to_bspline_transform,
    to_displacement_field,
    to_displacement_field_transform,
)
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.transforms import compose, flatten, transform_points


@pytest.fixture
def part_of_image(image: Any) -> Any:
    """A part of the image, whose first voxel does not have the index 0."""
    dimension = image.GetImageDimension()
    size = [int(n) - 1 for n in image.GetLargestPossibleRegion().GetSize()]
    region = itk.ImageRegion[dimension]([1] * dimension, size)
    return itk.extract_image_filter(image, extraction_region=region)


def all_voxels(image: Any) -> np.ndarray:
    return ImageDomain.of(image).voxel_points(
        np.arange(np.asarray(image).shape[0] * np.asarray(image)[0].size)
    )


def landmarks(domain: ImageDomain, count: int = 50) -> np.ndarray:
    """Random points between the voxel centers of the domain."""
    relative = np.random.default_rng(7).uniform(-1, 1, (count, domain.dimension))
    return domain.points_from_coords(relative * domain.bounds)


def moved_singly(transform: Any, points: np.ndarray) -> np.ndarray:
    """What ITK or SimpleITK makes of each point."""
    return np.array([transform.TransformPoint(point) for point in points.tolist()])


# displacement fields


def test_a_field_says_by_how_much_voxels_move(diffeomorphism: Any, part_of_image: Any) -> None:
    field = to_displacement_field(diffeomorphism, part_of_image)
    dimension = part_of_image.GetImageDimension()
    assert isinstance(field, itk.Image[itk.Vector[itk.F, dimension], dimension])
    assert field.GetLargestPossibleRegion() == part_of_image.GetLargestPossibleRegion()
    points = all_voxels(part_of_image)
    expected = transform_points(diffeomorphism, points) - points
    np.testing.assert_allclose(
        np.asarray(field).reshape(-1, dimension), expected, rtol=2e-7, atol=1e-10
    )
    for name in ("Origin", "Spacing", "Direction"):
        values = [np.asarray(getattr(each, f"Get{name}")()) for each in (field, part_of_image)]
        np.testing.assert_array_equal(*values)


def test_a_float_transform_is_sampled_too(image: Any, dimension: int) -> None:
    translation = itk.AffineTransform[itk.F, dimension].New()
    translation.SetTranslation([2.0] * dimension)
    field = to_displacement_field(translation, image)
    np.testing.assert_allclose(np.asarray(field), 2.0, rtol=0, atol=1e-4)


def test_a_field_transform_agrees_at_voxels_is_linear_between_and_ends_with_the_image(
    diffeomorphism: Any, part_of_image: Any
) -> None:
    transform = to_displacement_field_transform(diffeomorphism, part_of_image)
    points = all_voxels(part_of_image)
    moved = transform_points(diffeomorphism, points)
    found = moved_singly(transform, points)
    np.testing.assert_allclose(found, moved, rtol=0, atol=1e-5)
    middle = moved_singly(transform, (points[:1] + points[1:2]) / 2)
    np.testing.assert_allclose(middle, (moved[:1] + moved[1:2]) / 2, rtol=0, atol=1e-5)
    outside = points[:1] + 1000.0
    np.testing.assert_array_equal(moved_singly(transform, outside), outside)


def test_the_exact_inverse_as_a_field_brings_points_back(
    diffeomorphism: Any, part_of_image: Any
) -> None:
    field, inverted = inverse_displacement_field(diffeomorphism, part_of_image, tolerance=1e-6)
    assert inverted.converged.all()
    points = all_voxels(part_of_image)
    back = points + np.asarray(field).reshape(points.shape)
    np.testing.assert_allclose(back, inverted.points, rtol=0, atol=1e-5)
    np.testing.assert_allclose(transform_points(diffeomorphism, back), points, rtol=0, atol=1e-4)


# B-splines


def test_a_bspline_of_an_affine_transform_is_exact_in_every_voxel(
    diffeomorphism: Any, part_of_image: Any
) -> None:
    affine = flatten(diffeomorphism)[1]
    fitted, error = to_bspline_transform(affine, part_of_image, tolerance=1e-3)
    assert error < 1e-4
    corners = all_voxels(part_of_image)[[0, -1]]
    shares = np.linspace(0, 1, 20)[:, None]
    between = shares * corners[0] + (1 - shares) * corners[1]
    np.testing.assert_allclose(
        moved_singly(fitted, between), transform_points(affine, between), rtol=0, atol=1e-4
    )


def test_a_bspline_on_the_same_control_points_is_found_again(dimension: int) -> None:
    size = [12, 9, 10][:dimension]
    reference = itk.image_from_array(np.zeros(size[::-1], np.uint8))
    reference.SetSpacing([1.5, 2.0, 0.9][:dimension])
    extent = (np.array(size) + 1) * np.array(reference.GetSpacing())
    original = itk.BSplineTransform[itk.D, dimension, 3].New()
    original.SetTransformDomainOrigin([-s for s in reference.GetSpacing()])
    original.SetTransformDomainPhysicalDimensions(extent.tolist())
    original.SetTransformDomainMeshSize([4, 4, 2][:dimension])
    values = np.random.default_rng(2).normal(size=original.GetNumberOfParameters())
    original.SetParameters(itk.OptimizerParameters[itk.D](values.tolist()))
    fitted, error = to_bspline_transform(original, reference, spacing=5)
    assert list(fitted.GetTransformDomainMeshSize()) == [4, 4, 2][:dimension]
    np.testing.assert_allclose(np.array(fitted.GetParameters()), values, rtol=0, atol=1e-2)
    assert error < 1e-5


def test_the_stated_error_is_that_at_the_voxels(diffeomorphism: Any, part_of_image: Any) -> None:
    errors = []
    for spacing in (8.0, 2.0, 0.1):
        fitted, stated = to_bspline_transform(diffeomorphism, part_of_image, spacing=spacing)
        points = all_voxels(part_of_image)
        moved = transform_points(diffeomorphism, points)
        largest = np.linalg.norm(moved_singly(fitted, points) - moved, axis=1).max()
        np.testing.assert_allclose(stated, largest, rtol=0, atol=1e-5)
        errors.append(stated)
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-5
    size = itk.size(part_of_image)
    assert list(fitted.GetTransformDomainMeshSize()) == [int(n) + 1 for n in size]


def test_control_points_are_refined_until_the_tolerance_is_met(
    diffeomorphism: Any, image: Any
) -> None:
    counts = []
    for tolerance in (0.03, 0.01):
        fitted, error = to_bspline_transform(diffeomorphism, image, tolerance=tolerance)
        assert error <= tolerance
        counts.append(fitted.GetNumberOfParameters())
    assert counts[0] < counts[1]
    fitted, error = to_bspline_transform(diffeomorphism, image, tolerance=1e-12)
    assert error < 1e-5


def test_between_voxels_a_fine_bspline_does_not_overshoot(
    diffeomorphism: Any, image: Any, domain: ImageDomain
) -> None:
    points = landmarks(domain)
    moved = transform_points(diffeomorphism, points)

    def mean_error(transform: Any) -> float:
        return float(np.linalg.norm(moved_singly(transform, points) - moved, axis=1).mean())

    linear = mean_error(to_displacement_field_transform(diffeomorphism, image))
    for spacing in (0.9, 0.1):
        fitted, _ = to_bspline_transform(diffeomorphism, image, spacing=spacing)
        assert mean_error(fitted) < 1.2 * linear


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        ({}, "expected spacing or tolerance, got None and None"),
        ({"spacing": 1.0, "tolerance": 1.0}, "expected spacing or tolerance, got 1.0 and 1.0"),
        ({"spacing": 0.0}, "expected spacing to be positive, in mm, got 0.0"),
        ({"tolerance": -1.0}, "expected tolerance to be positive, in mm, got -1.0"),
        ({"tolerance": np.nan}, "expected tolerance to be positive, in mm, got nan"),
    ],
)
def test_bad_options_are_refused(
    diffeomorphism: Any, image: Any, options: dict[str, float], fragment: str
) -> None:
    with pytest.raises(ValueError, match=fragment):
        to_bspline_transform(diffeomorphism, image, **options)


def test_a_reference_of_another_dimension_is_refused(diffeomorphism: Any, dimension: int) -> None:
    reference = itk.image_from_array(np.zeros((4,) * (5 - dimension), np.uint8))
    with pytest.raises(ValueError, match=rf"expected reference in {dimension} dimensions like the"):
        to_displacement_field(diffeomorphism, reference)


# what other programs read


@pytest.mark.parametrize("suffix", ["h5", "tfm"])
def test_simpleitk_reads_the_transforms(
    diffeomorphism: Any, image: Any, domain: ImageDomain, tmp_path: Path, suffix: str
) -> None:
    points = landmarks(domain)
    path = tmp_path / f"transform.{suffix}"
    for transform in (
        to_displacement_field_transform(diffeomorphism, image),
        to_bspline_transform(diffeomorphism, image, tolerance=0.01)[0],
    ):
        write_transform(transform, path)
        read = sitk.ReadTransform(str(path))
        assert read.GetName() == transform.GetNameOfClass()
        np.testing.assert_allclose(
            moved_singly(read, points), moved_singly(transform, points), rtol=0, atol=1e-6
        )


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "nrrd", "mha"])
def test_simpleitk_reads_the_displacement_fields(
    diffeomorphism: Any, image: Any, domain: ImageDomain, tmp_path: Path, suffix: str
) -> None:
    points = landmarks(domain)
    path = tmp_path / f"field.{suffix}"
    write_image(to_displacement_field(diffeomorphism, image), path)
    read = sitk.DisplacementFieldTransform(sitk.ReadImage(str(path), sitk.sitkVectorFloat64))
    expected = moved_singly(to_displacement_field_transform(diffeomorphism, image), points)
    np.testing.assert_allclose(moved_singly(read, points), expected, rtol=0, atol=1e-4)


def test_nifti_fields_say_that_they_are_vectors(
    diffeomorphism: Any, image: Any, dimension: int, tmp_path: Path
) -> None:
    path = tmp_path / "field.nii.gz"
    write_image(to_displacement_field(diffeomorphism, image), path)
    header = gzip.decompress(path.read_bytes())[:348]
    assert int.from_bytes(header[68:70], "little") == 1007  # intent_code: NIFTI_INTENT_VECTOR
    dimensions = np.frombuffer(header[40:56], "<i2").tolist()
    size = [*itk.size(image), 1][:3]
    assert dimensions[:6] == [5, *size, 1, dimension]
    assert int.from_bytes(header[70:72], "little") == 16  # datatype: float32


def test_composites_of_what_was_made_are_read_too(
    diffeomorphism: Any, image: Any, domain: ImageDomain, tmp_path: Path
) -> None:
    field, affine = flatten(diffeomorphism)
    chain = compose([to_displacement_field_transform(field, image), affine])
    write_transform(chain, tmp_path / "chain.h5")
    read = sitk.ReadTransform(str(tmp_path / "chain.h5"))
    points = landmarks(domain)
    np.testing.assert_allclose(
        moved_singly(read, points), moved_singly(chain, points), rtol=0, atol=1e-6
    )
