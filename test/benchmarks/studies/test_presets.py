"""What rounded landmarks cost a perfect map."""

import numpy as np

from benchmarks.studies.presets import grid_steps
from itk_nephi.spatial.domain import ImageDomain


def test_the_grid_of_landmarks_is_found(domain: ImageDomain) -> None:
    dimension = domain.dimension
    parts = np.array([1, 2, 4])[:dimension]  # whole, half and quarter voxels
    index = np.random.default_rng(0).integers(0, 20, (40, dimension)) / parts
    found = grid_steps(domain.points_from_index(index), domain)
    np.testing.assert_allclose(found, np.array(domain.spacing) / parts)
