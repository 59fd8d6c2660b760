"""Tables of image pairs: read, and checked before anything long starts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from itk_nephi.io.errors import plain_words, require_file, spelling_hint
from itk_nephi.io.images import read_image, read_scalar_header
from itk_nephi.io.pair_files import LABELS, LANDMARKS, PairPaths, landmark_columns
from itk_nephi.io.tables import Table, read_csv
from itk_nephi.io.transforms import read_initial_transform
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import ImageDomain, difference
from itk_nephi.spatial.initialization import KINDS
from itk_nephi.spatial.preparation import check_labels, checked_mask

REQUIRED = ("fixed", "moving")

ON_GRID_OF = {
    "fixed_mask": "fixed",
    "moving_mask": "moving",
    "fixed_labels": "fixed",
    "moving_labels": "moving",
}
"""The columns of images that lie on the grid of another column's image."""

MASKS = ("fixed_mask", "moving_mask")

IMAGES = (*REQUIRED, *ON_GRID_OF)


LONGEST_NAME = 200
"""How many bytes the name of a pair may have, which becomes that of a folder."""


class TableError(ValueError):
    """Everything that is wrong with a table, a line each."""


COLUMNS = ("name", *IMAGES, *LANDMARKS, "initial_transform")
"""Those that a table may have."""


def read_pair_table(
    path: Path, argument: str = "TABLE", initial_transform: str = "affine"
) -> list[PairPaths]:
    """Read a table of image pairs and check all that can be checked without registering.

    Parameters
    ----------
    path : Path
        A CSV file, separated by commas, semicolons or tabs, with the columns fixed and moving, and
        any others of ``COLUMNS``. Files are relative to the table's folder. A pair with an empty
        cell has no such file; without a column name, pairs are called pair-0001, pair-0002, ...
    argument : str
        What messages call the table.
    initial_transform : str
        A kind, or a file, for the pairs whose row names none.

    Returns
    -------
    list of PairPaths
        At least one, with unique names and absolute paths.

    Raises
    ------
    ValueError
        If there is no such file, or it is no CSV file.
    TableError
        If anything is wrong with the table or what it names; the message has a line for each fault,
        with its row. Of images only the headers are read, of masks and label images the voxels too.
    """
    header, *rows = read_csv(path, argument)
    problems = _column_problems(header)
    if not rows:
        problems.append("expected at least one row below the header, got none")
    pairs = []
    if not problems:
        for number, cells in enumerate(rows, start=1):
            if len(cells) != len(header):
                problems.append(f"row {number}: expected {len(header)} cells, got {len(cells)}")
                continue
            entries = {
                name: cell.strip() for name, cell in zip(header, cells, strict=True) if cell.strip()
            }
            needed = [name for name in (*REQUIRED, "name") if name in header]
            empty = [name for name in needed if name not in entries]
            problems += [
                f"row {number}: expected {name} to be given, got nothing" for name in empty
            ]
            if not empty:
                pairs.append(_pair(number, entries, path.parent.absolute(), initial_transform))
        problems += _name_problems(pairs) + _file_problems(pairs)
    if problems:
        problems.sort(key=_row_number)
        count = "one fault" if len(problems) == 1 else f"{len(problems)} faults"
        raise TableError("\n  ".join([f"{argument} {path} has {count}:", *problems]))
    return pairs


def pair_faults(pair: PairPaths) -> list[str]:
    """Return what is wrong with the files of a pair; none is registered to find out."""
    return _faults(pair, read_domain, _check_mask, _label_values)


def _row_number(problem: str) -> int:
    found = re.match(r"row (\d+)", problem)
    return int(found[1]) if found else 0


def _pair(number: int, entries: dict[str, str], folder: Path, initial_transform: str) -> PairPaths:
    name = entries.pop("name", f"pair-{number:04}")
    if "initial_transform" in entries:
        initial_transform = entries.pop("initial_transform")
        if initial_transform not in KINDS:
            initial_transform = str(folder / initial_transform)
    paths: dict[str, Any] = {column: folder / cell for column, cell in entries.items()}
    return PairPaths(row=number, name=name, initial_transform=initial_transform, **paths)


def _column_problems(header: list[str]) -> list[str]:
    problems = [f"expected a column {name}, got none" for name in REQUIRED if name not in header]
    for name, count in Counter(header).items():
        if count > 1:
            problems.append(f"expected each column once, got {name!r} {count} times")
        if name not in COLUMNS:
            hint = spelling_hint(name.lower().replace(" ", "_"), COLUMNS)
            problems.append(f"got an unknown column {name!r}; {hint}")
    return problems


def _name_problems(pairs: list[PairPaths]) -> list[str]:
    first: dict[str, PairPaths] = {}
    problems = []
    for pair in pairs:
        # beside the folders lie the files of a batch or a comparison
        if not re.fullmatch(r"(?!summary\.|comparison\.)[^./\\:][^/\\:]*", pair.name):
            problems.append(
                f"row {pair.row}: expected name to be fit for a folder, without / \\ : and not "
                f"starting with a dot, summary. or comparison., got {pair.name!r}"
            )
        if len(pair.name.encode()) > LONGEST_NAME or not pair.name.isprintable():
            problems.append(
                f"row {pair.row}: expected name of at most {LONGEST_NAME} bytes of printable "
                f"characters, got {pair.name[:40]!r} of {len(pair.name.encode())}"
            )
        if pair.name[0] in "=+-@":
            problems.append(
                f"row {pair.row}: expected name not to start with = + - @, which spreadsheets "
                f"compute, got {pair.name[:40]!r}"
            )
        # Some file systems do not distinguish upper and lower case.
        other = first.setdefault(pair.name.casefold(), pair)
        if other is not pair:
            problems.append(
                f"row {pair.row}: expected a name of its own, got {pair.name!r} as in row "
                f"{other.row}"
            )
    return problems


def _file_problems(pairs: list[PairPaths]) -> list[str]:
    # an image can be in many rows
    readers = cache(read_domain), cache(_check_mask), cache(_label_values)
    return [
        f"row {pair.row} ({pair.name}): {fault}"
        for pair in pairs
        for fault in _faults(pair, *readers)
    ]


def _faults(
    pair: PairPaths,
    domain: Callable[[Path, str], ImageDomain],
    check_mask: Callable[[Path, str], None],
    label_values: Callable[[Path, str], frozenset[float]],
) -> list[str]:
    faults: list[str] = []
    domains: dict[str, ImageDomain] = {}
    for column, path in pair.files.items():
        if column in IMAGES:
            with _collected(faults):
                domains[column] = domain(path, column)
    dimensions = {domains[column].dimension for column in REQUIRED if column in domains}
    if len(dimensions) > 1:
        faults.append(
            f"expected moving in {domains['fixed'].dimension} dimensions like fixed, "
            f"got {pair.moving} in {domains['moving'].dimension}"
        )
    for column, image in ON_GRID_OF.items():
        if {column, image} <= domains.keys():
            grids = [domains[column], domains[image]]
            if grids[0].dimension != grids[1].dimension or not grids[0].matches(grids[1]):
                faults.append(
                    f"expected {column} on the grid of {image}, got {pair.files[column]} on "
                    f"another: {difference(*grids)}"
                )
    for column in MASKS:
        if column in domains:
            with _collected(faults):
                check_mask(pair.files[column], column)
    labels = [column for column in LABELS if column in pair.files]
    if len(labels) == 1:
        faults.append(f"expected fixed_labels and moving_labels or neither, got only {labels[0]}")
    elif labels and domains.keys() >= set(labels):
        values = []
        for column in labels:
            with _collected(faults):
                values.append(label_values(pair.files[column], column))
        if len(values) == 2 and not values[0] & values[1]:
            faults.append(
                "expected fixed_labels and moving_labels to share a value other than 0, got "
                + " and ".join(map(_listed, values))
            )
    dimension = dimensions.pop() if len(dimensions) == 1 else None
    with _collected(faults):
        read_initial_transform(pair.initial_transform, "initial_transform", dimension)
    for column in LANDMARKS:
        if column in pair.files:
            with _collected(faults):
                require_file(pair.files[column], column)
                if dimension is not None:
                    _check_landmarks(pair.files[column], column, dimension, domains)
    return faults


@contextmanager
def _collected(faults: list[str]) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        faults.append(str(error))
    except OSError as error:  # such as a folder that may not be read
        faults.append(plain_words(error))


def read_domain(path: Path, column: str) -> ImageDomain:
    """Read the grid of the file of a scalar image; ``column`` is what messages call it."""
    header = read_scalar_header(path, column)
    try:
        return header.domain
    except ValueError as error:
        raise ValueError(f"{column} {path}: {error}") from None


def _check_mask(path: Path, column: str) -> None:
    mask = read_image(path, column)
    checked_mask(mask, f"{column} {path}", mask, column)


def _label_values(path: Path, column: str) -> frozenset[float]:
    labels = read_image(path, column)
    check_labels(labels, f"{column} {path}")
    return frozenset(np.unique(itk.array_view_from_image(labels)).tolist()) - {0}


def _listed(values: frozenset[float]) -> str:
    return ", ".join(f"{value:g}" for value in sorted(values)[:10]) or "no label"


def _check_landmarks(
    path: Path, column: str, dimension: int, domains: dict[str, ImageDomain]
) -> None:
    table = Table.read(path, column)
    columns = landmark_columns(dimension)
    halves = {"fixed": columns[:dimension], "moving": columns[dimension:]}
    if set(columns) <= set(table.header):
        counts = {
            space: sum(
                any(row[table.header.index(name)].strip() for name in half) for row in table.rows
            )
            for space, half in halves.items()
        }
        if counts["fixed"] != counts["moving"]:
            raise ValueError(
                f"expected as many fixed as moving points in {column}, got {path} with "
                f"{counts['fixed']} and {counts['moving']}"
            )
    table.points(columns)
    for space, domain in domains.items():
        if space in halves:
            outside = np.flatnonzero(~domain.contains(table.points(halves[space]))) + 1
            if len(outside):
                raise ValueError(
                    f"expected the {space} points of {column} inside the {space} image, got {path} "
                    f"with {len(outside)} of {len(table.rows)} outside, the first in row "
                    f"{outside[0]}"
                )
