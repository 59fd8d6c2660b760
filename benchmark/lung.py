"""Register the lung pair of ../shared/data with the command's defaults, and check what it leaves.

    python benchmark/lung.py -o OUT

With both masks, with both masks again, and without masks. Prints a table, then whether a process
that imports only itk finds the same landmarks and the same warped image, and whether both runs with
masks have the same parameters to the bit.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

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


def run(folder: Path, *, masks: bool) -> dict[str, float]:
    """Register with the command line; return the figures that the table shows."""
    options = ["--landmarks", LUNG / "landmarks51.csv", "-o", folder]
    if masks:
        options += ["--fixed-mask", LUNG / "fixed_mask.mha"]
        options += ["--moving-mask", LUNG / "moving_mask.mha"]
    command = ["-c", "from itk_nephi.cli import main; main()", "register"]
    images = [LUNG / "fixed.mha", LUNG / "moving.mha"]
    subprocess.run([sys.executable, *command, *images, *options], check=True)
    metrics = json.loads((folder / "metrics.json").read_text())
    errors, consistency = metrics["landmark_error_mm"], metrics["inverse_consistency_error_mm"]
    return {
        "mean mm": errors["after"]["mean"],
        "median mm": errors["after"]["median"],
        "p95 mm": errors["after"]["p95"],
        "folding": metrics["folding_fraction"],
        "there and back mm": consistency["mean"],
        "its p95 mm": consistency["p95"],
        "seconds": metrics["seconds"]["total"],
        "MiB": metrics["peak_memory_mib"],
    }


def read_back(folder: Path) -> list[str]:
    """Read the transform in a process that imports only itk; return what it prints."""
    command = [sys.executable, "-c", READ_BACK, str(folder), str(LUNG)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def main() -> None:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    output = parser.parse_args().output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    rows = {
        name: run(output / name, masks=name != "no-masks")
        for name in ("masks", "masks-again", "no-masks")
    }
    lines = ["| run | " + " | ".join(rows["masks"]) + " |", "| --- " * 9 + "|"]
    lines += [
        f"| {name} | " + " | ".join(f"{value:.4g}" for value in row.values()) + " |"
        for name, row in rows.items()
    ]
    digests = {}
    for name, row in rows.items():
        mean, without_outlier, same, digests[name], ours = read_back(output / name)
        lines.append(
            f"{name}: read with only itk, mean {float(mean):.12f} mm against "
            f"{row['mean mm']:.12f} mm; without the outlier {float(without_outlier):.3f} mm; "
            f"the same warped image: {same}; itk_nephi imported: {ours}"
        )
    lines.append(f"same bits twice: {digests['masks'] == digests['masks-again']}")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
