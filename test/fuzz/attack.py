"""Attack every reader and writer with seeded cases, and count what does not end as it should.

A damaged input is to be refused in one sentence that names it (or, where a format cannot tell, to
give finite numbers of the right shape), a full disk to leave the old file, and a killed command to
leave nothing, or all, and what it takes to go on::

    python test/fuzz/attack.py                   # all, in two hours
    python test/fuzz/attack.py images --cases 500 --seed 1
    python test/fuzz/attack.py kills --cases 60
    python test/fuzz/attack.py --page docs/benchmarks/attacks.md

The table that it prints, or puts into a page, has a row per kind: cases tried and failed. A failure
prints how to see it again; exit status 1 means that there was one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from attack_inputs import attack_inputs, count_inputs
from attack_lives import attack_disks, attack_lives

from itk_nephi.io.child_process import read_apart
from itk_nephi.io.image_writing import write_image
from itk_nephi.io.images import read_image
from itk_nephi.io.markups import Markups
from itk_nephi.io.meshes import read_mesh
from itk_nephi.io.pair_table import read_pair_table
from itk_nephi.io.settings import read_toml
from itk_nephi.io.tables import Table
from itk_nephi.io.transforms import read_transform, write_transform
from itk_nephi.registration.elastix_parameters import translate_parameters
from itk_nephi.spatial import light_itk as itk

SUFFIXES = "nii nii.gz mha nrrd vtk gipl gipl.gz tif hdf5 mrc png bmp"

STREAMS = (".gz", ".mha", ".nrrd", ".png")
"""The formats whose voxels are in a stream with a checksum."""

LONGEST = 1000
"""Letters of what is shown of a failure."""

MESH = """# vtk DataFile Version 3.0
a mesh
ASCII
DATASET POLYDATA
POINTS 4 float
0 0 0 1 0 0 0 2 0 0 0 3
POLYGONS 2 8
3 0 1 2
3 0 1 3
POINT_DATA 4
SCALARS number float 1
LOOKUP_TABLE default
1 2 3 4
"""
OBJ = "v 0 0 0\nv 1 0 0\nv 0 2 0\nv 0 0 3\nf 1 2 3\nf 1 2 4\n"
OFF = "OFF\n4 2 0\n0 0 0\n1 0 0\n0 2 0\n0 0 3\n3 0 1 2\n3 0 1 3\n"
NUMBERS = [
    b"-1",
    b"0",
    b"nan",
    b"inf",
    b"1e400",
    b"2000000000",
    b"9" * 400,
    b"%s%s%n",
    b"\xff",
    b"",
]
"""What a number of a text is replaced by."""


def changed(rng: random.Random, content: bytes) -> bytes:
    """Return content that is cut, has bits flipped, or numbers of its text replaced."""
    kind = rng.choice(("cut", "flip", "number"))
    if kind == "cut":
        return content[: rng.randrange(len(content))]
    if kind == "flip":
        flipped = bytearray(content)
        for _ in range(rng.choice((1, 1, 3))):
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        return bytes(flipped)
    head, rest = content[:600], content[600:]
    words = [n for n, word in enumerate(head.split(b" ")) if any(48 <= c < 58 for c in word)]
    parts = head.split(b" ")
    if words:
        parts[rng.choice(words)] = rng.choice(NUMBERS)
    return b" ".join(parts) + rest


def whole_files(folder: Path) -> dict[str, list[Path]]:
    """Write sound files of each kind."""
    rng = np.random.default_rng(0)
    values = (rng.random((10, 12, 14)) * 200).astype(np.uint8)
    images = []
    for suffix in SUFFIXES.split():
        image = itk.image_from_array(values[0] if suffix in ("png", "bmp") else values)
        write_image(image, folder / f"image.{suffix}")
        images.append(folder / f"image.{suffix}")
    affine = itk.AffineTransform[itk.D, 3].New()
    spline = itk.BSplineTransform[itk.D, 2, 3].New()
    transforms = []
    for name, transform in (("affine", affine), ("spline", spline)):
        for suffix in (".tfm", ".h5", ".mat"):
            write_transform(transform, folder / f"{name}{suffix}")
            transforms.append(folder / f"{name}{suffix}")
    texts = {"mesh.vtk": MESH, "mesh.obj": OBJ, "mesh.off": OFF}
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "points.csv").write_text("x,y,z,name\n1,2,3,a\n4,5,6,b\n")
    (folder / "points.fcsv").write_text("# CoordinateSystem = LPS\n# columns = id,x,y,z\n1,2,3,4\n")
    point = {"position": [1, 2, 3]}
    markup = {"coordinateSystem": "LPS", "controlPoints": [point]}
    (folder / "points.mrk.json").write_text(json.dumps({"markups": [markup]}))
    (folder / "pairs.csv").write_text("fixed,moving\nimage.nrrd,image.mha\n")
    (folder / "elastix.txt").write_text("(NumberOfResolutions 3)\n(MaximumNumberOfIterations 9)\n")
    (folder / "settings.toml").write_text("steps = 3\nsmoothing_sigmas = [1.0]\n")
    return {
        "images": images,
        "transforms": transforms,
        "meshes": [folder / name for name in texts],
        "tables": [
            folder / name for name in ("points.csv", "points.fcsv", "points.mrk.json", "pairs.csv")
        ],
        "settings": [folder / "elastix.txt", folder / "settings.toml"],
    }


def read_table(path: Path) -> Any:
    """Read a table as its name asks for."""
    if path.name.endswith(".json"):
        return Markups.read(path, "FILE").points
    if path.name.startswith("pairs"):
        return np.array([len(read_pair_table(path, "FILE"))])
    return Table.read(path, "FILE").points(["x", "y", "z"])


READERS: dict[str, Callable[[Path], Any]] = {
    "images": lambda path: itk.array_from_image(read_image(path, "FILE")),
    "transforms": lambda path: np.array(read_transform(path, "FILE").GetParameters()),
    "meshes": lambda path: read_mesh(path, "FILE").points,
    "tables": read_table,
    "settings": lambda path: (
        translate_parameters([path]) if path.suffix == ".txt" else read_toml(path, "FILE")
    ),
}


def attack_readers(kind: str, cases: int, rng: random.Random, folder: Path) -> Iterator[str]:
    """Read damaged files of a kind in this process; yield what should not have happened."""
    files, read = whole_files(folder)[kind], READERS[kind]
    expected = {path: read(path) for path in files}
    for _ in range(cases):
        source = rng.choice(files)
        content = changed(rng, source.read_bytes())
        path = folder / f"damaged-{source.name}"
        path.write_bytes(content)
        started = time.monotonic()
        try:
            # in a child, so that a crash is counted and not the end
            found, _printed = read_apart(lambda p: _outcome(read, p), path)
        except ValueError as error:
            yield f"{source.name}: {error}"
            continue
        if time.monotonic() - started > 30:
            yield f"{source.name}: took {time.monotonic() - started:.0f} s"
        elif isinstance(found, str):
            if path.name not in found:
                yield f"{source.name}: a message that does not name the file: {found}"
        elif isinstance(found, BaseException):
            yield f"{source.name}: {found!r}"
        elif kind == "images" and content != source.read_bytes():
            is_stream = source.name.endswith(STREAMS)
            same = np.shape(found) == expected[source].shape
            if not np.isfinite(found).all() or (
                is_stream and same and (found != expected[source]).any()
            ):
                yield f"{source.name}: wrong voxels are accepted"


def _outcome(read: Callable[[Path], Any], path: Path) -> Any:
    try:
        found = read(path)
    except ValueError as error:
        return str(error)
    except Exception as error:
        return error
    return found if isinstance(found, np.ndarray) else np.zeros(1)


def attack_archives(kind: str, cases: int, rng: random.Random, folder: Path) -> Iterator[str]:
    """Read damaged checkpoints or models; all are to be refused."""
    import torch

    from itk_nephi.models.archive import read_archive, write_archive
    from itk_nephi.models.nephi import ModelSettings, NePhi
    from itk_nephi.models.serialization import load_model, save_model

    path = folder / kind
    if kind == "models":
        save_model(path, NePhi(ModelSettings(size=(12, 10), spacing=(1.0, 1.0)), torch.Generator()))
        read: Callable[[], Any] = lambda: load_model(path)  # noqa: E731
    else:
        write_archive({"run": {"seed": "0"}, "state": {"a": torch.ones(300)}}, path)
        read = lambda: read_archive(path, torch.device("cpu"))  # noqa: E731
    whole = path.read_bytes()
    read()
    for _ in range(cases):
        content = changed(rng, whole)
        path.write_bytes(content)
        try:
            read()
        except ValueError:
            continue
        except Exception as error:
            yield f"{kind}: {error!r}"
        else:
            if content != whole:
                yield f"{kind}: a damaged file is accepted"


KINDS: dict[str, tuple[int, Callable[[int, random.Random, Path], Iterator[str]]]] = {
    **{
        kind: (250, lambda *given, kind=kind: attack_readers(kind, *given))  # type: ignore[misc]
        for kind in READERS
    },
    **{
        kind: (250, lambda *given, kind=kind: attack_archives(kind, *given))  # type: ignore[misc]
        for kind in ("models", "checkpoints")
    },
    "inputs": (1000, attack_inputs),
    "disks": (80, attack_disks),
    "kills": (80, attack_lives),
}
"""By name: how many cases, and what tries them."""


BEGIN, END = "<!-- attacks -->", "<!-- end of attacks -->"
"""What a page has the table between."""

HEADER = "| kind | cases | failed | seed |\n| --- | --- | --- | --- |\n"


def put_into(page: Path, row: str) -> None:
    """Put a row into the table of a page, in place of that of the same kind."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    table, _, after = rest.partition(END)
    rows = {line.split("|")[1].strip(): line for line in table.strip().splitlines()[2:]}
    rows[row.split("|")[1].strip()] = row
    text = "\n".join(rows[kind] for kind in KINDS if kind in rows)
    page.write_text(f"{before}{BEGIN}\n{HEADER}{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Run the attacks that were asked for, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], default=list(KINDS))
    parser.add_argument("--cases", type=int, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--page", type=Path, help="whose table is to hold the counts")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    failed = {}
    for kind in given.kinds:
        usual, attack = KINDS[kind]
        cases = usual if given.cases is None else given.cases
        if kind == "inputs":  # each once
            cases = min(cases, count_inputs())
        with tempfile.TemporaryDirectory() as folder:
            found = list(attack(cases, random.Random(f"{kind} {given.seed}"), Path(folder)))
        for line in found:
            sys.stderr.write(f"{kind}: {line[:LONGEST]}\n")
        failed[kind] = len(found)
        row = f"| {kind} | {cases} | {len(found)} | {given.seed} |"
        sys.stdout.write(f"{row}\n")
        sys.stdout.flush()
        if given.page is not None:
            put_into(given.page, row)
    sys.exit(any(failed.values()))


if __name__ == "__main__":
    main()
