import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest

from itk_nephi.phantoms.pairs import deformed_shape
from itk_nephi.spatial.domain import ImageDomain, image_from_array
from itk_nephi.training.datasets import FolderPairs, PhantomPairs, TablePairs

DOMAIN = ImageDomain(
    size=(5, 4), spacing=(1.5, 0.7), origin=(3.0, -8.0), direction=((0.0, -1.0), (1.0, 0.0))
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images whose mean is their own number, of three subjects: two, two and one."""
    for kind in ("images", "labels", "masks"):
        (tmp_path / kind).mkdir()
    for number, name in enumerate(["a_1", "a_2", "b_1", "b_2", "c_1"]):
        values = np.linspace(number - 0.5, number + 0.5, 20, dtype=np.float32).reshape(4, 5)
        itk.imwrite(image_from_array(values, DOMAIN), str(tmp_path / "images" / f"{name}.nrrd"))
        for kind in ("labels", "masks"):
            values = np.full((4, 5), number + 1, np.uint8)
            itk.imwrite(image_from_array(values, DOMAIN), str(tmp_path / kind / f"{name}.nrrd"))
    return tmp_path


def numbers(pair: Any) -> tuple[int, int]:
    """Which images of the folder a pair shows."""
    fixed, moving = (
        round(float(np.asarray(image).mean())) for image in (pair.fixed_image, pair.moving_image)
    )
    return fixed, moving


def test_pairs_between_subjects_are_of_two_subjects(folder: Path) -> None:
    pairs = FolderPairs(images=folder / "images", count=60, subject="^[a-z]")
    found = {numbers(pairs[n]) for n in range(len(pairs))}
    subject = [0, 0, 1, 1, 2]
    assert all(subject[fixed] != subject[moving] for fixed, moving in found)
    assert {n for pair in found for n in pair} == {0, 1, 2, 3, 4}


def test_pairs_within_subjects_are_two_images_of_one(folder: Path) -> None:
    pairs = FolderPairs(images=folder / "images", count=40, subject="^([a-z])_", pairs="within")
    assert {numbers(pairs[n]) for n in range(40)} == {(0, 1), (1, 0), (2, 3), (3, 2)}


def test_a_match_without_the_group_is_the_subject_itself(folder: Path) -> None:
    pairs = FolderPairs(images=folder / "images", count=40, subject="^[ab]_([12])|c", seed=1)
    group = [1, 2, 1, 2, 0]
    found = {numbers(pairs[n]) for n in range(40)}
    assert all(group[fixed] != group[moving] for fixed, moving in found)
    assert {n for pair in found for n in pair} == {0, 1, 2, 3, 4}


def test_chosen_subjects_come_with_their_masks_and_labels(folder: Path) -> None:
    folders = {kind: folder / kind for kind in ("images", "labels", "masks")}
    pairs = FolderPairs(**folders, count=9, subject="^[a-z]", subjects=(0, 2), seed=3)
    again = FolderPairs(**folders, count=9, subject="^[a-z]", subjects=(0, 2), seed=3)
    for n in range(9):
        pair, (fixed, moving) = pairs[n], numbers(pairs[n])
        assert numbers(again[n]) == (fixed, moving)
        assert max(fixed, moving) < 4
        assert pair.labels is not None
        assert [int(np.max(image)) for image in pair.labels] == [fixed + 1, moving + 1]
        assert np.asarray(pair.fixed_mask).all()
        assert ImageDomain.of(pair.fixed_image).matches(DOMAIN.canonical())
    assert pairs[0].fixed_image is not pairs[0].moving_image
    assert len({id(pairs[n].fixed_image) for n in range(9)}) <= 4  # each read once


def test_files_of_other_kinds_are_left_out(folder: Path) -> None:
    expected = FolderPairs(images=folder / "images", count=9, subject="^[a-z]")
    for name in ("a_1.json", "b_3.json", "participants.tsv", "d_README", "e.txt"):
        (folder / "images" / name).write_text("{}")
    found = FolderPairs(images=folder / "images", count=9, subject="^[a-z]")
    assert found.contents == expected.contents
    assert [numbers(found[n]) for n in range(9)] == [numbers(expected[n]) for n in range(9)]


@pytest.mark.parametrize(
    ("header", "voxels"), [(".hdr", ".img"), (".HDR", ".IMG"), (".mhd", ".raw")]
)
def test_an_image_in_two_files_is_one(folder: Path, header: str, voxels: str) -> None:
    images = folder / "images"
    for path in sorted(images.iterdir()):
        target = path.with_suffix(header.lower())
        itk.imwrite(itk.imread(str(path)), str(target))
        target.rename(path.with_suffix(header))
        target.with_suffix(voxels.lower()).rename(path.with_suffix(voxels))
        path.unlink()
    pairs = FolderPairs(images=images, count=30, subject="^[a-z]", pairs="within")
    assert {numbers(pairs[n]) for n in range(30)} == {(0, 1), (1, 0), (2, 3), (3, 2)}


def test_all_files_that_cannot_be_pairs_are_named_before_any_is_drawn(folder: Path) -> None:
    images = folder / "images"
    (images / "a_1.nrrd").write_bytes((images / "a_1.nrrd").read_bytes()[:-30])
    cube = ImageDomain(
        size=(4, 4, 4),
        spacing=(1.0,) * 3,
        origin=(0.0,) * 3,
        direction=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    )
    itk.imwrite(image_from_array(np.zeros((4, 4, 4), np.uint8), cube), str(images / "b_2.nrrd"))
    with pytest.raises(ValueError, match=r"has 3 faults") as caught:
        FolderPairs(images=images, count=1, masks=folder / "masks")
    _, *faults = str(caught.value).splitlines()
    for fault, fragment in zip(
        faults,
        ["a_1.nrrd: truncated", "expected mask on the grid of", "in 2 or all in 3"],
        strict=True,
    ):
        assert fragment in fault


@pytest.mark.parametrize("outside", [np.nan, -3e4])
def test_what_lies_outside_a_mask_does_not_matter(folder: Path, outside: float) -> None:
    def drawn() -> list[Any]:
        masks = ",masks/a_1.nrrd,masks/b_1.nrrd\n"
        (folder / "pairs.csv").write_text(
            f"fixed,moving,fixed_mask,moving_mask\nimages/a_1.nrrd,images/b_1.nrrd{masks}"
        )
        table = TablePairs(table=folder / "pairs.csv")
        folders = {kind: folder / kind for kind in ("images", "masks")}
        chosen = FolderPairs(**folders, count=1, subject="^(a_1|b_1)")
        return [
            np.asarray(image)
            for pairs in (table, chosen)
            for image in (pairs[0].fixed_image, pairs[0].moving_image)
        ]

    for name in ("a_1", "b_1"):
        mask = np.ones((4, 5), np.uint8)
        mask[:, :2] = 0
        itk.imwrite(image_from_array(mask, DOMAIN), str(folder / "masks" / f"{name}.nrrd"))
    expected = drawn()
    for name in ("a_1", "b_1"):
        path = str(folder / "images" / f"{name}.nrrd")
        values = itk.array_from_image(itk.imread(path))
        values[:, :2] = outside
        itk.imwrite(image_from_array(values, DOMAIN), path)
    np.testing.assert_array_equal(drawn(), expected)


def test_pairs_that_were_moved_are_the_same_and_others_are_not(folder: Path) -> None:
    def contents(where: Path) -> list[str]:
        folders = {kind: where / kind for kind in ("images", "masks")}
        return [
            TablePairs(table=where / "pairs.csv").contents,
            FolderPairs(**folders, count=9).contents,
        ]

    row = "images/a_1.nrrd,images/b_1.nrrd\n"
    (folder / "pairs.csv").write_text(f"fixed,moving\n{row}")
    moved = folder.with_name("elsewhere")
    shutil.copytree(folder, moved)
    assert contents(moved) == contents(folder)
    table, images = contents(folder)
    for rows in (row + row, row.replace("a_1", "a_2")):
        (moved / "pairs.csv").write_text(f"fixed,moving\n{rows}")
        assert contents(moved)[0] != table
    for changed in (
        FolderPairs(images=folder / "images", masks=folder / "masks", count=8),
        FolderPairs(images=folder / "images", masks=folder / "masks", count=9, subject="^[a-z]"),
        FolderPairs(images=folder / "images", count=9),
        FolderPairs(**{kind: folder / kind for kind in ("images", "masks", "labels")}, count=9),
    ):
        assert changed.contents != images


@pytest.mark.parametrize("change", [{"size": (4, 5)}, {"spacing": (1.5, 0.8)}])
def test_pairs_of_other_images_under_the_same_names_are_others(
    folder: Path, change: dict[str, Any]
) -> None:
    (folder / "pairs.csv").write_text("fixed,moving\nimages/b_1.nrrd,images/a_1.nrrd\n")

    def contents() -> list[str]:
        table = TablePairs(table=folder / "pairs.csv")
        return [table.contents, FolderPairs(images=folder / "images", count=9).contents]

    before = contents()
    domain = replace(DOMAIN, **change)
    values = np.zeros(domain.size[::-1], np.float32)
    itk.imwrite(image_from_array(values, domain), str(folder / "images" / "a_1.nrrd"))
    for now, then in zip(contents(), before, strict=True):
        assert now != then


def test_guide_landmarks_which_steer_no_training_are_refused(folder: Path) -> None:
    point = ",".join(str(x) for x in [*DOMAIN.center, *DOMAIN.center])
    (folder / "points.csv").write_text(f"fixed_x,fixed_y,moving_x,moving_y\n{point}\n")
    (folder / "pairs.csv").write_text(
        "name,fixed,moving,guide_landmarks\n"
        "anna,images/a_1.nrrd,images/c_1.nrrd,points.csv\n"
        "ben,images/b_1.nrrd,images/c_1.nrrd,\n"
    )
    with pytest.raises(ValueError, match=r"expected no guide_landmarks, .* got those of anna: "):
        TablePairs(table=folder / "pairs.csv")


def test_table_pairs_are_those_of_the_rows(folder: Path) -> None:
    itk.transformwrite(itk.AffineTransform[itk.D, 2].New(), str(folder / "initial.tfm"))
    point = ",".join(str(x) for x in [*DOMAIN.center, *DOMAIN.center])
    (folder / "points.csv").write_text(f"fixed_x,fixed_y,moving_x,moving_y\n{point}\n")
    (folder / "pairs.csv").write_text(
        "fixed,moving,moving_mask,evaluation_landmarks,initial_transform\n"
        "images/a_1.nrrd,images/c_1.nrrd,masks/c_1.nrrd,points.csv,initial.tfm\n"
        "images/b_1.nrrd,images/a_2.nrrd,,,\n"
    )
    pairs = TablePairs(table=folder / "pairs.csv", initial_transform="moments")
    first, second = pairs[0], pairs[1]
    assert len(pairs) == 2
    assert numbers(first) == (0, 4)
    assert numbers(second) == (2, 1)
    assert first.initial_transform.GetNameOfClass() == "AffineTransform"
    assert second.initial_transform.GetNameOfClass() == "TranslationTransform"
    assert first.fixed_mask is None
    assert first.moving_mask is not None
    assert first.evaluation_landmarks is not None
    np.testing.assert_allclose(first.evaluation_landmarks[1], [DOMAIN.center])
    assert (second.moving_mask, second.evaluation_landmarks, second.labels) == (None, None, None)


def test_phantom_pairs_are_those_of_their_seeds() -> None:
    pairs = PhantomPairs(phantom="deformed_shape", count=3, size=24, hollow=True, motion=2, seed=5)
    pair, expected = pairs[2], deformed_shape(2, size=24, hollow=True, motion=2, seed=7).pair
    np.testing.assert_array_equal(pair.moving_image, expected.moving_image)
    assert pair.evaluation_landmarks is not None
    np.testing.assert_array_equal(pair.evaluation_landmarks[0], expected.evaluation_landmarks[0])
    assert len(pairs) == 3


def test_folders_without_what_pairs_need_are_refused(folder: Path) -> None:
    images = folder / "images"
    with pytest.raises(ValueError, match=r"expected images to be a folder, got .*missing"):
        FolderPairs(images=folder / "missing", count=1)
    with pytest.raises(ValueError, match="expected subjects from 0 to 5, as many as are in"):
        FolderPairs(images=images, count=1, subjects=(0, 6))
    with pytest.raises(ValueError, match=r"expected 2 subjects or more in .*, got 1"):
        FolderPairs(images=images, count=1, subjects=(2, 3))
    with pytest.raises(ValueError, match="expected 1 subjects with two images or more"):
        FolderPairs(images=images, count=1, pairs="within")
    (folder / "labels" / "b_1.nrrd").unlink()
    with pytest.raises(ValueError, match=r"labels to be a file, got .*b_1.nrrd, which does not"):
        FolderPairs(images=images, count=1, labels=folder / "labels")
    with pytest.raises(ValueError, match="expected count of at least 1, got 0"):
        FolderPairs(images=images, count=0)
    with pytest.raises(ValueError, match="expected count of at least 1, got 0"):
        PhantomPairs(phantom="deformed_shape", count=0)
    with pytest.raises(
        ValueError, match=r"expected initial_transform to be one of identity, .*, got 'x'"
    ):
        FolderPairs(images=images, count=1, initial_transform="x")
