"""The TOML file of a training: the model, the pairs, the training itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from itk_nephi.io.settings import read_toml, settings_from_content
from itk_nephi.models.nephi import ModelSettings
from itk_nephi.training.augmentation import Augmentation
from itk_nephi.training.datasets import FolderPairs, PhantomPairs, TablePairs
from itk_nephi.training.settings import TrainingSettings

KINDS_OF_PAIRS = {"table": TablePairs, "images": FolderPairs, "phantom": PhantomPairs}
"""What the pairs of a section come from, by the key that only it has."""


def _kind_of_pairs(section: Any) -> str | None:
    kinds = [
        kind.__name__
        for key, kind in KINDS_OF_PAIRS.items()
        if isinstance(section, dict) and key in section
    ]
    return kinds[0] if len(kinds) == 1 else None


Pairs = Annotated[
    Annotated[TablePairs, Tag("TablePairs")]
    | Annotated[FolderPairs, Tag("FolderPairs")]
    | Annotated[PhantomPairs, Tag("PhantomPairs")],
    Discriminator(
        _kind_of_pairs,
        custom_error_type="kind_of_pairs",
        custom_error_message=f"Input should have one of {', '.join(KINDS_OF_PAIRS)}",
    ),
]


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Everything that defines a training: the sections of its TOML file.

    Parameters
    ----------
    model : ModelSettings
        What the model is.
    training : TrainingSettings
        How it is trained.
    pairs, validation : TablePairs, FolderPairs or PhantomPairs
        What it is trained on, and what it is evaluated on.
    augmentation : Augmentation
        Random changes of the images.
    """

    model: ModelSettings
    pairs: Pairs
    validation: Pairs
    training: TrainingSettings = field(default_factory=TrainingSettings)
    augmentation: Augmentation = field(default_factory=Augmentation)

    @classmethod
    def read(cls, path: Path, folder: Path | None = None) -> TrainingConfig:
        """Read a TOML file.

        Parameters
        ----------
        path : Path
            With a section for each parameter of this class, and in it the parameters of that.
            ``encoder = false`` in the model's stands for none, an auto-decoder.
        folder : Path, optional
            What the paths in it are relative to; by default its own folder.

        Raises
        ------
        ValueError
            If it is no such file, or a key or value is not what it should be.
        """
        content = read_toml(path, "CONFIG")
        model = content.get("model")
        if isinstance(model, dict) and model.get("encoder") is False:
            model["encoder"] = None  # TOML has no null
        return settings_from_content(cls, content, "CONFIG", folder or path.absolute().parent)
