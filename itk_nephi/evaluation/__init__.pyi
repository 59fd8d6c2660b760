__all__ = [
    "Evaluation",
    "MeanEvaluation",
    "Statistics",
    "bootstrap_interval",
    "dice",
    "evaluate",
    "folding_fraction",
    "inverse_consistency_errors",
    "jacobian_determinant_image",
    "landmark_errors",
    "log_jacobian_sd",
    "normalized_cross_correlation",
]

from .evaluation import Evaluation, MeanEvaluation, evaluate
from .metrics import (
    dice,
    folding_fraction,
    inverse_consistency_errors,
    jacobian_determinant_image,
    landmark_errors,
    log_jacobian_sd,
    normalized_cross_correlation,
)
from .statistics import Statistics, bootstrap_interval
