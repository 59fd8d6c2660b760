"""A check at the end: whether the images are more alike than with the initial transform alone."""

from __future__ import annotations

import warnings

import torch

from itk_nephi.fields.deformation import Deformation
from itk_nephi.losses.similarity import Dissimilarity, weighted
from itk_nephi.registration.sampler import ComparedImages, PairSampler
from itk_nephi.registration.settings import RegistrationSettings

WORSE = 0.01
"""By how much the dissimilarity may rise without a warning, absolute and relative."""


def warn_if_images_are_worse(
    deformation: Deformation,
    pair: PairSampler,
    images: ComparedImages,
    compare: Dissimilarity,
    settings: RegistrationSettings,
    chunk: int | None,
    *,
    stacklevel: int,
) -> None:
    """Warn when the images were more alike with the initial transform alone, at the same points."""
    fixed, moving = images
    (coords, _), (weights, _) = pair.sample(settings.points, 0, torch.Generator().manual_seed(0))
    values, counts = fixed(coords)
    counts = counts if weights is None else counts * weights
    with torch.no_grad():
        parts = torch.split(coords, chunk or len(coords))
        moved = torch.cat([deformation.field(part, deformation.code) for part in parts])
        before, after = (
            float(compare(values, other, counts * in_moving))
            for other, in_moving in (moving(coords), moving(moved))
        )
    if after > before + WORSE * (1 + abs(before)):
        warnings.warn(
            f"the images are less alike than before: dissimilarity {before:.4g} after the initial "
            f"transform alone, {after:.4g} after the registration; a larger gradicon_weight, or "
            "another initial transform or similarity may help",
            stacklevel=stacklevel,
        )


def warn_if_worse(
    deformation: Deformation, pair: PairSampler, settings: RegistrationSettings
) -> None:
    """Warn when a deformation that is not optimized makes the images less alike."""
    similarity = settings.compared(pair.voxel_size)
    images = pair.channels(settings.smoothing_sigmas[-1], similarity.channels)
    compare = weighted(similarity.dissimilarity, pair.channel_weights)
    warn_if_images_are_worse(deformation, pair, images, compare, settings, None, stacklevel=4)
