from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from itk_nephi.fields.compiled import torch_alone
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.registration.memory_plan import MIB, Allocations, planned_chunk
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.spatial.domain import ImageDomain, image_from_array
from itk_nephi.spatial.image_pair import ImagePair

CPU = torch.device("cpu")
SETTINGS = RegistrationSettings(
    field=FieldSettings(width=32, frequencies=16), points=100_000, regularizer_points=200
)


def blank(*size: int) -> Any:
    """Return an image whose memory is never touched."""
    identity = tuple(tuple(row) for row in np.eye(len(size)).tolist())
    domain = ImageDomain(size, (1.0,) * len(size), (0.0,) * len(size), identity)
    return image_from_array(np.zeros(size[::-1], np.float32), domain)


def chunk(limit: float | None, image: Any, times: int = 1, **changes: Any) -> int | None:
    settings = replace(SETTINGS, memory_limit=limit, **changes)
    return planned_chunk([ImagePair(fixed=(image,), moving=(image,))] * times, settings, CPU)


@pytest.mark.parametrize("size", [(300, 200), (40, 30, 20)])
def test_more_memory_takes_more_points_together_up_to_all(size: tuple[int, ...]) -> None:
    image = blank(*size)
    with torch_alone():  # the compiled fields keep so little that all points fit
        chunks = [chunk(limit, image) for limit in (150, 250, 1e5)]
    assert 256 <= chunks[0] < chunks[1] < SETTINGS.points
    assert chunks[2] is None


def test_too_little_memory_is_refused_with_numbers() -> None:
    image = blank(100, 100, 100)
    message = r"memory_limit of at least (\d+) MiB for images of 1000000 voxels and 1000 points, "
    with pytest.raises(ValueError, match=message + r"got 20: making .* takes \d+ MiB") as error:
        chunk(20, image, points=1000)
    least = int(str(error.value).split("at least ")[1].split()[0])
    chunk(least + 1, image, points=1000)
    # two images and three channels of each, 4 bytes a voxel
    assert least > 8 * 4 * 1e6 / MIB


def least(image: Any, **options: Any) -> int:
    """Return the least memory_limit, MiB."""
    with pytest.raises(ValueError, match="memory_limit") as error:
        chunk(1, image, points=500, **options)
    return int(str(error.value).split("at least ")[1].split()[0])


def test_fewer_channels_need_less() -> None:
    image = blank(64, 64, 64)
    ncc, local, mind = (least(image, similarity=n) for n in ("ncc", "local_ncc", "mind_ssc"))
    assert ncc < local < mind


def test_the_images_of_every_time_are_kept() -> None:
    image = blank(64, 64, 64)
    needed = [least(image, times=times) for times in (1, 2, 3)]
    # two images and three channels of each, 4 bytes a voxel, and a code
    each = 8 * 4 * 64**3 / MIB
    assert each <= needed[2] - needed[1] < 1.5 * each
    assert needed[2] - needed[1] == pytest.approx(needed[1] - needed[0], abs=1)


def test_splines_are_counted() -> None:
    image = blank(64, 64, 64)
    fine = replace(SETTINGS.field, spline_spacings=(1.0,))
    without, with_splines = least(image), least(image, field=fine)
    # numbers, their moments, where the level began, and gradients, 4 bytes each
    numbers = 2 * 3 * 66**3
    assert 5 * 4 * numbers <= with_splines * MIB < without * MIB + 9 * 4 * numbers


def test_a_device_s_tensors_are_counted_while_they_live() -> None:
    with Allocations(CPU) as allocations:
        values = torch.zeros(1000, requires_grad=True)
        total = (values.sin() * values).sum()
        held = allocations.now
        total.backward()
        del total
    # values and gradient; before, also what the backward pass needs, of 4000 bytes each
    assert allocations.now == 8000
    assert 8000 <= held <= 16100
    assert allocations.peak >= 16000
