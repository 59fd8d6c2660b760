"""The files of an image pair: which they are, read, and written."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from itk_nephi.io.image_writing import write_image
from itk_nephi.io.images import read_image
from itk_nephi.io.tables import Table
from itk_nephi.io.transforms import read_initial_transform, write_transform
from itk_nephi.spatial.domain import Array
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.initialization import KINDS
from itk_nephi.spatial.preparation import check_labels

LABELS = ("fixed_labels", "moving_labels")
"""The label images."""

LANDMARKS = ("evaluation_landmarks", "guide_landmarks")
"""The files of points."""


@dataclass(frozen=True, kw_only=True)
class PairPaths:
    """An image pair as paths: a row of a table of pairs.

    Parameters
    ----------
    row : int
        Its number in the table; the first below the header is 1.
    name : str
        What its results are called; unique, and fit to be a folder's name.
    fixed, moving : Path
        The images.
    fixed_mask, moving_mask : Path, optional
        Their masks.
    fixed_labels, moving_labels : Path, optional
        Their label images; both or none.
    evaluation_landmarks, guide_landmarks : Path, optional
        CSV files with columns fixed_x, fixed_y, ... moving_x, ... in mm: to judge the result, and
        to steer the registration.
    initial_transform : str
        A kind, see :func:`itk_nephi.alignment.compute_initial_transform`, or a file.
    fixed_channels, moving_channels : tuple of Path
        Further images of both subjects, to be registered together with the first. Not in tables.
    channel_weights : tuple of float, optional
        The weight of each image of a subject; all the same when left out. Not in tables.
    series : tuple of str
        Which DICOM series to take of images that are folders with several. Not in tables.
    """

    row: int = 1
    name: str = "pair"
    fixed: Path
    moving: Path
    fixed_mask: Path | None = None
    moving_mask: Path | None = None
    fixed_labels: Path | None = None
    moving_labels: Path | None = None
    evaluation_landmarks: Path | None = None
    guide_landmarks: Path | None = None
    initial_transform: str = "affine"
    fixed_channels: tuple[Path, ...] = ()
    moving_channels: tuple[Path, ...] = ()
    channel_weights: tuple[float, ...] | None = None
    series: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[Path, Path] | None:
        """Both label images, if there are any."""
        if self.fixed_labels is None or self.moving_labels is None:
            return None
        return self.fixed_labels, self.moving_labels

    @property
    def files(self) -> dict[str, Path]:
        """All files by name: those of the parameters, and fixed_channel_1, ... of the channels."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        for space in ("fixed", "moving"):
            for number, path in enumerate(found[f"{space}_channels"], start=1):
                found[f"{space}_channel_{number}"] = path
        if self.initial_transform not in KINDS:
            found["initial_transform"] = Path(self.initial_transform)
        return {name: path for name, path in found.items() if isinstance(path, Path)}


def read_pair(paths: PairPaths, argument: Callable[[str], str] = str) -> ImagePair:
    """Read an image pair from files.

    Parameters
    ----------
    paths : PairPaths
        The files.
    argument : callable
        What messages call a file, given its name in ``paths.files``; that name when left out.

    Raises
    ------
    ValueError
        If a file is not what it should be.
    """
    files = paths.files
    images = {
        name: read_image(path, argument(name), paths.series)
        for name, path in files.items()
        if name not in (*LANDMARKS, "initial_transform")
    }
    for name in LABELS:
        if name in images:
            check_labels(images[name], f"{argument(name)} {files[name]}")
    dimension = int(images["fixed"].GetImageDimension())
    for name, image in images.items():
        if image.GetImageDimension() != dimension:
            raise ValueError(
                f"expected {argument(name)} in {dimension} dimensions like {argument('fixed')}, "
                f"got {files[name]} in {image.GetImageDimension()}"
            )
    landmarks = {
        name: read_landmarks(files[name], argument(name), dimension)
        for name in LANDMARKS
        if name in files
    }
    fixed, moving = (
        tuple(images[name] for name in images if re.fullmatch(rf"{space}(_channel_\d+)?", name))
        for space in ("fixed", "moving")
    )
    return ImagePair(
        name=paths.name,
        fixed=fixed,
        moving=moving,
        channel_weights=paths.channel_weights,
        fixed_mask=images.get("fixed_mask"),
        moving_mask=images.get("moving_mask"),
        initial_transform=read_initial_transform(
            paths.initial_transform, argument("initial_transform"), dimension
        ),
        guide_landmarks=landmarks.get("guide_landmarks"),
        evaluation_landmarks=landmarks.get("evaluation_landmarks"),
        labels=(images["fixed_labels"], images["moving_labels"]) if paths.labels else None,
        sources=files,
    )


def write_pair(pair: ImagePair, folder: Path, suffix: str = ".nii.gz") -> PairPaths:
    """Write an image pair into a folder, such that :func:`read_pair` reads it.

    Parameters
    ----------
    pair : ImagePair
        Images become files of their names in ``pair.images``, evaluation landmarks landmarks.csv,
        guide landmarks, without their weights, guide_landmarks.csv.
    folder : Path
        Made if it is not there.
    suffix : str
        The format of the images.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths: dict[str, Any] = {name: folder / f"{name}{suffix}" for name in pair.images}
    for name, image in pair.images.items():
        write_image(image, paths[name])
    for space in ("fixed", "moving"):
        names = [name for name in paths if name.startswith(f"{space}_channel_")]
        paths[f"{space}_channels"] = tuple(paths.pop(name) for name in names)
    for name, file in (
        ("evaluation_landmarks", "landmarks.csv"),
        ("guide_landmarks", "guide_landmarks.csv"),
    ):
        landmarks = getattr(pair, name)
        if landmarks is not None:
            paths[name] = folder / file
            write_landmarks(paths[name], *landmarks[:2])
    start = "identity" if pair.initial_transform is None else pair.initial_transform
    if not isinstance(start, str):
        write_transform(start, folder / "initial_transform.h5")
        start = str(folder / "initial_transform.h5")
    return PairPaths(
        name=pair.name, initial_transform=start, channel_weights=pair.channel_weights, **paths
    )


def read_landmarks(path: Path, argument: str, dimension: int) -> tuple[Array, Array]:
    """Read the fixed and the moving points of a CSV file, mm; ``argument`` is its name."""
    both = Table.read(path, argument).points(landmark_columns(dimension))
    return both[:, :dimension], both[:, dimension:]


def write_landmarks(path: Path, fixed: Array, moving: Array) -> None:
    """Write corresponding points, shape (N, D), mm, as a CSV file, to the last digit."""
    both = np.concatenate([fixed, moving], axis=1)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(landmark_columns(fixed.shape[1]))
        writer.writerows(both.tolist())


def landmark_columns(dimension: int) -> list[str]:
    """Return the columns of a CSV file of landmarks: fixed_x, ... moving_x, ..."""
    return [f"{space}_{axis}" for space in ("fixed", "moving") for axis in "xyz"[:dimension]]
