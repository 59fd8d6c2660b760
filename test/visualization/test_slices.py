from __future__ import annotations

import re
from typing import Any

import itk
import numpy as np
import pytest
from support.reports import decoded

from itk_nephi.spatial.domain import ImageDomain, canonical_order, image_from_array
from itk_nephi.visualization import slices
from itk_nephi.visualization.planes import Plane

DOMAIN = ImageDomain((30, 20), (1.0, 1.0), (0.0, 0.0), ((1.0, 0.0), (0.0, 1.0)))


def numbers(path: str) -> Any:
    return np.array([int(n) for n in re.findall(r"-?\d+", path)]).reshape(-1, 2)


def translation(offset: list[float]) -> Any:
    transform = itk.TranslationTransform[itk.D, len(offset)].New()
    transform.SetOffset(offset)
    return transform


@pytest.mark.parametrize("stored", ["LPS", "RAI", "PSR"])
def test_what_lies_right_front_and_head_is_seen_there(stored: str) -> None:
    axes = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}
    direction = np.zeros((3, 3))
    for column, letter in enumerate(stored):
        axis, sign = axes[letter]
        direction[axis, column] = sign
    domain = ImageDomain(
        (20, 20, 20), (2.0, 2.0, 2.0), (3.0, 4.0, 5.0), tuple(map(tuple, direction.tolist()))
    )
    offset = domain.grid_points() - domain.center
    right_front_head = (offset[..., 0] < 0) & (offset[..., 1] < 0) & (offset[..., 2] > 0)
    image = image_from_array(right_front_head.astype(np.float32), domain)
    values = slices.ordered(image)
    window = slices.window(values)
    for plane in Plane.all_of(domain.canonical()):
        head, feet = 19, 0
        seen, empty = {"axial": (head, feet), "coronal": (feet, head), "sagittal": (feet, head)}[
            plane.name
        ]
        picture = slices.picture(plane, plane.cut(values, seen), window)
        expected = np.zeros((20, 20))
        expected[:10, :10] = 255
        np.testing.assert_array_equal(picture, expected)
        assert not slices.picture(plane, plane.cut(values, empty), window).any()


def test_a_window_leaves_out_the_most_extreme_intensities_and_what_is_not_finite() -> None:
    values = np.append(np.arange(1001.0), [np.nan, np.inf])
    shown = slices.window(values)(np.array([-1e6, 5.0, 500.0, 995.0, 1e6]))
    np.testing.assert_allclose(shown, [0, 0, 0.5, 1, 1])
    for degenerate in (np.full(5, 3.0), np.full(5, np.nan)):
        assert 0 <= slices.window(degenerate)(np.array(3.0)) <= 1


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_no_slice_of_an_image_decides_its_window(axis: int) -> None:
    """Every fiftieth voxel, of which there are as many as are looked at, lies in one column."""
    values = np.indices((50, 1000, 50))[axis] * 4.0
    shown = slices.window(values)(np.array([0.0, values.max() / 2, values.max()]))
    np.testing.assert_allclose(shown, [0, 0.5, 1], atol=0.01)
    determinants = np.exp(values / values.max() - 0.5)
    assert slices.volume_limit(determinants) == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize(("offset", "scale"), [(1e9, 1.0), (0.0, 1e-30), (-5.0, 1e30)])
def test_a_picture_is_the_same_in_any_unit_of_intensity(offset: float, scale: float) -> None:
    plane = Plane.all_of(DOMAIN)[0]
    values = np.random.default_rng(0).normal(size=(20, 30))
    values[3, 4] = np.nan
    shown = [
        slices.picture(plane, image, slices.window(image)).astype(int)
        for image in (values, offset + scale * values)
    ]
    assert np.ptp(shown[0]) > 250
    assert shown[0][3, 4] == 0
    assert np.abs(shown[1] - shown[0]).max() <= 1


def test_the_range_of_volume_change_holds_nearly_all_of_it_and_no_folds() -> None:
    log = np.linspace(-1, 0.5, 1000)
    determinants = np.append(np.exp(log), [-5.0, 0.0])
    assert slices.volume_limit(determinants) == pytest.approx(0.995, abs=0.01)
    assert slices.volume_limit(np.ones(9)) == slices.volume_limit(-np.ones(9)) == 0.05


def test_folds_are_striped_black_and_yellow_and_nothing_else_is(domain: ImageDomain) -> None:
    plane = Plane.all_of(domain.canonical())[0]
    determinants = np.ones((20, 30))
    determinants[5:10, 12:20] = -0.5
    picture = slices.volume_picture(plane, determinants, 1.0)
    marked = np.any([np.all(picture == color, axis=-1) for color in slices.FOLD], axis=0)
    rows, columns = np.nonzero(marked)
    height, width = picture.shape[:2]
    assert marked.any()
    # a pixel more on each side, and what interpolation reaches
    assert 5 * height / 20 - 3 <= rows.min() <= rows.max() <= 10 * height / 20 + 2
    assert 12 * width / 30 - 3 <= columns.min() <= columns.max() <= 20 * width / 30 + 2
    assert not np.any(
        [
            np.all(slices.volume_picture(plane, determinants**2, 1.0) == c, axis=-1)
            for c in slices.FOLD
        ]
    )


def test_a_single_folded_voxel_is_seen_in_a_much_smaller_picture() -> None:
    rows = tuple(map(tuple, np.eye(3).tolist()))
    plane = Plane(ImageDomain((900, 900, 4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), rows), 2)
    determinants = np.ones((900, 900))
    determinants[500, 301] = 0.0
    picture = slices.volume_picture(plane, determinants, 1.0)
    for color in slices.FOLD:
        assert np.all(picture == color, axis=-1).any()


def test_noise_is_drawn_worse_rather_than_beyond_the_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(1)
    noise = [rng.integers(0, 255, (64, 64), dtype=np.uint8) for _ in range(4)]
    full = sum(map(len, slices.encoded(noise)))
    assert slices.encoded(noise)[0].startswith("data:image/jpeg;")
    monkeypatch.setattr(slices, "BUDGET", full // 2)
    worse = slices.encoded(noise)
    assert sum(map(len, worse)) < full * 0.7
    assert worse[0].startswith("data:image/webp;")


@pytest.mark.parametrize("encoding", slices.ENCODINGS[:3])
def test_pictures_survive_their_encoding(
    encoding: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "ENCODINGS", [encoding])
    rows, columns = np.indices((40, 60))
    picture = (rows + 3 * columns).astype(np.uint8)
    difference = decoded(slices.encoded([picture])[0])[..., 0].astype(float) - picture
    assert np.abs(difference).mean() < 3
    np.testing.assert_array_equal(decoded(slices.exact(picture))[..., 0], picture)


def test_stripes_of_folds_stay_black_and_yellow() -> None:
    stripes = slices.FOLD[(np.indices((40, 60)).sum(axis=0) // 2) % 2]
    difference = decoded(slices.encoded([stripes])[0]).astype(float) - stripes
    assert np.abs(difference).mean() < 12


def test_the_outline_runs_along_the_edges_of_the_mask(domain: ImageDomain) -> None:
    plane = Plane.all_of(domain.canonical())[0]
    mask = np.zeros((8, 10))
    mask[2:5, 3:9] = 1
    (pixels,) = slices.outline(plane, mask)
    width, height = plane.size
    np.testing.assert_allclose(pixels.min(axis=0), [3 * width / 10, 2 * height / 8], atol=0.2)
    np.testing.assert_allclose(pixels.max(axis=0), [9 * width / 10, 5 * height / 8], atol=0.2)
    np.testing.assert_allclose(
        np.cumsum(numbers(slices.path(pixels)), axis=0) / 10, pixels, atol=0.1
    )
    assert slices.outline(plane, np.zeros((8, 10))) == []


def test_the_grid_is_moved_by_what_the_transform_does_beyond_the_initial_one(
    domain: ImageDomain, affine: Any
) -> None:
    shift = np.array([0.5, 1.0, -0.7])[: domain.dimension]
    chain = itk.CompositeTransform[itk.D, domain.dimension].New()
    chain.AddTransform(affine)
    chain.AddTransform(translation(shift.tolist()))
    for plane in Plane.all_of(domain.canonical()):
        still, moved = (slices.Grid(plane, one, affine) for one in (affine, chain))
        np.testing.assert_allclose(still.largest, 0, atol=1e-9)
        np.testing.assert_allclose(moved.largest, np.linalg.norm(shift), atol=1e-9)
        origin = plane.domain.points_from_index(np.zeros((1, domain.dimension)))
        expected = plane.project(origin + shift) - plane.project(origin)
        starts = [
            numbers(re.match(r"M[^l]*", max(grid.paths(0, moved.largest), key=len)).group())
            for grid in (still, moved)
        ]
        np.testing.assert_allclose((starts[1] - starts[0]) / 10, expected, atol=0.11)


def test_shades_tell_the_displacement(domain: ImageDomain) -> None:
    plane = Plane.all_of(domain.canonical())[0]
    identity = translation([0.0] * domain.dimension)
    moving = translation([3.0] + [0.0] * (domain.dimension - 1))
    grid = slices.Grid(plane, moving, identity)
    for largest, shade in ((3.0, slices.SHADES - 1), (100.0, 0)):
        drawn = [number for number, path in enumerate(grid.paths(0, largest)) if path]
        assert drawn == [shade]


def test_zeros_are_filled_ones_only_beside_what_lies_outside() -> None:
    """Transforms are looked at on a coarse grid, which does not say where exactly an image ends."""
    values = np.ones((6, 12))
    values[:, 9:] = 0  # outside
    values[2:4, 1:3] = 0  # of the image itself
    outside = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    filled = slices.filled(values, outside)
    assert filled[:, 9:].all()
    assert not filled[:, :7].any()
    assert not slices.filled(values, np.zeros((2, 3))).any()


def test_stripes_show_what_lies_outside_the_moving_image() -> None:
    picture = np.full((20, 30), 7, np.uint8)
    outside = np.zeros((4, 6))
    outside[:, 3:] = 1
    shaded = slices.shaded(picture, outside)
    assert (shaded[:, :13] == 7).all()
    assert set(np.unique(shaded[:, 17:])) == set(slices.OUTSIDE.tolist())


def test_values_and_images_share_their_order(domain: ImageDomain, image: Any) -> None:
    np.testing.assert_array_equal(slices.ordered(image), canonical_order(np.asarray(image), domain))


def test_a_start_that_flattens_the_image_leaves_the_grid_as_it_is() -> None:
    flat = itk.ScaleTransform[itk.D, 2].New()
    flat.SetScale([0.0, 1.0])
    grid = slices.Grid(Plane.all_of(DOMAIN)[0], flat, flat)
    assert grid.largest == 0
