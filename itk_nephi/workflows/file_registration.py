"""register_files(): an image pair from its files to the files of its registration."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from itk_nephi.io.errors import require_file
from itk_nephi.io.pair_files import PairPaths, read_pair
from itk_nephi.io.transforms import read_transform
from itk_nephi.registration import pairwise
from itk_nephi.registration.result import Progress
from itk_nephi.spatial.domain import Transform
from itk_nephi.spatial.transforms import flatten, is_neural
from itk_nephi.workflows import outputs
from itk_nephi.workflows.configuration import NAME as CONFIGURATION
from itk_nephi.workflows.configuration import configuration
from itk_nephi.workflows.outputs import RESULTS, checked_results
from itk_nephi.workflows.provenance import describe_inputs

ProgressCallback = Callable[[Progress], None] | None


def register_files(
    paths: PairPaths,
    folder: Path,
    *,
    argument: Callable[[str], str] = str,
    warm_start: Path | None = None,
    model: Path | None = None,
    device: str = "cpu",
    results: Collection[str] = tuple(RESULTS),
    stage: Callable[[str], None] = lambda _: None,
    progress: Callable[[], AbstractContextManager[ProgressCallback]] = nullcontext,
    interrupted: Callable[[int], None] = lambda _: None,
    **options: Any,
) -> dict[str, Any]:
    """Read an image pair, register it, and write all results into a folder.

    Parameters
    ----------
    paths : PairPaths
        The files of the pair.
    folder : Path
        An existing folder, which gets metrics.json, config.toml and what ``results`` names.
    argument : callable
        What messages call a file, see :func:`itk_nephi.io.read_pair`.
    warm_start, model : Path, optional
        fixed_to_moving.h5 of an earlier result, and a model that predicts, see
        :func:`itk_nephi.register`.
    device : str
        What torch calls it.
    results : collection of str
        What is written: some of ``transforms``, ``images``, ``evaluation`` and ``report``; all
        when left out.
    stage : callable
        Called with what is done next, in words.
    progress : callable
        Returns a context around the registration, which gives its callback.
    interrupted : callable
        Called with the number of steps done if the registration was interrupted, before what was
        reached is written; may raise, so that nothing is.
    **options
        Further arguments of :func:`itk_nephi.register`. A checkpoint stays, for the caller to
        delete once the folder is where it belongs.

    Returns
    -------
    dict
        What metrics.json holds.

    Raises
    ------
    ValueError
        If a file or a name of ``results`` is not what it should be.
    """
    results = checked_results(results, "results")
    start = time.perf_counter()
    stage("reading the images")
    pair = read_pair(paths, argument)
    if warm_start is not None:
        options["warm_start"] = read_warm_start(warm_start, argument("warm_start"), pair.dimension)
    if model is not None:
        require_file(model, argument("model"))
    further = {"warm_start": warm_start, "model": model}
    used = {name: path for name, path in further.items() if path is not None}
    inputs = describe_inputs(replace(pair, sources={**pair.sources, **used}))
    seconds = {"read": time.perf_counter() - start}
    stage("starting the registration")
    with progress() as callback:
        registration = pairwise.register(
            pair.fixed,
            pair.moving,
            fixed_mask=pair.fixed_mask,
            moving_mask=pair.moving_mask,
            channel_weights=pair.channel_weights,
            guide_landmarks=pair.guide_landmarks,
            initial_transform=pair.initial_transform,
            model=model,
            device=device,
            callback=callback,
            keep_checkpoint=True,
            **options,
        )
    seconds["register"] = time.perf_counter() - start - seconds["read"]
    if registration.interrupted:
        interrupted(len(registration.history))
    refinement = ("refine_steps", "refine") if model is not None else ()
    asked = {name: options[name] for name in refinement if name in options}
    text = configuration(
        paths, registration.settings, device=device, seed=registration.seed, **further, **asked
    )
    (folder / CONFIGURATION).write_text(text, encoding="utf-8")
    return outputs.write(
        folder,
        pair,
        registration,
        inputs=inputs,
        seconds=seconds,
        device=device,
        results=results,
        stage=stage,
    )


def read_warm_start(path: Path, argument: str, dimension: int) -> Transform:
    """Read the neural transform with which a point of the fixed image is moved first.

    Raises
    ------
    ValueError
        If the file does not begin with one; ``argument`` is what the message calls it.
    """
    transform = flatten(read_transform(path, argument, dimension))[0]
    if not is_neural(transform):
        raise ValueError(
            f"expected {argument} to be fixed_to_moving.h5 of an earlier registration, got "
            f"{path}, which begins with {transform.GetNameOfClass()}"
        )
    return transform
