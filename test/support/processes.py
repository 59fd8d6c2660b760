"""What a fresh process is asked to do."""

import os
import signal
from pathlib import Path
from typing import Any


def look_around(_folder: Path, *, path: Path) -> dict[str, Any]:
    return {"process": os.getpid(), "threads": os.environ["OMP_NUM_THREADS"], "name": path.name}


def fail(_folder: Path) -> dict[str, Any]:
    raise ValueError("expected more")


def kill(_folder: Path) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}
