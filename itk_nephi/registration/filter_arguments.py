"""The arguments of ``itk.NePhiRegistrationMethod`` beside images and transforms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from itk_nephi.fields.settings import Setting, flat_settings, settings_of
from itk_nephi.registration.settings import RegistrationSettings

SETTINGS: Mapping[str, Setting] = {
    **flat_settings(RegistrationSettings),
    **settings_of(RegistrationSettings),
}

ARGUMENTS: Mapping[str, Setting] = {
    entry.name: entry
    for entry in (
        Setting(
            name="channel_weights",
            help="The weight of each image of a subject; all the same when left out.",
            type="tuple[float, ...] | None",
            default=None,
        ),
        Setting(
            name="guide_landmarks",
            help="Corresponding points to bring together: fixed and moving points, shape (N, D), "
            "mm, and perhaps a weight for each pair, shape (N,).",
            type="tuple[numpy.ndarray, numpy.ndarray] | None",
            default=None,
        ),
        Setting(
            name="warm_start",
            help="An earlier result on the grid of the fixed image, from where the optimization "
            "starts.",
            type="itk_nephi.Registration | itk.NePhiTransform | None",
            default=None,
        ),
        Setting(
            name="model",
            help="Predicts the deformation: a model, or its file.",
            type="itk_nephi.NePhi | str | os.PathLike[str] | None",
            default=None,
        ),
        Setting(
            name="refine_steps",
            help="Optimizer steps that refine a prediction.",
            type="int",
            default=0,
        ),
        Setting(
            name="refine",
            help="What they change: splines, code, or code_and_weights; the splines of settings "
            "that have any, else the code, when left out.",
            type="str | None",
            default=None,
        ),
        Setting(
            name="checkpoint",
            help="A file that keeps the state, and from where the optimization goes on.",
            type="str | os.PathLike[str] | None",
            default=None,
        ),
        Setting(
            name="checkpoint_interval",
            help="How often the checkpoint is written, seconds.",
            type="float",
            default=30.0,
        ),
    )
}
"""The arguments of :func:`itk_nephi.register` that are neither images nor transforms of a pipeline,
nor kept in C++."""


def argument_values(method: Any) -> dict[str, Any]:
    """Return what a filter was given of ``ARGUMENTS``."""
    return {name: getattr(method, f"Get{camel(name)}")() for name in ARGUMENTS}


def camel(name: str) -> str:
    """Return a name as ITK's methods have it: ``GradiconWeight`` for ``gradicon_weight``."""
    return "".join(word.capitalize() for word in name.split("_"))
