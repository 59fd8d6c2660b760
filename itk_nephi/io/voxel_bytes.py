"""What ITK does not check of image files: the count of bytes, and the end of compressed streams."""

from __future__ import annotations

import bz2
import math
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from itk_nephi.io.image_files import (
    HEADER_BYTES,
    half_of_pair,
    image_suffix,
    meta_fields,
    named_voxels,
    nrrd_fields,
    voxels_beside,
)
from itk_nephi.io.nifti_header import NotFinite, checked_voxels

BLOCK = 2**16

META_NUMBERS = {
    *("dimsize", "elementspacing", "elementsize", "elementnumberofchannels", "headersize"),
    *("offset", "position", "origin", "transformmatrix", "rotation", "orientation"),
}
"""The fields of a MetaImage, in lower case, of which ITK takes a default where they are damaged."""


def check_voxel_bytes(path: Path, size: int, values: int) -> npt.NDArray[np.intp] | None:
    """Check that a file holds all of its voxels, and no more, undamaged as far as its format shows.

    Parameters
    ----------
    path : Path
        An image file whose header ITK has read; of ``FORMATS``.
    size : int
        Bytes of the voxels.
    values : int
        Numbers of the voxels, for files of text.

    Returns
    -------
    array of int or None
        The numbers of the voxels that are not finite, where ITK would read 0.

    Raises
    ------
    ValueError
        If it is truncated or damaged.
    """
    return FORMATS[image_suffix(path)](path, size, values)


def _check_nifti(path: Path, size: int, _values: int) -> npt.NDArray[np.intp] | None:
    header, voxels = path, path
    if image_suffix(path) in (".hdr", ".img"):
        header, voxels = half_of_pair(path, ".hdr"), half_of_pair(path, ".img")
    with header.open("rb") as file:
        start = next(_inflated(file)) if _is_gzip(header) else file.read(544)
    offset, kind = checked_voxels(start, is_single=voxels == header)
    seen = NotFinite(kind, offset, size) if kind else None
    with voxels.open("rb") as file:
        _check_end(_check_binary(file, offset, size, seen))
    return None if seen is None else seen.indices


def _check_gipl(path: Path, size: int, _values: int) -> None:
    with path.open("rb") as file:
        _check_end(_check_binary(file, 256, size))


def _check_vtk(path: Path, size: int, values: int) -> None:
    with path.open("rb") as file:
        start = file.read(HEADER_BYTES)
        found = re.search(
            rb"\n\s*(LOOKUP_TABLE[^\n]*|(VECTORS|TENSORS|COLOR_SCALARS)[^\n]*)\n", start, re.I
        )
        if found is None:
            raise ValueError("damaged: its header names no voxels")
        if b"ASCII" in start.split(b"\n")[2].upper():
            file.seek(found.end())
            _check_text(file.read(), values)
            return
        rest = _check_binary(file, found.end(), size).strip()
        if not re.match(rb"METADATA|SCALARS|FIELD|VECTORS|NORMALS|TENSORS|CELL_DATA", rest):
            _check_end(rest)


def _check_meta(path: Path, size: int, values: int) -> None:
    fields, start = meta_fields(path)
    for key in META_NUMBERS & fields.keys():
        words = fields[key].encode("latin-1").split()
        _check_numbers(words)
        if not all(math.isfinite(float(word)) for word in words):
            raise ValueError(f"damaged: its header has {fields[key][:60]} for {key}")
    target, name, skip = path, named_voxels(fields), 0
    if name is not None:
        target, skip = voxels_beside(path, name), int(fields.get("headersize", 0))
        start = max(skip, 0)
    with target.open("rb") as file:
        file.seek(start)
        if fields.get("binarydata", "true").lower() == "false":
            _check_text(file.read(), values)
            return
        compressed = fields.get("compresseddata", "false").lower() == "true"
        packed = int(fields.get("compresseddatasize", 0))
        if compressed and packed and packed != target.stat().st_size - start:
            raise ValueError(
                f"truncated or damaged: expected {packed} compressed bytes of voxels, got "
                f"{target.stat().st_size - start}"
            )
        if compressed:
            _check_stream(_inflated(file), 0, size)
        else:
            _check_skipped(file, start, skip, size)


def _check_nrrd(path: Path, size: int, values: int) -> None:
    fields, start = nrrd_fields(path)
    target, name = path, named_voxels(fields)
    if name is not None:
        target, start = voxels_beside(path, name), 0
    encoding = fields.get("encoding", "raw").lower()
    with target.open("rb") as file:
        file.seek(start)
        for _ in range(int(fields.get("line skip", fields.get("lineskip", 0)))):
            file.readline()
        skip = int(fields.get("byte skip", fields.get("byteskip", 0)))
        if encoding in ("text", "txt", "ascii"):
            _check_text(file.read(), values)
        elif encoding == "hex":
            _check_stream(iter([bytes.fromhex(file.read().decode("ascii"))]), skip, size)
        elif encoding in ("gzip", "gz"):
            _check_stream(_inflated(file), skip, size)
        elif encoding in ("bzip2", "bz2"):
            _check_stream(_inflated(file, bz2.BZ2Decompressor), skip, size)
        else:
            _check_skipped(file, file.tell() + max(skip, 0), skip, size)


def _check_png(path: Path, _size: int, _values: int) -> None:
    with path.open("rb") as file:
        file.seek(8)
        kind = b""
        while kind != b"IEND":
            head = file.read(8)
            if len(head) < 8:
                raise ValueError("truncated: it has no end")
            (length,), kind = struct.unpack(">I", head[:4]), head[4:]
            content, checksum = file.read(min(length, 2**31)), file.read(4)
            if checksum != struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))):
                raise ValueError("truncated or damaged: a checksum does not fit")


def _check_mrc(path: Path, size: int, _values: int) -> None:
    with path.open("rb") as file:
        head = file.read(1024).ljust(1024)
        order = ">" if head[212:213] == b"\x11" else "<"
        _check_end(_check_binary(file, 1024 + struct.unpack_from(order + "i", head, 92)[0], size))


def _check_bmp(path: Path, _size: int, _values: int) -> None:
    with path.open("rb") as file:
        named = struct.unpack_from("<I", file.read(6).ljust(6), 2)[0]
    _check_count(path.stat().st_size, named)


FORMATS: dict[str, Callable[[Path, int, int], npt.NDArray[np.intp] | None]] = {
    ".nii": _check_nifti,
    ".hdr": _check_nifti,
    ".img": _check_nifti,
    ".gipl": _check_gipl,
    ".vtk": _check_vtk,
    ".mha": _check_meta,
    ".mhd": _check_meta,
    ".nrrd": _check_nrrd,
    ".nhdr": _check_nrrd,
    ".png": _check_png,
    ".mrc": _check_mrc,
    ".rec": _check_mrc,
    ".bmp": _check_bmp,
}
"""By suffix: what checks a file before its voxels are read."""


def _is_gzip(path: Path) -> bool:
    """Whether a file is compressed; ITK goes by the name, as voxels may begin as gzip does."""
    with path.open("rb") as file:
        return path.name.lower().endswith(".gz") and file.read(2) == b"\x1f\x8b"


def _check_skipped(file: BinaryIO, start: int, skip: int, size: int) -> None:
    """Check voxels before which a header skips bytes; for -1 they are the last of the file."""
    if skip < -1:
        raise ValueError(f"damaged: its header skips {skip} bytes")
    if skip == -1:
        _check_count(file.seek(0, os.SEEK_END) - start, size)
    else:
        _check_end(_check_binary(file, start, size))


def _check_binary(file: BinaryIO, start: int, size: int, seen: NotFinite | None = None) -> bytes:
    """Check that there are ``size`` bytes of voxels, in a gzip stream or not, from a byte on.

    Returns the first bytes of what follows them, without zeros, which are padding. All bytes are
    shown to ``seen``.
    """
    file.seek(0)
    if _is_gzip(Path(file.name)):
        _check_stream(_shown(_inflated(file), seen), start, size)
        return b""
    for _ in [] if seen is None else _shown(iter(partial(file.read, 64 * BLOCK), b""), seen):
        pass
    found = file.seek(0, os.SEEK_END) - start
    _check_count(found, size)
    file.seek(start + size)
    return file.read(BLOCK).lstrip(b"\0")


def _shown(blocks: Iterator[bytes], seen: NotFinite | None) -> Iterator[bytes]:
    for block in blocks:
        if seen is not None:
            seen.look_at(block)
        yield block


def _check_stream(blocks: Iterator[bytes], start: int, size: int) -> None:
    """Check that a stream holds ``size`` bytes from a byte on, and then nothing or zeros."""
    count, rest = -start, b""
    for block in blocks:
        count += len(block)
        if count > size and not rest:
            rest = block[-(count - size) :].lstrip(b"\0")
    _check_count(max(count, 0), size)
    _check_end(rest)


def _check_count(found: int, size: int) -> None:
    if found < size:
        raise ValueError(f"truncated: expected {size} bytes of voxels, got {max(found, 0)}")


def _check_end(rest: bytes) -> None:
    if rest:
        raise ValueError("damaged: it holds more than the voxels of its header")


def _inflated(file: BinaryIO, decompressor: Any = None) -> Iterator[bytes]:
    """Yield the bytes of a compressed stream, gzip and zlib alike, whose checksum has to fit."""
    decompressor = decompressor or partial(zlib.decompressobj, 47)
    stream, begun = decompressor(), False
    try:
        while block := file.read(BLOCK):
            while block and not (stream.eof and not block.strip(b"\0")):
                if stream.eof:
                    stream = decompressor()  # gzip files may have several members
                begun = True
                yield stream.decompress(block)
                block = stream.unused_data
    except (zlib.error, OSError) as error:
        raise ValueError(f"truncated or damaged: {error}") from error
    if not begun or not stream.eof:
        raise ValueError("truncated: its compressed stream has no end")


def _check_text(text: bytes, values: int) -> None:
    found = text.replace(b",", b" ").split()
    if len(found) < values:
        raise ValueError(f"truncated: expected {values} numbers, got {len(found)}")
    _check_numbers(found[:values])


def _check_numbers(words: list[bytes]) -> None:
    for word in words:
        try:
            float(word)
        except ValueError:
            raise ValueError(f"damaged: expected numbers, got {word[:20]!r}") from None
