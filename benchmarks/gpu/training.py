"""Training at the sizes of the paper, and a short one that learns."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.cache import Figures
from benchmarks.gpu.device import Device
from benchmarks.performance.memory import draw_cube
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.models.encoder import EncoderSettings
from itk_nephi.models.nephi import ModelSettings
from itk_nephi.phantoms.pairs import deformed_shape
from itk_nephi.registration.checks import checked_images
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.training.settings import TrainingSettings
from itk_nephi.training.training import TrainingProgress, train

BATCH = 2

POINTS = {True: 1000, False: 200}
"""Of each direction and pair, on a GPU and in a dry run."""

LEARNED = 0.8
"""The share of the first dissimilarities that a short training has to fall below."""


def measure(device: Device) -> Iterator[Figures]:
    """Yield steps a second and memory of the paper's model, from small images to its own size."""
    steps = 12 if device.is_gpu else 3
    for side in (64, 128, 175) if device.is_gpu else (24,):
        fixed, moving = (
            checked_images([draw_cube(name, side)], name)[0] for name in ("fixed", "moving")
        )
        identity = itk.TranslationTransform[itk.D, 3].New()
        pair = ImagePair(fixed=(fixed,), moving=(moving,), initial_transform=identity)
        domain = ImageDomain.of(fixed)
        model = ModelSettings(
            field=FieldSettings.paper(),
            encoder=EncoderSettings.paper(domain.size),
            size=domain.size,
            spacing=domain.spacing,
        )
        settings = TrainingSettings(
            steps=steps, batch_size=BATCH, points=POINTS[device.is_gpu], validate_every=steps
        )
        figures, seen = device.measured(partial(_train, device, [pair], model, settings))
        # the first step prepares, the last one validates
        rate = (steps - 2) / (seen[-2][0] - seen[0][0])
        yield {"side": side, "batch": settings.batch_size} | figures | {"steps/s": round(rate, 2)}


def learn(device: Device) -> Iterator[Figures]:
    """Yield whether shapes of the size of hippocampi are brought together better and better."""
    count, size, steps = (16, 40, 300) if device.is_gpu else (2, 16, 5)
    pairs = []
    for seed in range(count):
        identity = itk.TranslationTransform[itk.D, 3].New()
        drawn = deformed_shape(3, size=size, motion=0.09 * size, seed=seed).pair
        pairs.append(replace(drawn, fixed_mask=None, moving_mask=None, initial_transform=identity))
    field = FieldSettings() if device.is_gpu else FieldSettings(width=16, frequencies=8)
    model = ModelSettings(
        field=field, encoder=EncoderSettings(), size=(size,) * 3, spacing=(1.0,) * 3
    )
    settings = TrainingSettings(
        steps=steps,
        batch_size=4 if device.is_gpu else 2,
        points=POINTS[device.is_gpu],
        regularizer_points=POINTS[device.is_gpu] // 10,
        warm_up=max(2, steps // 10),
        network_learning_rate=1e-3,
        code_learning_rate=3e-3,
        validate_every=steps,
    )
    figures, seen = device.measured(partial(_train, device, pairs, model, settings))
    part = max(1, steps // 10)
    losses = [dissimilarity for _, dissimilarity in seen]
    first, last = float(np.mean(losses[:part])), float(np.mean(losses[-part:]))
    yield figures | {
        "pairs": count,
        "steps": steps,
        "dissimilarity at first": round(first, 4),
        "at last": round(last, 4),
        "holds": last < LEARNED * first or not device.is_gpu,
    }


def _train(
    device: Device, pairs: Sequence[ImagePair], model: ModelSettings, settings: TrainingSettings
) -> list[tuple[float, float]]:
    """Train; return when each step ended, seconds, and its dissimilarity."""
    seen: list[tuple[float, float]] = []

    def note(progress: TrainingProgress) -> None:
        seen.append((time.perf_counter(), progress.losses["dissimilarity"]))

    with TemporaryDirectory() as folder:
        train(pairs, pairs[:1], model, settings, Path(folder), device=device.name, callback=note)
    return seen
