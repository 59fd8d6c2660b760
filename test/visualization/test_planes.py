from __future__ import annotations

import itk
import numpy as np
import pytest

from itk_nephi.spatial.domain import ImageDomain, canonical_order, image_from_array
from itk_nephi.visualization.planes import PIXELS, SLICES, Plane


def upright(size: tuple[int, ...], spacing: tuple[float, ...]) -> ImageDomain:
    rows = tuple(tuple(row) for row in np.eye(len(size)).tolist())
    return ImageDomain(size, spacing, (0.0,) * len(size), rows)


def test_a_volume_is_cut_in_three_planes_and_a_2d_image_in_one() -> None:
    volume = Plane.all_of(upright((5, 6, 7), (1.0, 1.0, 1.0)))
    assert [plane.name for plane in volume] == ["axial", "coronal", "sagittal"]
    assert [plane.name for plane in Plane.all_of(upright((5, 6), (1.0, 1.0)))] == ["image"]


def test_right_is_left_front_is_up_in_axial_slices_and_the_head_is_up_in_the_others() -> None:
    axial, coronal, sagittal = Plane.all_of(upright((5, 6, 7), (1.0, 1.0, 1.0)))
    assert axial.letters == {"left": "R", "right": "L", "top": "A", "bottom": "P"}
    assert coronal.letters == {"left": "R", "right": "L", "top": "S", "bottom": "I"}
    assert sagittal.letters == {"left": "A", "right": "P", "top": "S", "bottom": "I"}
    assert axial.position(3) == "3.0 mm from I"


def test_an_oblique_edge_has_two_letters() -> None:
    c, s = np.cos(np.radians(30)), np.sin(np.radians(30))
    rows = ((c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0))
    domain = ImageDomain((5, 6, 7), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), rows)
    assert Plane(domain, 2).letters == {"left": "RA", "right": "LP", "top": "AL", "bottom": "PR"}


def test_pixels_and_points_undo_each_other(domain: ImageDomain) -> None:
    for plane in Plane.all_of(domain.canonical()):
        pixels = np.array([[0.0, 0.0], [1.5, 2.0], [3.0, 0.5]])
        for index in plane.indices:
            np.testing.assert_allclose(
                plane.project(plane.points(index, pixels)), pixels, atol=1e-9
            )


def test_a_slice_shows_the_values_at_the_points_of_its_pixels(domain: ImageDomain) -> None:
    for along in range(domain.dimension):
        image = image_from_array(domain.grid_points()[..., along].copy(), domain)
        values = canonical_order(np.asarray(image), ImageDomain.of(image))
        for plane in Plane.all_of(domain.canonical()):
            for index in plane.indices:
                cut = plane.cut(values, index)
                points = plane.even_points(index, cut.shape)
                np.testing.assert_allclose(cut.ravel(), points[:, along], atol=1e-9)


def test_the_slice_to_start_with_is_in_the_middle_of_the_mask_or_of_the_grid() -> None:
    mask = np.zeros((7, 6, 5))
    mask[5:, 1, 0:2] = 0.2
    planes = Plane.all_of(upright((5, 6, 7), (1.0, 2.0, 3.0)))
    assert [plane.start(mask) for plane in planes] == [5, 1, 0]
    for nothing in (None, np.zeros((7, 6, 5))):
        assert [plane.start(nothing) for plane in planes] == [3, 2, 2]
    long = Plane(upright((5, 6, 400), (1.0, 1.0, 1.0)), 2)
    assert abs(long.indices[long.start()] - 199.5) < 400 / SLICES
    assert Plane.coronal(upright((5, 6), (1.0, 1.0))).start(np.eye(6, 5)) == 0


@pytest.mark.parametrize("spacing", [1.0, 1e-9, 1e-4, 1e7])
def test_the_scale_bar_is_round_and_no_longer_than_a_third_of_the_width(spacing: float) -> None:
    for size, expected in ((60.5, 20.0), (59, 10.0), (16, 5.0), (2, 0.5)):
        edges = (size / 5 * spacing, spacing, spacing)
        assert Plane.coronal(upright((5, 6, 7), edges)).scale_bar / spacing == pytest.approx(
            expected
        )


@pytest.mark.parametrize("spacing", [30.0, 0.8, 0.025, 1e-6])
def test_the_positions_of_slices_differ(spacing: float) -> None:
    axial = Plane(upright((5, 6, 7), (spacing,) * 3), 2)
    positions = [axial.position(index) for index in range(7)]
    assert len(set(positions)) == 7
    for index, position in enumerate(positions):
        assert float(position.split(" mm")[0]) == pytest.approx(index * spacing, abs=spacing / 2)


@pytest.mark.parametrize("size", [(512, 512, 300), (40, 900, 3), (3000, 200)])
def test_pictures_and_their_number_are_bounded(size: tuple[int, ...]) -> None:
    spacing = (0.7, 0.7, 2.5)[: len(size)]
    for plane in Plane.all_of(upright(size, spacing)):
        assert max(plane.size) <= PIXELS[len(size)]
        assert len(plane.indices) <= SLICES
        if plane.across is not None:
            assert (plane.indices[0], plane.indices[-1]) == (0, size[plane.across] - 1)


def test_pixels_are_square_whatever_the_voxels() -> None:
    for plane in Plane.all_of(upright((60, 50, 40), (0.5, 1.0, 3.0))):
        edges = np.array(plane.extent) / plane.size
        np.testing.assert_allclose(edges, plane.pixel, rtol=0.02)


def test_canonical_order_is_that_of_itks_orientation_filter() -> None:
    values = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    rows = ((0.0, 0.0, -1.0), (1.0, 0.0, 0.0), (0.0, -1.0, 0.0))
    image = image_from_array(values, ImageDomain((4, 3, 2), (1.0, 2.0, 3.0), (5.0, 6.0, 7.0), rows))
    expected = itk.orient_image_filter(
        image,
        use_image_direction=True,
        desired_coordinate_direction=itk.matrix_from_array(np.eye(3)),
    )
    ordered = canonical_order(np.asarray(image), ImageDomain.of(image))
    np.testing.assert_array_equal(ordered, np.asarray(expected))
