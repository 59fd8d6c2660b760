"""A breathing chest at several times: registered together, and each time by itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cache import Figures
from benchmarks.study import Run, Study, tabulate
from itk_nephi.evaluation.metrics import folding_fraction, jacobian_determinant_image
from itk_nephi.phantoms.pairs import lung
from itk_nephi.registration.pairwise import register
from itk_nephi.registration.series import register_series
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.spatial.transforms import transform_points

TIMES = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Of the images: the share of the breath."""

BETWEEN = (0.3, 0.5, 0.7, 0.9)

KINDS = {"images at the time": "at", "no image at the time": "between"}


def measure(run: Run) -> Figures:
    """Register five images of a breath of 30 mm."""
    settings = run.shortened(RegistrationSettings.preset("default"))
    size = (32, 28, 24) if run.quick else None
    return run.trial("series", register_breath, settings=settings, size=size)


def table(figures: Figures) -> str:
    """Return errors at the times of the images and half-way between, folding and time."""
    rows = []
    for kind, key in KINDS.items():
        for name, errors in figures[key].items():
            row = [kind, name, f"{np.mean(errors):.2f}", f"{max(errors):.2f}"]
            row.append(f"{figures['folds'][name]:.2g}" if name in figures["folds"] else "-")
            timed = key == "at" and name in figures["seconds"]
            rows.append([*row, f"{figures['seconds'][name]:.0f}" if timed else "-"])
    header = ["", "transforms", "landmark error, mm, mean of the times", "the worst time's"]
    return tabulate([*header, "largest folding fraction", "s in all"], rows)


def register_breath(
    _folder: Path, *, settings: RegistrationSettings, size: Sequence[int] | None
) -> Figures:
    """Return errors, mm, by the transforms that made them, folding fractions, and seconds."""
    chests = {
        share: lung(3, size=size, motion=30 * share, seed=1).pair for share in (*TIMES, *BETWEEN)
    }
    first = chests[TIMES[0]]
    start = time.perf_counter()
    series = register_series(
        first.fixed_image,
        [chests[share].moving_image for share in TIMES],
        TIMES,
        fixed_mask=first.fixed_mask,
        masks=[chests[share].moving_mask for share in TIMES],
        settings=settings,
    )
    seconds = {"together": time.perf_counter() - start}
    start = time.perf_counter()
    alone = {
        share: register(
            first.fixed,
            chests[share].moving,
            fixed_mask=first.fixed_mask,
            moving_mask=chests[share].moving_mask,
            initial_transform=None,
            settings=settings,
        ).fixed_to_moving
        for share in TIMES
    }
    seconds["each by itself"] = time.perf_counter() - start

    landmarks: Any = {share: chest.evaluation_landmarks for share, chest in chests.items()}
    points = landmarks[TIMES[0]][0]
    together = {share: series.at(share).fixed_to_moving for share in chests}
    joint = {share: transform_points(transform, points) for share, transform in together.items()}
    moved = {share: transform_points(transform, points) for share, transform in alone.items()}
    earlier = dict(zip(BETWEEN, TIMES, strict=False))
    later = dict(zip(BETWEEN, TIMES[1:], strict=True))

    def errors(shares: Sequence[float], found: Any) -> list[float]:
        return [float(np.linalg.norm(found(s) - landmarks[s][1], axis=1).mean()) for s in shares]

    return {
        "at": {
            "before": errors(TIMES, lambda _: points),
            "together": errors(TIMES, joint.__getitem__),
            "each by itself": errors(TIMES, moved.__getitem__),
        },
        "between": {
            "before": errors(BETWEEN, lambda _: points),
            "together": errors(BETWEEN, joint.__getitem__),
            "the registration before": errors(BETWEEN, lambda s: moved[earlier[s]]),
            "mean of the registrations before and after": errors(
                BETWEEN, lambda s: (moved[earlier[s]] + moved[later[s]]) / 2
            ),
        },
        "folds": {
            name: max(
                folding_fraction(jacobian_determinant_image(t, first.fixed_image), first.fixed_mask)
                for t in transforms.values()
            )
            for name, transforms in (("together", together), ("each by itself", alone))
        },
        "seconds": seconds,
    }


STUDY = Study(
    name="series",
    question="Are images over time better registered together than each by itself?",
    time="2 minutes, one core",
    measure=measure,
    table=table,
)
