"""Joint registration of pairs of one fixed image, which register() and register_series() share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from itk_nephi.fields.device import memory_errors_named
from itk_nephi.registration.checkpoint import Checkpoint, described_run
from itk_nephi.registration.inputs import MOVING
from itk_nephi.registration.instance_optimization import Solution, solve
from itk_nephi.registration.problem import RegistrationProblem
from itk_nephi.registration.quality_check import quality_findings
from itk_nephi.registration.refinement import parameters_of, take_back_folds
from itk_nephi.registration.result import Progress, Series, deformation_at, knot_shares
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.registration.start import Start
from itk_nephi.spatial.domain import Transform
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import cloned, compose


@memory_errors_named("use smaller working_voxels, fewer points, a memory_limit, or the device cpu")
def register_jointly(
    pairs: Sequence[ImagePair],
    settings: RegistrationSettings,
    *,
    start: Start,
    device: torch.device,
    seed: int,
    started: float,
    times: Sequence[float] = (0.0,),
    knots: Sequence[float] = (0.0,),
    names: Sequence[tuple[str, str]] = (MOVING,),
    inverse_initial: Sequence[Transform] | None = None,
    callback: Callable[[Progress], None] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_interval: float = 30.0,
    keep_checkpoint: bool = False,
) -> tuple[Series, list[str]]:
    """Register a fixed image to a moving image at each of several times, or to a single one.

    Parameters
    ----------
    pairs : sequence of ImagePair
        One per time, as :meth:`RegistrationProblem.prepare` takes them.
    settings : RegistrationSettings
        How to register, if it started as the identity.
    start : Start
        Where to start.
    device : torch.device
        Where to compute.
    seed : int
        Of all random numbers.
    started : float
        When it began, by :func:`time.perf_counter`, seconds.
    times, knots : sequence of float
        Of the pairs, and between which the latent code is linear.
    names, inverse_initial
        As :meth:`RegistrationProblem.prepare` takes them.
    callback, checkpoint, checkpoint_interval, keep_checkpoint
        As :func:`itk_nephi.register` takes them.

    Returns
    -------
    series : Series
        The result.
    findings : list of str
        What to warn of.

    Raises
    ------
    MemoryError
        If the memory of a GPU does not suffice.
    """
    settings = start.settings(settings)
    keeper = None
    if checkpoint is not None:
        if start.model is not None:
            raise ValueError("expected a checkpoint of an optimization, got a model with it")
        first = pairs[0]
        inputs = {
            "fixed": first.fixed,
            "moving": [pair.moving for pair in pairs],
            "fixed_mask": first.fixed_mask,
            "moving_mask": [pair.moving_mask for pair in pairs],
            "channel_weights": first.channel_weights,
            "guide_landmarks": [pair.guide_landmarks for pair in pairs],
            "initial_transform": first.initial_transform,
            "warm_start": start.warm_transform,
            "times": times,
            "knots": knots,
        }
        run = described_run(settings, seed, inputs)
        keeper = Checkpoint(Path(checkpoint), checkpoint_interval, run)
    problem = RegistrationProblem.prepare(
        pairs,
        settings,
        device,
        model=None if start.model is None else start.model.settings,
        inverse_initial=inverse_initial,
        names=names,
    )
    generator = torch.Generator().manual_seed(seed)
    at_knots = start.deformations(problem, knot_shares(times, knots), generator)
    at_times = [deformation_at(at_knots, knots, time) for time in times]
    if start.is_final:
        objectives = problem.objectives(len(problem.settings.smoothing_sigmas))
        solution = Solution([], False, quality_findings(objectives, at_times, problem.names))
    else:
        predicted = parameters_of(at_times)
        solution = solve(
            problem,
            at_times,
            generator=generator,
            callback=callback,
            checkpoint=keeper,
            started=started,
        )
        if start.model is not None:
            take_back_folds(at_times, predicted, problem.grid)
    if keeper is not None and not solution.interrupted and not keep_checkpoint:
        keeper.remove()
    series = Series(
        times=tuple(times),
        knots=tuple(knots),
        deformations=tuple(at_knots),
        initial_transform=cloned(problem.initial_transform),
        inverse_initial_transform=compose(problem.inverse_initial),
        history=solution.history,
        settings=settings,
        seed=seed,
        interrupted=solution.interrupted,
    )
    return series, [*problem.findings, *solution.findings]
