"""The torch backend of the transform beside its compiled field, and under ITK's filters."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from benchmarks.cache import Figures
from benchmarks.gpu.device import Device
from benchmarks.performance.transform import cube, operations, random_deformation, resample
from itk_nephi.fields.deformation import transform_from_deformation
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import ImageDomain, image_from_array

LARGEST_MM = 1e-4
"""By how much the backends may differ."""

NETWORKS = {
    "preset default": RegistrationSettings.preset("default").field,
    "at points": FieldSettings(),
    "paper": FieldSettings.paper(),
}


def measure(device: Device) -> Iterator[Figures]:
    """Yield the rates of each network, points a second, and where their time goes."""
    domain, rate = cube(256 if device.is_gpu else 8), device.rate()
    image = image_from_array(np.random.default_rng(0).random(domain.size, np.float32), domain)
    identity = itk.IdentityTransform[itk.D, 3].New()
    in_itk = device.best(lambda: resample(image, identity), 2) / np.prod(domain.size)
    for name, settings in NETWORKS.items():
        row, filtered = _rates(device, settings, image)
        yield (
            {"network": name}
            | row
            | {
                "share of the fp32 rate": round(operations(settings) / filtered / rate, 4),
                "us a point": round(1e6 * filtered, 5),
                "of it ITK": round(1e6 * in_itk, 5),
            }
        )


def write_and_read(device: Device) -> Iterator[Figures]:
    """Yield whether an image and a transform come back from files as they were."""
    domain = cube(64 if device.is_gpu else 12)
    image = image_from_array(np.random.default_rng(0).random(domain.size, np.float32), domain)
    transform = transform_from_deformation(random_deformation(FieldSettings(), domain))
    points = domain.grid_points().reshape(-1, 3)[::7]
    with TemporaryDirectory() as folder:
        for suffix in (".nii.gz", ".nrrd", ".mha"):
            path = f"{folder}/image{suffix}"
            itk.imwrite(image, path, compression=True)
            same = np.array_equal(itk.asarray(itk.imread(path)), itk.asarray(image))
            yield {"file": suffix, "holds": same}
        for suffix in (".h5", ".tfm"):
            path = f"{folder}/transform{suffix}"
            itk.transformwrite(transform, path)
            (found,) = itk.transformread(path)
            found.SetBackend("torch", device.name)
            expected = transform.TransformPoints(points)
            difference = float(np.abs(found.TransformPoints(points) - expected).max())
            yield {
                "file": suffix,
                "difference, mm": difference,
                "holds": difference <= LARGEST_MM,
            }


def _rates(device: Device, settings: FieldSettings, image: Any) -> tuple[Figures, float]:
    """Return a network's rates, and the seconds that a point takes in the resample filter."""
    domain = ImageDomain.of(image)
    sizes = (2**14, 2**16, 2**18, 2**20) if device.is_gpu else (2**10, 2**12)
    together = 2**18 if device.is_gpu else 2**12
    relative = np.random.default_rng(1).uniform(-1, 1, (sizes[-1], 3))
    points = domain.points_from_coords(relative * domain.bounds)
    made = random_deformation(settings, domain)
    transform = transform_from_deformation(made)
    compiled = transform.TransformPoints(points[: sizes[0]])
    transform.SetBackend("torch", device.name)
    difference = float(np.abs(transform.TransformPoints(points[: sizes[0]]) - compiled).max())
    found: Figures = {"difference, mm": difference, "holds": difference <= LARGEST_MM}
    for count in sizes:
        seconds = device.best(partial(transform.TransformPoints, points[:count]))
        found[f"million/s, TransformPoints of {count}"] = round(1e-6 * count / seconds, 3)
    filtered = device.best(lambda: resample(image, transform), 2) / float(np.prod(domain.size))
    made.to(torch.device(device.name))
    coords = torch.rand(together, 3, device=device.name)
    with torch.no_grad(), device.computing():
        kernels = device.best(lambda: made.field(coords, made.code)) / together
    return found | {
        "million/s, resample filter": round(1e-6 / filtered, 3),
        "copies, us": round(1e6 * _copy_seconds(device, together) / together, 5),
        "kernels, us": round(1e6 * kernels, 5),
    }, filtered


def _copy_seconds(device: Device, count: int) -> float:
    """Return how long points take to a device, as coords twice, and their displacements back."""
    coords, position = torch.rand(count, 3, dtype=torch.float64), torch.rand(count, 3)
    there = torch.rand(count, 3, dtype=torch.float64, device=device.name)

    def copy() -> None:
        coords.to(device.name, copy=True)
        position.to(device.name, copy=True)
        there.to("cpu", copy=True)

    return device.best(copy)
