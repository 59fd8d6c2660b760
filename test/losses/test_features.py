from dataclasses import replace
from typing import Any

import itk
import numpy as np
import pytest
import torch
from torch import Tensor

from itk_nephi.fields.filters import gaussian
from itk_nephi.fields.sampled_image import SampledImage, tensor_from_image
from itk_nephi.fields.threads import torch_threads
from itk_nephi.losses.features import (
    WINDOWS,
    FeatureMap,
    channels,
    edges,
    rescaled,
    self_similarity,
)
from itk_nephi.spatial.domain import ImageDomain, image_from_array


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
    squares = np.square(domain.grid_points() - domain.center).sum(axis=-1)
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


@pytest.mark.parametrize("of", [channels, edges, rescaled, self_similarity])
def test_the_number_of_threads_leaves_no_trace(of: FeatureMap, domain: ImageDomain) -> None:
    large = replace(domain, size={2: (300, 290), 3: (70, 60, 50)}[domain.dimension])
    # far from zero, as lungs in Hounsfield units, a sum of single precision is rounded much
    image = 100 * noise(large) - 900
    found = []
    for threads in (1, 2, 3):
        with torch_threads(threads):
            found.append(of(image, None, large, 1.0))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


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
    assert expected.shape == (1, 1 + len(WINDOWS), *reversed(wide.size))
    for scale, shift in ((100.0, -1000.0), (0.01, 0.5)):
        found = channels(scale * image + shift, mask, wide, smoothing)
        # float32 with a shift of many deviations
        torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)


def test_the_first_channel_is_the_standardized_image(domain: ImageDomain) -> None:
    image = noise(domain)
    standardized = (image - image.mean()) / image.std(correction=0)
    found = channels(image, None, domain, 0.0)[:, :1]
    torch.testing.assert_close(found, standardized)
    smooth = channels(image, None, domain, 1.5)[:, :1]
    torch.testing.assert_close(smooth, gaussian(standardized, domain, 1.5))


def test_the_second_channel_has_about_no_mean_and_unit_deviation_everywhere(
    wide: ImageDomain,
) -> None:
    gain = torch.where(torch.arange(wide.size[0]) < wide.size[0] // 2, 1.0, 8.0)
    image = gain * noise(wide) + 3 * gain
    first, second = channels(image, None, wide, 0.0, windows=(2.0,))[0]
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


def test_standardized_channels_are_zero_outside_the_mask(wide: ImageDomain) -> None:
    mask, changed = half_masked(wide)
    standardized = channels(changed(noise(wide)), mask, wide, 2.0)[:, 1:]
    assert not standardized[(mask == 0).expand_as(standardized)].any()


def test_channels_are_finite_where_smoothing_spans_the_image_and_where_it_is_flat(
    image: Any, domain: ImageDomain
) -> None:
    found = channels(tensor_from_image(image), None, domain, 4.0)
    assert torch.isfinite(found).all()
    flat = channels(torch.full((1, 1, *reversed(domain.size)), 9.0), None, domain, 1.0)
    assert torch.isfinite(flat).all()


@pytest.mark.parametrize("masked", [False, True])
def test_self_similarity_sees_no_change_of_contrast(wide: ImageDomain, masked: bool) -> None:
    image = noise(wide)
    mask = (gaussian(noise(wide, 2), wide, 3.0) > 0).float() if masked else None
    expected = self_similarity(image, mask, wide, 1.0)
    assert expected.shape[1] == {2: 4, 3: 12}[wide.dimension]
    assert expected.std() > 0.1
    torch.testing.assert_close(expected.amax(dim=1), torch.ones_like(expected[:, 0]))
    for scale, shift in ((-1.0, 0.0), (-30.0, 500.0), (0.01, 3.0)):
        found = self_similarity(scale * image + shift, mask, wide, 1.0)
        torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)


def test_self_similarity_is_found_by_hand_in_the_middle(wide: ImageDomain) -> None:
    """Of a linear ramp: opposite neighbors are left out, the others differ by what it rises."""
    slope = np.array([1.0, 2.0, 4.0][: wide.dimension])
    image = torch.tensor(wide.grid_points() @ slope, dtype=torch.float32)[None, None]
    found = self_similarity(image, None, wide, 0.0)[0]
    signed = [sign * s for s in slope for sign in (-1, 1)]
    distances = np.array(
        [
            (signed[a] - signed[b]) ** 2
            for a in range(len(signed))
            for b in range(a + 1, len(signed))
            if a // 2 != b // 2
        ]
    )
    expected = np.exp(-(distances - distances.min()) / distances.mean())
    middle = tuple(n // 2 for n in reversed(wide.size))
    np.testing.assert_allclose(found[(slice(None), *middle)], expected, atol=5e-3)


def test_self_similarity_does_not_depend_on_the_grid(wide: ImageDomain) -> None:
    """Where it is compared: on a grid along the axes, of other spacing, at the same points."""
    other = replace(
        wide,
        size=(45, 41, 45)[: wide.dimension],
        spacing=(0.7, 0.8, 0.9)[: wide.dimension],
        origin=tuple((wide.center - [15, 16, 20][: wide.dimension]).tolist()),
        direction=tuple(tuple(row) for row in np.eye(wide.dimension).tolist()),
    )

    def waves(domain: ImageDomain) -> Tensor:
        points = domain.grid_points() - wide.center
        values = np.sin(points[..., 0] / 2) + np.cos(points[..., 1] / 3 + points[..., 0] / 5)
        return torch.tensor(values, dtype=torch.float32)[None, None]

    points = wide.center + np.random.default_rng(1).uniform(-5, 5, (200, wide.dimension))
    found = []
    for domain in (wide, other):
        values = self_similarity(waves(domain), None, domain, 1.0, voxel=1.5)
        sampled = SampledImage(values, domain, domain)
        coords = torch.tensor(domain.coords_from_points(points), dtype=torch.float32)
        found.append(sampled(coords)[0])
    assert found[0].std() > 0.2
    assert (found[0] - found[1]).abs().mean() < 0.02


def test_what_lies_outside_the_mask_does_not_make_self_similarity(wide: ImageDomain) -> None:
    mask, changed = half_masked(wide)
    image = noise(wide)
    expected = self_similarity(image, mask, wide, 0.0)
    found = self_similarity(changed(image), mask, wide, 0.0)
    # within the mask and away from where a step between voxels blends both sides
    inner = slice(0, wide.size[0] // 2 - 3)
    difference = (found - expected)[..., inner].abs()
    assert difference.mean() < 0.02


def test_intensities_are_rescaled_by_those_inside_the_mask(wide: ImageDomain) -> None:
    image = noise(wide)
    mask, changed = half_masked(wide)
    expected = rescaled(image, mask, wide, 0.0)
    torch.testing.assert_close(rescaled(changed(image), mask, wide, 0.0) * mask, expected * mask)
    torch.testing.assert_close(
        rescaled(7 * image - 900, mask, wide, 0.0), expected, atol=1e-4, rtol=0
    )
    assert expected.min() == 0
    assert expected.max() == 1
    assert 0.95 < ((expected > 0) & (expected < 1))[mask > 0].float().mean() < 0.999


def test_edges_are_the_slope_per_voxel(wide: ImageDomain) -> None:
    slope = np.array([0.5, -1.0, 2.0][: wide.dimension])
    image = torch.tensor(wide.grid_points() @ slope, dtype=torch.float32)[None, None]
    found = edges(image, None, wide, 0.0)
    expected = np.linalg.norm(slope) * wide.voxel_size / image.std(correction=0)
    torch.testing.assert_close(found, torch.full_like(found, expected), rtol=1e-3, atol=0)
