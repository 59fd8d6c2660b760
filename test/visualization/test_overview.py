from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest
from matplotlib.figure import Figure

from itk_nephi.registration.result import Progress
from itk_nephi.spatial.domain import ImageDomain, image_from_array
from itk_nephi.spatial.resampling import resample
from itk_nephi.visualization import slices
from itk_nephi.visualization.overview import draw_overview
from itk_nephi.visualization.planes import Plane

SIZES = {2: (13, 9), 3: (13, 8, 11)}
SPACINGS = {2: (0.8, 1.7), 3: (0.8, 2.9, 1.7)}


def domain(dimension: int) -> ImageDomain:
    c, s = np.cos(0.2), np.sin(0.2)
    turn = np.eye(dimension)
    turn[:2, :2] = [[c, -s], [s, c]]
    return ImageDomain(
        size=SIZES[dimension],
        spacing=SPACINGS[dimension],
        origin=(-31.0, 12.5, 107.0)[:dimension],
        direction=tuple(tuple(row) for row in turn.tolist()),
    )


def picture(dimension: int, along: int) -> Any:
    """An image whose value is a physical coordinate."""
    grid = domain(dimension)
    return image_from_array(grid.grid_points()[..., along].astype(np.float32), grid)


def translation(offset: list[float]) -> Any:
    transform = itk.TranslationTransform[itk.D, len(offset)].New()
    transform.SetOffset(offset)
    return transform


def compose(*first_to_last: Any) -> Any:
    transform = itk.CompositeTransform[itk.D, first_to_last[0].GetInputSpaceDimension()].New()
    for part in reversed(first_to_last):
        transform.AddTransform(part)
    return transform


def history() -> list[Progress]:
    losses = {"dissimilarity": 0.5, "inverse_consistency": 0.0, "total": 0.7}
    return [Progress(1 + n // 3, 2, n + 1, 6, losses) for n in range(6)]


def coronal(dimension: int) -> Plane:
    return Plane.coronal(domain(dimension).canonical())


def shown(figure: Figure, panel: int) -> Any:
    """The picture in a panel, its first row at the top."""
    (image,) = figure.axes[panel].images
    width, height = coronal(2 if "x" in texts(figure, panel) else 3).size
    assert image.get_extent() == [0, width, height, 0]
    assert figure.axes[panel].get_ylim() == (height, 0)
    return np.asarray(image.get_array(), float)


def texts(figure: Figure, panel: int) -> list[str]:
    return [text.get_text() for text in figure.axes[panel].texts]


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


@pytest.mark.parametrize("dimension", [2, 3])
def test_the_overview_shows_eight_panels(dimension: int, tmp_path: Path) -> None:
    fixed = picture(dimension, 0)
    identity = translation([0.0] * dimension)
    mask = image_from_array((np.asarray(fixed) > -25).astype(np.uint8), domain(dimension))
    figure = draw_overview(
        fixed, fixed, compose(identity, identity), identity, history(), fixed_mask=mask
    )
    assert titles(figure) == [
        "fixed image",
        "moving image, initial transform only",
        "moving image, registered",
        "losses (dimensionless)",
        "checkerboard of fixed and moving: before",
        "checkerboard of fixed and moving: after",
        "grid deformed by the field",
        "logarithm of the Jacobian determinant",
    ]
    figure.savefig(tmp_path / "overview.png")
    assert (tmp_path / "overview.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("dimension", [2, 3])
def test_the_moving_image_is_seen_as_itk_resamples_it(dimension: int) -> None:
    fixed = picture(dimension, 0)
    initial, field = (translation([x] * dimension) for x in (1.0, 0.5))
    transforms = initial, compose(field, initial)
    figure = draw_overview(fixed, fixed, transforms[1], initial, [])
    plane = coronal(dimension)
    index = plane.indices[plane.start()]
    before, after = (
        plane.cut(slices.ordered(resample(fixed, [one], fixed, outside=np.nan)), index)
        for one in transforms
    )
    for panel, values in ((1, before), (2, after)):
        outside = np.isnan(values)
        assert 0 < outside.mean() < 0.5
        gray = slices.picture(plane, np.where(outside, 0, values), slices.window(after))
        expected = slices.shaded(gray, outside)
        np.testing.assert_allclose(shown(figure, panel), expected, atol=1)
    assert np.abs(shown(figure, 1) - shown(figure, 2)).max() > 10


def test_the_grid_shows_the_field_without_the_initial_transform() -> None:
    fixed = picture(2, 0)
    initial, field = translation([30.0, -20.0]), translation([3.0, 4.0])
    still, moved = (
        draw_overview(fixed, fixed, compose(*parts, initial), initial, []).axes[6].collections[0]
        for parts in ((), (field,))
    )
    np.testing.assert_allclose(still.get_array(), 0, atol=1e-9)
    np.testing.assert_allclose(moved.get_array(), 5)
    plane = coronal(2)
    origin = plane.domain.points_from_index(np.zeros((1, 2)))
    expected = plane.project(origin + np.array([3.0, 4.0])) - plane.project(origin)
    difference = np.array(moved.get_segments()) - np.array(still.get_segments())
    np.testing.assert_allclose(difference, np.broadcast_to(expected, difference.shape), atol=1e-9)


def test_the_head_is_up_and_the_patients_left_is_on_the_right() -> None:
    identity = translation([0.0] * 3)
    for along, brighter in ((0, np.s_[:, -1]), (2, np.s_[0])):
        image = picture(3, along)
        figure = draw_overview(image, image, compose(identity), identity, [])
        assert (shown(figure, 0)[brighter] > 250).all()
    assert texts(figure, 0)[:4] == ["R", "L", "S", "I"]


def test_the_first_row_of_a_2d_image_is_at_the_top() -> None:
    image = picture(2, 1)
    figure = draw_overview(
        image, image, compose(translation([0.0] * 2)), translation([0.0] * 2), []
    )
    gray = shown(figure, 0)
    assert (gray[0] < gray[-1]).all()


def test_the_slice_goes_through_the_middle_of_the_mask_and_outlines_it() -> None:
    image = picture(3, 1)
    inside = np.zeros(np.asarray(image).shape, np.uint8)
    inside[2:5, 6, 3:9] = 1
    mask = image_from_array(inside, domain(3))
    identity = translation([0.0] * 3)
    figure = draw_overview(image, image, compose(identity), identity, [], fixed_mask=mask)
    assert figure.get_suptitle().startswith(f"coronal, {6 * 2.9:.1f} mm from A")
    width, height = coronal(3).size
    for panel in (0, 1, 2, 7):
        (line,) = figure.axes[panel].collections[0].get_segments()
        np.testing.assert_allclose(line[:, 0].min(), 3 * width / 13, atol=0.5)
        np.testing.assert_allclose(line[:, 0].max(), 9 * width / 13, atol=0.5)
        np.testing.assert_allclose(line[:, 1].min(), 6 * height / 11, atol=1)
        np.testing.assert_allclose(line[:, 1].max(), 9 * height / 11, atol=1)


def test_the_scale_bar_is_as_long_as_it_says() -> None:
    image, identity = picture(2, 0), translation([0.0] * 2)
    figure = draw_overview(image, image, compose(identity), identity, [])
    plane = coronal(2)
    for panel in (0, 1, 2, 4, 5, 6, 7):
        start, end = figure.axes[panel].lines[0].get_xdata()
        length = float(texts(figure, panel)[4].removesuffix(" mm"))
        assert (end - start) * plane.extent[0] / plane.size[0] == pytest.approx(length)


def test_images_stored_in_another_order_give_the_same_picture() -> None:
    image = picture(3, 0)
    grid = domain(3)
    order, last = [2, 0, 1], np.array(grid.size) - 1
    direction = np.array(grid.direction)[:, order] * [1, -1, 1]
    corner = np.zeros(3)
    corner[0] = last[0]
    values = np.flip(np.asarray(image).transpose(1, 2, 0), axis=1)
    other = image_from_array(
        np.ascontiguousarray(values),
        ImageDomain(
            size=tuple(grid.size[axis] for axis in order),
            spacing=tuple(grid.spacing[axis] for axis in order),
            origin=tuple(grid.points_from_index(corner).tolist()),
            direction=tuple(tuple(row) for row in direction.tolist()),
        ),
    )
    identity = translation([0.0] * 3)
    one, two = (
        draw_overview(each, each, compose(identity), identity, []) for each in (image, other)
    )
    for panel in (0, 1, 2, 4, 5, 6, 7):
        np.testing.assert_allclose(shown(one, panel), shown(two, panel), atol=1)
    assert np.ptp(shown(one, 0)) > 200


def test_folding_is_reported() -> None:
    image = picture(2, 0)
    flip = itk.AffineTransform[itk.D, 2].New()
    flip.SetMatrix(itk.matrix_from_array(np.diag([-1.0, 1.0])))
    for transform, expected in (
        (flip, "folding (striped): 100.00%"),
        (translation([0.0, 0.0]), "no folding in this slice"),
    ):
        figure = draw_overview(image, image, compose(transform), translation([0.0, 0.0]), [])
        assert texts(figure, 7)[-1] == expected
        for color in slices.FOLD:
            seen = (shown(figure, 7) == color).all(axis=-1).any()
            assert seen == expected.startswith("folding")


def test_pyplot_is_not_needed() -> None:
    code = (
        "import sys, itk_nephi.visualization.overview; sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
