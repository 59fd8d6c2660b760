from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.gpu.pack import CHECKOUT, ROOT, chosen, copy


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for name in (
        "itk/used.py",
        "itk/_used.abi3.so",
        "itk/unused.py",
        "itk/Configuration/UnusedConfig.py",
        "itk_core.libs/libused.so.1",
        "lazy_loader/__init__.py",
        "lazy_loader/more.py",
        "lazy_loader/table.csv",
        "lazy_loader/tests/test_more.py",
        "lazy_loader-1.0.dist-info/METADATA",
        "numpy/__init__.py",
        "unloaded/__init__.py",
        "itk_nephi/__init__.py",
        "itk_nephi-0.1.0.dist-info/METADATA",
        "absl/_one.cpython-311-x86_64-linux-gnu.so",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_of_itk_what_is_loaded_is_packed_and_of_packages_all(site: Path) -> None:
    names = (
        "itk/used.py",
        "itk/_used.abi3.so",
        "itk_core.libs/libused.so.1",
        "lazy_loader/__init__.py",
    )
    others = ("numpy/__init__.py", "itk_nephi/__init__.py")
    loaded = [site / name for name in (*names, *others)]
    found = chosen([*loaded, Path("/usr/lib/libm.so.6")], site)
    more = (
        "itk/Configuration/UnusedConfig.py",
        "lazy_loader/more.py",
        "lazy_loader-1.0.dist-info/METADATA",
        "itk_nephi-0.1.0.dist-info/METADATA",
    )
    assert sorted(found) == sorted(site / name for name in (*names, *more))


def test_modules_of_one_version_of_python_are_refused(site: Path) -> None:
    module = site / "absl" / "_one.cpython-311-x86_64-linux-gnu.so"
    with pytest.raises(RuntimeError, match=r"expected modules in Python or for abi3, got .*_one"):
        chosen([module], site)


def test_files_are_copied_into_new_folders(tmp_path: Path) -> None:
    copy(ROOT / "pyproject.toml", tmp_path / "a" / "b.toml")
    assert (tmp_path / "a" / "b.toml").read_bytes() == (ROOT / "pyproject.toml").read_bytes()


def test_all_patterns_of_the_checkout_find_something() -> None:
    assert all(any(ROOT.glob(pattern)) for pattern in CHECKOUT)
