"""How long it takes to compile the transform, beside a transform of ITK, and to build the wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cache import ROOT, Figures
from benchmarks.study import Run, Study, tabulate

CLASSES = {
    "itk::NePhiTransform": ("itkNePhiTransform.h", "itk::NePhiTransform<double, 3>"),
    "itk::BSplineTransform": ("itkBSplineTransform.h", "itk::BSplineTransform<double, 3, 3>"),
}
"""Header and instance; the second is the peer."""

FETCHED = ROOT / "build" / "itk-headers" / "usr" / "include" / "ITK-5.4"


def measure(run: Run) -> Figures:
    """Compile a file that instantiates each class, and build the wheel."""
    output = ["-fsyntax-only"] if run.quick else ["-O2", "-c", "-o", "object.o"]
    figures = {
        name: run.trial(f"compile {name}", compile_class, name=name, output=output)
        for name in CLASSES
    }
    return figures if run.quick else figures | {"wheel": run.trial("wheel", build_wheel)}


def table(figures: Figures) -> str:
    """Return seconds, and their ratio to the peer's."""
    peer = figures[list(CLASSES)[-1]].get("seconds")
    rows = []
    for name, found in figures.items():
        rows.append([name, found.get("error", f"{found.get('seconds', 0):.1f}"), "-"])
        if "seconds" in found and peer:
            rows[-1][-1] = f"{found['seconds'] / peer:.2f}"
    return tabulate(["compiled", "seconds", "ratio to itk::BSplineTransform"], rows)


def compile_class(folder: Path, *, name: str, output: Sequence[str]) -> Figures:
    """Compile an explicit instance of a class, on one core.

    Raises
    ------
    RuntimeError
        If the headers of ITK are not there, or it does not compile.
    """
    headers = Path(os.environ.get("ITK_INCLUDE_DIR", FETCHED))
    if not (headers / "itkTransform.h").exists():
        raise RuntimeError(f"expected ITK's headers in ITK_INCLUDE_DIR or {FETCHED}, found none")
    header, instance = CLASSES[name]
    (folder / "instance.cxx").write_text(f'#include "{header}"\ntemplate class {instance};\n')
    command = ["c++", "-std=c++17", *output, "-DITK_LEGACY_REMOVE=", f"-I{ROOT / 'include'}"]
    command += ["-isystem", str(headers), "-isystem", str(headers / "itkeigen"), "instance.cxx"]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
    return {"seconds": seconds}


def build_wheel(folder: Path) -> Figures:
    """Build the wheel of a fresh copy of the checkout, with the tools that pip fetches."""
    copy = folder / "checkout"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", "build", "dist"))
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(folder), "."]
    start = time.perf_counter()
    with (folder / "log.txt").open("w") as out:
        subprocess.run(pip, cwd=copy, check=True, stdout=out, stderr=out)
    seconds = time.perf_counter() - start
    shutil.rmtree(copy)
    return {"seconds": seconds}


STUDY = Study(
    name="build",
    question="How long do the transform and the wheel take to compile?",
    time="5 minutes, two cores",
    measure=measure,
    table=table,
)
