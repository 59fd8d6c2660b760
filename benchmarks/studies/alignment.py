"""Linear alignment from random starts, in any unit, exchanged, and of images with themselves."""

from __future__ import annotations

import resource
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import itk
import numpy as np

from benchmarks.cache import Figures
from benchmarks.linear_methods import LINEAR_METHODS
from benchmarks.pairs import (
    Pair,
    brain_pairs,
    hippocampus_pairs,
    lung_pair,
    read_pair,
    section_pairs,
    without_masks,
    write_phantom,
)
from benchmarks.process import call_in_process
from benchmarks.study import Run, Study, tabulate
from itk_nephi.alignment import align
from itk_nephi.phantoms.pairs import lung
from itk_nephi.spatial.domain import Array, ImageDomain, image_from_array
from itk_nephi.spatial.transforms import compose, transform_points

STARTS = 50
"""Of the pairs of a problem together."""
FAILED = 2.0
"""Voxels, in the mean over the fixed mask or image, from the result from the stored position."""
EXACT = 0.1
"""Voxels by which units, an exchange of images, or noise may change a result."""
UNITS = (1.0, 0.025, 0.001, 1000.0)
"""Millimeters for one."""
PATIENCE = 20.0
"""Seconds of processor time for the pairs of a problem together, after which a peer gets no more
starts."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Pairs of images to align, with what is done to the moving one first.

    Parameters
    ----------
    pairs : sequence of dict
        Files.
    degrees : float
        The largest rotation.
    """

    pairs: Sequence[Pair]
    degrees: float = 180.0


def measure(run: Run) -> Figures:
    """Align by all methods from random starts, and by NePhi under what should change nothing."""
    problems = _problems(run)
    invariance = {
        name: [
            run.trial(f"invariance, {name} {number}", align_invariantly, pair=pair)
            for number, pair in enumerate(problem.pairs)
        ]
        for name, problem in problems.items()
    }
    starts = {
        method: {
            name: [
                run.trial(
                    f"{method}, {name} {number}",
                    align_from_random_starts,
                    method=method,
                    pair=pair,
                    degrees=problem.degrees,
                    count=2 if run.quick else STARTS // len(problem.pairs),
                    patience=None if method == "NePhi" else PATIENCE / len(problem.pairs),
                )
                for number, pair in enumerate(problem.pairs)
            ]
            for name, problem in problems.items()
        }
        for method in run.first(list(LINEAR_METHODS), 2)
    }
    return {"starts": starts, "invariance": invariance}


def table(figures: Figures) -> str:
    """Return failures and seconds of each method, then what units, exchange and noise change."""
    rows = []
    for problem in figures["invariance"]:
        for method, problems in figures["starts"].items():
            trials = problems[problem]
            done = [trial for trial in trials if "error" not in trial]
            distances = [distance for trial in done for distance in trial["distances"]]
            row = [problem, method, str(len(distances))]
            if distances:
                failed = sum(not distance <= FAILED for distance in distances)
                seconds = [s for trial in done for s in trial["seconds"]]
                kept = [distance for distance in distances if distance <= FAILED]
                row += [str(failed), f"{max(kept):.2f}" if kept else "-"]
                row += [f"{np.mean(seconds):.2f}", f"{max(seconds):.2f}"]
            else:
                row += ["failed", *"---"]
            rows.append(row)
    header = ["images", "method", "starts", "failures", "farthest of the others, voxels"]
    header += ["mean s", "longest, s"]
    exact = [
        [problem, *(f"{max(t[key] for t in trials):.3f}" for key in INVARIANCES)]
        for problem, trials in figures["invariance"].items()
        if not any("error" in trial for trial in trials)
    ]
    return tabulate(header, rows) + "\n\n" + tabulate(["images", *INVARIANCES.values()], exact)


def holds(figures: Figures) -> bool:
    """Say whether NePhi never failed, and nothing changed that should not."""
    trials = [t for trials in figures["starts"]["NePhi"].values() for t in trials]
    exact = [t for trials in figures["invariance"].values() for t in trials]
    return all(max(trial["distances"]) <= FAILED for trial in trials) and all(
        trial[key] <= EXACT for trial in exact for key in INVARIANCES
    )


INVARIANCES = {
    "unit": "another unit, voxels",
    "exchange": "exchanged, voxels",
    "itself": "fixed image on itself, voxels",
    "noise": "and with noise, voxels",
}
"""What should change nothing."""


def align_from_random_starts(
    folder: Path, *, method: str, pair: Pair, degrees: float, count: int, patience: float | None
) -> Figures:
    """Align a pair as it lies in space, and after moving the moving image, in one process.

    Parameters
    ----------
    folder : Path
        For files.
    method : str
        One of ``LINEAR_METHODS``.
    pair : dict
        Files.
    degrees : float
        The largest rotation.
    count : int
        How many starts.
    patience : float, optional
        Seconds of processor time after which there are no more starts.

    Returns
    -------
    dict
        ``distances`` from the first result, voxels, infinite where a method gave up; ``seconds`` of
        processor time.
    """
    return call_in_process(
        _align_all,
        folder,
        threads=1,
        method=method,
        pair=pair,
        degrees=degrees,
        count=count,
        patience=patience,
    )


def _align_all(
    folder: Path, *, method: str, pair: Pair, degrees: float, count: int, patience: float | None
) -> Figures:
    warnings.simplefilter("ignore")
    images = _images(pair)
    points, size = _points(images["fixed"], images.get("fixed_mask"))
    align_by = LINEAR_METHODS[method]
    given = [images.get(name) for name in ("fixed", "moving", "fixed_mask", "moving_mask")]
    first = transform_points(align_by(*given, folder), points)
    distances: list[float] = []
    seconds: list[float] = []
    for motion in _random_motions(ImageDomain.of(images["moving"]), degrees, count):
        if patience is not None and sum(seconds) > patience:
            break
        moved = [image and _moved(image, motion) for image in given[1::2]]
        started = _processor_seconds()
        distance = np.inf
        with suppress(RuntimeError, ValueError):
            placed = given[0], moved[0], given[2], moved[1]
            found = align_by(*placed, folder)
            undone = transform_points(compose([found, motion.GetInverseTransform()]), points)
            distance = float(np.linalg.norm(undone - first, axis=1).mean() / size)
        seconds.append(_processor_seconds() - started)
        distances.append(distance)
    return {"distances": distances, "seconds": seconds}


def align_invariantly(folder: Path, *, pair: Pair) -> Figures:
    """Align a pair in other units, exchanged, and the fixed image with itself, by NePhi.

    Returns
    -------
    dict
        The largest mean distances from where the points should be, voxels.
    """
    return call_in_process(_compare_all, folder, threads=1, pair=pair)


def _compare_all(_: Path, *, pair: Pair) -> Figures:
    warnings.simplefilter("ignore")
    images = _images(pair)
    points, size = _points(images["fixed"], images.get("fixed_mask"))

    def mapped(fixed: str, moving: str, unit: float = 1.0, noise: float = 0.0) -> Any:
        masks = (images.get(f"{name}_mask") for name in (fixed, moving))
        given = [images[fixed], _noisy(images[moving], noise), *masks]
        scaled = [None if image is None else _scaled(image, unit) for image in given]
        return align(*scaled[:2], fixed_mask=scaled[2], moving_mask=scaled[3]).transform

    def distance(one: Array, other: Array) -> float:
        return float(np.linalg.norm(one - other, axis=1).mean() / size)

    plain = transform_points(mapped("fixed", "moving"), points)
    units = [
        transform_points(mapped("fixed", "moving", unit), points * unit) / unit
        for unit in UNITS[1:]
    ]
    back = transform_points(mapped("moving", "fixed").GetInverseTransform(), points)
    itself, noisy = (
        transform_points(mapped("fixed", "fixed", noise=noise), points) for noise in (0.0, 0.1)
    )
    return {
        "unit": max(distance(plain, found) for found in units),
        "exchange": distance(plain, back),
        "itself": distance(points, itself),
        "noise": distance(points, noisy),
    }


def _problems(run: Run) -> dict[str, Problem]:
    folder = run.folder / "pairs"
    if run.quick:
        sections = list(section_pairs(run).values())
        return {"lung": Problem(pairs=[lung_pair(run)]), "section": Problem(pairs=sections)}
    brain = brain_pairs()["1002_1003"]
    chest = lung(3, size=(96, 80, 72), motion=12.0, seed=11).pair
    return {
        "lung, masks": Problem(pairs=[lung_pair(run)]),
        "brain": Problem(pairs=[{role: brain[role] for role in ("fixed", "moving")}]),
        "chest phantom": Problem(pairs=[without_masks(write_phantom(chest, folder / "chest"))]),
        "histology": Problem(pairs=list(section_pairs(run).values())),
        "hippocampus, to 45 degrees": Problem(
            pairs=list(hippocampus_pairs(run, 5, seed=0).values()), degrees=45.0
        ),
    }


def _images(pair: Pair) -> dict[str, Any]:
    """Return images of float and masks of unsigned char by name."""
    given = read_pair(pair).images
    kinds = {"fixed": np.float32, "moving": np.float32} | dict.fromkeys(
        ("fixed_mask", "moving_mask"), np.uint8
    )
    return {
        name: image_from_array(np.asarray(given[name]).astype(kind), ImageDomain.of(given[name]))
        for name, kind in kinds.items()
        if name in given
    }


def _points(image: Any, mask: Any) -> tuple[Array, float]:
    """Return points of a mask, or else of its image, and the size of a voxel."""
    domain = ImageDomain.of(image)
    inside = np.ones(domain.size[::-1], bool) if mask is None else np.asarray(mask) > 0
    points = domain.grid_points()[inside]
    return points[:: max(1, len(points) // 5000)], domain.voxel_size


def _random_motions(domain: ImageDomain, degrees: float, count: int) -> Iterator[Any]:
    """Yield rigid transforms about a center: any rotation up to an angle, half an extent."""
    rng = np.random.default_rng(0)
    dimension = domain.dimension
    axes = np.array(domain.direction)
    for _ in range(count):
        motion = itk.AffineTransform[itk.D, dimension].New()
        motion.SetCenter(domain.center.tolist())
        motion.SetMatrix(itk.matrix_from_array(_random_rotation(rng, dimension, degrees)))
        shift = axes @ (rng.uniform(-1, 1, dimension) * domain.half_extent)
        motion.SetTranslation(shift.tolist())
        yield motion


def _random_rotation(rng: np.random.Generator, dimension: int, degrees: float) -> Array:
    if dimension == 2:
        angle = np.radians(rng.uniform(-degrees, degrees))
        return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    rotation = itk.VersorTransform[itk.D].New()
    while True:
        quaternion = rng.normal(size=4)
        quaternion /= np.linalg.norm(quaternion)
        if 2 * np.degrees(np.arccos(abs(quaternion[3]))) <= degrees:
            break
    versor = itk.Versor[itk.D]()
    versor.Set(*quaternion.tolist())
    rotation.SetRotation(versor)
    return np.array(itk.array_from_matrix(rotation.GetMatrix()))


def _moved(image: Any, motion: Any) -> Any:
    """Return an image elsewhere in space, its voxels as they are."""
    domain = ImageDomain.of(image)
    rotation = itk.array_from_matrix(motion.GetMatrix())
    direction = rotation @ np.array(domain.direction)
    elsewhere = replace(
        domain,
        origin=tuple(motion.TransformPoint(list(domain.origin))),
        direction=tuple(tuple(row) for row in direction.tolist()),
    )
    return image_from_array(np.asarray(image), elsewhere)


def _scaled(image: Any, unit: float) -> Any:
    domain = ImageDomain.of(image)
    scaled = replace(
        domain,
        spacing=tuple(unit * x for x in domain.spacing),
        origin=tuple(unit * x for x in domain.origin),
    )
    return image_from_array(np.asarray(image), scaled)


def _noisy(image: Any, noise: float) -> Any:
    """Return an image with Gaussian noise, a share of the intensities' standard deviation."""
    values = np.asarray(image)
    drawn = np.random.default_rng(0).normal(size=values.shape) * noise * values.std()
    return image_from_array((values + drawn).astype(np.float32), ImageDomain.of(image))


def _processor_seconds() -> float:
    """Return the processor time of this process and of those that it waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


STUDY = Study(
    name="alignment",
    question="Are images aligned from anywhere, in any unit, in a second?",
    time="40 minutes, one core",
    measure=measure,
    table=table,
    holds=holds,
)
