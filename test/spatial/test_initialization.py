from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from itk_nephi.spatial.domain import ImageDomain, image_from_array
from itk_nephi.spatial.initialization import compute_translation
from itk_nephi.spatial.transforms import transform_points


def test_the_identity_moves_nothing(image: Any) -> None:
    found = compute_translation("identity", image, image)
    assert list(found.GetOffset()) == [0.0] * image.GetImageDimension()


def test_geometry_brings_the_centers_together(image: Any, domain: ImageDomain) -> None:
    other = replace(
        domain, size=tuple(n + 3 for n in domain.size), spacing=(1.5,) * len(domain.size)
    )
    values = np.arange(np.prod(other.size), dtype=np.float32).reshape(other.size[::-1])
    moving = image_from_array(values, other)
    found = compute_translation("geometry", image, moving)
    np.testing.assert_allclose(
        transform_points(found, domain.center[None])[0], other.center, atol=1e-9
    )


def test_moments_bring_the_centroids_together(domain: ImageDomain) -> None:
    index, other_index = [2, 5, 3][: domain.dimension], [7, 1, 1][: domain.dimension]
    images, masks = [], []
    for place in (index, other_index):
        values = np.full(domain.size[::-1], -1000, np.float32)
        values[tuple(reversed(place))] = 500
        images.append(image_from_array(values, domain))
        masks.append(image_from_array((values > 0).astype(np.uint8), domain))
    expected = domain.points_from_index(other_index) - domain.points_from_index(index)
    found = compute_translation("moments", images[0], images[1])
    np.testing.assert_allclose(np.array(found.GetOffset()), expected, atol=1e-9)
    # with both masks, the intensities do not count
    found = compute_translation("moments", images[1], images[0], masks[0], masks[1])
    np.testing.assert_allclose(np.array(found.GetOffset()), expected, atol=1e-9)
    found = compute_translation("moments", images[0], images[1], masks[1])
    np.testing.assert_allclose(np.array(found.GetOffset()), expected, atol=1e-9)


@pytest.mark.parametrize("name", ["fixed", "moving"])
def test_images_and_masks_without_a_centroid_are_named(
    image: Any, domain: ImageDomain, name: str
) -> None:
    def images(values: Any) -> dict[str, Any]:
        return {"fixed": image, "moving": image, name: image_from_array(values, domain)}

    values = np.asarray(image).copy()
    masks = dict.fromkeys(("fixed_mask", "moving_mask"), image)
    values.flat[3] = np.nan
    for bad, message in (
        (values, "to be finite, got NaN"),
        (np.full_like(values, np.nan), "to be finite, got NaN"),
        (np.zeros_like(values), "to have a centroid, got 0 in all voxels"),
    ):
        with pytest.raises(ValueError, match=f"expected {name} {message}"):
            compute_translation("moments", **images(bad))
        masks[f"{name}_mask"] = image_from_array(bad, domain)
        with pytest.raises(ValueError, match=f"expected {name}_mask {message}"):
            compute_translation("moments", image, image, **masks)
