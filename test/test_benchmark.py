"""What the benchmarks measure with is right."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from itk_nephi import FieldSettings, RegistrationSettings, register
from itk_nephi.evaluation.metrics import landmark_errors
from itk_nephi.fields.latent_code import LatentCode
from itk_nephi.phantoms.pairs import deformed_shape
from itk_nephi.spatial.domain import ImageDomain, image_from_array
from itk_nephi.spatial.transforms import flatten, jacobians

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmark"))

from method import determinants
from representations import REPRESENTATIONS, cubic_basis, represented_by
from tables import read_table, table
from trials import elastix, mean_interval, nephi, once, shortened, spread
from voxel_field import VoxelField


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    header, rows = ["share", "Dice", "by seed"], [["4^-1", "0.5", "0.4 to 0.6"], ["", "-", "nan"]]
    path = tmp_path / "table.md"
    path.write_text(table(header, rows) + "\n")
    assert read_table(path) == [dict(zip(header, row, strict=True)) for row in rows]


def test_determinants_of_an_affine_transform_are_exact(image: Any, affine: Any) -> None:
    inside = np.asarray(image) > 0
    found = determinants(affine, image, inside)
    expected = np.linalg.det(jacobians(affine, ImageDomain.of(image).center[None])[0])
    assert len(found) == inside.sum() * 2**inside.ndim
    np.testing.assert_allclose(found, expected, rtol=1e-4)  # the field is in single precision


def test_determinants_are_those_of_the_transform(domain: ImageDomain, transform: Any) -> None:
    fine = ImageDomain(
        tuple(4 * n for n in domain.size),
        tuple(s / 4 for s in domain.spacing),
        domain.origin,
        domain.direction,
    )
    reference = image_from_array(np.zeros(fine.size[::-1], np.float32), fine)
    inside = np.zeros(fine.size[::-1], bool)
    inside[(slice(3, -3),) * domain.dimension] = True
    exact = np.linalg.det(jacobians(transform, fine.grid_points()[inside]))
    found = determinants(transform, reference, inside)
    # the mean over the voxel's parts, in another order
    np.testing.assert_allclose(found.mean(), exact.mean(), atol=2e-2 * exact.std())
    np.testing.assert_allclose(found.std(), exact.std(), rtol=0.05)


def test_displacements_of_voxels_have_their_derivatives(domain: ImageDomain) -> None:
    generator = torch.Generator().manual_seed(0)
    settings = FieldSettings(global_code=0, local_channels=1, local_grid=2)
    code = LatentCode(settings, domain.bounds, generator)
    field = VoxelField(domain).double()
    with torch.no_grad():
        field.displacement.normal_(std=0.02, generator=generator)
    coords = torch.rand(50, domain.dimension, generator=generator).double() * 2 - 1
    coords = (coords * field.bounds).requires_grad_()
    moved, jacobian = field.with_jacobian(coords, code)
    for axis in range(domain.dimension):
        (row,) = torch.autograd.grad(moved[:, axis].sum(), coords, retain_graph=True)
        torch.testing.assert_close(jacobian[:, axis], row)


def test_cubic_b_splines_take_squares_to_squares() -> None:
    vertices = np.arange(9.0)
    basis = cubic_basis(9, 33).numpy()
    place = np.linspace(0, 8, 33)
    inside = (place >= 1) & (place <= 7)  # where no border value is repeated
    np.testing.assert_allclose(basis.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose((basis @ vertices)[inside], place[inside], atol=1e-5)
    # a known property of uniform cubic B-splines
    np.testing.assert_allclose((basis @ vertices**2)[inside], place[inside] ** 2 + 1 / 3, atol=1e-5)


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_other_representations_bring_a_pair_together(name: str) -> None:
    pair = deformed_shape(2, size=40, motion=3.0, seed=1).pair
    settings = RegistrationSettings(
        field=FieldSettings(width=24, frequencies=12, local_grid=9, local_channels=4), steps=40
    )
    with represented_by(name):
        found = register(pair.fixed, pair.moving, initial_transform=None, settings=settings)
    before, after = (
        landmark_errors(transform, *pair.evaluation_landmarks).mean()
        for transform in (found.initial_transform, found.fixed_to_moving)
    )
    assert after < before / 2
    assert len(found.history) == 80
    usual = register(pair.fixed, pair.moving, initial_transform=None, settings=settings)
    ways = [np.array(flatten(r.fixed_to_moving)[0].GetParameters()) for r in (found, usual)]
    assert len(ways[0]) != len(ways[1]) or not np.allclose(*ways)


def test_a_trial_is_made_once_and_again_after_a_failure(tmp_path: Path) -> None:
    made = []

    def trial() -> dict[str, Any]:
        made.append(1)
        if len(made) == 1:
            raise RuntimeError("no memory")
        return {"seconds": 2.5}

    path = tmp_path / "part" / "trial.json"
    assert once(path, trial) == {"error": "no memory"}
    assert [once(path, trial) for _ in range(3)] == [{"seconds": 2.5}] * 3
    assert len(made) == 2
    assert json.loads(path.read_text()) == {"seconds": 2.5}


def test_the_interval_of_a_mean_covers_as_that_of_a_normal_distribution() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    mean, low, high = (
        float(part.strip("(,)")) for part in mean_interval(values).replace(" to ", " ").split()
    )
    half = 1.96 * values.std() / 20
    np.testing.assert_allclose(
        [mean, low, high], values.mean() + np.array([0, -half, half]), atol=0.02
    )


def test_spread_is_the_mean_and_the_standard_deviation() -> None:
    assert spread([]) == "-"
    assert spread([1.0], 1) == "1.0"
    assert spread([1.0, 3.0], 2) == "2.00 ± 1.41"


def test_shortened_methods_keep_their_other_options() -> None:
    assert shortened(nephi("fast", gradicon_weight=2.0))["options"] == {
        "preset": "fast",
        "initial_transform": "affine",
        "settings": {"gradicon_weight": 2.0, "steps": 3},
    }
    assert shortened(elastix(20.0))["options"] == {"grid_spacing": 20.0, "iterations": 3}


@pytest.fixture
def transform(domain: ImageDomain) -> Any:
    """Smooth stretches, as a B-spline."""
    import itk

    corners = domain.points_from_coords(np.array([[-1.0], [1.0]]) * domain.bounds)
    spline = itk.BSplineTransform[itk.D, domain.dimension, 3].New()
    extent = 3 * np.abs(corners[1] - corners[0]).max()
    spline.SetTransformDomainOrigin((domain.center - extent / 2).tolist())
    spline.SetTransformDomainPhysicalDimensions([extent] * domain.dimension)
    spline.SetTransformDomainMeshSize([12] * domain.dimension)
    values = np.random.default_rng(2).normal(scale=0.5, size=spline.GetNumberOfParameters())
    spline.SetParameters(itk.OptimizerParameters[itk.D](values.tolist()))
    return spline
