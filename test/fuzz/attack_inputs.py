"""Inputs made by hand to be hostile: each is refused in one sentence, or taken as it should be."""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
from hostile_dicom import dicom
from hostile_files import meshes, settings, tables, transforms
from hostile_images import contents, headers
from hostile_words import Input, options, places

from itk_nephi.cli.app import main
from itk_nephi.io.image_writing import write_image
from itk_nephi.io.transforms import write_transform
from itk_nephi.spatial import light_itk as itk

SECONDS = 60
"""How long a command may take."""


def attack_inputs(cases: int, rng: random.Random, folder: Path) -> Iterator[str]:
    """Give commands what they should refuse, each in a process of its own."""
    import_module("itk_nephi.registration.pairwise")  # once for all
    found = write_inputs(folder)
    for each in rng.sample(found, min(cases, len(found))):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            status, printed, seconds = ended(each.words, folder, place)
        how = f"{each.words}: status {status}, {seconds:.0f} s: {printed.strip()[-600:]}"
        if status not in each.status:
            yield f"expected {each.status}, {how}"
        elif status == 2 and printed.count("error: ") + printed.count("Usage") != 1:
            yield f"not one sentence, {how}"
        elif "Traceback" in printed or ".itk-nephi-" in printed or each.prints not in printed:
            yield f"expected {each.prints!r}, {how}"


def count_inputs() -> int:
    """Return how many there are."""
    with tempfile.TemporaryDirectory() as folder:
        return len(write_inputs(Path(folder)))


def write_inputs(folder: Path) -> list[Input]:
    """Write all inputs; return the commands that take them."""
    values = np.random.default_rng(0).integers(0, 250, (9, 11, 12)).astype(np.uint8)
    values[3:6, 3:7, 3:8] = 250
    for name in ("image.nrrd", "whole.nii", "whole.h5", "whole.tif"):
        write_image(itk.image_from_array(values), folder / name)
    write_image(itk.image_from_array(values[0]), folder / "flat.png")
    for name in ("affine.tfm", "affine.h5"):
        write_transform(itk.AffineTransform[itk.D, 3].New(), folder / name)
    makers = (headers, dicom, contents, transforms, meshes, tables, settings, places, options)
    return [each for make in makers for each in make(folder)]


def ended(words: str, folder: Path, place: str) -> tuple[int, str, float]:
    """Run the command line in a forked process; return its status, what it printed and how long."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as printed:
        child = os.fork()
        if not child:
            os.chdir(folder)
            for descriptor in (1, 2):
                os.dup2(printed.fileno(), descriptor)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            os._exit(_run([each.replace("OUT", f"{place}/out") for each in words.split()]))
        status = _waited(child)
        printed.seek(0)
        return status, printed.read().decode(errors="replace"), time.monotonic() - started


def _run(arguments: list[str]) -> int:
    sys.argv = ["itk-nephi", *arguments]
    try:
        main()
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return 70
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    return 0


def _waited(child: int) -> int:
    """Return the exit status of a process, which is killed if it takes too long."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
