"""The settings of the objective: its weights, similarity names; needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from itk_nephi.fields.settings import check_settings, documented, setting

SimilarityName = Literal[
    "local_ncc", "windowed_ncc", "ncc", "mean_squares", "mind_ssc", "mutual_information"
]

SIMILARITIES: tuple[SimilarityName, ...] = get_args(SimilarityName)

WINDOWS = (2.0, 4.0)
"""Standard deviations of the local windows, voxels."""


@documented
@dataclass(frozen=True, kw_only=True)
class ObjectiveWeights:
    """The weights of the objective's terms beside the dissimilarity; settings have them."""

    gradicon_weight: float = setting(
        2.0, "Weight of GradICON; larger is smoother, and closer to invertible.", minimum=0
    )
    inverse_consistency_weight: float = setting(
        0.1,
        "Weight of the mean square inverse consistency error, voxels^2.",
        minimum=0,
    )
    latent_prior_weight: float = setting(0.005, "Weight of the latent prior.", minimum=0)
    diffusion_weight: float = setting(
        0.0, "Weight of the mean square of the displacement's derivatives.", minimum=0
    )
    bending_weight: float = setting(
        0.0,
        "Weight of the mean square by which the Jacobian changes from a voxel to the next.",
        minimum=0,
    )
    folding_weight: float = setting(
        0.0, "Weight of the mean square by which Jacobian determinants fall below 0.1.", minimum=0
    )

    def __post_init__(self) -> None:
        check_settings(self)
