"""A pair that is written is read again, and messages call its files as the user does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest

from itk_nephi.io.pair_files import (
    PairPaths,
    landmark_columns,
    read_landmarks,
    read_pair,
    write_pair,
)
from itk_nephi.phantoms.pairs import lung
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import transform_points

SIZES = {2: (20, 18), 3: (20, 18, 16)}


@pytest.fixture
def pair(dimension: int, affine: Any) -> ImagePair:
    """All that a pair can have."""
    pair = lung(dimension, size=SIZES[dimension], seed=3).pair
    fixed, moving = pair.evaluation_landmarks
    return replace(
        pair,
        fixed=(*pair.fixed, pair.fixed_mask),
        moving=(*pair.moving, pair.moving_mask),
        channel_weights=(1.0, 0.25),
        guide_landmarks=(fixed[:4], moving[:4]),
        initial_transform=affine,
    )


def test_what_is_written_is_read(pair: ImagePair, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    paths = write_pair(pair, folder, ".nrrd")
    found = read_pair(paths)
    assert list(found.images) == list(pair.images)
    for name, image in pair.images.items():
        np.testing.assert_array_equal(found.images[name], image)
        assert type(found.images[name]) is type(image)
        assert ImageDomain.of(found.images[name]).matches(ImageDomain.of(image))
    for name in ("guide_landmarks", "evaluation_landmarks"):
        np.testing.assert_array_equal(getattr(found, name), getattr(pair, name))
    points = pair.evaluation_landmarks[0]
    np.testing.assert_allclose(
        transform_points(found.initial_transform, points),
        transform_points(pair.initial_transform, points),
        rtol=1e-14,
    )
    assert found.channel_weights == pair.channel_weights
    assert found.name == pair.name
    assert found.sources == paths.files
    assert set(paths.files.values()) == set(folder.iterdir())


@pytest.mark.parametrize("initial_transform", ["moments", None])
def test_a_pair_of_two_images_needs_no_other_files(
    dimension: int, tmp_path: Path, initial_transform: str | None
) -> None:
    full = lung(dimension, size=SIZES[dimension], seed=3).pair
    pair = ImagePair(fixed=full.fixed, moving=full.moving, initial_transform=initial_transform)
    paths = write_pair(pair, tmp_path)
    assert paths == PairPaths(
        fixed=tmp_path / "fixed.nii.gz",
        moving=tmp_path / "moving.nii.gz",
        initial_transform=initial_transform or "identity",
    )
    assert read_pair(paths).initial_transform == (initial_transform or "identity")
    assert {path.name for path in tmp_path.iterdir()} == {"fixed.nii.gz", "moving.nii.gz"}


def test_labels_are_both_or_none(pair: ImagePair, tmp_path: Path) -> None:
    paths = write_pair(pair, tmp_path)
    assert paths.labels == (tmp_path / "fixed_labels.nii.gz", tmp_path / "moving_labels.nii.gz")
    assert replace(paths, moving_labels=None).labels is None


@pytest.mark.parametrize("lacking", [[], ["fixed_z"], ["moving_z"]])
def test_landmarks_in_three_dimensions_are_none_of_images_in_two(
    tmp_path: Path, lacking: list[str]
) -> None:
    columns = [name for name in landmark_columns(3) if name not in lacking]
    (tmp_path / "a.csv").write_text(f"{','.join(columns)}\n{','.join('1' for _ in columns)}\n")
    with pytest.raises(ValueError, match=r"expected FILE in 2 dimensions, got .*_z"):
        read_landmarks(tmp_path / "a.csv", "FILE", 2)


@pytest.mark.parametrize("name", ["fixed_labels", "moving_labels"])
def test_labels_are_whole_numbers(pair: ImagePair, tmp_path: Path, name: str) -> None:
    paths = write_pair(pair, tmp_path, ".nrrd")
    labels = itk.imread(paths.files[name], itk.F)
    itk.array_view_from_image(labels)[-1, -1] = np.nan
    itk.imwrite(labels, paths.files[name])
    words = f"expected the {name} {paths.files[name]} to have whole numbers, got nan"
    with pytest.raises(ValueError, match=words):
        read_pair(paths, lambda file: f"the {file}")


def test_messages_call_a_file_as_the_user_does(
    pair: ImagePair, dimension: int, tmp_path: Path
) -> None:
    paths = write_pair(pair, tmp_path)
    other = tmp_path / "other.nrrd"
    itk.imwrite(itk.image_from_array(np.ones([4] * (5 - dimension), np.uint8)), other)
    table = tmp_path / "table.csv"
    table.write_text(",".join(landmark_columns(dimension)))
    changes: list[tuple[str, dict[str, Any], str]] = [
        ("moving", {"moving": other}, f"in {dimension} dimensions like the fixed, got {other}"),
        ("fixed_labels", {"fixed_labels": tmp_path / "no.mha"}, "to be a file"),
        ("moving_channel_1", {"moving_channels": (other,)}, f"in {dimension} dimensions like"),
        ("guide_landmarks", {"guide_landmarks": table}, "with 0 rows"),
        (
            "initial_transform",
            {"initial_transform": "afine"},
            "identity, geometry, moments, translation, rigid, similarity, affine",
        ),
        ("initial_transform", {"initial_transform": str(other)}, "to be a transform"),
    ]
    for name, change, words in changes:
        with pytest.raises(ValueError, match=f"expected the {name} .*{words}"):
            read_pair(replace(paths, **change), lambda file: f"the {file}")
