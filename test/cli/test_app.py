from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import itk
import pytest
from support.command_line import run
from typer.testing import Result


def test_warnings_are_one_plain_line(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    run("info", inputs / "fixed.nrrd")
    found = warnings.formatwarning(UserWarning("mind the gap"), UserWarning, "cli.py", 3)
    assert found == "itk-nephi: warning: mind the gap\n"


def test_libraries_of_itk_print_nothing_about_a_truncated_image(
    inputs: Path, tmp_path: Path
) -> None:
    path = tmp_path / "moving.mha"
    itk.imwrite(itk.imread(str(inputs / "moving.nrrd")), str(path))
    path.write_bytes(path.read_bytes()[:-100])
    code = "from itk_nephi.cli.app import main; main()"
    command = [sys.executable, "-c", code, "register", inputs / "fixed.nrrd", path, "-o", tmp_path]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert f"expected MOVING to be an image that ITK can read, got {path}" in result.stderr


def test_a_traceback_is_shown_on_demand(tmp_path: Path) -> None:
    result = run("--debug", "register", "none.mha", "none.mha", "-o", tmp_path / "output")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("itk-nephi: error: expected FIXED to be")


def test_applying_a_transform_needs_no_torch(
    registered: tuple[Path, Result], inputs: Path, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text("x,y\n1,2\n")
    transform = registered[0] / "fixed_to_moving.h5"
    moving = inputs / "moving.nrrd"
    commands = [
        ["info", transform],
        ["transform-points", tmp_path / "in.csv", transform, "-o", tmp_path / "out.csv"],
        ["transform-image", moving, transform, "--reference", moving, "-o", tmp_path / "o.mha"],
        ["convert", transform, "--reference", moving, "-o", tmp_path / "field.mha"],
        ["invert", transform, "-o", tmp_path / "inverse.h5"],
        ["jacobian", transform, "--reference", moving, "-o", tmp_path / "jacobian.mha"],
    ]
    code = f"""
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    def find_spec(name, *arguments):
        return None if name in ("torch", "matplotlib") else PathFinder.find_spec(name, *arguments)

    def find_distributions(context):
        return [] if context.name == "torch" else PathFinder.find_distributions(context)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
from itk_nephi.cli.app import app
for command in {[[str(part) for part in command] for command in commands]!r}:
    assert app(command, standalone_mode=False) in (None, 0)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "o.mha").exists()
