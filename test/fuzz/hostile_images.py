"""Hostile images: headers that lie, and voxels, masks and grids that leave nothing to register."""

from __future__ import annotations

import gzip
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from hostile_words import EITHER, REFUSED, TAKEN, Input

from itk_nephi.io.images import read_image, write_image
from itk_nephi.spatial import light_itk as itk

SUFFIXES = "nii mha mhd nrrd nhdr vtk tif png bmp h5 mnc gipl mrc hdr img jpg dcm pic lsm"

FRAME = "space dimension: 3\nspace directions: "

VTK = """# vtk DataFile Version 3.0
a
{}
DATASET STRUCTURED_POINTS
DIMENSIONS {}
SPACING {}
ORIGIN {}
POINT_DATA {}
SCALARS s {} 1
LOOKUP_TABLE default
{}"""

META = """ObjectType = Image
NDims = {}
DimSize = {}
{}ElementType = {}
ElementDataFile = {}
{}"""


def _nifti(whole: bytes, *changes: tuple[int, str, object]) -> bytes:
    content = bytearray(whole)
    for place, code, value in changes:
        struct.pack_into(f"<{code}", content, place, *np.atleast_1d(value).tolist())
    return bytes(content)


def headers(folder: Path) -> Iterator[Input]:
    """Headers that lie."""
    whole = (folder / "whole.nii").read_bytes()
    nan, inf = float("nan"), float("inf")
    headers = {
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
        "magic": (344, "4s", b"n+9\0"),
        "detached": (344, "4s", b"ni1\0"),
        "sizeof": (0, "i", 347),
    }
    for name, change in headers.items():
        if name == "magic" or change[1] == "4s":
            content = bytearray(whole)
            struct.pack_into("<4s", content, change[0], change[2])
            (folder / f"n_{name}.nii").write_bytes(content)
        else:
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
    }
    for name, content in streams.items():
        (folder / f"z_{name}.nii.gz").write_bytes(content)
        yield Input(f"info z_{name}.nii.gz")
    (folder / "z_members.nii.gz").write_bytes(
        gzip.compress(whole[:700]) + gzip.compress(whole[700:])
    )
    yield Input("info z_members.nii.gz", TAKEN)
    for suffix in [
        "nii",
        "mha",
        "mhd",
        "nrrd",
        "nhdr",
        "vtk",
        "tif",
        "png",
        "bmp",
        "h5",
        "mnc",
        "gipl",
        "mrc",
        "hdr",
        "img",
        "jpg",
        "dcm",
        "pic",
        "lsm",
    ]:
        (folder / f"empty.{suffix}").write_bytes(b"")
        yield Input(f"info empty.{suffix}")
        (folder / f"noise.{suffix}").write_bytes(random.Random(suffix).randbytes(900))
        yield Input(f"info noise.{suffix}")
    head = "NRRD0004\ntype: {}\ndimension: {}\nsizes: {}\nencoding: {}\n{}\n\n{}"
    for name, given in {
        "zero": ("uchar", 3, "0 1 1", "raw", "endian: little", ""),
        "minus": ("uchar", 3, "-2 2 2", "raw", "endian: little", "12345678"),
        "billions": ("uchar", 3, "1000000000 1000000000 1000000000", "raw", "endian: little", "1"),
        "overflow": ("uchar", 3, "4294967296 4294967296 2", "raw", "endian: little", "1"),
        "type": ("quaternion", 3, "2 2 2", "raw", "endian: little", "12345678"),
        "encoding": ("uchar", 3, "2 2 2", "base64", "endian: little", "12345678"),
        "many": ("uchar", 99, "2 " * 99, "raw", "endian: little", "12345678"),
        "fewer": ("uchar", 3, "2 2", "raw", "endian: little", "12345678"),
        "spacing0": ("uchar", 3, "2 2 2", "raw", "spacings: 0 0 0", "12345678"),
        "spacingnan": ("uchar", 3, "2 2 2", "raw", "spacings: 1 nan 1", "12345678"),
        "directions": (
            "uchar",
            3,
            "2 2 2",
            "raw",
            FRAME + "(0,0,0) (0,0,0) (0,0,0)",
            "12345678",
        ),
        "parallel": (
            "uchar",
            3,
            "2 2 2",
            "raw",
            FRAME + "(1,0,0) (1,0,0) (0,0,1)",
            "12345678",
        ),
        "directionsnan": (
            "uchar",
            3,
            "2 2 2",
            "raw",
            FRAME + "(nan,0,0) (0,1,0) (0,0,1)",
            "12345678",
        ),
        "originnan": (
            "uchar",
            3,
            "2 2 2",
            "raw",
            FRAME + "(1,0,0) (0,1,0) (0,0,1)\nspace origin: (nan,0,0)",
            "12345678",
        ),
        "few": ("uchar", 3, "2 2 2", "ascii", "", "1 2 3"),
        "words": ("uchar", 3, "2 2 2", "ascii", "", "one two three four five six seven eight"),
        "nan": ("float", 3, "2 2 2", "ascii", "", "1 2 3 4 nan 6 7 x"),
        "out": ("uchar", 3, "2 2 2", "raw", "data file: ../../../../../etc/hostname", ""),
        "missing": ("uchar", 3, "2 2 2", "raw", "data file: nowhere.raw", ""),
        "self": ("uchar", 3, "200 200 2", "raw", "data file: r_self.nrrd", ""),
        "zero_device": ("uchar", 3, "2 2 2", "raw", "data file: /dev/zero", ""),
        "skip": ("uchar", 3, "2 2 2", "raw", "byte skip: -5", "12345678"),
        "skipfar": ("uchar", 3, "2 2 2", "raw", "byte skip: 99999999999999999999", "12345678"),
        "skipword": ("uchar", 3, "2 2 2", "raw", "byte skip: many", "12345678"),
        "lines": ("uchar", 3, "2 2 2", "raw", "line skip: 999999999", "12345678"),
        "linesword": ("uchar", 3, "2 2 2", "raw", "line skip: x", "12345678"),
        "hex": ("uchar", 3, "2 2 2", "hex", "", "xyzxyzxyz"),
        "hexodd": ("uchar", 3, "2 2 2", "hex", "", "010203040506070"),
    }.items():
        (folder / f"r_{name}.nrrd").write_text(head.format(*given))
        yield Input(
            f"info r_{name}.nrrd", EITHER if name in ("spacingnan", "directions") else REFUSED
        )
    for name, given in {
        "huge": ("3", "99999 99999 99999", "", "MET_UCHAR", "LOCAL", "1"),
        "minus": ("3", "-2 2 2", "", "MET_UCHAR", "LOCAL", "12345678"),
        "none": ("0", "", "", "MET_UCHAR", "LOCAL", "12345678"),
        "eleven": ("11", "1 " * 11, "", "MET_UCHAR", "LOCAL", "12345678"),
        "million": ("1000000", "2 2 2", "", "MET_UCHAR", "LOCAL", "12345678"),
        "fewer": ("3", "2 2", "", "MET_UCHAR", "LOCAL", "12345678"),
        "words": ("3", "two two two", "", "MET_UCHAR", "LOCAL", "12345678"),
        "spacing0": ("3", "2 2 2", "ElementSpacing = 0 0 0\n", "MET_UCHAR", "LOCAL", "12345678"),
        "spacingnan": (
            "3",
            "2 2 2",
            "ElementSpacing = nan 1 1\n",
            "MET_UCHAR",
            "LOCAL",
            "12345678",
        ),
        "spacingtiny": (
            "3",
            "2 2 2",
            "ElementSpacing = 1e-320 1 1\n",
            "MET_UCHAR",
            "LOCAL",
            "12345678",
        ),
        "matrix": (
            "3",
            "2 2 2",
            "TransformMatrix = 1 0 0 1 0 0 0 0 1\n",
            "MET_UCHAR",
            "LOCAL",
            "12345678",
        ),
        "offset": ("3", "2 2 2", "Offset = inf 0 0\n", "MET_UCHAR", "LOCAL", "12345678"),
        "channels": (
            "3",
            "2 2 2",
            "ElementNumberOfChannels = 0\n",
            "MET_UCHAR",
            "LOCAL",
            "12345678",
        ),
        "channelsminus": (
            "3",
            "2 2 2",
            "ElementNumberOfChannels = -1\n",
            "MET_UCHAR",
            "LOCAL",
            "12345678",
        ),
        "channelsmany": (
            "3",
            "2 2 2",
            "ElementNumberOfChannels = 2000000000\n",
            "MET_UCHAR",
            "LOCAL",
            "12345678",
        ),
        "type": ("3", "2 2 2", "", "MET_QUATERNION", "LOCAL", "12345678"),
        "string": ("3", "2 2 2", "", "MET_STRING", "LOCAL", "12345678"),
        "missing": ("3", "2 2 2", "", "MET_UCHAR", "nowhere.raw", ""),
        "zero_device": ("3", "2 2 2", "", "MET_UCHAR", "/dev/zero", ""),
        "list": ("3", "2 2 2", "", "MET_UCHAR", "LIST", "nowhere.raw\nnowhere2.raw"),
        "format": ("3", "2 2 2", "", "MET_UCHAR", "%s%n%d 1 2 1", ""),
        "packed": ("3", "2 2 2", "CompressedData = True\n", "MET_UCHAR", "LOCAL", "12345678"),
        "packedsize": (
            "3",
            "2 2 2",
            "CompressedData = True\nCompressedDataSize = -8\n",
            "MET_UCHAR",
            "LOCAL",
            "12345678",
        ),
        "packedword": (
            "3",
            "2 2 2",
            "CompressedData = True\nCompressedDataSize = many\n",
            "MET_UCHAR",
            "LOCAL",
            "12345678",
        ),
        "headersize": ("3", "2 2 2", "HeaderSize = x\n", "MET_UCHAR", "affine.tfm", ""),
        "folder": ("3", "2 2 2", "", "MET_UCHAR", ".", ""),
    }.items():
        (folder / f"m_{name}.mha").write_text(META.format(*given))
        yield Input(f"info m_{name}.mha", EITHER if name == "string" else REFUSED)
    for name, given in {
        "minus": ("ASCII", "-2 2 2", "1 1 1", "0 0 0", "8", "float", "1 2 3 4 5 6 7 8"),
        "huge": ("ASCII", "99999 99999 99999", "1 1 1", "0 0 0", "8", "float", "1 2 3"),
        "spacing": ("ASCII", "2 2 2", "0 1 1", "0 0 0", "8", "float", "1 2 3 4 5 6 7 8"),
        "spacingnan": ("ASCII", "2 2 2", "nan 1 1", "0 0 0", "8", "float", "1 2 3 4 5 6 7 8"),
        "words": ("ASCII", "2 2 2", "1 1 1", "0 0 0", "8", "float", "a b c d e f g h"),
        "few": ("ASCII", "2 2 2", "1 1 1", "0 0 0", "8", "float", "1 2 3 4 5 6 7"),
        "type": ("ASCII", "2 2 2", "1 1 1", "0 0 0", "8", "quaternion", "1 2 3 4 5 6 7 8"),
        "binary": ("BINARY", "2 2 2", "1 1 1", "0 0 0", "8", "double", "12345678"),
        "mode": ("TERNARY", "2 2 2", "1 1 1", "0 0 0", "8", "float", "1 2 3 4 5 6 7 8"),
    }.items():
        (folder / f"v_{name}.vtk").write_text(VTK.format(*given))
        yield Input(f"info v_{name}.vtk")
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
