"""``evaluate`` beside the evaluators that it replaces: the same where they look in one place."""

from __future__ import annotations

from dataclasses import replace

import pytest

from itk_nephi.evaluation.evaluation import evaluate
from itk_nephi.evaluation.metrics import jacobian_determinant_image
from itk_nephi.phantoms.pairs import Phantom, deformed_shape
from itk_nephi.registration.pairwise import register
from itk_nephi.registration.result import Registration
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.spatial.resampling import resample
from itk_nephi.workflows import outputs


@pytest.fixture(scope="module", params=[2, 3])
def phantom(request: pytest.FixtureRequest) -> Phantom:
    return deformed_shape(request.param, size=28, motion=2.5, seed=2)


@pytest.fixture(scope="module")
def registration(phantom: Phantom) -> Registration:
    pair = phantom.pair
    return register(pair.fixed, pair.moving, settings=RegistrationSettings(steps=3))


@pytest.mark.parametrize("masked", [True, False])
def test_what_metrics_say(phantom: Phantom, registration: Registration, masked: bool) -> None:
    pair = phantom.pair if masked else replace(phantom.pair, fixed_mask=None)
    there, back = registration.fixed_to_moving, registration.moving_to_fixed
    found = evaluate(pair, there, back).to_json()
    warped, before = (
        resample(pair.moving_image, [transform], pair.fixed_image)
        for transform in (there, registration.initial_transform)
    )
    determinants = jacobian_determinant_image(there, pair.fixed_image)
    written = outputs._measure(pair, registration, before, warped, determinants)
    for key in ("folding_fraction", "log_jacobian_sd"):
        assert found[key] == pytest.approx(written[key], rel=1e-6)
    consistency = found["inverse_consistency_error_mm"]
    for name, value in written["inverse_consistency_error_mm"].items():
        assert value == consistency[name]
    count = written["landmark_error_mm"]["count"]
    assert found["landmark_error_mm"] == written["landmark_error_mm"]["after"] | {"count": count}
    assert found["dice"] == written["dice"]["after"]
    assert found["region"] == written["measured_in"]
    assert found["ncc"] == pytest.approx(written["similarity"]["after"], abs=1e-6)
    start = evaluate(pair, registration.initial_transform)
    assert start.ncc == pytest.approx(written["similarity"]["before"], abs=1e-6)
    assert start.to_json()["dice"] == written["dice"]["before"]
