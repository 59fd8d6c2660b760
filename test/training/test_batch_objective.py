from dataclasses import replace

import pytest
import torch
from torch import Tensor

from itk_nephi.fields.latent_code import PairCode
from itk_nephi.fields.sampled_image import SampledImage
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.losses.objective import objective_terms
from itk_nephi.losses.similarity import correlation
from itk_nephi.models.encoder import EncoderSettings, LatentCodeTable
from itk_nephi.models.nephi import ModelSettings, NePhi
from itk_nephi.training.augmentation import Augmentation, TrainingExample, TrainingExamples
from itk_nephi.training.batch_objective import PairsObjective
from itk_nephi.training.datasets import PhantomPairs
from itk_nephi.training.settings import TrainingSettings

MODEL = ModelSettings(
    field=FieldSettings(width=16, frequencies=6, global_code=4, local_channels=4, local_grid=6),
    encoder=EncoderSettings(filters=(8, 8, 8), local_block=2, pooled=2, hidden=8),
    size=(24, 24),
    spacing=(1.0, 1.0),
)
SETTINGS = TrainingSettings(points=64, regularizer_points=8, gradicon_weight=0.5)
PAIRS = PhantomPairs(phantom="triangles_and_circles", count=6, size=24)


@pytest.fixture
def batch() -> TrainingExample:
    samples = TrainingExamples(PAIRS, MODEL, Augmentation(), seed=0)
    return TrainingExample(
        *(torch.stack(values) for values in zip(*(samples[n] for n in range(3)), strict=True))
    )


@pytest.fixture
def coords() -> Tensor:
    return 2 * torch.rand(3, 2, 64, 2, generator=torch.Generator().manual_seed(2)) - 1


def moving_model() -> NePhi:
    """A model whose fields move points."""
    generator = torch.Generator().manual_seed(1)
    model = NePhi(MODEL, generator)
    for field in (model.field, model.inverse_field):
        torch.nn.init.normal_(field.output.weight, std=0.05, generator=generator)
    return model


def test_the_losses_of_a_batch_are_the_average_of_its_pairs(
    batch: TrainingExample, coords: Tensor
) -> None:
    model, settings = moving_model(), replace(SETTINGS, bending_weight=0.1)
    compared = PairsObjective(model, None, settings)
    together = compared(batch, torch.arange(3), coords)
    domain = compared.domain
    singly = []
    for number in range(3):
        images = [
            SampledImage(values[number : number + 1], domain, domain)
            for values in (batch.fixed, batch.moving)
        ]
        codes = model.encoder(batch.fixed, batch.moving)  # type: ignore[misc]
        singly.append(
            objective_terms(
                model.field,
                model.inverse_field,
                PairCode(*(code[number] for code in codes)),
                (images[0], images[1]),
                (coords[number, 0], coords[number, 1]),
                dissimilarity=correlation,
                regularizer_points=8,
                voxel=domain.voxel_size / domain.scale,
                weights=settings,
            )
        )
    for name, value in together.items():
        expected = torch.stack([losses[name] for losses in singly]).mean()
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)


@pytest.fixture
def decoded() -> PairsObjective:
    """The objective of an auto-decoder of six pairs whose fields move points."""
    settings = replace(MODEL, encoder=None)
    generator = torch.Generator().manual_seed(1)
    model = NePhi(settings, generator)
    for field in (model.field, model.inverse_field):
        torch.nn.init.normal_(field.output.weight, std=0.05, generator=generator)
    codes = LatentCodeTable(6, settings.field, (1.0, 1.0), generator)
    return PairsObjective(model, codes, SETTINGS)


def test_voxels_without_support_are_not_compared(
    decoded: PairsObjective, batch: TrainingExample, coords: Tensor
) -> None:
    left = torch.zeros_like(batch.fixed, dtype=torch.bool)
    left[..., :10] = True
    changed = batch._replace(fixed=torch.where(left, 1 - batch.fixed, batch.fixed))
    near = torch.zeros_like(left)
    near[..., :11] = True  # points between voxels 9 and 10 see both
    masks = {
        name: torch.where(near, 0.0, getattr(batch, name))
        for name in ("fixed_weights", "fixed_support")
    }
    seen, hidden = (
        [
            decoded(each._replace(**chosen), torch.arange(3), coords)["dissimilarity"]
            for each in (batch, changed)
        ]
        for chosen in ({}, masks)
    )
    assert not torch.isclose(*seen)
    torch.testing.assert_close(*hidden)


def test_an_auto_decoder_learns_the_codes_of_its_pairs_only(
    decoded: PairsObjective, batch: TrainingExample, coords: Tensor
) -> None:
    decoded(batch, torch.tensor([4, 0, 2]), coords)["total"].backward()
    assert decoded.codes is not None
    for values in decoded.codes.parameters():
        assert values.grad is not None
        touched = values.grad.flatten(1).abs().sum(dim=1) > 0
        assert touched.tolist() == [True, False, True, False, True, False]
