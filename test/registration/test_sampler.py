from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from itk_nephi.fields.sampled_image import SampledTransform
from itk_nephi.losses.features import WINDOWS, channels, smoothed
from itk_nephi.registration.sampler import PairSampler
from itk_nephi.spatial.domain import Array, ImageDomain, image_from_array
from itk_nephi.spatial.image_pair import ImagePair

CPU = torch.device("cpu")


def shifted_pair(
    domain: ImageDomain, *, fixed_mask: Any = None, moving_mask: Any = None, offset: Any = None
) -> PairSampler:
    """The same noise twice, the moving one ``offset`` mm further, and an initial map that knows."""
    offset = np.zeros(domain.dimension) if offset is None else np.array(offset)
    elsewhere = replace(domain, origin=tuple((domain.origin + offset).tolist()))
    values = np.random.default_rng(1).normal(size=domain.size[::-1]).astype(np.float32)
    return PairSampler(
        ImagePair(
            fixed=(image_from_array(values, domain),),
            moving=(image_from_array(values, elsewhere),),
            fixed_mask=None if fixed_mask is None else image_from_array(fixed_mask, domain),
            moving_mask=None if moving_mask is None else image_from_array(moving_mask, elsewhere),
        ),
        initial_transform=SampledTransform(np.eye(domain.dimension), offset),
        device=CPU,
    )


def mask_of(domain: ImageDomain, *first_and_last: tuple[int, int]) -> Any:
    """1 in a box of voxels, given along i, then j, then k."""
    mask = np.zeros(domain.size[::-1], np.uint8)
    mask[tuple(slice(low, high) for low, high in reversed(first_and_last))] = 1
    return mask


BOX = [(2, 6), (1, 4), (0, 3)]
OTHER_BOX = [(4, 9), (2, 6), (1, 4)]


def voxel_distance(points: Array, domain: ImageDomain, mask: Any) -> Array:
    """Return how far points are from the nearest voxel of a mask, along the worst axis, voxels."""
    index = domain.index_from_points(points)
    voxels = np.argwhere(mask)[:, ::-1]
    nearest: Array = np.abs(index[:, None] - voxels).max(axis=-1).min(axis=-1)
    return nearest


def test_points_are_drawn_in_the_masks(domain: ImageDomain) -> None:
    offset = np.array([200.0, -50.0, 30.0])[: domain.dimension]
    fixed_mask = mask_of(domain, *BOX[: domain.dimension])
    moving_mask = mask_of(domain, *OTHER_BOX[: domain.dimension])
    pair = shifted_pair(domain, fixed_mask=fixed_mask, moving_mask=moving_mask, offset=offset)
    in_fixed, in_moving = pair.draw(500, torch.Generator().manual_seed(1))
    points = domain.points_from_coords(in_fixed.numpy())
    assert voxel_distance(points, domain, fixed_mask).max() < 0.5 + 1e-4
    assert pair.compared_voxels == fixed_mask.sum()
    # the moving mask's points are seen from the fixed image, through the initial map
    points = domain.points_from_coords(in_moving.numpy())
    assert voxel_distance(points, domain, moving_mask).max() < 0.5 + 1e-4
    for drawn, mask in ((in_fixed, fixed_mask), (in_moving, moving_mask)):
        index = np.rint(domain.index_from_points(domain.points_from_coords(drawn.numpy())))
        assert len(np.unique(index, axis=0)) == mask.sum()


def test_a_mask_alone_limits_only_its_own_points(domain: ImageDomain) -> None:
    mask = mask_of(domain, *BOX[: domain.dimension])
    for name, place in (("fixed_mask", 0), ("moving_mask", 1)):
        drawn = shifted_pair(domain, **{name: mask}).draw(500, torch.Generator().manual_seed(1))
        distances = [
            voxel_distance(domain.points_from_coords(coords.numpy()), domain, mask)
            for coords in drawn
        ]
        assert distances[place].max() < 0.5 + 1e-4
        assert distances[1 - place].max() > 2


def test_without_masks_points_fill_the_domain(domain: ImageDomain) -> None:
    pair = shifted_pair(domain)
    assert pair.compared_voxels == np.prod(domain.size)
    for coords in pair.draw(4000, torch.Generator().manual_seed(1)):
        relative = coords / torch.tensor(domain.bounds)
        assert relative.abs().max() <= 1
        quantiles = torch.quantile(relative, torch.tensor([0.1, 0.5, 0.9]), dim=0)
        expected = torch.tensor([-0.8, 0.0, 0.8])[:, None].expand_as(quantiles)
        torch.testing.assert_close(quantiles, expected, atol=0.08, rtol=0)


def test_both_images_are_prepared_and_found_through_the_initial_map(domain: ImageDomain) -> None:
    offset = np.array([200.0, -50.0, 30.0])[: domain.dimension]
    pair = shifted_pair(domain, offset=offset)
    coords, _ = pair.draw(100, torch.Generator().manual_seed(1))
    (fixed, in_fixed), (moving, in_moving) = (
        sampled(0.99 * coords) for sampled in pair.features(1.0, channels)
    )
    assert fixed.shape == (100, 1 + len(WINDOWS))
    assert fixed.std() > 0.1
    assert in_fixed.all()
    assert in_moving.all()
    torch.testing.assert_close(moving, fixed, atol=1e-3, rtol=0)


def test_images_and_masks_that_have_nothing_in_common_are_refused(domain: ImageDomain) -> None:
    values = np.random.default_rng(1).normal(size=domain.size[::-1]).astype(np.float32)
    far = replace(domain, origin=tuple(x + 500 for x in domain.origin))
    with pytest.raises(ValueError, match="expected fixed and moving images that overlap after"):
        PairSampler(
            ImagePair(
                fixed=(image_from_array(values, domain),), moving=(image_from_array(values, far),)
            ),
            initial_transform=SampledTransform(
                np.eye(domain.dimension), np.zeros(domain.dimension)
            ),
            device=CPU,
        )
    masks = [mask_of(domain, *[box] * domain.dimension) for box in ((0, 2), (3, 5))]
    with pytest.raises(ValueError, match="expected fixed and moving masks that overlap after"):
        shifted_pair(domain, fixed_mask=masks[0], moving_mask=masks[1])


@pytest.mark.parametrize("name", ["fixed", "moving"])
def test_images_without_contrast_where_they_are_compared_are_refused(
    domain: ImageDomain, name: str
) -> None:
    values = np.random.default_rng(1).normal(size=domain.size[::-1]).astype(np.float32)
    inner = mask_of(domain, *[(1, n - 1) for n in domain.size]) > 0
    flat = image_from_array(np.where(inner, np.float32(7), values), domain)
    pair = {"fixed": image_from_array(values, domain)} | {"moving": flat}
    if name == "fixed":
        pair = {"fixed": pair["moving"], "moving": pair["fixed"]}
    mask = mask_of(domain, *[(2, n - 2) for n in domain.size])
    with pytest.raises(ValueError, match=f"expected {name} to have contrast where .* got 7 every"):
        PairSampler(
            ImagePair(
                fixed=(pair["fixed"],),
                moving=(pair["moving"],),
                fixed_mask=image_from_array(mask, domain),
            ),
            initial_transform=SampledTransform(
                np.eye(domain.dimension), np.zeros(domain.dimension)
            ),
            device=CPU,
        )


def soft_mask_of(domain: ImageDomain) -> Any:
    """A box of voxels whose weight rises along i from a fifth to 1."""
    box = mask_of(domain, *[(0, n - 1) for n in domain.size])
    return (box * np.linspace(0.2, 1, domain.size[0])).astype(np.float32)


def test_points_of_a_soft_mask_weigh_as_much_as_it_says(domain: ImageDomain) -> None:
    offset = np.array([200.0, -50.0, 30.0])[: domain.dimension]
    mask = soft_mask_of(domain)
    pair = shifted_pair(domain, fixed_mask=mask, moving_mask=mask, offset=offset)
    for coords, weights in zip(*pair.sample(500, 0, torch.Generator().manual_seed(1)), strict=True):
        index = domain.index_from_points(domain.points_from_coords(coords.numpy()))
        assert (index < np.array(domain.size) - 1.5 + 1e-3).all()
        inner = (index <= np.array(domain.size) - 2).all(axis=1)
        expected = np.interp(
            index[inner, 0], range(domain.size[0]), np.linspace(0.2, 1, domain.size[0])
        )
        assert weights is not None
        np.testing.assert_allclose(weights[inner], expected, atol=1e-4)


def test_points_of_a_binary_mask_all_weigh_the_same(domain: ImageDomain) -> None:
    mask = mask_of(domain, *BOX[: domain.dimension])
    pair = shifted_pair(domain, fixed_mask=mask)
    generator = torch.Generator().manual_seed(1)
    coords, weights = pair.sample(50, 0, generator)
    assert weights == (None, None)
    expected = pair.draw(50, torch.Generator().manual_seed(1))
    assert all(torch.equal(*both) for both in zip(coords, expected, strict=True))


def test_content_draws_points_to_the_edges_of_each_image(domain: ImageDomain) -> None:
    wide = replace(domain, size=(41, 29, 33)[: domain.dimension])
    values = np.zeros(wide.size[::-1], np.float32)
    values[..., 20:] = 1
    offset = np.array([200.0, -50.0, 30.0])[: domain.dimension]
    pair = PairSampler(
        ImagePair(
            fixed=(image_from_array(values, wide),),
            moving=(image_from_array(values, replace(wide, origin=tuple(wide.origin + offset))),),
        ),
        initial_transform=SampledTransform(np.eye(domain.dimension), offset),
        device=CPU,
    )
    sampled = pair.sample(2000, 0.5, torch.Generator().manual_seed(1))
    for coords, weights in zip(*sampled, strict=True):
        index = wide.index_from_points(wide.points_from_coords(coords.numpy()))[:, 0]
        near = np.abs(index - 19.5) < 4
        # a fifth of the image, which half of the points are drawn to
        assert near.mean() == pytest.approx(0.5 + 0.5 * 8 / 40, abs=0.04)
        assert weights is not None
        assert 0 < weights.min() < 0.4
        assert weights.max() <= 1
        share = weights[near].sum() / weights.sum()
        assert share.item() == pytest.approx(8 / 40, abs=0.03)


def test_several_images_give_as_many_channels(domain: ImageDomain) -> None:
    generator = np.random.default_rng(1)
    images = tuple(
        image_from_array(generator.normal(size=domain.size[::-1]).astype(np.float32), domain)
        for _ in range(3)
    )
    pair = PairSampler(
        ImagePair(fixed=images, moving=images),
        initial_transform=SampledTransform(np.eye(domain.dimension), np.zeros(domain.dimension)),
        device=CPU,
    )
    coords, _ = pair.draw(20, torch.Generator().manual_seed(1))
    for several in pair.features(0.0, smoothed):
        values = several(coords)[0]
        assert values.shape == (20, 3)
        alone = PairSampler(
            ImagePair(fixed=images[1:2], moving=images[1:2]),
            initial_transform=SampledTransform(
                np.eye(domain.dimension), np.zeros(domain.dimension)
            ),
            device=CPU,
        )
        torch.testing.assert_close(values[:, 1:2], alone.features(0.0, smoothed)[0](coords)[0])


def test_another_domain_changes_the_coords_and_nothing_else(domain: ImageDomain) -> None:
    fixed_mask = mask_of(domain, *BOX[: domain.dimension])
    offset = np.array([3.0, -1.0, 2.0])[: domain.dimension]
    images = tuple(
        image_from_array(np.random.default_rng(n).normal(size=domain.size[::-1]), domain)
        for n in (1, 2)
    )
    # wider than the image along the first axis only
    factors = np.array([1.6, 0.7, 0.8])[: domain.dimension]
    half = factors * domain.half_extent
    box = replace(
        domain,
        spacing=tuple((factors * domain.spacing).tolist()),
        origin=tuple((domain.center - np.array(domain.direction) @ half).tolist()),
    )
    for mask in (None, image_from_array(fixed_mask, domain)):
        own, other = (
            PairSampler(
                ImagePair(fixed=images[:1], moving=images[1:], fixed_mask=mask),
                initial_transform=SampledTransform(np.eye(domain.dimension), offset),
                device=CPU,
                domain=given,
            )
            for given in (None, box)
        )
        assert other.domain == box
        assert other.voxel_size == own.voxel_size
        for coords in other.draw(300, torch.Generator().manual_seed(1)):
            points = box.points_from_coords(coords.numpy())
            # half a voxel of the image, by which points are drawn around the mask's voxels
            beyond = np.abs(box.coords_from_points(points)) - box.bounds
            assert (beyond * box.scale).max() <= 0.5 * max(domain.spacing) + 1e-4
            own_coords = torch.tensor(domain.coords_from_points(points), dtype=torch.float32)
            assert (own_coords.abs() <= torch.tensor(domain.bounds) + 1e-5).all()
            for one, two in zip(
                own.features(0.0, smoothed), other.features(0.0, smoothed), strict=True
            ):
                torch.testing.assert_close(one(own_coords)[0], two(coords)[0], atol=1e-4, rtol=0)
