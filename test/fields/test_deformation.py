import re
from dataclasses import replace
from typing import Any

import itk
import numpy as np
import pytest
import torch
from support.transforms import PRECISIONS, in_precision, points_around

from itk_nephi.fields.deformation import (
    Deformation,
    deformation_from_transform,
    transform_from_deformation,
)
from itk_nephi.fields.neural_field import DeformationField
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.spatial.domain import Array, ImageDomain

# the layers of the compiled field and the points of a float transform are float32
TOLERANCE = 1e-5


def moved_by_torch(
    field: DeformationField, deformation: Deformation, points: Array
) -> tuple[Array, Array]:
    """Return where the field moves points, mm, and its Jacobian in physical space."""
    domain, rotation = deformation.domain, np.array(deformation.domain.direction)
    coords = torch.tensor(domain.coords_from_points(points), dtype=field.embedding.dtype)
    with torch.no_grad():
        moved, jacobian = field.with_jacobian(coords, deformation.code)
    return domain.points_from_coords(moved.numpy()), rotation @ jacobian.numpy() @ rotation.T


@PRECISIONS
@pytest.mark.parametrize("largest", [0.99, 2.0])
def test_the_compiled_transform_agrees_with_torch(
    deformation: Deformation, precision: Any, largest: float
) -> None:
    domain = deformation.domain
    transform = in_precision(transform_from_deformation(deformation), precision)
    points = points_around(domain, 200, largest)
    extent = 2 * domain.scale
    deformation.code.double()
    for field, direction in (
        (deformation.field, transform),
        (deformation.inverse_field, transform.GetInverseTransform()),
    ):
        field.double()
        expected, expected_jacobians = moved_by_torch(field, deformation, points)
        assert np.abs(expected - points).max() > 0.02 * extent
        found = [direction.TransformPoint(point) for point in points.tolist()]
        np.testing.assert_allclose(found, expected, atol=TOLERANCE * extent, rtol=0)
        jacobians = direction.JacobiansWithRespectToPosition(points)
        assert np.abs(expected_jacobians - np.eye(domain.dimension)).max() > 0.1
        tolerance = TOLERANCE * np.abs(expected_jacobians).max()
        np.testing.assert_allclose(jacobians, expected_jacobians, atol=tolerance, rtol=0)


def test_a_deformation_survives_the_way_to_a_transform_and_back(deformation: Deformation) -> None:
    again = deformation_from_transform(transform_from_deformation(deformation))
    assert again.domain == deformation.domain
    spacings = deformation.settings.spline_spacings
    assert replace(again.settings, spline_spacings=spacings) == deformation.settings
    assert again.spline_cells == deformation.spline_cells
    # what gives whole cells
    settings, voxel = again.settings, again.domain.voxel_size / again.domain.scale
    assert settings.spline_cells(again.domain.bounds, voxel) == again.spline_cells
    for name in ("field", "inverse_field", "code"):
        expected = getattr(deformation, name).state_dict()
        found = getattr(again, name).state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected)


@PRECISIONS
def test_a_transform_survives_the_way_to_a_deformation_and_back(
    deformation: Deformation, precision: Any
) -> None:
    transform = in_precision(transform_from_deformation(deformation), precision)
    again = transform_from_deformation(deformation_from_transform(transform))
    for part in ("FixedParameters", "Parameters"):
        expected = np.array(getattr(transform, f"Get{part}")())
        np.testing.assert_array_equal(np.array(getattr(again, f"Get{part}")()), expected)


def test_the_inverse_of_the_transform_is_the_deformation_with_its_fields_exchanged(
    deformation: Deformation,
) -> None:
    inverse = deformation_from_transform(
        transform_from_deformation(deformation).GetInverseTransform()
    )
    for field, expected in (
        (inverse.field, deformation.inverse_field),
        (inverse.inverse_field, deformation.field),
    ):
        for key, values in expected.state_dict().items():
            assert torch.equal(field.state_dict()[key], values)
    assert torch.equal(inverse.code.local_code, deformation.code.local_code)


def test_the_parameters_are_as_many_as_torch_trains(deformation: Deformation) -> None:
    transform = transform_from_deformation(deformation)
    count = sum(parameter.numel() for parameter in deformation.parameters())
    assert transform.GetNumberOfParameters() == count
    weights = sum(parameter.numel() for parameter in deformation.weights())
    codes = sum(parameter.numel() for parameter in deformation.code.parameters())
    assert weights + codes == count


def test_a_new_deformation_moves_no_point(domain: ImageDomain, small_field: FieldSettings) -> None:
    new = Deformation.identity(domain, small_field, torch.Generator().manual_seed(1))
    transform = transform_from_deformation(new)
    for point in points_around(domain, 20, 2.0).tolist():
        np.testing.assert_allclose(np.array(transform.TransformPoint(point)), point, atol=1e-12)


def test_a_voxel_along_each_axis_is_as_far_as_itk_translates(
    domain: ImageDomain, small_field: FieldSettings
) -> None:
    points = points_around(domain, 10, 2.0)
    for axis in range(domain.dimension):
        index = np.eye(domain.dimension)[axis]
        offset = domain.points_from_index(index) - domain.origin
        translation = itk.TranslationTransform[itk.D, domain.dimension].New()
        translation.SetOffset(offset.tolist())
        shifted = Deformation.identity(domain, small_field, torch.Generator().manual_seed(1))
        with torch.no_grad():
            shifted.field.output.bias[axis] = domain.spacing[axis] / domain.scale
        transform = transform_from_deformation(shifted)
        for point in points.tolist():
            expected = np.array(translation.TransformPoint(point))
            found = np.array(transform.TransformPoint(point))
            # the bias is a float32
            np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)


def test_a_local_code_on_a_grid_of_its_own_is_refused(
    deformation: Deformation,
) -> None:
    transform = transform_from_deformation(deformation)
    values = np.array(transform.GetFixedParameters())
    values[6] += 1
    values[7] += 2
    transform.SetFixedParameters(itk.OptimizerParameters[itk.D](values.tolist()))
    with pytest.raises(
        ValueError, match=r"expected a local code on a grid of \(.*\) vertices, got"
    ):
        deformation_from_transform(transform)


def parameters_of_the_compiled(domain: ImageDomain, settings: FieldSettings) -> int:
    """Return how many parameters the compiled transform has; RuntimeError if it refuses them."""
    dimension = domain.dimension
    cells = settings.spline_cells(domain.bounds, domain.voxel_size / domain.scale)
    fixed_parameters = [2 if cells else 1, settings.width, settings.depth, settings.frequencies]
    fixed_parameters += [settings.global_code, settings.local_channels]
    fixed_parameters += [*settings.local_grid_size(domain.bounds), *domain.size, *domain.spacing]
    fixed_parameters += [*domain.origin, *np.ravel(domain.direction)]
    fixed_parameters += [0] * (2 * dimension * settings.frequencies) + [*np.ravel(cells)]
    transform = itk.NePhiTransform[itk.D, dimension].New()
    given = np.array(fixed_parameters, float).tolist()
    transform.SetFixedParameters(itk.OptimizerParameters[itk.D](given))
    return int(transform.GetNumberOfParameters())


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize(
    "sizes",
    [
        {"width": 2041},
        {"width": 1, "depth": 20_000},
        {"local_channels": 900_000, "local_grid": 2},
        {"width": 600, "frequencies": 5_000, "global_code": 3_000},
        {"spline_spacings": (3.0, 0.07)},
    ],
    ids=lambda sizes: next(iter(sizes)),
)
def test_what_no_transform_holds_is_refused_before_it_is_made(
    sizes: dict[str, Any], dimension: int
) -> None:
    direction = tuple(map(tuple, np.eye(dimension).tolist()))
    domain = ImageDomain(
        (300, 200, 5)[:dimension], (1.0,) * dimension, (0.0,) * dimension, direction
    )
    settings = FieldSettings(**{"width": 8, "depth": 2} | sizes)
    with pytest.raises(ValueError, match="at most 16777216 parameters") as ours:
        Deformation.identity(domain, settings, torch.Generator())
    with pytest.raises(RuntimeError, match=r"at most 1.67772e\+07 parameters") as theirs:
        parameters_of_the_compiled(domain, settings)
    counts = [
        float(re.search(r"parameters.*, got ([0-9.e+]+)", str(error.value)).group(1))
        for error in (ours, theirs)
    ]
    assert counts[0] == pytest.approx(counts[1], rel=1e-5)


def test_the_largest_transform_is_held() -> None:
    domain = ImageDomain((3, 3), (1.0, 1.0), (0.0, 0.0), ((1.0, 0.0), (0.0, 1.0)))
    settings = FieldSettings(width=16, depth=0, frequencies=1, global_code=0, local_grid=2)
    # weights to two hidden layers and of two outputs of both fields, and four vertices
    channels, others = 2 * 16 + 4, 2 * (16 * 6 + 2 * 17)
    largest = replace(settings, local_channels=(2**24 - others) // channels)
    largest.check_transform(domain.bounds)
    assert parameters_of_the_compiled(domain, largest) > 2**24 - channels - others
    more = replace(largest, local_channels=largest.local_channels + 1)
    with pytest.raises(ValueError, match="at most"):
        more.check_transform(domain.bounds)
    with pytest.raises(RuntimeError, match="at most"):
        parameters_of_the_compiled(domain, more)
