from __future__ import annotations

import numpy as np
import pytest

from itk_nephi.spatial.intensities import IntensityRange, fill_outside


def noise(dimension: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(100, 20, (11, 12, 13)[:dimension])


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32, np.float64])
def test_usual_intensities_stay_as_they_are(kind: type) -> None:
    values = noise().astype(kind)
    scaled = IntensityRange.of(values).scaled(values)
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, values.astype(np.float32))


@pytest.mark.parametrize("scale", [1e-290, 1e-30, 1e-9, 1e15, 1e30, 1e290])
@pytest.mark.parametrize("offset", [0.0, 1e6, -1e9])
def test_extreme_intensities_keep_their_contrast(scale: float, offset: float) -> None:
    values = (noise() + offset) * scale
    scaled = IntensityRange.of(values).scaled(values).astype(float)
    assert 0.5 <= np.ptp(scaled) <= 2
    found = np.corrcoef(scaled.ravel(), (values / scale).ravel())[0, 1]
    np.testing.assert_allclose(found, 1, atol=1e-6)


def test_a_power_of_two_changes_no_bit() -> None:
    values = noise()
    small, large = values * 2.0**-60, values * 2.0**60
    one, other = (IntensityRange.of(each).scaled(each) for each in (small, large))
    np.testing.assert_array_equal(one, other)


def test_a_few_hot_voxels_are_brought_to_the_end_of_the_range_and_many_are_not() -> None:
    values = noise()
    values[3, 4, 5] = 1e7
    values[0, 0, 0] = 1e5
    scaled = IntensityRange.of(values).scaled(values)
    assert 1000 < scaled.max() < 3000
    np.testing.assert_array_equal(scaled[4:], values[4:].astype(np.float32))
    assert 1000 < scaled[0, 0, 0] < 3000
    values[:, :3, 0] = 1e7
    assert IntensityRange.of(values).scaled(values).max() == np.float32(1e7)


@pytest.mark.parametrize("share", [0.002, 0.0035, 0.01, 0.02])
@pytest.mark.parametrize("hot", [-900.0, 700.0, 4000.0, 1e7])
@pytest.mark.parametrize("dimension", [2, 3])
def test_isolated_hot_voxels_are_brought_to_the_end_of_the_range(
    share: float, hot: float, dimension: int
) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(100, 20, (200, 180) if dimension == 2 else (40, 32, 28))
    is_hot = rng.random(values.shape) < share
    found = IntensityRange.of(np.where(is_hot, hot, values))
    assert found == IntensityRange(float(values[~is_hot].min()), float(values[~is_hot].max()))
    inside = rng.random(values.shape) < 0.7
    masked = np.where(is_hot, hot, np.where(inside, values, np.nan))
    found, usual = IntensityRange.of(masked, inside), values[~is_hot & inside]
    assert found == IntensityRange(float(usual.min()), float(usual.max()))


def test_small_bright_structures_keep_their_intensities() -> None:
    values = np.random.default_rng(1).normal(0, 1, (40, 40, 40))
    for structure in (np.s_[10:15, 10:15, 10:15], np.s_[:, 20, 20], np.s_[30, 4:9, 3:9]):
        values[structure] += 500
    assert IntensityRange.of(values).high == values.max()


def test_images_with_a_common_range_keep_their_differences() -> None:
    one, other = 1e12 + noise(), 1e12 + 3 * noise()
    common = IntensityRange.of(one).joined(IntensityRange.of(other))
    first, second = common.scaled(one).astype(float), common.scaled(other).astype(float)
    unit = np.ptp(one) / np.ptp(first)
    np.testing.assert_allclose((second - first) * unit, other - one, atol=0.01)


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("outside", [0.0, -2000.0, 1e20, np.nan, np.inf])
def test_what_lies_outside_does_not_matter(dimension: int, outside: float) -> None:
    values = noise(dimension).astype(np.float32)
    inside = np.random.default_rng(1).random(values.shape) < 0.2
    expected = fill_outside(np.where(inside, values, 7).astype(np.float32), inside)
    found = fill_outside(np.where(inside, values, outside).astype(np.float32), inside)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found[inside], values[inside])
    assert found.min() >= values[inside].min()
    assert found.max() <= values[inside].max()


@pytest.mark.parametrize("shape", [(1, 1), (5, 9), (64, 3), (7, 8, 9)])
def test_one_voxel_fills_all_others(shape: tuple[int, ...]) -> None:
    inside = np.zeros(shape, bool)
    inside[tuple(n // 2 for n in shape)] = True
    filled = fill_outside(np.where(inside, np.float32(5), np.float32(np.nan)), inside)
    assert (filled == 5).all()


def test_halves_are_filled_with_their_side() -> None:
    inside = np.zeros((16, 32), bool)
    inside[:, :6] = inside[:, -6:] = True
    values = np.where(np.arange(32) < 16, np.float32(1), np.float32(2)) * np.ones((16, 1))
    filled = fill_outside(values.astype(np.float32), inside)
    assert (filled[:, :8] == 1).all()
    assert (filled[:, -8:] == 2).all()


def test_an_empty_mask_fills_nothing() -> None:
    with pytest.raises(ValueError, match="expected a mask with voxels to fill an image from"):
        fill_outside(np.ones((5, 9), np.float32), np.zeros((5, 9), bool))
