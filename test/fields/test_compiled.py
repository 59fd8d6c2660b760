import resource
from collections.abc import Callable
from contextlib import nullcontext, suppress
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from itk_nephi.evaluation.metrics import landmark_errors
from itk_nephi.fields import compiled
from itk_nephi.fields.deformation import Deformation, threads_for_fields
from itk_nephi.fields.latent_code import LatentCode
from itk_nephi.fields.neural_field import SINE_FREQUENCY, DeformationField
from itk_nephi.fields.sampled_image import SampledImage
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.fields.threads import torch_threads
from itk_nephi.losses.objective import ObjectiveWeights, objective_terms
from itk_nephi.losses.similarity import correlation
from itk_nephi.phantoms.pairs import deformed_shape
from itk_nephi.registration.instance_optimization import RegistrationSettings
from itk_nephi.registration.pairwise import register
from itk_nephi.spatial.domain import ImageDomain

SIZES = {
    "smallest": FieldSettings(
        width=1, depth=0, frequencies=1, global_code=0, local_channels=1, local_grid=2
    ),
    "odd": FieldSettings(
        width=67, depth=3, frequencies=19, global_code=5, local_channels=13, local_grid=6
    ),
    "one layer": FieldSettings(
        width=24,
        depth=1,
        frequencies=8,
        global_code=2,
        local_channels=8,
        local_grid=5,
        spline_spacings=(8.0,),
    ),
    "splines": FieldSettings(
        width=7,
        depth=1,
        frequencies=3,
        global_code=0,
        local_channels=1,
        local_grid=3,
        spline_spacings=(30.0, 5.0, 1.0),
    ),
    "default": FieldSettings(),
    "paper": FieldSettings.paper(),
}
# of the largest number of its kind: a few hundred roundings, as many as a layer has inputs
TOLERANCE = 3e-5


def random_field(
    settings: FieldSettings, bounds: tuple[float, ...]
) -> tuple[DeformationField, LatentCode]:
    """Return a field that moves points by some hundredths, and a code."""
    generator = torch.Generator().manual_seed(5)
    field = DeformationField(settings, bounds, generator)
    torch.nn.init.normal_(field.output.weight, std=0.05, generator=generator)
    torch.nn.init.normal_(field.output.bias, std=0.05, generator=generator)
    code = LatentCode(settings, bounds, generator, settings.spline_cells(bounds, 0.05))
    for spline in code.splines.parameters():
        torch.nn.init.normal_(spline, std=0.05, generator=generator)
    return field, code


def random_coords(bounds: Tensor, count: int) -> Tensor:
    """Draw coords in the domain, and some beyond it."""
    generator = torch.Generator().manual_seed(count)
    return (2.4 * torch.rand(count, len(bounds), generator=generator) - 1.2) * bounds


def moved_and_gradients(
    field: DeformationField, code: LatentCode, coords: Tensor, *, derivatives: bool
) -> list[Tensor]:
    """Return where coords are moved, the Jacobian, and gradients of random multiples of both."""
    generator = torch.Generator().manual_seed(1)
    count, dimension = coords.shape
    multiples = torch.randn(count, dimension, generator=generator)
    more = torch.randn(count, dimension, dimension, generator=generator)
    coords = coords.clone().requires_grad_()
    parameters = [coords, *field.parameters(), *code.parameters()]
    if derivatives:
        moved, jacobian = field.with_jacobian(coords, code)
        total = (multiples * moved).sum() + (more * jacobian).sum()
        values = [moved.detach(), jacobian.detach()]
    else:
        moved = field(coords, code)
        total = (multiples * moved).sum()
        values = [moved.detach()]
    gradients = torch.autograd.grad(total, parameters, materialize_grads=True)
    return [*values, *gradients]


def assert_close(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        if one.numel():
            error = (one - other).abs().max()
            assert error <= TOLERANCE * other.abs().max().clamp(min=1e-3)


@pytest.mark.parametrize("derivatives", [False, True], ids=["values", "Jacobians"])
@pytest.mark.parametrize("size", SIZES)
def test_values_and_gradients_are_those_of_torch_in_double_precision(
    dimension: int, size: str, derivatives: bool
) -> None:
    field, code = random_field(SIZES[size], (1.0, 0.7, 0.4)[:dimension])
    # none, one, fewer than are computed together, and more
    for count in (0, 1, 7, 131):
        coords = random_coords(field.bounds, count)
        found = moved_and_gradients(field, code, coords, derivatives=derivatives)
        assert compiled.can_fuse(coords, *field.parameters())
        field.double(), code.double()
        expected = moved_and_gradients(field, code, coords.double(), derivatives=derivatives)
        field.float(), code.float()
        assert_close(found, expected)


def test_values_are_the_same_with_and_without_jacobians_or_gradients(dimension: int) -> None:
    field, code = random_field(SIZES["odd"], (1.0, 0.7, 0.4)[:dimension])
    coords = random_coords(field.bounds, 100)
    moved, _ = field.with_jacobian(coords, code)
    torch.testing.assert_close(field(coords, code), moved, atol=1e-6, rtol=0)
    with torch.no_grad():
        assert torch.equal(field.with_jacobian(coords, code)[0], moved)
        assert not field(coords, code).requires_grad


def test_on_the_boundary_the_derivatives_are_those_from_within(dimension: int) -> None:
    field, code = random_field(SIZES["one layer"], (1.0, 0.7, 0.4)[:dimension])
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * dimension)
    coords = (corners * field.bounds).requires_grad_()
    moved, jacobian = field.with_jacobian(coords, code)
    _, within = field.with_jacobian((1 - 1e-6) * coords.detach(), code)
    assert (within - torch.eye(dimension)).abs().max() > 0.1
    torch.testing.assert_close(jacobian, within, atol=1e-3, rtol=0)
    multiples = torch.randn(coords.shape, generator=torch.Generator().manual_seed(1))
    (found,) = torch.autograd.grad((multiples * moved).sum(), coords)
    expected = (multiples[:, None] @ jacobian.detach())[:, 0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("derivatives", [False, True], ids=["values", "Jacobians"])
@pytest.mark.parametrize("size", ["default", "splines"])
def test_any_number_of_threads_gives_the_same_bits(size: str, derivatives: bool) -> None:
    field, code = random_field(SIZES[size], (1.0, 0.7, 0.4))
    coords = random_coords(field.bounds, 1003)
    found = []
    for threads in (1, 2, 5):
        with torch_threads(threads):
            found.append(moved_and_gradients(field, code, coords, derivatives=derivatives))
    for others in found[1:]:
        assert all(torch.equal(one, other) for one, other in zip(found[0], others, strict=True))


def test_layouts_of_memory_do_not_matter(dimension: int) -> None:
    field, code = random_field(SIZES["odd"], (1.0, 0.7, 0.4)[:dimension])
    coords = random_coords(field.bounds, 40)
    expected = moved_and_gradients(field, code, coords, derivatives=True)
    strided = coords.T.contiguous().T
    with torch.no_grad():
        weight = field.synthesis[1].weight
        field.synthesis[1].weight = torch.nn.Parameter(weight.T.contiguous().T)
    assert not strided.is_contiguous()
    found = moved_and_gradients(field, code, strided, derivatives=True)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_only_one_of_both_results_may_be_differentiated() -> None:
    field, code = random_field(SIZES["odd"], (1.0, 0.7))
    coords = random_coords(field.bounds, 40).requires_grad_()
    inputs = [coords, *field.parameters(), *code.parameters()]

    def gradients(of: Callable[[Tensor, Tensor], Tensor]) -> list[Tensor]:
        total = of(*field.with_jacobian(coords, code))
        return list(torch.autograd.grad(total, inputs, materialize_grads=True))

    by_moved = gradients(lambda moved, _: moved.sin().sum())
    by_jacobian = gradients(lambda _, jacobian: jacobian.sin().sum())
    by_both = gradients(lambda moved, jacobian: moved.sin().sum() + jacobian.sin().sum())
    sums = [one + other for one, other in zip(by_moved, by_jacobian, strict=True)]
    assert_close(by_both, sums)


def test_a_second_differentiation_is_refused() -> None:
    field, code = random_field(SIZES["odd"], (1.0, 0.7))
    coords = random_coords(field.bounds, 4).requires_grad_()
    total = field(coords, code).sum()
    with pytest.raises(RuntimeError, match="on the CPU once, got create_graph=True"):
        torch.autograd.grad(total, coords, create_graph=True)


def test_coords_that_are_not_numbers_stay_so() -> None:
    field, code = random_field(SIZES["odd"], (1.0, 0.7))
    coords = torch.tensor([[torch.nan, 0.1], [torch.inf, 0.1], [0.2, 0.1]])
    moved = field(coords, code)
    assert moved[0, 0].isnan()
    assert moved[1, 0] == torch.inf
    assert moved[2].isfinite().all()


@pytest.mark.parametrize("missing", ["single precision", "permission"])
def test_without_what_it_needs_torch_computes(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    field, code = random_field(SIZES["odd"], (1.0, 0.7))
    coords = random_coords(field.bounds, 10)
    expected = field(coords, code)
    monkeypatch.setattr(compiled, "_call", None)
    if missing == "single precision":
        field.double(), code.double()
        coords = coords.double()
    with compiled.torch_alone() if missing == "permission" else nullcontext():
        torch.testing.assert_close(field(coords, code).float(), expected, atol=1e-5, rtol=0)


def test_tensors_that_do_not_fit_together_are_named() -> None:
    field, code = random_field(SIZES["one layer"], (1.0, 0.7))
    coords, weights = random_coords(field.bounds, 4), list(field.parameters())

    def moved(**changes: Any) -> None:
        given: dict[str, Any] = {
            "coords": coords,
            "bounds": field.bounds,
            "frequencies": field.embedding,
            "codes": (code.global_code, code.local_code),
            "weights": weights,
            "splines": (),
        }
        compiled.evaluate_field(**given | changes, derivatives=False)

    with pytest.raises(ValueError, match=r"coords of shape \(4, 2\), got \(4, 3\)"):
        moved(coords=torch.zeros(4, 3))
    with pytest.raises(ValueError, match=r"frequencies of shape \(2, 8\), got \(3, 8\)"):
        moved(frequencies=torch.zeros(3, 8))
    with pytest.raises(ValueError, match=r"weights of shapes .* got .*\(23, 24\)"):
        moved(weights=[*weights[:2], torch.zeros(23, 24), *weights[3:]])
    with pytest.raises(ValueError, match=r"local code of shape \(5, 5, 8\), got \(5, 8\)"):
        moved(codes=(code.global_code, torch.zeros(5, 8)))
    for shape in ((5, 3, 2), (5, 4, 3), (4, 4, 4, 2)):
        with pytest.raises(ValueError, match=r"splines of shape \(4 or more, 4 or more, 2\), got"):
            moved(splines=[torch.zeros(4, 6, 2), torch.zeros(shape)])
    with pytest.raises(ValueError, match=r"float32 on the CPU, got torch.float64 on cpu"):
        moved(coords=coords.double())


def test_the_objective_has_the_gradients_of_torch_in_double_precision(
    deformation: Deformation, domain: ImageDomain
) -> None:
    generator = torch.Generator().manual_seed(1)
    size = (1, 2, *domain.size[::-1])
    values = [torch.rand(size, generator=generator, dtype=torch.float64) for _ in range(2)]
    bounds = torch.tensor(domain.bounds)
    coords = [(2 * torch.rand(300, len(bounds), generator=generator) - 1) * bounds for _ in "ab"]

    def gradients(precision: torch.dtype) -> list[Tensor]:
        for part in (deformation.field, deformation.inverse_field, deformation.code):
            part.to(precision)
        fixed, moving = (SampledImage(v.to(precision), domain, domain) for v in values)
        losses = objective_terms(
            deformation.field,
            deformation.inverse_field,
            deformation.code,
            (fixed, moving),
            (coords[0].to(precision), coords[1].to(precision)),
            dissimilarity=correlation,
            regularizer_points=100,
            voxel=0.1,
            weights=ObjectiveWeights(
                gradicon_weight=0.5, diffusion_weight=0.1, bending_weight=0.1, folding_weight=0.1
            ),
        )
        return [losses["total"].detach(), *torch.autograd.grad(losses["total"], parameters())]

    def parameters() -> list[Tensor]:
        return list(deformation.parameters())

    found = gradients(torch.float32)
    for one, other in zip(found, gradients(torch.float64), strict=True):
        assert (one - other).norm() <= 1e-3 * other.norm()


def test_a_registration_ends_as_well_as_with_torch() -> None:
    shape = deformed_shape(2, size=24, motion=2, seed=1).pair
    small = FieldSettings(width=16, frequencies=8, global_code=2, local_channels=4, local_grid=6)
    settings = RegistrationSettings(
        field=small, smoothing_sigmas=(1.0,), steps=40, points=500, regularizer_points=100
    )
    landmarks = shape.evaluation_landmarks

    def mean_error() -> float:
        found = register(shape.fixed, shape.moving, initial_transform=None, settings=settings)
        return float(landmark_errors(found.fixed_to_moving, *landmarks).mean())

    error = mean_error()
    with compiled.torch_alone():
        assert error == pytest.approx(mean_error(), abs=0.03)
    assert np.linalg.norm(landmarks[1] - landmarks[0], axis=1).mean() > 2 * error


def test_memory_does_not_grow() -> None:
    field, code = random_field(SIZES["default"], (1.0, 0.7, 0.4))
    coords = random_coords(field.bounds, 2000)
    most = []
    for _ in range(30):
        moved_and_gradients(field, code, coords, derivatives=False)
        moved_and_gradients(field, code, coords[:100], derivatives=True)
        most.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    # kilobytes; the gradients of one call take 400
    assert most[-1] - most[9] < 2000


def test_threads_are_given_back_even_after_an_error(deformation: Deformation) -> None:
    seen = []

    def look() -> None:
        seen.append((torch.get_num_threads(), deformation.field.threads))

    with torch_threads(3):
        with suppress(StopIteration), threads_for_fields([deformation], torch.device("cpu")):
            look()
            raise StopIteration
        look()
    assert seen == [(1, 3), (3, None)]


def test_a_field_computes_on_its_own_threads(
    deformation: Deformation, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, seen = compiled._call, []

    def watched(way: str, sizes: list[int], threads: int, *others: Any) -> None:
        seen.append((way, threads))
        call(way, sizes, threads, *others)

    monkeypatch.setattr(compiled, "_call", watched)
    coords = torch.zeros(5, deformation.domain.dimension)
    for threads in (3, None):
        deformation.field.threads = threads
        with torch_threads(2):
            torch.autograd.backward(deformation.field(coords, deformation.code).sum())
    assert seen == [("Forward", 3), ("Backward", 3), ("Forward", 2), ("Backward", 2)]


def test_the_sine_frequency_is_that_of_the_compiled_field() -> None:
    assert compiled.compiled_module().NePhiSineFrequency == SINE_FREQUENCY


def test_python_runs_on_while_a_field_is_evaluated(deformation: Deformation) -> None:
    coords = torch.zeros(400_000, deformation.domain.dimension)
    results: list[Tensor] = []

    def evaluate() -> None:
        with torch.no_grad():
            results.append(deformation.field(coords, deformation.code))

    threads = [Thread(target=evaluate) for _ in range(2)]
    for thread in threads:
        thread.start()
    count = 0
    while any(thread.is_alive() for thread in threads):
        count += 1
    assert count > 100
    assert torch.equal(*results)
