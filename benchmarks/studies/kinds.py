"""Inputs that earlier versions took wrongly: what a commit before makes of them, and this one."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.cache import ROOT, Figures
from benchmarks.performance.start_up import BEFORE, MAIN
from benchmarks.process import environment
from benchmarks.study import Run, Study, tabulate
from itk_nephi.io.image_writing import write_image
from itk_nephi.io.transforms import write_transform
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.conversion import displacement_field_transform, vector_image

SECONDS = 300
"""How long a command may take, before it counts as one that does not end."""


@dataclass(frozen=True)
class Case:
    """One input of a kind.

    Parameters
    ----------
    kind : str
        As in test/test_kinds.py.
    words : str
        The command, without the options of its output.
    is_right : callable
        From its exit status, what it printed and the text of its output to whether it did well.
    output : str
        Name of the file it writes, if it does.
    limit : int, optional
        Of the size of files, bytes, as on a full disk.
    """

    kind: str
    words: str
    is_right: Callable[[int, str, str], bool]
    output: str = ""
    limit: int | None = None


def refused(status: int, printed: str, _written: str) -> bool:
    """Return whether a command ended with one sentence."""
    return status == 2 and printed.count("error: ") == 1 and "expected" in printed


def done(status: int, _printed: str, _written: str) -> bool:
    """Return whether a command ended well."""
    return status == 0


def names(word: str) -> Callable[[int, str, str], bool]:
    """Return a check that a command prints a word, or writes it."""
    return lambda status, printed, written: status in (0, 2) and word in printed + written


CASES = (
    Case("lengths", "jacobian folding.h5 --reference micrometers.nrrd", names("%"), "j.nrrd"),
    Case("images that lack their end", "info short.nii", refused),
    Case("images that lack their end", "info short.vtk", refused),
    Case("images with a flipped bit", "info flipped.mha", refused),
    Case("images whose header is crafted", "info crafted.mha", refused),
    Case("meshes that are cut", "transform-mesh cut.vtk shift.tfm", refused, "m.vtk"),
    Case("meshes that are not finite", "transform-mesh nan.vtk shift.tfm", refused, "m.vtk"),
    Case(
        "a full disk",
        "transform-image image.nrrd shift.tfm --reference image.nrrd",
        lambda status, _printed, written: status == 2 and written == "old",
        "w.nii.gz",
        limit=500,
    ),
    Case(
        "inputs are replaced",
        "transform-image image.nrrd shift.tfm --reference image.nrrd",
        refused,
        "image.nrrd",
    ),
    Case("the space of meshes", "transform-mesh ras.vtk shift.tfm", names("SPACE=RAS"), "m.vtk"),
    Case("the space of points", "transform-points ras.fcsv shift.tfm", done, "p.fcsv"),
    Case("the space of points", "transform-points lps.mrk.json shift.tfm", done, "p.mrk.json"),
    Case("arrays of meshes", "transform-mesh arrays.vtk shift.tfm", names("16777217"), "m.vtk"),
    Case(
        "colors",
        "transform-image color.png turn.tfm --reference color.png",
        lambda status, _printed, written: status == 0 and written.startswith("color"),
        "c.png",
    ),
    Case("columns twice", "transform-points twice.csv shift.tfm", refused, "p.csv"),
    Case("libraries that crash", "info negative.tfm", refused),
    Case(
        "fields as transforms",
        "transform-image image.nrrd field.nii.gz --reference image.nrrd",
        done,
        "w.nrrd",
    ),
    Case(
        "suffixes in upper case",
        "transform-image image.nrrd shift.tfm --reference image.nrrd",
        done,
        "W.NII.GZ",
    ),
    Case("elastix files", "register flat.nrrd flat.nrrd --elastix-parameters digits.txt", refused),
    Case("elastix files", "register flat.nrrd flat.nrrd --elastix-parameters levels.txt", refused),
    Case(
        "messages without the difference",
        "register flat.nrrd flat.nrrd --fixed-mask turned.nrrd",
        names("direction"),
    ),
    Case("names of pairs", "batch names.csv", refused),
    Case("the first contact", "--version", done),
)
"""Other inputs than those of the tests; kinds that a registration shows are in the tests alone, as
the earlier package cannot optimize with this one's extension."""


def measure(run: Run) -> Figures:
    """Run each case with the package of the earlier commit, and with this one."""
    before = run.folder / f"commit-{BEFORE}"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--detach", "--force", str(before), BEFORE], check=True)
    try:
        found = []
        for case in run.first(CASES, 3):
            ends = {
                name: end_of(case, checkout, (run.folder / "kinds" / name).resolve())
                for name, checkout in (("before", before), ("now", ROOT))
            }
            found.append({"kind": case.kind, "command": case.words, **ends})
        return {"cases": found}
    finally:
        subprocess.run([*git, "remove", "--force", str(before)], check=True)


def end_of(case: Case, checkout: Path, folder: Path) -> Figures:
    """Run a command in a fresh folder of inputs, and return how it ended."""
    subprocess.run(["rm", "-rf", str(folder)], check=True)
    folder.mkdir(parents=True)
    write_inputs(folder)
    output = folder / (case.output or "out")
    if case.limit is not None:
        output.write_text("old")
    options = [] if case.words.startswith(("info", "--")) else ["-o", output.name]

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if case.limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (case.limit, case.limit))

    try:
        ended = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", MAIN, *case.words.split(), *options],
            cwd=folder,
            env=environment(1, checkout),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            preexec_fn=limited,
        )
    except subprocess.TimeoutExpired:
        return {"right": False, "end": f"no end in {SECONDS} s"}
    printed = ended.stdout + ended.stderr
    written = text_of(output) if output.is_file() else ""
    return {
        "right": case.is_right(ended.returncode, printed, written),
        "end": in_words(ended.returncode, ended.stderr),
    }


def text_of(path: Path) -> str:
    """Return the text of a file, and how many components the voxels of a picture have."""
    content = path.read_bytes()
    if content.startswith(b"\x89PNG"):
        return "color" if content[25] in (2, 6) else "gray"
    return content.decode("latin-1")


def in_words(status: int, errors: str) -> str:
    """Return how a process ended: its last line with words, or what ended it."""
    if status < 0:
        return f"a crash, {signal.Signals(-status).name}"
    last = next((line for line in reversed(errors.splitlines()) if any(map(str.isalnum, line))), "")
    if "Traceback" in errors:
        return f"a traceback, {last[:60]}"
    words = f"status {status}"
    return (
        f"{words}: {last.removeprefix('itk-nephi: error: ').strip('│ ')[:110]}" if status else words
    )


def table(figures: Figures) -> str:
    """Return how each case ended, before and now."""
    rows = [
        [
            case["kind"],
            f"`{case['command']}`",
            *(
                f"{'right' if case[name]['right'] else '**wrong**'}, {case[name]['end']}".replace(
                    "|", "\\|"
                )
                for name in ("before", "now")
            ),
        ]
        for case in figures["cases"]
    ]
    return tabulate(["kind", "command", BEFORE, "now"], rows)


def holds(figures: Figures) -> bool:
    """Return whether all cases went wrong before, and none does now."""
    return all(case["now"]["right"] and not case["before"]["right"] for case in figures["cases"])


# the inputs


def write_inputs(folder: Path) -> None:
    """Write what the commands of the cases take."""
    values = np.random.default_rng(0).integers(0, 250, (9, 11, 12)).astype(np.uint8)
    image = itk.image_from_array(values)
    for name in ("image.nrrd", "flat.nrrd", "whole.nii", "whole.mha", "whole.vtk"):
        write_image(image, folder / name)
    for name, end in (("nii", 77), ("vtk", 300)):
        content = (folder / f"whole.{name}").read_bytes()
        (folder / f"short.{name}").write_bytes(content[:-end])
    flipped = bytearray((folder / "whole.mha").read_bytes())
    flipped[len(flipped) - 200] ^= 4
    (folder / "flipped.mha").write_bytes(flipped)
    header = "ObjectType = Image\nNDims = 2\nDimSize = 4 4\nElementType = MET_UCHAR\n"
    (folder / "crafted.mha").write_text(f"{header}ElementDataFile = %s%s%s%n%d 1 9 1\n")
    _write_transforms(folder)
    _write_meshes_and_points(folder)
    mask = itk.image_from_array(np.ones_like(values))
    angle = np.radians(1)
    turn = [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    mask.SetDirection(itk.matrix_from_array(np.array(turn)))
    write_image(mask, folder / "turned.nrrd")
    colors = np.random.default_rng(1).integers(0, 250, (8, 9, 3)).astype(np.uint8)
    itk.imwrite(itk.image_from_array(colors, is_vector=True), str(folder / "color.png"))
    (folder / "digits.txt").write_text(f"(MaximumNumberOfIterations {'7' * 500})\n")
    (folder / "levels.txt").write_text("(NumberOfResolutions 9000)\n")
    (folder / "names.csv").write_text("name,fixed,moving\na\x07b,flat.nrrd,flat.nrrd\n")


def _write_transforms(folder: Path) -> None:
    lines = ["#Insight Transform File V1.0", "#Transform 0"]
    for name, kind, parameters, fixed in (
        ("shift", "TranslationTransform_double_3_3", "10 20 30", ""),
        ("turn", "Euler2DTransform_double_2_2", "0.1 1 1", "0 0"),
        ("negative", "BSplineTransform_double_2_2", "0 " * 32, "-4 4 0 0 1 1 1 0 0 1"),
    ):
        text = [f"Transform: {kind}", f"Parameters: {parameters}", f"FixedParameters: {fixed}"]
        (folder / f"{name}.tfm").write_text("\n".join([*lines, *text, ""]))
    size = 1e-3
    grid = itk.image_from_array(np.zeros((50, 50), np.uint8))
    grid.SetSpacing([size, size])
    write_image(grid, folder / "micrometers.nrrd")
    values = np.zeros((50, 50, 2))
    values[..., 1] = (2.5 * np.sin(2 * np.pi * np.arange(50) / 12) * size)[:, None]
    field = displacement_field_transform(vector_image(values, grid, itk.D))
    write_transform(field, folder / "folding.h5")
    reference = itk.image_from_array(np.zeros((9, 11, 12), np.uint8))
    shifts = np.full((9, 11, 12, 3), 0.5)
    write_image(vector_image(shifts, reference, itk.F), folder / "field.nii.gz")


def _write_meshes_and_points(folder: Path) -> None:
    head = "# vtk DataFile Version 3.0\n{}\n{}\nDATASET POLYDATA\n"
    triangle = "POINTS 3 float\n{} 0 0 1 0 0 0 1 0\nPOLYGONS 1 4\n3 0 1 2\n"
    (folder / "ras.vtk").write_text(head.format("a; SPACE=RAS", "ASCII") + triangle.format(0))
    (folder / "nan.vtk").write_text(head.format("a", "ASCII") + triangle.format("nan"))
    arrays = "POINT_DATA 3\nSCALARS region int 1\nLOOKUP_TABLE default\n1 16777217 3\n"
    (folder / "arrays.vtk").write_text(head.format("a", "ASCII") + triangle.format(0) + arrays)
    points = np.random.default_rng(0).random((400, 3)).astype(">f4").tobytes()
    cut = head.format("a", "BINARY").encode() + b"POINTS 400 float\n" + points[:2000]
    (folder / "cut.vtk").write_bytes(cut)
    (folder / "ras.fcsv").write_text(
        "# Markups fiducial file version = 4.11\n# CoordinateSystem = RAS\n"
        "# columns = id,x,y,z,ow\n1,4,5,6,0\n"
    )
    (folder / "lps.mrk.json").write_text(
        '{"markups": [{"type": "Fiducial", "coordinateSystem": "LPS", '
        '"controlPoints": [{"id": "1", "position": [4, 5, 6]}]}]}'
    )
    (folder / "twice.csv").write_text("x,y,z,x\n1,2,3,4\n")


STUDY = Study(
    name="kinds",
    question="Did the inputs of each kind of fault go wrong before, and do they now?",
    time="8 minutes, one core",
    measure=measure,
    table=table,
    holds=holds,
)
