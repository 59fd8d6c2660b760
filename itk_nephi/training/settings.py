"""How a model is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass

from itk_nephi.losses.features import WINDOWS
from itk_nephi.losses.objective import ObjectiveWeights
from itk_nephi.losses.similarity import Similarity


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(ObjectiveWeights):
    """How a model is trained.

    Beside the following also the weights of the objective,
    :class:`itk_nephi.losses.ObjectiveWeights`.

    Parameters
    ----------
    steps : int
        Optimizer steps.
    batch_size : int
        Pairs of each pass, on each device.
    accumulate : int
        Passes of each step.
    similarity : str
        How the images are compared, see :class:`itk_nephi.RegistrationSettings`.
    local_windows : tuple of float
        Standard deviations of the windows of ``"local_ncc"``, voxels.
    smoothing_sigma : float
        Standard deviation of the images' Gaussian smoothing, voxels.
    points, regularizer_points : int
        Random points of each direction, pair and step at which images are compared, and how many
        of these also serve the regularizer.
    network_learning_rate, code_learning_rate : float
        Step sizes of Adam, of the fields, and of the encoder or the auto-decoder's codes.
    warm_up : int
        Steps during which these rise from 0; then they fall to 0 along a cosine.
    mixed_precision : bool
        Run the encoder in bfloat16; fields and objective stay in single precision.
    validate_every : int
        Steps between validations; a checkpoint is written at each, and at the end.
    devices, nodes : int
        How many CPU processes or GPUs train together on each of how many computers.
    seed : int
        Of all random numbers.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    steps: int = 10_000
    batch_size: int = 8
    accumulate: int = 1
    similarity: str = "ncc"
    local_windows: tuple[float, ...] = WINDOWS
    smoothing_sigma: float = 0.0
    points: int = 1_000
    regularizer_points: int = 100
    network_learning_rate: float = 3e-4
    code_learning_rate: float = 1e-3
    warm_up: int = 100
    mixed_precision: bool = False
    validate_every: int = 1_000
    devices: int = 1
    nodes: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        counts = ("steps", "batch_size", "accumulate", "points", "regularizer_points", "devices")
        for name in (*counts, "nodes", "validate_every", "warm_up"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of at least 1, got {getattr(self, name)}")
        super().__post_init__()
        if self.regularizer_points > self.points:
            raise ValueError(
                f"expected regularizer_points of at most points, {self.points}, got "
                f"{self.regularizer_points}"
            )
        Similarity.of(self.similarity, voxel=1.0)

    def learning_rate(self, step: int) -> float:
        """Return the share of the learning rates that a step, counted from 0, takes."""
        rising = min(1.0, (step + 1) / self.warm_up)
        return rising * (1 + math.cos(math.pi * step / self.steps)) / 2
