"""The itk-nephi command, run beside 3D Slicer: its arguments, its progress, and its results."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

PRESETS = ("fast", "default", "accurate")

_STEP = re.compile(r"level (\d+) of (\d+): step (\d+) of (\d+)")


@dataclass(frozen=True)
class Task:
    """What to register, and where the results go.

    Parameters
    ----------
    fixed, moving : Path
        The images.
    folder : Path
        For the results; it must not exist.
    fixed_mask, moving_mask : Path, optional
        Non-zero where the images are to be compared.
    preset : {"fast", "default", "accurate"}
        How to register.
    """

    fixed: Path
    moving: Path
    folder: Path
    fixed_mask: Path | None = None
    moving_mask: Path | None = None
    preset: str = "default"

    @property
    def warped(self) -> Path:
        """The moving image on the grid of the fixed image."""
        return self.folder / "warped.nii.gz"

    @property
    def displacement(self) -> Path:
        """The transform as a displacement field, which 3D Slicer reads."""
        return self.folder / "displacement.nii.gz"

    def commands(self, program: str) -> list[list[str]]:
        """Return the command lines: one that registers, one that converts the transform."""
        register = [program, "register", str(self.fixed), str(self.moving)]
        register += ["-o", str(self.folder), "--preset", self.preset]
        register += ["--results", "transforms,images"]
        for name in ("fixed_mask", "moving_mask"):
            if (path := getattr(self, name)) is not None:
                register += [f"--{name.replace('_', '-')}", str(path)]
        transform = str(self.folder / "fixed_to_moving.h5")
        convert = [program, "convert", transform, "--reference", str(self.fixed)]
        return [register, [*convert, "-o", str(self.displacement)]]


def find_program() -> str:
    """Return the itk-nephi command.

    Raises
    ------
    FileNotFoundError
        If it is not on the path.
    """
    program = shutil.which("itk-nephi")
    if program is None:
        raise FileNotFoundError(
            "expected the command itk-nephi on the path, found none: "
            "install it with `pip install 'itk-nephi[register]'`"
        )
    return program


class Run:
    """A task that runs in a thread; the commands are processes of their own.

    Parameters
    ----------
    task : Task
        What to do.
    report : callable
        Called from the thread with a share from 0 to 1, and a line of text.
    program : str, optional
        The itk-nephi command, found on the path when left out.
    """

    def __init__(
        self, task: Task, report: Callable[[float, str], None], program: str | None = None
    ) -> None:
        self._commands = task.commands(program or find_program())
        self._report = report
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.cancelled = False
        self.problem = ""
        """The last line of a command that failed."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def cancel(self) -> None:
        """End the command that runs; no result is kept."""
        with self._lock:
            self.cancelled = True
            if self._process is not None:
                self._process.kill()

    def is_running(self) -> bool:
        """Return whether it has not ended yet."""
        return self._thread.is_alive()

    def wait(self) -> None:
        """Return when it has ended."""
        self._thread.join()

    def _run(self) -> None:
        for command in self._commands:
            if self.cancelled or self.problem:
                return
            try:
                self._run_command(command)
            except OSError as error:
                self.problem = str(error)

    def _run_command(self, command: Sequence[str]) -> None:
        with self._lock:
            if self.cancelled:
                return
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        last = ""
        with self._process as process:
            assert process.stdout is not None
            for line in map(str.strip, process.stdout):
                last = line or last
                self._report(progress_of(line), line)
        if process.returncode != 0 and not self.cancelled:
            self.problem = last or f"{command[0]} ended with {process.returncode}"


def progress_of(line: str) -> float:
    """Return the share of steps that a line of output reports, from 0 to 1; 0 where it does not."""
    found = _STEP.search(line)
    return int(found[3]) / int(found[4]) if found else 0.0
