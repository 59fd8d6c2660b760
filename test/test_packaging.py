"""What is distributed, as the project files say; `make check-dist` builds it."""

from __future__ import annotations

import re
import subprocess
import tomllib
from distutils.core import run_setup
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from setuptools.command.build_py import build_py
from setuptools.command.egg_info import egg_info
from setuptools.dist import Distribution

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.filterwarnings(
    "ignore:Unknown distribution option. 'cmake_source_dir'",  # only builds need scikit-build-core
    "ignore:`.tool.distutils.` in `pyproject.toml` is still .experimental.",
)


@pytest.fixture
def distribution(monkeypatch: pytest.MonkeyPatch) -> Distribution:
    monkeypatch.chdir(ROOT)
    return run_setup("setup.py", stop_after="config")


def tracked_files() -> set[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("needs a git checkout")
    return {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}


def test_every_folder_with_an_init_is_a_package(distribution: Distribution) -> None:
    folders = {path.parent.relative_to(ROOT) for path in ROOT.glob("itk_nephi/**/__init__.py")}
    packages = {".".join(folder.parts) for folder in folders}
    assert set(distribution.packages) == packages | {"itk-stubs"}


def test_the_wheel_holds_every_file_of_the_package(distribution: Distribution) -> None:
    command: build_py = distribution.get_command_obj("build_py")
    command.ensure_finalized()
    held = set(command.get_source_files())
    held |= {f"{folder}/{name}" for _, folder, _, names in command.data_files for name in names}
    folders = ROOT / "itk_nephi", ROOT / "wrapping" / "itk-stubs"
    paths = (path for folder in folders for path in folder.rglob("*"))
    files = {str(path.relative_to(ROOT)) for path in paths if path.is_file()}
    assert held == {file for file in files if "__pycache__" not in file}


def test_the_sdist_holds_every_tracked_file_that_is_not_hidden(
    distribution: Distribution, tmp_path: Path
) -> None:
    command: egg_info = distribution.get_command_obj("egg_info")
    command.egg_base = str(tmp_path)
    command.ensure_finalized()
    command.run()
    visible = {name for name in tracked_files() if not name.startswith(".")}
    assert visible <= set(command.filelist.files)


def test_an_editable_install_is_refused(distribution: Distribution) -> None:
    with pytest.raises(SystemExit, match=r"expected a regular install, got .* run `make setup`"):
        distribution.run_command("editable_wheel")


def test_every_requirement_has_a_pinned_version() -> None:
    project_file = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = project_file["project"]
    required = [*project_file["build-system"]["requires"], *project["dependencies"]]
    required += [line for lines in project["optional-dependencies"].values() for line in lines]
    pinned = re.findall(r"^(\S+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    names = {canonicalize_name(Requirement(line).name) for line in required} - {"itk-nephi"}
    assert names == set(map(canonicalize_name, pinned))
