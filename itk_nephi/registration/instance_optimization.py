"""Instance optimization: the deformations that minimize the objective of their own images."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from itertools import chain
from statistics import fmean
from typing import Any, NamedTuple

import torch

from itk_nephi.fields.deformation import (
    Deformation,
    codes_of,
    splines_of,
    threads_for_fields,
    weights_of,
)
from itk_nephi.fields.device import Reading
from itk_nephi.registration.checkpoint import Checkpoint
from itk_nephi.registration.lattice_objective import LatticeObjective
from itk_nephi.registration.optimizer import Adam, Schedule, TimeLimit
from itk_nephi.registration.pair_objective import PairObjective
from itk_nephi.registration.problem import RegistrationProblem
from itk_nephi.registration.quality_check import quality_findings
from itk_nephi.registration.result import Progress
from itk_nephi.registration.settings import RegistrationSettings

logger = logging.getLogger(__name__)

RETRIES = 3

DIVERGED = 1.0
"""GradICON, where it has a weight, beyond which a level starts again more slowly."""

AHEAD = {"cpu": 0, "cuda": 2}
"""How many steps are begun before the terms of the first are looked at, by device: a GPU would be
idle while the host waits for them."""


class Solution(NamedTuple):
    """How :func:`solve` came to the deformations, which it changed in place.

    Parameters
    ----------
    history : list of Progress
        One entry a step.
    interrupted : bool
        Whether Ctrl-C or the callback ended it early.
    findings : list of str
        What to warn of, see :func:`quality_findings`; none if interrupted.
    """

    history: list[Progress]
    interrupted: bool
    findings: list[str]


def solve(
    problem: RegistrationProblem,
    deformations: Sequence[Deformation],
    *,
    generator: torch.Generator,
    callback: Callable[[Progress], None] | None = None,
    checkpoint: Checkpoint | None = None,
    started: float | None = None,
) -> Solution:
    """Optimize deformations in place, coarse to fine; they may share weights or codes.

    Each step minimizes the mean objective of all. A level that diverges starts again from where it
    began, with halved step sizes.

    Parameters
    ----------
    problem : RegistrationProblem
        What is registered, and how.
    deformations : sequence of Deformation
        One for each pair of the problem; all their weights and codes are trained.
    generator : torch.Generator
        Draws the points.
    callback : callable, optional
        Called after every step; may raise StopIteration to end it early.
    checkpoint : Checkpoint, optional
        Keeps the state; where it already holds one, the optimization resumes from there.
    started : float, optional
        When the registration began, by :func:`time.perf_counter`, seconds; now when left out.

    Raises
    ------
    RuntimeError
        If a level diverges in spite of smaller steps.
    ValueError
        If the checkpoint is of another run.
    """
    for deformation in deformations:
        deformation.to(problem.device)
    started = time.perf_counter() if started is None else started
    optimization = _Optimization(problem, deformations, generator, callback, checkpoint, started)
    try:
        findings = optimization.run()
    except (KeyboardInterrupt, StopIteration):
        return Solution(optimization.history, interrupted=True, findings=[])
    return Solution(optimization.history, interrupted=False, findings=findings)


class _Optimization:
    """An optimization between two steps, which a checkpoint holds."""

    def __init__(
        self,
        problem: RegistrationProblem,
        deformations: Sequence[Deformation],
        generator: torch.Generator,
        callback: Callable[[Progress], None] | None,
        checkpoint: Checkpoint | None,
        started: float,
    ) -> None:
        self.history: list[Progress] = []
        self._problem, self._deformations = problem, deformations
        self._generator, self._callback, self._checkpoint = generator, callback, checkpoint
        self._started = started
        self._ahead = AHEAD.get(problem.device.type, 0)
        self._underway: deque[tuple[Callable[..., Progress], tuple[str, ...], Reading]] = deque()
        self._level_state: dict[str, Any] | None = None
        self._first = 1
        saved = None if checkpoint is None else checkpoint.read(problem.device)
        if checkpoint is not None and saved is not None:
            with checkpoint.checked():
                self._load_state(saved)
        self._costs = problem.settings.step_costs(problem.domain.dimension)
        self._limit = TimeLimit(self._started + (problem.settings.max_time or math.inf))

    def run(self) -> list[str]:
        """Take all levels that are left, and return what to warn of."""
        sigmas = self._problem.settings.smoothing_sigmas
        objectives: Sequence[PairObjective | LatticeObjective] = []
        for number in range(self._first, len(sigmas) + 1):
            # the last level's images make room for the next one's
            objectives = []
            begun = time.perf_counter()
            objectives = self._problem.objectives(number)
            self._limit.prepared(time.perf_counter() - begun)
            level = _Level(
                self._deformations,
                self._problem.settings,
                number,
                done=len(self.history),
                objective=objectives[0],
            )
            if self._checkpoint is not None and self._level_state is not None:
                with self._checkpoint.checked():
                    level.load_state(self._level_state)
                self._level_state = None
            with threads_for_fields(self._deformations, self._problem.device):
                while level.schedule.phase < 1:
                    self._take_step(level, objectives)
        if self._checkpoint is not None:
            self._checkpoint.write(self._state(level))
        return quality_findings(objectives, self._deformations, self._problem.names)

    def _take_step(
        self, level: _Level, objectives: Sequence[PairObjective | LatticeObjective]
    ) -> None:
        """Take a step, report and keep it; or go back, if it diverged, to the level's start."""
        later = len(self._costs) - level.number
        pace = self._limit.pace(level.schedule.phase, later)
        left = level.schedule.left(pace)
        progress = self._progress(level, left, level.schedule.length(pace))
        self._underway.append((progress, *self._differentiate(objectives)))
        dissimilarity = None
        if len(self._underway) > self._ahead:
            if not self._report(level):
                return
            dissimilarity = self.history[-1].losses["dissimilarity"]
        level.step(left, dissimilarity)
        due = self._checkpoint is not None and self._checkpoint.is_due()
        while self._underway and (due or level.schedule.phase == 1):
            self._report(level)
        if self._checkpoint is not None and due:
            self._checkpoint.write(self._state(level))

    def _progress(self, level: _Level, left: int, length: int) -> Callable[..., Progress]:
        """Return what makes the progress after the next of ``left`` steps of its losses.

        Later levels are foreseen to take ``length`` steps each.
        """
        number, done = level.number, len(self.history) + len(self._underway) + 1
        cost, later = self._costs[number - 1], self._costs[number:]
        spent = sum(self._costs[progress.level - 1] for progress in self.history[: level.done])
        spent += (done - level.done) * cost
        return partial(
            Progress,
            level=number,
            levels=len(self._costs),
            done=done,
            total=done + left - 1 + length * len(later),
            left=left - 1,
            share=spent / (spent + (left - 1) * cost + length * sum(later)),
        )

    def _report(self, level: _Level) -> bool:
        """Report and keep the first step underway; return whether it did not diverge."""
        progress, names, reading = self._underway.popleft()
        numbers = reading.numbers()
        losses = {name: fmean(numbers[n :: len(names)]) for n, name in enumerate(names)}
        reason = _divergence(losses, self._problem.settings)
        if reason:
            level.begin_again(reason)
            del self.history[level.done :]
            self._underway.clear()
            return False
        self.history.append(progress(losses=losses))
        if self._callback is not None:
            self._callback(self.history[-1])
        return True

    def _differentiate(
        self, objectives: Sequence[PairObjective | LatticeObjective]
    ) -> tuple[tuple[str, ...], Reading]:
        """Leave the mean objective's gradients with the parameters, and read its terms.

        The names of the terms are returned, and their values in the objective of each pair.
        """
        for parameter in (*weights_of(self._deformations), *codes_of(self._deformations)):
            parameter.grad = None
        every = [
            objective.differentiate(deformation, self._generator, share=1 / len(objectives))
            for objective, deformation in zip(objectives, self._deformations, strict=True)
        ]
        names = tuple(every[0])
        return names, Reading(torch.stack([losses[name] for losses in every for name in names]))

    def _state(self, level: _Level) -> dict[str, Any]:
        return {
            "deformations": [deformation.state() for deformation in self._deformations],
            "generator": self._generator.get_state(),
            "history": [asdict(progress) for progress in self.history],
            "level": level.state(),
            "elapsed": time.perf_counter() - self._started,
        }

    def _load_state(self, state: dict[str, Any]) -> None:
        for deformation, saved in zip(self._deformations, state["deformations"], strict=True):
            deformation.load_state(saved)
        self._generator.set_state(state["generator"].cpu())
        self.history = [Progress(**entry) for entry in state["history"]]
        self._level_state = state["level"]
        self._first = state["level"]["number"]
        self._started -= state["elapsed"]


class _Level:
    """One resolution level: its optimizer and its schedule, and from where it began."""

    def __init__(
        self,
        deformations: Sequence[Deformation],
        settings: RegistrationSettings,
        number: int,
        done: int,
        objective: PairObjective | LatticeObjective,
    ) -> None:
        self.number, self.done, self.retry = number, done, 0
        self._settings = settings
        self._square_decay, self._full_steps = objective.square_decay, objective.full_steps
        self._rates = (
            settings.network_learning_rate,
            settings.code_learning_rate,
            settings.spline_learning_rate * objective.step_size,
        )
        splines = splines_of(deformations)
        codes = [code for code in codes_of(deformations) if all(code is not s for s in splines)]
        self._parameters = [weights_of(deformations), codes, splines]
        self._start = [values.detach().clone() for group in self._parameters for values in group]
        self._begin()

    def _begin(self) -> None:
        settings = self._settings
        self.schedule = Schedule(
            settings.steps, full_steps=self._full_steps, early_stop=settings.early_stop
        )
        self.optimizer = Adam(self._parameters, self._square_decay)

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

    def step(self, left: int, dissimilarity: float | None) -> None:
        """Take the next of ``left`` steps along the gradients, as :meth:`Schedule.advance`."""
        scale = 0.5**self.retry * self.schedule.factor(left)
        self.optimizer.step([scale * rate for rate in self._rates])
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
