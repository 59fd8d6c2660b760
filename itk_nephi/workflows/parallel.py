"""Several computations at a time, on processes of this machine or on a Dask cluster."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, TypeVar

from itk_nephi.extras import named_extras
from itk_nephi.io.errors import plain_words

PATIENCE = 15
"""For how many seconds a scheduler, or a worker, may not be there."""

INTERVAL = 2
"""How often it is looked for them, seconds."""

Item = TypeVar("Item")

Result = TypeVar("Result")


def run_parallel(
    function: Callable[[Item], Result], items: Sequence[Item], jobs: int, address: str | None
) -> Iterator[tuple[Item, Result | None]]:
    """Apply a function to items elsewhere; what a process that dies has begun, another does.

    Parameters
    ----------
    function : callable
        What to compute; it, the items and the results can be pickled.
    items : sequence
        Of what.
    jobs : int
        How many processes of this machine do it, without ``address``.
    address : str, optional
        Of a Dask scheduler whose workers do it.

    Yields
    ------
    item, result
        As they end; None is the result of what was begun several times and killed each time.

    Raises
    ------
    ValueError
        If no scheduler answers at ``address``, or it has no workers, workers of several threads, or
        of other versions.
    RuntimeError
        If the scheduler, or all workers, are lost on the way.
    ImportError
        If distributed is not installed.
    """
    with named_extras():
        from distributed import Client
    cluster: Any = _local_cluster(jobs) if address is None else nullcontext(address)
    with cluster as scheduler, _quiet():
        try:
            client = Client(scheduler, timeout=PATIENCE)
        except (OSError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"expected a Dask scheduler at {address}, got none that answers: "
                f"{plain_words(error)}"
            ) from error
        with client:
            _check_workers(client, address)
            futures = {client.submit(function, item, pure=False): item for item in items}
            yield from _ended(client, futures, address)


@contextmanager
def _local_cluster(jobs: int) -> Iterator[Any]:
    """Give a cluster of processes of this machine."""
    from distributed import LocalCluster

    with _interrupts_ignored():  # the workers inherit it: Ctrl-C is for this process alone
        cluster = LocalCluster(
            n_workers=jobs,
            threads_per_worker=1,
            memory_limit=0,
            dashboard_address="127.0.0.1:0",
            silence_logs="CRITICAL",
        )
    try:
        yield cluster
    finally:
        # one that was killed, and is about to be replaced, cannot be waited for
        with suppress(AssertionError):
            cluster.close()


def _check_workers(client: Any, address: str | None) -> None:
    """Raise unless there are workers, of one thread each, with the versions of this process."""
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError:
        raise ValueError(
            f"expected workers at {address}, got a Dask scheduler without any: start some with "
            f"`dask worker {address} --nthreads 1`"
        ) from None
    threads = {worker["nthreads"] for worker in client.scheduler_info(-1)["workers"].values()}
    if threads - {1}:
        raise ValueError(
            f"expected workers of one thread each (dask worker --nthreads 1) at {address}, got "
            f"{max(threads)}"
        )
    found = client.get_versions()
    ours = _versions(found["client"])
    for name, theirs in {"the scheduler": found["scheduler"], **found["workers"]}.items():
        if _versions(theirs) != ours:
            raise ValueError(
                f"expected the versions of this process at {address}, {ours}, got "
                f"{_versions(theirs)} of {name}"
            )


def _versions(found: Any) -> str:
    packages = (found or {}).get("packages", {})
    python = ".".join(str(packages.get("python", "")).split(".")[:2])
    return f"distributed {packages.get('distributed')} on Python {python}"


def _ended(
    client: Any, futures: dict[Any, Item], address: str | None
) -> Iterator[tuple[Item, Any]]:
    """Yield what futures return as they end; raise where they cannot."""
    from distributed import CancelledError, KilledWorker, wait

    waiting, seen = set(futures), time.monotonic()
    while waiting:
        try:
            done = wait(waiting, timeout=INTERVAL, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            done = set()
        except (CancelledError, OSError, ValueError) as error:
            raise RuntimeError(_lost("scheduler", address)) from error
        for future in done:
            try:
                result = future.result()
            except KilledWorker:
                result = None
            except (CancelledError, OSError) as error:
                raise RuntimeError(_lost("scheduler", address)) from error
            yield futures[future], result
        waiting -= done
        if client.status != "running":
            raise RuntimeError(_lost("scheduler", address))
        # of this machine, dead workers are replaced
        if done or address is None or client.scheduler_info(-1)["workers"]:
            seen = time.monotonic()
        elif time.monotonic() - seen > PATIENCE:
            raise RuntimeError(_lost("last worker", address))


def _lost(what: str, address: str | None) -> str:
    where = "of this machine" if address is None else f"at {address}"
    return f"lost the {what} {where}; what is done stays, the same command resumes from here"


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out the log of Dask, whose tracebacks are sentences here."""
    logger = logging.getLogger("distributed")
    usual = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(usual)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # Ctrl-C goes elsewhere
        yield
        return
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
