"""A device, and what is measured on it: seconds, memory and its rate of single precision."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch

from benchmarks.cache import Figures
from benchmarks.process import begin_peak, peak_memory
from itk_nephi.fields.compiled import torch_alone

MIB = 2**20

T = TypeVar("T")


@dataclass(frozen=True)
class Device:
    """A device as the steps use it.

    Parameters
    ----------
    name : str
        ``"cuda"``; or ``"cpu"``, for a dry run of the same code at small sizes.
    """

    name: str

    @property
    def is_gpu(self) -> bool:
        """Whether it is a GPU; else all is small."""
        return self.name.startswith("cuda")

    def computing(self) -> AbstractContextManager[None]:
        """Compute by torch's operators, on the CPU as on a GPU."""
        return nullcontext() if self.is_gpu else torch_alone()

    def stream(self) -> AbstractContextManager[object]:
        """Compute on a stream of its own, where it is a GPU."""
        if not self.is_gpu:
            return nullcontext()
        return torch.cuda.stream(torch.cuda.Stream(self.name))  # type: ignore[no-untyped-call]

    def wait(self) -> None:
        """Wait until all that was begun is done."""
        if self.is_gpu:
            torch.cuda.synchronize(self.name)

    def best(self, function: Callable[[], object], runs: int = 3) -> float:
        """Return the seconds of the fastest run, after one that makes what stays."""
        function()
        seconds = []
        for _ in range(runs if self.is_gpu else 1):
            self.wait()
            start = time.perf_counter()
            function()
            self.wait()
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    def measured(self, function: Callable[[], T]) -> tuple[Figures, T]:
        """Run once; return seconds and peak memory, on a GPU that of torch's tensors; the result.

        It is computed by torch's operators.
        """
        baseline = 0.0
        if self.is_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.name)
        else:
            baseline = begin_peak()
        self.wait()
        start = time.perf_counter()
        with self.computing():
            result = function()
        self.wait()
        seconds = time.perf_counter() - start
        if self.is_gpu:
            mib = torch.cuda.max_memory_allocated(self.name) / MIB
        else:
            mib = float(peak_memory(baseline)["mib"])
        return {"seconds": round(seconds, 2), "peak MiB": round(mib)}, result

    def rate(self) -> float:
        """Return the rate of its products of matrices in single precision, operations a second."""
        side = 8192 if self.is_gpu else 512
        left, right = torch.rand(2, side, side, device=self.name)
        return 2 * side**3 / self.best(lambda: left @ right, 5)


def describe(device: Device) -> Iterator[Figures]:
    """Yield what a device is."""
    yield {
        "device": torch.cuda.get_device_name(device.name) if device.is_gpu else "cpu, a dry run",
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "fp32 TFLOP/s": round(device.rate() / 1e12, 3),
    }
