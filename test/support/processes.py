"""What a fresh process is asked to do."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.process import begin_peak, peak_memory


def look_around(_folder: Path, *, path: Path) -> dict[str, Any]:
    return {"process": os.getpid(), "threads": os.environ["OMP_NUM_THREADS"], "name": path.name}


def fail(_folder: Path) -> dict[str, Any]:
    raise ValueError("expected more")


def kill(_folder: Path) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def count_memory(_folder: Path) -> dict[str, Any]:
    """Hold 40 MiB before the baseline, and 100 MiB after it."""
    np.ones(40 * 2**17)
    baseline = begin_peak()
    np.ones(100 * 2**17)
    return {"baseline": baseline, "beyond": peak_memory(baseline), "whole": peak_memory()}
