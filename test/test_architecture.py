"""What the package itself tells: its names, its version, that it is typed."""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path

import pytest

import itk_nephi


def test_completion_offers_all_names_and_each_is_there() -> None:
    assert set(itk_nephi.__all__) <= set(dir(itk_nephi))
    for name in itk_nephi.__all__:
        assert getattr(itk_nephi, name).__name__ == name


def test_a_name_it_has_not_is_an_error() -> None:
    with pytest.raises(AttributeError, match="module 'itk_nephi' has no attribute 'registre'"):
        itk_nephi.registre  # noqa: B018


def test_the_version_is_that_of_the_installation() -> None:
    assert itk_nephi.__version__ == importlib.metadata.version("itk-nephi")
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    assert itk_nephi.__version__ == project["project"]["version"]


def test_type_checkers_find_its_hints() -> None:
    installed = importlib.metadata.files("itk-nephi") or []
    assert "itk_nephi/py.typed" in map(str, installed)
