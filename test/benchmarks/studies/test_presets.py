"""What rounded landmarks cost a perfect map."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.pairs import write_phantom
from benchmarks.studies.presets import HEADER, grid_steps, round_landmarks, table
from itk_nephi.phantoms.pairs import lung
from itk_nephi.spatial.domain import ImageDomain


def test_the_grid_of_landmarks_is_found(domain: ImageDomain) -> None:
    dimension = domain.dimension
    parts = np.array([1, 2, 4])[:dimension]  # whole, half and quarter voxels
    index = np.random.default_rng(0).integers(0, 20, (40, dimension)) / parts
    found = grid_steps(domain.points_from_index(index), domain)
    np.testing.assert_allclose(found, np.array(domain.spacing) / parts)


def test_rounded_landmarks_have_a_mean_a_median_and_a_percentile(tmp_path: Path) -> None:
    pair = write_phantom(lung(3, size=(32, 28, 24)).pair, tmp_path)
    rounding = round_landmarks(tmp_path, pair=pair)
    assert rounding["moving"]["mean"] < rounding["all"]["mean"]
    rows = table({"masks": [], "no-masks": [], "rounding": rounding}).splitlines()[-2:]
    for row, found in zip(rows, rounding.values(), strict=True):
        _, mean, every, median, p95, *others = row.strip("| ").split(" | ")
        assert [float(mean), float(median), float(p95)] == [
            pytest.approx(found[name], abs=5e-4) for name in ("mean", "median", "p95")
        ]
        assert [every, *others] == ["-"] * (len(HEADER) - 3)
