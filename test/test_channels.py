from dataclasses import replace
from typing import Any

import itk
import numpy as np
import pytest
import torch
from torch import Tensor

from itk_nephi.channels import channels, gaussian
from itk_nephi.domain import ImageDomain, image_from_array
from itk_nephi.image import tensor_from_image


@pytest.fixture
def wide(domain: ImageDomain) -> ImageDomain:
    """As large as a Gaussian of two voxels needs, and as anisotropic as it can still resolve."""
    return replace(
        domain, size=(41, 29, 33)[: domain.dimension], spacing=(0.8, 1.2, 1.0)[: domain.dimension]
    )


def noise(domain: ImageDomain, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, 1, *reversed(domain.size), generator=generator)


def blob(domain: ImageDomain, variance: float) -> Tensor:
    """A Gaussian of unit mass in the middle, variance in mm^2."""
    squares = np.square(domain.grid_points() - domain.centre).sum(axis=-1)
    density = np.exp(-squares / (2 * variance)) / (2 * np.pi * variance) ** (domain.dimension / 2)
    return torch.tensor(density, dtype=torch.float32)[None, None]


def test_an_impulse_becomes_as_wide_in_mm_along_every_axis(wide: ImageDomain) -> None:
    impulse = torch.zeros(1, 1, *reversed(wide.size))
    middle = tuple(n // 2 for n in reversed(wide.size))
    impulse[(0, 0, *middle)] = 1
    smooth = gaussian(impulse, wide, 2.0)[0, 0].double().numpy()
    offset = wide.grid_points() - wide.points_from_index(middle[::-1])
    assert smooth.sum() == pytest.approx(1, abs=1e-5)
    offset = offset.reshape(-1, wide.dimension)
    variance = (smooth.reshape(-1, 1) * offset).T @ offset
    expected = (2 * wide.voxel_size) ** 2 * np.eye(wide.dimension)
    # the Gaussian ends at four deviations
    np.testing.assert_allclose(variance, expected, atol=3e-3 * expected.max())


def test_a_gaussian_of_a_gaussian_has_both_variances(wide: ImageDomain) -> None:
    before, added = (2.0 * wide.voxel_size) ** 2, (1.5 * wide.voxel_size) ** 2
    expected = blob(wide, before + added)
    smooth = gaussian(blob(wide, before), wide, 1.5)
    assert (blob(wide, before) - expected).abs().max() > 0.3 * expected.max()
    torch.testing.assert_close(smooth, expected, atol=float(2e-3 * expected.max()), rtol=0)


def test_smoothing_agrees_with_itk_away_from_the_border(wide: ImageDomain) -> None:
    image = gaussian(noise(wide), wide, 1.5)
    smooth = gaussian(image, wide, 1.5)[0, 0].numpy()
    expected = itk.discrete_gaussian_image_filter(
        image_from_array(image[0, 0].numpy(), wide),
        variance=(1.5 * wide.voxel_size) ** 2,
        maximum_error=1e-4,
        maximum_kernel_width=64,
        use_image_spacing=True,
    )
    inner = (slice(8, -8),) * wide.dimension
    found, expected = smooth[inner], itk.array_from_image(expected)[inner]
    # ITK's kernel is the discrete analogue of the Gaussian: close, not equal
    np.testing.assert_allclose(found, expected, atol=0.03 * np.abs(expected).max())


def test_a_constant_stays_constant_up_to_the_border(domain: ImageDomain) -> None:
    image = torch.full((1, 2, *reversed(domain.size)), 3.0)
    torch.testing.assert_close(gaussian(image, domain, 1.7), image, atol=1e-5, rtol=0)


def test_no_smoothing_changes_nothing(domain: ImageDomain) -> None:
    assert torch.equal(gaussian(noise(domain), domain, 0.0), noise(domain))


@pytest.mark.parametrize("smoothing", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("masked", [False, True])
def test_channels_do_not_see_the_scale_of_intensities(
    wide: ImageDomain, smoothing: float, masked: bool
) -> None:
    image = gaussian(noise(wide), wide, 1.0)
    mask = (noise(wide, 2) > -1).float() if masked else None
    expected = channels(image, mask, wide, smoothing)
    assert expected.shape == (1, 2, *reversed(wide.size))
    for scale, shift in ((100.0, -1000.0), (0.01, 0.5)):
        found = channels(scale * image + shift, mask, wide, smoothing)
        # float32 with a shift of many deviations
        torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)


def test_the_first_channel_is_the_standardised_image(domain: ImageDomain) -> None:
    image = noise(domain)
    standardised = (image - image.mean()) / image.std(correction=0)
    found = channels(image, None, domain, 0.0)[:, :1]
    torch.testing.assert_close(found, standardised)
    smooth = channels(image, None, domain, 1.5)[:, :1]
    torch.testing.assert_close(smooth, gaussian(standardised, domain, 1.5))


def test_the_second_channel_has_about_no_mean_and_unit_deviation_everywhere(
    wide: ImageDomain,
) -> None:
    gain = torch.where(torch.arange(wide.size[0]) < wide.size[0] // 2, 1.0, 8.0)
    image = gain * noise(wide) + 3 * gain
    first, second = channels(image, None, wide, 0.0)[0]
    halves = [slice(0, 15), slice(-15, None)]
    assert first[..., halves[1]].std() > 5 * first[..., halves[0]].std()
    for half in halves:
        assert second[..., half].mean().abs() < 0.15
        assert 0.65 < second[..., half].std() < 1.2


def test_flat_regions_stay_flat(wide: ImageDomain) -> None:
    image = noise(wide)
    image[..., :25] = 1e-4 * noise(wide)[..., :25] + 5
    second = channels(image, None, wide, 0.0)[0, 1]
    assert second[..., :8].abs().max() < 0.05


def half_masked(domain: ImageDomain) -> tuple[Tensor, Any]:
    mask = torch.zeros(1, 1, *reversed(domain.size))
    mask[..., : domain.size[0] // 2] = 1
    outside = 50 + 30 * noise(domain, 4)
    return mask, lambda image: image.where(mask > 0, outside)


def test_intensities_outside_the_mask_do_not_matter_inside(wide: ImageDomain) -> None:
    mask, changed = half_masked(wide)
    image = noise(wide)
    expected = channels(image, mask, wide, 0.0) * mask
    found = channels(changed(image), mask, wide, 0.0) * mask
    assert expected[0, 1].std() > 0.3
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_the_second_channel_is_zero_outside_the_mask(wide: ImageDomain) -> None:
    mask, changed = half_masked(wide)
    second = channels(changed(noise(wide)), mask, wide, 2.0)[:, 1:]
    assert (second[mask == 0] == 0).all()


def test_channels_are_finite_where_smoothing_spans_the_image_and_where_it_is_flat(
    image: Any, domain: ImageDomain
) -> None:
    found = channels(tensor_from_image(image), None, domain, 4.0)
    assert torch.isfinite(found).all()
    flat = channels(torch.full((1, 1, *reversed(domain.size)), 9.0), None, domain, 1.0)
    assert torch.isfinite(flat).all()
