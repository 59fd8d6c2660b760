"""Hostile images: headers that lie, and voxels, masks and grids that leave nothing to register."""

from __future__ import annotations

import gzip
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from hostile_words import EITHER, REFUSED, TAKEN, Input

from itk_nephi.io.image_writing import write_image
from itk_nephi.io.images import read_image
from itk_nephi.spatial import light_itk as itk

SUFFIXES = "nii mha mhd nrrd nhdr vtk tif png bmp h5 mnc gipl mrc hdr img jpg dcm pic lsm"

VOXELS = "12345678"
"""Eight of a byte each, which is what the sound headers below are of."""

META = {
    "ObjectType": "Image",
    "NDims": "3",
    "DimSize": "2 2 2",
    "ElementType": "MET_UCHAR",
    "ElementDataFile": "LOCAL",
}

NRRD = {"type": "uchar", "dimension": "3", "sizes": "2 2 2", "encoding": "raw"}

VTK = """# vtk DataFile Version 3.0
a
{mode}
DATASET STRUCTURED_POINTS
DIMENSIONS {size}
SPACING {spacing}
ORIGIN 0 0 0
POINT_DATA 8
SCALARS s {type} 1
LOOKUP_TABLE default
{voxels}"""

VTK_FIELDS = {
    "mode": "ASCII",
    "size": "2 2 2",
    "spacing": "1 1 1",
    "type": "float",
    "voxels": "1 2 3 4 5 6 7 8",
}


def headers(folder: Path) -> Iterator[Input]:
    """Headers that lie."""
    yield from _nifti_headers(folder)
    yield from _packed(folder)
    for suffix in SUFFIXES.split():
        (folder / f"empty.{suffix}").write_bytes(b"")
        yield Input(f"info empty.{suffix}")
        (folder / f"noise.{suffix}").write_bytes(random.Random(suffix).randbytes(900))
        yield Input(f"info noise.{suffix}")
    yield from _nrrd_headers(folder)
    yield from _meta_headers(folder)
    yield from _vtk_headers(folder)
    yield from _cut(folder)


def _nifti(whole: bytes, *changes: tuple[int, str, object]) -> bytes:
    content = bytearray(whole)
    for place, code, value in changes:
        struct.pack_into(f"<{code}", content, place, *np.atleast_1d(value).tolist())
    return bytes(content)


def _nifti_headers(folder: Path) -> Iterator[Input]:
    whole = (folder / "whole.nii").read_bytes()
    nan, inf = float("nan"), float("inf")
    changes = {
        "dim0": (40, "h", 0),
        "dim8": (40, "h", 8),
        "dim1": (40, "h", 1),
        "negative": (42, "h", -12),
        "huge": (42, "hhh", [32767] * 3),
        "wide": (42, "h", 13),
        "type0": (70, "h", 0),
        "type99": (70, "h", 1234),
        "float": (70, "hh", [64, 64]),
        "bits": (72, "h", 32),
        "beyond": (108, "f", 1e9),
        "before": (108, "f", -5.0),
        "offsetnan": (108, "f", nan),
        "offsetinf": (108, "f", inf),
        "spacing0": (80, "f", 0.0),
        "spacingnan": (80, "fff", [nan] * 3),
        "spacinginf": (80, "f", inf),
        "slopenan": (112, "f", nan),
        "slopeinf": (112, "f", inf),
        "internan": (112, "ff", [1.0, nan]),
        "magic": (344, "4s", b"n+9"),
        "detached": (344, "4s", b"ni1"),
        "sizeof": (0, "i", 347),
    }
    for name, change in changes.items():
        (folder / f"n_{name}.nii").write_bytes(_nifti(whole, change))
        yield Input(f"info n_{name}.nii", TAKEN if name in ("bits", "slopenan") else REFUSED)
    frames = {
        "sformzero": [0.0] * 12,
        "sformnan": [nan] * 12,
        "sformflat": [1.0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0],
        "sforminf": [inf, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0],
        "originnan": [1.0, 0, 0, nan, 0, 1, 0, 0, 0, 0, 1, 0],
    }
    for name, frame in frames.items():
        content = _nifti(whole, (252, "hh", [0, 1]), (280, "12f", frame))
        (folder / f"n_{name}.nii").write_bytes(content)
        yield Input(f"info n_{name}.nii", EITHER if name == "sformzero" else REFUSED)


def _packed(folder: Path) -> Iterator[Input]:
    whole = (folder / "whole.nii").read_bytes()
    packed = gzip.compress(whole)
    streams = {
        "empty": b"",
        "text": b"this is no image\n",
        "of_nothing": gzip.compress(b""),
        "trailing": packed + b"garbage",
        "sum": packed[:-8] + b"\0\0\0\0" + packed[-4:],
        "length": packed[:-4] + b"\0\0\0\1",
        "half": packed[: len(packed) // 2],
        "no_end": packed[:-8],
        "twice": gzip.compress(packed),
        "members": gzip.compress(whole[:700]) + gzip.compress(whole[700:]),
    }
    for name, content in streams.items():
        (folder / f"z_{name}.nii.gz").write_bytes(content)
        yield Input(f"info z_{name}.nii.gz", TAKEN if name == "members" else REFUSED)


def _nrrd_headers(folder: Path) -> Iterator[Input]:
    def frame(directions: str, **more: str) -> dict[str, str]:
        fields = {"space dimension": "3", "space directions": directions}
        return fields | {name.replace("_", " "): value for name, value in more.items()}

    cases: dict[str, tuple[dict[str, str], str]] = {
        "zero": ({"sizes": "0 1 1"}, ""),
        "minus": ({"sizes": "-2 2 2"}, VOXELS),
        "billions": ({"sizes": "1000000000 1000000000 1000000000"}, "1"),
        "overflow": ({"sizes": "4294967296 4294967296 2"}, "1"),
        "type": ({"type": "quaternion"}, VOXELS),
        "encoding": ({"encoding": "base64"}, VOXELS),
        "many": ({"dimension": "99", "sizes": "2 " * 99}, VOXELS),
        "fewer": ({"sizes": "2 2"}, VOXELS),
        "spacing0": ({"spacings": "0 0 0"}, VOXELS),
        "spacingnan": ({"spacings": "1 nan 1"}, VOXELS),
        "directions": (frame("(0,0,0) (0,0,0) (0,0,0)"), VOXELS),
        "parallel": (frame("(1,0,0) (1,0,0) (0,0,1)"), VOXELS),
        "directionsnan": (frame("(nan,0,0) (0,1,0) (0,0,1)"), VOXELS),
        "originnan": (frame("(1,0,0) (0,1,0) (0,0,1)", space_origin="(nan,0,0)"), VOXELS),
        "few": ({"encoding": "ascii"}, "1 2 3"),
        "words": ({"encoding": "ascii"}, "one two three four five six seven eight"),
        "nan": ({"type": "float", "encoding": "ascii"}, "1 2 3 4 nan 6 7 x"),
        "out": ({"data file": "../../../../../etc/hostname"}, ""),
        "missing": ({"data file": "nowhere.raw"}, ""),
        "self": ({"sizes": "200 200 2", "data file": "r_self.nrrd"}, ""),
        "zero_device": ({"data file": "/dev/zero"}, ""),
        "skip": ({"byte skip": "-5"}, VOXELS),
        "skipfar": ({"byte skip": "99999999999999999999"}, VOXELS),
        "skipword": ({"byte skip": "many"}, VOXELS),
        "lines": ({"line skip": "999999999"}, VOXELS),
        "linesword": ({"line skip": "x"}, VOXELS),
        "hex": ({"encoding": "hex"}, "xyzxyzxyz"),
        "hexodd": ({"encoding": "hex"}, "010203040506070"),
    }
    for name, (changes, voxels) in cases.items():
        fields = {**NRRD, "endian": "little", **changes}
        lines = [f"{field}: {value}" for field, value in fields.items()]
        (folder / f"r_{name}.nrrd").write_text("\n".join(["NRRD0004", *lines, "", voxels]))
        is_doubtful = name in ("spacingnan", "directions")
        yield Input(f"info r_{name}.nrrd", EITHER if is_doubtful else REFUSED)


def _meta_headers(folder: Path) -> Iterator[Input]:
    cases: dict[str, tuple[dict[str, str], str]] = {
        "huge": ({"DimSize": "99999 99999 99999"}, "1"),
        "minus": ({"DimSize": "-2 2 2"}, VOXELS),
        "none": ({"NDims": "0", "DimSize": ""}, VOXELS),
        "eleven": ({"NDims": "11", "DimSize": "1 " * 11}, VOXELS),
        "million": ({"NDims": "1000000"}, VOXELS),
        "fewer": ({"DimSize": "2 2"}, VOXELS),
        "words": ({"DimSize": "two two two"}, VOXELS),
        "spacing0": ({"ElementSpacing": "0 0 0"}, VOXELS),
        "spacingnan": ({"ElementSpacing": "nan 1 1"}, VOXELS),
        "spacingtiny": ({"ElementSpacing": "1e-320 1 1"}, VOXELS),
        "matrix": ({"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, VOXELS),
        "offset": ({"Offset": "inf 0 0"}, VOXELS),
        "channels": ({"ElementNumberOfChannels": "0"}, VOXELS),
        "channelsminus": ({"ElementNumberOfChannels": "-1"}, VOXELS),
        "channelsmany": ({"ElementNumberOfChannels": "2000000000"}, VOXELS),
        "type": ({"ElementType": "MET_QUATERNION"}, VOXELS),
        "string": ({"ElementType": "MET_STRING"}, VOXELS),
        "missing": ({"ElementDataFile": "nowhere.raw"}, ""),
        "zero_device": ({"ElementDataFile": "/dev/zero"}, ""),
        "list": ({"ElementDataFile": "LIST"}, "nowhere.raw\nnowhere2.raw"),
        "format": ({"ElementDataFile": "%s%n%d 1 2 1"}, ""),
        "packed": ({"CompressedData": "True"}, VOXELS),
        "packedsize": ({"CompressedData": "True", "CompressedDataSize": "-8"}, VOXELS),
        "packedword": ({"CompressedData": "True", "CompressedDataSize": "many"}, VOXELS),
        "headersize": ({"HeaderSize": "x", "ElementDataFile": "affine.tfm"}, ""),
        "folder": ({"ElementDataFile": "."}, ""),
    }
    for name, (changes, voxels) in cases.items():
        fields = META | changes
        fields["ElementDataFile"] = fields.pop("ElementDataFile")  # the last one
        lines = [f"{field} = {value}" for field, value in fields.items()]
        (folder / f"m_{name}.mha").write_text("\n".join([*lines, voxels]))
        yield Input(f"info m_{name}.mha", EITHER if name == "string" else REFUSED)


def _vtk_headers(folder: Path) -> Iterator[Input]:
    cases = {
        "minus": {"size": "-2 2 2"},
        "huge": {"size": "99999 99999 99999", "voxels": "1 2 3"},
        "spacing": {"spacing": "0 1 1"},
        "spacingnan": {"spacing": "nan 1 1"},
        "words": {"voxels": "a b c d e f g h"},
        "few": {"voxels": "1 2 3 4 5 6 7"},
        "type": {"type": "quaternion"},
        "binary": {"mode": "BINARY", "type": "double", "voxels": VOXELS},
        "mode": {"mode": "TERNARY"},
    }
    for name, changes in cases.items():
        (folder / f"v_{name}.vtk").write_text(VTK.format(**(VTK_FIELDS | changes)))
        yield Input(f"info v_{name}.vtk")


def _cut(folder: Path) -> Iterator[Input]:
    png = bytearray((folder / "flat.png").read_bytes())
    struct.pack_into(">I", png, 16, 2**31 - 1)
    (folder / "p_wide.png").write_bytes(png)
    yield Input("info p_wide.png")
    tif = (folder / "whole.tif").read_bytes()
    for name, end in (("half", len(tif) // 2), ("head", 8), ("two", 2)):
        (folder / f"t_{name}.tif").write_bytes(tif[:end])
        yield Input(f"info t_{name}.tif")
    h5 = (folder / "whole.h5").read_bytes()
    for share in range(1, 12):
        (folder / f"h_{share}.h5").write_bytes(h5[: len(h5) * share // 12])
        yield Input(f"info h_{share}.h5")


def contents(folder: Path) -> Iterator[Input]:
    """Voxels, masks and grids that leave nothing to register."""
    rng = np.random.default_rng(0)
    values = itk.array_from_image(read_image(folder / "image.nrrd", "FILE"))
    inner = np.zeros_like(values)
    inner[2:7, 2:8, 2:8] = 1
    within = values.astype(np.float32)
    within[inner > 0] = 7
    nan = values.astype(np.float32)
    nan[inner > 0] = np.nan
    one = np.zeros_like(values)
    one[4, 4, 4] = 1
    for name, array in {
        "constant": np.full_like(values, 7),
        "within": within,
        "nan": nan,
        "all_nan": np.full(values.shape, np.nan, np.float32),
        "infinite": np.where(inner > 0, np.inf, values).astype(np.float32),
        "inner": inner,
        "none": np.zeros_like(values),
        "one": one,
        "minus": -inner.astype(np.float32),
        "mask_nan": np.where(inner > 0, 1, np.nan).astype(np.float32),
        "soft3": inner.astype(np.float32) * rng.random(values.shape).astype(np.float32) * 3,
        "other": inner[:, :, :-1],
    }.items():
        write_image(itk.image_from_array(np.ascontiguousarray(array)), folder / f"i_{name}.nrrd")
    quick = "--initial-transform identity --steps 1 -o OUT"
    for name in ("constant", "nan", "all_nan", "infinite"):
        yield Input(f"register i_{name}.nrrd image.nrrd {quick}")
        yield Input(f"register image.nrrd i_{name}.nrrd {quick}")
        yield Input(f"align i_{name}.nrrd image.nrrd -o OUT.h5")
    masked = "--fixed-mask i_inner.nrrd --moving-mask i_inner.nrrd"
    yield Input(f"register i_within.nrrd i_within.nrrd {masked} {quick}", prints="contrast")
    yield Input(
        f"register i_within.nrrd image.nrrd --fixed-mask i_inner.nrrd {quick}", prints="contrast"
    )
    yield Input(
        f"register image.nrrd i_within.nrrd --moving-mask i_inner.nrrd {quick}", prints="contrast"
    )
    yield Input(
        "align i_within.nrrd image.nrrd --fixed-mask i_inner.nrrd -o OUT.h5", prints="contrast"
    )
    for name in ("none", "one", "mask_nan", "soft3", "other"):
        yield Input(f"register image.nrrd image.nrrd --fixed-mask i_{name}.nrrd {quick}")
        yield Input(f"align image.nrrd image.nrrd --moving-mask i_{name}.nrrd -o OUT.h5")
    yield Input(f"register image.nrrd flat.png {quick}")
    yield Input("align image.nrrd flat.png -o OUT.h5")
    yield Input("jacobian affine.tfm --reference flat.png -o OUT.nrrd")
    for name, shape in (
        ("line", (1, 9)),
        ("dot", (1, 1)),
        ("sheet", (1, 9, 9)),
        ("row", (9, 1, 1)),
    ):
        write_image(
            itk.image_from_array((rng.random(shape) * 200).astype(np.uint8)),
            folder / f"i_{name}.nrrd",
        )
        yield Input(f"register i_{name}.nrrd i_{name}.nrrd {quick}")
        yield Input(f"align i_{name}.nrrd i_{name}.nrrd -o OUT.h5")
