"""NePhi and elastix on two pairs of differently stained sections."""

from __future__ import annotations

from pathlib import Path

import itk
import numpy as np

from benchmarks.cache import Figures
from benchmarks.methods import elastix, errors_mm, nephi, run_methods
from benchmarks.pairs import DATA, Pair, write_phantom
from benchmarks.study import Run, Study, tabulate
from itk_nephi.io.pair_files import write_landmarks
from itk_nephi.phantoms.pairs import lung
from itk_nephi.spatial.domain import ImageDomain, image_from_array

SECTIONS = {"Rat-Kidney": ("HE", "PanCytokeratin"), "Izd2-29-041-w35": ("HE", "proSPC")}

METHODS = {
    "elastix": elastix(),
    "elastix, grid of 40": elastix(grid_spacing=40),
    "NePhi default": nephi(),
    "NePhi mind_ssc": nephi(similarity="mind_ssc"),
    "NePhi mutual_information": nephi(similarity="mutual_information"),
}


def measure(run: Run) -> Figures:
    """Run the methods on the sections in gray, a pixel taken for a mm."""
    folder = run.folder / "pairs"
    if run.quick:
        pairs = {"chest": write_phantom(lung(2, size=(48, 40)).pair, folder / "section")}
    else:
        pairs = {name: write_sections(name, folder / name) for name in SECTIONS}
    return {"trials": run_methods(run, METHODS, pairs)}


def table(figures: Figures) -> str:
    """Return errors in pixels, folding and time."""
    rows = []
    for trial in figures["trials"]:
        rows.append([trial["pair"], trial["method"]])
        if "error" in trial:
            rows[-1] += ["failed", *"----"]
            continue
        errors = errors_mm(trial, outlier=True)
        values = [errors.mean(), np.median(errors), np.percentile(errors, 95)]
        rows[-1] += [f"{value:.2f}" for value in values]
        rows[-1] += [f"{trial['folding_fraction']:.2g}", f"{trial['seconds']:.1f}"]
    return tabulate(
        ["sections", "method", "mean px", "median px", "p95 px", "folding fraction", "s"], rows
    )


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
    write_landmarks(pair["evaluation_landmarks"], *(p[:count] for p in points))
    return pair


STUDY = Study(
    name="histology",
    question="Can it register differently stained sections?",
    time="3 minutes, one core",
    measure=measure,
    table=table,
)
