"""How long the results of a large pair take, and those of each pair of a batch."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import itk
import numpy as np

from benchmarks.cache import Figures
from benchmarks.pairs import SMALL, Pair, hippocampus_pairs
from benchmarks.performance.start_up import LAUNCH
from benchmarks.process import command_line, environment
from benchmarks.studies.cohort import write_table
from benchmarks.study import Run, Study, tabulate
from itk_nephi.phantoms.pairs import lung
from itk_nephi.spatial.domain import ImageDomain, image_like

SIZE = (512, 512, 300)

NOISE = 30.0
"""Standard deviation, HU; as a CT has it, which pictures cannot compress away."""

CORES = (1, 2)

PAIRS = 50

STAGES = {
    "read": "read",
    "register": "register",
    "warp": "resample",
    "jacobian_determinant": "determinants",
    "images": "write images",
    "evaluate": "evaluate",
    "overview": "overview",
    "report": "report",
}
"""Of metrics.json, and what the table calls them."""

SIZES = ("MiB", "report.html, MB")


def measure(run: Run) -> Figures:
    """Register a large chest on one core and on two, and a batch in one step a level on one."""
    size = SMALL if run.quick else SIZE
    large = [
        {"cores": cores}
        | run.trial(f"results of a large pair, {cores} cores", register, size=size, cores=cores)
        for cores in CORES
    ]
    pairs = hippocampus_pairs(run, PAIRS, seed=7)
    return {
        "size": size,
        "large": large,
        "batch": run.trial("results of a batch", register_batch, pairs=pairs),
    }


def table(figures: Figures) -> str:
    """Return seconds of each stage and peak memory, of the large pair and of a pair of a batch."""
    voxels = " x ".join(map(str, figures["size"]))
    trials = [
        (f"{voxels}, {trial['cores']} core{'s' * (trial['cores'] > 1)}", trial)
        for trial in figures["large"]
    ]
    batch = figures["batch"]
    trials.append((f"a pair of a batch of {batch.get('pairs', 0)}, one step a level", batch))
    rows = []
    for name, trial in trials:
        if "error" in trial:
            rows.append([name, trial["error"]])
            continue
        seconds = [trial["seconds"].get(stage, 0.0) for stage in STAGES]
        seconds += [trial["start_up"], trial["whole"], trial["cpu"]]
        sizes = [f"{trial['peak_memory_mib']:.0f}", f"{trial['report_mb']:.1f}"]
        rows.append([name, *(f"{s:.2f}" for s in seconds), *sizes])
    return tabulate(["seconds", *STAGES.values(), "start-up", "in all", "of CPUs", *SIZES], rows)


def register(folder: Path, *, size: tuple[int, int, int], cores: int) -> Figures:
    """Register a chest of as many voxels with the default settings, and write every result."""
    pair = write_chest(size, folder)
    output = folder / "output"
    whole, cpu = run_on(cores, "register", pair["fixed"], pair["moving"], "-o", output)
    for path in pair.values():
        path.unlink()
    metrics = read_metrics(output)
    seconds = metrics["seconds"]
    return {
        "seconds": seconds,
        "start_up": whole - seconds["total"],
        "whole": whole,
        "cpu": cpu,
        "peak_memory_mib": metrics["peak_memory_mib"],
        "report_mb": metrics["report_mb"],
    }


def write_chest(size: tuple[int, int, int], folder: Path) -> Pair:
    """Write a chest, resampled to as many voxels of both images, with noise."""
    phantom = lung(3).pair
    generator = np.random.default_rng(0)
    pair = {}
    for role in ("fixed", "moving"):
        image = phantom.images[role]
        domain = ImageDomain.of(image)
        fine = itk.resample_image_filter(
            image,
            size=size,
            output_spacing=(2 * domain.half_extent / (np.array(size) - 1)).tolist(),
            output_origin=domain.origin,
            output_direction=image.GetDirection(),
        )
        values = np.asarray(fine, np.float32)
        values = values + generator.normal(0, NOISE, values.shape).astype(np.float32)
        pair[role] = folder / f"{role}.mha"
        itk.imwrite(image_like(fine, values.astype(np.int16)), pair[role])
    return pair


def register_batch(folder: Path, *, pairs: dict[str, Pair]) -> Figures:
    """Register pairs in one step a level on one core, so that nearly nothing is optimized."""
    path = write_table(pairs, folder / "pairs.csv")
    output = folder / "output"
    measured = run_on(1, "batch", path, "-o", output, "--steps", 1)
    whole, cpu = (seconds / len(pairs) for seconds in measured)
    every = [read_metrics(output / name) for name in pairs]
    seconds = {
        stage: float(np.mean([metrics["seconds"].get(stage, 0.0) for metrics in every]))
        for stage in (*STAGES, "total")
    }
    return {
        "pairs": len(pairs),
        "seconds": seconds,
        "start_up": whole - seconds["total"],
        "whole": whole,
        "cpu": cpu,
        "peak_memory_mib": max(metrics["peak_memory_mib"] for metrics in every),
        "report_mb": float(np.mean([metrics["report_mb"] for metrics in every])),
    }


def run_on(cores: int, *arguments: object) -> tuple[float, float]:
    """Run ``itk-nephi`` on some of this machine's cores; return its seconds, and those of CPUs."""
    chosen = sorted(os.sched_getaffinity(0))[:cores]
    taskset = [shutil.which("taskset") or "taskset", "-c", ",".join(map(str, chosen))]
    command = [sys.executable, "-S", "-c", LAUNCH, *taskset, *command_line(*arguments)]
    start, spent = time.perf_counter(), cpu_seconds()
    subprocess.run(command, env=environment(cores), check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start, cpu_seconds() - spent


def cpu_seconds() -> float:
    """Return the seconds of CPUs that processes have taken which this one has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def read_metrics(folder: Path) -> dict[str, Any]:
    """Read the metrics.json of a result, and add how large its report is, MB."""
    size = (folder / "report.html").stat().st_size / 1e6
    return {**json.loads((folder / "metrics.json").read_text()), "report_mb": size}


STUDY = Study(
    name="results",
    question="How long do the results of a large pair take, and those of a pair of a batch?",
    time="6 minutes, two cores",
    measure=measure,
    table=table,
)
