"""Hostile transforms, meshes, tables, settings, models and checkpoints."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from hostile_words import EITHER, REFUSED, TAKEN, Input

from itk_nephi.io.image_writing import write_image
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.conversion import vector_image

HEAD = "#Insight Transform File V1.0\n#Transform 0"


def transform(kind: str, parameters: str, fixed: str) -> str:
    """Return the text of a transform file."""
    lines = [HEAD, f"Transform: {kind}", f"Parameters: {parameters}", f"FixedParameters: {fixed}"]
    return "\n".join([*lines, ""])


def transforms(folder: Path) -> Iterator[Input]:
    """Transforms whose numbers do not fit."""
    eye, grid = "1 0 0 0 1 0 0 0 1 0 0 0", "0 0 0 1 1 1 1 0 0 0 1 0 0 0 1"
    affine = "AffineTransform_double_3_3"
    for name, text in {
        "empty": "",
        "head": f"{HEAD}\n",
        "unknown": transform("Unknown_double_3_3", "1", "0"),
        "dimension9": transform("AffineTransform_double_9_9", eye, "0 0 0"),
        "mixed": transform("AffineTransform_double_3_2", eye, "0 0 0"),
        "few": transform(affine, "1 0 0", "0 0 0"),
        "many": transform(affine, f"{eye} 5", "0 0 0"),
        "nan": transform(affine, f"nan{eye[1:]}", "0 0 0"),
        "inf": transform(affine, f"1e999{eye[1:]}", "0 0 0"),
        "center": transform(affine, eye, "nan 0 0"),
        "words": transform(affine, "one two", "0 0 0"),
        "comma": transform(affine, eye.replace(" ", ","), "0 0 0"),
        "nothing": f"{HEAD}\nTransform: {affine}\n",
        "grid": transform("BSplineTransform_double_3_3", "0 0", f"999999 999999 999999 {grid}"),
        "gridnan": transform("BSplineTransform_double_3_3", "0 0", f"nan nan nan {grid}"),
        "gridzero": transform("BSplineTransform_double_3_3", "0 0", f"0 0 0 {grid}"),
        "field": transform("DisplacementFieldTransform_double_3_3", "0 0", f"-1 1 1 {grid}"),
        "composite": f"{HEAD}\nTransform: CompositeTransform_double_3_3\n",
        "versor": transform("VersorRigid3DTransform_double_3_3", "5 5 5 0 0 0", "0 0 0"),
        "nephi": transform("NePhiTransform_double_3_3", "1 2 3", "1 2 3"),
        "two": transform(affine, eye, "0 0 0") * 2,
        "plane": transform("AffineTransform_double_2_2", "1 0 0 1 0 0", "0 0"),
        "binary": f"{HEAD}\n\0\0\0\0Transform: \0\n",
        "long": f"{HEAD}\nTransform: {'A' * 100_000}\n",
    }.items():
        (folder / f"x_{name}.tfm").write_text(text)
        status = EITHER if name == "versor" else REFUSED
        words = f"transform-image image.nrrd x_{name}.tfm --reference image.nrrd -o OUT.nrrd"
        yield Input(words, status)
    singular = transform(affine, "0 " * 12, "0 0 0")
    (folder / "x_singular.tfm").write_text(singular)
    yield Input("invert x_singular.tfm -o OUT.h5")
    exact = "invert x_singular.tfm --reference image.nrrd --exact -o OUT.h5"
    yield Input(exact, EITHER, prints="not converge")
    yield Input("register image.nrrd image.nrrd --initial-transform x_singular.tfm -o OUT")
    whole = (folder / "affine.h5").read_bytes()
    generator = random.Random(5)
    for number in range(12):
        content = bytearray(whole)
        for _ in range(3):
            content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        (folder / f"flipped_{number}.h5").write_bytes(content)
        yield Input(f"info flipped_{number}.h5", EITHER)
        (folder / f"cut_{number}.h5").write_bytes(whole[: len(whole) * (number + 1) // 13])
        yield Input(f"info cut_{number}.h5")
    for name, content in {
        "mat": b"\xff" * 40,
        "h5": b"\x89HDF\r\n\x1a\n",
        "xfm": b"MNI Transform File\n",
    }.items():
        (folder / f"x.{name}").write_bytes(content)
        yield Input(f"info x.{name}")
    rng = np.random.default_rng(0)
    grid = itk.image_from_array(np.zeros((4, 5, 6), np.uint8))
    field = rng.random((4, 5, 6, 3))
    field[1, 1, 1] = np.nan
    write_image(vector_image(field, grid, itk.F), folder / "field_nan.nii.gz")
    yield Input("transform-image image.nrrd field_nan.nii.gz --reference image.nrrd -o OUT.nrrd")
    flat = itk.image_from_array(np.zeros((5, 6), np.uint8))
    write_image(vector_image(rng.random((5, 6, 2)), flat, itk.F), folder / "field_two.nrrd")
    yield Input("transform-image image.nrrd field_two.nrrd --reference image.nrrd -o OUT.nrrd")
    yield Input("transform-image image.nrrd image.nrrd --reference image.nrrd -o OUT.nrrd")


PLY = """ply
format {}
element vertex {}
property float x
property float y
property float z
element face 1
property list {} int vertex_indices
end_header
{}"""

GIFTI = """<?xml version="1.0"?>
{}<GIFTI Version="1.0" NumberOfDataArrays="1">
<DataArray Intent="NIFTI_INTENT_POINTSET" DataType="NIFTI_TYPE_FLOAT32"
  ArrayIndexingOrder="RowMajorOrder" Dimensionality="2" Dim0="{}" Dim1="3" Encoding="{}"
  Endian="LittleEndian" ExternalFileName="{}" ExternalFileOffset="0">
<Data>{}</Data>
</DataArray>
</GIFTI>
"""

FACET = "solid a\nfacet normal 0 0 1\nouter loop\n{}endloop\nendfacet\nendsolid a\n"

TRAINING = """[model]
size = {}
spacing = [1.0, 1.0]
field = {{ width = {} }}
[pairs]
phantom = "{}"
count = {}
size = 24
[training]
steps = {}
batch_size = {}
"""


def meshes(folder: Path) -> Iterator[Input]:
    """Meshes whose counts and words do not fit."""
    vtk = "# vtk DataFile Version 3.0\na\nASCII\nDATASET POLYDATA\n"
    points = "POINTS 3 float\n0 0 0 1 0 0 0 1 0\n"
    bomb = (
        '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
        + "".join(
            f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        )
        + "]>"
    )
    for name, text in {
        "nothing.vtk": vtk,
        "negative.vtk": f"{vtk}POINTS -3 float\n0 0 0\n",
        "cells.vtk": f"{vtk}{points}POLYGONS 5 20\n3 0 1 2\n",
        "index.vtk": f"{vtk}{points}POLYGONS 1 4\n3 0 1 9\n",
        "indexminus.vtk": f"{vtk}{points}POLYGONS 1 4\n3 0 1 -2\n",
        "count.vtk": f"{vtk}POINTS 3000000000 float\n0 0 0\n",
        "word.vtk": f"{vtk}POINTS three float\n0 0 0\n",
        "type.vtk": f"{vtk}POINTS 3 quaternion\n0 0 0 1 0 0 0 1 0\n",
        "inf.vtk": f"{vtk}POINTS 3 float\ninf 0 0 1 0 0 0 1 0\n",
        "big.vtk": f"{vtk}POINTS 3 float\n1e39 0 0 1 0 0 0 1 0\n",
        "space.vtk": vtk.replace("\na\n", "\na; SPACE=MOON\n") + points,
        "grid.vtk": vtk.replace("POLYDATA", "STRUCTURED_GRID") + points,
        "zero.obj": "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 1 2\n",
        "far.obj": "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n",
        "nan.obj": "v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
        "short.obj": "v 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
        "word.obj": "v a b c\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
        "none.obj": "f 1 2 3\n",
        "none.off": "OFF\n0 0 0\n",
        "few.off": "OFF\n4 1 0\n0 0 0\n1 0 0\n3 0 1 2\n",
        "minus.off": "OFF\n-4 1 0\n0 0 0\n",
        "face.off": "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n",
        "minus.ply": PLY.format("ascii 1.0", "-3", "uchar", "0 0 0\n"),
        "few.ply": PLY.format("ascii 1.0", "3", "uchar", "0 0 0\n1 0 0\n"),
        "huge.ply": PLY.format("binary_little_endian 1.0", "2000000000", "uchar", "0 0 0\n"),
        "middle.ply": PLY.format("binary_middle_endian 1.0", "3", "uchar", "0 0 0\n"),
        "list.ply": PLY.format(
            "ascii 1.0", "3", "uchar", "0 0 0\n1 0 0\n0 1 0\n2000000000 0 1 2\n"
        ),
        "listtype.ply": PLY.format(
            "ascii 1.0", "3", "quaternion", "0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
        ),
        "nan.ply": PLY.format("ascii 1.0", "3", "uchar", "nan 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"),
        "far.ply": PLY.format("ascii 1.0", "3", "uchar", "0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n"),
        "no_end.ply": "ply\nformat ascii 1.0\nelement vertex 3\n",
        "header.ply": "ply\n" + "comment a\n" * 100_000,
        "nan.stl": FACET.format("vertex nan 0 0\nvertex 1 0 0\nvertex 0 1 0\n"),
        "two.stl": FACET.format("vertex 0 0 0\nvertex 1 0 0\n"),
        "bomb.gii": GIFTI.format(bomb, 1, "ASCII", "", "&i;"),
        "few.gii": GIFTI.format("", 9, "ASCII", "", "1 2 3"),
        "huge.gii": GIFTI.format("", 2_000_000_000, "ASCII", "", "1 2 3"),
        "minus.gii": GIFTI.format("", -1, "ASCII", "", "1 2 3"),
        "base64.gii": GIFTI.format("", 1, "Base64Binary", "", "!!!!"),
        "gzip.gii": GIFTI.format("", 1, "GZipBase64Binary", "", "AAAA"),
        "external.gii": GIFTI.format("", 1, "ExternalFileBinary", "/dev/zero", ""),
        "open.gii": "<GIFTI><DataArray>",
        "entity.gii": GIFTI.format(
            '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>', 1, "ASCII", "", "&x; 1 2 3"
        ),
        "bad.byu": "1 3 1 3\n1 3\n0 0 0\n",
        "minus.byu": "1 -3 1 3\n1 3\n0 0 0\n",
    }.items():
        (folder / f"g_{name}").write_text(text)
        allowed = EITHER if name in ("none.off", "big.vtk") else REFUSED
        suffix = name.split(".")[-1]
        yield Input(f"transform-mesh g_{name} affine.tfm -o OUT.{suffix}", allowed)
    for name, content in {
        "count.stl": b"\0" * 80 + struct.pack("<I", 2_000_000_000) + b"\0" * 50,
        "cut.stl": b"\0" * 80 + struct.pack("<I", 3) + b"\0" * 120,
        "trailing.stl": b"\0" * 80 + struct.pack("<I", 1) + b"\0" * 50 + b"garbage",
        "list.ply": (PLY.format("binary_little_endian 1.0", "1", "int", "")).encode()
        + b"\0" * 12
        + struct.pack("<i", -1),
        "listhuge.ply": (PLY.format("binary_little_endian 1.0", "1", "uint", "")).encode()
        + b"\0" * 12
        + struct.pack("<I", 2**32 - 1),
    }.items():
        (folder / f"b_{name}").write_bytes(content)
        yield Input(f"transform-mesh b_{name} affine.tfm -o OUT.{name[-3:]}")
    (folder / "sound.vtk").write_text(f"{vtk}{points}POLYGONS 1 4\n3 0 1 2\n")
    yield Input("transform-mesh sound.vtk affine.tfm -o OUT.obj", EITHER)
    yield Input("transform-mesh sound.vtk affine.tfm -o OUT.xyz")
    yield Input("transform-mesh sound.vtk x_plane.tfm -o OUT.vtk")


def tables(folder: Path) -> Iterator[Input]:
    """Tables of points, of pairs, and markups."""
    for name, content in {
        "empty": b"",
        "heading": b"x,y,z\n",
        "blank": b"\n\n\n",
        "two": b"x,y\n1,2\n",
        "word": b"x,y,z\n1,2,three\n",
        "nan": b"x,y,z\n1,2,nan\n",
        "inf": b"x,y,z\n1,2,inf\n",
        "overflow": b"x,y,z\n1,2,1e400\n",
        "ragged": b"x,y,z\n1,2,3\n1,2\n",
        "longer": b"x,y,z\n1,2,3,4\n",
        "hole": b"x,y,z\n1,,3\n",
        "comma": b'x,y,z\n"1,5","2,5","3,5"\n',
        "utf16": "x,y,z\n1,2,3\n".encode("utf-16"),
        "latin": b"x,y,z,n\n1,2,3,\xe9\n",
        "nul": b"x,y,z\n1,2,3\0\n",
        "quote": b'x,y,z,n\n1,2,3,"open\n4,5,6,a\n',
        "long": b"x,y,z,n\n1,2,3," + b"a" * 200_000 + b"\n",
        "hex": b"x,y,z\n0x10,2,3\n",
        "underscore": b"x,y,z\n1_0,2,3\n",
        "noheading": b"1,2,3\n4,5,6\n",
        "binary": random.Random(1).randbytes(500),
    }.items():
        (folder / f"c_{name}.csv").write_bytes(content)
        allowed = EITHER if name in ("heading", "latin", "long") else REFUSED
        yield Input(f"transform-points c_{name}.csv affine.tfm -o OUT.csv", allowed)
        if name in ("empty", "blank", "utf16", "nul", "binary", "quote", "heading"):
            yield Input(f"batch c_{name}.csv -o OUT")
            words = f"register image.nrrd image.nrrd --evaluation-landmarks c_{name}.csv"
            yield Input(f"{words} --steps 1 --initial-transform identity -o OUT")
    (folder / "c_bom.csv").write_bytes(b"\xef\xbb\xbfx,y,z\r\n1,2,3\r\n")
    yield Input("transform-points c_bom.csv affine.tfm -o OUT.csv", TAKEN)
    (folder / "c_mac.csv").write_bytes(b"x,y,z\r1,2,3\r")
    yield Input("transform-points c_mac.csv affine.tfm -o OUT.csv", EITHER)
    for name, text in {
        "space": "# CoordinateSystem = MOON\n# columns = id,x,y,z\n1,2,3,4\n",
        "columns": "# CoordinateSystem = LPS\n# columns = id,a,b,c\n1,2,3,4\n",
        "few": "# CoordinateSystem = LPS\n# columns = id,x,y,z\n1,2,3\n",
        "number": "# CoordinateSystem = 7\n# columns = id,x,y,z\n1,2,3,4\n",
    }.items():
        (folder / f"f_{name}.fcsv").write_text(text)
        yield Input(f"transform-points f_{name}.fcsv affine.tfm -o OUT.fcsv")
    markup = (
        '{{"markups": [{{"type": "Fiducial", "coordinateSystem": "{}", "controlPoints": [{}]}}]}}'
    )
    for name, text in {
        "empty": "",
        "list": "[]",
        "number": "3",
        "null": "null",
        "none": '{"markups": []}',
        "word": '{"markups": "none"}',
        "two": markup.format("LPS", '{"position": [1, 2]}'),
        "nothing": markup.format("LPS", '{"position": null}'),
        "nan": markup.format("LPS", '{"position": [NaN, 2, 3]}'),
        "string": markup.format("LPS", '{"position": ["1", "2", "3"]}'),
        "truth": markup.format("LPS", '{"position": [true, false, true]}'),
        "big": markup.format("LPS", '{"position": [1' + "0" * 400 + ", 2, 3]}"),
        "digits": markup.format("LPS", '{"position": [1' + "0" * 9000 + ", 2, 3]}"),
        "moon": markup.format("MOON", '{"position": [1, 2, 3]}'),
        "deep": "[" * 100_000,
        "cut": markup.format("LPS", '{"position": [1, 2, 3]}')[:-9],
        "point": markup.format("LPS", "7"),
        "twice": '{"markups": [{"coordinateSystem": "LPS", "controlPoints": []}], "markups": 1}',
    }.items():
        (folder / f"k_{name}.mrk.json").write_text(text)
        yield Input(f"transform-points k_{name}.mrk.json affine.tfm -o OUT.mrk.json")
    for name, row in {
        "dots": "..,image.nrrd,image.nrrd",
        "slash": "a/b,image.nrrd,image.nrrd",
        "absolute": "/tmp/a,image.nrrd,image.nrrd",
        "empty": ",,",
        "nul": "a\0b,image.nrrd,image.nrrd",
        "newline": '"a\nb",image.nrrd,image.nrrd',
        "twice": "a,image.nrrd,image.nrrd\na,image.nrrd,image.nrrd",
        "case": "a,image.nrrd,image.nrrd\nA,nowhere.nrrd,image.nrrd",
        "missing": "a,nowhere.nrrd,image.nrrd",
        "folder": "a,folder.nii,image.nrrd",
        "pipe": "a,pipe.nii,image.nrrd",
        "dimension": "a,flat.png,image.nrrd",
        "long": "a" * 300 + ",image.nrrd,image.nrrd",
        "lock": ".itk-nephi.lock,image.nrrd,image.nrrd",
        "summary": "summary.csv,image.nrrd,image.nrrd",
        "longpath": "a," + "b" * 5000 + ",image.nrrd",
    }.items():
        (folder / f"pairs_{name}.csv").write_bytes(f"name,fixed,moving\n{row}\n".encode())
        yield Input(f"batch pairs_{name}.csv -o OUT --steps 1 --initial-transform identity")


def settings(folder: Path) -> Iterator[Input]:
    """TOML and elastix files, models and checkpoints."""
    register = "register image.nrrd image.nrrd --initial-transform identity -o OUT"
    for name, text in {
        "minus": "steps = -1\n",
        "real": "steps = 1.5\n",
        "word": 'steps = "many"\n',
        "truth": "steps = true\n",
        "nan": "smoothing_sigmas = [nan]\n",
        "inf": "learning_rate = inf\n",
        "big": "steps = 99999999999999999999999999\n",
        "key": "stepps = 3\n",
        "table": "[steps]\na = 1\n",
        "cut": "steps = [1, 2",
        "twice": "steps = 1\nsteps = 2\n",
        "date": "steps = 1979-05-27\n",
        "deep": "steps = " + "[" * 50_000,
        "digits": "steps = 1" + "0" * 9000 + "\n",
        "nul": "steps = 1\0\n",
    }.items():
        (folder / f"s_{name}.toml").write_text(text)
        yield Input(f"{register} --settings s_{name}.toml")
        yield Input(f"train s_{name}.toml -o OUT")
    (folder / "s_utf16.toml").write_bytes("steps = 1\n".encode("utf-16"))
    yield Input(f"{register} --settings s_utf16.toml")
    for name, text in {
        "open": "(NumberOfResolutions 3\n",
        "value": "(NumberOfResolutions)\n",
        "minus": "(NumberOfResolutions -3)\n",
        "nan": "(NumberOfResolutions nan)\n",
        "real": "(NumberOfResolutions 2.5)\n",
        "mixed": "(NumberOfResolutions 3)\n(MaximumNumberOfIterations 1 2)\n",
        "text": "this is none\n",
        "binary": "\0\1\2\3\n",
        "quote": '(Metric "Advanced\n',
        "digits": f"(NumberOfResolutions 1{'0' * 9000})\n",
        "zero": "(MaximumNumberOfIterations 0)\n",
        "empty": "",
    }.items():
        (folder / f"e_{name}.txt").write_text(text)
        words = f"{register} --steps 1 --elastix-parameters e_{name}.txt"
        yield Input(words, EITHER if name in ("empty", "text", "binary", "mixed") else REFUSED)
    for name, content in {
        "empty": b"",
        "huge": struct.pack("<Q", 2**63) + b"{}",
        "short": struct.pack("<Q", 2) + b"{}",
        "json": struct.pack("<Q", 8) + b"{{{{{{{{",
        "deep": struct.pack("<Q", 100_000) + b"[" * 100_000,
        "type": struct.pack("<Q", 60)
        + b'{"a":{"dtype":"Q7","shape":[1],"data_offsets":[0,4]}}'.ljust(60)
        + b"1234",
        "far": struct.pack("<Q", 70)
        + b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,999999999]}}'.ljust(70)
        + b"1234",
        "text": b"no model at all",
        "pickle": b"\x80\x04cos\nsystem\n(S'false'\ntR.",
    }.items():
        for suffix, option in (("safetensors", "--model"), ("pt", "--checkpoint")):
            (folder / f"w_{name}.{suffix}").write_bytes(content)
            yield Input(f"{register} {option} w_{name}.{suffix}")
        yield Input(f"{register} --warm-start w_{name}.pt")
    for name, given in {
        "size": ("[0, 24]", 8, "triangles_and_circles", 2, 1, 1),
        "sizeminus": ("[-24, 24]", 8, "triangles_and_circles", 2, 1, 1),
        "sizehuge": ("[2000000000, 2000000000]", 8, "triangles_and_circles", 2, 1, 1),
        "width": ("[24, 24]", 0, "triangles_and_circles", 2, 1, 1),
        "phantom": ("[24, 24]", 8, "squares", 2, 1, 1),
        "count": ("[24, 24]", 8, "triangles_and_circles", 0, 1, 1),
        "steps": ("[24, 24]", 8, "triangles_and_circles", 2, -1, 1),
        "batch": ("[24, 24]", 8, "triangles_and_circles", 2, 1, 0),
        "dimensions": ("[24, 24, 24]", 8, "triangles_and_circles", 2, 1, 1),
    }.items():
        (folder / f"train_{name}.toml").write_text(TRAINING.format(*given))
        yield Input(f"train train_{name}.toml -o OUT")
