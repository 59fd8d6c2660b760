"""Register the lung pair of ../shared/data with the command's defaults, and check what it leaves.

    python benchmark/lung.py -o OUT [--readme]

With both masks, with both masks again, without masks, and with both masks where axes are stored in
another order and direction and space is turned by 20 degrees. Prints a table, then whether a
process that imports only itk finds the same landmarks and the same warped image, whether both runs
with masks have the same parameters to the bit, how far the map of the turned pair is from theirs,
and the inverse consistency error, by the inverse field and by the exact inverse.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import itk
import numpy as np
from tables import table, write_to_readme

from itk_nephi.spatial.domain import ImageDomain, image_from_array
from itk_nephi.spatial.inversion import invert_points
from itk_nephi.spatial.transforms import transform_points

LUNG = Path(__file__).resolve().parents[2] / "shared" / "data" / "lung"

READ_BACK = """
import sys, itk, numpy as np
folder, lung = sys.argv[1:]
transform = itk.transformread(folder + "/fixed_to_moving.h5")[0]
rows = np.loadtxt(lung + "/landmarks51.csv", delimiter=",", skiprows=1)
errors = [np.linalg.norm(np.array(transform.TransformPoint(r[:3].tolist())) - r[3:]) for r in rows]
moving, fixed = (itk.imread(f"{lung}/{name}.mha") for name in ("moving", "fixed"))
warped = itk.resample_image_filter(
    moving, transform=transform, use_reference_image=True, reference_image=fixed)
written = itk.imread(folder + "/warped.nii.gz")
same = np.array_equal(np.asarray(warped), np.asarray(written))
field = itk.down_cast(transform.GetNthTransform(1))
digest = __import__("hashlib").sha256(np.array(field.GetParameters()).tobytes()).hexdigest()
print(repr(float(np.mean(errors))), repr(float(np.mean(np.delete(errors, 20)))), same, digest,
      "itk_nephi" in sys.modules)
"""


def rotation() -> np.ndarray:
    """Return the matrix of a rotation by 20 degrees about an oblique axis."""
    turn = itk.VersorTransform[itk.D].New()
    turn.SetRotation([1.0, 2.0, -1.5], np.deg2rad(20))
    return itk.array_from_matrix(turn.GetMatrix())


def write_turned(lung: Path, folder: Path) -> None:
    """Write a pair anew: axes in another order and direction, space turned by the rotation."""
    folder.mkdir(parents=True, exist_ok=True)
    axes = itk.SpatialOrientationEnums.ValidCoordinateOrientations_ITK_COORDINATE_ORIENTATION_ASR
    for name in ("fixed.mha", "moving.mha", "fixed_mask.mha", "moving_mask.mha"):
        stored = itk.orient_image_filter(
            itk.imread(lung / name), use_image_direction=True, desired_coordinate_orientation=axes
        )
        domain = ImageDomain.of(stored).turned(rotation())
        itk.imwrite(image_from_array(itk.array_view_from_image(stored), domain), folder / name)
    header = (lung / "landmarks51.csv").read_text().splitlines()[0]
    rows = np.loadtxt(lung / "landmarks51.csv", delimiter=",", skiprows=1)
    turned = (rows.reshape(-1, 3) @ rotation().T).reshape(rows.shape)
    np.savetxt(folder / "landmarks51.csv", turned, delimiter=",", header=header, comments="")


def largest_difference(plain: Path, turned: Path, mask: Path) -> float:
    """Return by how much two maps of fixed points differ on a grid inside the mask, at most, mm."""
    image = itk.imread(mask)
    inside = np.asarray(image)[::4, ::4, ::4] != 0
    points = ImageDomain.of(image).grid_points()[::4, ::4, ::4][inside]
    transforms = [itk.transformread(folder / "fixed_to_moving.h5")[0] for folder in (plain, turned)]
    expected = transform_points(transforms[0], points)
    found = transform_points(transforms[1], points @ rotation().T) @ rotation()
    return float(np.linalg.norm(found - expected, axis=1).max())


def round_trips(folder: Path, mask: Path) -> str:
    """Say by how much points inside the mask come back to another place."""
    there, back = (
        itk.transformread(folder / f"{name}.h5")[0]
        for name in ("fixed_to_moving", "moving_to_fixed")
    )
    image = itk.imread(mask)
    voxels = np.flatnonzero(np.asarray(image))
    chosen = np.random.default_rng(0).choice(voxels, 20_000, replace=False)
    points = ImageDomain.of(image).voxel_points(chosen)
    moved = transform_points(there, points)
    exact = invert_points(there, moved, guess=back)
    errors = {"inverse field": transform_points(back, moved), "exact inverse": exact.points}
    parts = [
        f"{name} {np.quantile(np.linalg.norm(found - points, axis=1), 0.95):.2g} mm"
        for name, found in errors.items()
    ]
    return (
        f"inverse consistency error, 95th percentile: {', '.join(parts)}; "
        f"{np.count_nonzero(~exact.converged)} of {len(points)} points did not converge"
    )


def run(lung: Path, folder: Path, *, masks: bool) -> dict[str, float]:
    """Register with the command line; return the figures that the table shows."""
    options = ["--evaluation-landmarks", lung / "landmarks51.csv", "-o", folder]
    if masks:
        options += ["--fixed-mask", lung / "fixed_mask.mha"]
        options += ["--moving-mask", lung / "moving_mask.mha"]
    command = ["-c", "from itk_nephi.cli import main; main()", "register"]
    images = [lung / "fixed.mha", lung / "moving.mha"]
    subprocess.run([sys.executable, *command, *images, *options], check=True)
    metrics = json.loads((folder / "metrics.json").read_text())
    errors, consistency = metrics["landmark_error_mm"], metrics["inverse_consistency_error_mm"]
    return {
        "mean mm": errors["after"]["mean"],
        "median mm": errors["after"]["median"],
        "p95 mm": errors["after"]["p95"],
        "folding": metrics["folding_fraction"],
        "inverse consistency mm": consistency["mean"],
        "its p95 mm": consistency["p95"],
        "seconds": metrics["seconds"]["total"],
        "MiB": metrics["peak_memory_mib"],
    }


def read_back(lung: Path, folder: Path) -> list[str]:
    """Read the transform in a process that imports only itk; return what it prints."""
    command = [sys.executable, "-c", READ_BACK, str(folder), str(lung)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def main() -> None:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--readme", action="store_true", help="write the table into the README")
    arguments = parser.parse_args()
    output = arguments.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    write_turned(LUNG, output / "turned-input")
    pairs = dict.fromkeys(("masks", "masks-again", "no-masks"), LUNG)
    pairs["turned"] = output / "turned-input"
    rows = {
        name: run(lung, output / name, masks=name != "no-masks") for name, lung in pairs.items()
    }
    table_of_runs = table(
        ["run", *rows["masks"]],
        [[name, *(f"{value:.4g}" for value in row.values())] for name, row in rows.items()],
    )
    lines = [table_of_runs]
    digests = {}
    for name, row in rows.items():
        mean, without_outlier, same, digests[name], ours = read_back(pairs[name], output / name)
        lines.append(
            f"{name}: read with only itk, mean {float(mean):.12f} mm against "
            f"{row['mean mm']:.12f} mm; without the outlier {float(without_outlier):.3f} mm; "
            f"the same warped image: {same}; itk_nephi imported: {ours}"
        )
    lines.append(f"same bits twice: {digests['masks'] == digests['masks-again']}")
    difference = largest_difference(output / "masks", output / "turned", LUNG / "fixed_mask.mha")
    lines.append(f"largest difference of the map of the turned pair: {difference:.6f} mm")
    lines.append(round_trips(output / "masks", LUNG / "fixed_mask.mha"))
    sys.stdout.write("\n".join(lines) + "\n")
    if arguments.readme:
        write_to_readme("lung", table_of_runs)


if __name__ == "__main__":
    main()
