"""What a type checker knows of a user's script."""

from __future__ import annotations

import json
import re
import shutil
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
transform = itk.NePhiTransform[itk.D, 3].New()
warped, found = itk.nephi_registration_method(fixed, moving, steps=5)
reveal_type(settings.steps)
reveal_type(registration)
reveal_type(points)
reveal_type(registration.history[0].losses)
reveal_type(transform.TransformPoints([[1.0, 2.0, 3.0]]))
reveal_type(transform.GetSpacing())
reveal_type(found)
"""

KNOWN = [
    "int",
    "itk_nephi.registration.result.Registration",
    "numpy.ndarray[tuple[Any, ...], numpy.dtype[numpy.float64]]",
    "dict[str, float]",
    "numpy.ndarray[tuple[Any, ...], numpy.dtype[numpy.float64]]",
    "tuple[float, ...]",
    "itk_nephi.registration.result.Registration",
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

    for right, wrong in (("seed=1", "seed='one'"), ('preset("fast"', 'preset("quick"')):
        (tmp_path / "script.py").write_text(SCRIPT.replace(right, wrong))
        result = subprocess.run([*command, *options], check=False, capture_output=True, text=True)
        assert "[arg-type]" in result.stdout


@pytest.mark.slow
def test_pyright_knows_all_types_of_a_script(tmp_path: Path) -> None:
    pyright = shutil.which("basedpyright", path=f"{Path(sys.executable).parent}")
    if pyright is None:
        pytest.skip("needs basedpyright")
    (tmp_path / "script.py").write_text(re.sub("reveal_type", "print", SCRIPT))
    config = {"typeCheckingMode": "strict", "extraPaths": [str(Path(__file__).parents[1])]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config))
    command = [pyright, "--project", tmp_path, "--pythonpath", sys.executable]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert "0 errors, 0 warnings" in result.stdout
