"""The colors of all pictures and pages: Okabe and Ito's, distinct to all eyes, and two maps.

References
----------
Okabe, Ito, Color Universal Design, 2008. Nuñez et al., Optimizing colormaps with consideration for
color vision deficiency, PLOS ONE 13(7), 2018 (cividis). Harrower, Brewer, ColorBrewer.org, The
Cartographic Journal 40(1), 2003 (PuOr).
"""

from __future__ import annotations

from collections.abc import Mapping

BLACK = "#000000"

GRAY = "#999999"

ORANGE = "#e69f00"

SKY_BLUE = "#56b4e9"

GREEN = "#009e73"

YELLOW = "#f0e442"

BLUE = "#0072b2"

VERMILION = "#d55e00"

PURPLE = "#cc79a7"

OUTLINE = SKY_BLUE
"""Of the fixed mask."""

ColorMap = Mapping[float, str]
"""Colors at some values in [0, 1], linear in between."""

DISTANCE: ColorMap = {
    0.000: "#00224d",
    0.078: "#003070",
    0.090: "#003170",
    0.114: "#14366f",
    0.141: "#213b6e",
    0.227: "#3d4a6b",
    0.576: "#8e8978",
    0.678: "#a89e73",
    0.812: "#cbba64",
    0.929: "#ecd54a",
    0.988: "#fde333",
    1.000: "#fde737",
}
"""For distances, from 0 on: cividis."""

VOLUME: ColorMap = {
    0.0: "#2d004b",
    0.1: "#542788",
    0.2: "#8073ac",
    0.3: "#b2abd2",
    0.4: "#d8daeb",
    0.5: "#f7f7f7",
    0.6: "#fee0b6",
    0.7: "#fdb863",
    0.8: "#e08214",
    0.9: "#b35806",
    1.0: "#7f3b08",
}
"""For the logarithm of the Jacobian determinant, white at 0.5: ColorBrewer's PuOr, reversed."""

DIMMED = 0.4
"""How bright an image is behind a deformed grid, in [0, 1]."""
