"""The Python part of ``itk.NePhiRegistrationMethod`` and ``itk.nephi_registration_method``."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from itk.support.helpers import accept_array_like_xarray_torch

from itk_nephi.registration.filter_arguments import argument_values
from itk_nephi.registration.inputs import image_from, mask_from, wrapped_array
from itk_nephi.registration.pairwise import register
from itk_nephi.registration.result import Progress, Registration
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import image_like
from itk_nephi.spatial.resampling import resample


def generate(method: Any) -> None:
    """Register the inputs of a filter, notify its observers of every step, and set its outputs.

    Parameters
    ----------
    method : itk.NePhiRegistrationMethod
        The filter that is being updated. Its ``AbortGenerateData`` ends the optimization after the
        current step; the outputs are then what was reached.
    """
    state = method._State()
    state.pop("progress", None)
    state.pop("registration", None)

    def callback(progress: Progress) -> None:
        new_level = progress.level > method.GetCurrentLevel()
        state["progress"] = progress
        event = itk.MultiResolutionIterationEvent if new_level else itk.IterationEvent
        method.InvokeEvent(event())
        method.UpdateProgress(progress.share)
        if method.GetAbortGenerateData():
            raise StopIteration

    registration = register(
        [method.GetFixedImage(), *method.GetFixedChannels()],
        [method.GetMovingImage(), *method.GetMovingChannels()],
        fixed_mask=method.GetFixedMask(),
        moving_mask=method.GetMovingMask(),
        initial_transform=method.GetInitialTransform() or method.GetInitialTransformKind(),
        settings=method.GetSettings(),
        device=method.GetDevice(),
        seed=method.GetSeed(),
        callback=callback,
        **argument_values(method),
    )
    state["registration"] = registration
    method._SetTransforms(registration.fixed_to_moving, registration.moving_to_fixed)
    if registration.interrupted:
        method.InvokeEvent(itk.AbortEvent())


def registered(
    fixed_image: Any,
    moving_image: Any,
    fixed_mask: Any = None,
    moving_mask: Any = None,
    **options: Any,
) -> tuple[Any, Registration]:
    """Register two images or arrays, and resample the moving one.

    Parameters
    ----------
    fixed_image, moving_image, fixed_mask, moving_mask
        As ``itk.nephi_registration_method`` takes them.
    **options
        Keyword arguments of ``itk.NePhiRegistrationMethod.New``.

    Returns
    -------
    warped : itk.Image or array
        The moving image on the grid of the fixed image, 0 outside; an array if one was given.
    registration : Registration
        The transforms, and the losses of each step.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it should be.
    RuntimeError
        If the optimization diverges in spite of smaller steps.
    """

    def run(fixed: Any, moving: Any) -> tuple[Any, Registration]:
        fixed, moving = image_from(fixed, "fixed_image"), image_from(moving, "moving_image")
        images = [fixed, moving]
        options["fixed_mask"] = mask_from(fixed_mask, "fixed_mask", fixed)
        options["moving_mask"] = mask_from(moving_mask, "moving_mask", moving)
        for name in ("fixed_channels", "moving_channels"):
            channels = enumerate(options.pop(name, None) or ())
            options[name] = [image_from(image, f"{name}[{n}]") for n, image in channels]
        if type(fixed) is not type(moving):
            arrays = [itk.array_view_from_image(image) for image in images]
            kind = np.result_type(np.float32, *arrays)
            images = [image_like(image, np.asarray(image, dtype=kind)) for image in images]
        method = itk.NePhiRegistrationMethod.New(*images, **options)
        method.Update()
        registration = method.GetRegistration()
        return resample(moving, [registration.fixed_to_moving], fixed), registration

    # ITK would take the first axis of a tensor, its channel, for an axis of the image.
    warped, registration = accept_array_like_xarray_torch(run)(
        wrapped_array(fixed_image, "fixed_image"),
        wrapped_array(moving_image, "moving_image"),
    )
    if isinstance(fixed_image, torch.Tensor) or isinstance(moving_image, torch.Tensor):
        warped = torch.from_numpy(np.array(warped))[None]
    return warped, registration
