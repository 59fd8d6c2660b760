"""Settings declared once, with default, help, unit and range; and the sizes of a field."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from functools import cache
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

LARGEST = 2**31 - 1
"""The largest whole number of a setting that names no other."""

LARGEST_TRANSFORM = 2**24
"""The most parameters of an ``itk.NePhiTransform``, hidden layers counted in sixteens."""

_KEY = "itk_nephi"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The declaration of one setting, a field of a settings dataclass.

    Parameters
    ----------
    help : str
        What it is, for docstrings, documentation and the command line alike.
    unit : str, optional
        Of numbers that have one.
    minimum, maximum : float, optional
        The smallest and the largest number.
    above, below : float, optional
        What a number is greater and less than.
    may_be_empty : bool
        Whether a tuple may have no entries.
    name : str
        Of the field.
    type
        Its annotation.
    default
        Its default, or ``...`` where it has none.
    """

    help: str
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    may_be_empty: bool = False
    name: str = ""
    type: Any = None
    default: Any = ...

    @property
    def alternatives(self) -> tuple[Any, ...]:
        """The types of a value, without None."""
        union = get_origin(self.type) in (Union, UnionType)
        return tuple(
            kind
            for kind in (get_args(self.type) if union else (self.type,))
            if kind is not NoneType
        )

    @property
    def is_tuple(self) -> bool:
        """Whether a value has entries."""
        return get_origin(self.alternatives[0]) is tuple

    @property
    def kind(self) -> Any:
        """The type of a value, or of its entries."""
        kind = self.alternatives[0]
        return get_args(kind)[0] if self.is_tuple else kind

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values, where there are only a few."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()

    @property
    def nested(self) -> Mapping[str, Setting]:
        """The settings of the dataclass that a value is, if it is one."""
        holds_settings = is_dataclass(self.kind)
        return settings_of(self.kind) if holds_settings else {}

    @property
    def type_words(self) -> str:
        """The type and the unit, as numpydoc writes them."""
        kind = self.alternatives[0]
        if self.choices:
            words = f"{{{', '.join(map(repr, self.choices))}}}"
        elif get_origin(kind) is Callable:
            words = "callable"
        elif not self.is_tuple:
            words = kind.__name__
        elif get_args(kind)[-1] is Ellipsis:
            words = f"tuple of {self.kind.__name__}"
        else:
            words = f"({', '.join(each.__name__ for each in get_args(kind))})"
        return f"{words}, {self.unit}" if self.unit else words

    @property
    def range(self) -> str:
        """The limits in words, empty where there are none."""
        limits = (
            "0 or more" if self.minimum == 0 else _words("at least", self.minimum),
            _words("more than", self.above),
            _words("at most", self.maximum),
            _words("below", self.below),
        )
        return " and ".join(filter(None, limits))

    def check(self, value: Any) -> None:
        """Raise unless a value, or each of its entries, is one of this setting.

        Raises
        ------
        TypeError
            If it is no number, or not a whole one.
        ValueError
            If it is out of range, or none of the choices.
        """
        if value is None and NoneType in get_args(self.type):
            return
        if self.is_tuple and not len(value) and not self.may_be_empty:
            raise ValueError(f"expected {self.name} of one or more numbers, got {value!r}")
        for entry in value if self.is_tuple else (value,):
            if self.choices and entry not in self.choices:
                raise ValueError(
                    f"expected {self.name} to be one of {', '.join(self.choices)}, got {value!r}"
                )
            if self.kind in (int, float):
                self._check_number(entry, value)

    def _check_number(self, number: Any, value: Any) -> None:
        kind: Any = Integral if self.kind is int else Real
        if not isinstance(number, kind):
            wanted = "a whole number" if self.kind is int else "a number"
            raise TypeError(f"expected {self.name} to be {wanted}, got {value!r}")
        if self.kind is int and abs(number) > LARGEST:
            raise ValueError(f"expected {self.name} of at most {LARGEST}, got {value!r}")
        if not math.isfinite(number):
            raise ValueError(f"expected {self.name} to be finite, got {value!r}")
        if (
            (self.minimum is not None and number < self.minimum)
            or (self.above is not None and number <= self.above)
            or (self.maximum is not None and number > self.maximum)
            or (self.below is not None and number >= self.below)
        ):
            raise ValueError(f"expected {self.name} of {self.range}, got {value!r}")


def described(help: str, **limits: Any) -> Mapping[str, Any]:
    """Return the metadata of a dataclass field that has no default.

    Parameters
    ----------
    help : str
        What it is.
    **limits
        Its unit and range, see :class:`Setting`.
    """
    return {_KEY: Setting(help=help, **limits)}


def setting(default: T, help: str, **limits: Any) -> T:
    """Return a dataclass field with a default; else as :func:`described`."""
    return field(default=default, metadata=described(help, **limits))


@cache
def settings_of(kind: Any) -> Mapping[str, Setting]:
    """Return the settings of a dataclass by name, in its order."""
    types = get_type_hints(kind)
    return {
        entry.name: replace(
            entry.metadata[_KEY],
            name=entry.name,
            type=types[entry.name],
            default=... if entry.default is MISSING else entry.default,
        )
        for entry in fields(kind)
    }


@cache
def flat_settings(kind: Any) -> Mapping[str, Setting]:
    """Return the settings of a dataclass by name, those of nested dataclasses among them."""
    flat: dict[str, Setting] = {}
    for name, entry in settings_of(kind).items():
        flat |= entry.nested or {name: entry}
    return flat


def setting_value(settings: Any, name: str) -> Any:
    """Return the value of a setting by its name, also of a nested one."""
    holders = [settings, *(getattr(settings, entry.name) for entry in fields(settings))]
    return next(getattr(holder, name) for holder in holders if hasattr(holder, name))


def change_settings(settings: Any, changes: Mapping[str, Any]) -> Any:
    """Return settings of which some are changed by name, also nested ones."""
    mine = dict(changes)
    for name, entry in settings_of(settings.__class__).items():
        if inner := {key: mine.pop(key) for key in entry.nested if key in mine}:
            mine[name] = replace(mine.get(name, getattr(settings, name)), **inner)
    return replace(settings, **mine)


def check_settings(settings: Any) -> None:
    """Raise unless every value of a settings dataclass is in its range."""
    for name, entry in settings_of(settings.__class__).items():
        entry.check(getattr(settings, name))


def documented(kind: T) -> T:
    """Write the "Parameters" section of a settings dataclass into its docstring."""
    lines = [(kind.__doc__ or "").rstrip(), "", "    Parameters", "    ----------"]
    for name, entry in settings_of(kind).items():
        default = "optional" if entry.default is None else f"default {entry.default!r}"
        with_default = entry.default is not ... and not entry.nested
        lines.append(f"    {name} : {entry.type_words}{f', {default}' if with_default else ''}")
        lines.append(textwrap.indent(textwrap.fill(entry.help, 92), " " * 8))
    lines += ["", "    Raises", "    ------", "    ValueError", "        If one is out of range."]
    kind.__doc__ = "\n".join([*lines, "    "])
    return kind


def _words(before: str, limit: float | None) -> str:
    return "" if limit is None else f"{before} {limit:g}"


@documented
@dataclass(frozen=True, kw_only=True)
class FieldSettings:
    """The sizes of a deformation field and of its latent code."""

    width: int = setting(64, "Features of a hidden layer of the fields.", minimum=1)
    depth: int = setting(2, "Hidden layers of the fields after the first.", minimum=0)
    frequencies: int = setting(
        32, "Random Fourier frequencies of the fields' embedding of coords.", minimum=1
    )
    global_code: int = setting(16, "Numbers in the global latent code.", minimum=0)
    local_channels: int = setting(16, "Channels of the local latent code.", minimum=1)
    local_grid: int = setting(
        16, "Vertices of the local latent code's grid along the longest axis.", minimum=2
    )
    spline_spacings: tuple[float, ...] = setting(
        (),
        "Grid spacings of the cubic B-splines of displacements that are added to the network, one "
        "each. None by default. In images so large that there were more than 12 million numbers, "
        "all are larger by one factor.",
        unit="voxels",
        above=0,
        may_be_empty=True,
    )

    def __post_init__(self) -> None:
        check_settings(self)

    @classmethod
    def paper(cls) -> FieldSettings:
        """Return the published sizes: 140,419 trainable weights a field in 3D, 140,290 in 2D."""
        return cls(
            width=128,
            depth=2,
            frequencies=128,
            global_code=32,
            local_channels=32,
            local_grid=22,
            spline_spacings=(),
        )

    def local_grid_size(self, bounds: tuple[float, ...]) -> tuple[int, ...]:
        """Return the vertices per axis, i first, of a box with these bounds: cells nearly cubic."""
        return tuple(max(2, round((self.local_grid - 1) * b / max(bounds)) + 1) for b in bounds)

    def spline_cells(self, bounds: tuple[float, ...], voxel: float) -> tuple[tuple[int, ...], ...]:
        """Return the cells of each B-spline per axis, i first: nearly cubic.

        Parameters
        ----------
        bounds : tuple of float
            Of the box, coords.
        voxel : float
            The edge of a voxel, coords.
        """
        longest = [
            max(1, round(round(2 * max(bounds) / (h * voxel), 9))) for h in self.spline_spacings
        ]
        return tuple(
            tuple(max(1, round(count * b / max(bounds))) for b in bounds) for count in longest
        )

    def check_transform(
        self, bounds: tuple[float, ...], spline_cells: Sequence[tuple[int, ...]] = ()
    ) -> None:
        """Raise ValueError unless a transform of these sizes can be made.

        Parameters
        ----------
        bounds : tuple of float
            Of the box, coords.
        spline_cells : sequence of tuple of int
            The cells of each B-spline per axis.
        """
        width, dimension = 16 * math.ceil(self.width / 16), len(bounds)
        inputs = 2 * (2 * self.frequencies + 1) + self.global_code + self.local_channels
        count = 2 * (width * inputs + (2 * self.depth * width + dimension) * (width + 1))
        count += self.local_channels * math.prod(self.local_grid_size(bounds))
        count += spline_numbers(spline_cells)
        if count > LARGEST_TRANSFORM:
            raise ValueError(
                f"expected sizes of at most {LARGEST_TRANSFORM} parameters of a transform, got "
                f"{count}: lower width, depth or local_grid, or raise spline_spacings"
            )


def spline_numbers(cells: Sequence[tuple[int, ...]]) -> int:
    """Return how many numbers the B-splines of both fields hold, with so many cells per axis."""
    return 2 * sum(len(each) * math.prod(count + 3 for count in each) for each in cells)
