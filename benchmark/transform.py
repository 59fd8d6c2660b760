"""Measure how fast ``itk.NePhiTransform`` is under ITK's filters, beside its peers.

    python benchmark/transform.py [--readme] [--device cuda]

For the default and the published network, with random weights that move points by some millimeters:
points a second of ``itk.resample_image_filter``, in ratio to torch's own batched evaluation of the
same network, to the filter with a B-spline transform and with the identity, and to the arithmetic
peak of the processor (the rate of torch's matrix product); time of single points; and time and
memory against the size of the image. Each figure is the best of several runs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import itk
import numpy as np
import torch
from tables import table, write_to_readme

from itk_nephi.fields.deformation import Deformation, transform_from_deformation
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.spatial.conversion import to_bspline_transform
from itk_nephi.spatial.domain import ImageDomain, image_from_array

NETWORKS = {"default": FieldSettings(), "paper": FieldSettings.paper()}
SIDE = 175
SIDES = (64, 96, 128, 175, 256, 350)
AT_ONCE = 2**16
RUNS = 3


def cube(side: int) -> ImageDomain:
    """Return the grid of a cubic image, 1 mm voxels, turned and away from the origin."""
    c, s = np.cos(0.3), np.sin(0.3)
    direction = ((c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0))
    return ImageDomain((side,) * 3, (1.0,) * 3, (-20.0, 35.0, 10.0), direction)


def deformation(settings: FieldSettings, domain: ImageDomain) -> Deformation:
    """Return a random deformation by about two millimeters."""
    generator = torch.Generator().manual_seed(0)
    made = Deformation.identity(domain, settings, generator)
    with torch.no_grad():
        for field in (made.field, made.inverse_field):
            field.output.weight.normal_(std=0.02 * settings.width**-0.5, generator=generator)
    return made


def operations(settings: FieldSettings) -> int:
    """Return the floating-point operations of a point: two for each weight of its matrices."""
    width, embedded, layers = settings.width, 2 * settings.frequencies, 2 * settings.depth
    sources = settings.local_channels + embedded
    return 2 * (width * (embedded + sources) + layers * width**2 + 3 * width)


def best(function: Callable[[], object], runs: int = RUNS) -> float:
    """Return the seconds of the fastest run."""
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def resample(image: Any, transform: Any) -> Any:
    """Resample an image onto its own grid with ITK's filter."""
    return itk.resample_image_filter(
        image, transform=transform, use_reference_image=True, reference_image=image
    )


def peak() -> float:
    """Return the rate of torch's matrix product in single precision, operations a second."""
    left, right = torch.rand(2048, 2048), torch.rand(2048, 2048)
    return 2 * 2048**3 / best(lambda: left @ right, 5)


def torch_rate(made: Deformation) -> float:
    """Return the points a second of torch's own evaluation in batches."""
    domain = made.domain
    relative = torch.rand(AT_ONCE, 3) * 2 - 1
    coords = relative * torch.tensor(domain.bounds, dtype=torch.float32)
    with torch.no_grad():
        return AT_ONCE / best(lambda: made.field(coords, made.code), 5)


def single_microseconds(transform: Any, domain: ImageDomain) -> float:
    """Return the time of one point that nothing predicts, without that of the call from Python."""
    relative = np.random.default_rng(0).uniform(-1, 1, (2000, 3))
    points = domain.points_from_coords(relative * domain.bounds).tolist()
    identity = itk.IdentityTransform[itk.D, 3].New()

    def all_points(mapping: Any) -> None:
        for point in points:
            mapping.TransformPoint(point)

    return (best(lambda: all_points(transform)) - best(lambda: all_points(identity))) / 2e-3


def measure(
    name: str, image: Any, device: str | None, identity: float, largest: float
) -> list[str]:
    """Return a network's row; ``identity`` in seconds, ``largest`` in operations a second."""
    settings = NETWORKS[name]
    domain, count = cube(SIDE), SIDE**3
    made = deformation(settings, domain)
    transform = transform_from_deformation(made)
    compiled = count / best(lambda: resample(image, transform))
    arrays = domain.grid_points().reshape(-1, 3)[: 4 * AT_ONCE]
    at_once = len(arrays) / best(lambda: transform.TransformPoints(arrays))
    by_torch = torch_rate(made)
    small = image_from_array(np.asarray(image)[::4, ::4, ::4].copy(), _coarser(domain, 4))
    spline, error = to_bspline_transform(transform, small, tolerance=0.1)
    by_spline = count / best(lambda: resample(image, spline), 1)
    transform.SetBackend("torch", device or "cpu")
    through_torch = count / best(lambda: resample(image, transform))
    difference = np.abs(transform.TransformPoints(arrays) - _compiled(transform, arrays)).max()
    return [
        name,
        f"{compiled / 1e3:,.0f}",
        f"{compiled / by_torch:.2f}",
        f"{compiled / by_spline:.2f} ({error:.1g} mm)",
        f"{compiled * identity / count:.3f}",
        f"{100 * compiled * operations(settings) / largest:.0f} %",
        f"{at_once / 1e3:,.0f}",
        f"{single_microseconds(_reset(transform), domain):.1f}",
        f"{through_torch / 1e3:,.0f}",
        f"{difference:.0e}",
    ]


def speed(device: str | None) -> str:
    """Return the table of speeds."""
    domain = cube(SIDE)
    values = np.random.default_rng(0).random((SIDE,) * 3, np.float32)
    image = image_from_array(values, domain)
    identity = best(lambda: resample(image, itk.IdentityTransform[itk.D, 3].New()))
    largest = peak()
    rows = [measure(name, image, device, identity, largest) for name in NETWORKS]
    header = [
        "network",
        "thousand points/s, resample filter",
        "ratio to torch in batches",
        "ratio to a B-spline (its largest error)",
        "ratio to the identity",
        "share of peak",
        "thousand points/s, TransformPoints",
        "us, a single point",
        f"thousand points/s, filter with torch backend ({device or 'cpu'})",
        "largest difference of backends, mm",
    ]
    note = f"{SIDE}^3 voxels, {torch.get_num_threads()} threads, peak {largest / 1e9:.0f} GFLOP/s"
    return f"{note}\n\n{table(header, rows)}"


def _coarser(domain: ImageDomain, step: int) -> ImageDomain:
    size = tuple(-(-n // step) for n in domain.size)
    spacing = tuple(step * h for h in domain.spacing)
    return ImageDomain(size, spacing, domain.origin, domain.direction)


def _reset(transform: Any) -> Any:
    transform.SetBackend("cpu")
    return transform


def _compiled(transform: Any, points: Any) -> Any:
    return transform.Clone().TransformPoints(points)


def measure_size(side: int) -> None:
    """Print seconds, and memory beyond images and network in MiB, of one filter run."""
    domain = cube(side)
    transform = transform_from_deformation(deformation(NETWORKS["default"], domain))
    image = image_from_array(np.zeros((side,) * 3, np.float32), domain)
    resample(image_from_array(np.zeros((8,) * 3, np.float32), cube(8)), transform)
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak begins anew
    before = _resident_mib("VmRSS")
    seconds = best(lambda: resample(image, transform), 1)
    output = 4 * side**3 / 2**20
    sys.stdout.write(f"{seconds} {_resident_mib('VmHWM') - before - output}")


def _resident_mib(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 2**10


def sizes() -> str:
    """Return the table of sizes, each measured in a process of its own."""
    rows = []
    for side in SIDES:
        command = [sys.executable, __file__, "--measure-size", str(side)]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds, memory = map(float, printed.split())
        rows.append(
            [f"{side}^3", f"{seconds:.2f}", f"{1e6 * seconds / side**3:.2f}", f"{round(memory)}"]
        )
    header = ["image", "seconds", "us a point", "MiB beyond the output"]
    return table(header, rows)


def main() -> None:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--readme", action="store_true", help="write the tables into the README")
    parser.add_argument("--device", help="of the torch backend")
    parser.add_argument("--measure-size", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure_size:
        measure_size(arguments.measure_size)
        return
    text = f"{speed(arguments.device)}\n\n{sizes()}"
    sys.stdout.write(text + "\n")
    if arguments.readme:
        write_to_readme("speed of the transform", text)


if __name__ == "__main__":
    main()
