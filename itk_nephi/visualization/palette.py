"""The colors of all pictures and pages: Okabe and Ito's, distinct to all eyes, and two maps.

References
----------
Okabe, Ito, Color Universal Design, 2008. Nuñez et al., Optimizing colormaps with consideration for
color vision deficiency, PLOS ONE 13(7), 2018 (cividis).
"""

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

DISTANCE = "cividis"
"""Matplotlib's map for distances, from 0 on."""

VOLUME = "PuOr_r"
"""Matplotlib's map for the logarithm of the Jacobian determinant, white at 0."""

DIMMED = 0.4
"""How bright an image is behind a deformed grid, in [0, 1]."""
