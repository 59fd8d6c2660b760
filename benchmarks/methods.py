"""Methods of ``itk_nephi.workflows.methods`` on pairs: by turns, measured, and judged."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, cast

import itk
import numpy as np

from benchmarks.cache import Figures
from benchmarks.linear_methods import LINEAR_METHODS
from benchmarks.pairs import OUTLIER, Pair, read_pair, without_masks
from benchmarks.process import call_in_process
from benchmarks.study import QUICK_STEPS, Run
from itk_nephi.evaluation import evaluate
from itk_nephi.io.transforms import read_transform, write_transform
from itk_nephi.registration.settings import PresetName, RegistrationSettings
from itk_nephi.workflows import method_process
from itk_nephi.workflows import methods as packaged


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method of the package, and what is changed about it.

    Parameters
    ----------
    name : str
        One of :data:`itk_nephi.workflows.methods.METHODS`.
    initial_transform : str
        A kind of initial transform, or one of :data:`benchmarks.linear_methods.LINEAR_METHODS`,
        whose time is not counted.
    settings : RegistrationSettings, optional
        NePhi's, where they are not those of a preset.
    greedy : str
        Options of greedy's, beside those that it usually gets.
    elastix : mapping of str to str
        Entries of elastix's default parameter maps, affine and B-spline, to change. As these are
        files then, masks enter both registrations, not only the second.
    """

    name: str
    initial_transform: str = "affine"
    settings: RegistrationSettings | None = None
    greedy: str = ""
    elastix: Mapping[str, str] | None = None

    def shortened(self) -> Method:
        """Return a method that takes only a few steps."""
        if self.name == "elastix":
            entries = {"MaximumNumberOfIterations": str(QUICK_STEPS), "ErodeMask": "false"}
            return replace(self, elastix={**(self.elastix or {}), **entries})
        if self.name.startswith("nephi"):
            preset = self.name.removeprefix("nephi").removeprefix("-") or "default"
            settings = self.settings or RegistrationSettings.preset(cast(PresetName, preset))
            return replace(self, name="nephi", settings=replace(settings, steps=QUICK_STEPS))
        return self


def nephi(
    preset: PresetName = "default", *, initial_transform: str = "affine", **changes: Any
) -> Method:
    """Return NePhi with changed settings; one method for one meaning."""
    settings = RegistrationSettings.preset(preset, **changes)
    if settings == RegistrationSettings.preset(preset):
        name = "nephi" if preset == "default" else f"nephi-{preset}"
        return Method(name=name, initial_transform=initial_transform)
    return Method(name="nephi", initial_transform=initial_transform, settings=settings)


def elastix(grid_spacing: float | None = None) -> Method:
    """Return elastix with its default parameter maps, or a spacing of the control points, mm."""
    entry = "FinalGridSpacingInPhysicalUnits"
    return Method(
        name="elastix", elastix=None if grid_spacing is None else {entry: f"{grid_spacing:g}"}
    )


def run_methods(
    run: Run,
    methods: Mapping[str, Method],
    pairs: Mapping[str, Pair],
    seeds: int = 1,
    *,
    masks: bool = True,
) -> list[Figures]:
    """Run methods on pairs, every other time the last method first.

    Parameters
    ----------
    run : Run
        If it is quick, two methods take few steps on one pair with one seed.
    methods, pairs : mapping
        By the names that tables give them.
    seeds : int
        How many; the first is 0.
    masks : bool
        Whether the methods get the pairs' masks; the transforms are judged in these anyway.

    Returns
    -------
    list of dict
        The figures of :func:`register_and_judge`, with ``method``, ``pair`` and ``seed``.
    """
    found = []
    names, turns = run.first(list(methods), 2), product(range(seeds), pairs)
    for number, (seed, pair) in enumerate(run.first(list(turns), 1)):
        for name in names[:: -1 if number % 2 else 1]:
            figures = run.trial(
                f"{name}, {pair}, seed {seed}",
                register_and_judge,
                method=methods[name].shortened() if run.quick else methods[name],
                pair=pairs[pair],
                seed=seed,
                masks=masks,
            )
            found.append({"method": name, "pair": pair, "seed": seed} | figures)
    return found


def register_and_judge(
    folder: Path, *, method: Method, pair: Pair, seed: int, masks: bool
) -> Figures:
    """Register a pair by a method in a process of its own, and judge the transform.

    Returns
    -------
    dict
        What :func:`itk_nephi.workflows.method_process.run_in_process` measures, and what
        :class:`itk_nephi.evaluation.Evaluation` holds, folding on a grid twice as fine.

    Raises
    ------
    RuntimeError
        If the method fails.
    """
    pair_given, initial_transform = pair if masks else without_masks(pair), method.initial_transform
    if initial_transform in LINEAR_METHODS:
        aligned = call_in_process(
            _align, folder, threads=1, method=initial_transform, pair=pair_given
        )
        initial_transform = aligned["file"]
    given = read_pair(pair_given, initial_transform)
    if method.settings is None and not method.greedy:
        parameters: list[str] = []
        if method.elastix is not None:
            written = call_in_process(_write_parameters, folder, changes=method.elastix)
            parameters = written["files"]
        figures = method_process.run_in_process(
            method.name,
            given,
            folder,
            elastix_parameters=[Path(file) for file in parameters],
            seed=seed,
        )
        if figures["error"]:
            raise RuntimeError(figures["error"])
    else:
        threads = len(os.sched_getaffinity(0))
        figures = call_in_process(
            _measure_changed,
            folder,
            threads=threads,
            method=method,
            task=method_process.describe_task(method.name, given, seed=seed, threads=threads),
        )
    figures.pop("error", None)
    files = ("fixed_to_moving.h5", "moving_to_fixed.h5")
    there, back = (
        read_transform(folder / file, file, given.dimension) if (folder / file).exists() else None
        for file in files
    )
    return figures | evaluate(read_pair(pair), there, back, refinement=2).to_json()


def errors_mm(trial: Figures, *, outlier: bool = False) -> Any:
    """Return the landmark errors of a trial, mm, with or without the lung pair's outlier."""
    errors = np.array(trial["landmark_errors_mm"])
    return errors if outlier else errors[np.arange(len(errors)) != OUTLIER]


def _align(folder: Path, *, method: str, pair: Pair) -> Figures:
    """Align a pair by a linear method, and write the transform."""
    images = read_pair(pair).images
    given = (images.get(name) for name in ("fixed", "moving", "fixed_mask", "moving_mask"))
    file = folder / "initial.h5"
    write_transform(LINEAR_METHODS[method](*given, folder), file)
    return {"file": str(file)}


def _measure_changed(folder: Path, *, method: Method, task: dict[str, Any]) -> Figures:
    """Measure a method with changed settings as the package measures its methods."""
    changed = (
        partial(packaged.greedy, options=method.greedy)
        if method.greedy
        else partial(packaged.nephi, settings=method.settings)
    )
    packaged.METHODS[method.name] = (changed, None)
    return method_process.run_task(folder, task)


def _write_parameters(folder: Path, *, changes: Mapping[str, str]) -> Figures:
    """Write elastix's default parameter maps, affine and B-spline, with changes.

    In a process of its own: after elastix was loaded, ITK crashes on files of displacement fields.
    """
    files = []
    for kind in ("affine", "bspline"):
        parameters = itk.ParameterObject.New()
        values = parameters.GetDefaultParameterMap(kind, 4)
        values["AutomaticTransformInitialization"] = ["true" if kind == "affine" else "false"]
        values["RequiredRatioOfValidSamples"] = ["0.05"]
        for entry, value in changes.items():
            values[entry] = [value]
        parameters.AddParameterMap(values)
        files.append(str(folder / f"{kind}.txt"))
        parameters.WriteParameterFile(files[-1])
    return {"files": files}


def mean_dice(figures: Figures) -> float:
    """Return the mean Dice of all labels, in [0, 1], of an evaluation's figures."""
    return float(np.mean(list(figures["dice"].values())))
