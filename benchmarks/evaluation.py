"""How good a transform is: a thin layer until the package has one function for it."""

from __future__ import annotations

from typing import Any

import itk
import numpy as np

from benchmarks.cache import Figures
from itk_nephi.evaluation import metrics
from itk_nephi.spatial.domain import ImageDomain, image_from_array
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.resampling import resample
from itk_nephi.workflows.comparison import measured


def evaluate(
    pair: ImagePair, fixed_to_moving: Any, moving_to_fixed: Any = None, *, refinement: int = 1
) -> Figures:
    """Judge a transform.

    Parameters
    ----------
    pair : ImagePair
        The images, with masks, landmarks and labels if there are any.
    fixed_to_moving : itk.Transform
        From points of fixed to points of moving space.
    moving_to_fixed : itk.Transform, optional
        Its approximate inverse.
    refinement : int
        2 looks for folding on a grid twice as fine.

    Returns
    -------
    dict
        What :func:`itk_nephi.workflows.comparison.measured` does, and ``landmark_errors_mm``.
    """
    figures = measured(pair, fixed_to_moving, moving_to_fixed)
    if pair.evaluation_landmarks is not None:
        errors = metrics.landmark_errors(fixed_to_moving, *pair.evaluation_landmarks)
        figures["landmark_errors_mm"] = errors.tolist()
    if refinement == 2:
        domain = ImageDomain.of(pair.fixed_image).twice_as_fine()
        fine = image_from_array(np.zeros(domain.size[::-1], np.uint8), domain)
        determinants = metrics.jacobian_determinant_image(fixed_to_moving, fine)
        identity = itk.IdentityTransform[itk.D, domain.dimension].New()
        inside = None
        if pair.fixed_mask is not None:
            inside = resample(pair.fixed_mask, [identity], fine, interpolation="nearest")
        figures["folding_fraction"] = metrics.folding_fraction(determinants, inside)
        figures["log_jacobian_sd"] = metrics.log_jacobian_sd(determinants, inside)
    return figures


def mean_dice(figures: Figures) -> float:
    """Return the mean Dice of all labels, in [0, 1]."""
    return float(np.mean(list(figures["dice"].values())))
