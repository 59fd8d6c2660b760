"""Measure the peak memory of registration and training against the size of the images.

    python benchmark/memory.py -o OUT [--device cuda] [--quick] [--readme]

A chest drawn by the phantom is resampled to cubes of 64 to 512 voxels along each axis, which each
process reads and registers: NePhi's presets in full, and a displacement of each voxel in both
directions, optimized by the same optimizer with the same objective at the same points, for two
steps a level, after which its memory does not change. Training takes two steps of one pair at its
own resolution, validation included. A trial that is in OUT is not made again.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import itk
import numpy as np
import torch
from tables import picture_to_docs, table, write_to_readme
from trials import once, say, subfolder
from voxel_field import VoxelField

from itk_nephi.fields.deformation import Deformation
from itk_nephi.fields.latent_code import LatentCode
from itk_nephi.fields.sampled_transforms import sample_transform
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.models.encoder import EncoderSettings
from itk_nephi.models.nephi import ModelSettings
from itk_nephi.phantoms.pairs import lung
from itk_nephi.registration.inputs import checked_images
from itk_nephi.registration.instance_optimization import optimize
from itk_nephi.registration.pairwise import register
from itk_nephi.registration.sampler import PairSampler
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.initialization import compute_initial_transform
from itk_nephi.training.settings import TrainingSettings
from itk_nephi.training.training import train

SIDES = (64, 128, 256, 512)
PRESETS = ("fast", "default")
METHODS = {
    "fast": RegistrationSettings.preset("fast"),
    "default": RegistrationSettings(),
    "voxels": RegistrationSettings(steps=2),
    "training": TrainingSettings(steps=2, batch_size=1),
}


def write_images(size: tuple[int, int, int], folder: Path) -> None:
    """Write a pair of images of as many voxels along the axes, i first, if it is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    phantom = None
    for name in ("fixed", "moving"):
        path = folder / f"{name}.mha"
        if path.exists():
            continue
        phantom = phantom or lung(3).pair
        image = phantom.images[name]
        domain = ImageDomain.of(image)
        resampled = itk.resample_image_filter(
            image,
            size=size,
            output_spacing=(2 * domain.half_extent / (np.array(size) - 1)).tolist(),
            output_origin=domain.origin,
            output_direction=image.GetDirection(),
        )
        itk.imwrite(resampled, path)


def optimize_voxels(
    fixed: Any, moving: Any, settings: RegistrationSettings, device: torch.device
) -> None:
    """Optimize a displacement of each voxel as :func:`itk_nephi.register` does a neural field."""
    fixed, moving = checked_images([fixed], "fixed"), checked_images([moving], "moving")
    domain = ImageDomain.of(fixed[0])
    initial_transform = compute_initial_transform("affine", fixed[0], moving[0])
    pair = PairSampler(
        fixed=fixed,
        moving=moving,
        fixed_mask=None,
        moving_mask=None,
        initial_transform=sample_transform(initial_transform, domain),
        device=device,
    )
    generator = torch.Generator().manual_seed(0)
    nothing = FieldSettings(global_code=0, local_channels=1, local_grid=2)
    deformation = Deformation(
        domain=domain,
        settings=nothing,
        field=VoxelField(domain),
        inverse_field=VoxelField(domain),
        code=LatentCode(nothing, domain.bounds, generator),
    )
    optimize([deformation], [pair], settings, generator)


def train_on(fixed: Any, moving: Any, settings: TrainingSettings, device: str) -> None:
    """Train a model with an encoder on one pair, at the resolution of its fixed image."""
    (fixed,), (moving,) = checked_images([fixed], "fixed"), checked_images([moving], "moving")
    initial_transform = compute_initial_transform("affine", fixed, moving)
    pairs = [ImagePair(fixed=(fixed,), moving=(moving,), initial_transform=initial_transform)]
    domain = ImageDomain.of(fixed)
    model = ModelSettings(encoder=EncoderSettings(), size=domain.size, spacing=domain.spacing)
    with TemporaryDirectory() as folder:
        train(pairs, pairs, model, settings, Path(folder), device=device)


def measure(method: str, folder: Path, device: str, steps: int | None) -> dict[str, Any]:
    """Register in this process; return seconds, and memory in MiB."""
    settings: Any = METHODS[method]
    settings = settings if steps is None else replace(settings, steps=steps)
    if device == "cpu":
        # rather an error than a machine out of memory
        available = _kib("/proc/meminfo", "MemAvailable") + _kib("/proc/self/status", "VmSize")
        resource.setrlimit(resource.RLIMIT_AS, (1024 * available,) * 2)
    fixed, moving = (itk.imread(folder / f"{name}.mha") for name in ("fixed", "moving"))
    start = time.perf_counter()
    if method == "voxels":
        optimize_voxels(fixed, moving, settings, torch.device(device))
    elif method == "training":
        train_on(fixed, moving, settings, device)
    else:
        register(fixed, moving, settings=settings, device=device)
    seconds = time.perf_counter() - start
    figures = {
        "seconds": seconds,
        "peak_mib": _kib("/proc/self/status", "VmHWM") / 2**10,
        "steps": settings.steps,
    }
    if device != "cpu":
        figures["peak_gpu_mib"] = torch.cuda.max_memory_allocated(device) / 2**20
    return figures


def _kib(file: str, name: str) -> int:
    lines = Path(file).read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def apart(method: str, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure in a process of its own.

    Raises
    ------
    RuntimeError
        If it fails, as it does without enough memory.
    """
    command = [sys.executable, __file__, "-o", str(folder), "--device", arguments.device]
    command += ["--measure", method, *(["--quick"] if arguments.quick else [])]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        reason = f"killed by signal {-done.returncode}, out of memory?"
        last = (done.stderr.strip().splitlines() or [""])[-1]
        raise RuntimeError(reason if done.returncode < 0 else last)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def table_of(results: dict[int, dict[str, dict[str, Any]]], device: str) -> str:
    """Return the table: beyond the images, and in total."""
    kind = "peak_mib" if device == "cpu" else "peak_gpu_mib"
    header = ["image", "both images, MiB"]
    header += [f"{name}, MiB beyond them" for name in METHODS]
    header += [f"{name}, s" for name in PRESETS]
    rows = []
    for side, figures in results.items():
        images = 2 * 4 * side**3 / 2**20
        rows.append([f"{side}^3", f"{images:.0f}"])
        rows[-1] += [
            f"{f[kind] - images:.0f}" if kind in f else _reason(f["error"])
            for f in figures.values()
        ]
        rows[-1] += [f"{figures[name].get('seconds', np.nan):.1f}" for name in PRESETS]
    return table(header, rows)


def _reason(error: str) -> str:
    return "does not fit" if "allocate memory" in error or "out of memory" in error else error


def draw(results: dict[int, dict[str, dict[str, Any]]], device: str, path: Path) -> None:
    """Draw memory beyond the images against their size."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    kind = "peak_mib" if device == "cpu" else "peak_gpu_mib"
    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    names = {
        "fast": "NePhi, fast",
        "default": "NePhi, default",
        "voxels": "displacement of voxels",
        "training": "training of a model",
    }
    for (method, label), marker in zip(names.items(), "osD^", strict=True):
        found = [
            (side, f[method][kind] / 2**10 - 2 * 4 * side**3 / 2**30)
            for side, f in results.items()
            if kind in f[method]
        ]
        axes.plot(*zip(*found, strict=True), f"{marker}-", label=label)
    axes.set(
        xlabel="voxels along each axis",
        ylabel="GiB beyond the images",
        xscale="log",
        ylim=(0, None),
    )
    axes.set_xticks(list(results), [f"{side}$^3$" for side in results], minor=False)
    axes.minorticks_off()
    axes.legend()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def main() -> None:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true", help="small images and few steps")
    parser.add_argument("--readme", action="store_true", help="write the table into the README")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        steps = 2 if arguments.quick else None
        figures = measure(arguments.measure, arguments.output, arguments.device, steps)
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    output = subfolder(arguments) / "memory"
    results: dict[int, dict[str, dict[str, Any]]] = {}
    for side in (24, 32) if arguments.quick else SIDES:
        folder = output / f"images-{side}"
        write_images((side,) * 3, folder)
        results[side] = {
            method: once(
                output / arguments.device / f"{side}-{method}.json",
                lambda method=method, folder=folder: apart(method, folder, arguments),
            )
            for method in METHODS
        }
    text = table_of(results, arguments.device)
    say(f"wrote {output}")
    sys.stdout.write(text + "\n")
    picture = output / f"memory-{arguments.device}.png"
    draw(results, arguments.device, picture)
    if arguments.readme:
        write_to_readme(f"memory {arguments.device}", text)
        picture_to_docs(picture)


if __name__ == "__main__":
    main()
