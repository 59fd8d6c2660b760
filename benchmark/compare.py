"""Hold NePhi against other programs with `itk-nephi compare`, on a lung and on five phantoms.

    python benchmark/compare.py -o OUT [--quick] [--readme]

The lung pair is that of ../shared/data, with its masks. The phantoms are five breathing chests of
other shapes, seeds and motions, three in 3D and two in 2D, without masks: elastix makes masks
smaller by default, and then finds too few samples in those of images as coarse as these. elastix
also runs directly, without this package: its landmark errors are found by transformix. ``--readme``
writes the tables, and docs/comparison.png. What is in OUT is not made again.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import itk
import numpy as np
from instance import write_landmarks
from tables import picture_to_docs, table, write_to_readme
from trials import LUNG, LUNG_PAIR, say

from itk_nephi.phantoms.pairs import lung
from itk_nephi.visualization.plots import draw_methods
from itk_nephi.workflows.comparison_table import metric

SHOWN = {
    "landmark error, mean mm": "landmark error, mm",
    "landmark error, 95th percentile mm": "its p95",
    "Dice, mean": "Dice",
    "folding": "folding",
    "SD of log Jacobian": "SD of log Jacobian",
    "inverse consistency error, mean mm": "inverse consistency, mm",
    "time s": "s",
    "memory MiB": "MiB",
}
"""Of the metrics, what the README calls them."""
PHANTOMS = (
    {"dimension": 3, "size": (96, 80, 72), "motion": 12.0, "seed": 11},
    {"dimension": 3, "size": (112, 96, 64), "motion": 20.0, "seed": 12},
    {"dimension": 3, "size": (80, 88, 96), "motion": 16.0, "noise": 60.0, "seed": 13},
    {"dimension": 2, "size": (208, 160), "motion": 24.0, "seed": 14},
    {"dimension": 2, "size": (144, 144), "motion": 20.0, "noise": 60.0, "seed": 15},
)
COMPARED = "nephi,elastix,demons,ants"
"""What `pip install 'itk-nephi[compare]'` brings, and what needs nothing else."""


def write_phantoms(folder: Path, *, quick: bool) -> Path:
    """Write the phantoms' files, and return the table that names them."""
    images = ["fixed", "moving", "fixed_labels", "moving_labels"]
    columns = ["name", *images, "evaluation_landmarks"]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "pairs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for number, how in enumerate(PHANTOMS[: 1 if quick else None]):
            phantom = lung(**(how | {"size": (32, 28, 24)} if quick else how)).pair
            row = {"name": f"chest-{number}", "evaluation_landmarks": f"{number}-landmarks.csv"}
            for name in images:
                row[name] = f"{number}-{name}.mha"
                itk.imwrite(phantom.images[name], folder / row[name], compression=True)
            both = np.concatenate(phantom.evaluation_landmarks, axis=1)
            write_landmarks(folder / row["evaluation_landmarks"], both)
            writer.writerow(row)
    return folder / "pairs.csv"


def compared(folder: Path, *options: Any) -> dict[str, Any]:
    """Run `itk-nephi compare` and return comparison.json; made before, only return it."""
    found = folder / "comparison.json"
    if not found.exists():
        say(f"{folder.name} ...")
        command = ["-c", "from itk_nephi.cli import main; main()", "compare", "-o", folder]
        command += ["--methods", COMPARED]
        subprocess.run([sys.executable, *map(str, [*command, *options])], check=True)
    return dict(json.loads(found.read_text()))


def direct_elastix(folder: Path) -> None:
    """Register the lung with nothing but itk-elastix, and print the mean landmark error, mm."""
    images = {
        name: itk.imread(path, itk.UC if "mask" in name else itk.F)
        for name, path in LUNG_PAIR.items()
        if name != "evaluation_landmarks"
    }
    landmarks = np.loadtxt(LUNG_PAIR["evaluation_landmarks"], delimiter=",", skiprows=1)
    points = folder / "points.txt"
    lines = [" ".join(map(repr, point)) for point in landmarks[:, :3].tolist()]
    points.write_text("\n".join(["point", str(len(lines)), *lines]))
    start = None
    for kind in ("affine", "bspline"):
        parameters = itk.ParameterObject.New()
        values = parameters.GetDefaultParameterMap(kind, 4)
        values["RequiredRatioOfValidSamples"] = ["0.05"]
        values["AutomaticTransformInitialization"] = ["true" if kind == "affine" else "false"]
        values["WriteResultImage"] = ["false"]
        parameters.AddParameterMap(values)
        method = itk.ElastixRegistrationMethod.New(images["fixed"], images["moving"])
        method.SetParameterObject(parameters)
        if kind == "bspline":
            method.SetFixedMask(images["fixed_mask"])
            method.SetMovingMask(images["moving_mask"])
            method.SetInitialTransformParameterObject(start)
        method.UpdateLargestPossibleRegion()
        start = method.GetTransformParameterObject()
    transformix = itk.TransformixFilter.New(images["moving"])
    transformix.SetTransformParameterObject(start)  # both transforms, one after the other
    transformix.SetFixedPointSetFileName(str(points))
    transformix.SetOutputDirectory(str(folder))
    transformix.UpdateLargestPossibleRegion()
    texts = (folder / "outputpoints.txt").read_text().split("OutputPoint = [")[1:]
    moved = np.array([text.split("]")[0].split() for text in texts], dtype=float)
    sys.stdout.write(f"{np.linalg.norm(moved - landmarks[:, 3:], axis=1).mean():.6f}\n")


def row_of(row: dict[str, Any], names: list[str]) -> list[str]:
    """Return a method's metrics as text."""
    if row["error"]:
        return [row["name"], row["error"], *[""] * (len(names) - 1)]
    values = [metric(row, name) for name in names]
    return [row["name"], *("-" if value is None else f"{value:.3g}" for value in values)]


def table_of_lung(found: dict[str, Any]) -> str:
    """Return the metrics of each method on the lung."""
    names = [name for name in SHOWN if any(metric(row, name) for row in found["methods"])]
    names = [name for name in SHOWN if name in names or name == "folding"]
    header = ["method", *(SHOWN[name] for name in names)]
    return table(header, [row_of(row, names) for row in found["methods"]])


def table_of_phantoms(found: dict[str, Any]) -> str:
    """Return the mean metrics of each method, and how much its errors differ from NePhi's."""
    error = "landmark error, mean mm"
    beyond = {
        entry["other"]: f"{-entry['mean']:+.2f} ({-entry['high']:+.2f} to {-entry['low']:+.2f})"
        for entry in found["differences"]
        if entry["metric"] == error and entry["method"] == "nephi"
    }
    rows = []
    for method in (row["name"] for row in found["pairs"][0]["methods"]):
        done = [
            row
            for pair in found["pairs"]
            for row in pair["methods"]
            if row["name"] == method and not row["error"]
        ]
        cells = [method, f"{len(done)} of {len(found['pairs'])}"]
        for name in SHOWN:
            known = [value for row in done if (value := metric(row, name)) is not None]
            cells.append(f"{np.mean(known):.3g}" if known else "-")
        rows.append([*cells, beyond.get(method, "")])
    return table(["method", "done", *SHOWN.values(), "error beyond NePhi's, mm (95 %)"], rows)


def main() -> None:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="one small phantom, no lung")
    parser.add_argument("--readme", action="store_true", help="write the tables into the README")
    parser.add_argument("--direct", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    output = arguments.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    if arguments.direct:
        direct_elastix(output)
        return
    pairs = write_phantoms(output / "phantom-files", quick=arguments.quick)
    phantoms = compared(output / "phantoms", "--table", pairs)
    texts = {"phantoms": table_of_phantoms(phantoms)}
    if not arguments.quick:
        masks = ["--fixed-mask", LUNG / "fixed_mask.mha", "--moving-mask", LUNG / "moving_mask.mha"]
        images = [LUNG / "fixed.mha", LUNG / "moving.mha"]
        landmarks = ["--evaluation-landmarks", LUNG_PAIR["evaluation_landmarks"]]
        found = compared(output / "lung", *images, *masks, *landmarks)
        command = [sys.executable, __file__, "-o", str(output), "--direct"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        (row,) = (row for row in found["methods"] if row["name"] == "elastix")
        ours = row["landmark_error_mm"]["mean"]
        texts["lung"] = (
            "![Landmark errors and times of the methods on the lung pair](docs/comparison.png)\n\n"
            f"{table_of_lung(found)}\n\nelastix without this package, its points moved by "
            f"transformix: {done.stdout.split()[-1]} mm; by `compare`: {ours:.6f} mm."
        )
        draw_methods(found["methods"]).savefig(output / "comparison.png", dpi=120)
    for name, text in texts.items():
        sys.stdout.write(f"{name}\n\n{text}\n\n")
        if arguments.readme and not arguments.quick:
            write_to_readme(f"compare {name}", text)
    if arguments.readme and not arguments.quick:
        picture_to_docs(output / "comparison.png")


if __name__ == "__main__":
    main()
