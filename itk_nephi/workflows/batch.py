"""Many pairs with the same settings: one folder each, written atomically, and a summary."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from itk_nephi.fields.threads import torch_threads
from itk_nephi.io.errors import plain_words
from itk_nephi.io.pair_files import PairPaths
from itk_nephi.io.staging import locked, sync, temporary_folder
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.spatial import light_itk as itk
from itk_nephi.workflows.file_registration import register_files
from itk_nephi.workflows.outputs import RESULTS, checked_results, files
from itk_nephi.workflows.parallel import run_parallel
from itk_nephi.workflows.provenance import sha256

RECORD = "batch.json"
"""The file that makes a pair's folder complete: what it was made from, and its warnings."""

UNNAMED = "batch.json.partial"
"""The same before all files are on the disk."""


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """What all pairs of a batch have in common.

    Parameters
    ----------
    registration : RegistrationSettings
        How each pair is registered.
    device : str
        What torch calls it.
    seed : int
        The seed of each pair.
    threads : int
        Threads that compute a pair. The result is the same on any number, so that a pair is not
        done anew for another.
    results : tuple of str
        What is written, see :func:`itk_nephi.workflows.register_files`.

    Raises
    ------
    ValueError
        If there is not at least one thread, a name of ``results`` is unknown, or the dissimilarity
        is a function, of whose changes no later run could know.
    """

    registration: RegistrationSettings
    device: str = "cpu"
    seed: int = 0
    threads: int = 1
    results: tuple[str, ...] = tuple(RESULTS)

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ValueError(f"expected at least one thread, got {self.threads}")
        checked_results(self.results, "results")
        if self.registration.dissimilarity is not None:
            raise ValueError(
                "expected a similarity that has a name, got a dissimilarity, of whose changes the "
                "next run of a batch could not know: take register_files for each pair"
            )


@dataclass(frozen=True, kw_only=True)
class PairOutcome:
    """How a pair ended.

    Parameters
    ----------
    pair : PairPaths
        Which one.
    reason : str
        Why it failed; empty if it did not.
    earlier : bool
        Whether it had been done before: in an earlier run, or by a worker killed since.
    seconds : float
        What it took now.
    """

    pair: PairPaths
    reason: str = ""
    earlier: bool = False
    seconds: float = 0.0


def run_batch(
    pairs: Sequence[PairPaths],
    output: Path,
    settings: BatchSettings,
    *,
    jobs: int = 1,
    dask: str | None = None,
) -> Iterator[PairOutcome]:
    """Register pairs, each into the folder of its name; what is done already is not done again.

    Parameters
    ----------
    pairs : sequence of PairPaths
        What to register, see :func:`itk_nephi.io.pair_table.read_pair_table`.
    output : Path
        Where the folders go. A folder appears when it is complete.
    settings : BatchSettings
        How. A pair whose folder was made with other settings, files or versions, or lacks some of
        its results, is done anew.
    jobs : int
        How many pairs at a time, each in a process of its own if more than one.
    dask : str, optional
        The address of a Dask scheduler whose workers see the same files and have one thread each,
        to compute there instead.

    Yields
    ------
    PairOutcome
        One for each pair, as they end. The results do not depend on ``jobs`` and ``dask``.

    Raises
    ------
    ValueError
        If an argument is not what it should be, another batch writes to the folder, or it holds
        what no batch has made under the name of a pair.
    ImportError
        If distributed is needed and not installed.
    """
    if jobs < 1:
        raise ValueError(f"expected at least one job, got {jobs}")
    output = output.absolute()
    foreign = [
        pair.name
        for pair in pairs
        if (output / pair.name).exists() and not (output / pair.name / RECORD).is_file()
    ]
    if foreign:
        raise ValueError(
            f"expected {output} to hold nothing of a pair's name but what a batch has made, got "
            + ", ".join(foreign)
        )
    for pair in pairs:
        results = [output / pair.name / name for name in files(RESULTS)]
        if replaced := [path for path in pair.files.values() if path.absolute() in results]:
            raise ValueError(
                f"expected results of {pair.name} to replace no input, got {replaced[0]} as both"
            )
    with locked(output, "batch"):
        if jobs == 1 and dask is None:
            for pair in pairs:
                yield run_pair(pair, output, settings)
        else:
            compute = partial(run_pair, output=output, settings=settings)
            for pair, outcome in run_parallel(compute, pairs, min(jobs, len(pairs)), dask):
                reason = "its process was killed again and again, perhaps for lack of memory"
                yield outcome or PairOutcome(pair=pair, reason=reason)


def run_pair(pair: PairPaths, output: Path, settings: BatchSettings) -> PairOutcome:
    """Register one pair into its folder, unless it is there; see :func:`run_batch`.

    Raises
    ------
    KeyboardInterrupt
        If interrupted; nothing of the pair is kept.
    """
    start = time.perf_counter()
    folder = output / pair.name
    try:
        digest = _digest(pair, settings)
        earlier = _recorded_digest(folder) == digest
        if not earlier:
            with temporary_folder(folder, beside=True) as stage:
                with _threads(settings.threads), warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always", UserWarning)
                    register_files(
                        pair,
                        stage,
                        settings=settings.registration,
                        device=settings.device,
                        seed=settings.seed,
                        results=settings.results,
                        interrupted=_stop,
                    )
                record = {
                    "digest": digest,
                    "warnings": [str(entry.message) for entry in caught],
                    "files": sorted(file.name for file in stage.iterdir()),
                }
                text = json.dumps(record, indent=2) + "\n"
                (stage / UNNAMED).write_text(text, encoding="utf-8")
                for file in stage.iterdir():
                    sync(file)
                _put(stage, folder, digest)
    except Exception as error:
        reason = plain_words(error)
        return PairOutcome(pair=pair, reason=reason, seconds=time.perf_counter() - start)
    return PairOutcome(pair=pair, earlier=earlier, seconds=time.perf_counter() - start)


def _stop(_: int) -> None:
    raise KeyboardInterrupt


def _put(stage: Path, folder: Path, digest: str) -> None:
    """Rename a complete folder; one that was made otherwise keeps what is not of a batch in it.

    While its files are replaced, its record is that of an incomplete folder.
    """
    (stage / UNNAMED).rename(stage / RECORD)
    try:
        stage.rename(folder)
    except OSError:
        found = _recorded_digest(folder)
        if found is None:
            raise
        if found != digest:  # else a worker that was given up was quicker
            (folder / RECORD).write_text("{}\n", encoding="utf-8")
            made = sorted(stage.iterdir(), key=lambda path: path.name == RECORD)
            for name in {*files(RESULTS)} - {file.name for file in made}:
                (folder / name).unlink(missing_ok=True)
            for file in made:
                file.replace(folder / file.name)
    sync(folder)


def _digest(pair: PairPaths, settings: BatchSettings) -> str:
    """Return the checksum of all that decides on a result."""
    decisive = {name: value for name, value in asdict(settings).items() if name != "threads"}
    parts = decisive | {
        "files": {column: sha256(path) for column, path in pair.files.items()},
        "initial_transform": "initial_transform" not in pair.files and pair.initial_transform,
        "channel_weights": pair.channel_weights,
        "versions": [importlib.metadata.version(name) for name in ("itk-nephi", "itk", "torch")],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _recorded_digest(folder: Path) -> str | None:
    """Return of what a folder was made; empty if it is incomplete, None if no batch made it."""
    if not (folder / RECORD).is_file():
        return None
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        is_whole = all((folder / name).is_file() for name in record["files"])
        return str(record["digest"]) if is_whole else ""
    except (ValueError, KeyError, TypeError):  # as after a power failure
        return ""


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Compute on this many threads, in torch and ITK."""
    usual = itk.MultiThreaderBase.GetGlobalDefaultNumberOfThreads()
    itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(count)
    try:
        with torch_threads(count):
            yield
    finally:
        itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(usual)
