"""What ITK makes silently of NIfTI files: defaults of damaged numbers, 0 of those not finite."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from itk_nephi.spatial.domain import Array

MAGIC = {348: (344, (b"n+1\0", b"ni1\0")), 540: (4, (b"n+2\0", b"ni2\0"))}
"""Where the name of the format stands, and the two it may have: of one file, and of a pair."""


@dataclass(frozen=True)
class _Layout:
    """Where numbers stand in a header, and their codes of :mod:`struct`."""

    kind: tuple[int, str]
    sizes: tuple[int, str]
    spacing: tuple[int, str]
    offset: tuple[int, str]
    scale: tuple[int, str]
    codes: tuple[int, str]
    quaternion: tuple[int, str]
    matrix: tuple[int, str]


LAYOUTS = {
    348: _Layout(
        kind=(70, "h"),
        sizes=(40, "8h"),
        spacing=(76, "8f"),
        offset=(108, "f"),
        scale=(112, "2f"),
        codes=(252, "2h"),
        quaternion=(256, "6f"),
        matrix=(280, "12f"),
    ),
    540: _Layout(
        kind=(12, "h"),
        sizes=(16, "8q"),
        spacing=(104, "8d"),
        offset=(168, "q"),
        scale=(176, "2d"),
        codes=(344, "2i"),
        quaternion=(352, "6d"),
        matrix=(400, "12d"),
    ),
}
"""Those of NIfTI-1 and NIfTI-2, by the length of the header, bytes."""


FLOATS = {16: "f4", 64: "f8"}
"""The voxel types that hold numbers that are not finite, by their codes."""


def checked_voxels(start: bytes, *, is_single: bool) -> tuple[int, str]:
    """Check a header; return at which byte its voxels begin, and their type if it is a float's.

    Parameters
    ----------
    start : bytes
        The header, which ITK has read.
    is_single : bool
        Whether the voxels are in the same file, so that it cannot be one of Analyze, which has no
        directions.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    order = next((o for o in "<>" if struct.unpack(f"{o}i", start[:4].ljust(4))[0] in LAYOUTS), "")
    (length,) = struct.unpack(f"{order or '<'}i", start[:4].ljust(4))
    if not order or len(start) < length:
        return 0, ""

    def read(field: tuple[int, str]) -> Array:
        return np.array(struct.unpack_from(f"{order}{field[1]}", start, field[0]), np.float64)

    layout = LAYOUTS[length]
    (offset,) = read(layout.offset)
    # in one file ITK would begin with the last bytes of the header
    if not (length if is_single else 0) <= offset < 2**31:
        raise ValueError(f"damaged: its voxels begin at byte {offset:g}")
    kind = FLOATS.get(int(read(layout.kind)[0]), "")
    voxels = int(offset), kind and order + kind
    start_of_name, names = MAGIC[length]
    name = start[start_of_name : start_of_name + 4]
    if name not in names[: 1 if is_single else 2]:
        if is_single:
            raise ValueError(f"damaged: its header names the format {name!r}, not {names[0]!r}")
        return voxels
    sizes = read(layout.sizes)
    axes = [axis for axis in range(1, min(int(sizes[0]), 3) + 1) if sizes[axis] > 1]
    spacing = read(layout.spacing)[axes]
    if not (np.isfinite(spacing) & (spacing != 0)).all():
        raise ValueError(f"damaged: its header has a spacing of {spacing.tolist()}")
    slope, intercept = read(layout.scale)
    # a slope that is no number means, as 0 does, that there is none
    if np.isinf(slope) or (np.isfinite(slope) and slope and not np.isfinite(intercept)):
        raise ValueError(f"damaged: its header scales voxels by {slope:g} and {intercept:g}")
    for code, form in zip(read(layout.codes), (layout.quaternion, layout.matrix), strict=True):
        if code > 0 and not np.isfinite(read(form)).all():
            raise ValueError("damaged: its header has axes that are not finite")
    return voxels


class NotFinite:
    """The voxels of a file that are not finite, while its bytes go by.

    Parameters
    ----------
    kind : str
        Of the voxels, as NumPy calls it.
    start, size : int
        Where they begin, and how many bytes they have.
    """

    def __init__(self, kind: str, start: int, size: int) -> None:
        self._kind, self._skipped, self._size = np.dtype(kind), start, size
        self._count, self._rest = 0, b""
        self._found: list[npt.NDArray[np.intp]] = []

    def look_at(self, block: bytes) -> None:
        """Look at the next bytes of the file."""
        skipped = min(self._skipped, len(block))
        self._skipped -= skipped
        content = self._rest + block[skipped:] if self._rest or skipped else block
        left = self._size // self._kind.itemsize - self._count
        values = np.frombuffer(content, self._kind, min(len(content) // self._kind.itemsize, left))
        if not np.isfinite(values).all():
            self._found.append(np.flatnonzero(~np.isfinite(values)) + self._count)
        self._count += len(values)
        self._rest = content[values.nbytes :][: self._kind.itemsize]

    @property
    def indices(self) -> npt.NDArray[np.intp]:
        """Their numbers, in the order of the file."""
        return np.concatenate(self._found) if self._found else np.zeros(0, np.intp)
