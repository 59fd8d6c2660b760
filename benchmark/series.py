"""Register a breathing chest at several times, together and each by itself.

    python benchmark/series.py -o OUT [--quick] [--readme]

The phantom breathes in by 6 to 30 mm, in five images. ``register_series`` takes them together,
``register`` one by one, both with the fast preset and without an initial transform. Judged by the
landmarks at the times of the images, and at those half-way between two, of which neither has seen
an image: there the series' own transform stands beside the nearest earlier registration, and beside
the mean of the points that the registrations before and after find.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tables import table, write_to_readme
from trials import once, subfolder

from itk_nephi import RegistrationSettings, register, register_series
from itk_nephi.evaluation.metrics import folding_fraction, jacobian_determinant_image
from itk_nephi.phantoms.pairs import lung
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import transform_points

TIMES = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Of the images: the share of the breath."""
BETWEEN = (0.3, 0.5, 0.7, 0.9)


def compare(quick: bool) -> dict[str, Any]:
    """Register all times; return errors in mm, folds as shares, and seconds."""
    size = (32, 28, 24) if quick else None
    settings = RegistrationSettings.preset("fast")
    if quick:
        settings = replace(settings, steps=3)

    def at(share: float) -> ImagePair:
        return lung(3, size=size, motion=30 * share, seed=1).pair

    chests = {share: at(share) for share in (*TIMES, *BETWEEN)}
    first = chests[TIMES[0]]
    masks = [chests[share].moving_mask for share in TIMES]
    start = time.perf_counter()
    series = register_series(
        first.fixed_image,
        [chests[share].moving_image for share in TIMES],
        TIMES,
        fixed_mask=first.fixed_mask,
        masks=masks,
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

    points = first.evaluation_landmarks[0]

    def error(found: Any, share: float) -> float:
        return float(np.linalg.norm(found - chests[share].evaluation_landmarks[1], axis=1).mean())

    together = {share: series.at(share).fixed_to_moving for share in chests}
    moved = {share: transform_points(transform, points) for share, transform in alone.items()}
    errors: dict[str, list[float]] = {
        "before": [error(points, share) for share in TIMES],
        "together": [error(transform_points(together[s], points), s) for s in TIMES],
        "each by itself": [error(moved[s], s) for s in TIMES],
    }
    half_way = {share: (TIMES[n], TIMES[n + 1]) for n, share in enumerate(BETWEEN)}
    between = {
        "before": [error(points, share) for share in BETWEEN],
        "together": [error(transform_points(together[s], points), s) for s in BETWEEN],
        "the registration before": [error(moved[half_way[s][0]], s) for s in BETWEEN],
        "mean of the registrations before and after": [
            error((moved[half_way[s][0]] + moved[half_way[s][1]]) / 2, s) for s in BETWEEN
        ],
    }
    folds = {
        "together": max(
            folding_fraction(jacobian_determinant_image(t, first.fixed_image), first.fixed_mask)
            for t in together.values()
        ),
        "each by itself": max(
            folding_fraction(jacobian_determinant_image(t, first.fixed_image), first.fixed_mask)
            for t in alone.values()
        ),
    }
    return {"errors": errors, "between": between, "folds": folds, "times": seconds}


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="small images and few steps")
    parser.add_argument("--readme", action="store_true", help="write the table into the README")
    arguments = parser.parse_args()
    found = once(subfolder(arguments) / "series.json", lambda: compare(arguments.quick))
    rows = []
    for kind, key in (("images at the time", "errors"), ("no image at the time", "between")):
        for name, errors in found[key].items():
            row = [kind, name, f"{np.mean(errors):.2f}", f"{max(errors):.2f}"]
            row.append(f"{found['folds'][name]:.2g}" if name in found["folds"] else "-")
            timed = key == "errors" and name in found["times"]
            rows.append([*row, f"{found['times'][name]:.0f}" if timed else "-"])
    header = ["", "transforms", "landmark error, mm, mean of the times", "the worst time's"]
    text = table([*header, "largest share of folds", "s in all"], rows)
    sys.stdout.write(text + "\n")
    if arguments.readme:
        write_to_readme("series", text)


if __name__ == "__main__":
    main()
