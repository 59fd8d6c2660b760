from __future__ import annotations

from typing import Any

import pytest

from itk_nephi import register, register_series
from itk_nephi.registration.settings import (
    AT_POINTS,
    PRESETS,
    RegistrationSettings,
    chosen_settings,
)


def test_presets_differ_in_how_much_is_done() -> None:
    fast, default, accurate = map(RegistrationSettings.preset, PRESETS)
    assert fast.steps <= default.steps < accurate.steps
    assert fast.smoothing_sigmas == default.smoothing_sigmas[:-1]
    assert {each.similarity for each in (fast, default, accurate)} == {"windowed_ncc"}
    fast, default, accurate = (
        RegistrationSettings.preset(name, similarity="ncc") for name in PRESETS
    )
    assert fast.steps < default.steps < accurate.steps
    assert fast.points < default.points < accurate.points
    assert default == RegistrationSettings(similarity="ncc")


def test_what_only_random_points_look_at_leads_to_them() -> None:
    values: dict[str, Any] = {
        "dissimilarity": min,
        "local_windows": (3.0,),
        "importance_sampling": 0.5,
        "early_stop": True,
        "memory_limit": 500.0,
        "points_per_voxel": 0.5,
        "regularizer_points": 100,
    }
    for name in AT_POINTS:
        change = {name: values.get(name, 1000)}
        found = RegistrationSettings.preset("default", steps=7, **change)
        assert found == RegistrationSettings(steps=7).changed(**change)
        with pytest.raises(ValueError, match=f"another similarity than windowed_ncc with.* {name}"):
            RegistrationSettings.preset("default").changed(**change)
    lattice = RegistrationSettings.preset("default", gradicon_weight=3.0)
    assert lattice.similarity == "windowed_ncc"
    assert lattice.gradicon_weight == 3


@pytest.mark.parametrize(
    ("edge", "sigmas"), [(200, (8, 4, 2, 1, 0.5)), (50, (2, 1, 0.5)), (17, (1, 0.5)), (3, (0.5,))]
)
def test_levels_on_which_an_image_shows_too_little_are_left_out(
    edge: float, sigmas: tuple[float, ...]
) -> None:
    settings = RegistrationSettings.preset("default")
    found = settings.for_image(10**6, edge)
    assert found.smoothing_sigmas == sigmas
    assert found.field.spline_spacings == settings.field.spline_spacings[-len(sigmas) - 1 :]
    coarse = RegistrationSettings.preset("default", smoothing_sigmas=(8.0,), spline_spacings=(9.0,))
    assert coarse.for_image(10**6, edge) == coarse


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(ValueError, match="preset to be one of fast, default, accurate, got"):
        RegistrationSettings.preset("slow")


def test_settings_are_given_or_named_or_the_default() -> None:
    settings = RegistrationSettings(steps=3)
    assert chosen_settings(settings, None) == settings
    assert chosen_settings(settings, None, steps=4) == RegistrationSettings(steps=4)
    at_points = RegistrationSettings.preset("fast", similarity="local_ncc")
    for refine in ("code", "code_and_weights"):
        assert chosen_settings(settings, None, refine) == settings
        assert chosen_settings(None, "fast", refine) == at_points
        assert chosen_settings(None, None, refine, similarity="ncc").similarity == "ncc"
    assert chosen_settings(None, "fast", "splines") == RegistrationSettings.preset("fast")
    assert chosen_settings(None, "fast") == RegistrationSettings.preset("fast")
    assert chosen_settings(None, None) == RegistrationSettings.preset("default")
    for function in (register, register_series):
        with pytest.raises(ValueError, match=r"expected settings or preset, got both, .* 'fast'"):
            function(None, None, settings=settings, preset="fast")


def test_a_similarity_is_a_name_and_a_dissimilarity_a_function() -> None:
    function: Any = min
    with pytest.raises(TypeError, match=r"similarity to be a name, got .* as dissimilarity"):
        RegistrationSettings(similarity=function)
    name: Any = "ncc"
    with pytest.raises(
        TypeError, match=r"dissimilarity to be a function, got 'ncc'.* as similarity"
    ):
        RegistrationSettings(dissimilarity=name)
    with pytest.raises(ValueError, match="similarity or dissimilarity, got both"):
        RegistrationSettings(similarity="ncc", dissimilarity=function)
    assert RegistrationSettings(dissimilarity=function).compared(1.0).dissimilarity is function


@pytest.mark.parametrize("name", ["max_time", "memory_limit"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_limit_out_of_range_is_named(name: str, value: Any) -> None:
    with pytest.raises(
        ValueError, match=f"expected {name} (of more than 0|to be finite), got {value}"
    ):
        RegistrationSettings(**{name: value})
