"""Hostile words: options out of their bounds, outputs that cannot be, and names of no file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REFUSED, TAKEN, EITHER = (2,), (0,), (0, 2)


@dataclass(frozen=True)
class Input:
    """A command, and with which status it has to end.

    Parameters
    ----------
    words : str
        The command; files are relative to the folder of all inputs, and OUT is a new name.
    status : tuple of int
        What it may end with.
    prints : str
        What is printed, in part.
    """

    words: str
    status: tuple[int, ...] = REFUSED
    prints: str = ""


def places(folder: Path) -> Iterator[Input]:
    """Names that are no regular files."""
    os.mkfifo(folder / "pipe.nii")
    os.mkfifo(folder / "pipe.tfm")
    os.mkfifo(folder / "pipe.csv")
    os.mkfifo(folder / "pipe.vtk")
    os.mkfifo(folder / "pipe.toml")
    (folder / "folder.nii").mkdir()
    (folder / "folder.tfm").mkdir()
    (folder / "folder.csv").mkdir()
    (folder / "loop.nii").symlink_to("loop.nii")
    (folder / "zeros.nii").symlink_to("/dev/zero")
    (folder / "zeros.csv").symlink_to("/dev/zero")
    (folder / "zeros.tfm").symlink_to("/dev/zero")
    (folder / "dangling.nrrd").symlink_to("nowhere")
    (folder / "%s%n.nrrd").write_bytes((folder / "image.nrrd").read_bytes())
    (folder / "a'b\"c$(d).nrrd").write_bytes((folder / "image.nrrd").read_bytes())
    for name in ("pipe.nii", "folder.nii", "loop.nii", "zeros.nii", "dangling.nrrd", "/dev/null"):
        yield Input(f"info {name}")
    yield Input("info %s%n.nrrd", TAKEN)
    yield Input("info a'b\"c$(d).nrrd", TAKEN)
    for name in ("pipe.tfm", "folder.tfm", "zeros.tfm", "loop.nii", "/dev/null"):
        yield Input(f"invert {name} -o OUT.h5")
    for name in ("pipe.csv", "folder.csv", "zeros.csv", "loop.nii", "/dev/null"):
        yield Input(f"transform-points {name} affine.tfm -o OUT.csv")
        yield Input(f"batch {name} -o OUT")
    for name in ("pipe.vtk", "loop.nii", "folder.nii"):
        yield Input(f"transform-mesh {name} affine.tfm -o OUT.vtk")
    for name in ("pipe.toml", "loop.nii", "folder.nii", "/dev/null"):
        yield Input(f"train {name} -o OUT")
    for name in ("pipe.toml", "folder.nii", "loop.nii"):
        yield Input(f"register image.nrrd image.nrrd --settings {name} -o OUT")
        yield Input(f"register image.nrrd image.nrrd --elastix-parameters {name} -o OUT")
        yield Input(f"register image.nrrd image.nrrd --model {name} -o OUT")
        yield Input(f"register image.nrrd image.nrrd --checkpoint {name} -o OUT")


def options(folder: Path) -> Iterator[Input]:
    """Options out of their bounds, and outputs that cannot be."""
    quick = "register image.nrrd image.nrrd --initial-transform identity"
    for words in (
        "--steps -1",
        "--steps 0",
        "--steps 1e3",
        "--steps nan",
        "--seed -1",
        "--seed 99999999999999999999999",
        "--seed x",
        "--device tpu",
        "--device cuda:99",
        "--device ''",
        "--preset slow",
        "--smoothing-sigmas nan",
        "--learning-rate inf",
        "--learning-rate -1",
        "--learning-rate 0",
        "--results everything",
        "--no-such-option",
        "--model nowhere.safetensors",
        "--initial-transform nowhere.tfm",
    ):
        yield Input(f"{quick} {words} -o OUT", EITHER if words == "--seed -1" else REFUSED)
    (folder / "file").write_text("")
    for place in ("file", "file/below", "/proc/out", "/dev/null", "a" * 300, "/dev/full"):
        yield Input(f"{quick} --steps 1 -o {place}")
        yield Input(f"batch pairs_sound.csv -o {place}")
    for place in (
        "folder.nii",
        "file/w.nrrd",
        "w.xyz",
        "noext",
        "w.",
        "/proc/w.nrrd",
        "/dev/full",
        "image.nrrd",
    ):
        yield Input(f"transform-image image.nrrd affine.tfm --reference image.nrrd -o {place}")
        yield Input(f"jacobian affine.tfm --reference image.nrrd -o {place}")
        yield Input(f"convert affine.tfm --reference image.nrrd -o {place}")
    (folder / "pairs_sound.csv").write_text("name,fixed,moving\na,image.nrrd,image.nrrd\n")
    for words in (
        "--jobs 0",
        "--jobs -1",
        "--threads 0",
        "--dask nowhere:1",
        "--initial-transform x",
    ):
        yield Input(f"batch pairs_sound.csv -o OUT {words}")
    yield Input("info nowhere.nrrd")
    yield Input("no-such-command")
    yield Input("compare image.nrrd image.nrrd --methods none -o OUT")
    yield Input("register-series image.nrrd -o OUT")
    yield Input("demo -o file")
