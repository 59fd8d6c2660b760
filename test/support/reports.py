"""Reports of phantoms."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import itk
import numpy as np
from PIL import Image

from itk_nephi.evaluation.evaluation import evaluate
from itk_nephi.evaluation.metrics import jacobian_determinant_image
from itk_nephi.phantoms.pairs import lung
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.resampling import resample
from itk_nephi.visualization.report import MethodResult, render_report

SIZES = {2: (40, 33), 3: (22, 18, 17)}


def decoded(address: str) -> Any:
    kind, content = address.split(";base64,")
    assert kind in ("data:image/jpeg", "data:image/webp", "data:image/png")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))


def translation(*offset: float) -> Any:
    transform = itk.TranslationTransform[itk.D, len(offset)].New()
    transform.SetOffset(list(offset))
    return transform


def phantom_pair(dimension: int) -> ImagePair:
    pair = lung(dimension, size=SIZES[dimension], seed=1).pair
    fixed, moving = pair.evaluation_landmarks
    return replace(
        pair,
        evaluation_landmarks=(fixed[:9], moving[:9]),
        labels=None,
        sources={"fixed": Path("folder/fixed.nii.gz"), "moving": Path("moving.nii.gz")},
    )


def outcome(pair: ImagePair, name: str, transform: Any, inverse: Any = None) -> MethodResult:
    return MethodResult(
        name=name,
        warped=resample(pair.moving_image, [transform], pair.fixed_image),
        evaluation=evaluate(pair, transform, inverse),
        fixed_to_moving=transform,
        moving_to_fixed=inverse,
        determinants=jacobian_determinant_image(transform, pair.fixed_image),
    )


def page(pair: ImagePair, name: str = "found", record: Any = None, **options: Any) -> str:
    ones = np.ones(pair.dimension)
    found = outcome(pair, name, translation(*ones), translation(*-0.5 * ones))
    before = outcome(pair, "before", translation(*0 * ones))
    return render_report(pair, [found], before, record or {}, **options)
