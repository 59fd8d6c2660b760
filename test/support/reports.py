"""Reports of phantoms."""

from __future__ import annotations

from typing import Any

import itk
import numpy as np

from itk_nephi.evaluation.metrics import jacobian_determinant_image
from itk_nephi.io.pair_files import Case
from itk_nephi.phantoms.pairs import lung
from itk_nephi.spatial.resampling import resample
from itk_nephi.visualization.report import MethodResult, render_report

SIZES = {2: (40, 33), 3: (22, 18, 17)}


def translation(*offset: float) -> Any:
    transform = itk.TranslationTransform[itk.D, len(offset)].New()
    transform.SetOffset(list(offset))
    return transform


def phantom_case(dimension: int) -> Case:
    phantom = lung(dimension, size=SIZES[dimension], seed=1)
    return Case(
        fixed=phantom.fixed,
        moving=phantom.moving,
        fixed_mask=phantom.fixed_mask,
        moving_mask=phantom.moving_mask,
        fixed_channels=[],
        moving_channels=[],
        guide_landmarks=None,
        evaluation_landmarks=(phantom.fixed_landmarks[:9], phantom.moving_landmarks[:9]),
        labels=None,
        paths={"fixed": "folder/fixed.nii.gz", "moving": "moving.nii.gz"},
    )


def outcome(case: Case, name: str, transform: Any, inverse: Any = None) -> MethodResult:
    return MethodResult(
        name=name,
        warped=resample(case.moving, [transform], case.fixed),
        fixed_to_moving=transform,
        moving_to_fixed=inverse,
        determinants=jacobian_determinant_image(transform, case.fixed),
    )


def page(case: Case, name: str = "found", findings: Any = None, **options: Any) -> str:
    ones = np.ones(case.dimension)
    found = outcome(case, name, translation(*ones), translation(*-0.5 * ones))
    before = outcome(case, "before", translation(*0 * ones))
    return render_report(case, [found], before, findings or {}, **options)
