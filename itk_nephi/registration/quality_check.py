"""A check at the end: that the dissimilarity is below that of the initial transform alone."""

from __future__ import annotations

from collections.abc import Sequence

from itk_nephi.fields.deformation import Deformation
from itk_nephi.registration.lattice_objective import LatticeObjective
from itk_nephi.registration.pair_objective import PairObjective

WORSE = 0.01
"""By how much the dissimilarity may rise without a finding, absolute and relative."""


def quality_findings(
    objectives: Sequence[PairObjective | LatticeObjective],
    deformations: Sequence[Deformation],
    names: Sequence[str],
) -> list[str]:
    """Report pairs that were more alike with the initial transform alone, at the same points.

    Parameters
    ----------
    objectives : sequence of PairObjective or LatticeObjective
        Of the last level.
    deformations : sequence of Deformation
        One for each.
    names : sequence of str
        The user's word for the moving image of each.

    Returns
    -------
    list of str
        What to warn of; empty where all is well.
    """
    findings = []
    for objective, deformation, name in zip(objectives, deformations, names, strict=True):
        before, after = objective.dissimilarities(deformation)
        if after > before + WORSE * (1 + abs(before)):
            findings.append(
                f"the images are less alike than before, fixed and {name}: dissimilarity "
                f"{before:.4g} after the initial transform alone, {after:.4g} after the "
                "registration; a larger gradicon_weight, or another initial transform or "
                "similarity may help"
            )
    return findings
