from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest
from matplotlib.figure import Figure

from itk_nephi.domain import ImageDomain, image_from_array
from itk_nephi.optimization import Progress
from itk_nephi.overview import _Section, overview

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


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


@pytest.mark.parametrize("dimension", [2, 3])
def test_the_overview_shows_eight_panels(dimension: int, tmp_path: Path) -> None:
    fixed = picture(dimension, 0)
    identity = translation([0.0] * dimension)
    mask = image_from_array((np.asarray(fixed) > -25).astype(np.uint8), domain(dimension))
    figure = overview(
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


def test_the_moving_image_is_seen_through_each_transform() -> None:
    fixed = picture(2, 0)
    initial_transform, field = translation([1.0, 0.0]), translation([0.5, 0.0])
    figure = overview(fixed, fixed, compose(field, initial_transform), initial_transform, [])
    section = _Section.through(fixed, None)
    before = section.sample(fixed, initial_transform) - section.sample(fixed)
    after = section.sample(fixed, compose(field, initial_transform)) - section.sample(fixed)
    # less only in the last half voxel, beyond the last center
    assert np.nanmedian(before) == pytest.approx(1, abs=1e-4)
    assert np.nanmedian(after) == pytest.approx(1.5, abs=1e-4)
    shown = figure.axes[1].images[0].get_array()
    np.testing.assert_array_equal(np.ma.getmaskarray(shown), np.isnan(before))


def test_the_grid_shows_the_field_without_the_initial_transform() -> None:
    fixed = picture(2, 0)
    initial_transform, field = translation([30.0, -20.0]), translation([3.0, 4.0])
    figure = overview(fixed, fixed, compose(field, initial_transform), initial_transform, [])
    lines = figure.axes[6].collections[0]
    np.testing.assert_allclose(lines.get_array(), 5)
    corner = lines.get_segments()[0][0]
    expected = np.array([3.0, 4.0]) @ np.array(domain(2).direction)
    np.testing.assert_allclose(corner, expected, atol=1e-9)


def test_a_section_samples_the_points_it_draws() -> None:
    for dimension in (2, 3):
        for along in range(dimension):
            image = picture(dimension, along)
            section = _Section.through(image, None)
            sampled = section.sample(image).ravel()
            seen = np.isfinite(sampled)
            assert seen.mean() > 0.9
            np.testing.assert_allclose(sampled[seen], section.voxels()[seen, along], atol=1e-3)


def test_the_head_is_up_and_the_patients_left_is_on_the_right() -> None:
    image = picture(3, 2)
    section = _Section.through(image, None)
    figure = overview(image, image, compose(translation([0.0] * 3)), translation([0.0] * 3), [])
    bottom, top = figure.axes[0].get_ylim()
    assert bottom < top
    x_of = section.places(section.origin + np.array([[0.0, 0, 0], [5, 0, 0], [0, 0, 5]]))
    assert x_of[1, 0] > x_of[0, 0]
    assert x_of[2, 1] > x_of[0, 1]


def test_the_first_row_of_a_2d_image_is_at_the_top() -> None:
    image = picture(2, 1)
    figure = overview(image, image, compose(translation([0.0] * 2)), translation([0.0] * 2), [])
    bottom, top = figure.axes[0].get_ylim()
    assert bottom > top


def test_the_section_goes_through_the_middle_of_the_mask() -> None:
    image = picture(3, 1)
    inside = np.zeros(np.asarray(image).shape, np.uint8)
    inside[2:5, 6, 3:9] = 1
    mask = image_from_array(inside, domain(3))
    section = _Section.through(image, mask)
    index = domain(3).index_from_points(section.voxels())
    np.testing.assert_allclose(index[:, 1], 6, atol=1e-9)


def test_images_stored_in_another_order_give_the_same_section() -> None:
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
    one, two = _Section.through(image, None), _Section.through(other, None)
    np.testing.assert_allclose(one.voxels(), two.voxels(), atol=1e-9)
    np.testing.assert_allclose(one.sample(image), two.sample(other), atol=1e-4)


def test_folds_are_told() -> None:
    image = picture(2, 0)
    flip = itk.AffineTransform[itk.D, 2].New()
    flip.SetMatrix(itk.matrix_from_array(np.diag([-1.0, 1.0])))
    for transform, expected in (
        (flip, "folds (yellow): 100.00% of this section"),
        (translation([0.0, 0.0]), "no folds here"),
    ):
        figure = overview(image, image, compose(transform), translation([0.0, 0.0]), [])
        assert [text.get_text() for text in figure.axes[7].texts] == [expected]


def test_pyplot_is_not_needed() -> None:
    code = "import sys, itk_nephi.overview; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
