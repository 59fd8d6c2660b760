"""How register() refines what a model predicts; its arguments' checks."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from itk_nephi.model_file import load_model
from itk_nephi.nephi import NePhi
from itk_nephi.settings import RegistrationSettings

REFINED = {"code": 0.0, "code_and_weights": 1e-4}
"""What can be refined, and the largest step size of the weights for it."""
CODE_LEARNING_RATE = 1e-2
"""The largest step size of the code: in a few steps, larger ones fold what was predicted well."""


def model_and_settings(
    model: Any, steps: int, refine: str, settings: RegistrationSettings
) -> tuple[NePhi, RegistrationSettings]:
    """Return a model and the settings that refine its predictions, or say what is wrong.

    Parameters
    ----------
    model : NePhi or path
        A model or its file.
    steps : int
        Optimiser steps of the refinement; with 0 there is none, and those of the settings stay.
    refine : {"code", "code_and_weights"}
        What is optimised.
    settings : RegistrationSettings
        Those of an optimisation from scratch.

    Raises
    ------
    TypeError
        If the model is neither a model nor a path.
    ValueError
        If an argument is out of range, or the file is not that of a model.
    """
    if refine not in REFINED:
        raise ValueError(f"expected refine to be one of {', '.join(REFINED)}, got {refine!r}")
    if steps < 0:
        raise ValueError(f"expected refine_steps of 0 or more, got {steps}")
    if isinstance(model, (str, os.PathLike)):
        model = load_model(model)
    if not isinstance(model, NePhi):
        raise TypeError(f"expected model to be a NePhi or a path, got {type(model).__name__}")
    return model, replace(
        settings,
        field=model.settings.field,
        smoothing=settings.smoothing[-1:],
        steps=steps or settings.steps,
        weights_learning_rate=min(settings.weights_learning_rate, REFINED[refine]),
        code_learning_rate=min(settings.code_learning_rate, CODE_LEARNING_RATE),
    )
