"""A check at the end: that the dissimilarity is below that of the initial transform alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from itk_nephi.fields.deformation import Deformation
from itk_nephi.registration.pair_objective import PairObjective

WORSE = 0.01
"""By how much the dissimilarity may rise without a finding, absolute and relative."""


def quality_findings(
    objectives: Sequence[PairObjective], deformations: Sequence[Deformation]
) -> list[str]:
    """Report pairs that were more alike with the initial transform alone, at the same points.

    Parameters
    ----------
    objectives : sequence of PairObjective
        Of the last level.
    deformations : sequence of Deformation
        One for each.

    Returns
    -------
    list of str
        What to warn of; empty where all is well.
    """
    findings = []
    for objective, deformation in zip(objectives, deformations, strict=True):
        before, after = _dissimilarities(objective, deformation)
        if after > before + WORSE * (1 + abs(before)):
            findings.append(
                f"the images are less alike than before: dissimilarity {before:.4g} after the "
                f"initial transform alone, {after:.4g} after the registration; a larger "
                "gradicon_weight, or another initial transform or similarity may help"
            )
    return findings


@torch.no_grad()
def _dissimilarities(objective: PairObjective, deformation: Deformation) -> tuple[float, float]:
    """Return the dissimilarity without and with a deformation, at the same points."""
    fixed, moving = objective.images
    (coords, _), (weights, _) = objective.sampler.sample(
        objective.settings.points, 0, torch.Generator().manual_seed(0)
    )
    values, counts = fixed(coords)
    counts = counts if weights is None else counts * weights
    parts = torch.split(coords, objective.chunk or len(coords))
    moved = torch.cat([deformation.field(part, deformation.code) for part in parts])
    before, after = (
        float(objective.dissimilarity(values, other, counts * in_moving))
        for other, in_moving in (moving(coords), moving(moved))
    )
    return before, after
