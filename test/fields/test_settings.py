from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from itk_nephi.fields.settings import (
    FieldSettings,
    change_settings,
    check_settings,
    described,
    documented,
    flat_settings,
    setting,
    setting_value,
    settings_of,
)


@dataclass(frozen=True, kw_only=True)
class Inner:
    size: int = setting(4, "How large it is.", unit="voxels", minimum=2)

    def __post_init__(self) -> None:
        check_settings(self)


@documented
@dataclass(frozen=True, kw_only=True)
class Outer:
    """Settings of all kinds.

    A second paragraph.
    """

    inner: Inner = setting(Inner(), "The nested ones.")
    path: Path = field(metadata=described("Where it is."))
    share: float = setting(0.5, "A part of the whole.", minimum=0, below=1)
    limit: float | None = setting(None, "When it ends.", unit="s", above=0, maximum=10)
    axes: tuple[int, ...] = setting((), "Which axes.", minimum=0, may_be_empty=True)
    sigmas: tuple[float, ...] = setting((2.0, 1.0), "One a level.", unit="voxels", minimum=0)
    window: tuple[float, float] = setting((0.0, 1.0), "Two numbers.")
    kind: Literal["one", "other"] = setting("one", "Which one.")
    function: Callable[..., Any] | None = setting(None, "What is called.")
    quiet: bool = setting(False, "Whether it is.")

    def __post_init__(self) -> None:
        check_settings(self)


def outer(**values: Any) -> Outer:
    return Outer(path=Path("a"), **values)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"share": -0.1}, ValueError, "expected share of 0 or more and below 1, got -0.1"),
        ({"share": 1}, ValueError, "expected share of 0 or more and below 1, got 1"),
        ({"share": math.nan}, ValueError, "expected share to be finite, got nan"),
        ({"share": "1"}, TypeError, "expected share to be a number, got '1'"),
        ({"share": None}, TypeError, "expected share to be a number, got None"),
        ({"limit": 0.0}, ValueError, "expected limit of more than 0 and at most 10, got 0.0"),
        ({"limit": 11}, ValueError, "expected limit of more than 0 and at most 10, got 11"),
        ({"axes": (0, -1)}, ValueError, r"expected axes of 0 or more, got \(0, -1\)"),
        ({"axes": (0.5,)}, TypeError, r"expected axes to be a whole number, got \(0.5,\)"),
        ({"axes": (10**400,)}, ValueError, "expected axes of at most 2147483647, got"),
        ({"sigmas": ()}, ValueError, r"expected sigmas of one or more numbers, got \(\)"),
        ({"kind": "none"}, ValueError, "expected kind to be one of one, other, got 'none'"),
    ],
)
def test_a_value_that_is_not_one_of_a_setting_is_named(
    values: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        outer(**values)


def test_the_ends_of_ranges_belong_to_them() -> None:
    made = outer(share=0, limit=10, axes=(0,), sigmas=(0.0,))
    assert (made.share, made.limit, made.axes) == (0, 10, (0,))
    assert outer(limit=None, axes=()).limit is None


def test_names_types_and_defaults_are_those_of_the_fields() -> None:
    settings = settings_of(Outer)
    assert settings["limit"].name == "limit"
    assert settings["limit"].kind is float
    assert settings["sigmas"].kind is float
    assert settings["sigmas"].is_tuple
    assert settings["sigmas"].default == (2.0, 1.0)
    assert settings["path"].default is ...
    assert settings["kind"].choices == ("one", "other")


def test_nested_settings_are_read_and_changed_by_their_own_names() -> None:
    assert list(flat_settings(Outer))[:3] == ["size", "path", "share"]
    made = outer()
    changed = change_settings(made, {"size": 7, "share": 0.25})
    assert changed == outer(inner=Inner(size=7), share=0.25)
    assert setting_value(changed, "size") == 7
    assert setting_value(changed, "share") == 0.25
    both = change_settings(made, {"inner": Inner(size=3), "size": 7})
    assert both.inner.size == 7
    with pytest.raises(ValueError, match="expected size of at least 2, got 1"):
        change_settings(made, {"size": 1})
    with pytest.raises(TypeError, match="unexpected keyword argument 'sighs'"):
        change_settings(made, {"sighs": 7})


def test_the_docstring_tells_types_units_and_defaults() -> None:
    expected = """Settings of all kinds.

    A second paragraph.

    Parameters
    ----------
    inner : Inner
        The nested ones.
    path : Path
        Where it is.
    share : float, default 0.5
        A part of the whole.
    limit : float, s, optional
        When it ends.
    axes : tuple of int, default ()
        Which axes.
    sigmas : tuple of float, voxels, default (2.0, 1.0)
        One a level.
    window : (float, float), default (0.0, 1.0)
        Two numbers.
    kind : {'one', 'other'}, default 'one'
        Which one.
    function : callable, optional
        What is called.
    quiet : bool, default False
        Whether it is.

    Raises
    ------
    ValueError
        If one is out of range.
    """
    assert Outer.__doc__ == expected


def test_the_grid_of_the_local_code_has_nearly_cubic_cells() -> None:
    settings = FieldSettings(local_grid=11)
    assert settings.local_grid_size((1.0, 0.5, 0.01)) == (11, 6, 2)
