from __future__ import annotations

from typing import Any

import pytest

from itk_nephi.settings import RegistrationSettings


def test_presets_differ_in_how_much_is_done() -> None:
    fast, default, accurate = (
        RegistrationSettings.fast(),
        RegistrationSettings(),
        RegistrationSettings.accurate(),
    )
    assert fast.steps < default.steps < accurate.steps
    assert fast.points < default.points < accurate.points


@pytest.mark.parametrize("name", ["max_time", "memory_limit"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_limit_out_of_range_is_named(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"expected {name} of .* got {value}"):
        RegistrationSettings(**{name: value})
