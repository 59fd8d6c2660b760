"""Register a pair of 512 x 512 x 300 voxels, and see how large its report is and how long it took.

    python benchmark/report.py -o OUT [--quick] [--readme]

The pair is a chest drawn by the phantom, resampled, with noise as a CT has it, which pictures
cannot compress away; it is registered by `itk-nephi register` with masks, landmarks and labels.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import itk
import numpy as np
from instance import write_landmarks
from tables import table, write_to_readme
from trials import subfolder

from itk_nephi.phantoms.pairs import lung
from itk_nephi.spatial.domain import ImageDomain, image_like

SIZE = (512, 512, 300)
NOISE = 30.0
"""Standard deviation, HU."""


def write_pair(size: tuple[int, int, int], folder: Path) -> list[str]:
    """Write images, masks, labels and landmarks; return the command line's options for them."""
    folder.mkdir(parents=True, exist_ok=True)
    phantom = lung(3).pair
    generator = np.random.default_rng(0)
    options = [str(folder / "fixed.mha"), str(folder / "moving.mha")]
    for role in ("fixed", "moving"):
        domain = ImageDomain.of(phantom.images[role])
        for name in (role, f"{role}_mask", f"{role}_labels"):
            image = phantom.images[name]
            interpolator = itk.LinearInterpolateImageFunction
            if name != role:
                interpolator = itk.NearestNeighborInterpolateImageFunction
            fine = itk.resample_image_filter(
                image,
                interpolator=interpolator.New(image),
                size=size,
                output_spacing=(2 * domain.half_extent / (np.array(size) - 1)).tolist(),
                output_origin=domain.origin,
                output_direction=image.GetDirection(),
            )
            if name == role:
                values = np.asarray(fine, np.float32)
                values = values + generator.normal(0, NOISE, values.shape).astype(np.float32)
                fine = image_like(fine, values.astype(np.int16))
            itk.imwrite(fine, folder / f"{name}.mha")
        options += [f"--{role}-mask", str(folder / f"{role}_mask.mha")]
    both = np.concatenate(phantom.evaluation_landmarks, axis=1)
    options += ["--evaluation-landmarks", str(write_landmarks(folder / "landmarks.csv", both))]
    labels = [str(folder / f"{role}_labels.mha") for role in ("fixed", "moving")]
    return [*options, "--labels", *labels]


def main() -> None:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="small images")
    parser.add_argument("--readme", action="store_true", help="write the table into the README")
    arguments = parser.parse_args()
    output = subfolder(arguments) / "report"
    size = (64, 60, 50) if arguments.quick else SIZE
    options = write_pair(size, output / "files")
    command = ["-c", "from itk_nephi.cli import main; main()", "register", "--preset", "fast"]
    result = output / "result"
    subprocess.run([sys.executable, *command, *options, "-o", str(result)], check=True)
    metrics = json.loads((result / "metrics.json").read_text())
    row = [" x ".join(map(str, size)), f"{(result / 'report.html').stat().st_size / 1e6:.1f}"]
    row += [f"{metrics['seconds'][stage]:.0f}" for stage in ("report", "register", "total")]
    header = ["voxels", "report.html, MB", "s to write it", "s to register", "s in all"]
    text = table([*header, "MiB"], [[*row, f"{metrics['peak_memory_mib']:.0f}"]])
    sys.stdout.write(text + "\n")
    if arguments.readme and not arguments.quick:
        write_to_readme("report", text)


if __name__ == "__main__":
    main()
