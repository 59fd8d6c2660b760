"""Claims about registrations from scratch: the regularizer, voxels, and pre-aligned pairs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import itk
import numpy as np
from claims import Benchmark, kept, registered, shapes, summarized, timed
from trials import LUNG, LUNG_PAIR
from voxel_field import register_voxels

from itk_nephi import RegistrationSettings, register
from itk_nephi.evaluation.evaluation import MeanEvaluation, evaluate
from itk_nephi.evaluation.metrics import (
    inverse_consistency_errors,
    jacobian_determinant_image,
    landmark_errors,
    log_jacobian_sd,
)
from itk_nephi.phantoms.pairs import lung
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import jacobians


def scratch_settings(
    benchmark: Benchmark, steps: int = 200, **changes: Any
) -> RegistrationSettings:
    """Return the settings of a registration at one resolution, without a model."""
    common: dict[str, Any] = {
        "similarity": "ncc",
        "smoothing_sigmas": (1.0,),
        "points_per_voxel": 1.0,
    }
    return RegistrationSettings(steps=3 if benchmark.quick else steps, **(common | changes))


def regularizer_points(benchmark: Benchmark) -> str:
    """Register images of the paper's size with ever fewer points of the paper's regularizer.

    Few points count on average over the steps, so it takes more of these than the other rows.
    """
    size = 128 if benchmark.quick else 512
    pairs = shapes(max(1, benchmark.pairs // 50), size)
    base = scratch_settings(benchmark, 600, smoothing_sigmas=(4.0,), inverse_consistency_weight=0.0)
    rows = []
    for ratio in range(1, 8):
        count = size**2 // 4**ratio
        by_seed = []
        for seed in range(benchmark.seeds):
            settings = replace(base, points=max(4_096, count), regularizer_points=count)
            place = benchmark.output / "regularizer-points" / f"{count}-points-seed-{seed}.json"
            transform_of = registered("identity", settings=settings, seed=seed)
            by_seed.append(kept(place, pairs, transform_of))
        means = [np.mean([scores.dice for scores, _ in results]) for results in by_seed]
        everything = summarized(one for results in by_seed for one in results)
        spread = f"{min(means):.4f} to {max(means):.4f}"
        rows.append([f"4^-{ratio}", f"{count}", everything[0], spread, *everything[1:]])
    header = ["share", "points", "Dice", "by seed", "folding %", "its worst", "seconds"]
    benchmark.write("regularizer-points", header, rows)
    return "; ".join(f"{row[0]}: Dice {row[2]}, {row[4]} % folded" for row in rows)


def diffusion(benchmark: Benchmark) -> str:
    """Sweep the weights of two regularizers."""
    pairs = shapes(max(1, benchmark.pairs // 10))
    base = scratch_settings(benchmark, points=1000)
    weights = (0.2, 5.0) if benchmark.quick else [5.0**power for power in range(-2, 5)]
    none = {"gradicon_weight": 0.0, "inverse_consistency_weight": 0.0}
    rows = []
    for weight in weights:
        for name, changes in (
            ("GradICON", none | {"gradicon_weight": weight}),
            ("diffusion", none | {"diffusion_weight": weight}),
        ):
            results, deviations, diverged = [], [], 0
            for pair in pairs:
                start = time.perf_counter()
                try:
                    transform = register(
                        pair.fixed,
                        pair.moving,
                        initial_transform="identity",
                        settings=replace(base, **changes),
                    ).fixed_to_moving
                except RuntimeError:
                    diverged += 1
                    continue
                results.append(
                    (MeanEvaluation.of([evaluate(pair, transform)]), time.perf_counter() - start)
                )
                deviations.append(
                    log_jacobian_sd(jacobian_determinant_image(transform, pair.fixed_image))
                )
            row = [name, f"{weight:g}", *(summarized(results) if results else ["nan"] * 4)]
            rows.append([*row, f"{np.mean(deviations or np.nan):.3f}", f"{diverged}"])
    header = ["regularizer", "weight", "Dice", "folding %", "its worst", "seconds", "SD log J"]
    header.append("diverged")
    benchmark.write("diffusion", header, sorted(rows, key=lambda row: row[0]))
    unfolded = [row for row in rows if float(row[3]) < 0.01]
    best = {row[0]: row for row in sorted(unfolded, key=lambda row: float(row[2]))}
    told = [
        f"{name} Dice {row[2]} (weight {row[1]}, SD log J {row[6]})" for name, row in best.items()
    ]
    smooth = float(best["diffusion"][6])
    swept = sorted((float(row[6]), float(row[2])) for row in rows if row[0] != "diffusion")
    as_smooth = np.interp(smooth, *zip(*swept, strict=True))
    return (
        f"best with less than 0.01 % folded: {'; '.join(told)}; as smooth as that diffusion, "
        f"GradICON has Dice {as_smooth:.3f} (between weights)"
    )


def single_resolution(benchmark: Benchmark) -> str:
    """Give a neural field and a displacement of each voxel the same loss and steps."""
    pairs = shapes(max(1, benchmark.pairs // 5))
    settings = scratch_settings(benchmark)
    methods: dict[str, Callable[[ImagePair], Any]] = {
        "NePhi": lambda pair: (
            register(
                pair.fixed, pair.moving, initial_transform="identity", settings=settings
            ).fixed_to_moving
        )
    }
    for rate in (1e-3, 3e-3, 1e-2, 3e-2):
        methods[f"displacement of each voxel, learning rate {rate:g}"] = lambda pair, rate=rate: (
            register_voxels(pair, settings, rate, seed=0)
        )
    rows = [
        [method, *summarized(timed(pair, transform_of) for pair in pairs)]
        for method, transform_of in methods.items()
    ]
    header = ["field", "Dice", "folding %", "its worst", "seconds"]
    benchmark.write("single-resolution", header, rows)
    unfolded = [row for row in rows[1:] if float(row[2]) < 1]
    best = max(unfolded or rows[1:], key=lambda row: float(row[1]))
    return "; ".join(f"{row[0]}: Dice {row[1]}, {row[2]} % folded" for row in (rows[0], best))


def pre_align(benchmark: Benchmark) -> str:
    """Register with and without an affine start, and a coarse result at full resolution."""
    size = (32, 28, 24) if benchmark.quick else None
    chest = lung(3, size=size, motion=30).pair
    names = ("fixed", "moving", "fixed_mask", "moving_mask")
    cases = {
        "chest, 30 mm": (
            {name: chest.images[name] for name in names},
            chest.evaluation_landmarks,
        )
    }
    if LUNG.is_dir() and not benchmark.quick:
        points = np.loadtxt(LUNG_PAIR["evaluation_landmarks"], delimiter=",", skiprows=1)
        images = {name: itk.imread(LUNG_PAIR[name]) for name in names}
        cases["lung"] = (images, (points[:, :3], points[:, 3:]))
    coarse = replace(RegistrationSettings(), smoothing_sigmas=(2.0,), working_voxels=300_000)
    fine = RegistrationSettings()
    if benchmark.quick:
        coarse, fine = (replace(settings, steps=3) for settings in (coarse, fine))
    rows = []
    for name, (images, landmarks) in cases.items():
        start = time.perf_counter()
        both = register(**images, settings=coarse)
        seconds = {"both": time.perf_counter() - start}
        start = time.perf_counter()
        alone = register(**images, initial_transform="identity", settings=coarse)
        seconds["NePhi alone"] = time.perf_counter() - start
        start = time.perf_counter()
        refined = register(**images, initial_transform=both, settings=fine)
        seconds["both, refined"] = seconds["both"] + time.perf_counter() - start
        identity = itk.IdentityTransform[itk.D, 3].New()
        domain = ImageDomain.of(images["fixed"])
        inside = domain.grid_points()[np.asarray(images["fixed_mask"]) != 0][::5]
        for label, transform, back in (
            ("before", identity, None),
            ("pre-aligned", both.initial_transform, None),
            ("NePhi alone", alone.fixed_to_moving, alone.moving_to_fixed),
            ("both", both.fixed_to_moving, both.moving_to_fixed),
            ("both, refined", refined.fixed_to_moving, refined.moving_to_fixed),
        ):
            errors = landmark_errors(transform, *landmarks)
            folds = np.mean(~(np.linalg.det(jacobians(transform, inside)) > 0))
            row = [name, label, f"{errors.mean():.2f}", f"{np.percentile(errors, 95):.2f}"]
            row.append(f"{100 * folds:.4f}")
            away = back and inverse_consistency_errors(transform, back, inside).mean()
            row.append(f"{away:.2f}" if away is not None else "-")
            rows.append([*row, f"{seconds[label]:.1f}" if label in seconds else "-"])
    header = ["data", "method", "landmark error mm", "p95", "folding %"]
    header += ["inverse consistency mm", "s"]
    benchmark.write("pre-align", header, rows)
    return "; ".join(f"{row[0]}, {row[1]}: {row[2]} mm" for row in rows)
