"""Files of a phantom in 2D, and what `register` makes of them."""

from __future__ import annotations

from pathlib import Path

import itk
import pytest
from support.command_line import register
from typer.testing import Result

from itk_nephi.io.pair_files import write_pair
from itk_nephi.phantoms.pairs import lung
from itk_nephi.spatial.image_pair import ImagePair


@pytest.fixture(scope="session")
def phantom() -> ImagePair:
    return lung(2, size=(40, 33), noise=5, seed=3).pair


@pytest.fixture(scope="session")
def inputs(phantom: ImagePair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_pair(phantom, folder, ".nrrd")
    affine = itk.AffineTransform[itk.D, 2].New()
    affine.SetTranslation([4.0, -2.5])
    itk.transformwrite(affine, str(folder / "affine.tfm"))
    itk.transformwrite(itk.AffineTransform[itk.D, 3].New(), str(folder / "affine3d.tfm"))
    return folder


@pytest.fixture(scope="session")
def registered(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    output = tmp_path_factory.mktemp("registered") / "deep" / "output"
    masks = [f"--{space}-mask={inputs / space}_mask.nrrd" for space in ("fixed", "moving")]
    labels = ["--labels", inputs / "fixed_labels.nrrd", inputs / "moving_labels.nrrd"]
    landmarks = ["--evaluation-landmarks", inputs / "landmarks.csv"]
    return output, register(inputs, output, *masks, *labels, *landmarks, "--seed", 7)
