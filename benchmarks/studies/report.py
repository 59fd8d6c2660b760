"""How large the report of a large pair is, and how long it takes."""

from __future__ import annotations

import json
from pathlib import Path

import itk
import numpy as np

from benchmarks.cache import Figures
from benchmarks.pairs import SMALL, Pair
from benchmarks.process import run_command
from benchmarks.study import Run, Study, tabulate
from itk_nephi.io.pair_files import write_landmarks
from itk_nephi.phantoms.pairs import lung
from itk_nephi.spatial.domain import ImageDomain, image_like

SIZE = (512, 512, 300)

NOISE = 30.0
"""Standard deviation, HU; as a CT has it, which pictures cannot compress away."""


def measure(run: Run) -> Figures:
    """Register a large chest by the command line."""
    return run.trial("report", write_report, size=SMALL if run.quick else SIZE)


def table(figures: Figures) -> str:
    """Return the size of the page, seconds and memory."""
    row = [" x ".join(map(str, figures["size"])), f"{figures['megabytes']:.1f}"]
    row += [f"{figures['seconds'][stage]:.0f}" for stage in ("report", "register", "total")]
    header = ["voxels", "report.html, MB", "s to write it", "s to register", "s in all", "MiB"]
    return tabulate(header, [[*row, f"{figures['peak_memory_mib']:.0f}"]])


def write_report(folder: Path, *, size: tuple[int, int, int]) -> Figures:
    """Register a chest of as many voxels, with masks, landmarks and labels."""
    pair = write_chest(size, folder)
    result = folder / "result"
    run_command(
        *("register", pair["fixed"], pair["moving"], "-o", result, "--preset", "fast"),
        *("--fixed-mask", pair["fixed_mask"], "--moving-mask", pair["moving_mask"]),
        *("--evaluation-landmarks", pair["evaluation_landmarks"]),
        *("--labels", pair["fixed_labels"], pair["moving_labels"]),
    )
    metrics = json.loads((result / "metrics.json").read_text())
    found = {name: metrics[name] for name in ("seconds", "peak_memory_mib")}
    return {
        "size": size,
        "megabytes": (result / "report.html").stat().st_size / 1e6,
        **found,
    }


def write_chest(size: tuple[int, int, int], folder: Path) -> Pair:
    """Write a chest, resampled to as many voxels of both images, with noise."""
    phantom = lung(3).pair
    generator = np.random.default_rng(0)
    pair = {}
    for role in ("fixed", "moving"):
        domain = ImageDomain.of(phantom.images[role])
        for name in (role, f"{role}_mask", f"{role}_labels"):
            image = phantom.images[name]
            interpolator = itk.LinearInterpolateImageFunction
            if name != role:
                interpolator = itk.NearestNeighborInterpolateImageFunction
            fine = itk.resample_image_filter(
                image,
                interpolator=interpolator.New(image),
                size=size,
                output_spacing=(2 * domain.half_extent / (np.array(size) - 1)).tolist(),
                output_origin=domain.origin,
                output_direction=image.GetDirection(),
            )
            if name == role:
                values = np.asarray(fine, np.float32)
                values = values + generator.normal(0, NOISE, values.shape).astype(np.float32)
                fine = image_like(fine, values.astype(np.int16))
            pair[name] = folder / f"{name}.mha"
            itk.imwrite(fine, pair[name])
    if phantom.evaluation_landmarks is not None:
        pair["evaluation_landmarks"] = folder / "landmarks.csv"
        write_landmarks(pair["evaluation_landmarks"], *phantom.evaluation_landmarks)
    return pair


STUDY = Study(
    name="report",
    question="How large is the report of a large pair, and how long does it take?",
    time="8 minutes, one core",
    measure=measure,
    table=table,
)
