"""The gradients of one pair's objective: linear in the share, whatever is evaluated together."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.registrations import HASTY
from torch import Tensor

from itk_nephi.fields.deformation import Deformation
from itk_nephi.phantoms.pairs import deformed_shape
from itk_nephi.registration.pair_objective import PairObjective
from itk_nephi.registration.problem import RegistrationProblem
from itk_nephi.spatial.image_pair import ImagePair


@pytest.fixture(scope="module")
def objective() -> PairObjective:
    shape = deformed_shape(2, size=24, motion=2, seed=1).pair
    pair = ImagePair(fixed=shape.fixed, moving=shape.moving, initial_transform=None)
    problem = RegistrationProblem.prepare([pair], HASTY, torch.device("cpu"))
    (made,) = problem.objectives(1)
    return made


def gradients(
    objective: PairObjective, share: float = 1.0
) -> tuple[dict[str, Tensor], list[Tensor]]:
    generator = torch.Generator().manual_seed(1)
    deformation = Deformation.identity(objective.sampler.domain, HASTY.field, generator)
    losses = objective.differentiate(deformation, generator, share=share)
    return losses, [values.grad for values in deformation.parameters() if values.grad is not None]


def test_a_share_of_the_gradients_is_added(objective: PairObjective) -> None:
    (losses, whole), (same, half) = gradients(objective), gradients(objective, share=0.5)
    assert losses == same
    assert max(float(values.abs().max()) for values in whole) > 0
    for one, other in zip(whole, half, strict=True):
        torch.testing.assert_close(0.5 * one, other)


def test_points_in_groups_give_the_same(objective: PairObjective) -> None:
    (losses, together), (again, apart) = (
        gradients(each) for each in (objective, replace(objective, chunk=33))
    )
    torch.testing.assert_close(losses, again, rtol=1e-5, atol=0)
    for one, other in zip(together, apart, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
