from __future__ import annotations

from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest
from PIL import ImageColor

from itk_nephi.registration.result import Progress
from itk_nephi.spatial.domain import ImageDomain, image_from_array
from itk_nephi.spatial.resampling import resample
from itk_nephi.visualization import slices
from itk_nephi.visualization.overview import (
    BOTTOM,
    CELL,
    EDGES,
    HEADING,
    LEFT,
    TOP,
    WIDTH,
    Overview,
    draw_overview,
)
from itk_nephi.visualization.palette import BLUE
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


def cell(picture: Any, row: int, column: int) -> Any:
    """A panel of the picture with its margins, shape (rows, columns, 3)."""
    values = np.asarray(picture)[HEADING:, column * CELL : (column + 1) * CELL]
    return np.split(values, 2)[row]


@pytest.mark.parametrize("dimension", [2, 3])
def test_the_overview_shows_seven_pictures_and_the_losses(dimension: int, tmp_path: Path) -> None:
    fixed = picture(dimension, 0)
    identity = translation([0.0] * dimension)
    mask = image_from_array((np.asarray(fixed) > -25).astype(np.uint8), domain(dimension))
    transforms = compose(identity, identity), identity
    overview = Overview.of(fixed, fixed, *transforms, fixed_mask=mask)
    assert [panel.title for panel in overview.panels] == [
        "fixed image",
        "moving image, initial transform only",
        "moving image, registered",
        "checkerboard of fixed and moving: before",
        "checkerboard of fixed and moving: after",
        "grid deformed by the field",
        "logarithm of the Jacobian determinant",
    ]
    width, height = overview.plane.size
    for panel in overview.panels:
        assert panel.pixels.shape[:2] == (height, width)
    drawn = draw_overview(fixed, fixed, *transforms, history(), fixed_mask=mask)
    drawn.save(tmp_path / "overview.png")
    assert (tmp_path / "overview.png").read_bytes().startswith(b"\x89PNG")
    for row, column in np.ndindex(2, 4):
        title, rest = np.split(cell(drawn, row, column), [TOP - 4])
        assert np.ptp(title) > 200
        assert np.ptp(rest) > 200


def test_the_losses_are_drawn_in_the_colors_of_their_terms() -> None:
    image, identity = picture(2, 0), translation([0.0] * 2)
    some, none = (
        cell(draw_overview(image, image, compose(identity), identity, steps), 0, 3)
        for steps in (history(), [])
    )
    blue = np.array(ImageColor.getrgb(BLUE))
    rows, columns = np.nonzero((some == blue).all(axis=-1))
    curve = rows == rows[0]
    assert np.ptp(columns[curve]) > 250  # 0.5 at all steps
    assert (none[TOP:] == 255).all()


@pytest.mark.parametrize("dimension", [2, 3])
def test_the_moving_image_is_seen_as_itk_resamples_it(dimension: int) -> None:
    fixed = picture(dimension, 0)
    initial, field = (translation([x] * dimension) for x in (1.0, 0.5))
    transforms = initial, compose(field, initial)
    panels = Overview.of(fixed, fixed, transforms[1], initial).panels
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
        np.testing.assert_allclose(panels[panel].pixels, expected, atol=1)
    assert np.abs(panels[1].pixels.astype(int) - panels[2].pixels).max() > 10


def test_the_grid_shows_the_field_without_the_initial_transform() -> None:
    fixed = picture(2, 0)
    initial, field = translation([30.0, -20.0]), translation([3.0, 4.0])
    still, moved = (
        Overview.of(fixed, fixed, compose(*parts, initial), initial).panels[5]
        for parts in ((), (field,))
    )
    for panel, distance in ((still, 0), (moved, 5)):
        assert panel.color_bar is not None
        assert panel.color_bar.ends == pytest.approx((0, distance or 1))
    for panel, shade in ((still, 0), (moved, -1)):
        assert {color for _, color in panel.lines} == {slices.shades()[shade]}
    plane = coronal(2)
    origin = plane.domain.points_from_index(np.zeros((1, 2)))
    expected = plane.project(origin + np.array([3.0, 4.0])) - plane.project(origin)
    difference = np.array(
        [there - here for (there, _), (here, _) in zip(moved.lines, still.lines, strict=True)]
    )
    np.testing.assert_allclose(difference, np.broadcast_to(expected, difference.shape), atol=1e-9)


def test_lines_stay_within_their_picture() -> None:
    """Those of the grid lead to wherever the field does."""
    fixed, initial = picture(2, 0), translation([0.0, 0.0])
    still, moved = (
        cell(draw_overview(fixed, fixed, compose(translation(offset)), initial, []), 1, 2)
        for offset in ([0.0, 0.0], [3.0, 4.0])
    )
    for beside in (np.s_[:, : LEFT - 1], np.s_[:TOP], np.s_[-10:]):
        np.testing.assert_array_equal(moved[beside], still[beside])
    assert (moved != still)[TOP:, LEFT : LEFT + WIDTH].any()


def test_the_head_is_up_and_the_patients_left_is_on_the_right() -> None:
    identity = translation([0.0] * 3)
    for along, brighter in ((0, np.s_[:, -1]), (2, np.s_[0])):
        image = picture(3, along)
        overview = Overview.of(image, image, compose(identity), identity)
        assert (overview.panels[0].pixels[brighter] > 250).all()
    letters = overview.plane.letters
    assert [letters[edge] for edge in EDGES] == ["R", "L", "S", "I"]


@pytest.mark.parametrize(("dimension", "lettered"), [(2, "RB"), (3, "LRTB")])
def test_letters_stand_at_the_edges_of_a_picture(dimension: int, lettered: str) -> None:
    """Those of 2D images are x, on the right, and y, at the bottom."""
    dark = image_from_array(np.zeros_like(np.asarray(picture(dimension, 0))), domain(dimension))
    identity = translation([0.0] * dimension)
    drawn = cell(draw_overview(dark, dark, compose(identity), identity, []), 0, 0)
    width, height = coronal(dimension).size
    scale = WIDTH / width
    room = drawn.shape[0] - TOP - BOTTOM
    top = TOP + round((room - scale * height) / 2)
    inside = drawn[top : top + round(scale * height), LEFT : LEFT + WIDTH]
    rows, columns = np.array(inside.shape[:2]) // 2
    edges = {
        "L": inside[rows - 10 : rows + 10, 3:30],
        "R": inside[rows - 10 : rows + 10, -30:-3],
        "T": inside[3:30, columns - 10 : columns + 10],
        "B": inside[-30:-3, columns - 10 : columns + 10],
    }
    assert "".join(edge for edge, pixels in edges.items() if pixels.max() > 200) == lettered


def test_the_first_row_of_a_2d_image_is_at_the_top() -> None:
    image = picture(2, 1)
    identity = translation([0.0] * 2)
    gray = Overview.of(image, image, compose(identity), identity).panels[0].pixels
    assert (gray[0] < gray[-1]).all()


def test_the_slice_goes_through_the_middle_of_the_mask_and_outlines_it() -> None:
    image = picture(3, 1)
    inside = np.zeros(np.asarray(image).shape, np.uint8)
    inside[2:5, 6, 3:9] = 1
    mask = image_from_array(inside, domain(3))
    identity = translation([0.0] * 3)
    overview = Overview.of(image, image, compose(identity), identity, fixed_mask=mask)
    assert overview.heading.startswith(f"coronal, {6 * 2.9:.1f} mm from A")
    width, height = coronal(3).size
    for panel in (0, 1, 2, 6):
        ((line, _),) = overview.panels[panel].lines
        np.testing.assert_allclose(line[:, 0].min(), 3 * width / 13, atol=0.5)
        np.testing.assert_allclose(line[:, 0].max(), 9 * width / 13, atol=0.5)
        np.testing.assert_allclose(line[:, 1].min(), 6 * height / 11, atol=1)
        np.testing.assert_allclose(line[:, 1].max(), 9 * height / 11, atol=1)


def test_the_scale_bar_is_as_long_as_it_says() -> None:
    dark = image_from_array(np.zeros_like(np.asarray(picture(2, 0))), domain(2))
    identity = translation([0.0] * 2)
    drawn = cell(draw_overview(dark, dark, compose(identity), identity, []), 0, 0)
    plane = coronal(2)
    white = (drawn[TOP:, LEFT : LEFT + WIDTH // 2] > 250).all(axis=-1)
    longest = white.sum(axis=1)[: round(0.99 * WIDTH * plane.size[1] / plane.size[0])].max()
    length = plane.extent[0] * longest / WIDTH
    assert length == pytest.approx(plane.scale_bar, abs=2 * plane.extent[0] / WIDTH)


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
        Overview.of(each, each, compose(identity), identity).panels for each in (image, other)
    )
    for here, there in zip(one, two, strict=True):
        np.testing.assert_allclose(here.pixels.astype(int), there.pixels, atol=1)
    assert np.ptp(one[0].pixels) > 200


def test_folding_is_reported() -> None:
    image = picture(2, 0)
    flip = itk.AffineTransform[itk.D, 2].New()
    flip.SetMatrix(itk.matrix_from_array(np.diag([-1.0, 1.0])))
    for transform, expected in (
        (flip, "folding (striped): 100.00%"),
        (translation([0.0, 0.0]), "no folding in this slice"),
    ):
        panel = Overview.of(image, image, compose(transform), translation([0.0, 0.0])).panels[6]
        assert panel.note == expected
        for color in slices.FOLD:
            seen = (panel.pixels == color).all(axis=-1).any()
            assert seen == expected.startswith("folding")


@pytest.mark.parametrize("size", [(1500, 2), (2, 1500), (2, 2), (900, 2, 2), (2, 2, 900)])
def test_images_of_any_shape_are_drawn(size: tuple[int, ...]) -> None:
    dimension = len(size)
    grid = ImageDomain(
        size=size,
        spacing=(0.025,) * dimension,
        origin=(0.0,) * dimension,
        direction=tuple(tuple(row) for row in np.eye(dimension).tolist()),
    )
    image = image_from_array(np.zeros(size[::-1], np.float32), grid)
    identity = translation([0.0] * dimension)
    drawn = draw_overview(image, image, compose(identity), identity, history())
    for row, column in np.ndindex(2, 4):
        assert np.ptp(cell(drawn, row, column)) > 200
