import itk
import numpy as np
import pytest
import torch

from itk_nephi.evaluation.evaluation import MeanEvaluation, evaluate
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.models.nephi import ModelSettings, NePhi
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.training.datasets import PhantomPairs
from itk_nephi.training.validation import predicted_transform, validate

PAIRS = PhantomPairs(phantom="deformed_shape", count=3, size=24, motion=2.0)


def translation(*offset: float) -> itk.Transform:
    transform = itk.TranslationTransform[itk.D, 2].New()
    transform.SetOffset(offset)
    return transform


def test_a_model_that_moves_nothing_is_as_good_as_the_initial_transform() -> None:
    settings = ModelSettings(
        field=FieldSettings(width=4, frequencies=2, local_grid=3), size=(24, 24), spacing=(1.0, 1.0)
    )
    model = NePhi(settings, torch.Generator())
    expected = MeanEvaluation.of(evaluate(PAIRS[n], PAIRS[n].initial_transform) for n in range(3))
    found = validate(model, (PAIRS[n] for n in range(3)), torch.device("cpu"))
    assert found.dice == expected.dice
    assert found.landmark_error_mm == pytest.approx(expected.landmark_error_mm)
    assert found.ncc == pytest.approx(expected.ncc, abs=1e-4)
    assert found.merit == found.dice
    moved = ImagePair(
        fixed=PAIRS[0].fixed,
        moving=PAIRS[0].moving,
        initial_transform=translation(3.0, -1.0),
    )
    transform = predicted_transform(model, moved, torch.device("cpu"))
    np.testing.assert_allclose(transform.TransformPoint([5.0, 6.0]), [8.0, 5.0], atol=1e-5)
