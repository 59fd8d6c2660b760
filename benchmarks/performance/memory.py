"""Peak memory of registration and training against the size of the images."""

from __future__ import annotations

import resource
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.cache import Figures
from benchmarks.process import available_bytes, call_in_process, peak_memory
from benchmarks.study import QUICK_STEPS, Run, Study, tabulate
from benchmarks.voxel_field import VoxelField
from itk_nephi.alignment.initialization import compute_initial_transform
from itk_nephi.fields.deformation import Deformation
from itk_nephi.fields.latent_code import LatentCode
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.models.encoder import EncoderSettings
from itk_nephi.models.nephi import ModelSettings
from itk_nephi.phantoms.pairs import lung
from itk_nephi.registration.checks import checked_images
from itk_nephi.registration.instance_optimization import solve
from itk_nephi.registration.pairwise import register
from itk_nephi.registration.problem import RegistrationProblem
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.training.settings import TrainingSettings
from itk_nephi.training.training import train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PRESETS = ("fast", "default", "random points")

SETTINGS: dict[str, Any] = {
    "fast": RegistrationSettings.preset("fast"),
    "default": RegistrationSettings.preset("default"),
    "random points": RegistrationSettings(),
    "voxels": RegistrationSettings(steps=2),  # memory does not change any more
    "training": TrainingSettings(steps=2, batch_size=1),
}

LABELS = {
    "fast": "NePhi, fast",
    "default": "NePhi, default",
    "random points": "NePhi at random points",
    "voxels": "displacement of voxels",
    "training": "training of a model",
}


def measure(run: Run, device: str) -> Figures:
    """Register and train on cubes of 64 to 512 voxels along each axis, each in a fresh process."""
    trials = []
    for side in (24, 32) if run.quick else (64, 128, 256, 512):
        for method, settings in SETTINGS.items():
            steps = min(settings.steps, QUICK_STEPS) if run.quick else settings.steps
            trial = run.trial(
                f"memory, {side}, {method}, {device}",
                measure_apart,
                method=method,
                side=side,
                device=device,
                settings=replace(settings, steps=steps),
            )
            trials.append({"side": side, "method": method} | trial)
    return {"device": device, "trials": trials}


def table(figures: Figures) -> str:
    """Return MiB beyond the images, and the presets' times."""
    by_side: dict[int, dict[str, Figures]] = {}
    for trial in figures["trials"]:
        by_side.setdefault(trial["side"], {})[trial["method"]] = trial
    rows = []
    for side, trials in by_side.items():
        rows.append([f"{side}^3", f"{images_mib(side):.0f}"])
        rows[-1] += [
            _reason(trial["error"]) if "error" in trial else f"{beyond_images(trial):.0f}"
            for trial in trials.values()
        ]
        rows[-1] += [f"{trials[name].get('seconds', np.nan):.1f}" for name in PRESETS]
    header = ["image", "both images, MiB", *(f"{name}, MiB beyond them" for name in SETTINGS)]
    return tabulate([*header, *(f"{name}, s" for name in PRESETS)], rows)


def draw(figures: Figures) -> Figure:
    """Draw memory beyond the images against their size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    sides = sorted({trial["side"] for trial in figures["trials"]})
    for (method, label), marker in zip(LABELS.items(), "osvD^", strict=True):
        places = [
            (trial["side"], beyond_images(trial) / 2**10)
            for trial in figures["trials"]
            if trial["method"] == method and "error" not in trial
        ]
        axes.plot(*zip(*places, strict=True), f"{marker}-", label=label)
    axes.set(
        xlabel="voxels along each axis",
        ylabel="GiB beyond the images",
        xscale="log",
        ylim=(0, None),
    )
    axes.set_xticks(sides, [f"{side}$^3$" for side in sides])
    axes.minorticks_off()
    axes.legend()
    return figure


def images_mib(side: int) -> float:
    """Return the size of both images, MiB."""
    return 2 * 4 * side**3 / 2**20


def beyond_images(trial: Figures) -> float:
    """Return the peak memory beyond that of both images, MiB."""
    return float(trial["peak_memory"]["mib"] - images_mib(trial["side"]))


def measure_apart(folder: Path, *, method: str, side: int, device: str, settings: Any) -> Figures:
    """Register or train in a process of its own."""
    for name in ("fixed", "moving"):
        itk.imwrite(draw_cube(name, side), str(folder / f"{name}.mha"))
    return call_in_process(measure_here, folder, method=method, device=device, settings=settings)


def measure_here(folder: Path, *, method: str, device: str, settings: Any) -> Figures:
    """Register or train in this process; return seconds and peak memory.

    On the CPU that of the process, libraries included; on a GPU that of torch's tensors.
    """
    if device == "cpu":  # rather an error than a machine out of memory
        resource.setrlimit(resource.RLIMIT_AS, (available_bytes(),) * 2)
    fixed, moving = (itk.imread(str(folder / f"{name}.mha")) for name in ("fixed", "moving"))
    function: Any = {"voxels": optimize_voxels, "training": train_on}.get(method, register)
    start = time.perf_counter()
    function(fixed, moving, settings=settings, device=device)
    found: Figures = {"seconds": time.perf_counter() - start}
    if device == "cpu":
        return found | {"peak_memory": peak_memory()}
    mib = torch.cuda.max_memory_allocated(device) / 2**20
    return found | {"peak_memory": {"mib": mib, "counted_from": "start of the process"}}


def draw_cube(name: str, side: int) -> Any:
    """Return the fixed or the moving image of a chest, resampled to a cube of voxels."""
    image = lung(3).pair.images[name]
    domain = ImageDomain.of(image)
    return itk.resample_image_filter(
        image,
        size=(side,) * 3,
        output_spacing=(2 * domain.half_extent / (side - 1)).tolist(),
        output_origin=domain.origin,
        output_direction=image.GetDirection(),
    )


def optimize_voxels(
    fixed: Any, moving: Any, *, settings: RegistrationSettings, device: str
) -> None:
    """Optimize a displacement of each voxel as :func:`itk_nephi.register` does a neural field."""
    pair = ImagePair(fixed=(fixed,), moving=(moving,))
    problem = RegistrationProblem.prepare([pair], settings, torch.device(device))
    domain = problem.domain
    generator = torch.Generator().manual_seed(0)
    fields: list[Any] = [VoxelField(domain), VoxelField(domain)]
    nothing = FieldSettings(global_code=0, local_channels=1, local_grid=2)
    deformation = Deformation(
        domain=domain,
        settings=nothing,
        field=fields[0],
        inverse_field=fields[1],
        code=LatentCode(nothing, domain.bounds, generator),
    )
    solve(problem, [deformation], generator=generator)


def train_on(fixed: Any, moving: Any, *, settings: TrainingSettings, device: str) -> None:
    """Train a model with an encoder on one pair, at the resolution of its fixed image."""
    (fixed,), (moving,) = checked_images([fixed], "fixed"), checked_images([moving], "moving")
    initial_transform = compute_initial_transform("affine", fixed, moving)
    pairs = [ImagePair(fixed=(fixed,), moving=(moving,), initial_transform=initial_transform)]
    domain = ImageDomain.of(fixed)
    model = ModelSettings(encoder=EncoderSettings(), size=domain.size, spacing=domain.spacing)
    with TemporaryDirectory() as folder:
        train(pairs, pairs, model, settings, Path(folder), device=device)


def _reason(error: str) -> str:
    return "does not fit" if "allocate memory" in error or "out of memory" in error else error


CPU, CUDA = (
    Study(
        name=f"memory-{device}",
        question=f"Does memory grow with the images, {where}?",
        time="15 minutes, one core",
        measure=partial(measure, device=device),
        table=table,
        figure=draw,
        page="memory.md",
    )
    for device, where in (("cpu", "on the CPU"), ("cuda", "on a GPU"))
)
