from __future__ import annotations

from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest

from itk_nephi.spatial.domain import Array
from itk_nephi.visualization import palette
from itk_nephi.visualization.slices import colored

COLORS = {
    name: value
    for name, value in vars(palette).items()
    if isinstance(value, str) and value.startswith("#") and name != "OUTLINE"
}

SIGHT = {
    "usual": np.eye(3),
    "protanopia": np.array([
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ]),
    "deuteranopia": np.array([
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]),
}  # fmt: skip
"""What eyes see of linear RGB: Machado et al., IEEE TVCG 15(6), 2009, severity 1.0."""


def lab(color: str, sight: str) -> Array:
    """Return a color as seen by some eyes in CIE L*a*b*, where 2.3 is just noticed."""
    rgb = np.array(mpl.colors.to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(SIGHT[sight] @ linear, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(to_xyz @ linear / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHT)
def test_all_eyes_tell_the_colors_apart(sight: str) -> None:
    assert len(COLORS) == 9
    for one, other in combinations(COLORS.values(), 2):
        assert np.linalg.norm(lab(one, sight) - lab(other, sight)) > 3 * 2.3, (one, other)


@pytest.mark.parametrize("sight", SIGHT)
def test_distances_get_brighter(sight: str) -> None:
    colors = colored(np.linspace(0, 1, 20), palette.DISTANCE) / 255
    lightness = [lab(mpl.colors.to_hex(color), sight)[0] for color in colors]
    assert min(np.diff(lightness)) > 0


def test_no_change_of_volume_is_white_and_both_ways_differ() -> None:
    colors = colored(np.array([0.0, 0.5, 1.0]), palette.VOLUME) / 255
    shrinks, middle, grows = (lab(mpl.colors.to_hex(color), "usual") for color in colors)
    assert middle[0] > 95
    assert max(shrinks[0], grows[0]) < 50
    assert np.linalg.norm(shrinks - grows) > 50


@pytest.mark.parametrize(("colors", "name"), [("DISTANCE", "cividis"), ("VOLUME", "PuOr_r")])
def test_the_maps_are_those_that_they_are_named_after(colors: str, name: str) -> None:
    values = np.linspace(0, 1, 256)
    found = colored(values, getattr(palette, colors)).astype(int)
    np.testing.assert_allclose(found, mpl.colormaps[name](values, bytes=True)[:, :3], atol=3)
