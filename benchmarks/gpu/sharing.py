"""A GPU that threads and streams share, and one whose memory does not suffice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from benchmarks.cache import Figures
from benchmarks.gpu.device import Device
from benchmarks.gpu.registration import LARGEST_VOXELS, settings_of
from benchmarks.performance.transform import cube, random_deformation, resample
from itk_nephi.fields.deformation import transform_from_deformation
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.phantoms.pairs import deformed_shape
from itk_nephi.registration.pairwise import register
from itk_nephi.registration.result import Progress
from itk_nephi.spatial.domain import Array, ImageDomain, image_from_array
from itk_nephi.spatial.transforms import transform_points

SENTENCE = r"expected .+ of free GPU memory, got .+: use smaller working_voxels, .+ cpu"


def measure(device: Device) -> Iterator[Figures]:
    """Yield by how much results differ where two threads compute at a time."""
    side = 64 if device.is_gpu else 20
    pair = deformed_shape(3, size=side, motion=2, seed=1).pair
    points = ImageDomain.of(pair.fixed_image).grid_points().reshape(-1, 3)[::97]
    settings = settings_of(device, "fast")

    def registered(own_stream: bool) -> Array:
        stream = device.stream() if own_stream else nullcontext()
        with stream, device.computing():
            found = register(
                pair.fixed,
                pair.moving,
                initial_transform=None,
                settings=settings,
                device=device.name,
            )
        return transform_points(found.fixed_to_moving, points)

    alone = registered(own_stream=False)
    for what, own_stream in (("two threads", False), ("two streams", True)):
        with ThreadPoolExecutor(2) as threads:
            both = list(threads.map(registered, [own_stream] * 2))
        worst = max(float(np.sqrt(np.square(each - alone).sum(axis=1).mean())) for each in both)
        yield {
            "what": f"registrations in {what}",
            "difference, voxels": round(worst, 5),
            "holds": worst <= LARGEST_VOXELS,
        }
    yield _filters_in_two_threads(device)


def _filters_in_two_threads(device: Device) -> Figures:
    domain = cube(128 if device.is_gpu else 16)
    image = image_from_array(np.random.default_rng(0).random(domain.size, np.float32), domain)
    transform = transform_from_deformation(random_deformation(FieldSettings(), domain))
    expected = np.array(resample(image, transform))
    transform.SetBackend("torch", device.name)
    with ThreadPoolExecutor(2) as threads:
        both = list(threads.map(lambda _: np.array(resample(image, transform)), range(2)))
    worst = max(float(np.abs(each - expected).max()) for each in both)
    return {
        "what": "filters with the torch backend in two threads",
        "difference of intensities in [0, 1]": round(worst, 6),
        "holds": worst <= 1e-3,
    }


def run_out_of_memory(device: Device) -> Iterator[Figures]:
    """Yield the error where memory does not suffice, and whether it suffices again afterwards."""
    pair = deformed_shape(3, size=96 if device.is_gpu else 20, motion=2, seed=1).pair
    options: Any = {
        "initial_transform": None,
        "settings": settings_of(device, "default"),
        "device": device.name,
    }
    message = "nothing"
    if device.is_gpu:
        torch.cuda.set_per_process_memory_fraction(0.001)
    try:
        register(pair.fixed, pair.moving, callback=_none_left(device), **options)
    except MemoryError as error:
        message = str(error)
    if device.is_gpu:
        torch.cuda.set_per_process_memory_fraction(1.0)
    with device.computing():
        again = register(pair.fixed, pair.moving, **options)
    yield {
        "message": message,
        "steps afterwards": len(again.history),
        "holds": re.fullmatch(SENTENCE, message) is not None,
    }


def _none_left(device: Device) -> Any:
    """Return what stands for a full GPU in a dry run."""

    def fail(_: Progress) -> None:
        raise torch.cuda.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 1.00 GiB free."
        )

    return None if device.is_gpu else fail
