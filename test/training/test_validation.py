from dataclasses import replace

import itk
import numpy as np
import pytest
import torch

from itk_nephi.evaluation.metrics import dice
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.models.nephi import ModelSettings, NePhi
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.training.datasets import PhantomPairs
from itk_nephi.training.validation import Scores, judge, predicted_transform, validate

PAIRS = PhantomPairs(phantom="deformed_shape", count=3, size=24, motion=2.0)


def translation(*offset: float) -> itk.Transform:
    transform = itk.TranslationTransform[itk.D, 2].New()
    transform.SetOffset(offset)
    return transform


def test_a_pair_of_the_same_image_scores_by_how_far_it_is_shifted() -> None:
    pair = PAIRS[0]
    assert pair.labels is not None
    assert pair.evaluation_landmarks is not None
    same = ImagePair(
        fixed=pair.fixed,
        moving=pair.fixed,
        labels=(pair.labels[0], pair.labels[0]),
        evaluation_landmarks=(pair.evaluation_landmarks[0], pair.evaluation_landmarks[0]),
        initial_transform=translation(0, 0),
    )
    assert judge(same, same.initial_transform) == Scores(
        ncc=pytest.approx(1), folding=0, dice=1, landmark_error=0
    )
    shifted = judge(same, translation(3, 4))
    assert shifted.landmark_error == pytest.approx(5)
    assert shifted.dice == dice(pair.labels[0], pair.labels[0], translation(3, 4))[1] < 0.9
    assert shifted.ncc < 0.9
    mirror = itk.AffineTransform[itk.D, 2].New()
    mirror.SetMatrix(itk.matrix_from_array(np.diag([-1.0, 1.0])))
    assert judge(same, mirror).folding == 1


def test_a_model_that_moves_nothing_scores_as_the_initial_transform() -> None:
    settings = ModelSettings(
        field=FieldSettings(width=4, frequencies=2, local_grid=3), size=(24, 24), spacing=(1.0, 1.0)
    )
    model = NePhi(settings, torch.Generator())
    expected = Scores.mean(judge(PAIRS[n], PAIRS[n].initial_transform) for n in range(3))
    found = validate(model, (PAIRS[n] for n in range(3)), torch.device("cpu"))
    assert found.dice == expected.dice
    assert found.landmark_error == pytest.approx(expected.landmark_error)
    moved = ImagePair(
        fixed=PAIRS[0].fixed,
        moving=PAIRS[0].moving,
        initial_transform=translation(3.0, -1.0),
    )
    transform = predicted_transform(model, moved, torch.device("cpu"))
    np.testing.assert_allclose(transform.TransformPoint([5.0, 6.0]), [8.0, 5.0], atol=1e-5)


def test_the_mean_leaves_out_what_pairs_do_not_have() -> None:
    one = Scores(ncc=0.5, folding=0.0, dice=None, landmark_error=2.0)
    other = Scores(ncc=0.7, folding=0.1, dice=None, landmark_error=None)
    mean = Scores.mean([one, other])
    assert (mean.ncc, mean.folding, mean.dice, mean.landmark_error) == (
        pytest.approx(0.6),
        pytest.approx(0.05),
        None,
        2.0,
    )
    assert mean.merit == -2.0
    assert other.merit == 0.7
    assert replace(mean, dice=0.3).merit == 0.3
