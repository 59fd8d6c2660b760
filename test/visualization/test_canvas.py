from __future__ import annotations

import numpy as np
import pytest

from itk_nephi.spatial.domain import Array
from itk_nephi.visualization.canvas import Canvas


def ink(canvas: Canvas) -> Array:
    """How much of each pixel is covered in black, from 0 to 1."""
    return 1 - np.asarray(canvas.finished(), float)[..., 0] / 255


def test_an_image_fills_a_canvas_with_even_rectangles() -> None:
    canvas = Canvas(6, 4)
    values = np.array([[0, 60, 120], [180, 200, 255]], np.uint8)
    canvas.fill(values)
    expected = np.kron(values, np.ones((2, 2), int))
    np.testing.assert_array_equal(canvas.finished(), np.stack([expected] * 3, axis=-1))


def test_a_canvas_within_another_is_cut_off_at_its_edge() -> None:
    inner, outer = Canvas(10, 10), Canvas(30, 20)
    inner.line([(-50, 5), (50, 5)], "black", 2)
    outer.paste(inner, (7, 4))
    rows, columns = np.nonzero(ink(outer))
    assert (columns.min(), columns.max()) == (7, 16)
    assert set(rows) <= {8, 9, 10}


@pytest.mark.parametrize("width", [1, 2, 4])
def test_a_line_is_as_long_and_wide_as_asked_for(width: int) -> None:
    canvas = Canvas(60, 40)
    canvas.line([(10, 20), (50, 20)], "black", width)
    assert ink(canvas).sum() == pytest.approx(40 * width, rel=0.05)


def test_dashes_go_on_around_corners() -> None:
    """Of a line of 90 pixels, dashes of 6 and 2 with gaps of 4 and 3 cover 8 of every 15."""
    corner = [(5, 5), (50, 5), (50, 50)]
    canvas = Canvas(60, 60)
    canvas.line(corner, "black", 1, (6, 4, 2, 3))
    covered = ink(canvas)
    assert covered.sum() == pytest.approx(90 * 8 / 15, rel=0.2)
    along = covered[4:6, 5:45].sum(axis=0)
    for start, end, filled in ((0, 6, 1), (6, 10, 0), (10, 12, 1), (12, 15, 0), (15, 21, 1)):
        middle = along[start + 1 : end - 1] if end - start > 2 else along[start:end]
        np.testing.assert_allclose(middle, filled, atol=0.6)
    whole = Canvas(60, 60)
    whole.line(corner, "black")
    assert ink(whole).sum() == pytest.approx(90, rel=0.05)


@pytest.mark.parametrize("anchor", ["lt", "mm", "rb", "lb", "rt"])
def test_a_text_stands_where_its_anchor_says(anchor: str) -> None:
    canvas = Canvas(80, 40)
    canvas.text((40, 20), "HIH", size=12, anchor=anchor)
    rows, columns = np.nonzero(ink(canvas) > 0.3)
    across = {"l": columns.min(), "m": (columns.min() + columns.max() + 1) / 2, "r": columns.max()}
    down = {"t": rows.min(), "m": (rows.min() + rows.max() + 1) / 2, "b": rows.max()}
    assert across[anchor[0]] == pytest.approx(40, abs=2)
    assert down[anchor[1]] == pytest.approx(20, abs=4)


def test_a_text_is_read_on_any_ground() -> None:
    """White letters have black edges, and a background hides what is below."""
    for color, edge, background in (("white", "black", None), ("black", None, "white")):
        for gray in (0, 255):
            canvas = Canvas(40, 20)
            canvas.fill(np.full((1, 1), gray, np.uint8))
            canvas.text((20, 10), "R", anchor="mm", color=color, edge=edge, background=background)
            assert np.ptp(np.asarray(canvas.finished())[4:16, 12:28]) > 200


def test_an_upright_text_reads_from_the_bottom_to_the_top() -> None:
    flat, upright = Canvas(80, 80), Canvas(80, 80)
    flat.text((40, 40), "Text", anchor="mm")
    upright.upright_text((40, 40), "Text")

    def difference(turns: int) -> float:
        turned = np.rot90(ink(flat), turns)
        moved = [np.roll(turned, np.array(shift) - 4, (0, 1)) for shift in np.ndindex(9, 9)]
        return float(min(np.abs(each - ink(upright)).mean() for each in moved))

    differences = [difference(turns) for turns in range(4)]
    assert min(differences) == differences[1]
    assert differences[1] < 0.7 * min(differences[0], *differences[2:])
