from __future__ import annotations

from typing import Any

import pytest

from itk_nephi import register, register_series
from itk_nephi.registration.settings import RegistrationSettings, chosen_settings


def test_presets_differ_in_how_much_is_done() -> None:
    fast, default, accurate = (
        RegistrationSettings.preset("fast"),
        RegistrationSettings(),
        RegistrationSettings.preset("accurate"),
    )
    assert fast.steps < default.steps < accurate.steps
    assert fast.points < default.points < accurate.points


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(
        ValueError, match="preset to be one of fast, default, accurate, detailed, got"
    ):
        RegistrationSettings.preset("slow")


def test_settings_are_given_or_named_or_the_default() -> None:
    settings = RegistrationSettings(steps=3)
    assert chosen_settings(settings, None) is settings
    assert chosen_settings(None, "fast") == RegistrationSettings.preset("fast")
    assert chosen_settings(None, None) == RegistrationSettings()
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
