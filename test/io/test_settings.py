from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from itk_nephi.io.settings import read_toml, settings_from_content
from itk_nephi.models.nephi import ModelSettings
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.training.settings import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class Inner:
    size: int = 4


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    inner: Inner = Inner()
    axes: tuple[int, ...] = ()
    limit: float | None = None
    kind: Literal["one", "other"] = "one"

    def __post_init__(self) -> None:
        if self.limit == 13:
            raise ValueError("expected limit of less than 13, got 13")


def outer(**content: Any) -> Outer:
    return settings_from_content(Outer, content, "FILE")


@pytest.mark.parametrize(
    "settings",
    [
        RegistrationSettings.preset("accurate"),
        TrainingSettings(steps=3),
        ModelSettings(size=(8, 9), spacing=(1.0, 2.0), window=(0.0, 1.0)),
        ModelSettings(size=(8, 9), spacing=(1.0, 2.0), encoder=None),
    ],
)
def test_settings_written_as_json_are_read_back(settings: Any) -> None:
    content = json.loads(json.dumps(asdict(settings)))
    assert settings_from_content(type(settings), content, "FILE") == settings


def test_values_become_what_the_dataclass_has() -> None:
    assert outer(name="a", axes=[0, 1], limit=3, inner={"size": 5}, kind="other") == Outer(
        name="a", axes=(0, 1), limit=3.0, inner=Inner(size=5), kind="other"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "expected name, got none"),
        ({"name": 3}, "expected name to be a valid string, got 3"),
        ({"name": "a", "axis": [1]}, "got an unknown key axis; is it axes?"),
        ({"name": "a", "inner": {"sice": 1}}, "got an unknown key inner.sice; is it size?"),
        ({"name": "a", "inner": 3}, "expected inner to be a section, got 3"),
        ({"name": "a", "axes": 3}, "expected axes to be a list, got 3"),
        ({"name": "a", "axes": [0, True]}, "expected axes.1 to be a valid integer, got True"),
        ({"name": "a", "limit": "1"}, "expected limit to be a valid number, got '1'"),
        ({"name": "a", "kind": "none"}, "expected kind to be 'one' or 'other', got 'none'"),
        ({"name": "a", "limit": 13}, "FILE: expected limit of less than 13, got 13"),
    ],
)
def test_what_is_wrong_is_named_by_its_key(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"expected|got") as caught:
        outer(**content)
    assert str(caught.value) == message


def test_all_that_is_wrong_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"^expected name to be a valid string, got 3; got an unknown key color; "
    ):
        outer(name=3, color="red")


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    with pytest.raises(ValueError, match=r"expected FILE to be a file, got .* does not exist"):
        read_toml(path, "FILE")
    path.write_text("steps = ")
    with pytest.raises(ValueError, match=r"expected FILE to be a TOML file, got .*a.toml"):
        read_toml(path, "FILE")


def test_a_byte_order_mark_as_of_windows_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("steps = 3\n", encoding="utf-8-sig")
    assert read_toml(tmp_path / "a.toml", "FILE") == {"steps": 3}


def test_commands_without_settings_do_not_wait_for_pydantic_or_torch() -> None:
    code = "import sys, itk_nephi.cli.app; sys.exit(bool({'pydantic', 'torch'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
