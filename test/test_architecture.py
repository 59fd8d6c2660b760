"""The walls of the package: its layers, its public names, its sizes, and where its tests are."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import inspect
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import itk_nephi

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "itk_nephi"
PACKAGES = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
PUBLIC = ["itk_nephi", *(f"itk_nephi.{name}" for name in PACKAGES if name != "cli")]

TESTED_ELSEWHERE = {
    "alignment/level": "alignment/test_explained_variance.py",
    "alignment/problem": "alignment/test_alignment.py",
    "alignment/pyramid": "alignment/test_alignment.py",
    "alignment/rotation_search": "alignment/test_alignment.py",
    "cli/batch": "workflows/test_batch.py",
    "cli/compare": "workflows/test_comparison.py",
    "cli/register_series": "workflows/test_series_files.py",
    "io/image_header": "io/test_images.py",
    "io/mesh_content": "io/test_meshes.py",
    "io/mesh_formats": "io/test_meshes.py",
    "io/voxel_bytes": "io/test_images.py",
    "io/voxels": "io/test_images.py",
    "io/vtk_polydata": "io/test_meshes.py",
    "registration/filter_accessors": "registration/test_itk_filter.py",
    "registration/filter_arguments": "registration/test_itk_filter.py",
    "registration/joint": "registration/test_series.py",
    "registration/result": "registration/test_series.py",
    "workflows/demonstration": "cli/test_demo.py",
}
"""Modules without a test file of their name, and the file that tests them."""

LONG_FUNCTIONS = {
    "registration/elastix_parameters.py: translate_parameters",
    "visualization/report.py: _viewer",
}
"""Functions of more than 60 lines that would not be clearer in parts."""


# layers


def contracts(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the import contracts of the package in a folder, as `make lint` does."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    return subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True)


def test_imports_go_down() -> None:
    result = contracts(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Contracts: 3 kept, 0 broken." in result.stdout


@pytest.mark.parametrize(
    ("module", "imported", "broken"),
    [
        (
            "spatial/domain.py",
            "import itk_nephi.cli.app",
            "a package imports only from those below",
        ),
        ("training/config.py", "from itk_nephi.registration import settings", "a package imports"),
        ("io/tables.py", "import torch", "transforms are read, applied, judged and drawn without"),
        ("new/__init__.py", "", "itk_nephi.new"),
    ],
)
def test_a_wrong_import_is_noticed(tmp_path: Path, module: str, imported: str, broken: str) -> None:
    shutil.copytree(PACKAGE, tmp_path / "itk_nephi", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / "itk_nephi" / module
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.write(f"\n\ndef planted():\n    {imported or 'pass'}\n")
    result = contracts(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert re.search(rf"{re.escape(broken)}.*", result.stdout)
    assert "0 broken" not in result.stdout


# public names


def stub_of(package: str) -> Path:
    return ROOT / package.replace(".", "/") / "__init__.pyi"


@pytest.mark.parametrize("package", PUBLIC)
def test_public_names_are_those_of_the_stub_and_all_are_there(package: str) -> None:
    module = importlib.import_module(package)
    tree = ast.parse(stub_of(package).read_text())
    (declared,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    imported = {
        name.asname or name.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    assert sorted(module.__all__) == sorted(declared) == sorted(imported)
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        value = getattr(module, name)
        assert not inspect.ismodule(value)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__name__ == name


def test_the_command_exports_nothing() -> None:
    assert not stub_of("itk_nephi.cli").exists()


def test_a_name_it_has_not_is_an_error() -> None:
    with pytest.raises(AttributeError, match="No itk_nephi attribute registre"):
        itk_nephi.registre  # noqa: B018


def test_the_version_is_that_of_the_installation() -> None:
    assert itk_nephi.__version__ == importlib.metadata.version("itk-nephi")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert itk_nephi.__version__ == project["project"]["version"]


def test_type_checkers_find_its_hints() -> None:
    installed = importlib.metadata.files("itk-nephi") or []
    assert "itk_nephi/py.typed" in map(str, installed)


PYTHON_BLOCK = r"^```(?:python|\{code-cell\} ipython3)\n(?::tags:.*?\n)?(.*?)^```"


def examples() -> Iterator[tuple[str, str]]:
    """Yield all that users are shown as Python, and where it is."""
    for path in (ROOT / "examples").glob("*.py"):
        yield path.name, path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        for number, block in enumerate(re.findall(PYTHON_BLOCK, text, re.M | re.S)):
            yield f"{path.relative_to(ROOT)} {number}", block


EXAMPLES = dict(examples())


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_users_are_shown_public_names_only(name: str) -> None:
    for node in ast.walk(ast.parse(EXAMPLES[name])):
        if isinstance(node, ast.Import):
            own = [each.name for each in node.names if each.name.startswith("itk_nephi")]
            assert set(own) <= set(PUBLIC)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("itk_nephi"):
            assert node.module in PUBLIC
            public = set(importlib.import_module(node.module).__all__) | set(PACKAGES)
            assert {each.name for each in node.names} <= public
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) in PUBLIC:
            public = set(importlib.import_module(ast.unparse(node.value)).__all__)
            assert node.attr in public | set(PACKAGES)


# tests and sizes


def test_every_module_has_its_test_file() -> None:
    modules = {
        str(path.relative_to(PACKAGE).with_suffix(""))
        for path in PACKAGE.glob("*/*.py")
        if path.stem != "__init__"
    }
    without = {
        module
        for module in modules
        if not (ROOT / "test" / module).with_name(f"test_{Path(module).name}.py").is_file()
    }
    assert without == set(TESTED_ELSEWHERE)
    for file in TESTED_ELSEWHERE.values():
        assert (ROOT / "test" / file).is_file()


def test_modules_and_functions_are_short() -> None:
    structure = runpy.run_path(str(ROOT / "scripts" / "structure.py"))
    assert structure["long_modules"](PACKAGE) == {}
    assert set(structure["long_functions"](PACKAGE)) == LONG_FUNCTIONS
