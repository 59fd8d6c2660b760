"""The same bytes again: in one process, in another, on other threads, and after a kill."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import itk

from benchmarks.cache import Figures
from benchmarks.pairs import Pair, lung_pair
from benchmarks.process import call_in_process
from benchmarks.study import Run, Study, tabulate
from itk_nephi.registration.pairwise import register
from itk_nephi.registration.settings import RegistrationSettings

ROUNDS: dict[str, dict[str, Any]] = {
    "A, B, A in one process": {"order": "ABA"},
    "A in a new process": {"order": "A"},
    "A with one thread": {"order": "A", "threads": 1},
    "A with three threads": {"order": "A", "threads": 3},
    "A killed half-way and resumed": {"order": "A", "killed": True},
}
"""B is the pair with its images exchanged."""


def measure(run: Run) -> Figures:
    """Register the lung pair in each of the rounds."""
    settings = run.shortened(RegistrationSettings())
    pair = lung_pair(run)
    return {
        name: run.trial(name, digest_round, pair=pair, settings=settings, **ROUNDS[name])
        for name in ROUNDS
    }


def table(figures: Figures) -> str:
    """Return whether the bytes of A's transforms are always the same, and seconds."""
    rows = [
        [
            name,
            found.get("error") or ("yes" if _digests(found) == _expected(figures) else "NO"),
            f"{found['seconds']:.0f}" if "seconds" in found else "-",
        ]
        for name, found in figures.items()
    ]
    return tabulate(["run", "the same bytes of A's transforms", "seconds"], rows)


def holds(figures: Figures) -> bool:
    """Say whether all rounds gave the same bytes."""
    return all(_digests(found) == _expected(figures) for found in figures.values())


def digest_round(
    folder: Path,
    *,
    pair: Pair,
    settings: RegistrationSettings,
    order: str,
    threads: int | None = None,
    killed: bool = False,
) -> Figures:
    """Register in a process of its own, which is killed and started again if ``killed``."""
    arguments: dict[str, Any] = {"pair": pair, "settings": settings, "order": order}
    start = time.perf_counter()
    if killed:
        arguments["checkpoint"] = folder / "checkpoint"
        try:
            call_in_process(register_in_order, folder, threads=threads, kill=True, **arguments)
        except RuntimeError as error:
            if signal.SIGKILL.name not in str(error) or not arguments["checkpoint"].exists():
                raise
    found = call_in_process(register_in_order, folder, threads=threads, **arguments)
    return found | {"seconds": time.perf_counter() - start}


def register_in_order(
    folder: Path,
    *,
    pair: Pair,
    settings: RegistrationSettings,
    order: str,
    checkpoint: Path | None = None,
    kill: bool = False,
) -> Figures:
    """Register A and B in an order, in this process; return the digest of each transform file."""
    names = ("fixed", "moving", "fixed_mask", "moving_mask")
    images = {name: itk.imread(pair[name]) for name in names}

    def kill_half_way(progress: Any) -> None:
        if kill and progress.done > progress.total / 2:
            os.kill(os.getpid(), signal.SIGKILL)

    digests = []
    for letter in order:
        one, other = names[:2] if letter == "A" else names[1::-1]
        found = register(
            images[one],
            images[other],
            fixed_mask=images[f"{one}_mask"],
            moving_mask=images[f"{other}_mask"],
            settings=settings,
            callback=kill_half_way,
            checkpoint=checkpoint,
            checkpoint_interval=0,
        )
        path = folder / "fixed_to_moving.tfm"
        itk.transformwrite(found.fixed_to_moving, str(path))
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
    return {"digests": digests}


def _digests(found: Figures) -> set[str]:
    return set(found.get("digests", [])[::2])


def _expected(figures: Figures) -> set[str]:
    return set(figures[next(iter(ROUNDS))].get("digests", [])[:1])


STUDY = Study(
    name="reproducibility",
    question="Does a registration give the same bytes again?",
    time="4 minutes, two cores",
    measure=measure,
    table=table,
    holds=holds,
)
