from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from itk_nephi.io.pair_files import landmark_columns, read_landmarks


def test_columns_name_space_and_axis() -> None:
    assert landmark_columns(2) == ["fixed_x", "fixed_y", "moving_x", "moving_y"]
    assert landmark_columns(3)[3:] == ["moving_x", "moving_y", "moving_z"]


def test_landmarks_are_fixed_and_moving_points_whatever_the_order_of_columns(
    dimension: int, tmp_path: Path
) -> None:
    fixed, moving = np.random.default_rng(0).normal(size=(2, 7, dimension))
    columns = landmark_columns(dimension)
    order = np.random.default_rng(1).permutation(len(columns))
    values = np.concatenate([fixed, moving], axis=1)[:, order]
    lines = [["number", *(columns[n] for n in order)]]
    lines += [[str(n), *map(repr, row)] for n, row in enumerate(values.tolist())]
    (tmp_path / "a.csv").write_text("\n".join(",".join(line) for line in lines))
    found = read_landmarks(tmp_path / "a.csv", "--guide-landmarks", dimension)
    np.testing.assert_array_equal(found[0], fixed)
    np.testing.assert_array_equal(found[1], moving)


def test_landmarks_of_another_dimension_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("fixed_x,fixed_y,moving_x,moving_y\n1,2,3,4\n")
    with pytest.raises(ValueError, match="expected --guide-landmarks to have rows with the column"):
        read_landmarks(tmp_path / "a.csv", "--guide-landmarks", 3)
