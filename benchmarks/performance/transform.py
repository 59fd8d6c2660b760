"""How fast ``itk.NePhiTransform`` is under ITK's filters, beside its peers."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.cache import Figures
from benchmarks.process import begin_peak, call_in_process, peak_memory
from benchmarks.study import Run, Study, tabulate
from itk_nephi.fields.deformation import Deformation, transform_from_deformation
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.io.transforms import write_transform
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.conversion import to_bspline_transform
from itk_nephi.spatial.domain import ImageDomain, image_from_array
from itk_nephi.spatial.transforms import transform_points

NETWORKS = {
    "default": RegistrationSettings.preset("default").field,
    "fast": RegistrationSettings.preset("fast").field,
    "at random points": RegistrationSettings().field,
    "paper": FieldSettings.paper(),
}
"""What is measured: fields of the presets, with B-splines and without, and that of the paper."""

SIDE = 175

SIDES = (64, 96, 128, 175, 256, 350)

AT_ONCE = 2**16

RUNS = 3


def measure(run: Run) -> Figures:
    """Measure the networks on one image, and the default on images of all sizes."""
    side, sides = (24, (16, 24)) if run.quick else (SIDE, SIDES)
    return {
        "speed": run.trial(f"speed, {side}", measure_speed, side=side),
        "sizes": [run.trial(f"size {n}", measure_size_apart, side=n) for n in sides],
    }


def table(figures: Figures) -> str:
    """Return the speed in ratio to that of peers, and time and memory by size."""
    speed = figures["speed"]
    rows = []
    for name, found in speed["networks"].items():
        rate = found["filter"]
        rows.append(
            [
                name,
                f"{rate / 1e3:,.0f}",
                f"{rate / found['torch']:.2f}",
                f"{rate / found['spline']:.2f} ({found['spline_error_mm']:.1g} mm)",
                f"{rate / speed['identity']:.3f}",
                f"{100 * rate * found['operations'] / speed['peak']:.0f} %",
                f"{found['points'] / 1e3:,.0f}",
                f"{found['single_us']:.1f}",
                f"{found['torch_backend'] / 1e3:,.0f}",
                f"{found['difference_mm']:.0e}",
                f"{found['bytes'] / 1e6:.1f}",
            ]
        )
    header = [
        "field",
        "thousand points/s, resample filter",
        "ratio to torch in batches",
        "ratio to a B-spline (its largest error)",
        "ratio to the identity",
        "share of peak",
        "thousand points/s, TransformPoints",
        "us, a single point",
        "thousand points/s, filter with torch backend (cpu)",
        "largest difference of backends, mm",
        ".h5 file, MB",
    ]
    sizes = [
        [
            f"{found['side']}^3",
            f"{found['seconds']:.2f}",
            f"{1e6 * found['seconds'] / found['side'] ** 3:.2f}",
            f"{round(found['peak_memory']['mib'] - 4 * found['side'] ** 3 / 2**20)}",
        ]
        for found in figures["sizes"]
    ]
    note = f"{speed['side']}^3 voxels, {speed['threads']} threads, peak {speed['peak'] / 1e9:.0f}"
    return "\n\n".join(
        [
            f"{note} GFLOP/s",
            tabulate(header, rows),
            tabulate(["image", "seconds", "us a point", "MiB beyond the output"], sizes),
        ]
    )


def measure_speed(folder: Path, *, side: int) -> Figures:
    """Return rates in points a second, of the networks and of what they are compared with.

    The networks have random weights that move points by some millimeters; the peak is the rate of
    torch's matrix product, operations a second.
    """
    domain = cube(side)
    image = image_from_array(np.random.default_rng(0).random((side,) * 3, np.float32), domain)
    identity = side**3 / best(lambda: resample(image, itk.IdentityTransform[itk.D, 3].New()))
    left, right = torch.rand(2048, 2048), torch.rand(2048, 2048)
    return {
        "side": side,
        "threads": torch.get_num_threads(),
        "identity": identity,
        "peak": 2 * 2048**3 / best(lambda: left @ right, 5),
        "networks": {
            name: measure_network(settings, image, folder) for name, settings in NETWORKS.items()
        },
    }


def measure_network(settings: FieldSettings, image: Any, folder: Path) -> Figures:
    """Return a network's rates, points a second, those of its peers, and the size of its file."""
    domain = ImageDomain.of(image)
    count = int(np.prod(domain.size))
    made = random_deformation(settings, domain)
    transform = transform_from_deformation(made)
    found: Figures = {"operations": operations(settings)}
    found["filter"] = count / best(lambda: resample(image, transform))
    points = domain.grid_points().reshape(-1, 3)[: 4 * AT_ONCE]
    found["points"] = len(points) / best(lambda: transform.TransformPoints(points))
    found["single_us"] = single_microseconds(transform, domain)
    found["torch"] = torch_rate(made)
    small = image_from_array(np.asarray(image)[::4, ::4, ::4].copy(), coarser(domain, 4))
    spline, _ = to_bspline_transform(transform, small, tolerance=0.1)
    found["spline"] = count / best(lambda: resample(image, spline), 1)
    compiled = transform.TransformPoints(points)
    errors = np.linalg.norm(transform_points(spline, points) - compiled, axis=1)
    found["spline_error_mm"] = float(errors.max())
    transform.SetBackend("torch", "cpu")
    found["torch_backend"] = count / best(lambda: resample(image, transform))
    path = folder / "transform.h5"
    write_transform(transform, path)
    found["bytes"] = path.stat().st_size
    found["difference_mm"] = float(np.abs(transform.TransformPoints(points) - compiled).max())
    return found


def measure_size_apart(folder: Path, *, side: int) -> Figures:
    """Run :func:`measure_size` in a process of its own."""
    return call_in_process(measure_size, folder, side=side)


def measure_size(_folder: Path, *, side: int) -> Figures:
    """Return the seconds of one filter run, and its memory beyond input image and network."""
    domain = cube(side)
    transform = transform_from_deformation(random_deformation(NETWORKS["default"], domain))
    image = image_from_array(np.zeros((side,) * 3, np.float32), domain)
    resample(image_from_array(np.zeros((8,) * 3, np.float32), cube(8)), transform)
    baseline = begin_peak()
    seconds = best(lambda: resample(image, transform), 1)
    return {"side": side, "seconds": seconds, "peak_memory": peak_memory(baseline)}


def cube(side: int) -> ImageDomain:
    """Return the grid of a cubic image, 1 mm voxels, turned and away from the origin."""
    c, s = np.cos(0.3), np.sin(0.3)
    direction = ((c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0))
    return ImageDomain((side,) * 3, (1.0,) * 3, (-20.0, 35.0, 10.0), direction)


def coarser(domain: ImageDomain, step: int) -> ImageDomain:
    """Return every so many voxels of a grid along each axis."""
    size = tuple(-(-n // step) for n in domain.size)
    spacing = tuple(step * h for h in domain.spacing)
    return ImageDomain(size, spacing, domain.origin, domain.direction)


def random_deformation(settings: FieldSettings, domain: ImageDomain) -> Deformation:
    """Return a random deformation by about two millimeters."""
    generator = torch.Generator().manual_seed(0)
    made = Deformation.identity(domain, settings, generator)
    with torch.no_grad():
        for field in (made.field, made.inverse_field):
            field.output.weight.normal_(std=0.02 * settings.width**-0.5, generator=generator)
        for splines in made.code.splines:
            for spline in splines:
                spline.normal_(std=0.04 / len(spline), generator=generator)
    return made


def operations(settings: FieldSettings) -> int:
    """Return the floating-point operations of a network at a point: two for each weight."""
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


def torch_rate(made: Deformation) -> float:
    """Return the points a second of torch's own evaluation in batches."""
    relative = torch.rand(AT_ONCE, 3) * 2 - 1
    coords = relative * torch.tensor(made.domain.bounds, dtype=torch.float32)
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


STUDY = Study(
    name="transform",
    question="How fast is the transform under ITK's filters, beside its peers?",
    time="5 minutes, two cores",
    measure=measure,
    table=table,
)
