"""The memory that a registration needs, measured beforehand on a miniature of it."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from itk_nephi.fields.deformation import Deformation
from itk_nephi.fields.sampled_image import SampledTransform
from itk_nephi.fields.settings import spline_numbers
from itk_nephi.registration.pair_objective import PairObjective
from itk_nephi.registration.sampler import PairSampler
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import ImageDomain, image_from_array
from itk_nephi.spatial.image_pair import ImagePair

MIB = 2**20

EDGE = {2: 192, 3: 32}
"""Voxels of the miniature along each axis, by dimension."""

POINTS = 256
"""By how many points the miniature's steps differ, and the fewest that are evaluated together."""

SPLINE_BYTES = 4 * (4 + 3)
"""Of each number in the B-splines: itself, Adam's two moments, where the level began, and at most
three gradients at a time."""


def planned_chunk(
    pairs: Sequence[ImagePair], settings: RegistrationSettings, device: torch.device
) -> int | None:
    """Plan how many points are evaluated together, so that ``settings.memory_limit`` is kept.

    A miniature of a pair is prepared, and a few small steps are taken, while all tensors are
    counted. What is needed for the images is in proportion to their voxels, and to the pairs; what
    a step needs on top is in proportion to its points. The numbers in B-splines are counted.

    Parameters
    ----------
    pairs : sequence of ImagePair
        What is registered together, on its working grids.
    settings : RegistrationSettings
        How to register.
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
    limit = settings.memory_limit * MIB
    images = [image for pair in pairs for image in (pair.fixed_image, pair.moving_image)]
    voxels = max(math.prod(ImageDomain.of(image).size) for image in images)
    need = _measured_need(pairs[0], settings, device)
    scale = voxels / EDGE[pairs[0].dimension] ** pairs[0].dimension
    held = len(pairs) * scale * need.held
    making = held + scale * (need.making - need.held)
    many = settings.points - settings.regularizer_points
    fewest = need.constant + settings.regularizer_points * need.regularizer + many * need.apart
    fewest += (len(pairs) - 1) * need.code + len(pairs) * _spline_bytes(pairs[0], settings)
    chunk = (limit - held - fewest) / max(need.together - need.apart, 1.0)
    fewest += min(many, POINTS) * (need.together - need.apart)
    needed = max(making, held + fewest)
    if needed > limit:
        raise ValueError(
            f"expected memory_limit of at least {math.ceil(needed / MIB)} MiB for images of "
            f"{voxels} voxels and {settings.points} points, got {settings.memory_limit:g}: making "
            f"the channels takes {math.ceil(making / MIB)} MiB, keeping them "
            f"{math.ceil(held / MIB)} MiB, and a step {math.ceil(fewest / MIB)} MiB"
        )
    return None if chunk >= many else int(chunk)


@dataclass(frozen=True, kw_only=True)
class _Need:
    """What a miniature needed, bytes.

    Parameters
    ----------
    making, held : float
        At most while its images were prepared, and afterwards.
    constant : float
        Of a step whatever its points, with the optimizer's state.
    code : float
        The part of it that a further pair's code takes.
    regularizer, together, apart : float
        For each point of the regularizer, each other that is evaluated together with all, and each
        other that is not.
    """

    making: float
    held: float
    constant: float
    code: float
    regularizer: float
    together: float
    apart: float


def _measured_need(pair: ImagePair, settings: RegistrationSettings, device: torch.device) -> _Need:
    """Prepare a miniature of a pair and take a few small steps, counting all tensors."""
    miniature = _miniature(pair)
    small = ImageDomain.of(miniature.fixed_image)
    generator = torch.Generator().manual_seed(0)
    deformation = Deformation.identity(small, settings.field, generator)
    deformation.to(device)
    with Allocations(device) as allocations:
        sampler = PairSampler(
            miniature,
            initial_transform=SampledTransform(np.eye(small.dimension), np.zeros(small.dimension)),
            device=device,
        )
        sampler.sample(POINTS, settings.importance_sampling, generator)
        objective = PairObjective.prepare(
            sampler, settings.compared(small.voxel_size), settings.smoothing_sigmas[0], settings
        )
        making, held = allocations.peak, allocations.now

        def step(points: int, regularizer_points: int, chunk: int | None) -> float:
            """Return the most bytes that a step on the miniature takes at a time."""
            few = replace(settings, points=points, regularizer_points=regularizer_points)
            for parameter in deformation.parameters():
                parameter.grad = None
            before = allocations.peak = allocations.now
            replace(objective, settings=few, chunk=chunk).differentiate(deformation, generator)
            return float(allocations.peak - before)

        step(POINTS, POINTS, None)
        base = step(2 * POINTS, POINTS, None)
        together = (step(3 * POINTS, POINTS, None) - base) / POINTS
        # many, as the little that is kept of each hides beside the regularizer
        kept = [step(n * POINTS, POINTS, 4 * POINTS) for n in (17, 33)]
        regularizer = (step(3 * POINTS, 2 * POINTS, None) - base) / POINTS

    code = deformation.code
    codes, weights = (
        sum(parameter.numel() for parameter in parameters)
        for parameters in ((code.global_code, code.local_code), deformation.weights())
    )
    return _Need(
        making=making,
        held=held,
        # beside the parameters Adam's two moments, and where the level began
        constant=base - POINTS * (together + regularizer) + 4 * 4 * (weights + codes),
        code=5 * 4 * codes,
        regularizer=regularizer,
        together=together,
        apart=max(kept[1] - kept[0], 0.0) / (16 * POINTS),
    )


def _spline_bytes(pair: ImagePair, settings: RegistrationSettings) -> int:
    fixed, moving = ImageDomain.of(pair.fixed_image), ImageDomain.of(pair.moving_image)
    voxel = max(fixed.voxel_size, moving.voxel_size) / fixed.scale
    return SPLINE_BYTES * spline_numbers(settings.field.spline_cells(fixed.bounds, voxel))


def _miniature(pair: ImagePair) -> ImagePair:
    """Return a pair of noise with as many images, and masks of about the same shares."""
    edge, dimension = EDGE[pair.dimension], pair.dimension
    small = ImageDomain(
        size=(edge,) * dimension,
        spacing=(1.0,) * dimension,
        origin=(0.0,) * dimension,
        direction=tuple(tuple(row) for row in np.eye(dimension).tolist()),
    )
    noise = np.random.default_rng(0).random(small.size, dtype=np.float32)
    images = (image_from_array(noise, small),) * len(pair.fixed)
    return ImagePair(
        fixed=images,
        moving=images,
        fixed_mask=_like(pair.fixed_mask, small),
        moving_mask=_like(pair.moving_mask, small),
    )


def _like(mask: Any, domain: ImageDomain) -> Any:
    """Return a mask on the miniature's grid of about the same share of the voxels, if any."""
    if mask is None:
        return None
    share = np.mean(itk.array_view_from_image(mask) != 0)
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
