"""Trials that need not be made twice: their figures in JSON files, and what sums up many."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from method import preload, work
from tables import picture_to_docs, write_to_readme

from itk_nephi.evaluation.statistics import bootstrap_interval

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
"""Real images, which do not belong to the repository."""
LUNG = DATA / "lung"
LUNG_PAIR = {
    "fixed": LUNG / "fixed.mha",
    "moving": LUNG / "moving.mha",
    "fixed_mask": LUNG / "fixed_mask.mha",
    "moving_mask": LUNG / "moving_mask.mha",
    "evaluation_landmarks": LUNG / "landmarks51.csv",
}
OUTLIER = 20
"""The landmark of the lung pair that every good transform misses by more than 12 mm."""

Pair = dict[str, Path]
Method = dict[str, Any]
Figures = dict[str, Any]
Results = dict[tuple[str, str, int], Figures]
"""The figures of each trial, by the method's name, the pair's and the seed."""


def nephi(
    preset: str = "default",
    *,
    initial_transform: str = "affine",
    representation: str | None = None,
    **settings: Any,
) -> Method:
    """Return NePhi with changed settings; those of the field as a dict."""
    options: dict[str, Any] = {
        "preset": preset,
        "initial_transform": initial_transform,
        "settings": settings,
    }
    if representation is not None:
        options["representation"] = representation
    return {"method": "nephi", "options": options}


def elastix(grid_spacing: float = 10.0) -> Method:
    """Return elastix with its default parameter maps and a spacing of the control points, mm."""
    return {"method": "elastix", "options": {"grid_spacing": grid_spacing, "iterations": None}}


def shortened(method: Method) -> Method:
    """Return a method that takes only a few steps."""
    options = dict(method["options"])
    if method["method"] == "nephi":
        options["settings"] = options["settings"] | {"steps": 3}
    else:
        options["iterations"] = 3
    return method | {"options": options}


def run(method: Method, pair: Pair, folder: Path, seed: int) -> Figures:
    """Register a pair in a process of its own, see :func:`method.work`; return its figures.

    The process is forked from this one, which has loaded the libraries.

    Raises
    ------
    RuntimeError
        If it fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    preload()
    paths = {name: str(path) for name, path in pair.items()}
    arguments = (method["method"], method["options"], paths, folder, seed)
    process = get_context("fork").Process(target=work, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        last = ((folder / "log.txt").read_text().strip().splitlines() or [""])[-1]
        raise RuntimeError(f"exit status {process.exitcode}: {last}")
    return dict(json.loads((folder / "figures.json").read_text()))


def results_of(
    folder: Path, methods: dict[str, Method], pairs: dict[str, Pair], seeds: int, *, quick: bool
) -> Results:
    """Run methods on pairs; every other time the last method first; with few steps if ``quick``."""
    results: Results = {}
    for number, (seed, name) in enumerate(product(range(seeds), pairs)):
        for method in list(methods)[:: -1 if number % 2 else 1]:
            trial = re.sub(r"[^-.=\w]+", "-", f"{method} {seed}")
            place = folder / name / trial
            asked = shortened(methods[method]) if quick else methods[method]
            results[method, name, seed] = once(
                folder / name / f"{trial}.json",
                partial(run, asked, pairs[name], place, seed),
            )
    return results


def chosen(results: Results, method: str, pair: str | None = None) -> list[Figures]:
    """Return the figures of a method's trials that did not fail, of one pair or of all."""
    return [
        figures
        for (name, of, _), figures in results.items()
        if name == method and pair in (None, of) and "error" not in figures
    ]


def failures(results: Results, method: str) -> str:
    """Return how many trials of a method failed."""
    return str(sum("error" in f for (name, *_), f in results.items() if name == method))


def once(path: Path, trial: Callable[[], Figures]) -> Figures:
    """Return the figures of a trial from its file; make it and write them where there is none.

    A trial that fails ends with its reason as the only figure, ``error``, and without a file, so
    that the next call makes it anew.
    """
    if path.exists():
        return dict(json.loads(path.read_text()))
    path.parent.mkdir(parents=True, exist_ok=True)
    say(f"{path.parent.name}/{path.stem} ...")
    start = time.perf_counter()
    try:
        figures = trial()
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        figures = {"error": str(error)}
    say(f"{path.parent.name}/{path.stem}: {time.perf_counter() - start:.0f} s {_short(figures)}")
    if not figures.get("error"):
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(figures, indent=2) + "\n")
        unfinished.replace(path)
    return figures


def subfolder(arguments: argparse.Namespace) -> Path:
    """Return the folder of all trials, another one for those with few steps."""
    output: Path = arguments.output.resolve()
    return output / "quick" if arguments.quick else output


def run_parts(parts: dict[str, Callable[[Path, bool], str]], title: str, *, mark: str) -> None:
    """Run those parts of a benchmark that the command line names; print and keep their tables.

    Parameters
    ----------
    parts : dict of str to callable
        Each makes its trials in a folder, few if it is to be quick, and returns its table.
    title : str
        What ``--help`` says.
    mark : str
        What stands in the README around a table, with {} for the part's name.
    """
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("parts", nargs="+", choices=parts)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="few steps and few trials")
    parser.add_argument("--readme", action="store_true", help="write the tables into the README")
    arguments = parser.parse_args()
    output = subfolder(arguments)
    for part in arguments.parts:
        text = parts[part](output / part, arguments.quick)
        sys.stdout.write(f"{part}\n\n{text}\n\n")
        if arguments.readme:
            write_to_readme(mark.format(part), text)
            for picture in (output / part).glob("*.png"):
                picture_to_docs(picture)


def say(text: str) -> None:
    """Print a line of progress."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Return the mean of values, and their standard deviation where there are several."""
    if not values:
        return "-"
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def mean_interval(differences: Any, digits: int = 3) -> str:
    """Return the mean of paired differences and its 95 % interval by the bootstrap."""
    low, high = bootstrap_interval(differences)
    return f"{np.mean(differences):+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"


def _short(figures: dict[str, Any]) -> str:
    numbers = {k: v for k, v in figures.items() if isinstance(v, (int, float, str))}
    return ", ".join(
        f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in numbers.items()
    )
