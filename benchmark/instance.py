"""Compare instance optimization with elastix: errors, overlap, folding, time and memory.

    python benchmark/instance.py {lung,similarities,phantoms,hippocampus,histology} ... -o OUT
        [--quick] [--readme]

Each registration runs in a process of its own, the methods by turns, and is timed from images in
memory to a transform. elastix has its default
parameter maps, affine then B-spline; its affine registration starts with the grids' centers brought
together and has no masks. A trial that is in OUT is not made again.

lung
    The pair of ../shared/data, with masks five times with other seeds (the slow preset twice),
    without masks twice. Its landmarks are whole voxels in the fixed image, and half voxels and
    whole slices in the moving one: the last rows say what that alone costs a perfect map.
similarities
    The same pair with each similarity; the last two also after the moving image's intensities were
    inverted and squared.
phantoms
    The breathing chest with a motion of 30 mm, with masks and without: of masks of images as coarse
    as these elastix, which makes them smaller by default, leaves too little. And ten pairs of
    triangles and circles.
hippocampus
    Fifty pairs of different subjects. NePhi starts with the grids' centers brought together.
histology
    Two pairs of differently stained sections, converted to gray. A pixel is taken for a mm.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import itk
import numpy as np
from tables import table
from trials import (
    DATA,
    LUNG,
    LUNG_PAIR,
    OUTLIER,
    Pair,
    chosen,
    elastix,
    failures,
    mean_interval,
    nephi,
    results_of,
    run_parts,
    spread,
)

from itk_nephi.io.pair_files import landmark_columns
from itk_nephi.phantoms.pairs import lung, triangles_and_circles
from itk_nephi.spatial.domain import ImageDomain, image_from_array, image_like
from itk_nephi.spatial.image_pair import ImagePair

PRESETS = ("fast", "default", "accurate")


def lung_row(trials: list[dict[str, Any]]) -> list[str]:
    """Return the columns of ``LUNG_HEADER``."""
    errors = [np.array(f["landmark_errors"]) for f in trials]
    return [
        spread([np.delete(e, OUTLIER).mean() for e in errors]),
        spread([e.mean() for e in errors]),
        spread([np.median(e) for e in errors]),
        spread([np.percentile(e, 95) for e in errors]),
        f"{max((f['folding_fine'] for f in trials), default=np.nan):.2g}",
        spread([f["log_jacobian_sd"] for f in trials]),
        spread([f["seconds"] for f in trials], 1),
        spread([f["memory_mib"] for f in trials], 0),
    ]


LUNG_HEADER = [
    "mean mm, without the outlier",
    "mean mm, all 51",
    "median mm",
    "p95 mm",
    "largest share of folds, grid twice as fine",
    "SD of log Jacobian",
    "s",
    "MiB beyond images and libraries",
]


def grid_steps(points: Any, domain: ImageDomain) -> Any:
    """Return the steps of the grid, mm, on which landmarks of an image were marked, per axis.

    A voxel, or the largest half, quarter ... of one whose multiples they all are.
    """
    index = domain.index_from_points(points)
    parts = np.ones(domain.dimension)
    for axis in range(domain.dimension):
        while np.abs(index[:, axis] * parts[axis] % 1 - 0.5).min() < 0.49:
            parts[axis] *= 2
    return np.array(domain.spacing) / parts


def rounding_rows() -> list[list[str]]:
    """Return what a perfect map would reach, as its landmarks are rounded to these grids."""
    both = np.loadtxt(LUNG_PAIR["evaluation_landmarks"], delimiter=",", skiprows=1)
    generator = np.random.default_rng(0)
    moving, fixed = (
        grid_steps(points, ImageDomain.of(itk.imread(LUNG_PAIR[name])))
        * (generator.random((100_000, 3)) - 0.5)
        for name, points in (("moving", both[:, 3:]), ("fixed", both[:, :3]))
    )
    rows = []
    for name, shifts in (("moving", moving), ("all", moving + fixed)):
        errors = np.linalg.norm(shifts, axis=1)
        figures = [errors.mean(), np.median(errors), np.percentile(errors, 95)]
        mean, *others = (f"{figure:.3f}" for figure in figures)
        rows.append([f"a perfect map, {name} landmarks rounded", mean, "-", *others, *"----"])
    return rows


def run_lung(folder: Path, quick: bool) -> str:
    """Return the table of the lung pair with and without masks."""
    methods = {"elastix": elastix()} | {f"NePhi {name}": nephi(name) for name in PRESETS[:2]}
    without = {name: path for name, path in LUNG_PAIR.items() if "mask" not in name}
    without["judged_in"] = LUNG / "fixed_mask.mha"
    slow = {f"NePhi {name}": nephi(name) for name in PRESETS[2:]}
    rows = []
    for name, pair, asked, seeds in (
        ("masks", LUNG_PAIR, methods, 5),
        ("masks", LUNG_PAIR, slow, 2),
        ("no-masks", without, methods, 2),
    ):
        results = results_of(folder, asked, {name: pair}, 1 if quick else seeds, quick=quick)
        rows += [[f"{m}, {name}", *lung_row(chosen(results, m))] for m in asked]
    return table(["method", *LUNG_HEADER], rows + rounding_rows())


def run_similarities(folder: Path, quick: bool) -> str:
    """Return the table of the similarities on the lung pair."""
    moving = itk.imread(LUNG / "moving.mha", itk.F)
    values = np.asarray(moving)
    inverted = ((values.max() - values) / np.ptp(values)) ** 2
    folder.mkdir(parents=True, exist_ok=True)
    itk.imwrite(image_like(moving, inverted.astype(np.float32)), folder / "inverted.mha")
    other = LUNG_PAIR | {"moving": folder / "inverted.mha"}
    kinds = ("local_ncc", "ncc", "mean_squares", "mind_ssc", "mutual_information")
    rows = []
    for name, pair, similarities in (
        ("plain", LUNG_PAIR, kinds[:1] if quick else kinds),
        ("inverted", other, kinds[-1:] if quick else kinds[-2:]),
    ):
        methods = {kind: nephi(similarity=kind) for kind in similarities}
        results = results_of(folder, methods, {name: pair}, 1, quick=quick)
        rows += [[m, name, *lung_row(chosen(results, m))] for m in methods]
    return table(["similarity", "moving image", *LUNG_HEADER], rows)


def written(pair: ImagePair, folder: Path) -> Pair:
    """Write a phantom's files."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ["fixed", "moving", "fixed_labels", "moving_labels"]
    if pair.evaluation_landmarks is not None:
        names += ["fixed_mask", "moving_mask"]
    paths = {name: folder / f"{name}.mha" for name in names}
    for name, path in paths.items():
        itk.imwrite(pair.images[name], path)
    if pair.evaluation_landmarks is not None:
        both = np.concatenate(pair.evaluation_landmarks, axis=1)
        paths["evaluation_landmarks"] = write_landmarks(folder / "landmarks.csv", both)
    return paths


def write_landmarks(path: Path, both: Any) -> Path:
    """Write landmark pairs, shape (N, 2 D), mm."""
    header = ",".join(landmark_columns(both.shape[1] // 2))
    np.savetxt(path, both, delimiter=",", fmt="%.6f", header=header, comments="")
    return path


def run_phantoms(folder: Path, quick: bool) -> str:
    """Return the table of the phantoms."""
    methods = {"elastix": elastix(), "NePhi default": nephi("default")}
    size = (48, 40, 36) if quick else None
    masked = written(lung(3, size=size, motion=30).pair, folder / "chest-files")
    bare = {name: path for name, path in masked.items() if "mask" not in name}
    bare["judged_in"] = masked["fixed_mask"]
    shapes = {
        f"shapes {seed}": written(triangles_and_circles(2, seed=seed), folder / f"shapes-{seed}")
        for seed in range(1 if quick else 10)
    }
    rows = []
    for name, pairs in (
        ("chest, 30 mm, masks", {"masks": masked}),
        ("chest, 30 mm, no masks", {"no-masks": bare}),
        ("triangles and circles", shapes),
    ):
        results = results_of(folder, methods, pairs, 1, quick=quick)
        for method in methods:
            trials = chosen(results, method)
            errors = [
                float(np.mean(f["landmark_errors"])) for f in trials if "landmark_errors" in f
            ]
            overlaps = [float(np.mean(list(f["dice"].values()))) for f in trials]
            folds = max((f["folding_fine"] for f in trials), default=None)
            seconds = spread([f["seconds"] for f in trials], 1)
            share = "-" if folds is None else f"{folds:.2g}"
            rows.append([name, method, spread(errors), spread(overlaps), share, seconds])
            rows[-1].append(failures(results, method))
    header = ["phantom", "method", "landmark error mm", "Dice", "largest share of folds", "s"]
    return table([*header, "failed"], rows)


def run_hippocampus(folder: Path, quick: bool) -> str:
    """Return the table of fifty pairs of subjects."""
    methods = {"elastix": elastix()} | {
        f"NePhi {name}": nephi(name, initial_transform="geometry") for name in PRESETS[:2]
    }
    paths = sorted((DATA / "hippocampus" / "images").glob("*.nii.gz"))
    order = np.random.default_rng(0).permutation(len(paths))[:100].reshape(50, 2)
    pairs = {}
    for fixed, moving in ((paths[one], paths[other]) for one, other in order[: 2 if quick else 50]):
        labels = DATA / "hippocampus" / "labels"
        pairs[f"{fixed.name[12:15]}-{moving.name[12:15]}"] = {
            "fixed": fixed,
            "moving": moving,
            "fixed_labels": labels / fixed.name,
            "moving_labels": labels / moving.name,
        }
    results = results_of(folder, methods, pairs, 1, quick=quick)
    rows = []
    for method in methods:
        trials = chosen(results, method)
        row = [method, *(spread([f["dice"][label] for f in trials]) for label in "12")]
        both = [
            name for name in pairs if all(chosen(results, m, name) for m in ("elastix", method))
        ]
        for figure in (lambda f: np.mean(list(f["dice"].values())), lambda f: f["seconds"]):
            mine, other = (
                np.array([figure(chosen(results, m, name)[0]) for name in both])
                for m in (method, "elastix")
            )
            row.append(f"{mine.mean():.3f}" if both else "-")
            row.append("-" if method == "elastix" or not both else mean_interval(mine - other))
        folds = [f["folding_fine"] for f in trials]
        rows.append([*row, spread(folds, 5), failures(results, method)])
    header = ["method", "Dice anterior", "Dice posterior", "mean Dice", "gain (95 % interval)"]
    header += ["mean s", "difference, s (95 % interval)", "share of folds", "failed"]
    return table(header, rows)


def run_histology(folder: Path, quick: bool) -> str:
    """Return the table of the stained sections."""
    stains = {
        "Rat-Kidney": ("HE", "PanCytokeratin"),
        "Izd2-29-041-w35": ("HE", "proSPC"),
    }
    pairs = {}
    for name, kinds in stains.items():
        inputs = folder / f"{name}-files"
        inputs.mkdir(parents=True, exist_ok=True)
        pair, points = {}, []
        for role, kind in zip(("fixed", "moving"), kinds, strict=True):
            source = DATA / "histology" / f"{name}_{kind}.jpg"
            gray = np.asarray(itk.imread(source, itk.F))  # ITK weighs red, green and blue
            pixels = ImageDomain(gray.shape[::-1], (1.0, 1.0), (0.0, 0.0), ((1.0, 0.0), (0.0, 1.0)))
            pair[role] = inputs / f"{role}.mha"
            itk.imwrite(image_from_array(gray, pixels), pair[role])
            points.append(np.loadtxt(source.with_suffix(".csv"), delimiter=",", skiprows=1)[:, 1:])
        count = min(map(len, points))
        both = np.concatenate([p[:count] for p in points], axis=1)
        pairs[name] = pair | {
            "evaluation_landmarks": write_landmarks(inputs / "landmarks.csv", both)
        }
    methods = {
        "elastix": elastix(),
        "elastix, grid of 40": elastix(grid_spacing=40),
        "NePhi default": nephi("default"),
        "NePhi mind_ssc": nephi("default", similarity="mind_ssc"),
        "NePhi mutual_information": nephi("default", similarity="mutual_information"),
    }
    pairs = dict(list(pairs.items())[:1]) if quick else pairs
    results = results_of(folder, methods, pairs, 1, quick=quick)
    rows = []
    for name, method in product(pairs, methods):
        figures = results[method, name, 0]
        if "error" in figures:
            rows.append([name, method, "failed", *"----"])
            continue
        errors = np.array(figures["landmark_errors"])
        values = [errors.mean(), np.median(errors), np.percentile(errors, 95)]
        rows.append([name, method, *(f"{v:.2f}" for v in values)])
        rows[-1] += [f"{figures['folding_fine']:.2g}", f"{figures['seconds']:.1f}"]
    return table(["sections", "method", "mean px", "median px", "p95 px", "folds", "s"], rows)


PARTS: dict[str, Callable[[Path, bool], str]] = {
    "lung": run_lung,
    "similarities": run_similarities,
    "phantoms": run_phantoms,
    "hippocampus": run_hippocampus,
    "histology": run_histology,
}


if __name__ == "__main__":
    run_parts(PARTS, __doc__.splitlines()[0], mark="instance {}")
