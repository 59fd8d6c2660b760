"""The compiled itk::NePhiTransform, against an independent numpy network and ITK itself."""

from __future__ import annotations

import copy
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import itk
import numpy as np
import pytest
from itk.Configuration import NePhiConfig

WIDTH, DEPTH, FREQUENCIES, GLOBAL_CODE_SIZE, CHANNELS = 37, 2, 5, 3, 4
DOMAINS = {
    2: ((11, 7), (0.8, 1.7), (-31.0, 12.5)),
    3: ((11, 7, 5), (0.8, 1.7, 2.9), (-31.0, 12.5, 107.0)),
}
LOCAL_CODE_GRID = {2: (4, 3), 3: (4, 3, 2)}
SPLINE_CELLS = {2: ((1, 2), (9, 5)), 3: ((1, 1, 2), (6, 4, 5))}
KINDS = [(itk.D, 2), (itk.D, 3), (itk.F, 2), (itk.F, 3)]


def rotation(dimension: int) -> np.ndarray:
    c, s = np.cos(0.4), np.sin(0.4)
    if dimension == 2:
        return np.array([[c, -s], [s, c]])
    about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, s, c], [0, -c, s]])
    return about_z @ about_x


def affine_layer(rng: np.random.Generator, outputs: int, inputs: int, bound: float) -> np.ndarray:
    matrix = rng.uniform(-bound, bound, (outputs, inputs))
    bias = rng.uniform(-1, 1, outputs) / np.sqrt(inputs)
    return np.concatenate([matrix.ravel(), bias])


def random_weights(rng: np.random.Generator, dimension: int) -> np.ndarray:
    embedding = 2 * FREQUENCIES
    sources = GLOBAL_CODE_SIZE + CHANNELS + embedding
    hidden = np.sqrt(6 / WIDTH) / 30
    layers = [affine_layer(rng, WIDTH, embedding, 1 / embedding)]
    layers += [affine_layer(rng, WIDTH, WIDTH, hidden) for _ in range(DEPTH)]
    layers += [affine_layer(rng, dimension, WIDTH, 0.1 / np.sqrt(WIDTH))]
    layers += [affine_layer(rng, WIDTH, sources, 1 / sources)]
    layers += [affine_layer(rng, WIDTH, WIDTH, hidden) for _ in range(DEPTH)]
    return np.concatenate(layers)


@dataclass(frozen=True)
class Description:
    """The numbers of a transform, and its map written as plainly as numpy allows."""

    dimension: int
    frequencies: np.ndarray
    weights: np.ndarray
    global_code: np.ndarray
    local_code: np.ndarray
    spline_cells: tuple[tuple[int, ...], ...]
    splines: np.ndarray

    @classmethod
    def random(cls, dimension: int, spline_cells: tuple[tuple[int, ...], ...] = ()) -> Description:
        rng = np.random.default_rng(dimension)
        grid = LOCAL_CODE_GRID[dimension]
        coefficients = sum(dimension * np.prod(np.add(cells, 3)) for cells in spline_cells)
        return cls(
            dimension,
            rng.normal(size=(2, dimension, FREQUENCIES)),
            np.stack([random_weights(rng, dimension) for _ in range(2)]),
            rng.normal(size=GLOBAL_CODE_SIZE),
            rng.normal(size=(*reversed(grid), CHANNELS)),
            spline_cells,
            rng.normal(size=(2, coefficients), scale=0.02),
        )

    @property
    def half_extent(self) -> np.ndarray:
        size, spacing, _ = DOMAINS[self.dimension]
        return (np.array(size) - 1) * spacing / 2

    @property
    def center(self) -> np.ndarray:
        return DOMAINS[self.dimension][2] + rotation(self.dimension) @ self.half_extent

    @property
    def fixed_parameters(self) -> np.ndarray:
        sizes = [
            2 if self.spline_cells else 1,
            WIDTH,
            DEPTH,
            FREQUENCIES,
            GLOBAL_CODE_SIZE,
            CHANNELS,
        ]
        domain = np.concatenate([*DOMAINS[self.dimension], rotation(self.dimension).ravel()])
        grid = LOCAL_CODE_GRID[self.dimension]
        splines = np.ravel(self.spline_cells)
        return np.concatenate([sizes, grid, domain, self.frequencies.ravel(), splines])

    @property
    def parameters(self) -> np.ndarray:
        codes = [self.global_code, self.local_code.ravel(), self.splines.ravel()]
        return np.concatenate([self.weights.ravel(), *codes])

    def with_parameters(self, parameters: np.ndarray) -> Description:
        sizes = [self.weights.size, GLOBAL_CODE_SIZE, self.local_code.size]
        weights, global_code, local_code, splines = np.split(parameters, np.cumsum(sizes))
        return replace(
            self,
            weights=weights.reshape(self.weights.shape),
            global_code=global_code,
            local_code=local_code.reshape(self.local_code.shape),
            splines=splines.reshape(self.splines.shape),
        )

    def points(self, count: int, largest: float = 0.99) -> np.ndarray:
        """Physical points in a box this much larger than the domain."""
        rng = np.random.default_rng(count)
        offset = rng.uniform(-largest, largest, (count, self.dimension)) * self.half_extent
        return self.center + offset @ rotation(self.dimension).T

    def interpolate_local_code(self, relative: np.ndarray) -> np.ndarray:
        grid = np.array(LOCAL_CODE_GRID[self.dimension])
        position = (relative + 1) / 2 * (grid - 1)
        lower = np.minimum(position.astype(int), grid - 2)
        code = np.zeros((len(relative), CHANNELS))
        for corner in np.ndindex(*(2,) * self.dimension):
            index = lower + corner
            weight = np.prod(1 - abs(position - index), axis=1, keepdims=True)
            code += weight * self.local_code[tuple(index.T[::-1])]
        return code

    def evaluate_splines(self, relative: np.ndarray, field: int) -> np.ndarray:
        displacement = np.zeros_like(relative)
        rest = self.splines[field]
        for cells in self.spline_cells:
            size = np.add(cells, 3)
            coefficients, rest = np.split(rest, [self.dimension * np.prod(size)])
            coefficients = coefficients.reshape(*size[::-1], self.dimension)
            position = (relative + 1) / 2 * cells + 1
            for index in np.ndindex(*size):
                distance = abs(position - index)
                near, far = 2 / 3 - distance**2 + distance**3 / 2, np.maximum(2 - distance, 0) ** 3
                weight = np.prod(np.where(distance < 1, near, far / 6), axis=1, keepdims=True)
                displacement += weight * coefficients[index[::-1]]
        assert rest.size == 0
        return displacement

    def transform(self, points: np.ndarray, field: int = 0) -> np.ndarray:
        direction, scale = rotation(self.dimension), self.half_extent.max()
        box = self.half_extent / scale
        coords = np.clip((points - self.center) @ direction / scale, -box, box)
        weights = self.weights[field]

        def layers(first: int) -> list[tuple[np.ndarray, np.ndarray]]:
            nonlocal weights
            result = []
            for inputs, outputs in [(first, WIDTH)] + [(WIDTH, WIDTH)] * DEPTH:
                matrix, bias, weights = np.split(
                    weights, [outputs * inputs, outputs * (inputs + 1)]
                )
                result.append((matrix.reshape(outputs, inputs).T, bias))
            return result

        phase = 2 * np.pi * coords @ self.frequencies[field]
        embedding = np.concatenate([np.sin(phase), np.cos(phase)], axis=1)
        synthesis = layers(2 * FREQUENCIES)
        inputs, outputs = WIDTH, self.dimension
        matrix, bias, weights = np.split(weights, [outputs * inputs, outputs * (inputs + 1)])
        output = matrix.reshape(outputs, inputs).T, bias
        modulation = layers(GLOBAL_CODE_SIZE + CHANNELS + 2 * FREQUENCIES)
        assert weights.size == 0

        code = np.broadcast_to(self.global_code, (len(points), GLOBAL_CODE_SIZE))
        local_code = self.interpolate_local_code(coords / box)
        sources = np.concatenate([code, local_code, embedding], axis=1)
        gate = first_gate = np.sin(30 * (sources @ modulation[0][0] + modulation[0][1]))
        hidden = np.sin(embedding @ synthesis[0][0] + synthesis[0][1])
        for k in range(1, DEPTH + 1):
            gate = np.sin(30 * (gate @ modulation[k][0] + modulation[k][1])) + first_gate
            hidden = gate * np.sin(30 * (hidden @ synthesis[k][0] + synthesis[k][1]))
        displacement = hidden @ output[0] + output[1]
        displacement += self.evaluate_splines(coords / box, field)
        return points + scale * displacement @ direction.T


def vector(values: np.ndarray, kind: object = itk.D) -> itk.OptimizerParameters:
    return itk.OptimizerParameters[kind]([float(value) for value in values])


def make_transform(description: Description, kind: object = itk.D) -> itk.Transform:
    transform = itk.NePhiTransform[kind, description.dimension].New()
    transform.SetFixedParameters(vector(description.fixed_parameters))
    transform.SetParameters(vector(description.parameters, kind))
    return transform


@pytest.fixture(
    params=[(2, ()), (3, ()), (2, SPLINE_CELLS[2]), (3, SPLINE_CELLS[3])],
    ids=["2D", "3D", "2D with splines", "3D with splines"],
)
def description(request: pytest.FixtureRequest) -> Description:
    return Description.random(*request.param)


@pytest.fixture
def transform(description: Description) -> itk.Transform:
    return make_transform(description)


@pytest.mark.parametrize(("kind", "dimension"), KINDS)
def test_a_new_transform_is_the_identity(kind: object, dimension: int) -> None:
    transform = itk.NePhiTransform[kind, dimension].New()
    assert isinstance(transform, itk.Transform[kind, dimension, dimension])
    points = np.random.default_rng(0).uniform(-3, 3, (9, dimension))
    np.testing.assert_array_equal(transform.TransformPoints(points), points)
    assert itk.NePhiTransform[kind, dimension].New().GetNumberOfParameters() > 0


def test_setting_fixed_parameters_makes_the_identity_of_the_right_size(
    description: Description,
) -> None:
    transform = itk.NePhiTransform[itk.D, description.dimension].New()
    transform.SetFixedParameters(vector(description.fixed_parameters))
    assert transform.GetNumberOfParameters() == description.parameters.size
    points = description.points(9, 2.0)
    np.testing.assert_array_equal(transform.TransformPoints(points), points)


@pytest.mark.parametrize(("dimension", "count"), [(2, 140_290), (3, 140_419)])
def test_the_published_sizes_have_the_published_number_of_weights(
    dimension: int, count: int
) -> None:
    fixed_parameters = Description.random(dimension).fixed_parameters
    fixed_parameters[1:6] = 128, 2, 128, 32, 32
    start = len(fixed_parameters) - 2 * dimension * FREQUENCIES
    fixed_parameters = np.append(fixed_parameters[:start], np.zeros(2 * dimension * 128))
    transform = itk.NePhiTransform[itk.D, dimension].New()
    transform.SetFixedParameters(vector(fixed_parameters))
    code_size = 32 + 32 * np.prod(LOCAL_CODE_GRID[dimension])
    assert transform.GetNumberOfParameters() == 2 * count + code_size


@pytest.mark.parametrize(("kind", "dimension"), KINDS)
def test_an_output_bias_is_a_translation_in_the_directions_of_the_grid(
    kind: object, dimension: int
) -> None:
    description = Description.random(dimension)
    bias = np.array([0.01, -0.02, 0.03])[:dimension]
    parameters = np.zeros_like(description.parameters)
    start = WIDTH * (2 * FREQUENCIES + 1) + DEPTH * WIDTH * (WIDTH + 1) + dimension * WIDTH
    parameters[start : start + dimension] = bias
    transform = make_transform(description, kind)
    transform.SetParameters(vector(parameters, kind))
    translation = itk.TranslationTransform[itk.D, dimension].New()
    translation.SetOffset(description.half_extent.max() * rotation(dimension) @ bias)
    tolerance = 1e-7 if kind is itk.D else 1e-4
    for point in description.points(5, 1.5):
        expected = translation.TransformPoint(point)
        mapped = transform.TransformPoint(point)
        np.testing.assert_allclose(mapped, expected, atol=tolerance, rtol=0)


def test_points_agree_with_an_independent_network(
    description: Description, transform: itk.Transform
) -> None:
    points = description.points(300, 1.3)
    expected = description.transform(points)
    assert abs(expected - points).max() > 0.5
    tolerance = 1e-6 * description.half_extent.max()
    np.testing.assert_allclose(transform.TransformPoints(points), expected, atol=tolerance, rtol=0)


def test_the_float_transform_agrees_with_the_double_one(
    description: Description, transform: itk.Transform
) -> None:
    single = make_transform(description, itk.F)
    points = description.points(100)
    extent = description.half_extent.max()
    difference = single.TransformPoints(points) - transform.TransformPoints(points)
    assert abs(difference).max() < 1e-5 * extent
    point = [float(x) for x in points[0].astype(np.float32)]
    difference = np.array(single.TransformPoint(point)) - transform.TransformPoint(point)
    assert abs(difference).max() < 1e-5 * extent


def test_the_jacobian_agrees_with_finite_differences(
    description: Description, transform: itk.Transform
) -> None:
    points = description.points(100)
    step = 3e-6 * description.half_extent.max()
    columns = [
        (description.transform(points + offset) - description.transform(points - offset))
        / (2 * step)
        for offset in step * np.eye(description.dimension)
    ]
    expected = np.stack(columns, axis=-1)
    assert abs(expected - np.eye(description.dimension)).max() > 0.5
    jacobians = transform.JacobiansWithRespectToPosition(points)
    np.testing.assert_allclose(jacobians, expected, atol=1e-5 * abs(expected).max(), rtol=0)


def test_a_point_gets_the_same_bits_alone_in_a_row_and_in_an_array(
    description: Description, transform: itk.Transform
) -> None:
    begin, step = description.points(2)
    # rows are answered from batches; every third is interrupted by a point from elsewhere
    points = [begin + 0.01 * i * (step - begin) + 0.02 * j for j in range(12) for i in range(61)]
    expected = transform.TransformPoints(points)
    for n, point in enumerate(points):
        if n % 180 == 33:
            transform.TransformPoint(step.tolist())
        np.testing.assert_array_equal(transform.TransformPoint(point.tolist()), expected[n])
    for n in np.random.default_rng(0).permutation(len(points))[:50]:
        np.testing.assert_array_equal(transform.TransformPoint(points[n].tolist()), expected[n])
    jacobians = transform.JacobiansWithRespectToPosition(points)
    for n in range(0, len(points), 50):
        alone = transform.JacobiansWithRespectToPosition(points[n : n + 1])
        np.testing.assert_array_equal(alone[0], jacobians[n])


def test_new_parameters_leave_no_old_values_behind(
    description: Description, transform: itk.Transform
) -> None:
    begin, step = description.points(2)
    points = [begin + 0.01 * i * (step - begin) for i in range(40)]
    other = transform.GetInverseTransform()
    expected = other.TransformPoints(points)
    for n, point in enumerate(points):
        if n == 20:
            transform.SetParameters(other.GetParameters())
            transform.SetFixedParameters(other.GetFixedParameters())
        moved = transform.TransformPoint(point.tolist())
        assert np.array_equal(moved, expected[n]) == (n >= 20)


def test_torch_finds_the_same_points(description: Description, transform: itk.Transform) -> None:
    points = description.points(300, 1.3)
    expected = transform.TransformPoints(points)
    inverse_expected = transform.GetInverseTransform().TransformPoints(points)
    transform.SetBackend("torch")
    assert (transform.GetBackend(), transform.GetDevice()) == ("torch", "cpu")
    np.testing.assert_allclose(transform.TransformPoints(points), expected, atol=1e-4, rtol=0)
    # one by one, as filters ask
    rows = [points[0] + 0.01 * i * (points[1] - points[0]) for i in range(300)]
    singly = [transform.TransformPoint(point.tolist()) for point in rows]
    inverse = transform.GetInverseTransform()
    assert inverse.GetBackend() == "torch"
    np.testing.assert_allclose(inverse.TransformPoints(points), inverse_expected, atol=1e-4, rtol=0)
    transform.SetBackend("cpu")
    np.testing.assert_allclose(singly, transform.TransformPoints(rows), atol=1e-4, rtol=0)
    np.testing.assert_array_equal(transform.TransformPoints(points), expected)


def test_torch_serves_the_threads_of_a_filter(
    description: Description, transform: itk.Transform
) -> None:
    dimension = description.dimension
    values = np.random.default_rng(0).normal(size=(20,) * dimension).astype(np.float32)
    image = itk.image_from_array(values)
    image.SetOrigin([float(x) for x in description.center - 10])
    options = {"use_reference_image": True, "reference_image": image}
    expected = itk.resample_image_filter(image, transform=transform, **options)
    transform.SetBackend("torch")
    found = itk.resample_image_filter(image, transform=transform, **options)
    assert np.asarray(expected).std() > 0.1
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=1e-4)


@pytest.mark.parametrize(
    ("backend", "device", "message"),
    [
        ("gpu", "cpu", "Expected the backend cpu or torch, got gpu"),
        ("cpu", "cuda", "Expected the device cpu for the backend cpu, got cuda"),
        ("torch", "cuda:77", "expected device to be cpu, or cuda where"),
        ("torch", "meta", "expected cpu, cuda or cuda:N as device of the torch backend, got meta"),
    ],
)
def test_a_backend_that_is_not_there_is_refused(
    transform: itk.Transform, backend: str, device: str, message: str
) -> None:
    with pytest.raises(RuntimeError, match=message):
        transform.SetBackend(backend, device)
    assert transform.GetBackend() == "cpu"


def test_vectors_are_transformed_by_the_jacobian_and_covariant_ones_by_its_inverse(
    description: Description, transform: itk.Transform
) -> None:
    point = description.points(1)[0]
    jacobian = transform.JacobiansWithRespectToPosition([point])[0]
    values = np.array([0.3, -0.7, 1.1])[: description.dimension]
    vector_type = itk.Vector[itk.D, description.dimension]
    covariant_type = itk.CovariantVector[itk.D, description.dimension]
    mapped = transform.TransformVector(vector_type(values), point)
    np.testing.assert_allclose(mapped, jacobian @ values, atol=1e-13)
    mapped = transform.TransformCovariantVector(covariant_type(values), point)
    np.testing.assert_allclose(mapped, np.linalg.inv(jacobian).T @ values, atol=1e-12)


def test_outside_the_domain_the_displacement_is_that_of_the_nearest_boundary_point(
    description: Description, transform: itk.Transform
) -> None:
    direction = rotation(description.dimension)
    offset = np.full(description.dimension, 0.2) * description.half_extent
    offset[0] = description.half_extent[0]
    boundary = description.center + direction @ offset
    outside = boundary + 1000 * direction[:, 0]
    expected = transform.TransformPoints([boundary])[0] - boundary
    actual = transform.TransformPoints([outside])[0] - outside
    np.testing.assert_allclose(actual, expected, atol=1e-10, rtol=0)
    jacobian = transform.JacobiansWithRespectToPosition([outside])[0]
    np.testing.assert_allclose(jacobian @ direction[:, 0], direction[:, 0], atol=1e-12)
    assert abs(jacobian @ direction[:, 1] - direction[:, 1]).max() > 1e-3


def test_the_jacobian_on_the_boundary_is_the_one_from_within(
    description: Description, transform: itk.Transform
) -> None:
    direction = rotation(description.dimension)
    corner = description.center + direction @ description.half_extent
    within = description.center + direction @ (description.half_extent * (1 - 1e-8))
    on_boundary, expected = transform.JacobiansWithRespectToPosition([corner, within])
    np.testing.assert_allclose(on_boundary, expected, atol=1e-5)


def test_points_that_are_not_finite_stay_so(transform: itk.Transform) -> None:
    dimension = transform.GetInputSpaceDimension()
    for value in (np.nan, np.inf):
        assert not np.isfinite(transform.TransformPoints(np.full((1, dimension), value))).any()


@pytest.mark.parametrize(("kind", "dimension"), KINDS)
def test_the_inverse_is_the_other_field(kind: object, dimension: int) -> None:
    description = Description.random(dimension, SPLINE_CELLS[dimension])
    transform = make_transform(description, kind)
    points = description.points(50, 1.2)
    inverse = transform.GetInverseTransform()
    expected = description.transform(points, field=1)
    tolerance = 1e-5 if kind is itk.D else 1e-4
    np.testing.assert_allclose(inverse.TransformPoints(points), expected, atol=tolerance, rtol=0)
    given = itk.NePhiTransform[kind, dimension].New()
    assert transform.GetInverse(given)
    np.testing.assert_array_equal(given.TransformPoints(points), inverse.TransformPoints(points))
    again = inverse.GetInverseTransform()
    np.testing.assert_array_equal(again.TransformPoints(points), transform.TransformPoints(points))
    assert not transform.GetInverse(None)


def test_itk_sees_the_inverse_inside_a_composite(
    description: Description, transform: itk.Transform
) -> None:
    composite = itk.CompositeTransform[itk.D, description.dimension].New()
    composite.AddTransform(transform)
    inverse = composite.GetInverseTransform()
    point = description.points(1)[0]
    expected = transform.GetInverseTransform().TransformPoint(point)
    np.testing.assert_array_equal(inverse.TransformPoint(point), expected)


def test_it_is_neither_linear_nor_a_displacement_field(transform: itk.Transform) -> None:
    assert not transform.IsLinear()
    categories = itk.TransformBaseTemplateEnums
    unknown = categories.TransformCategory_UnknownTransformCategory
    assert transform.GetTransformCategory() == unknown


@pytest.mark.parametrize(("kind", "dimension"), KINDS)
def test_the_jacobian_with_respect_to_parameters_agrees_with_finite_differences(
    kind: object, dimension: int
) -> None:
    description = Description.random(dimension, SPLINE_CELLS[dimension])
    transform = make_transform(description, kind)
    rng = np.random.default_rng(1)
    count, splines = len(description.parameters), description.splines[0].size
    # along random directions, each within one of the parts: field, inverse field, codes, splines
    parts = np.split(
        np.arange(count),
        [
            description.weights[0].size,
            description.weights.size,
            count - 2 * splines,
            count - splines,
        ],
    )
    for point in description.points(4, 1.3):
        jacobian = itk.Array2D[kind]()
        point = [float(x) for x in np.asarray(point, np.float32)]
        transform.ComputeJacobianWithRespectToParameters(point, jacobian)
        jacobian = itk.array_from_vnl_matrix(jacobian)
        assert jacobian.shape == (dimension, len(description.parameters))
        for part in parts:
            direction = np.zeros(len(description.parameters))
            direction[part] = rng.normal(size=len(part)) / np.sqrt(len(part))
            step = 1e-4
            above, below = (
                description.with_parameters(description.parameters + sign * step * direction)
                for sign in (1, -1)
            )
            difference = above.transform(np.array([point])) - below.transform(np.array([point]))
            expected = difference[0] / (2 * step)
            tolerance = 1e-4 * (1 + abs(expected).max())
            np.testing.assert_allclose(jacobian @ direction, expected, atol=tolerance, rtol=0)
        assert not jacobian[:, parts[1]].any()
        assert not jacobian[:, parts[4]].any()


def test_a_point_has_the_same_bits_in_every_order_and_thread(
    description: Description, transform: itk.Transform
) -> None:
    points = description.points(500)
    mapped = transform.TransformPoints(points)
    np.testing.assert_array_equal(transform.TransformPoints(points[::-1])[::-1], mapped)
    np.testing.assert_array_equal([transform.TransformPoint(p) for p in points[:20]], mapped[:20])
    results: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: results.append(transform.TransformPoints(points)))
    thread.start()
    thread.join()
    np.testing.assert_array_equal(results[0], mapped)


def test_python_runs_on_while_points_are_mapped(
    description: Description, transform: itk.Transform
) -> None:
    points = description.points(400_000)
    thread = threading.Thread(target=lambda: transform.TransformPoints(points))
    thread.start()
    count = 0
    while thread.is_alive():
        count += 1
    assert count > 100


def test_getters_say_what_the_fixed_parameters_say(
    description: Description, transform: itk.Transform
) -> None:
    size, spacing, origin = DOMAINS[description.dimension]
    assert transform.GetFileFormatVersion() == (2 if description.spline_cells else 1)
    assert (transform.GetWidth(), transform.GetDepth()) == (WIDTH, DEPTH)
    assert transform.GetFrequencies() == FREQUENCIES
    assert transform.GetGlobalCodeSize() == GLOBAL_CODE_SIZE
    assert transform.GetLocalCodeChannels() == CHANNELS
    assert transform.GetLocalCodeGrid() == LOCAL_CODE_GRID[description.dimension]
    assert transform.GetSplineCells() == description.spline_cells
    assert (transform.GetSize(), transform.GetSpacing()) == (size, spacing)
    assert transform.GetOrigin() == origin
    np.testing.assert_array_equal(transform.GetDirection(), rotation(description.dimension))
    np.testing.assert_array_equal(transform.GetFrequencyMatrices(), description.frequencies)


def test_it_is_named_and_documented(transform: itk.Transform) -> None:
    assert re.fullmatch(
        r"<NePhiTransform_\w+ on 11 x 7.* voxels, [\d,]+ parameters>", repr(transform)
    )
    for name, value in vars(type(transform)).items():
        if callable(value) and not name.startswith("_"):
            assert value.__doc__ or name in ("New", "cast"), name
    assert type(transform).__doc__.strip().startswith("A neural deformation field")


def test_filters_of_itk_evaluate_the_same_points(
    description: Description, transform: itk.Transform
) -> None:
    dimension = description.dimension
    size, spacing, origin = DOMAINS[dimension]
    field_type = itk.Image[itk.Vector[itk.F, dimension], dimension]
    sampler = itk.TransformToDisplacementFieldFilter[field_type, itk.D].New(
        Transform=transform, Size=size, OutputSpacing=spacing, OutputOrigin=origin
    )
    sampler.SetOutputDirection(itk.matrix_from_array(rotation(dimension)))
    sampler.Update()
    displacement = itk.array_from_image(sampler.GetOutput()).reshape(-1, dimension)
    index = np.stack(np.meshgrid(*map(np.arange, reversed(size)), indexing="ij"), axis=-1)
    index = index.reshape(-1, dimension)[:, ::-1]
    points = origin + (index * spacing) @ rotation(dimension).T
    expected = transform.TransformPoints(points) - points
    np.testing.assert_allclose(displacement, expected, atol=1e-5, rtol=0)


def test_copies_map_alike(description: Description, transform: itk.Transform) -> None:
    points = description.points(20)
    expected = transform.TransformPoints(points)
    copies = [
        transform.Clone(),
        copy.copy(transform),
        copy.deepcopy(transform),
        pickle.loads(pickle.dumps(transform)),
    ]
    for other in copies:
        np.testing.assert_array_equal(itk.down_cast(other).TransformPoints(points), expected)


def test_a_clone_is_independent(description: Description, transform: itk.Transform) -> None:
    points = description.points(3)
    expected = transform.TransformPoints(points)
    clone = transform.Clone()
    transform.SetParameters(vector(np.zeros_like(description.parameters)))
    np.testing.assert_array_equal(clone.TransformPoints(points), expected)


READ_IN_A_PROCESS_WITH_ONLY_ITK = """
import importlib.metadata, sys
def missing(name): raise importlib.metadata.PackageNotFoundError(name)
importlib.metadata.metadata = missing  # so ITK asks whether torch is installed
sys.modules["torch"] = None
import itk, numpy
for name in sys.argv[1:]:
    transform = itk.transformread(name)[0]
    points = numpy.load(name + ".points.npy")
    numpy.save(name + ".mapped.npy", [transform.TransformPoint(point) for point in points])
assert "itk_nephi" not in sys.modules
"""


def test_a_process_with_only_itk_reads_what_was_written(tmp_path: Path) -> None:
    written = {}
    for dimension in (2, 3):
        description = Description.random(dimension, SPLINE_CELLS[dimension])
        transform = make_transform(description)
        shift = itk.TranslationTransform[itk.D, dimension].New()
        shift.Translate([1.5] * dimension)
        composite = itk.CompositeTransform[itk.D, dimension].New()
        composite.AddTransform(shift)
        composite.AddTransform(transform)
        for suffix in (".tfm", ".h5"):
            for kind, each in (("single", transform), ("composite", composite)):
                name = str(tmp_path / f"{kind}_{dimension}{suffix}")
                itk.transformwrite(each, name)
                np.save(name + ".points.npy", description.points(4))
                written[name] = each
    command = [sys.executable, "-c", READ_IN_A_PROCESS_WITH_ONLY_ITK, *written]
    subprocess.run(command, check=True, timeout=120)
    for name, each in written.items():
        expected = [each.TransformPoint(point) for point in np.load(name + ".points.npy")]
        np.testing.assert_array_equal(np.load(name + ".mapped.npy"), expected)


def test_the_float_transform_goes_through_files(tmp_path: Path) -> None:
    description = Description.random(3, SPLINE_CELLS[3])
    transform = make_transform(description, itk.F)
    path = tmp_path / "transform.h5"
    writer = itk.TransformFileWriterTemplate[itk.F].New(FileName=str(path))
    writer.AddTransform(transform)
    writer.Update()
    (read,) = itk.transformread(path)
    points = description.points(20)
    np.testing.assert_allclose(
        read.TransformPoints(points), transform.TransformPoints(points), atol=1e-4, rtol=0
    )


Damage = Callable[[np.ndarray], np.ndarray]


def change(position: int, value: float) -> Damage:
    def changed(fixed_parameters: np.ndarray) -> np.ndarray:
        result = fixed_parameters.copy()
        result[position] = value
        return result

    return changed


BAD_FIXED_PARAMETERS = {
    "none": (lambda fixed: fixed[:0], "version 1 or 2 as first fixed parameter, got 0"),
    "few": (lambda fixed: fixed[:10], "Expected at least 33 fixed parameters, got 10"),
    "one too few": (lambda fixed: fixed[:-1], "Expected 57 fixed parameters .*, got 56"),
    "one too many": (lambda fixed: np.append(fixed, 0), "Expected 57 fixed parameters .*, got 58"),
    "without splines": (change(0, 2), "and the cells of one or more splines, got 57"),
    "newer": (change(0, 3), "written by a newer itk-nephi, update itk-nephi"),
    "version zero": (change(0, 0), "first fixed parameter, got 0: the transform is damaged"),
    "version broken": (change(0, 1.5), "got 1.5: the transform is damaged"),
    "version nan": (change(0, np.nan), "the transform is damaged"),
    "version infinite": (change(0, np.inf), "the transform is damaged"),
    "no width": (change(1, 0), "the width .* from 1 to .*, got 0"),
    "width nan": (change(1, np.nan), "the width .*, got nan"),
    "width fraction": (change(1, 2.5), "the width .*whole number.*, got 2.5"),
    "width absurd": (change(1, 1e300), "the width .*, got 1e\\+300"),
    "width too large": (change(1, 1e6), "at most .* parameters, got"),
    "negative depth": (change(2, -1), "the depth .* from 0 to .*, got -1"),
    "no frequencies": (change(3, 0), "the number of frequencies .*, got 0"),
    "negative code": (change(4, -1), "the global code size .*, got -1"),
    "no channels": (change(5, 0), "the number of local code channels .*, got 0"),
    "flat grid": (change(8, 1), "the local code grid size .* from 2 to .*, got 1"),
    "flat image": (change(9, 1), "the image size .* from 2 to .*, got 1"),
    "no spacing": (change(13, 0), "positive spacing .*, got 0"),
    "negative spacing": (change(13, -1), "positive spacing .*, got -1"),
    "spacing nan": (change(13, np.nan), "the spacing .* finite number, got nan"),
    "origin infinite": (change(16, np.inf), "the origin .* finite number, got inf"),
    "not orthonormal": (change(18, 0.5), "direction matrix with orthonormal columns"),
    "frequency nan": (change(-1, np.nan), "the frequency .* finite number, got nan"),
}


BAD_SPLINES = {
    "one too few": (lambda fixed: fixed[:-1], "57 fixed parameters .* splines, got 62"),
    "one too many": (lambda fixed: np.append(fixed, 1), "57 fixed parameters .* splines, got 64"),
    "older": (change(0, 1), "Expected 57 fixed parameters for 5 frequencies, got 63"),
    "newer": (change(0, 3), "version 2 or an older one, got 3.*written by a newer itk-nephi"),
    "no cells": (change(-2, 0), "the number of cells of a spline .* from 1 to .*, got 0"),
    "cells nan": (change(-1, np.nan), "the number of cells of a spline .*, got nan"),
    "cells fraction": (
        change(57, 1.5),
        "the number of cells of a spline .*whole number.*, got 1.5",
    ),
    "too many cells": (change(58, 1e6), "at most .* parameters, got"),
}


@pytest.mark.parametrize(
    ("name", "spline_cells"),
    [(name, ()) for name in BAD_FIXED_PARAMETERS]
    + [(name, SPLINE_CELLS[3]) for name in BAD_SPLINES],
)
def test_bad_fixed_parameters_are_refused_and_change_nothing(
    name: str, spline_cells: tuple[tuple[int, ...], ...]
) -> None:
    damage, message = (BAD_SPLINES if spline_cells else BAD_FIXED_PARAMETERS)[name]
    description = Description.random(3, spline_cells)
    assert description.fixed_parameters.size == 57 + np.size(spline_cells)
    transform = make_transform(description)
    with pytest.raises(RuntimeError, match=message):
        transform.SetFixedParameters(vector(damage(description.fixed_parameters)))
    np.testing.assert_array_equal(transform.GetFixedParameters(), description.fixed_parameters)
    np.testing.assert_array_equal(transform.GetParameters(), description.parameters)
    points = description.points(3)
    expected = make_transform(description).TransformPoints(points)
    np.testing.assert_array_equal(transform.TransformPoints(points), expected)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda parameters: parameters[:-1], "Expected {size} parameters .*, got {shorter}"),
        (lambda parameters: parameters[:0], "Expected {size} parameters .*, got 0"),
        (change(7, np.nan), "Expected finite parameters of at most .*, got nan as number 7"),
        (change(-1, np.inf), "Expected finite parameters of at most .*, got inf"),
    ],
)
def test_bad_parameters_are_refused_and_change_nothing(
    description: Description, transform: itk.Transform, damage: Damage, message: str
) -> None:
    size = description.parameters.size
    points = description.points(3)
    expected = transform.TransformPoints(points)
    with pytest.raises(RuntimeError, match=message.format(size=size, shorter=size - 1)):
        transform.SetParameters(vector(damage(description.parameters)))
    np.testing.assert_array_equal(transform.GetParameters(), description.parameters)
    np.testing.assert_array_equal(transform.TransformPoints(points), expected)


def test_files_with_too_few_parameters_or_of_a_newer_version_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "transform.tfm"
    itk.transformwrite(itk.NePhiTransform[itk.D, 2].New(), path)
    text = path.read_text()
    path.write_text(text.replace("\nParameters: 0 ", "\nParameters: "))
    with pytest.raises(RuntimeError, match=r"Expected .* parameters .*, got"):
        itk.transformread(path)
    path.write_text(text.replace("FixedParameters: 1 ", "FixedParameters: 3 "))
    with pytest.raises(RuntimeError, match="written by a newer itk-nephi"):
        itk.transformread(path)
    path.write_text(text)
    assert itk.transformread(path)[0].GetNumberOfParameters() > 0


@pytest.mark.parametrize("points", [np.zeros(3), np.zeros((4, 2)), np.zeros((1, 1, 3))])
def test_points_of_another_shape_are_refused(points: np.ndarray) -> None:
    transform = itk.NePhiTransform[itk.D, 3].New()
    with pytest.raises(ValueError, match=r"expected points of shape \(N, 3\), got"):
        transform.TransformPoints(points)
    with pytest.raises(ValueError, match=r"expected points of shape \(N, 3\), got"):
        transform.JacobiansWithRespectToPosition(points)


def test_no_points_give_no_points(transform: itk.Transform) -> None:
    dimension = transform.GetInputSpaceDimension()
    assert transform.TransformPoints(np.empty((0, dimension))).shape == (0, dimension)


def test_any_layout_and_type_of_points_is_taken(
    description: Description, transform: itk.Transform
) -> None:
    points = np.round(description.points(6))
    expected = transform.TransformPoints(points)
    np.testing.assert_array_equal(transform.TransformPoints(np.asfortranarray(points)), expected)
    np.testing.assert_array_equal(transform.TransformPoints(points.astype(int)), expected)
    np.testing.assert_array_equal(transform.TransformPoints(points.tolist()), expected)


def test_another_object_is_not_cast_to_it() -> None:
    with pytest.raises(RuntimeError, match="expected an object of class itkNePhiTransformD3"):
        itk.NePhiTransform[itk.D, 3].cast(itk.TranslationTransform[itk.D, 3].New())


def test_printing_shows_sizes_and_domain() -> None:
    text = str(make_transform(Description.random(2, SPLINE_CELLS[2])))
    for line in (
        "SplineCells: [1, 2]",
        "SplineCells: [9, 5]",
        "Width: 37",
        "Depth: 2",
        "Frequencies: 5",
        "LocalCodeGrid: [4, 3]",
        "Scale: ",
    ):
        assert line in text


@pytest.mark.parametrize(
    ("version", "is_supported"),
    [
        ("5.3.0", False),
        ("5.4.0", False),
        ("5.4.2", True),
        ("5.4.2.post1", True),
        ("5.4.10", True),
        ("5.5.0", False),
        ("6.0.0", False),
    ],
)
def test_the_versions_of_itk_that_are_supported(version: str, is_supported: bool) -> None:
    assert NePhiConfig.is_supported_itk(version) == is_supported


IMPORT_WITH_ANOTHER_ITK = """
import itkConfig
itkConfig.ITK_GLOBAL_VERSION_STRING = "5.4.0"
import itk
from itk.support.base import itk_base_global_module_data
assert not itk_base_global_module_data["NePhi"].get_module_factories()
for attempt in range(2):
    try:
        itk.NePhiTransform
    except ImportError as error:
        assert str(error) == "itk-nephi: expected itk >=5.4.2,<5.5, got itk 5.4.0"
    else:
        raise AssertionError("no ImportError")
assert itk.TranslationTransform[itk.D, 3].New().GetNumberOfParameters() == 3
"""


def test_with_another_itk_only_our_class_is_refused() -> None:
    subprocess.run([sys.executable, "-c", IMPORT_WITH_ANOTHER_ITK], check=True, timeout=120)


@pytest.mark.parametrize("missing", ["FixedParameters", "Parameters"])
def test_a_file_without_all_parameters_does_not_read_as_the_identity(
    transform: itk.Transform, missing: str, tmp_path: Path
) -> None:
    path = tmp_path / "transform.tfm"
    itk.transformwrite([transform], str(path))
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith(f"{missing}:")))
    damaged = itk.transformread(str(path))[0]
    dimension = transform.GetInputSpaceDimension()
    point = [0.0] * dimension
    message = "the file of this transform is damaged"
    for use in (
        lambda: damaged.TransformPoint(point),
        lambda: damaged.TransformPoints([point]),
        lambda: damaged.JacobiansWithRespectToPosition([point]),
        lambda: damaged.GetInverseTransform(),
        lambda: damaged.GetFrequencyMatrices(),
        lambda: damaged.SetParameters(transform.GetParameters()),
    ):
        with pytest.raises(RuntimeError, match=message):
            use()
    damaged.SetFixedParameters(transform.GetFixedParameters())
    damaged.SetParameters(transform.GetParameters())
    np.testing.assert_array_equal(damaged.TransformPoint(point), transform.TransformPoint(point))
