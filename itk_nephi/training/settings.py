"""How a model is trained; needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from itk_nephi.fields.settings import check_settings, documented, setting
from itk_nephi.losses.settings import WINDOWS, ObjectiveWeights, SimilarityName


@documented
@dataclass(frozen=True, kw_only=True)
class TrainingSettings(ObjectiveWeights):
    """How a model is trained."""

    steps: int = setting(10_000, "Optimizer steps.", minimum=1)
    batch_size: int = setting(8, "Pairs of each pass, on each device.", minimum=1)
    accumulate: int = setting(1, "Passes of each step.", minimum=1)
    similarity: SimilarityName = setting("ncc", "The similarity metric, as in a registration.")
    local_windows: tuple[float, ...] = setting(
        WINDOWS, "Standard deviations of the windows of local_ncc.", unit="voxels", above=0
    )
    smoothing_sigma: float = setting(
        0.0, "Standard deviation of the images' Gaussian smoothing.", unit="voxels", minimum=0
    )
    points: int = setting(
        1_000,
        "Random points of each direction, pair and step for the dissimilarity.",
        minimum=1,
    )
    regularizer_points: int = setting(
        100, "How many of the points also serve the regularizer.", minimum=1
    )
    network_learning_rate: float = setting(3e-4, "Step size of Adam for the fields.", minimum=0)
    code_learning_rate: float = setting(
        1e-3, "The same for the encoder, or for the codes of an auto-decoder.", minimum=0
    )
    warm_up: int = setting(
        100,
        "Steps during which the step sizes rise from 0; then they fall to 0 along a cosine.",
        minimum=1,
    )
    mixed_precision: bool = setting(
        False, "Run the encoder in bfloat16; fields and objective stay in single precision."
    )
    validate_every: int = setting(
        1_000,
        "Steps between validations; a checkpoint is written at each, and at the end.",
        minimum=1,
    )
    devices: int = setting(
        1, "CPU processes or GPUs that train together on each computer.", minimum=1
    )
    nodes: int = setting(1, "Computers that train together.", minimum=1)
    seed: int = setting(0, "Of all random numbers.", minimum=0)

    def __post_init__(self) -> None:
        check_settings(self)
        if self.regularizer_points > self.points:
            raise ValueError(
                f"expected regularizer_points of at most points, {self.points}, got "
                f"{self.regularizer_points}"
            )

    def learning_rate(self, step: int) -> float:
        """Return the factor of the learning rates at a step, counted from 0."""
        rising = min(1.0, (step + 1) / self.warm_up)
        return rising * (1 + math.cos(math.pi * step / self.steps)) / 2
