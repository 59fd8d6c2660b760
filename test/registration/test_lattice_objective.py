"""The objective on a lattice: its gradients, what it trains, and deformations that it recovers."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch

from itk_nephi.evaluation.metrics import landmark_errors
from itk_nephi.fields.compiled import torch_alone
from itk_nephi.fields.deformation import Deformation
from itk_nephi.fields.filters import gaussian
from itk_nephi.fields.threads import torch_threads
from itk_nephi.phantoms.pairs import Phantom, deformed_shape
from itk_nephi.registration.lattice_objective import LatticeObjective
from itk_nephi.registration.pairwise import register
from itk_nephi.registration.problem import RegistrationProblem
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import ImageDomain, image_from_array, image_like
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import transform_points

DETAILED = RegistrationSettings.preset("default")
FEW = replace(DETAILED, steps=10)
CPU = torch.device("cpu")


def _shape(dimension: int) -> Phantom:
    return deformed_shape(dimension, size=32, motion=3, seed=1)


def _objectives(dimension: int, *, even: bool = False) -> list[LatticeObjective]:
    """Return the objectives of all levels, of a shape, or of noise, where contrast is even."""
    pair = _shape(dimension).pair
    if even:
        generator = np.random.default_rng(0)
        shape = (32,) * dimension
        noise = [
            image_like(pair.fixed_image, generator.normal(size=shape).astype(np.float32))
            for _ in "fm"
        ]
        pair = ImagePair(fixed=(noise[0],), moving=(noise[1],))
    pair = ImagePair(fixed=pair.fixed, moving=pair.moving, initial_transform=None)
    problem = RegistrationProblem.prepare([pair], FEW, CPU)
    return [problem.objectives(level)[0] for level in (1, 2, 3)]  # type: ignore[misc]


def _deformation(objective: LatticeObjective, size: float) -> Deformation:
    """Return a deformation whose splines and output layers are random numbers of some size."""
    generator = torch.Generator().manual_seed(1)
    deformation = Deformation.identity(
        objective.sampler.domain, objective.settings.field, generator
    )
    with torch.no_grad():
        outputs = (deformation.field.output.weight, deformation.inverse_field.output.weight)
        for parameter in (*deformation.code.splines.parameters(), *outputs):
            parameter.copy_(size * torch.randn(parameter.shape, generator=generator))
    return deformation


@pytest.mark.parametrize("dimension", [2, 3])
def test_compiled_terms_and_gradients_are_those_of_torch(dimension: int) -> None:
    objective = _objectives(dimension)[1]
    objective = replace(objective, trains_network=True)
    found = []
    for computing in (nullcontext(), torch_alone()):
        deformation = _deformation(objective, 0.005)
        with computing:
            losses = objective.differentiate(deformation, torch.Generator())
        found.append((losses, [p.grad for p in deformation.parameters() if p.grad is not None]))
    (losses, gradients), (expected, expected_gradients) = found
    torch.testing.assert_close(losses, expected, rtol=1e-4, atol=0)
    for gradient, other in zip(gradients, expected_gradients, strict=True):
        tolerance = 1e-3 * float(other.abs().max()) + 1e-7
        torch.testing.assert_close(gradient, other, atol=tolerance, rtol=0)


def test_a_share_of_the_gradients_is_added() -> None:
    objective = _objectives(2)[0]
    found = []
    for share in (1.0, 0.5):
        deformation = _deformation(objective, 0.005)
        objective.differentiate(deformation, torch.Generator(), share=share)
        found.append([p.grad for p in deformation.parameters() if p.grad is not None])
    for whole, half in zip(*found, strict=True):
        torch.testing.assert_close(0.5 * whole, half)


def _trained_splines(objective: LatticeObjective) -> int:
    deformation = _deformation(objective, 0.005)
    objective.differentiate(deformation, torch.Generator())
    assert {w.grad is not None for w in deformation.weights()} == {objective.trains_network}
    there, back = (
        sum(spline.grad is not None for spline in each) for each in deformation.code.splines
    )
    assert there == back
    return there


def test_levels_train_the_network_first_and_ever_finer_splines() -> None:
    objectives = _objectives(3, even=True)
    assert [each.trains_network for each in objectives] == [True, False, False]
    assert [each.splines for each in objectives] == [range(2), range(1, 3), range(2, 4)]
    assert [_trained_splines(each) for each in objectives] == [2, 2, 2]


def test_the_finest_splines_stay_out_where_contrast_is_in_few_places() -> None:
    assert _objectives(3)[-1].splines == range(1, 3)


@pytest.mark.parametrize("dimension", [2, 3])
def test_strain_is_more_expensive_where_structure_is_fine(dimension: int) -> None:
    fine = _objectives(dimension, even=True)[-1]
    ramp = np.indices((32,) * dimension)[0]
    image = image_like(_shape(dimension).pair.fixed_image, ramp.astype(np.float32))
    problem = RegistrationProblem.prepare([ImagePair(fixed=(image,), moving=(image,))], FEW, CPU)
    assert 0 < problem.objectives(3)[0].spline_weight < 1e-3 * fine.spline_weight
    terms, gradients = [], []
    for objective in (fine, replace(fine, spline_weight=0.0)):
        deformation = _deformation(objective, 0.01)
        terms.append(objective.differentiate(deformation, torch.Generator()))
        splines = [
            deformation.code.splines[way][number] for way in (0, 1) for number in fine.splines
        ]
        gradients.append([spline.grad for spline in splines])
    energy = terms[0]["total"] - terms[1]["total"]
    torch.testing.assert_close(energy, fine.spline_weight * terms[0]["spline_diffusion"])
    # a quadratic form grows along its coefficients by twice itself
    growth = sum(
        ((gradient - other) * spline.detach()).sum()
        for spline, gradient, other in zip(splines, *gradients, strict=True)
    )
    torch.testing.assert_close(growth, 2 * energy)


def _masked(dimension: int, *, fixed: bool, moving: bool) -> ImagePair:
    pair = deformed_shape(dimension, size=48, motion=4, seed=1).pair
    mask = np.zeros((48,) * dimension, np.uint8)
    mask[(slice(14, 34),) * dimension] = 1
    masks = [image_like(image, mask) for image in (pair.fixed_image, pair.moving_image)]
    return ImagePair(
        fixed=pair.fixed,
        moving=pair.moving,
        fixed_mask=masks[0] if fixed else None,
        moving_mask=masks[1] if moving else None,
        initial_transform=None,
    )


@pytest.mark.parametrize(("fixed", "moving"), [(True, True), (True, False), (False, True)])
def test_maps_are_smooth_outside_the_masks_that_there_are(*, fixed: bool, moving: bool) -> None:
    problem = RegistrationProblem.prepare([_masked(2, fixed=fixed, moving=moving)], FEW, CPU)
    objective = problem.objectives(3)[0]
    assert [each is not None for each in objective.outside] == [fixed, moving]  # type: ignore[union-attr]
    gradients = []
    for weight in (5.0, 0.0):
        settings = replace(FEW, outside_weight=weight)
        changed = replace(objective, settings=settings)
        deformation = _deformation(objective, 0.01)
        terms = changed.differentiate(deformation, torch.Generator())
        assert ("outside_diffusion" in terms) == bool(weight)
        gradients.append(
            [deformation.code.splines[way][objective.splines[-1]].grad for way in (0, 1)]
        )
    for way, has_mask in enumerate((fixed, moving)):
        assert torch.equal(gradients[0][way], gradients[1][way]) != has_mask


@pytest.mark.parametrize("dimension", [2, 3])
def test_nothing_drifts_away_outside_the_masks(dimension: int) -> None:
    pair = _masked(dimension, fixed=True, moving=True)
    domain = ImageDomain.of(pair.fixed_image)
    indices = np.indices((16,) * dimension).reshape(dimension, -1).T * 3
    points = domain.points_from_index(indices)
    inside = ((indices >= 14) & (indices < 34)).all(axis=1)
    largest = []
    for weight in (0.0, DETAILED.outside_weight):
        found = register(
            pair.fixed,
            pair.moving,
            fixed_mask=pair.fixed_mask,
            moving_mask=pair.moving_mask,
            initial_transform=None,
            settings=replace(DETAILED, outside_weight=weight),
        )
        moved = np.linalg.norm(transform_points(found.fixed_to_moving, points) - points, axis=1)
        largest.append(moved[~inside].max() / moved[inside].max())
    assert largest[1] < 1 < largest[0]


def test_landmarks_move_only_what_is_optimized() -> None:
    pair = _shape(2).pair
    pair = replace(pair, guide_landmarks=pair.evaluation_landmarks, initial_transform=None)
    problem = RegistrationProblem.prepare([pair], FEW, CPU)
    for level in (1, 2, 3):
        objective = problem.objectives(level)[0]
        assert isinstance(objective, LatticeObjective)
        deformation = _deformation(objective, 0.005)
        losses = objective.differentiate(deformation, torch.Generator())
        assert losses["landmark"] > 0
        assert {w.grad is not None for w in deformation.weights()} == {level == 1}
        for splines in deformation.code.splines:
            found = [number for number, each in enumerate(splines) if each.grad is not None]
            assert found == list(objective.splines)


@pytest.mark.parametrize("dimension", [2, 3])
def test_landmarks_are_moved_as_by_the_field(dimension: int) -> None:
    objective = _objectives(dimension)[-1]
    objective = replace(objective, splines=range(4))
    deformation = _deformation(objective, 0.005)
    coords = 0.9 * (2 * torch.rand(20, dimension) - 1) * torch.tensor(objective.lattice.bounds)
    for inverse, field in ((False, deformation.field), (True, deformation.inverse_field)):
        moved = objective._moved(deformation, inverse, coords)
        torch.testing.assert_close(moved, field(coords, deformation.code), atol=1e-5, rtol=0)


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_known_deformation_is_recovered(dimension: int) -> None:
    phantom = _shape(dimension)
    pair = phantom.pair
    found = register(pair.fixed, pair.moving, initial_transform=None, settings=DETAILED)
    landmarks = pair.evaluation_landmarks
    assert landmarks is not None
    fixed, moving = landmarks
    before = np.linalg.norm(fixed - moving, axis=1)
    after = landmark_errors(found.fixed_to_moving, fixed, moving)
    assert before.mean() > 1
    assert after.mean() < before.mean() / 2


def test_threads_do_not_change_the_result() -> None:
    pair = _shape(3).pair
    found = []
    for threads in (1, 3):
        with torch_threads(threads):
            result = register(pair.fixed, pair.moving, initial_transform=None, settings=FEW)
        found.append(np.array(result.fixed_to_moving.GetParameters()))
    assert np.array_equal(*found)


@pytest.mark.parametrize("preset", ["fast", "default"])
@pytest.mark.parametrize(("count", "axis"), [(2, 2), (2, 0), (3, 2)])
def test_few_slices_move_within_their_planes(preset: str, count: int, axis: int) -> None:
    section = _shape(2)
    fixed, moving = (
        image_from_array(
            np.stack([itk.array_from_image(image)] * count, axis=2 - axis),
            _stacked(ImageDomain.of(image), count, axis),
        )
        for image in (section.pair.fixed_image, section.pair.moving_image)
    )
    found = register(fixed, moving, initial_transform=None, preset=preset)
    points, expected = section.pair.evaluation_landmarks
    before = np.linalg.norm(expected - points, axis=1).mean()
    stacked = np.insert(points, axis, 4.0, axis=1)
    moved = transform_points(found.fixed_to_moving, stacked)
    assert np.abs(moved[:, axis] - 4).max() < 1e-4
    errors = np.linalg.norm(np.delete(moved, axis, axis=1) - expected, axis=1)
    assert before > 1
    assert errors.mean() < 0.4 * before


@pytest.mark.filterwarnings("ignore:the images are less alike")
@pytest.mark.parametrize("size", [(6, 90), (90, 6), (5, 6, 80)])
def test_a_long_image_stays_on_itself(size: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, 1, *size, generator=generator)
    dimension = len(size)
    domain = ImageDomain(
        size=size[::-1],
        spacing=(1.0,) * dimension,
        origin=(0.0,) * dimension,
        direction=tuple(map(tuple, np.eye(dimension).tolist())),
    )
    image = image_from_array(gaussian(noise, domain, 2.0)[0, 0].numpy(), domain)
    found = register(image, image, initial_transform=None, preset="default")
    points = domain.grid_points().reshape(-1, dimension)
    moved = transform_points(found.fixed_to_moving, points) - points
    assert np.linalg.norm(moved, axis=1).mean() < 0.3


def _stacked(section: ImageDomain, count: int, axis: int) -> ImageDomain:
    """Return the grid of so many slices, 4 mm apart, of which each lies as a section does."""
    direction = np.eye(3)
    others = [each for each in range(3) if each != axis]
    direction[np.ix_(others, others)] = section.direction
    return ImageDomain(
        size=tuple(np.insert(section.size, axis, count).tolist()),
        spacing=tuple(np.insert(section.spacing, axis, 4.0).tolist()),
        origin=tuple(np.insert(section.origin, axis, 0.0).tolist()),
        direction=tuple(map(tuple, direction.tolist())),
    )
