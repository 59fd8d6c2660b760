"""How much memory a registration needs, found beforehand on a miniature of it."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from itk_nephi.fields.deformation import Deformation
from itk_nephi.fields.sampled_image import SampledTransform
from itk_nephi.losses.similarity import weighted
from itk_nephi.registration.instance_optimization import differentiate
from itk_nephi.registration.sampler import PairSampler
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.spatial.domain import ImageDomain, image_from_array

MIB = 2**20

EDGE = {2: 192, 3: 32}
"""Voxels of the miniature along each axis, by dimension."""

POINTS = 256
"""By how many points the miniature's steps differ, and the fewest that are evaluated together."""


def planned_chunk(
    settings: RegistrationSettings,
    fixed: Sequence[Any],
    moving: Sequence[Any],
    fixed_mask: Any,
    moving_mask: Any,
    device: torch.device,
) -> int | None:
    """Plan how many points are evaluated together, so that ``settings.memory_limit`` is kept.

    A miniature of the pair is prepared, and a few small steps are taken, while all tensors are
    counted. What is needed for the images is in proportion to their voxels; what a step needs on
    top is in proportion to its points.

    Parameters
    ----------
    settings : RegistrationSettings
        How to register.
    fixed, moving : sequence of itk.Image
        The images of each subject.
    fixed_mask, moving_mask : itk.Image or None
        The masks.
    device : torch.device
        Where to register.

    Returns
    -------
    int or None
        How many points; None where all of them, or any number, fit.

    Raises
    ------
    ValueError
        If even the fewest points do not fit.
    """
    if settings.memory_limit is None:
        return None
    domains = [ImageDomain.of(images[0]) for images in (fixed, moving)]
    voxels = max(math.prod(domain.size) for domain in domains)
    edge = EDGE[domains[0].dimension]
    small = ImageDomain(
        size=(edge,) * domains[0].dimension,
        spacing=(1.0,) * domains[0].dimension,
        origin=(0.0,) * domains[0].dimension,
        direction=tuple(tuple(row) for row in np.eye(domains[0].dimension).tolist()),
    )
    noise = np.random.default_rng(0).random(small.size, dtype=np.float32)
    image = image_from_array(noise, small)
    generator = torch.Generator().manual_seed(0)
    deformation = Deformation.identity(small, settings.field, generator)
    deformation.to(device)
    similarity = settings.compared(small.voxel_size)
    with Allocations(device) as allocations:
        pair = PairSampler(
            fixed=[image] * len(fixed),
            moving=[image] * len(moving),
            fixed_mask=_like(fixed_mask, small),
            moving_mask=_like(moving_mask, small),
            initial_transform=SampledTransform(np.eye(small.dimension), np.zeros(small.dimension)),
            device=device,
            channel_weights=(1.0,) * len(fixed),
        )
        pair.sample(POINTS, settings.importance_sampling, generator)
        images = pair.channels(settings.smoothing_sigmas[0], similarity.channels)
        scale = voxels / noise.size
        making, held = scale * allocations.peak, scale * allocations.now

        def step(points: int, regularizer_points: int, chunk: int | None) -> float:
            """Return the most bytes that a step on the miniature takes at a time."""
            few = replace(settings, points=points, regularizer_points=regularizer_points)
            for parameter in deformation.parameters():
                parameter.grad = None
            before = allocations.peak = allocations.now
            compare = weighted(similarity.dissimilarity, pair.channel_weights)
            differentiate(deformation, pair, images, compare, few, generator, chunk)
            return float(allocations.peak - before)

        step(POINTS, POINTS, None)
        base = step(2 * POINTS, POINTS, None)
        together = (step(3 * POINTS, POINTS, None) - base) / POINTS
        # many, as the little that is kept of each hides beside the regularizer
        kept = [step(n * POINTS, POINTS, 4 * POINTS) for n in (17, 33)]
        apart = max(kept[1] - kept[0], 0.0) / (16 * POINTS)
        regularizer = (step(3 * POINTS, 2 * POINTS, None) - base) / POINTS

    parameters = sum(parameter.numel() for parameter in deformation.parameters())
    # beside the parameters Adam's two moments, and where the level began
    constant = base - POINTS * (together + regularizer) + 4 * 4 * parameters
    many = settings.points - settings.regularizer_points
    fewest = constant + settings.regularizer_points * regularizer + many * apart
    chunk = (settings.memory_limit * MIB - held - fewest) / max(together - apart, 1.0)
    fewest += min(many, POINTS) * (together - apart)
    needed = max(making, held + fewest)
    if needed > settings.memory_limit * MIB:
        raise ValueError(
            f"expected memory_limit of at least {math.ceil(needed / MIB)} MiB for images of "
            f"{voxels} voxels and {settings.points} points, got {settings.memory_limit:g}: making "
            f"the channels takes {math.ceil(making / MIB)} MiB, keeping them "
            f"{math.ceil(held / MIB)} MiB, and a step {math.ceil(fewest / MIB)} MiB"
        )
    return None if chunk >= many else int(chunk)


def _like(mask: Any, domain: ImageDomain) -> Any:
    """Return a mask on the miniature's grid of about the same share of the voxels, if any."""
    if mask is None:
        return None
    share = np.count_nonzero(np.asarray(mask)) / np.asarray(mask).size
    values = np.zeros(domain.size[::-1], np.float32)
    values.reshape(-1)[: math.ceil(share * values.size)] = 1
    return image_from_array(values, domain)


class Allocations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of a device's tensors that are alive and were seen under it.

    Parameters
    ----------
    device : torch.device
        The device.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._device = device
        self._alive = weakref.WeakKeyDictionary[Any, int]()
        self.now = self.peak = 0

    def __torch_dispatch__(
        self, function: Any, _types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        result = function(*arguments, **(options or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor) and value.device.type == self._device.type:
                self._see(value.untyped_storage())
        return result

    def _see(self, storage: torch.UntypedStorage) -> None:
        if storage in self._alive:
            return
        size = storage.nbytes()
        self._alive[storage] = size
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, size)

    def _forget(self, size: int) -> None:
        self.now -= size
