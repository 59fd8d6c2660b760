import numpy as np
import pytest

from itk_nephi.alignment.explained_variance import explain, exponential, refine, similarity
from itk_nephi.alignment.level import Level
from itk_nephi.alignment.problem import generators, project
from itk_nephi.spatial.domain import Array


def picture(dimension: int, seed: int = 0, shift: float = 0.0) -> Level:
    """Smooth blobs on an anisotropic grid around the origin."""
    size, spacing = np.array([26, 20, 18][:dimension]), np.array([0.08, 0.1, 0.12][:dimension])
    origin = -spacing * (size - 1) / 2
    index = np.stack(np.indices(size[::-1])[::-1], -1)
    points = index * spacing + origin
    rng = np.random.default_rng(seed)
    values = np.zeros(size[::-1])
    for center in rng.uniform(-0.6, 0.6, (8, dimension)):
        values += rng.uniform(0.3, 1) * np.exp(-((points - center - shift) ** 2).sum(-1) / 0.08)
    values = (values - values.min()) / np.ptp(values)
    return Level(values[None], np.ones(values.shape), spacing, origin, 10**6)


def motion(dimension: int, seed: int, size: float) -> Array:
    steps = np.random.default_rng(seed).normal(size=dimension * (dimension + 1)) * size
    return exponential(np.tensordot(steps, generators(dimension, 3), axes=1))


def test_linear_functions_are_interpolated_exactly(dimension: int) -> None:
    level = picture(dimension)
    slope = np.array([0.3, -0.2, 0.5])[:dimension]
    index = np.stack(np.indices(level.weights.shape)[::-1], -1)
    values = (index * level.spacing + level.origin) @ slope
    level = Level(values[None], level.weights, level.spacing, level.origin, 10)
    points = np.random.default_rng(0).uniform(-0.9, 0.9, (dimension, 50))
    ((found, *gradient),) = level.sample(points)
    np.testing.assert_allclose(found, slope @ points + 1j, atol=1e-12)
    np.testing.assert_allclose(gradient, np.repeat(slope[:, None], 50, 1), atol=1e-12)
    assert not level.sample(points + 5).any()


def test_an_image_explains_itself_in_any_contrast(dimension: int) -> None:
    level = picture(dimension)
    reversed_level = Level(1 - level.values, level.weights, level.spacing, level.origin, 10**6)
    for other in (level, reversed_level):
        assert similarity(level, other, np.eye(dimension + 1)).explained == pytest.approx(1)


@pytest.mark.parametrize("backwards", [False, True])
def test_the_best_piecewise_linear_function_explains(dimension: int, backwards: bool) -> None:
    level, other = picture(dimension), picture(dimension, seed=1)
    matrix = motion(dimension, 3, 0.05)
    matrix[0, -1] += 0.6
    fit = explain(level, other, matrix, curved=True, backwards=backwards)
    points = matrix[:-1, :-1] @ level.points + matrix[:-1, -1:]
    ((found, *gradient),) = other.sample(points)
    (target,), weights = level.residuals, found.imag
    # ordinary least squares on hat functions, instead of their normal equations
    knots = np.linspace(0, 1, 8)
    hats = np.array([np.interp(found.real, knots, hat) for hat in np.eye(8)]).T
    centered = target - np.average(target, weights=weights)
    root = np.sqrt(weights)
    function = np.linalg.lstsq(hats * root[:, None], centered * root, rcond=None)[0]
    variance = weights @ centered**2
    unexplained = weights @ (centered - hats @ function) ** 2 / variance
    assert 0.1 < weights.mean() < 0.9
    assert fit.coverage == pytest.approx(weights.mean())
    assert fit.explained == pytest.approx(1 - unexplained, abs=1e-5)

    steepness = np.diff(function)[np.minimum(found.real * 7, 6).astype(int)] * 7
    slope, acted = np.real(gradient), points
    if backwards:
        slope, acted = -matrix[:-1, :-1].T @ slope, level.points
    steep = steepness * slope
    columns = np.concatenate([*(part * acted for part in steep), steep])
    hessian = (columns * weights) @ columns.T / variance
    np.testing.assert_allclose(fit.hessian, hessian, atol=1e-3 * np.abs(hessian).max())


def test_the_gradient_is_that_of_the_similarity(dimension: int) -> None:
    fixed, moving = picture(dimension), picture(dimension, shift=0.05)
    # half a voxel aside, where linear interpolation is smooth
    matrix = motion(dimension, 3, 0.03)
    matrix[:-1, -1] += 0.037
    fit = similarity(fixed, moving, matrix)
    for number, generator in enumerate(unit_motions(dimension)):
        step = 1e-4
        up, down = (
            similarity(fixed, moving, exponential(sign * step * generator) @ matrix).explained
            for sign in (1, -1)
        )
        expected = -(up - down) / (2 * step) / 2
        assert fit.gradient[number] == pytest.approx(expected, abs=0.03 * abs(fit.gradient).max())


def unit_motions(dimension: int) -> Array:
    """Elements of the linear part row by row, then the translation."""
    basis = generators(dimension, 3)
    return np.concatenate([basis[dimension:], basis[:dimension]])


def test_exchanged_levels_are_as_similar(dimension: int) -> None:
    fixed, moving = picture(dimension), picture(dimension, seed=1)
    matrix = motion(dimension, 3, 0.05)
    one = similarity(fixed, moving, matrix).explained
    other = similarity(moving, fixed, np.linalg.inv(matrix)).explained
    assert one == pytest.approx(other, abs=1e-12)


def test_no_overlap_explains_nothing(dimension: int) -> None:
    level, matrix = picture(dimension), np.eye(dimension + 1)
    matrix[0, -1] = 10
    assert similarity(level, level, matrix).explained == 0


@pytest.mark.parametrize("degrees", [0, 1, 2, 3])
def test_a_known_motion_is_undone(dimension: int, degrees: int) -> None:
    level = picture(dimension)
    basis = generators(dimension, degrees)
    steps = np.random.default_rng(1).normal(size=len(basis)) * 0.03
    start = exponential(np.tensordot(steps, basis, axes=1))
    found, explained = refine(level, level, start, basis, iterations=30, tolerance=1e-6)
    assert np.abs(start - np.eye(dimension + 1)).max() > 0.02
    np.testing.assert_allclose(found, np.eye(dimension + 1), atol=1e-3)
    assert explained > similarity(level, level, start).explained


@pytest.mark.parametrize("degrees", [0, 1, 2, 3])
def test_motions_stay_in_their_group(dimension: int, degrees: int) -> None:
    basis = generators(dimension, degrees)
    steps = np.random.default_rng(1).normal(size=len(basis)) * 0.3
    matrix = exponential(np.tensordot(steps, basis, axes=1))
    np.testing.assert_allclose(project(matrix, degrees), matrix, atol=1e-12)
