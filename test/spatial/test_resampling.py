from __future__ import annotations

from dataclasses import replace
from typing import Any

import itk
import numpy as np
import pytest

from itk_nephi.spatial import resampling
from itk_nephi.spatial.domain import ImageDomain, image_from_array, image_like
from itk_nephi.spatial.resampling import resample, resample_array, sample_image, sample_inside


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


@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
@pytest.mark.parametrize("kind", [np.float64, np.float32, np.uint8, np.int16])
def test_few_voxels_are_resampled_as_many_are(
    image: Any,
    domain: ImageDomain,
    kind: type,
    interpolation: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moving = image_like(image, (40 * np.asarray(image) + 100).astype(kind))
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(domain.dimension,) * 2))[0]
    mapping = itk.AffineTransform[itk.D, domain.dimension].New()
    mapping.SetCenter(domain.center.tolist())
    mapping.SetMatrix(itk.matrix_from_array(1.02 * turn))
    found = []
    for few in (resampling.FEW, 0):
        monkeypatch.setattr(resampling, "FEW", few)
        warped = resample(moving, [mapping], image, interpolation=interpolation, outside=7)
        found.append(np.asarray(warped))
    assert found[0].dtype == kind
    assert 0 < (found[0] == 7).mean() < 0.9
    rounded = np.issubdtype(kind, np.integer)
    np.testing.assert_allclose(*found, rtol=1e-5, atol=rounded)
    assert not rounded or (found[0] != found[1]).mean() < 0.02


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_voxels_that_are_not_finite_stay_alone_under_the_identity(bad: float) -> None:
    values = np.ones((5, 6, 7), np.float32)
    values[2, 3, 3] = bad
    moving, identity = itk.image_from_array(values), itk.IdentityTransform[itk.D, 3].New()
    np.testing.assert_array_equal(resample(moving, [identity], moving), values)
    with pytest.raises(ValueError, match="finite values for interpolation bspline"):
        resample(moving, [identity], moving, interpolation="bspline")


@pytest.mark.parametrize("kind", ["int8", "int32", "uint32", "int64", "uint64"])
def test_the_largest_values_of_a_type_are_kept(image: Any, domain: ImageDomain, kind: str) -> None:
    exact = min(np.iinfo(kind).max, 2**53)
    values = np.full(domain.size[::-1], exact, kind)
    identity = itk.IdentityTransform[itk.D, domain.dimension].New()
    np.testing.assert_array_equal(resample_array(values, domain, identity, image), values)


@pytest.mark.parametrize("kind", ["uint8", "int16", "float32"])
def test_outside_a_mask_nothing_is_looked_at(domain: ImageDomain, kind: str) -> None:
    inside = np.random.default_rng(3).random(domain.size[::-1]) < 0.6
    points = domain.points_from_index(
        np.random.default_rng(4).uniform(-0.4, 3.4, (500, domain.dimension))
    )
    share = sample_image(image_from_array(inside.astype(np.float32), domain), points)
    for outside in (0, 9, 200 if kind == "uint8" else -3024):
        values = np.where(inside, 7, outside).astype(kind)
        found = sample_inside(image_from_array(values, domain), inside, points)
        np.testing.assert_allclose(found, np.where(share >= 0.5, 7, np.nan), rtol=1e-12)
    everywhere = np.ones_like(inside)
    noise = np.random.default_rng(5).integers(0, 99, inside.shape).astype(kind)
    image = image_from_array(noise, domain)
    np.testing.assert_array_equal(
        sample_inside(image, everywhere, points), sample_image(image, points)
    )
