"""A claim of the paper: a pair that was aligned before is refined."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import itk

from benchmarks.cache import Figures
from benchmarks.pairs import SMALL, Pair, lung_pair, read_pair, write_phantom
from benchmarks.study import Run, Study, tabulate
from itk_nephi.evaluation import evaluate
from itk_nephi.phantoms.pairs import lung
from itk_nephi.registration.pairwise import register
from itk_nephi.registration.settings import RegistrationSettings


def measure(run: Run) -> Figures:
    """Register a chest and the lung pair with and without a start, coarse and fine."""
    fine = run.shortened(RegistrationSettings())
    coarse = replace(fine, smoothing_sigmas=(2.0,), working_voxels=300_000)
    chest = lung(3, size=SMALL if run.quick else None).pair
    pairs = {"chest, 30 mm": write_phantom(chest, run.folder / "pairs" / "chest")}
    pairs |= {} if run.quick else {"lung": lung_pair(run)}
    return {
        name: run.trial(f"{name}, aligned", align, pair=pair, coarse=coarse, fine=fine)
        for name, pair in pairs.items()
    }


def table(figures: Figures) -> str:
    """Return errors, folding, inverse consistency and time of each stage."""
    rows = []
    for name, trial in figures.items():
        for stage, found in trial.items():
            errors, back = found["landmark_error_mm"], found.get("inverse_consistency_error_mm")
            row = [name, stage, f"{errors['mean']:.2f}", f"{errors['p95']:.2f}"]
            row.append(f"{100 * found['folding_fraction']:.4f}")
            row.append(f"{back['mean']:.2f}" if back else "-")
            rows.append([*row, f"{found['seconds']:.1f}" if "seconds" in found else "-"])
    header = ["data", "method", "landmark error mm", "p95", "folding %"]
    return tabulate([*header, "inverse consistency mm", "s"], rows)


def answer(figures: Figures) -> str:
    """Say the error of each stage."""
    return "; ".join(
        f"{name}, {stage}: {found['landmark_error_mm']['mean']:.2f} mm"
        for name, trial in figures.items()
        for stage, found in trial.items()
    )


def align(
    _folder: Path, *, pair: Pair, coarse: RegistrationSettings, fine: RegistrationSettings
) -> Figures:
    """Register coarsely with and without a start, and go on from the former."""
    images = read_pair(pair)
    masks: dict[str, Any] = {"fixed_mask": images.fixed_mask, "moving_mask": images.moving_mask}

    def timed(**options: Any) -> tuple[Any, float]:
        start = time.perf_counter()
        found = register(images.fixed, images.moving, **masks, **options)
        return found, time.perf_counter() - start

    both, seconds = timed(settings=coarse)
    alone, alone_seconds = timed(initial_transform="identity", settings=coarse)
    refined, refined_seconds = timed(initial_transform=both, settings=fine)
    found: Figures = {
        "before": evaluate(images, itk.IdentityTransform[itk.D, images.dimension].New()).to_json(),
        "pre-aligned": evaluate(images, both.initial_transform).to_json(),
    }
    for stage, result, taken in (
        ("NePhi alone", alone, alone_seconds),
        ("both", both, seconds),
        ("both, refined", refined, seconds + refined_seconds),
    ):
        judged = evaluate(images, result.fixed_to_moving, result.moving_to_fixed).to_json()
        found[stage] = judged | {"seconds": taken}
    return found


STUDY = Study(
    name="pre-alignment",
    question="Does it refine a pair that was aligned before?",
    time="2 minutes, two cores",
    measure=measure,
    table=table,
    page="claims.md",
)
