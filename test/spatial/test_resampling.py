from __future__ import annotations

from dataclasses import replace
from typing import Any

import itk
import numpy as np
import pytest

from itk_nephi.spatial.domain import ImageDomain, image_from_array, image_like
from itk_nephi.spatial.resampling import sample_image


@pytest.mark.parametrize("kind", [np.float32, np.uint8])
def test_samples_are_those_of_linear_interpolation_in_itk(
    image: Any, domain: ImageDomain, kind: type
) -> None:
    values = (40 * np.asarray(image) + 100).astype(kind)
    grid = replace(domain.subdivided(2), origin=tuple(x - 2 for x in domain.origin))
    expected = itk.resample_image_filter(
        image_like(image, values.astype(np.float32)),
        use_reference_image=True,
        reference_image=image_from_array(np.zeros(grid.size[::-1], np.uint8), grid),
        default_pixel_value=np.nan,
    )
    found = sample_image(
        image_like(image, values), grid.grid_points().reshape(-1, domain.dimension)
    )
    assert 0.5 < np.isfinite(found).mean() < 1
    np.testing.assert_allclose(found, np.asarray(expected).reshape(-1), rtol=1e-5)


def test_samples_at_voxel_centers_are_the_voxels(image: Any, domain: ImageDomain) -> None:
    values = sample_image(image, domain.grid_points().reshape(-1, domain.dimension))
    np.testing.assert_allclose(values, np.asarray(image).reshape(-1), atol=1e-12)
