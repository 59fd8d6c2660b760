"""Hostile DICOM series: slices that are missing, doubled, damaged, or that do not fit together."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import itk
import numpy as np
from hostile_words import REFUSED, TAKEN, Input

UID = "1.2.826.0.1.3680043.2.1125"


def write_slice(
    path: Path, index: int, *, series: int = 1, size: tuple[int, int] = (9, 11), **tags: str
) -> None:
    """Write a slice of a series, some of its tags replaced."""
    values = np.random.default_rng(index).integers(0, 250, (1, *size)).astype(np.int16)
    image = itk.image_from_array(values)
    image.SetOrigin([3.0, 4.0, 2.5 * index])
    image.SetSpacing([0.5, 0.75, 2.5])
    dictionary = image.GetMetaDataDictionary()
    given = {
        "0020|000d": f"{UID}.{series}.1",
        "0020|000e": f"{UID}.{series}",
        "0008|0060": "CT",
        "0020|0013": str(index),
        "0020|0032": f"3\\4\\{2.5 * index}",
        "0018|0050": "2.5",
    } | {tag.replace("_", "|").removeprefix("t"): value for tag, value in tags.items()}
    for tag, value in given.items():
        dictionary[tag] = value
    writer = itk.ImageFileWriter[type(image)].New(image, file_name=str(path))
    io = itk.GDCMImageIO.New()
    io.KeepOriginalUIDOn()
    writer.SetImageIO(io)
    writer.Update()


def dicom(folder: Path) -> Iterator[Input]:
    """Write series, each damaged in its own way."""
    whole = folder / "whole_dicom"
    whole.mkdir()
    for index in range(6):
        write_slice(whole / f"{index}.dcm", index)
    yield Input("info whole_dicom", TAKEN)
    for name, (damage, status) in DAMAGES.items():
        damaged = folder / f"dicom_{name}"
        shutil.copytree(whole, damaged)
        damage(damaged)
        yield Input(f"info dicom_{name}", status)
        words = f"transform-image dicom_{name} affine.tfm --reference image.nrrd -o OUT.nrrd"
        yield Input(words, status)
    (folder / "no_dicom").mkdir()
    yield Input("info no_dicom")
    (folder / "no_dicom" / "a.txt").write_text("no DICOM")
    (folder / "no_dicom" / "b.dcm").write_bytes(b"")
    yield Input("info no_dicom")


def _replaced(place: Path, old: bytes, new: bytes) -> None:
    content = place.read_bytes()
    assert old in content
    place.write_bytes(content.replace(old, new))


def _all_replaced(folder: Path, old: bytes, new: bytes) -> None:
    for place in folder.iterdir():
        _replaced(place, old, new)


def _cut(folder: Path, share: float) -> None:
    content = (folder / "3.dcm").read_bytes()
    (folder / "3.dcm").write_bytes(content[: int(share * len(content))])


ROWS = bytes.fromhex("2800100002000000")
COLUMNS = bytes.fromhex("2800110002000000")
BITS = bytes.fromhex("2800000102000000")
SAMPLES = bytes.fromhex("2800020002000000")

DAMAGES: dict[str, tuple[Callable[[Path], None], tuple[int, ...]]] = {
    "gap": (lambda folder: (folder / "3.dcm").unlink(), REFUSED),
    "last": (lambda folder: (folder / "5.dcm").unlink(), TAKEN),
    "twice": (lambda folder: shutil.copy(folder / "3.dcm", folder / "again.dcm"), REFUSED),
    "text": (lambda folder: (folder / "readme.txt").write_text("text"), TAKEN),
    "nothing": (lambda folder: (folder / "3.dcm").write_bytes(b""), REFUSED),
    "half": (lambda folder: _cut(folder, 0.5), REFUSED),
    "end": (lambda folder: _cut(folder, 0.98), REFUSED),
    "begin": (lambda folder: _cut(folder, 0.1), REFUSED),
    "prefix": (lambda folder: _cut(folder, 0.05), REFUSED),
    "smaller": (lambda folder: write_slice(folder / "3.dcm", 3, size=(7, 11)), REFUSED),
    "larger": (lambda folder: write_slice(folder / "3.dcm", 3, size=(9, 12)), REFUSED),
    "other": (lambda folder: write_slice(folder / "7.dcm", 7, series=2), REFUSED),
    "rows0": (lambda folder: _all_replaced(folder, ROWS + b"\x09\0", ROWS + b"\0\0"), REFUSED),
    "rows": (lambda folder: _all_replaced(folder, ROWS + b"\x09\0", ROWS + b"\xff\xff"), REFUSED),
    "row": (
        lambda folder: _replaced(folder / "3.dcm", ROWS + b"\x09\0", ROWS + b"\x0a\0"),
        REFUSED,
    ),
    "columns": (
        lambda folder: _all_replaced(folder, COLUMNS + b"\x0b\0", COLUMNS + b"\x7f\x7f"),
        REFUSED,
    ),
    "bits": (lambda folder: _all_replaced(folder, BITS + b"\x10\0", BITS + b"\x07\0"), REFUSED),
    "samples": (
        lambda folder: _all_replaced(folder, SAMPLES + b"\x01\0", SAMPLES + b"\0\0"),
        REFUSED,
    ),
    "spacing": (lambda folder: _all_replaced(folder, b".75\\.5", b"0.0\\.5"), REFUSED),
    "spacingword": (lambda folder: _all_replaced(folder, b".75\\.5", b"abc\\.5"), REFUSED),
    "position": (lambda folder: _replaced(folder / "3.dcm", b"3\\4\\7.5", b"3\\4\\nan"), REFUSED),
    "aside": (lambda folder: _replaced(folder / "3.dcm", b"3\\4\\7.5", b"9\\4\\7.5"), REFUSED),
    "far": (lambda folder: _replaced(folder / "5.dcm", b"3\\4\\12.5", b"3\\4\\99.5"), REFUSED),
}
"""What is done to a series, and how a command has to end."""
