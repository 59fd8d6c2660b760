"""One archive of all that the steps load, but for Python, torch and numpy.

The steps run once at small sizes, to see what they load: of ITK only these files are packed, its
compiled modules stripped; of other packages all modules.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.cache import ROOT
from benchmarks.gpu.run import STEPS
from benchmarks.process import environment

MOST_BYTES = 60 * 2**20

PACKAGES = (
    *("itk", "itkConfig", "lazy_loader", "safetensors"),
    *("lightning_fabric", "lightning_utilities", "packaging", "tensorboard", "google", "absl"),
    *("pytest", "_pytest", "pluggy", "iniconfig", "py", "pygments"),
)
"""What the package, its trainings and its tests import."""

ON_THE_MACHINE = (
    *("torch", "torchgen", "functorch", "numpy"),
    *("filelock", "fsspec", "jinja2", "markupsafe", "mpmath", "networkx", "sympy"),
    *("setuptools", "_distutils_hack", "typing_extensions"),
)
"""What a bare machine with torch has."""

CHECKOUT = (
    "pyproject.toml",
    "benchmarks/**/*.py",
    "itk_nephi/**/*.py",
    "itk_nephi/**/*.pyi",
    "test/conftest.py",
    "test/support/*.py",
    "test/test_devices.py",
    "test/fields/test_device.py",
)
"""What is packed of the checkout."""

BESIDE_MODULES = (".py", ".json", ".ini", ".info", ".typed", ".toml")


def main(archive: Path) -> None:
    """Write the archive."""
    with TemporaryDirectory() as temporary:
        folder, seen = Path(temporary) / "packed", Path(temporary) / "loaded.json"
        site = site_folder()
        command = [sys.executable, "-S", "-m", "benchmarks.gpu.pack", "--loaded", str(seen)]
        paths = [str(ROOT), str(bare_site(site, Path(temporary) / "site"))]
        variables = environment() | {"PYTHONPATH": os.pathsep.join(paths)}
        subprocess.run(command, env=variables, check=True)
        for pattern in CHECKOUT:
            for path in ROOT.glob(pattern):
                copy(path, folder / path.relative_to(ROOT))
        for path in chosen([Path(each).resolve() for each in json.loads(seen.read_text())], site):
            copy(path, folder / "packages" / path.relative_to(site))
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive, "w:xz", preset=3) as packed:
            packed.add(folder, arcname=".")
    size = archive.stat().st_size
    if size > MOST_BYTES:
        raise RuntimeError(f"expected an archive of at most {MOST_BYTES} bytes, got {size}")
    sys.stdout.write(f"{archive}: {size / 2**20:.1f} MiB\n")


def write_loaded(path: Path) -> None:
    """Run all steps at small sizes, and write the files that were loaded."""
    for step in STEPS:
        for row in step.run("cpu"):
            if not row.get("holds", True):
                raise RuntimeError(f"expected a dry run of {step.name} that holds, got {row}")
    modules = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    maps = Path("/proc/self/maps").read_text().splitlines()
    mapped = [line.split()[-1] for line in maps if "/" in line]
    path.write_text(json.dumps(sorted({each for each in [*modules, *mapped] if each})))


def bare_site(site: Path, folder: Path) -> Path:
    """Make and return a folder of links to what a bare machine and the archive have."""
    folder.mkdir()
    for path in site.iterdir():
        name = path.name.split(".")[0]
        if name in (*PACKAGES, *ON_THE_MACHINE) or path.suffix in (".libs", ".dist-info"):
            (folder / path.name).symlink_to(path)
    return folder


def site_folder() -> Path:
    """Return where packages are installed."""
    return Path(str(importlib.import_module("itkConfig").__file__)).resolve().parent


def chosen(loaded: Iterable[Path], site: Path) -> list[Path]:
    """Return the files to pack: those loaded of ITK, and all modules of other loaded packages.

    Raises
    ------
    RuntimeError
        If a package has compiled modules of one version of Python.
    """
    found, others = [], set()
    for path in loaded:
        if not path.is_relative_to(site):
            continue
        top = path.relative_to(site).parts[0]
        if top in ("itk", "itkConfig.py", "itk_core.libs"):
            found.append(path)
        elif top.removesuffix(".py") in PACKAGES:
            others.add(top)
            if ".so" in path.name and "abi3" not in path.name:
                raise RuntimeError(f"expected modules in Python or for abi3, got {path}")
            found += [path] if ".so" in path.name else []
    found += sorted((site / "itk" / "Configuration").glob("*.py"))
    for top in sorted(others):
        whole = [site / top, *sorted((site / top).rglob("*"))]
        found += [each for each in whole if each.suffix in BESIDE_MODULES]
    for name in (*sorted(others), "itk_nephi"):
        found += site.glob(f"{name}-*.dist-info/METADATA")
    return [path for path in dict.fromkeys(found) if "tests" not in path.parts]


def copy(path: Path, target: Path) -> None:
    """Copy a file; of a compiled module not what only debuggers and linkers need."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if ".so" in path.name:
        subprocess.run(["strip", "--strip-unneeded", "-o", target, path], check=True)
    else:
        shutil.copy(path, target)


if __name__ == "__main__":
    if sys.argv[1] == "--loaded":
        write_loaded(Path(sys.argv[2]))
    else:
        main(Path(sys.argv[1]))
