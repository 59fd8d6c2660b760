"""A registration starts as the identity, at an earlier result, or where a model predicts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from support.registrations import HASTY

from itk_nephi.fields.deformation import transform_from_deformation
from itk_nephi.models.encoder import EncoderSettings
from itk_nephi.models.nephi import ModelSettings, NePhi
from itk_nephi.phantoms.pairs import deformed_shape
from itk_nephi.registration.pairwise import register
from itk_nephi.registration.problem import RegistrationProblem
from itk_nephi.registration.result import knot_shares
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.registration.start import Start
from itk_nephi.spatial.image_pair import ImagePair

CPU = torch.device("cpu")
TIMES = (0.0, 1.0, 3.0)


@pytest.fixture(scope="module")
def pairs() -> list[ImagePair]:
    """The same fixed image, and another moving one at each time."""
    shapes = [deformed_shape(2, size=24, motion=2, seed=seed).pair for seed in (1, 2, 3)]
    return [
        ImagePair(fixed=shapes[0].fixed, moving=shape.moving, initial_transform=None)
        for shape in shapes
    ]


def with_splines(*spacings: float) -> RegistrationSettings:
    return HASTY.changed(spline_spacings=spacings)


def prepared(
    pairs: list[ImagePair], start: Start, settings: RegistrationSettings = HASTY
) -> RegistrationProblem:
    names = [(f"images[{n}]", f"masks[{n}]") for n in range(len(pairs))]
    model = None if start.model is None else start.model.settings
    settings = start.settings(settings)
    return RegistrationProblem.prepare(pairs, settings, CPU, model=model, names=names)


def codes_of(deformations: list[Any]) -> Any:
    return np.stack(
        [each.code.local_code.detach().numpy().ravel() for each in deformations], axis=0
    )


def test_the_identity_moves_nothing_at_any_time(pairs: list[ImagePair]) -> None:
    problem = prepared(pairs, Start())
    generator = torch.Generator().manual_seed(1)
    found = Start().deformations(problem, knot_shares(TIMES, (0.0, 3.0)), generator)
    assert len(found) == 2
    coords = torch.rand(20, 2, generator=generator) - 0.5
    for deformation in found:
        assert torch.equal(deformation.field(coords, deformation.code), coords)
    assert found[0].field is found[1].field
    assert found[0].code is not found[1].code
    np.testing.assert_array_equal(*codes_of(found))


def test_an_earlier_result_is_where_all_times_start(pairs: list[ImagePair]) -> None:
    (fixed,), (moving,) = pairs[0].fixed, pairs[0].moving
    start = Start(warm_start=register(fixed, moving, settings=HASTY))
    found = start.deformations(prepared(pairs, start), knot_shares(TIMES, TIMES), torch.Generator())
    count = sum(weights.numel() for weights in found[0].weights())
    expected = np.array(start.warm_transform.GetParameters())[count:]
    for code in codes_of(found):
        np.testing.assert_array_equal(code, expected[-len(code) :])


@pytest.mark.parametrize("spacings", [(), (8.0,), (8.0, 4.0)])
def test_an_earlier_result_may_have_the_first_of_the_splines(
    pairs: list[ImagePair], spacings: tuple[float, ...]
) -> None:
    (fixed,), (moving,) = pairs[0].fixed, pairs[0].moving
    start = Start(warm_start=register(fixed, moving, settings=with_splines(*spacings)))
    problem = prepared(pairs[:1], start, with_splines(8.0, 4.0))
    (found,) = start.deformations(problem, np.eye(1), torch.Generator())
    assert len(found.spline_cells) == 2
    assert found.spline_cells == problem.spline_cells
    points = problem.grid.grid_points().reshape(-1, 2)
    expected = start.warm_transform.TransformPoints(points)
    assert np.abs(expected - points).max() > 0.01
    again = transform_from_deformation(found).TransformPoints(points)
    np.testing.assert_array_equal(again, expected)


def test_an_earlier_result_with_other_splines_is_refused(pairs: list[ImagePair]) -> None:
    (fixed,), (moving,) = pairs[0].fixed, pairs[0].moving
    start = Start(warm_start=register(fixed, moving, settings=with_splines(8.0, 4.0)))
    for spacings in ((8.0,), (8.0, 3.0)):
        problem = prepared(pairs[:1], start, with_splines(*spacings))
        with pytest.raises(ValueError, match=r"expected warm_start .* or the first of them, got"):
            start.deformations(problem, np.eye(1), torch.Generator())


@pytest.fixture
def model() -> NePhi:
    settings = ModelSettings(
        field=HASTY.field,
        encoder=EncoderSettings(filters=(8, 8), local_block=1, hidden=8),
        size=(24, 24),
        spacing=(1.2, 1.2),
    )
    return NePhi(settings, torch.Generator().manual_seed(1))


def test_splines_refine_a_prediction(pairs: list[ImagePair], model: NePhi) -> None:
    final, refined = (
        start.deformations(
            prepared(pairs, start, with_splines(8.0, 4.0)), np.eye(3), torch.Generator()
        )
        for start in (Start(model=model), Start(model=model, refine_steps=5))
    )
    for one, other in zip(final, refined, strict=True):
        assert one.spline_cells == ()
        assert other.spline_cells == ((3, 3), (7, 7))
        assert not any(spline.any() for splines in other.code.splines for spline in splines)
        assert torch.equal(one.code.local_code, other.code.local_code)


def test_codes_at_the_knots_come_closest_to_the_predictions(
    pairs: list[ImagePair], model: NePhi
) -> None:
    start = Start(model=model)
    problem = prepared(pairs, start)
    every, line = (
        codes_of(start.deformations(problem, knot_shares(TIMES, knots), torch.Generator()))
        for knots in (TIMES, (0.0, 3.0))
    )
    assert every.std(axis=0).max() > 0.001
    slope, offset = np.polyfit(TIMES, every, 1)
    np.testing.assert_allclose(line, [offset, 3 * slope + offset], atol=1e-5)
    assert start.is_final
    assert not replace(start, refine_steps=1).is_final
    assert not Start().is_final
