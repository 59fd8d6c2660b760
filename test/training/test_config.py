from pathlib import Path

import itk
import numpy as np
import pytest

from itk_nephi.spatial.domain import ImageDomain, image_from_array
from itk_nephi.training.config import TrainingConfig
from itk_nephi.training.datasets import FolderPairs, PhantomPairs, TablePairs
from itk_nephi.training.settings import TrainingSettings

CONFIGS = Path(__file__).resolve().parents[2] / "configs"

SMALL = """
[model]
size = [16, 16]
spacing = [1, 1.5]
[pairs]
phantom = "deformed_shape"
count = 2
size = 16
motion = 1
[validation]
phantom = "deformed_shape"
count = 1
size = 16
motion = 1
"""


def read(tmp_path: Path, text: str, folder: Path | None = None) -> TrainingConfig:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return TrainingConfig.read(path, folder)


def test_the_config_of_triangles_and_circles_is_read() -> None:
    config = TrainingConfig.read(CONFIGS / "triangles-circles.toml")
    assert isinstance(config.pairs, PhantomPairs)
    assert config.pairs.phantom == "triangles_and_circles"
    assert config.model.size == (64, 64)
    assert config.model.encoder is not None


def test_the_config_of_the_hippocampus_takes_its_data_from_a_folder(tmp_path: Path) -> None:
    domain = ImageDomain(
        size=(4, 4, 4),
        spacing=(1.0,) * 3,
        origin=(0.0,) * 3,
        direction=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    )
    image = image_from_array(np.arange(64, dtype=np.uint8).reshape(4, 4, 4), domain)
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
        for number in range(160):
            itk.imwrite(image, str(tmp_path / kind / f"subject_{number:03}.nii"))
    config = TrainingConfig.read(CONFIGS / "hippocampus.toml", tmp_path)
    assert isinstance(config.pairs, FolderPairs)
    assert config.pairs.images == tmp_path / "images"
    assert config.pairs[0].labels is None
    assert config.validation[0].labels is not None


def test_sections_become_settings_of_the_right_types(tmp_path: Path) -> None:
    domain = ImageDomain(
        size=(4, 4), spacing=(1.0, 1.0), origin=(0.0, 0.0), direction=((1.0, 0.0), (0.0, 1.0))
    )
    image = image_from_array(np.arange(16, dtype=np.uint8).reshape(4, 4), domain)
    itk.imwrite(image, str(tmp_path / "image.nrrd"))
    (tmp_path / "pairs.csv").write_text("fixed,moving\nimage.nrrd,image.nrrd\n")
    pairs = '[pairs]\ntable = "pairs.csv"\n'
    text = pairs + SMALL[: SMALL.index("[pairs]")] + SMALL[SMALL.index("[validation]") :]
    config = read(
        tmp_path,
        text
        + "[training]\ngradicon_weight = 2\n[augmentation]\nflips = [0, 1]\n"
        + "[model.field]\nwidth = 7",
    )
    assert config.pairs == TablePairs(table=tmp_path / "pairs.csv")
    assert config.training == TrainingSettings(gradicon_weight=2.0)
    assert config.augmentation.flips == (0, 1)
    assert config.model.field.width == 7
    assert config.model.spacing == (1.0, 1.5)
    assert read(tmp_path, SMALL + "[model.encoder]\npooled = 3").model.encoder is not None
    without = SMALL.replace("[model]", "[model]\nencoder = false")
    assert read(tmp_path, without).model.encoder is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (SMALL + "[trainig]\n", "got an unknown key trainig; is it training?"),
        (SMALL + "[training]\nbatch = 3", "got an unknown key training.batch; is it batch_size?"),
        (SMALL.replace("count = 2", "color = 2"), "unknown key pairs.color; known are"),
        (SMALL.replace("[model]", "[model.field]\nwidht = 3\n[model]"), "is it width?"),
        (SMALL.replace("size = [16, 16]", ""), "expected model.size, got none"),
        (
            SMALL.replace("[16, 16]", "[16, 1.5]"),
            "expected model.size.1 to be a valid integer, got 1.5",
        ),
        (SMALL.replace("spacing", "window = [1]\nspacing"), "model.window.1, got none"),
        (SMALL.replace("spacing", "window = [1, 2, 3]\nspacing"), "model.window: Tuple should"),
        (SMALL[: SMALL.index("[validation]")], "expected validation, got none"),
        (SMALL.replace("count = 2", 'count = "2"'), "pairs.count to be a valid integer, got '2'"),
        (SMALL.replace("count = 2", "count = true"), "pairs.count to be a valid integer, got True"),
        (SMALL.replace("count = 2", "count = 0"), "pairs: expected count of at least 1, got 0"),
        (SMALL.replace("[16, 16]", '"16"'), "expected model.size to be a list, got '16'"),
        (
            SMALL.replace("deformed", "bent"),
            "expected pairs.phantom to be 'triangles_and_circles' or 'deformed_shape', got 'bent_",
        ),
        (SMALL.replace("phantom =", "fantom ="), "pairs to have one of table, images, phantom"),
        (SMALL.replace("[pairs]", '[pairs]\nimages = "a"'), "got images, phantom"),
        (SMALL.replace("[pairs]", "[pairs]\nimages = 3"), "got images, phantom"),
        (
            "model = 3\n" + SMALL.replace("[model]", "[augmentation]"),
            "model to be a section, got 3",
        ),
        (SMALL + "[training]\nsteps = 0", "training: expected steps of at least 1, got 0"),
        ("[model", "expected CONFIG to be a TOML file"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, changed: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"expected|got") as caught:
        read(tmp_path, changed)
    assert message in str(caught.value)
