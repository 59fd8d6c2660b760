"""Instance optimization: the deformation of one image pair that minimizes the objective."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import chain
from statistics import fmean
from typing import Any

import torch

from itk_nephi.fields.compiled import threads_for_fields
from itk_nephi.fields.deformation import Deformation, codes_of, weights_of
from itk_nephi.losses.objective import objective_terms
from itk_nephi.losses.similarity import Dissimilarity, weighted
from itk_nephi.registration.checkpoint import Checkpoint
from itk_nephi.registration.optimizer import Adam, Schedule, TimeLimit
from itk_nephi.registration.quality_check import warn_if_images_are_worse
from itk_nephi.registration.result import Progress
from itk_nephi.registration.sampler import ComparedImages, PairSampler
from itk_nephi.registration.settings import RegistrationSettings

logger = logging.getLogger(__name__)

RETRIES = 3

DIVERGED = 1.0
"""GradICON, where it counts, beyond which a level starts again more slowly."""


def optimize(
    deformations: Sequence[Deformation],
    pairs: Sequence[PairSampler],
    settings: RegistrationSettings,
    generator: torch.Generator,
    callback: Callable[[Progress], None] | None = None,
    *,
    started: float | None = None,
    checkpoint: Checkpoint | None = None,
    chunk: int | None = None,
) -> tuple[list[Progress], bool]:
    """Optimize a deformation in place, coarse to fine, or several that share weights or codes.

    Each step minimizes the mean objective of all. A level that diverges starts again from where it
    began, with halved step sizes.

    Parameters
    ----------
    deformations : sequence of Deformation
        What to optimize; all their weights and codes are trained.
    pairs : sequence of ImagePair
        The images of each, on the same fixed grid.
    settings : RegistrationSettings
        How.
    generator : torch.Generator
        Draws the points.
    callback : callable, optional
        Called after every step; may raise StopIteration to end it early.
    started : float, optional
        When the registration began, by :func:`time.perf_counter`, seconds; now when left out.
    checkpoint : Checkpoint, optional
        Keeps the state; where it already holds one, the optimization goes on from there.
    chunk : int, optional
        How many points are evaluated together; all when left out.

    Returns
    -------
    history : list of Progress
        One entry a step.
    interrupted : bool
        Whether Ctrl-C or ``callback`` ended it early.

    Raises
    ------
    RuntimeError
        If a level diverges in spite of smaller steps.
    ValueError
        If the checkpoint is of another run.
    """
    for deformation, pair in zip(deformations, pairs, strict=True):
        deformation.to(pair.device)
    started = time.perf_counter() if started is None else started
    run = _Optimization(
        deformations, pairs, settings, generator, callback, started, checkpoint, chunk
    )
    try:
        run.to_the_end()
    except (KeyboardInterrupt, StopIteration):
        return run.history, True
    return run.history, False


class _Optimization:
    """An optimization between two steps, which a checkpoint holds."""

    def __init__(
        self,
        deformations: Sequence[Deformation],
        pairs: Sequence[PairSampler],
        settings: RegistrationSettings,
        generator: torch.Generator,
        callback: Callable[[Progress], None] | None,
        started: float,
        checkpoint: Checkpoint | None,
        chunk: int | None,
    ) -> None:
        self.history: list[Progress] = []
        self._deformations, self._pairs = deformations, pairs
        voxels = min(pair.compared_voxels for pair in pairs)
        self._settings = settings = settings.for_voxels(voxels)
        self._generator, self._callback, self._chunk = generator, callback, chunk
        self._started, self._checkpoint = started, checkpoint
        self._similarity = settings.compared(pairs[0].voxel_size)
        self._compare = weighted(self._similarity.dissimilarity, pairs[0].channel_weights)
        self._level_state: dict[str, Any] | None = None
        self._first = 1
        saved = None if checkpoint is None else checkpoint.read(pairs[0].device)
        if saved is not None:
            for deformation, state in zip(deformations, saved["deformations"], strict=True):
                deformation.load_state(state)
            generator.set_state(saved["generator"].cpu())
            self.history = [Progress(**entry) for entry in saved["history"]]
            self._level_state = saved["level"]
            self._first = saved["level"]["number"]
            self._started -= saved["elapsed"]
        self._limit = TimeLimit(self._started + (settings.max_time or math.inf))

    def to_the_end(self) -> None:
        """Take all levels that are left."""
        levels = len(self._settings.smoothing_sigmas)
        images: list[ComparedImages] = []
        for number in range(self._first, levels + 1):
            # the last level's make room for the next one's
            images = []
            begun = time.perf_counter()
            smoothing = self._settings.smoothing_sigmas[number - 1]
            images = [pair.channels(smoothing, self._similarity.channels) for pair in self._pairs]
            self._limit.prepared(time.perf_counter() - begun)
            level = _Level(self._deformations, self._settings, number, done=len(self.history))
            if self._level_state is not None:
                level.load_state(self._level_state)
                self._level_state = None
            with threads_for_fields(self._pairs[0].device):
                while level.schedule.phase < 1:
                    self._take_step(level, images)
        for deformation, pair, sampled in zip(self._deformations, self._pairs, images, strict=True):
            warn_if_images_are_worse(
                deformation,
                pair,
                sampled,
                self._compare,
                self._settings,
                self._chunk,
                stacklevel=5,
            )

    def _take_step(self, level: _Level, images: Sequence[ComparedImages]) -> None:
        """Take a step, tell of it and keep it; or go back, if it diverged, to the level's start."""
        levels = len(self._settings.smoothing_sigmas)
        later = levels - level.number
        pace = self._limit.pace(level.schedule.phase, later)
        left = level.schedule.left(pace)
        losses = self._differentiate(images)
        reason = _divergence(losses, self._settings)
        if reason:
            level.begin_again(reason)
            del self.history[level.done :]
            return
        progress = Progress(
            level=level.number,
            levels=levels,
            done=len(self.history) + 1,
            total=len(self.history) + left + later * level.schedule.length(pace),
            losses=losses,
            left=left - 1,
        )
        self.history.append(progress)
        if self._callback is not None:
            self._callback(progress)
        level.step(left, losses["dissimilarity"])
        if self._checkpoint is not None and self._checkpoint.is_due():
            self._checkpoint.write(self._state(level))

    def _differentiate(self, images: Sequence[ComparedImages]) -> dict[str, float]:
        """Leave the mean objective's gradients with the parameters, and return its mean terms."""
        for parameter in (*weights_of(self._deformations), *codes_of(self._deformations)):
            parameter.grad = None
        every = [
            differentiate(
                deformation,
                pair,
                sampled,
                self._compare,
                self._settings,
                self._generator,
                self._chunk,
                share=1 / len(self._pairs),
            )
            for deformation, pair, sampled in zip(
                self._deformations, self._pairs, images, strict=True
            )
        ]
        return {name: fmean(losses[name] for losses in every) for name in every[0]}

    def _state(self, level: _Level) -> dict[str, Any]:
        return {
            "deformations": [deformation.state() for deformation in self._deformations],
            "generator": self._generator.get_state(),
            "history": [asdict(progress) for progress in self.history],
            "level": level.state(),
            "elapsed": time.perf_counter() - self._started,
        }


class _Level:
    """One resolution level: its optimizer and its schedule, and from where it began."""

    def __init__(
        self,
        deformations: Sequence[Deformation],
        settings: RegistrationSettings,
        number: int,
        done: int,
    ) -> None:
        self.number, self.done, self.retry = number, done, 0
        self._settings = settings
        self._parameters = [weights_of(deformations), codes_of(deformations)]
        self._start = [values.detach().clone() for group in self._parameters for values in group]
        self._begin()

    def _begin(self) -> None:
        settings = self._settings
        self.schedule = Schedule(settings.steps, early_stop=settings.early_stop)
        self.optimizer = Adam(self._parameters)

    def begin_again(self, reason: str) -> None:
        """Go back to where the level began, and halve the step sizes."""
        if self.retry == RETRIES:
            raise RuntimeError(
                f"the optimization diverged at level {self.number} in spite of smaller steps: "
                f"{reason}; try a larger gradicon_weight"
            )
        logger.info("level %d diverged (%s): again with smaller steps", self.number, reason)
        self.retry += 1
        with torch.no_grad():
            for parameter, value in zip(chain(*self._parameters), self._start, strict=True):
                parameter.copy_(value)
        self._begin()

    def step(self, left: int, dissimilarity: float) -> None:
        """Take the next of ``left`` steps along the gradients."""
        settings = self._settings
        rates = (settings.network_learning_rate, settings.code_learning_rate)
        scale = 0.5**self.retry * self.schedule.factor
        self.optimizer.step([scale * rate for rate in rates])
        self.schedule.advance(left, dissimilarity)

    def state(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "done": self.done,
            "retry": self.retry,
            "start": self._start,
            "optimizer": self.optimizer.state(),
            "schedule": self.schedule.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.done, self.retry, self._start = state["done"], state["retry"], state["start"]
        self.optimizer.load_state(state["optimizer"])
        self.schedule.load_state(state["schedule"])


def _divergence(losses: dict[str, float], settings: RegistrationSettings) -> str | None:
    for name, value in losses.items():
        if not math.isfinite(value):
            return f"{name} is {value}"
    if settings.gradicon_weight > 0 and losses["gradicon"] > DIVERGED:
        return f"gradicon is {losses['gradicon']:.2f}"
    return None


def differentiate(
    deformation: Deformation,
    pair: PairSampler,
    images: ComparedImages,
    compare: Dissimilarity,
    settings: RegistrationSettings,
    generator: torch.Generator,
    chunk: int | None,
    *,
    share: float = 1.0,
) -> dict[str, float]:
    """Draw points, add a share of the objective's gradients to the others, and return its terms."""
    coords, weights = pair.sample(settings.points, settings.importance_sampling, generator)
    losses = objective_terms(
        deformation.field,
        deformation.inverse_field,
        deformation.code,
        images,
        coords,
        dissimilarity=compare,
        point_weights=weights,
        guide_landmarks=pair.guide_landmarks,
        regularizer_points=settings.regularizer_points,
        voxel=pair.voxel_size / pair.domain.scale,
        weights=settings,
        landmark_weight=settings.landmark_weight,
        chunk=chunk,
    )
    torch.autograd.backward(share * losses["total"])
    return {name: float(loss.detach()) for name, loss in losses.items()}
