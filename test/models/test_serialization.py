import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from itk_nephi.fields.settings import FieldSettings
from itk_nephi.models.encoder import EncoderSettings
from itk_nephi.models.nephi import ModelSettings, NePhi
from itk_nephi.models.serialization import HEADER, _digest, load_model, save_model

SETTINGS = ModelSettings(
    field=FieldSettings(width=8, frequencies=4, global_code=2, local_channels=3, local_grid=4),
    encoder=EncoderSettings(filters=(4, 8), local_block=1, hidden=6),
    size=(12, 10),
    spacing=(1.5, 2.0),
    window=(-1000.0, 200.0),
    training_data="Wörter, \n and more",
)


@pytest.fixture
def model() -> NePhi:
    return NePhi(SETTINGS, torch.Generator().manual_seed(1))


@pytest.fixture
def path(model: NePhi, tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_model(path, model)
    return path


def header_of(path: Path) -> dict[str, object]:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header: dict[str, object] = json.loads(
        json.loads(content[8 : 8 + length])["__metadata__"][HEADER]
    )
    return header


def rewritten(path: Path, **changes: object) -> None:
    header = header_of(path) | changes
    save_file(load_file(path), path, {HEADER: json.dumps(header)})


@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        replace(SETTINGS, encoder=None),
        replace(SETTINGS, size=(33, 30), encoder=EncoderSettings.paper((33, 30))),
        replace(SETTINGS, size=(8, 7, 6), spacing=(1.0, 1.0, 2.0), window=None),
    ],
    ids=["small", "without encoder", "published", "3D"],
)
def test_a_model_comes_back_as_it_was(settings: ModelSettings, tmp_path: Path) -> None:
    model = NePhi(settings, torch.Generator().manual_seed(1))
    save_model(tmp_path / "a", model)
    found = load_model(tmp_path / "a")
    assert found.settings == settings
    assert not found.training
    expected, state = model.state_dict(), found.state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(state[name], values) for name, values in expected.items())
    save_model(tmp_path / "b", found)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "b"]


def test_the_header_says_what_wrote_the_file(path: Path) -> None:
    header = header_of(path)
    assert header["format_version"] == 1
    assert header["package_version"] == "0.1.0"
    assert json.loads(str(header["settings"]))["training_data"] == SETTINGS.training_data


def test_every_truncated_file_is_refused(path: Path) -> None:
    content = path.read_bytes()
    for length in [*range(0, len(content), 97), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"file that itk-nephi wrote, got .*damaged"):
            load_model(path)


def test_every_changed_byte_is_noticed(path: Path) -> None:
    content = path.read_bytes()
    rng = np.random.default_rng(1)
    for place in [*range(0, 60), *rng.integers(len(content), size=150)]:
        changed = bytearray(content)
        changed[place] ^= int(rng.integers(1, 256))
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=r"file that itk-nephi wrote|model file of format"):
            load_model(path)


def test_random_bytes_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for length in (0, 1, 7, 8, 9, 100, 5000):
        (tmp_path / "random").write_bytes(rng.bytes(length))
        with pytest.raises(ValueError, match="which is none or damaged"):
            load_model(tmp_path / "random")


def test_a_file_that_runs_code_when_unpickled_is_refused(tmp_path: Path, model: NePhi) -> None:
    torch.save(model, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="which is none or damaged"):
        load_model(tmp_path / "model.pt")


def test_tensors_of_something_else_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="a safetensors file of something else"):
        load_model(tmp_path / "other.safetensors")


def test_a_model_file_of_another_format_is_refused(path: Path) -> None:
    rewritten(path, format_version=2, package_version="9.8")
    with pytest.raises(
        ValueError, match=r"format 1, got .* of format 2, written by itk-nephi 9\.8"
    ):
        load_model(path)


@pytest.mark.parametrize("header", ["no JSON", "[]", "{}", '{"format_version": 1}', "null"])
def test_a_header_of_something_else_is_refused(path: Path, header: str) -> None:
    save_file(load_file(path), path, {HEADER: header})
    with pytest.raises(ValueError, match="whose header is damaged"):
        load_model(path)


def test_settings_of_another_model_are_refused(path: Path, tmp_path: Path) -> None:
    settings = json.loads(str(header_of(path)["settings"]))
    for changes in (
        {"size": [12, 10, 8], "spacing": [1.0, 1.0, 1.0]},
        {"size": "large"},
        {"field": {"width": 9}},
        {"field": {"breadth": 9}},
        {"field": None},
        {"encoder": 3},
        {"encoder": {}, "size": [12.5, 10]},
        {"color": "red"},
        {"field": {"depth": 10**7}},
        {"field": {"width": 10**5}},
        {"field": {"local_grid": 10**9}},
        {"field": {"local_grid": 9 * 10**3}},
        {"size": [3 * 10**6, 3 * 10**6]},
        {"encoder": {"pooled": 10**4}},
        {"encoder": {"filters": [10**4, 10**4, 10**4], "local_block": 1}},
    ):
        other = tmp_path / "other"
        other.write_bytes(path.read_bytes())
        text = json.dumps(settings | changes, sort_keys=True)
        rewritten(other, settings=text, digest=_digest(text, load_file(path)))
        with pytest.raises(ValueError, match="settings and weights do not belong together"):
            load_model(other)


def test_a_published_encoder_larger_than_its_file_is_refused_before_it_is_made(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The global head of 1,024^2 voxels takes 256^2 cells of eight features."""
    settings = json.loads(str(header_of(path)["settings"]))
    settings["size"] = settings["encoder"]["published_size"] = [1024, 1024]
    text = json.dumps(settings, sort_keys=True)
    rewritten(path, settings=text, digest=_digest(text, load_file(path)))
    monkeypatch.setattr(NePhi, "__init__", lambda *_: pytest.fail("made a model of the file"))
    with pytest.raises(ValueError, match=r"sizes for more than the \d+ numbers it holds"):
        load_model(path)


def test_no_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="which does not exist"):
        load_model(tmp_path / "none")
    with pytest.raises(ValueError, match="a folder"):
        load_model(tmp_path)


def test_weights_that_are_not_finite_are_not_written(model: NePhi, tmp_path: Path) -> None:
    with torch.no_grad():
        model.field.output.bias[0] = torch.nan
    with pytest.raises(ValueError, match=r"NaN or infinity in field\.output\.bias"):
        save_model(tmp_path / "model", model)
    assert not list(tmp_path.iterdir())


def test_a_model_that_cannot_be_written_leaves_the_earlier_one(
    model: NePhi, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()
    monkeypatch.setattr(Path, "write_bytes", _disk_full)
    with pytest.raises(OSError, match="disk full"):
        save_model(path, model)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def _disk_full(path: Path, content: bytes) -> int:
    with path.open("wb") as file:
        file.write(content[:100])
    raise OSError("disk full")
