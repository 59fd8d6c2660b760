"""Everything in ITK that takes a transform takes itk.NePhiTransform; each against an oracle."""

from __future__ import annotations

import copy
import pickle
import resource
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array
import itk
import numpy as np
import pytest
import torch
from dask.delayed import delayed
from support.transforms import PRECISIONS, in_precision, points_around

from itk_nephi.fields.deformation import Deformation, transform_from_deformation
from itk_nephi.spatial.domain import Array, ImageDomain, image_from_array


@pytest.fixture
def transform(deformation: Deformation) -> Any:
    return transform_from_deformation(deformation)


@pytest.fixture
def moving_domain(domain: ImageDomain) -> ImageDomain:
    """A grid of its own that covers most of the domain."""
    dimension = domain.dimension
    direction = np.array(domain.direction)[:, ::-1] * [-1, 1, 1][:dimension]
    size, spacing = (9, 8, 10)[:dimension], (1.3, 0.9, 1.1)[:dimension]
    origin = domain.center - direction @ ((np.array(size) - 1) * spacing / 2)
    return ImageDomain(size, spacing, tuple(origin), tuple(map(tuple, direction)))


def interpolate(values: Array, index: Array, *, nearest: bool = False) -> Array:
    """Interpolate an array (k, j, i, ...) at indices (..., D), i first; 0 outside as in ITK."""
    dimension = index.shape[-1]
    last = np.array(values.shape[:dimension][::-1]) - 1
    inside = np.all((index >= -0.5) & (index < last + 0.5), axis=-1)
    index = np.floor(index + 0.5) if nearest else index
    index = np.clip(index, 0, last)
    lower = np.minimum(index.astype(int), last - 1)
    result = np.zeros((*index.shape[:-1], *values.shape[dimension:]))
    for corner in np.ndindex(*(2,) * dimension):
        weight = np.prod(1 - abs(index - lower - corner), axis=-1) * inside
        vertex = values[tuple(np.moveaxis(lower + corner, -1, 0)[::-1])]
        result += weight.reshape(inside.shape + (1,) * (result.ndim - inside.ndim)) * vertex
    return result


def mapped_grid(transform: Any, domain: ImageDomain) -> Array:
    points = domain.grid_points()
    return transform.TransformPoints(points.reshape(-1, domain.dimension)).reshape(points.shape)


def resample(moving: Any, transform: Any, domain: ImageDomain, **settings: Any) -> Any:
    return itk.resample_image_filter(
        moving,
        transform=transform,
        size=domain.size,
        output_spacing=domain.spacing,
        output_origin=domain.origin,
        output_direction=itk.matrix_from_array(np.array(domain.direction)),
        **settings,
    )


def random_values(domain: ImageDomain, components: int | None, dtype: Any) -> Array:
    shape = domain.size[::-1] + (() if components is None else (components,))
    return np.random.default_rng(5).integers(1, 250, shape).astype(dtype)


@pytest.mark.parametrize("kind", ["scalar", "labels", "RGB", "vector", "VectorImage"])
def test_resampling_interpolates_at_the_mapped_points(
    kind: str, transform: Any, domain: ImageDomain, moving_domain: ImageDomain
) -> None:
    dimension = domain.dimension
    dtype = np.uint8 if kind in ("labels", "RGB") else np.float32
    components = {"RGB": 3, "vector": dimension, "VectorImage": 4}.get(kind)
    values = random_values(moving_domain, components, dtype)
    image_type = {
        "RGB": itk.Image[itk.RGBPixel[itk.UC], dimension],
        "vector": itk.Image[itk.Vector[itk.F, dimension], dimension],
        "VectorImage": itk.VectorImage[itk.F, dimension],
    }.get(kind)
    moving = itk.image_from_array(values, ttype=image_type)
    moving.SetSpacing(moving_domain.spacing)
    moving.SetOrigin(moving_domain.origin)
    moving.SetDirection(np.array(moving_domain.direction))
    settings = {}
    if kind == "labels":
        interpolator = itk.NearestNeighborInterpolateImageFunction[type(moving), itk.D].New()
        settings["interpolator"] = interpolator
    index = moving_domain.index_from_points(mapped_grid(transform, domain))
    expected = interpolate(values, index, nearest=kind == "labels")
    found = itk.array_from_image(resample(moving, transform, domain, **settings))
    assert (expected > 0).mean() > 0.3
    # ITK cuts the fractions of RGB off
    tolerance = {"labels": 0, "RGB": 1}.get(kind, 1e-3)
    np.testing.assert_allclose(found, expected, atol=tolerance, rtol=0)


def test_streams_regions_and_threads_give_the_same_bits(
    transform: Any, domain: ImageDomain, image: Any
) -> None:
    expected = itk.array_from_image(resample(image, transform, domain))

    def filter_for(units: int) -> Any:
        resampler = itk.ResampleImageFilter.New(
            image, Transform=transform, UseReferenceImage=True, ReferenceImage=image
        )
        resampler.SetNumberOfWorkUnits(units)
        return resampler

    for units in (1, 2, 7):
        whole = filter_for(units)
        streamer = itk.StreamingImageFilter.New(whole, NumberOfStreamDivisions=4)
        streamer.Update()
        np.testing.assert_array_equal(itk.array_from_image(streamer.GetOutput()), expected)
        begin, size = [2, 1, 1][: domain.dimension], [5, 3, 2][: domain.dimension]
        part = itk.RegionOfInterestImageFilter.New(whole)
        part.SetRegionOfInterest(itk.ImageRegion[domain.dimension](begin, size))
        whole.Modified()
        part.Update()
        found = itk.array_from_image(part.GetOutput())
        assert whole.GetOutput().GetBufferedRegion().GetSize() == size
        slices = [slice(b, b + n) for b, n in zip(begin, size, strict=True)][::-1]
        np.testing.assert_array_equal(found, expected[tuple(slices)])


@PRECISIONS
def test_a_displacement_field_moves_the_voxels_alike(
    precision: Any, transform: Any, domain: ImageDomain, moving_domain: ImageDomain
) -> None:
    dimension = domain.dimension
    transform = in_precision(transform, precision)
    field_type = itk.Image[itk.Vector[itk.F, dimension], dimension]
    sampler = itk.TransformToDisplacementFieldFilter[field_type, precision].New(
        Transform=transform,
        Size=domain.size,
        OutputSpacing=domain.spacing,
        OutputOrigin=domain.origin,
        OutputDirection=itk.matrix_from_array(np.array(domain.direction)),
    )
    sampler.Update()
    field = sampler.GetOutput()
    of_field = itk.DisplacementFieldTransform[itk.F, dimension].New(DisplacementField=field)
    points = domain.grid_points().reshape(-1, dimension)
    expected = transform.TransformPoints(points)
    # the points are float32, about 100 mm
    for point, mapped in list(zip(points, expected, strict=True))[::7]:
        found = of_field.TransformPoint([float(np.float32(x)) for x in point])
        np.testing.assert_allclose(found, mapped, atol=1e-3, rtol=0)
    if precision is itk.D:
        moving = image_from_array(random_values(moving_domain, None, np.float32), moving_domain)
        warper = itk.WarpImageFilter.New(
            moving,
            DisplacementField=field,
            OutputSpacing=domain.spacing,
            OutputOrigin=domain.origin,
            OutputDirection=itk.matrix_from_array(np.array(domain.direction)),
        )
        warper.Update()
        found = resample(moving, transform, domain)
        np.testing.assert_allclose(found, warper.GetOutput(), atol=0.05, rtol=0)


def affine_of(dimension: int, precision: Any) -> Any:
    affine = itk.AffineTransform[precision, dimension].New()
    affine.Rotate(0, 1, 0.2)
    affine.Scale([1.1, 0.9, 1.05][:dimension])
    affine.Translate([1.5, -2.0, 0.5][:dimension])
    return affine


def composite_of(*transforms: Any) -> Any:
    """Return a composite that applies the last transform first."""
    precision, dimension = itk.template(transforms[0])[1][:2]
    composite = itk.CompositeTransform[precision, dimension].New()
    for transform in transforms:
        composite.AddTransform(transform)
    return composite


def array_from_fixed_matrix(matrix: Any) -> Array:
    dimension = matrix.rows()
    return np.array([[matrix.get(i, j) for j in range(dimension)] for i in range(dimension)])


@pytest.fixture
def parts(transform: Any, domain: ImageDomain) -> list[Any]:
    """Maps that a composite applies from the last to the first."""
    affine = affine_of(domain.dimension, itk.D)
    return [affine, transform, affine.GetInverseTransform(), transform.GetInverseTransform()]


def test_a_composite_three_deep_and_flat_maps_through_each_part(
    parts: list[Any], domain: ImageDomain
) -> None:
    first, second, third, fourth = parts
    composite = composite_of(first, composite_of(second, composite_of(third, fourth)))
    flat = composite_of(first, composite_of(second, composite_of(third, fourth)))
    flat.FlattenTransformQueue()
    assert flat.GetNumberOfTransforms() == 4
    inverse = composite.GetInverseTransform()
    for point in points_around(domain, 10, 1.2).tolist():
        expected, jacobian = np.array(point), np.eye(domain.dimension)
        for part in reversed(parts):
            local = itk.vnl_matrix_fixed[itk.D, domain.dimension, domain.dimension]()
            part.ComputeInverseJacobianWithRespectToPosition(expected.tolist(), local)
            jacobian = jacobian @ array_from_fixed_matrix(local)
            expected = np.array(part.TransformPoint(expected.tolist()))
        np.testing.assert_allclose(composite.TransformPoint(point), expected, atol=1e-10, rtol=0)
        np.testing.assert_allclose(flat.TransformPoint(point), expected, atol=1e-10, rtol=0)
        vector = np.arange(1.0, domain.dimension + 1)
        found = composite.TransformVector(itk.Vector[itk.D, domain.dimension](vector), point)
        np.testing.assert_allclose(found, np.linalg.solve(jacobian, vector), atol=1e-9, rtol=0)
        back = np.array(point)
        for part in parts:
            back = np.array(part.GetInverseTransform().TransformPoint(back.tolist()))
        np.testing.assert_allclose(inverse.TransformPoint(point), back, atol=1e-9, rtol=0)


METRICS = ["MeanSquaresImageToImageMetricv4", "MattesMutualInformationImageToImageMetricv4"]


def ramp_image(domain: ImageDomain) -> tuple[Callable[[Array], Array], Any]:
    """Return a linear function of physical points, and an image of it around the domain.

    Interpolation and central differences are exact for it.
    """
    slope = np.array([0.7, -0.4, 0.3])[: domain.dimension]
    margin = 5

    def ramp(points: Array) -> Array:
        return (points - domain.center) @ slope

    wide = ImageDomain(
        tuple(n + 2 * margin for n in domain.size),
        domain.spacing,
        tuple(domain.points_from_index(np.full(domain.dimension, -margin))),
        domain.direction,
    )
    return ramp, image_from_array(ramp(wide.grid_points()), wide)


@pytest.mark.parametrize("name", METRICS)
def test_metrics_differentiate_by_the_parameters(
    name: str, transform: Any, domain: ImageDomain
) -> None:
    ramp, moving = ramp_image(domain)
    values = ramp(domain.grid_points()) + np.random.default_rng(0).normal(size=domain.size[::-1])
    fixed = image_from_array(values, domain)
    metric = getattr(itk, name)[type(fixed), type(moving)].New(
        FixedImage=fixed,
        MovingImage=moving,
        MovingTransform=transform,
        UseMovingImageGradientFilter=False,
        UseFixedImageGradientFilter=False,
    )
    metric.SetVirtualDomainFromImage(fixed)
    metric.Initialize()
    if name == METRICS[0]:
        expected = np.mean((ramp(mapped_grid(transform, domain)) - values) ** 2)
        assert metric.GetValue() == pytest.approx(expected, rel=1e-6)
    assert metric.GetNumberOfParameters() == transform.GetNumberOfParameters()
    assert metric.GetNumberOfLocalParameters() == transform.GetNumberOfParameters()
    assert not metric.HasLocalSupport()

    derivative = itk.Array[itk.D]()
    metric.GetDerivative(derivative)
    assert metric.GetNumberOfValidPoints() == values.size
    # ITK's derivative points to where the metric falls
    gradient = -itk.array_from_vnl_vector(derivative)
    parameters = np.array(transform.GetParameters())
    rng = np.random.default_rng(1)
    for _ in range(4):
        direction = rng.normal(size=parameters.size)
        direction *= 1e-3 / np.linalg.norm(direction)
        sides = []
        for sign in (1, -1):
            shifted = (parameters + sign * direction).tolist()
            transform.SetParameters(itk.OptimizerParameters[itk.D](shifted))
            metric.Initialize()
            sides.append(metric.GetValue())
        expected = (sides[0] - sides[1]) / 2
        size = np.linalg.norm(gradient) * 1e-3 / np.sqrt(parameters.size)
        assert gradient @ direction == pytest.approx(expected, rel=1e-2, abs=1e-2 * size)


def blob_image(domain: ImageDomain, points: Array) -> Any:
    offset = (points - domain.center) / domain.half_extent.min()
    return image_from_array(np.exp(-(offset**2).sum(axis=-1)).astype(np.float32), domain)


@pytest.mark.parametrize("optimizer", ["gradient descent", "estimated scales", "LBFGS"])
def test_registration_in_itk_starts_from_it(
    optimizer: str, transform: Any, domain: ImageDomain
) -> None:
    fixed = blob_image(domain, domain.grid_points())
    moving = blob_image(domain, mapped_grid(transform.GetInverseTransform(), domain))
    image_type = type(fixed)

    def mean_squares() -> float:
        difference = itk.array_from_image(resample(moving, transform, domain)) - fixed
        return float(np.mean(difference**2))

    before, count = mean_squares(), transform.GetNumberOfParameters()
    start = np.array(transform.GetParameters())
    metric = itk.MeanSquaresImageToImageMetricv4[image_type, image_type].New()
    if optimizer == "LBFGS":
        optimizer = itk.LBFGSOptimizerv4.New(MaximumNumberOfFunctionEvaluations=15)
    else:
        optimizer = itk.GradientDescentOptimizerv4Template[itk.D].New(
            NumberOfIterations=10, LearningRate=2e-2
        )
        if optimizer == "estimated scales":
            scales = itk.RegistrationParameterScalesFromPhysicalShift[type(metric)].New(
                Metric=metric
            )
            optimizer.SetScalesEstimator(scales)
            optimizer.SetDoEstimateLearningRateOnce(True)
    registration = itk.ImageRegistrationMethodv4[image_type, image_type].New(
        FixedImage=fixed,
        MovingImage=moving,
        Metric=metric,
        Optimizer=optimizer,
        InitialTransform=transform,
        InPlace=True,
        NumberOfLevels=1,
    )
    registration.Update()
    assert metric.GetNumberOfParameters() == count
    assert len(optimizer.GetScales()) == count
    assert np.abs(np.array(transform.GetParameters()) - start).max() > 0
    result = itk.down_cast(registration.GetTransform())
    point = domain.center.tolist()
    np.testing.assert_array_equal(result.TransformPoint(point), transform.TransformPoint(point))
    assert mean_squares() < 0.9 * before


def jacobian_at(transform: Any, point: list[float]) -> Array:
    return transform.JacobiansWithRespectToPosition([point])[0]


@PRECISIONS
def test_the_inverse_jacobian_is_that_of_numpy(
    precision: Any, transform: Any, domain: ImageDomain
) -> None:
    dimension = domain.dimension
    transform = in_precision(transform, precision)
    for point in points_around(domain, 10, 1.3).astype(np.float32).tolist():
        inverse = itk.vnl_matrix_fixed[precision, dimension, dimension]()
        transform.ComputeInverseJacobianWithRespectToPosition(point, inverse)
        expected = np.linalg.inv(jacobian_at(transform, point))
        tolerance = (1e-12 if precision is itk.D else 1e-5) * np.linalg.norm(expected) ** 2
        np.testing.assert_allclose(
            array_from_fixed_matrix(inverse), expected, atol=tolerance, rtol=0
        )


def pixel(values: Array, precision: Any) -> Any:
    result = itk.VariableLengthVector[precision]()
    result.SetSize(values.size)
    for n, value in enumerate(values.ravel().tolist()):
        result.SetElement(n, value)
    return result


@PRECISIONS
def test_tensors_and_vector_pixels_go_through_the_jacobian(
    precision: Any, transform: Any, domain: ImageDomain
) -> None:
    dimension = domain.dimension
    transform = in_precision(transform, precision)
    point = points_around(domain, 1, 0.9).astype(np.float32)[0].tolist()
    jacobian = jacobian_at(transform, point)
    inverse = np.linalg.inv(jacobian)
    rng = np.random.default_rng(0)
    vector = rng.normal(size=dimension)
    symmetric = rng.normal(size=(dimension, dimension))
    symmetric += symmetric.T
    tolerance = 1e-10 if precision is itk.D else 1e-4

    def check(found: Any, expected: Array) -> None:
        np.testing.assert_allclose(found, expected, atol=tolerance, rtol=0)

    check(transform.TransformVector(pixel(vector, precision), point), jacobian @ vector)
    covariant = transform.TransformCovariantVector(pixel(vector, precision), point)
    check(covariant, inverse.T @ vector)
    expected = jacobian @ symmetric @ inverse
    found = transform.TransformSymmetricSecondRankTensor(pixel(symmetric, precision), point)
    check(np.reshape(found, (dimension, dimension)), expected)
    upper = np.triu_indices(dimension)
    tensor = itk.SymmetricSecondRankTensor[precision, dimension]()
    for n, value in enumerate(symmetric[upper].tolist()):
        tensor.SetNthComponent(n, value)
    found = transform.TransformSymmetricSecondRankTensor(tensor, point)
    # the product is not symmetric: ITK keeps what is below its diagonal
    check([found.GetNthComponent(n) for n in range(len(upper[0]))], expected.T[upper])


@PRECISIONS
def test_diffusion_tensors_keep_their_eigenvalues_and_turn_with_the_principal_direction(
    precision: Any, transform: Any, domain: ImageDomain
) -> None:
    transform = in_precision(transform, precision)
    point = points_around(domain, 1, 0.9).astype(np.float32)[0].tolist()
    inverse = np.eye(3)
    inverse[: domain.dimension, : domain.dimension] = np.linalg.inv(jacobian_at(transform, point))
    directions = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    values = np.array([3.0, 2.0, 1.0])
    entries = (directions * values @ directions.T)[np.triu_indices(3)]
    tensor = itk.DiffusionTensor3D[precision]()
    for n, value in enumerate(entries.tolist()):
        tensor.SetNthComponent(n, value)
    # Gram and Schmidt: principal direction first, then the second within its plane
    turned = np.linalg.qr((inverse @ directions)[:, :2], mode="complete")[0]
    expected = (turned * values @ turned.T)[np.triu_indices(3)]
    found = transform.TransformDiffusionTensor3D(tensor, point)
    tolerance = 1e-10 if precision is itk.D else 1e-4
    np.testing.assert_allclose(
        [found.GetNthComponent(n) for n in range(6)], expected, atol=tolerance, rtol=0
    )


@PRECISIONS
def test_parameters_are_updated_by_a_step(precision: Any, transform: Any) -> None:
    transform = in_precision(transform, precision)
    parameters = np.array(transform.GetParameters())
    step = np.random.default_rng(0).normal(scale=0.01, size=parameters.size)
    update = itk.Array[precision](parameters.size)
    for n, value in enumerate(step.tolist()):
        update.SetElement(n, value)
    expected = transform.Clone()
    stepped = (parameters + 0.5 * step).tolist()
    expected.SetParameters(itk.OptimizerParameters[precision](stepped))
    transform.UpdateTransformParameters(update, 0.5)
    tolerance = 1e-14 if precision is itk.D else 1e-6
    np.testing.assert_allclose(
        np.array(transform.GetParameters()), stepped, atol=tolerance, rtol=1e-6
    )
    points = np.random.default_rng(1).normal(size=(5, transform.GetInputSpaceDimension()))
    np.testing.assert_allclose(
        transform.TransformPoints(points), expected.TransformPoints(points), atol=1e-4, rtol=0
    )
    with pytest.raises(RuntimeError, match=r"an update of \d+ parameters, got 1"):
        transform.UpdateTransformParameters(itk.Array[precision](1), 1.0)


POINT_SETS = pytest.mark.parametrize("kind", ["PointSet", "Mesh"])


def point_set_of(kind: str, points: Array) -> Any:
    """Return a set of points, float32 as all of ITK's in Python, with data and cells."""
    point_set = getattr(itk, kind)[itk.F, points.shape[1]].New()
    point_set.SetPoints(itk.vector_container_from_array(points.astype(np.float32).ravel()))
    data = np.arange(len(points), dtype=np.float32)
    point_set.SetPointData(itk.vector_container_from_array(data))
    if kind == "Mesh":
        triangle = itk.CommonEnums.CellGeometry_TRIANGLE_CELL
        cells = np.array([[triangle, 3, n, n + 1, n + 2] for n in range(len(points) - 2)])
        point_set.SetCellsArray(itk.vector_container_from_array(cells.astype(np.uint64).ravel()))
    return point_set


@POINT_SETS
def test_point_sets_move_and_keep_cells_and_data(
    kind: str, transform: Any, domain: ImageDomain
) -> None:
    points = points_around(domain, 6, 1.2)
    point_set = point_set_of(kind, points)
    given = itk.array_from_vector_container(point_set.GetPoints()).copy()
    moved = transform.TransformPoints(point_set)
    assert type(moved) is type(point_set)
    found = itk.array_from_vector_container(moved.GetPoints())
    np.testing.assert_array_equal(found, transform.TransformPoints(given).astype(np.float32))
    np.testing.assert_array_equal(itk.array_from_vector_container(point_set.GetPoints()), given)
    data = itk.array_from_vector_container(moved.GetPointData())
    np.testing.assert_array_equal(data, np.arange(6))
    if kind == "Mesh":
        cells = [itk.array_from_vector_container(m.GetCellsArray()) for m in (moved, point_set)]
        assert moved.GetNumberOfCells() == 4
        np.testing.assert_array_equal(*cells)
    other_dimension = point_set_of(kind, np.zeros((3, 5 - domain.dimension)))
    with pytest.raises(ValueError, match="expected points of shape"):
        transform.TransformPoints(other_dimension)
    empty = transform.TransformPoints(type(point_set).New())
    assert empty.GetNumberOfPoints() == 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64])
def test_tensors_move_as_arrays_do(dtype: torch.dtype, transform: Any, domain: ImageDomain) -> None:
    points = torch.tensor(points_around(domain, 6, 1.2)).to(dtype)
    expected = torch.tensor(transform.TransformPoints(points.double().numpy()))
    moved = transform.TransformPoints(points)
    kept = dtype if dtype.is_floating_point else torch.float64
    torch.testing.assert_close(moved, expected.to(kept), rtol=0, atol=0)
    with pytest.raises(RuntimeError, match="requires grad"):
        transform.TransformPoints(points.double().requires_grad_())
    with pytest.raises(ValueError, match="expected points of shape"):
        transform.TransformPoints(torch.zeros(4))


@PRECISIONS
def test_the_mesh_filter_moves_the_points(
    precision: Any, transform: Any, domain: ImageDomain
) -> None:
    transform = in_precision(transform, precision)
    mesh = point_set_of("Mesh", points_around(domain, 6, 1.2))
    base = itk.Transform[precision, domain.dimension, domain.dimension]
    mover = itk.TransformMeshFilter[type(mesh), type(mesh), base].New(mesh, Transform=transform)
    mover.Update()
    found = itk.array_from_vector_container(mover.GetOutput().GetPoints())
    moved = itk.array_from_vector_container(transform.TransformPoints(mesh).GetPoints())
    # float32 points, 100 mm
    np.testing.assert_allclose(found, moved, atol=5e-5, rtol=0)


def test_a_metric_of_point_sets_moves_the_fixed_points(transform: Any, domain: ImageDomain) -> None:
    fixed, moving = (points_around(domain, count, 0.9).astype(np.float32) for count in (6, 9))
    fixed_set, moving_set = (point_set_of("PointSet", points) for points in (fixed, moving))
    metric = itk.EuclideanDistancePointSetToPointSetMetricv4[type(fixed_set)].New(
        FixedPointSet=fixed_set, MovingPointSet=moving_set, MovingTransform=transform
    )
    metric.Initialize()
    moved = transform.TransformPoints(fixed)
    distances = np.linalg.norm(moved[:, None] - moving, axis=-1)
    assert metric.GetValue() == pytest.approx(distances.min(axis=1).mean(), rel=1e-5)


COMPOSITES = pytest.mark.parametrize("suffix", [".tfm", ".h5"])


@COMPOSITES
@PRECISIONS
def test_flattened_composites_go_through_files(
    suffix: str, precision: Any, transform: Any, domain: ImageDomain, tmp_path: Path
) -> None:
    transform = in_precision(transform, precision)
    affine = affine_of(domain.dimension, precision)
    composite = composite_of(affine, composite_of(transform, composite_of(affine, transform)))
    composite.FlattenTransformQueue()
    path = tmp_path / f"composite{suffix}"
    writer = itk.TransformFileWriterTemplate[precision].New(FileName=str(path))
    writer.SetInput(composite)
    writer.Update()
    (read,) = itk.transformread(path)
    assert read.GetNumberOfTransforms() == 4
    for point in points_around(domain, 6, 1.2).astype(np.float32).tolist():
        expected = composite.TransformPoint(point)
        np.testing.assert_allclose(read.TransformPoint(point), expected, atol=2e-4, rtol=0)


def test_a_composite_is_copied_and_pickled(parts: list[Any], domain: ImageDomain) -> None:
    composite = composite_of(*parts)
    point = domain.center.tolist()
    expected = composite.TransformPoint(point)
    for other in (
        copy.copy(composite),
        copy.deepcopy(composite),
        pickle.loads(pickle.dumps(composite)),
        composite.Clone(),
    ):
        np.testing.assert_array_equal(other.TransformPoint(point), expected)


def test_dask_moves_points_and_images_in_threads(
    transform: Any, domain: ImageDomain, image: Any
) -> None:
    points = points_around(domain, 1000, 1.2)
    chunks = dask.array.from_array(points, chunks=(70, domain.dimension))
    moved = chunks.map_blocks(transform.TransformPoints, dtype=float)
    found = moved.compute(scheduler="threads", num_workers=4)
    np.testing.assert_array_equal(found, transform.TransformPoints(points))
    inverse = transform.GetInverseTransform()
    maps = [transform, inverse] * 4
    tasks = [delayed(itk.array_from_image)(delayed(resample)(image, each, domain)) for each in maps]
    expected = [itk.array_from_image(resample(image, each, domain)) for each in maps[:2]] * 4
    found = dask.compute(*tasks, scheduler="threads", num_workers=4)
    np.testing.assert_array_equal(found, expected)


def test_parameters_changed_between_runs_leave_no_old_values(
    transform: Any, domain: ImageDomain, image: Any
) -> None:
    inverse = transform.GetInverseTransform()
    expected = [
        itk.array_from_image(resample(image, each, domain)) for each in (transform, inverse)
    ]
    wrong: list[int] = []

    def alternate() -> None:
        own = transform.Clone()
        resampler = itk.ResampleImageFilter.New(
            image, Transform=own, UseReferenceImage=True, ReferenceImage=image
        )
        for n in range(20):
            each = (transform, inverse)[n % 2]
            own.SetFixedParameters(each.GetFixedParameters())
            own.SetParameters(each.GetParameters())
            resampler.Update()
            if not np.array_equal(itk.array_from_image(resampler.GetOutput()), expected[n % 2]):
                wrong.append(n)

    threads = [threading.Thread(target=alternate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_thousands_of_transforms_leave_no_memory_behind(
    transform: Any, domain: ImageDomain
) -> None:
    point = domain.center.tolist()
    text = pickle.dumps(transform)

    def make(count: int) -> None:
        for _ in range(count):
            other = transform.Clone()
            other.TransformPoint(point)
            composite_of(other.GetInverseTransform(), other).TransformPoint(point)
            pickle.loads(text)

    make(100)
    before = resident_bytes()
    make(1000)
    size = 8 * transform.GetNumberOfParameters()
    assert resident_bytes() - before < 1000 * size / 4


def test_a_refused_step_changes_nothing(transform: Any) -> None:
    parameters = np.array(transform.GetParameters())
    step = itk.Array[itk.D](parameters.size)
    step.Fill(np.nan)
    with pytest.raises(RuntimeError, match="Expected finite parameters"):
        transform.UpdateTransformParameters(step, 1.0)
    np.testing.assert_array_equal(np.array(transform.GetParameters()), parameters)


def test_parameters_refused_by_way_of_a_composite_change_nothing(transform: Any) -> None:
    parameters = np.array(transform.GetParameters())
    dimension = transform.GetInputSpaceDimension()
    composite = itk.CompositeTransform[itk.D, dimension].New()
    composite.AddTransform(itk.TranslationTransform[itk.D, dimension].New())
    composite.AddTransform(transform)
    refused = itk.OptimizerParameters[itk.D](composite.GetNumberOfParameters())
    refused.Fill(np.nan)
    with pytest.raises(RuntimeError, match="Expected finite parameters"):
        composite.SetParameters(refused)
    np.testing.assert_array_equal(np.array(transform.GetParameters()), parameters)
