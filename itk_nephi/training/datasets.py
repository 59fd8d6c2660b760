"""Datasets: image pairs from a table, from folders, or synthetic."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import numpy as np
from pydantic import AfterValidator, ValidationInfo

from itk_nephi.alignment.initialization import compute_initial_transform
from itk_nephi.fields.settings import check_settings, described, documented, setting
from itk_nephi.io.image_files import is_second_half
from itk_nephi.io.image_writing import has_image_suffix
from itk_nephi.io.images import read_image
from itk_nephi.io.pair_files import PairPaths, read_landmarks
from itk_nephi.io.pair_table import read_domain, read_pair_table
from itk_nephi.io.transforms import read_transform
from itk_nephi.phantoms import pairs
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import ImageDomain, difference
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.initialization import KINDS
from itk_nephi.spatial.preparation import checked_image, checked_mask, mask_inside
from itk_nephi.training.pair_source import Cache


def _in_folder(path: Path, reading: ValidationInfo) -> Path:
    return path if reading.context is None else reading.context / path


FilePath = Annotated[Path, AfterValidator(_in_folder)]
"""A path that is relative to the folder of the file where it is written."""


class _Reader:
    """Reads images, in canonical order, and computes initial transforms, each once."""

    def __init__(self) -> None:
        self._cache = Cache()

    def image(self, path: Path, mask: Path | None = None) -> Any:
        """Return an image; what lies outside its mask is replaced, as in a registration."""

        def read() -> Any:
            inside = None if mask is None else mask_inside(read_image(mask, "mask"), str(mask))
            return checked_image(read_image(path, "image"), str(path), inside=inside)

        return self._once(("image", path, mask), read)

    def mask(self, path: Path | None, image: Path) -> Any:
        def read() -> Any:
            return checked_mask(
                read_image(cast(Path, path), "mask"),
                str(path),
                read_image(image, "image"),
                str(image),
            )

        return None if path is None else self._once(("mask", path), read)

    def domain(self, path: Path) -> ImageDomain:
        """Return the grid of an image."""
        found: ImageDomain = self._cache(
            ("domain", path), lambda: read_domain(path, "image"), lambda _: 0
        )
        return found

    def voxels(self, path: Path) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Return how many voxels an image has along each axis, and their spacing, mm."""
        return self.domain(path).size, self.domain(path).spacing

    def labels(self, path: Path) -> Any:
        return self._once(("labels", path), lambda: read_image(path, "labels"))

    def initial_transform(self, name: str, pair: Hashable, *images: Any) -> Any:
        def make() -> Any:
            if name in KINDS:
                return compute_initial_transform(name, *images)
            return read_transform(Path(name), "initial_transform", images[0].GetImageDimension())

        return self._cache((name, pair), make, lambda _: 0)

    def _once(self, key: Hashable, read: Callable[[], Any]) -> Any:
        return self._cache(key, read, lambda image: itk.array_view_from_image(image).nbytes)


@documented
@dataclass(frozen=True, kw_only=True)
class TablePairs:
    """The pairs of a table, see :func:`itk_nephi.io.read_pair_table`."""

    table: FilePath = field(metadata=described("A CSV file."))
    initial_transform: str = setting(
        "geometry", "The kind of initial transform of the rows that name none."
    )

    def __post_init__(self) -> None:
        _check_kind(self.initial_transform)
        guided = [row.name for row in self._rows if row.guide_landmarks]
        if guided:
            raise ValueError(
                f"expected no guide_landmarks, which steer no training, in {self.table}, got those "
                f"of {', '.join(guided)}: leave the column out"
            )

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> ImagePair:
        row, reader = self._rows[number], self._reader
        fixed = reader.image(row.fixed, row.fixed_mask)
        moving = reader.image(row.moving, row.moving_mask)
        masks = reader.mask(row.fixed_mask, row.fixed), reader.mask(row.moving_mask, row.moving)
        landmarks = None
        if row.evaluation_landmarks:
            landmarks = read_landmarks(
                row.evaluation_landmarks, "evaluation_landmarks", fixed.GetImageDimension()
            )
        return ImagePair(
            name=row.name,
            fixed=(fixed,),
            moving=(moving,),
            fixed_mask=masks[0],
            moving_mask=masks[1],
            labels=row.labels and (reader.labels(row.labels[0]), reader.labels(row.labels[1])),
            evaluation_landmarks=landmarks,
            initial_transform=reader.initial_transform(
                row.initial_transform, number, fixed, moving, *masks
            ),
            sources=row.files,
        )

    @property
    def contents(self) -> str:
        """What the pairs are, wherever their files lie: names, and the voxels of images."""
        folder = self.table.parent.absolute()
        rows = []
        for row in self._rows:
            files = {
                column: str(path.relative_to(folder) if path.is_relative_to(folder) else path)
                for column, path in row.files.items()
            }
            voxels = [self._reader.voxels(path) for path in (row.fixed, row.moving)]
            kind = row.initial_transform in KINDS and row.initial_transform
            rows.append((row.name, kind, files, voxels))
        return repr(rows)

    @cached_property
    def _rows(self) -> list[PairPaths]:
        return read_pair_table(self.table, "table", self.initial_transform)

    @cached_property
    def _reader(self) -> _Reader:
        return _Reader()


@documented
@dataclass(frozen=True, kw_only=True)
class FolderPairs:
    """Random pairs of the images of a folder, each of two different images."""

    images: FilePath = field(
        metadata=described("A folder of images; files of other kinds in it are left out.")
    )
    count: int = field(metadata=described("How many pairs.", minimum=1))
    masks: FilePath | None = setting(None, "A folder with a mask of the same name for each image.")
    labels: FilePath | None = setting(
        None, "A folder with a label image of the same name for each image."
    )
    pairs: Literal["between", "within"] = setting(
        "between", "Of two subjects, or of two images of one subject."
    )
    subject: str = setting(
        r"^[^.]+",
        "A regular expression: its match in a file name, or its first group where that takes part, "
        "is the subject.",
    )
    subjects: tuple[int, int] | None = setting(
        None,
        "The first subject and the one after the last, counted from 0 in the order of their names; "
        "all when left out.",
        minimum=0,
    )
    initial_transform: str = setting("geometry", "The kind of initial transform.")
    seed: int = setting(0, "Draws the pairs.", minimum=0)

    def __post_init__(self) -> None:
        check_settings(self)
        _check_kind(self.initial_transform)
        try:
            re.compile(self.subject)
        except re.error as error:
            raise ValueError(
                f"expected subject to be a regular expression, got {self.subject!r}: {error}"
            ) from error
        needed, kind = (2, "") if self.pairs == "between" else (1, " with two images")
        if len(self._files) < needed:
            raise ValueError(
                f"expected {needed} subjects{kind} or more in {self.images}, got {len(self._files)}"
            )
        faults = self._faults()
        if faults:
            count = "one fault" if len(faults) == 1 else f"{len(faults)} faults"
            head = f"images {self.images} has {count}; what subject does not match is left out:"
            raise ValueError("\n  ".join([head, *faults]))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> ImagePair:
        rng, reader = np.random.default_rng([self.seed, number]), self._reader
        if self.pairs == "within":
            files = self._files[rng.integers(len(self._files))]
            paths = [files[n] for n in rng.choice(len(files), 2, replace=False)]
        else:
            two = rng.choice(len(self._files), 2, replace=False)
            paths = [files[rng.integers(len(files))] for files in (self._files[n] for n in two)]
        mask_paths = [self.masks and self.masks / path.name for path in paths]
        fixed, moving = (reader.image(*both) for both in zip(paths, mask_paths, strict=True))
        masks = [reader.mask(*both) for both in zip(mask_paths, paths, strict=True)]
        labels = self.labels and [reader.labels(self.labels / path.name) for path in paths]
        return ImagePair(
            name=" and ".join(path.name for path in paths),
            fixed=(fixed,),
            moving=(moving,),
            fixed_mask=masks[0],
            moving_mask=masks[1],
            labels=(labels[0], labels[1]) if labels else None,
            initial_transform=reader.initial_transform(
                self.initial_transform, tuple(paths), fixed, moving, *masks
            ),
        )

    @property
    def contents(self) -> str:
        """What the pairs are, wherever their files lie: names, and the voxels of images."""
        voxels = self._reader.voxels
        images = [[(path.name, voxels(path)) for path in files] for files in self._files]
        given = self.masks is not None, self.labels is not None
        return repr((self.count, images, given, self.pairs, self.initial_transform, self.seed))

    def _faults(self) -> list[str]:
        """Return what is wrong with the headers of all files."""
        faults, dimensions = [], set()
        for path in chain.from_iterable(self._files):
            try:
                domain = self._reader.domain(path)
                dimensions.add(domain.dimension)
                for name, folder in (("mask", self.masks), ("labels", self.labels)):
                    if folder is None:
                        continue
                    other = read_domain(folder / path.name, name)
                    if other.dimension != domain.dimension or not other.matches(domain):
                        raise ValueError(
                            f"expected {name} on the grid of {path}, got {folder / path.name} on "
                            f"another: {difference(other, domain)}"
                        )
            except ValueError as error:
                faults.append(str(error))
        if len(dimensions) > 1:
            faults.append("expected images all in 2 or all in 3 dimensions, got both")
        return faults

    @cached_property
    def _files(self) -> list[list[Path]]:
        """The images of each subject that has enough; files of other kinds are left out.

        Of an image in two files it is that of the header.
        """
        if not self.images.is_dir():
            raise ValueError(f"expected images to be a folder, got {self.images}")
        found: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(self.images.iterdir()):
            match = re.search(self.subject, path.name)
            is_image = path.is_file() and has_image_suffix(path) and not is_second_half(path)
            if match and is_image:
                group = match[1] if match.re.groups else None
                found[match[0] if group is None else group].append(path)
        first, end = self.subjects or (0, len(found))
        if not 0 <= first <= end <= len(found):
            raise ValueError(
                f"expected subjects from 0 to {len(found)}, as many as are in {self.images}, got "
                f"{self.subjects}"
            )
        least = 1 if self.pairs == "between" else 2
        return [found[name] for name in sorted(found)[first:end] if len(found[name]) >= least]

    @cached_property
    def _reader(self) -> _Reader:
        return _Reader()


@documented
@dataclass(frozen=True, kw_only=True)
class PhantomPairs:
    """Synthetic pairs without masks, which would be whole images, see :mod:`itk_nephi.phantoms`."""

    phantom: Literal["triangles_and_circles", "deformed_shape"] = field(
        metadata=described("What to draw.")
    )
    count: int = field(metadata=described("How many pairs.", minimum=1))
    dimension: int = setting(2, "Number of spatial dimensions.", minimum=2, maximum=3)
    size: int = setting(64, "Voxels along each axis.", unit="voxels", minimum=1)
    hollow: bool = setting(False, "Whether shapes are outlines.")
    motion: float = setting(
        5.0, "The largest displacement of a deformed shape.", unit="mm", minimum=0
    )
    seed: int = setting(0, "Of the first pair; each next one has the next seed.", minimum=0)

    def __post_init__(self) -> None:
        check_settings(self)
        _ = self[0]

    def __len__(self) -> int:
        return self.count

    @property
    def contents(self) -> str:
        """What the pairs are."""
        return repr(self)

    def __getitem__(self, number: int) -> ImagePair:
        seed = self.seed + number
        size, hollow = self.size, self.hollow
        pair = (
            pairs.triangles_and_circles(self.dimension, size=size, hollow=hollow, seed=seed)
            if self.phantom == "triangles_and_circles"
            else pairs.deformed_shape(
                self.dimension, size=size, hollow=hollow, motion=self.motion, seed=seed
            ).pair
        )
        identity = itk.TranslationTransform[itk.D, self.dimension].New()
        return replace(pair, fixed_mask=None, moving_mask=None, initial_transform=identity)


def _check_kind(initial_transform: str) -> None:
    if initial_transform not in KINDS:
        raise ValueError(
            f"expected initial_transform to be one of {', '.join(KINDS)}, got {initial_transform!r}"
        )
