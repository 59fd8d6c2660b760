"""What ITK does not check or read of TIFF files: their strips, channels and voxel sizes."""

from __future__ import annotations

import html
import logging
import math
import re
import struct
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

TIFF_SUFFIXES = (".tif", ".tiff", ".lsm")

TYPES = {1: "B", 3: "H", 4: "I", 5: "Q", 8: "h", 9: "i", 10: "q", 11: "f", 12: "d", 16: "Q"}
"""The codes of :mod:`struct` for types of values; all others are bytes, and 5 is a fraction."""

STRIPS, TILES = (273, 279), (324, 325)
"""The tags that name offsets and lengths of strips and of tiles."""

DESCRIPTION, SAMPLES, RESOLUTIONS = 270, 277, (282, 283)

MILLIMETERS = {
    **dict.fromkeys(("nm", "nanometer"), 1e-6),
    **dict.fromkeys(("um", "µm", "μm", r"\u00B5m", "micron", "microns", "micrometer"), 1e-3),
    **dict.fromkeys(("mm", "millimeter"), 1.0),
    **dict.fromkeys(("cm", "centimeter"), 10.0),
    **dict.fromkeys(("in", "inch", "inches"), 25.4),
}
"""How long the units of descriptions are."""


def check_tiff(path: Path) -> tuple[float, ...] | None:
    """Check that all voxels of a TIFF file are in it, and that it has one channel and time.

    Returns
    -------
    tuple of float or None
        The voxel size that ImageJ or OME wrote into its description, mm.

    Raises
    ------
    ValueError
        If it is truncated or damaged, or has several channels or times, which ITK reads as slices.
    """
    with path.open("rb") as file:
        order, pages, tags = _walk(file, path.stat().st_size)
    text = b"".join(tags.get(DESCRIPTION, ())).rstrip(b"\0").decode(errors="replace")
    fields: dict[str, str]
    if text.startswith("ImageJ="):
        fields = dict(re.findall(r"^(\w+)=(.*?)\s*$", text, re.M))
        slices, channels, frames = (_number(fields, k) for k in ("slices", "channels", "frames"))
        slices = _number(fields, "images", slices * channels * frames) / (channels * frames)
        lengths = [
            *(1 / _fraction(order, tags.get(tag, ())) for tag in RESOLUTIONS),
            abs(_number(fields, "spacing")),
        ]
        units = [fields.get(key, fields.get("unit", "")) for key in ("unit", "yunit", "zunit")]
    elif found := re.search(r"<(\w+:)?Pixels\s([^>]*)>", text):
        fields = dict(re.findall(r'(\w+)\s*=\s*"(.*?)"', html.unescape(found[2])))
        slices, channels, frames = (_number(fields, f"Size{axis}") for axis in "ZCT")
        channels /= tags.get(SAMPLES, (1,))[0] or 1
        lengths = [_number(fields, f"PhysicalSize{axis}", math.nan) for axis in "XYZ"]
        units = [fields.get(f"PhysicalSize{axis}Unit", "µm") for axis in "XYZ"]
    else:
        return None
    if channels > 1 or frames > 1:
        raise ValueError(
            f"its slices are those of {channels:g} channels and {frames:g} frames: save one channel"
            " of one frame, and as slices what is a slice"
        )
    if slices > pages:
        raise ValueError(f"expected {slices:g} slices in it, got {pages}: save them in one file")
    axes = 3 if slices > 1 else 2
    return _spacing(lengths[:axes], units[:axes], path)


def _spacing(lengths: list[float], units: list[str], path: Path) -> tuple[float, ...] | None:
    """Return a voxel size in mm; None if there is none, and if it is not clear, which is logged."""
    if any(unit in ("", "pixel", "pixels") for unit in units) or all(map(math.isnan, lengths)):
        return None
    spacing = [
        length * MILLIMETERS.get(unit, math.nan)
        for length, unit in zip(lengths, units, strict=True)
    ]
    if all(0 < each < math.inf for each in spacing):
        return tuple(spacing)
    named = " x ".join(f"{n:g} {unit}" for n, unit in zip(lengths, units, strict=True))
    logger.warning("%s: its voxel size, %s, is ignored: save it in mm, or as NRRD", path, named)
    return None


def _number(fields: dict[str, str], key: str, default: float = 1.0) -> float:
    try:
        number = float(fields.get(key, default))
    except ValueError:
        number = math.nan
    if key in fields and not (math.isfinite(number) and number):
        raise ValueError(f"damaged: its description has {fields[key][:60]} for {key}")
    return number


def _fraction(order: str, values: tuple[Any, ...]) -> float:
    """Return a fraction, which was read as one number; NaN if it is none, or 0."""
    if not values or not isinstance(values[0], int):
        return math.nan
    upper, lower = struct.unpack(f"{order}2I", struct.pack(f"{order}Q", values[0]))
    return upper / lower if upper and lower else math.nan


def _walk(file: Any, end: int) -> tuple[str, int, dict[int, tuple[Any, ...]]]:
    """Check that all directories, and the strips or tiles they name, are in the file.

    Returns its order of bytes, how many directories there are, and the tags of the first.
    """

    def read(start: int, code: str) -> tuple[Any, ...]:
        length = struct.calcsize(order + code)
        if not 0 <= start <= end - length:
            raise ValueError("truncated or damaged: it names bytes beyond its end")
        file.seek(start)
        return struct.unpack(order + code, file.read(length))

    order = "<" if file.read(2) == b"II" else ">"
    big = read(2, "H")[0] == 43
    at, count, entry, next_one = (8, "Q", "HHQQ", "Q") if big else (4, "H", "HHII", "I")
    (offset,), seen = read(at, next_one), set()
    first: dict[int, tuple[Any, ...]] = {}
    while offset:
        if offset in seen:
            raise ValueError("damaged: its directories go round in circles")
        seen.add(offset)
        (entries,), values = read(offset, count), {}
        start, step = offset + struct.calcsize(order + count), struct.calcsize(order + entry)
        for number in range(entries):
            tag, kind, many, value = read(start + number * step, entry)
            code = f"{many}{TYPES.get(kind, 's')}" if many < end else f"{end}q"
            inline = struct.calcsize(order + code) <= struct.calcsize(order + next_one)
            field = start + number * step + struct.calcsize(order + entry[:-1])
            values[tag] = read(field if inline else value, code)
        for names in (STRIPS, TILES):
            if all(name in values for name in names):
                _check_strips(values[names[0]], values[names[1]], end)
        first = first or values
        (offset,) = read(start + entries * step, next_one)
    return order, len(seen), first


def _check_strips(offsets: tuple[int, ...], lengths: tuple[int, ...], end: int) -> None:
    if len(offsets) != len(lengths):
        raise ValueError(f"damaged: it names {len(offsets)} strips and {len(lengths)} lengths")
    if any(offset + length > end for offset, length in zip(offsets, lengths, strict=True)):
        raise ValueError("truncated: it names voxels beyond its end")
