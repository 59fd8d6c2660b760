"""What an install without extras can do, and what it says of the rest."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest

from itk_nephi.extras import EXTRAS
from itk_nephi.phantoms.pairs import triangles_and_circles

ROOT = Path(__file__).parents[1]
WITHOUT_TORCH = ["spatial", "alignment", "io", "evaluation", "phantoms", "visualization"]
OPTIONAL = [module for modules in EXTRAS.values() for module in modules]


def python_without(missing: list[str], code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter in which some packages are not installed."""
    hide = f"""
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    def find_spec(name, *arguments):
        return None if name in {missing!r} else PathFinder.find_spec(name, *arguments)

    def find_distributions(context):
        return [] if context.name in {missing!r} else PathFinder.find_distributions(context)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
"""
    command = [sys.executable, "-c", hide + code]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def run_without(missing: list[str], code: str) -> None:
    result = python_without(missing, code)
    assert result.returncode == 0, result.stderr


FILTER = """
import itk
image = itk.Image[itk.F, 2].New()
image.SetRegions([8, 8])
image.Allocate()
itk.nephi_registration_method(image, image)
"""

BATCH = """
from itk_nephi.workflows.parallel import run_parallel
next(run_parallel(abs, [1], 2, None))
"""

TRAINING = """
from itk_nephi.training import PhantomPairs, TrainingSettings, train
from itk_nephi import ModelSettings
from pathlib import Path
pairs = PhantomPairs(phantom="triangles_and_circles", count=1, size=16)
train(pairs, pairs, ModelSettings(size=(16, 16), spacing=(1, 1)), TrainingSettings(), Path("out"))
"""


def told_without(missing: list[str], code: str) -> str:
    """Return the message of the ImportError that code raises where packages are missing."""
    errors = python_without(missing, code).stderr
    found = re.findall(r"^ImportError: (.*)", errors, re.MULTILINE)
    assert found, errors
    return str(found[-1])


@pytest.mark.parametrize("package", WITHOUT_TORCH)
def test_transforms_are_read_applied_judged_and_drawn_without_torch(package: str) -> None:
    run_without(["torch"], f"from itk_nephi.{package} import *; assert 'torch' not in sys.modules")


@pytest.mark.parametrize(
    ("missing", "extra", "code"),
    [
        ("torch", "register", "from itk_nephi import register"),
        ("torch", "register", "import itk_nephi; itk_nephi.load_model"),
        ("torch", "register", "from itk_nephi.fields import Deformation"),
        ("PIL", "register", "from itk_nephi.visualization import draw_overview"),
        ("torch", "register", FILTER),
        ("distributed", "batch", BATCH),
        ("lightning_fabric", "train", TRAINING),
    ],
)
def test_what_brings_a_missing_package_is_one_sentence(missing: str, extra: str, code: str) -> None:
    assert told_without([missing], code) == (
        f"expected {missing} to be installed, found none: "
        f"`pip install 'itk-nephi[{extra}]'` brings it"
    )


@pytest.mark.parametrize(
    ("hidden", "remedy"),
    [
        ("itk", "expected itk, found none: install it with `pip install 'itk>=5.4.2,<5.5'`"),
        ("itkConfig", "expected itk, found none: install it with `pip install 'itk>=5.4.2,<5.5'`"),
        ("itk.Configuration.NePhiConfig", "expected its compiled module beside the itk package"),
    ],
)
def test_what_is_missing_of_itk_is_told(hidden: str, remedy: str) -> None:
    """Without its wheels a folder itk is left, with our module in it: itkConfig lacks."""
    told = told_without([hidden], "from itk_nephi.spatial import light_itk; light_itk.Image[0, 1]")
    assert told.startswith(f"itk-nephi: {remedy}")


def test_the_command_asks_for_what_it_lacks(tmp_path: Path) -> None:
    code = """
from itk_nephi.cli.app import app
app(["demo", "-o", FOLDER])
""".replace("FOLDER", repr(str(tmp_path / "demo")))
    result = python_without(OPTIONAL, code)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].endswith(
        "found none: `pip install 'itk-nephi[register]'` brings it"
    )


def test_a_registration_and_its_report_need_no_matplotlib(tmp_path: Path) -> None:
    """It takes longest to load, next to torch."""
    pair = triangles_and_circles(2, size=24)
    for name in ("fixed", "moving"):
        itk.imwrite(pair.images[name], tmp_path / f"{name}.mha")
    images = [str(tmp_path / f"{name}.mha") for name in ("fixed", "moving")]
    code = f"""
from itk_nephi.cli.app import app
arguments = ["register", *{images!r}, "-o", {str(tmp_path / "out")!r}, "--steps", "1"]
assert app(arguments, standalone_mode=False) in (None, 0)
"""
    run_without(["matplotlib"], code)
    assert {"overview.png", "report.html"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_every_optional_dependency_is_known() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra, modules in EXTRAS.items():
        required = " ".join(project["optional-dependencies"][extra]).replace("pillow", "PIL")
        packages = re.findall(r"(?<![\[\w-])([\w-]+)(?=>=)", required)
        assert {name.replace("-", "_") for name in packages} == set(modules)


@pytest.mark.parametrize("dimension", [2], indirect=True)
def test_applying_a_transform_needs_no_extra(
    diffeomorphism: Any, image: Any, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text("x,y\n-30,13\n")
    transform, moving = tmp_path / "transform.h5", tmp_path / "moving.mha"
    itk.transformwrite(diffeomorphism, str(transform))
    itk.imwrite(image, str(moving))
    commands = [
        ["info", transform],
        ["transform-points", tmp_path / "in.csv", transform, "-o", tmp_path / "out.csv"],
        ["transform-image", moving, transform, "--reference", moving, "-o", tmp_path / "o.mha"],
        ["convert", transform, "--reference", moving, "-o", tmp_path / "field.mha"],
        ["invert", transform, "-o", tmp_path / "inverse.h5"],
        ["jacobian", transform, "--reference", moving, "-o", tmp_path / "jacobian.mha"],
    ]
    code = f"""
from itk_nephi.cli.app import app
for command in {[[str(part) for part in command] for command in commands]!r}:
    assert app(command, standalone_mode=False) in (None, 0)
"""
    run_without(OPTIONAL, code)
    expected = itk.resample_image_filter(
        image, transform=diffeomorphism, use_reference_image=True, reference_image=image
    )
    np.testing.assert_array_equal(itk.imread(str(tmp_path / "o.mha")), expected)
    moved = np.loadtxt(tmp_path / "out.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(moved, diffeomorphism.TransformPoint([-30.0, 13.0]), rtol=1e-14)
    field = np.asarray(itk.imread(str(tmp_path / "field.mha")))
    points = [image.TransformIndexToPhysicalPoint([i, 2]) for i in range(5)]
    there = [np.subtract(diffeomorphism.TransformPoint(point), point) for point in points]
    np.testing.assert_allclose(field[2, :5], there, atol=1e-5)
    (inverse,) = itk.transformread(str(tmp_path / "inverse.h5"))
    affine, undone = diffeomorphism.GetNthTransform(0), inverse.GetNthTransform(1)
    np.testing.assert_allclose(undone.TransformPoint(affine.TransformPoint([1.0, 2.0])), [1.0, 2.0])
    determinants = np.asarray(itk.imread(str(tmp_path / "jacobian.mha")))
    step = 0.02 * np.eye(2)  # mm, far above what single precision rounds
    ahead, behind = (
        [diffeomorphism.TransformPoint((np.array(points[2]) + sign * row).tolist()) for row in step]
        for sign in (1, -1)
    )
    jacobian = np.subtract(ahead, behind) / 0.04
    np.testing.assert_allclose(determinants[2, 2], np.linalg.det(jacobian), rtol=2e-3)
