"""The pairs of the studies, as files: real ones from beside the checkout, and phantoms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import itk
import numpy as np

from benchmarks.cache import ROOT
from benchmarks.study import Run
from itk_nephi.io import pair_files
from itk_nephi.io.pair_files import PairPaths, write_pair
from itk_nephi.phantoms.pairs import lung, triangles_and_circles
from itk_nephi.spatial.domain import Array, ImageDomain, image_from_array
from itk_nephi.spatial.image_pair import ImagePair

DATA = ROOT.parent / "shared" / "data"
"""Real images, which do not belong to the repository."""

OUTLIER = 20
"""The landmark of the lung pair that every good transform misses by more than 12 mm."""

SECTIONS = {"Rat-Kidney": ("HE", "PanCytokeratin"), "Izd2-29-041-w35": ("HE", "proSPC")}
"""Two pairs of sections, each pair with its stains, fixed and moving."""

SMALL = (32, 28, 24)
"""Voxels of a chest that stands for a real pair in a quick run."""

Pair = dict[str, Path]
"""Files by what they are, as the columns of a table of pairs are called."""


def lung_pair(run: Run) -> Pair:
    """Return the lung at two inspiration levels; in a quick run a small chest."""
    if run.quick:
        return write_phantom(lung(3, size=SMALL, seed=1).pair, run.folder / "pairs" / "lung")
    names = ("fixed", "moving", "fixed_mask", "moving_mask")
    pair = {name: DATA / "lung" / f"{name}.mha" for name in names}
    return pair | {"evaluation_landmarks": DATA / "lung" / "landmarks51.csv"}


def hippocampus_pairs(run: Run, count: int, seed: int) -> dict[str, Pair]:
    """Return random pairs of different subjects; in a quick run of two pairs of shapes."""
    if run.quick:
        return shape_pairs(run, 2)
    folder = DATA / "hippocampus"
    names = sorted(path.name for path in (folder / "images").glob("*.nii.gz"))
    drawn = np.random.default_rng(seed).permutation(len(names))[: 2 * count].reshape(count, 2)
    pairs = {}
    for fixed, moving in ((names[one], names[other]) for one, other in drawn):
        pairs[f"{fixed[12:15]}-{moving[12:15]}"] = {
            "fixed": folder / "images" / fixed,
            "moving": folder / "images" / moving,
            "fixed_labels": folder / "labels" / fixed,
            "moving_labels": folder / "labels" / moving,
        }
    return pairs


def shape_pairs(run: Run, count: int) -> dict[str, Pair]:
    """Return pairs of triangles and circles."""
    return {
        f"shapes-{seed}": write_phantom(
            triangles_and_circles(2, seed=seed), run.folder / "pairs" / f"shapes-{seed}"
        )
        for seed in range(count)
    }


def brain_pairs() -> dict[str, Pair]:
    """Return three pairs of brains of different subjects, with labels, and masks to judge in."""
    roles = ("fixed", "moving", "fixed_mask", "moving_mask", "fixed_labels", "moving_labels")
    return {
        folder.name: {role: folder / f"{role}.nii.gz" for role in roles}
        for folder in sorted((DATA / "brain").iterdir())
    }


def section_pairs(run: Run) -> dict[str, Pair]:
    """Return two pairs of differently stained sections; in a quick run a chest in 2D."""
    folder = run.folder / "pairs"
    if run.quick:
        return {"chest": write_phantom(lung(2, size=(48, 40)).pair, folder / "section")}
    return {name: write_sections(name, folder / name) for name in SECTIONS}


def write_sections(name: str, folder: Path) -> Pair:
    """Write two sections in gray, a pixel taken for a mm, and their landmarks."""
    folder.mkdir(parents=True, exist_ok=True)
    pair, points = {}, []
    for role, stain in zip(("fixed", "moving"), SECTIONS[name], strict=True):
        source = DATA / "histology" / f"{name}_{stain}.jpg"
        gray = np.asarray(itk.imread(source, itk.F))  # ITK weighs red, green and blue
        pixels = ImageDomain(gray.shape[::-1], (1.0, 1.0), (0.0, 0.0), ((1.0, 0.0), (0.0, 1.0)))
        pair[role] = folder / f"{role}.mha"
        itk.imwrite(image_from_array(gray, pixels), pair[role])
        points.append(np.loadtxt(source.with_suffix(".csv"), delimiter=",", skiprows=1)[:, 1:])
    count = min(map(len, points))
    pair["evaluation_landmarks"] = folder / "landmarks.csv"
    pair_files.write_landmarks(pair["evaluation_landmarks"], *(p[:count] for p in points))
    return pair


def without_masks(pair: Pair) -> Pair:
    """Return a pair without its masks."""
    return {name: path for name, path in pair.items() if not name.endswith("mask")}


def write_phantom(phantom: ImagePair, folder: Path) -> Pair:
    """Write a phantom's images, masks of images with a background, labels and landmarks."""
    whole: dict[str, Any] = {
        name: None
        for name in ("fixed_mask", "moving_mask")
        if np.asarray(phantom.images[name]).all()
    }
    return write_pair(replace(phantom, **whole), folder, ".mha").files


def read_landmarks(pair: Pair) -> tuple[Array, Array]:
    """Read a pair's fixed and moving landmarks, shape (N, D), mm."""
    landmarks = read_pair(pair).evaluation_landmarks
    if landmarks is None:
        raise ValueError(f"expected a pair with evaluation_landmarks, got {', '.join(pair)}")
    return landmarks


def read_pair(pair: Pair, initial_transform: str = "affine") -> ImagePair:
    """Read a pair's files, to be registered from a kind of initial transform."""
    files: dict[str, Any] = dict(pair)
    return pair_files.read_pair(PairPaths(**files, initial_transform=initial_transform))
