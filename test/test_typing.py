"""What a type checker knows of a user's script."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import itk
import itk_nephi
from itk_nephi.spatial import transform_points

fixed = itk.imread("fixed.nii.gz", itk.F)
moving = itk.imread("moving.nii.gz", itk.F)
settings = itk_nephi.RegistrationSettings.preset("fast", similarity="mind_ssc")
registration = itk_nephi.register(fixed, moving, settings=settings, seed=1)
points = transform_points(registration.fixed_to_moving, [[1.0, 2.0, 3.0]])
reveal_type(settings.steps)
reveal_type(registration)
reveal_type(points)
reveal_type(registration.history[0].losses)
"""

KNOWN = [
    "int",
    "itk_nephi.registration.result.Registration",
    "numpy.ndarray[tuple[Any, ...], numpy.dtype[numpy.float64]]",
    "dict[str, float]",
]


@pytest.mark.slow
def test_the_types_of_a_script_are_known(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "mypy", "--strict", tmp_path / "script.py"]
    options = ["--config-file", Path(__file__).parents[1] / "pyproject.toml"]
    options += ["--cache-dir", tmp_path / "cache"]
    result = subprocess.run([*command, *options], check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    revealed = re.findall(r'Revealed type is "(.*)"', result.stdout)
    assert [each.replace("builtins.", "") for each in revealed] == KNOWN

    wrong = SCRIPT.replace("seed=1", "seed='one'")
    (tmp_path / "script.py").write_text(wrong)
    result = subprocess.run([*command, *options], check=False, capture_output=True, text=True)
    assert "[arg-type]" in result.stdout
