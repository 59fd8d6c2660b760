from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest

from itk_nephi.io.pair_files import PairPaths, landmark_columns
from itk_nephi.io.pair_table import COLUMNS, TableError, read_pair_table
from itk_nephi.spatial.domain import ImageDomain, image_from_array, image_like

FILES = {
    "fixed": "fixed.nrrd",
    "moving": "moving.mha",
    "fixed_mask": "masks/fixed.nii.gz",
    "moving_mask": "masks/moving.nrrd",
    "fixed_labels": "fixed_labels.nii.gz",
    "moving_labels": "moving_labels.nrrd",
    "evaluation_landmarks": "landmarks.csv",
    "guide_landmarks": "guide.csv",
    "initial_transform": "initial.tfm",
}


@pytest.fixture
def folder(image: Any, domain: ImageDomain, tmp_path: Path) -> Path:
    """A folder with all files of a pair: turned, anisotropic, on two grids."""
    folder = tmp_path / "cohort"
    (folder / "masks").mkdir(parents=True)
    moved = ImageDomain(
        domain.size[::-1], (1.1,) * domain.dimension, domain.origin, domain.direction
    )
    moving = image_from_array(np.ones(domain.size, np.int16), moved)
    for space, kind in (("fixed", image), ("moving", moving)):
        values = np.ones(np.asarray(kind).shape, np.uint8)
        itk.imwrite(kind, str(folder / FILES[space]))
        itk.imwrite(image_like(kind, values), str(folder / FILES[f"{space}_mask"]))
        itk.imwrite(image_like(kind, 3 * values), str(folder / FILES[f"{space}_labels"]))
    points = [domain.center, moved.center]
    for column in ("evaluation_landmarks", "guide_landmarks"):
        write_landmarks(folder / FILES[column], [np.concatenate(points)] * 3)
    itk.transformwrite(
        itk.AffineTransform[itk.D, domain.dimension].New(), str(folder / FILES["initial_transform"])
    )
    return folder


def write_landmarks(path: Path, rows: list[Any]) -> None:
    header = ",".join(landmark_columns(len(rows[0]) // 2))
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]))


def written(folder: Path, *rows: dict[str, str], text: Callable[[str], str] = str) -> Path:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [",".join(columns), *(",".join(row.get(name, "") for name in columns) for row in rows)]
    path = folder / "table.csv"
    path.write_bytes(text("\n".join(lines) + "\n").encode())
    return path


def faults(table: Path) -> list[str]:
    with pytest.raises(TableError) as caught:
        read_pair_table(table)
    first, *lines = str(caught.value).splitlines()
    assert first.startswith(f"TABLE {table} has ")
    return [line.strip() for line in lines]


def test_a_row_names_files_beside_the_table(folder: Path) -> None:
    (pair,) = read_pair_table(written(folder, FILES | {"name": "Müller"}))
    assert pair == PairPaths(
        row=1,
        name="Müller",
        **{
            column: folder / file for column, file in FILES.items() if column != "initial_transform"
        },
        initial_transform=str(folder / FILES["initial_transform"]),
    )
    assert pair.labels == (folder / FILES["fixed_labels"], folder / FILES["moving_labels"])
    assert pair.files == {column: folder / file for column, file in FILES.items()}


def test_two_images_are_enough_and_empty_cells_are_no_files(folder: Path) -> None:
    images = {"fixed": FILES["fixed"], "moving": str(folder / FILES["moving"])}
    bare, kind, masked = read_pair_table(
        written(
            folder,
            images,
            images | {"initial_transform": "geometry"},
            images | {"fixed_mask": FILES["fixed_mask"]},
        )
    )
    assert [pair.name for pair in (bare, kind, masked)] == ["pair-0001", "pair-0002", "pair-0003"]
    assert bare.labels is bare.evaluation_landmarks is bare.fixed_mask is None
    assert bare.initial_transform == "affine"
    assert (kind.initial_transform, kind.files.keys()) == ("geometry", {"fixed", "moving"})
    assert masked.fixed_mask == folder / FILES["fixed_mask"]


def test_rows_that_name_no_initial_transform_get_the_one_asked_for(folder: Path) -> None:
    images = {name: FILES[name] for name in ("fixed", "moving")}
    table = written(folder, images, images | {"initial_transform": "geometry"})
    for asked in ("moments", str(folder / FILES["initial_transform"])):
        pairs = read_pair_table(table, initial_transform=asked)
        assert [pair.initial_transform for pair in pairs] == [asked, "geometry"]


@pytest.mark.parametrize(
    "text",
    [
        lambda text: "\ufeff" + text.replace("\n", "\r\n"),
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", "\t"),
        lambda text: "\n".join(
            ",".join(f'" {cell} "' for cell in line.split(",")) for line in text.splitlines()
        ),
        lambda text: text.replace("\n", "\n\n"),
    ],
    ids=["Windows", "semicolons", "tabs", "quotes", "empty lines"],
)
def test_tables_of_all_programs_are_read(folder: Path, text: Callable[[str], str]) -> None:
    expected = read_pair_table(written(folder, FILES, FILES))
    assert read_pair_table(written(folder, FILES, FILES, text=text)) == expected


def test_a_quoted_comma_belongs_to_the_file(folder: Path) -> None:
    (folder / FILES["fixed"]).rename(folder / "a,b.nrrd")
    table = written(folder, {"fixed": '"a,b.nrrd"', "moving": FILES["moving"]})
    assert read_pair_table(table)[0].fixed == folder / "a,b.nrrd"


def test_all_faults_are_told_together_and_in_order(folder: Path) -> None:
    lacking = FILES | {"fixed": "no.nrrd", "evaluation_landmarks": "no.csv"}
    found = faults(
        written(folder, {"name": "a"} | lacking, {"name": "a"} | FILES, {"name": "b"} | lacking)
    )
    assert [line.split(":")[0] for line in found] == [
        "row 1 (a)",
        "row 1 (a)",
        "row 2",
        "row 3 (b)",
        "row 3 (b)",
    ]
    assert (
        found[0]
        == f"row 1 (a): expected fixed to be a file, got {folder / 'no.nrrd'}, which does not exist"
    )
    assert "evaluation_landmarks" in found[1]
    assert "'a' as in row 1" in found[2]


@pytest.mark.parametrize(
    ("column", "hint"),
    [
        ("fixed_msk", "is it fixed_mask?"),
        ("Fixed Labels", "is it fixed_labels?"),
        ("landmarks", "is it evaluation_landmarks or guide_landmarks?"),
        ("initial", "is it initial_transform?"),
        ("age", f"known are {', '.join(COLUMNS)}"),
        ("", "known are"),
    ],
)
def test_unknown_columns_are_refused(folder: Path, column: str, hint: str) -> None:
    (fault,) = faults(written(folder, FILES | {column: "x"}))
    assert fault.startswith(f"got an unknown column {column!r}; {hint}")


def test_missing_and_doubled_columns_are_refused(folder: Path) -> None:
    table = written(
        folder, {"fixed": "a", "name": "b"}, text=lambda text: text.replace("name", "fixed")
    )
    assert faults(table) == [
        "expected a column moving, got none",
        "expected each column once, got 'fixed' 2 times",
    ]


def test_a_table_without_rows_is_refused(folder: Path) -> None:
    table = written(folder, FILES, text=lambda text: text.splitlines()[0])
    assert faults(table) == ["expected at least one row below the header, got none"]


def test_empty_cells_and_ragged_rows_are_refused(folder: Path) -> None:
    table = written(
        folder, FILES | {"name": "a"}, FILES | {"fixed": " "}, text=lambda text: text + "x,y\n"
    )
    assert faults(table) == [
        "row 2: expected fixed to be given, got nothing",
        "row 2: expected name to be given, got nothing",
        f"row 3: expected {len(COLUMNS)} cells, got 2",
    ]


@pytest.mark.parametrize("name", ["a/b", "..", ".x", "c:", "a\\b", "summary.csv", "comparison.md"])
def test_names_that_are_no_folders_are_refused(folder: Path, name: str) -> None:
    (fault,) = faults(written(folder, FILES | {"name": name}))
    assert fault.startswith("row 1: expected name to be fit for a folder")


def test_names_that_differ_in_case_only_are_refused(folder: Path) -> None:
    (fault,) = faults(written(folder, FILES | {"name": "a"}, FILES | {"name": "A"}))
    assert fault == "row 2: expected a name of its own, got 'A' as in row 1"


@pytest.mark.parametrize("column", FILES)
def test_files_that_are_none_are_refused(folder: Path, column: str) -> None:
    (folder / "bad").write_bytes(b"\0\1\2")
    (fault,) = faults(written(folder, FILES | {column: "bad"}))
    assert fault.startswith(f"row 1 (pair-0001): expected {column} ")
    assert str(folder / "bad") in fault


@pytest.mark.parametrize("column", ["moving", "fixed_mask", "moving_labels", "initial_transform"])
def test_other_dimensions_are_refused(folder: Path, dimension: int, column: str) -> None:
    other = 5 - dimension
    if column == "initial_transform":
        itk.transformwrite(itk.AffineTransform[itk.D, other].New(), str(folder / "other.tfm"))
    else:
        itk.imwrite(itk.image_from_array(np.ones([4] * other, np.uint8)), str(folder / "other.mha"))
    file = "other.tfm" if column == "initial_transform" else "other.mha"
    found = faults(written(folder, FILES | {column: file}))
    assert any(f"expected {column} " in fault for fault in found)
    assert any(f"{dimension} dimensions" in fault for fault in found) == (
        column in ("moving", "initial_transform")
    )


@pytest.mark.parametrize("column", ["fixed_mask", "moving_mask", "fixed_labels", "moving_labels"])
def test_masks_and_labels_lie_on_the_grid_of_their_image(folder: Path, column: str) -> None:
    space, kind = column.split("_")
    other = {"fixed": "moving", "moving": "fixed"}[space]
    (fault,) = faults(written(folder, FILES | {column: FILES[f"{other}_{kind}"]}))
    assert f"expected {column} on the grid of {space}, " in fault
    assert " instead of " in fault


def test_one_label_image_alone_is_refused(folder: Path) -> None:
    (fault,) = faults(written(folder, FILES | {"moving_labels": ""}))
    assert "expected fixed_labels and moving_labels or neither, got only fixed_labels" in fault


@pytest.mark.parametrize(("value", "said"), [(0, "no label"), (7, "7")])
def test_labels_share_a_value(folder: Path, value: int, said: str) -> None:
    path = folder / FILES["moving_labels"]
    labels = itk.imread(str(path))
    itk.imwrite(image_like(labels, np.full_like(np.asarray(labels), value)), str(path))
    (fault,) = faults(written(folder, FILES))
    assert fault.endswith(f"to share a value other than 0, got 3 and {said}")


@pytest.mark.parametrize("column", ["fixed_labels", "moving_labels"])
@pytest.mark.parametrize("value", [np.nan, 0.3])
def test_labels_are_whole_numbers(folder: Path, column: str, value: float) -> None:
    path = folder / FILES[column]
    labels = itk.imread(str(path), itk.F)
    itk.array_view_from_image(labels)[-1, -1] = value
    itk.imwrite(labels, str(path))
    (fault,) = faults(written(folder, FILES))
    assert fault.endswith(f"expected {column} {path} to have whole numbers, got {value:g}")


@pytest.mark.parametrize("column", ["fixed_mask", "moving_mask"])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "to have non-zero voxels, got an empty mask"),
        (np.nan, "to be finite, got"),
        (1.5, "to be from 0 to 1 where it is soft, got"),
    ],
)
def test_masks_are_neither_empty_nor_out_of_range(
    folder: Path, column: str, value: float, words: str
) -> None:
    path = folder / FILES[column]
    mask = itk.imread(str(path), itk.F)
    itk.array_view_from_image(mask)[...] = 0.5 if value else 0
    itk.array_view_from_image(mask)[-1, -1] = value
    itk.imwrite(mask, str(path))
    (fault,) = faults(written(folder, FILES))
    assert f"expected {column} {path} {words}" in fault


@pytest.mark.parametrize("column", FILES)
def test_a_name_that_no_file_can_have_hides_no_other_fault(folder: Path, column: str) -> None:
    longest = {column: "a" * 300}
    found = faults(written(folder, FILES | longest, FILES | {"moving": "no.mha"}))
    assert [line.split(":")[0] for line in found] == ["row 1 (pair-0001)", "row 2 (pair-0002)"]
    assert str(folder / longest[column]) in found[0]


@pytest.mark.parametrize("space", ["fixed", "moving"])
def test_landmarks_lie_in_their_image(folder: Path, domain: ImageDomain, space: str) -> None:
    inside = np.concatenate([domain.center] * 2)
    shift = np.concatenate(
        [domain.half_extent * 3 * (space == kind) for kind in ("fixed", "moving")]
    )
    write_landmarks(folder / "landmarks.csv", [inside, inside + shift, inside + shift])
    (fault,) = faults(written(folder, FILES))
    assert f"expected the {space} points of evaluation_landmarks inside the {space} image" in fault
    assert fault.endswith("with 2 of 3 outside, the first in row 2")


def test_the_outermost_voxels_hold_landmarks(folder: Path, domain: ImageDomain) -> None:
    """The header's directions are read the right way round: a corner of a turned image."""
    last = domain.points_from_index(np.array(domain.size) - 0.6)
    moving = ImageDomain.of(itk.imread(str(folder / FILES["moving"])))
    last_moving = moving.points_from_index(np.array(moving.size) - 0.6)
    write_landmarks(folder / "landmarks.csv", [np.concatenate([last, last_moving])])
    assert read_pair_table(written(folder, FILES))


def test_landmarks_come_in_pairs(folder: Path, dimension: int) -> None:
    path = folder / "landmarks.csv"
    path.write_text(path.read_text() + "\n" + ",".join(["1"] * dimension + [""] * dimension))
    (fault,) = faults(written(folder, FILES))
    assert "expected as many fixed as moving points in evaluation_landmarks" in fault
    assert fault.endswith("with 4 and 3")


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected TABLE to be a file, got .*does not exist"):
        read_pair_table(tmp_path / "no.csv")
    (tmp_path / "bad.csv").write_bytes("fixed,moving\nä,b\n".encode("latin-1"))
    with pytest.raises(ValueError, match="expected TABLE to be a CSV file"):
        read_pair_table(tmp_path / "bad.csv")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a" * 300, "of at most 200 bytes of printable characters, got 'aaa"),
        ("ä" * 150, "of at most 200 bytes of printable characters, got 'ää"),
        ("a\tb\x07", "of printable characters"),
        ("=1+2", r"not to start with = \+ - @, which spreadsheets compute, got '=1"),
        ("@a", "not to start with"),
    ],
)
def test_names_that_are_no_names_of_folders_are_refused(
    tmp_path: Path, name: str, words: str
) -> None:
    (tmp_path / "pairs.csv").write_text(f'name,fixed,moving\n"{name}",a.nrrd,b.nrrd\n')
    with pytest.raises(TableError, match=words):
        read_pair_table(tmp_path / "pairs.csv")
