"""An image pair as files hold it, and what is needed to judge its registration."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from itk_nephi.io.images import read_image
from itk_nephi.io.tables import Table
from itk_nephi.spatial.domain import Array


@dataclass(frozen=True, kw_only=True)
class Case:
    """An image pair as read from files, and what is needed to judge its registration.

    Parameters
    ----------
    fixed, moving : itk.Image
        The images.
    fixed_mask, moving_mask : itk.Image, optional
        Their masks.
    fixed_channels, moving_channels : list of itk.Image
        Further images of both subjects, to register together with the first.
    guide_landmarks : tuple of array, optional
        Corresponding fixed and moving points, shape (N, D), mm, to steer the registration.
    evaluation_landmarks : tuple of array, optional
        The same, to judge it.
    labels : tuple of itk.Image, optional
        Fixed and moving label images.
    paths : dict of str to str
        Where all this was read from.
    """

    fixed: Any
    moving: Any
    fixed_mask: Any
    moving_mask: Any
    fixed_channels: list[Any]
    moving_channels: list[Any]
    guide_landmarks: tuple[Array, Array] | None
    evaluation_landmarks: tuple[Array, Array] | None
    labels: tuple[Any, Any] | None
    paths: dict[str, str]

    @classmethod
    def read(
        cls,
        fixed: Path,
        moving: Path,
        fixed_mask: Path | None = None,
        moving_mask: Path | None = None,
        evaluation_landmarks: Path | None = None,
        labels: tuple[Path, Path] | None = None,
        *,
        fixed_channels: Sequence[Path] = (),
        moving_channels: Sequence[Path] = (),
        guide_landmarks: Path | None = None,
    ) -> Case:
        """Read a case from files.

        Raises
        ------
        ValueError
            If a file is not what it should be; the message calls it as the command line does.
        """
        arguments = {"FIXED": fixed, "MOVING": moving}
        arguments |= {"--fixed-mask": fixed_mask} if fixed_mask else {}
        arguments |= {"--moving-mask": moving_mask} if moving_mask else {}
        if labels:
            arguments |= {"--labels FIXED": labels[0], "--labels MOVING": labels[1]}
        channels = {
            f"--{space}-channel {number}": path
            for space, paths in (("fixed", fixed_channels), ("moving", moving_channels))
            for number, path in enumerate(paths, start=1)
        }
        arguments |= channels
        images = {name: read_image(path, name) for name, path in arguments.items()}
        dimension = images["FIXED"].GetImageDimension()
        for name, image in images.items():
            if image.GetImageDimension() != dimension:
                raise ValueError(
                    f"expected {name} in {dimension} dimensions like FIXED, "
                    f"got {arguments[name]} in {image.GetImageDimension()}"
                )
        tables = {
            "--guide-landmarks": guide_landmarks,
            "--evaluation-landmarks": evaluation_landmarks,
        }
        arguments |= {name: path for name, path in tables.items() if path}
        pairs = {
            name: read_landmarks(path, name, dimension) for name, path in tables.items() if path
        }
        return cls(
            fixed=images["FIXED"],
            moving=images["MOVING"],
            fixed_mask=images.get("--fixed-mask"),
            moving_mask=images.get("--moving-mask"),
            fixed_channels=[images[name] for name in channels if "fixed" in name],
            moving_channels=[images[name] for name in channels if "moving" in name],
            guide_landmarks=pairs.get("--guide-landmarks"),
            evaluation_landmarks=pairs.get("--evaluation-landmarks"),
            labels=(images["--labels FIXED"], images["--labels MOVING"]) if labels else None,
            paths={
                re.sub(r"\W+", "_", name.strip("-")).lower(): str(path)
                for name, path in arguments.items()
            },
        )

    @property
    def dimension(self) -> int:
        """Number of spatial dimensions, 2 or 3."""
        return int(self.fixed.GetImageDimension())


def read_landmarks(path: Path, argument: str, dimension: int) -> tuple[Array, Array]:
    """Read the fixed and the moving points of a CSV file, mm; ``argument`` is its name."""
    both = Table.read(path, argument).points(landmark_columns(dimension))
    return both[:, :dimension], both[:, dimension:]


def landmark_columns(dimension: int) -> list[str]:
    """Return the columns of a CSV file of landmarks: fixed_x, ... moving_x, ..."""
    return [f"{space}_{axis}" for space in ("fixed", "moving") for axis in "xyz"[:dimension]]
