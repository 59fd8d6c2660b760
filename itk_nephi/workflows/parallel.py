"""Several computations at a time, on processes of this machine or on a Dask cluster."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

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
        If the workers at ``address`` have several threads.
    ImportError
        If distributed is not installed.
    """
    try:
        from distributed import Client, KilledWorker, LocalCluster, as_completed
    except ModuleNotFoundError as error:
        raise ImportError(
            "several pairs at a time need distributed: install itk-nephi[batch]"
        ) from error
    cluster: Any = nullcontext(address)
    if address is None:
        with _interrupts_ignored():  # the workers inherit it: Ctrl-C is for this process alone
            cluster = LocalCluster(
                n_workers=jobs,
                threads_per_worker=1,
                memory_limit=0,
                dashboard_address="127.0.0.1:0",
                silence_logs="CRITICAL",
            )
    with cluster as scheduler, Client(scheduler) as client:
        threads = {worker["nthreads"] for worker in client.scheduler_info(-1)["workers"].values()}
        if threads - {1}:
            raise ValueError(
                f"expected workers of one thread each (dask worker --nthreads 1) at {address}, got "
                f"{max(threads)}"
            )
        futures = {client.submit(function, item, pure=False): item for item in items}
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except KilledWorker:
                yield futures[future], None


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
