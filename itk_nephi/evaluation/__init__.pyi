__all__ = [
    "bootstrap_interval",
    "dice",
    "folding_fraction",
    "inverse_consistency_errors",
    "jacobian_determinant_image",
    "landmark_errors",
    "log_jacobian_sd",
    "normalized_cross_correlation",
]

from .metrics import (
    dice,
    folding_fraction,
    inverse_consistency_errors,
    jacobian_determinant_image,
    landmark_errors,
    log_jacobian_sd,
    normalized_cross_correlation,
)
from .statistics import bootstrap_interval
