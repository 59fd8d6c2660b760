"""What computes on a GPU, on a device that is not the CPU; and on a GPU, where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.other_device import (
    ELSEWHERE,
    IS_POSSIBLE,
    IS_THERE,
    Waits,
    other_device,
    run_elsewhere,
)
from torch import Tensor

from itk_nephi.fields.compiled import torch_alone
from itk_nephi.fields.deformation import Deformation, transform_from_deformation
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.models.encoder import EncoderSettings
from itk_nephi.models.nephi import ModelSettings, NePhi
from itk_nephi.phantoms.pairs import deformed_shape
from itk_nephi.registration.pairwise import register
from itk_nephi.registration.result import Registration
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.conversion import displacement_field_transform, to_displacement_field
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import transform_points
from itk_nephi.training.augmentation import TrainingExample
from itk_nephi.training.batch_objective import PairsObjective
from itk_nephi.training.settings import TrainingSettings

FIELD = FieldSettings(width=16, frequencies=8, global_code=2, local_channels=4, local_grid=6)

AT_POINTS = RegistrationSettings(
    field=FIELD, smoothing_sigmas=(1.0,), steps=2, points=600, regularizer_points=60
)

SETTINGS = {
    "points": AT_POINTS,
    "edges": replace(AT_POINTS, importance_sampling=0.5, bending_weight=0.1),
    "mind_ssc": replace(AT_POINTS, similarity="mind_ssc"),
    "lattice": RegistrationSettings.preset("default", steps=2),
}

LARGEST = {ELSEWHERE: 1e-5, "cuda": 0.05}
"""By how much results may differ from those of the CPU, root mean square, voxels. On a GPU rounding
decides where points lie between voxels, and thus to which side images rise."""

pytestmark = pytest.mark.filterwarnings("ignore:the images are less alike than before")

needs_elsewhere = pytest.mark.skipif(not IS_THERE, reason="the process has no such device")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")

ON_GPU = pytest.param("cuda", marks=[pytest.mark.gpu, needs_gpu])


@pytest.fixture(params=[pytest.param(ELSEWHERE, marks=needs_elsewhere), ON_GPU])
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """Another device, or a GPU."""
    with other_device() if request.param == ELSEWHERE else nullcontext():
        yield request.param


@pytest.fixture(scope="module")
def pair() -> ImagePair:
    return deformed_shape(2, size=40, motion=3, seed=1).pair


def registered(pair: ImagePair, device: str, **options: Any) -> Registration:
    return register(
        pair.fixed,
        pair.moving,
        fixed_mask=pair.fixed_mask,
        moving_mask=pair.moving_mask,
        device=device,
        **{"initial_transform": None, "guide_landmarks": pair.evaluation_landmarks} | options,
    )


def points_of(pair: ImagePair) -> Any:
    domain = ImageDomain.of(pair.fixed_image)
    return domain.grid_points().reshape(-1, domain.dimension)


def assert_alike(device: str, pair: ImagePair, **options: Any) -> None:
    """Both ways, as torch alone computes on the CPU."""
    found = registered(pair, device, **options)
    with torch_alone():
        expected = registered(pair, "cpu", **options)
    points = points_of(pair)
    for way in ("fixed_to_moving", "moving_to_fixed"):
        one, other = (transform_points(getattr(each, way), points) for each in (found, expected))
        assert np.abs(other - points).max() > 0.05
        difference = np.sqrt(np.square(one - other).sum(axis=1).mean())
        assert difference <= LARGEST[device] * ImageDomain.of(pair.fixed_image).voxel_size
    for one, other in zip(found.history, expected.history, strict=True):
        assert one.losses == pytest.approx(other.losses, rel=1e-2, abs=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(IS_THERE or not IS_POSSIBLE, reason="for a torch that has devices in Python")
def test_all_of_this_and_of_the_device_itself_holds_elsewhere() -> None:
    here = Path(__file__).resolve()
    result = run_elsewhere(here, here.parent / "fields" / "test_device.py")
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_registration_is_that_of_the_cpu(
    settings: RegistrationSettings, device: str, pair: ImagePair
) -> None:
    assert_alike(device, pair, settings=settings)


def test_a_field_of_displacements_is_followed(device: str, pair: ImagePair) -> None:
    shear = itk.AffineTransform[itk.D, 2].New()
    shear.SetCenter(ImageDomain.of(pair.fixed_image).center.tolist())
    shear.SetMatrix(itk.matrix_from_array(np.array([[1.0, 0.05], [-0.05, 1.0]])))
    initial = displacement_field_transform(to_displacement_field(shear, pair.fixed_image))
    assert_alike(device, pair, settings=SETTINGS["lattice"], initial_transform=initial)


def test_a_prediction_and_its_refinement_are_those_of_the_cpu(device: str, pair: ImagePair) -> None:
    domain = ImageDomain.of(pair.fixed_image)
    settings = ModelSettings(
        field=FIELD, encoder=EncoderSettings(), size=domain.size, spacing=domain.spacing
    )
    generator = torch.Generator().manual_seed(0)
    model = NePhi(settings, generator)
    with torch.no_grad():
        for field in (model.field, model.inverse_field):
            field.output.weight.normal_(std=0.005, generator=generator)
    assert_alike(device, pair, model=model, guide_landmarks=None)
    assert_alike(device, pair, model=model, refine_steps=2)


@needs_elsewhere
@pytest.mark.parametrize(("name", "uploads"), [("points", 4), ("lattice", 0)])
def test_steps_elsewhere_wait_for_nothing_but_their_terms(
    name: str, uploads: int, pair: ImagePair
) -> None:
    def waits(steps: int) -> tuple[Waits, int]:
        with other_device() as found:
            settings = replace(SETTINGS[name], steps=steps)
            done = len(registered(pair, ELSEWHERE, settings=settings).history)
        return found, done

    waits(1)  # makes the constants
    (few, few_done), (more, done) = waits(1), waits(2)
    assert done > few_done
    assert more.downloads - few.downloads == done - few_done
    assert more.uploads - few.uploads == uploads * (done - few_done)


def test_a_training_differentiates_as_the_cpu_and_waits_for_nothing(device: str) -> None:
    def gradients(where: str) -> tuple[Tensor, list[Tensor], Waits]:
        generator = torch.Generator().manual_seed(0)
        settings = ModelSettings(field=FIELD, size=(24, 20), spacing=(1.0, 1.5))
        model = NePhi(settings, generator)
        objective = PairsObjective(model, None, TrainingSettings(points=64, regularizer_points=8))
        with torch_alone(), other_device() as waits:
            objective.to(where)
            images = torch.rand(6, 2, 1, 20, 24, generator=generator).to(where)
            coords = torch.rand(2, 2, 64, 2, generator=generator).to(where)
            numbers = torch.arange(2).to(where)
            for _ in range(2):  # the first time makes constants
                waits.uploads = waits.downloads = 0
                losses = objective(TrainingExample(*images), numbers, coords)
                losses["total"].backward()
            found = [each.grad.cpu() for each in objective.parameters() if each.grad is not None]
            return losses["total"].detach().cpu(), found, waits

    (loss, found, waits), (expected_loss, expected, _) = gradients(device), gradients("cpu")
    assert (waits.uploads, waits.downloads) == (0, 1 + len(found) if device == ELSEWHERE else 0)
    torch.testing.assert_close(loss, expected_loss, rtol=1e-4, atol=0)
    for one, other in zip(found, expected, strict=True):
        tolerance = 1e-3 * float(other.abs().max()) + 1e-7
        torch.testing.assert_close(one, other, atol=tolerance, rtol=0)


@pytest.mark.parametrize("device", ["cpu", ON_GPU])
@pytest.mark.parametrize("settings", [FIELD, FieldSettings.paper()], ids=["small", "paper"])
def test_the_torch_backend_of_the_transform_is_the_compiled_field(
    settings: FieldSettings, device: str, pair: ImagePair
) -> None:
    domain = ImageDomain.of(pair.fixed_image)
    deformation = Deformation.identity(domain, settings, torch.Generator().manual_seed(0))
    torch.nn.init.normal_(deformation.field.output.weight, std=0.01)
    transform = transform_from_deformation(deformation)
    points = points_of(pair)
    expected = transform.TransformPoints(points)
    assert np.abs(expected - points).max() > 0.1
    transform.SetBackend("torch", device)
    np.testing.assert_allclose(transform.TransformPoints(points), expected, atol=1e-4)
