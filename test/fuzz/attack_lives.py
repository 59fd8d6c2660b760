"""Attacks on what commands write: full disks, and kills at random moments."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from itk_nephi.io.image_writing import write_image
from itk_nephi.io.pair_files import write_pair
from itk_nephi.io.transforms import write_transform
from itk_nephi.phantoms.pairs import deformed_shape
from itk_nephi.spatial import light_itk as itk

COMMAND = [sys.executable, "-W", "ignore", "-m", "itk_nephi"]
QUICK = ["--preset", "fast", "--steps", "12", "--initial-transform", "identity"]
RESULTS = {
    *("fixed_to_moving.h5", "moving_to_fixed.h5", "warped.nii.gz", "jacobian_determinant.nii.gz"),
    *("metrics.json", "overview.png", "report.html"),
}
MODELS = {"best.safetensors", "last.safetensors", "checkpoint.pt"}
TRAINING = """
[model]
size = [24, 24]
spacing = [1.0, 1.0]
field = { width = 8, frequencies = 4, global_code = 2, local_channels = 2, local_grid = 4 }
encoder = { filters = [4, 4], local_block = 1, pooled = 1 }
[pairs]
phantom = "triangles_and_circles"
count = 4
size = 24
[validation]
phantom = "triangles_and_circles"
count = 1
size = 24
seed = 9
[training]
steps = 20
batch_size = 1
points = 64
regularizer_points = 16
validate_every = 2
"""


class Inputs:
    """Files that commands take, and commands that write them, by name."""

    def __init__(self, folder: Path) -> None:
        pair = deformed_shape(2, size=40, motion=2, seed=1).pair
        paths = write_pair(pair, folder, ".nrrd")
        self.pair = [str(paths.fixed), str(paths.moving)]
        values = np.random.default_rng(0).random((10, 12, 14))
        self.image = folder / "image.nrrd"
        write_image(itk.image_from_array((values * 200).astype(np.uint8)), self.image)
        self.transform = folder / "affine.tfm"
        write_transform(itk.AffineTransform[itk.D, 3].New(), self.transform)
        (folder / "points.csv").write_text("x,y,z\n" + "1.0,2.0,3.0\n" * 300)
        vertices = "v 1.0 0.0 2.0\n" * 300
        (folder / "mesh.obj").write_text(f"{vertices}f 1 2 3\n")
        (folder / "table.csv").write_text(f"name,fixed,moving\na,{self.pair[0]},{self.pair[1]}\n")
        (folder / "training.toml").write_text(TRAINING)
        self.folder = folder

    def files(self) -> dict[str, list[str]]:
        """Return commands that write one file, by its name."""
        image, transform = str(self.image), str(self.transform)
        resampled = ["transform-image", image, transform, "--reference", image]
        jacobian = ["jacobian", transform, "--reference", image]
        field = ["convert", transform, "--reference", image]
        inverse = ["invert", transform, "--reference", image, "--exact"]
        return {
            **{f"warped{suffix}": resampled for suffix in (".nii.gz", ".nrrd", ".vtk", ".tif")},
            **{f"jacobian{suffix}": jacobian for suffix in (".mha", ".nii", ".hdf5")},
            **{f"field{suffix}": field for suffix in (".tfm", ".h5", ".mha")},
            **{f"inverse{suffix}": inverse for suffix in (".h5", ".nii.gz")},
            "alignment.h5": ["align", *self.pair],
            "points.csv": ["transform-points", str(self.folder / "points.csv"), transform],
            "mesh.obj": ["transform-mesh", str(self.folder / "mesh.obj"), transform],
        }

    def folders(self) -> dict[str, tuple[list[str], Path, set[str]]]:
        """Return commands that write a folder: the command, where in it and what it writes."""
        register = ["register", *self.pair, *QUICK]
        batch = ["batch", str(self.folder / "table.csv"), *QUICK]
        train = ["train", str(self.folder / "training.toml")]
        return {
            "register": (register, Path(), RESULTS),
            "batch": (batch, Path("a"), RESULTS),
            "train": (train, Path(), MODELS),
        }


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[bool]:
    """Make a folder a disk of a few bytes, where that is allowed; else leave it as it is."""
    options = f"size={size},mode=777"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False
    )
    try:
        yield mounted.returncode == 0
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "--lazy", folder], check=True)


def attack_disks(cases: int, rng: random.Random, folder: Path) -> Iterator[str]:
    """Write where there is no room: the old files stay, and success is not reported.

    On a full disk where one can be mounted, in every other case and elsewhere with a limit on the
    size of files.
    """
    inputs = Inputs(folder)
    files, folders = inputs.files(), inputs.folders()
    place = folder / "full"
    for number in range(cases):
        name = rng.choice([*files, *folders])
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        room = rng.choice((0, 64, 200, 1000, 5000, 20_000))
        with small_disk(place, 2**20) if number % 2 else nothing_mounted() as mounted:
            output = place / name
            old = [output] if name in files else [output / each for each in _old_of(name)]
            for path in old:
                path.parent.mkdir(exist_ok=True, parents=True)
                path.write_bytes(b"old")
            if mounted:
                free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
                (place / "filling").write_bytes(bytes(max(0, free - room)))
            command = files.get(name) or folders[name][0]
            result = subprocess.run(
                [*COMMAND, *command, "-o", str(output)],
                capture_output=True,
                text=True,
                preexec_fn=None if mounted else lambda limit=room: _limit(limit),
            )
            how = f"{name}, {room} bytes {'of a disk' if mounted else 'a file'}"
            kept = [path.exists() and path.read_bytes() == b"old" for path in old]
            if result.returncode == 0 and any(kept):
                yield f"{how}: success is reported, and nothing written"
            if result.returncode != 0 and name != "train" and not all(kept):
                yield f"{how}: {sum(kept)} of {len(kept)} old files stay"
            if result.returncode < 0 or "Traceback" in result.stderr:
                yield f"{how}: {result.returncode} {result.stderr}"
            if result.returncode != 0 and not result.stderr:
                yield f"{how}: not a word"
            if ".itk-nephi-" in result.stderr:
                yield f"{how}: a temporary path is named: {result.stderr}"
            if [*place.glob("**/.itk-nephi-*/")]:
                yield f"{how}: a stage is left"


@contextmanager
def nothing_mounted() -> Iterator[bool]:
    """Leave a folder as it is."""
    yield False


def _old_of(name: str) -> list[str]:
    """Return files that a command finds in its folder, and is to leave or to replace."""
    return {"register": ["warped.nii.gz", "metrics.json"], "train": ["best.safetensors"]}.get(
        name, []
    )


def _limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def attack_lives(cases: int, rng: random.Random, folder: Path) -> Iterator[str]:
    """Kill registrations, batches and trainings at random moments, and let them go on."""
    inputs = Inputs(folder)
    commands = inputs.folders()
    output, checkpoint = folder / "out", folder / "checkpoint"
    keeping = ["--checkpoint", str(checkpoint), "--checkpoint-interval", "0"]
    times = dict.fromkeys(commands, 4.0)
    for number in range(cases):
        name = rng.choice(list(commands))
        sent = rng.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
        moment = rng.choice(("any time", "after the first step", "while it writes"))
        arguments, inside, expected = commands[name]
        for place in (output, *_stages(folder)):  # each case begins anew
            shutil.rmtree(place, ignore_errors=True)
        checkpoint.unlink(missing_ok=True)
        command = [*COMMAND, *arguments, *(keeping if name == "register" else [])]
        command += ["-o", str(output)]
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        begun = time.monotonic()
        until = rng.uniform(0, 1.1 * times[name])
        while process.poll() is None and time.monotonic() < begun + 120:
            now = time.monotonic() - begun
            stages = any(_stages(folder, output))
            stepped = checkpoint.exists() or (output / "checkpoint.pt").exists()
            if (
                (moment == "any time" and now > until)
                or (moment == "after the first step" and stepped)
                or (moment == "while it writes" and stages)
            ):
                break
            time.sleep(0.005)
        had_checkpoint = checkpoint.exists()
        process.send_signal(sent)
        case = f"case {number}: {name}, {sent.name} {moment}"
        try:
            status = process.wait(300)
        except subprocess.TimeoutExpired:
            yield f"{case}: it does not end"
            process.kill()
            process.wait()
            continue
        if status == 0:
            times[name] = time.monotonic() - begun
        yield from _checked(
            case,
            name,
            sent,
            (folder, output, output / inside),
            expected,
            lost=name == "register" and had_checkpoint and not checkpoint.exists(),
        )
        if name == "train" and (output / "checkpoint.pt").exists():
            command.append("--resume")
        again = subprocess.run(command, capture_output=True, text=True, timeout=600)
        case += ", next run"
        if again.returncode != 0:
            yield f"{case}: it does not go on: {again.stderr}"
        if _named(output / inside, expected) != expected:
            yield f"{case}: not everything is written"
        if any(_stages(folder, output)):
            yield f"{case}: a stage is left"


def _checked(
    case: str,
    name: str,
    sent: signal.Signals,
    places: tuple[Path, Path, Path],
    expected: set[str],
    *,
    lost: bool,
) -> Iterator[str]:
    """Check what a killed process has left."""
    folder, output, results = places
    written = _named(results, expected)
    if name != "train" and written and written != expected:
        yield f"{case}: {sorted(written)} are written"
    if lost and not written:
        yield f"{case}: neither results nor a checkpoint"
    if sent != signal.SIGKILL and any(_stages(folder, output)):
        yield f"{case}: a stage is left"
    metrics = results / "metrics.json"
    if metrics.exists():
        json.loads(metrics.read_text())


def _named(folder: Path, names: set[str]) -> set[str]:
    return {path.name for path in folder.glob("*")} & names


def _stages(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from folder.glob(".itk-nephi-*/")
