"""What ``itk.NePhiRegistrationMethod`` and ``itk.nephi_registration_method`` leave to Python."""

from __future__ import annotations

from typing import Any

import itk
import numpy as np
import torch
from itk.support.helpers import accept_array_like_xarray_torch, is_arraylike

from itk_nephi.registration.filter_arguments import argument_values
from itk_nephi.registration.pairwise import register
from itk_nephi.registration.result import Progress, Registration
from itk_nephi.spatial.domain import ImageDomain, image_like
from itk_nephi.spatial.resampling import resample


def generate(method: Any) -> None:
    """Register the inputs of a filter, tell its observers of every step, and set its outputs.

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
        method.UpdateProgress(progress.done / progress.total)
        if method.GetAbortGenerateData():
            raise StopIteration

    fixed, moving = method.GetFixedImage(), method.GetMovingImage()
    registration = register(
        [fixed, *method.GetFixedChannels()],
        [moving, *method.GetMovingChannels()],
        fixed_mask=_mask_image(method.GetFixedMask(), "fixed_mask", fixed),
        moving_mask=_mask_image(method.GetMovingMask(), "moving_mask", moving),
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


def _mask_image(mask: Any, name: str, image: Any) -> Any:
    """Return a mask as it is, or a spatial object drawn on the grid of an image."""
    if not hasattr(mask, "IsInsideInWorldSpace"):
        return mask
    domain = ImageDomain.of(image)
    dimension = domain.dimension
    if not isinstance(mask, itk.SpatialObject[dimension]):
        raise ValueError(f"expected {name} in {dimension} dimensions, got an {type(mask).__name__}")
    drawing = itk.SpatialObjectToImageFilter[
        itk.SpatialObject[dimension], itk.Image[itk.UC, dimension]
    ].New(mask, inside_value=1, outside_value=0)
    drawing.SetSize(domain.size)
    drawing.SetSpacing(domain.spacing)
    drawing.SetOrigin(domain.origin)
    drawing.SetDirection(itk.matrix_from_array(np.array(domain.direction)))
    drawing.Update()
    return drawing.GetOutput()


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
        How it was found.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it should be.
    RuntimeError
        If the optimization diverges in spite of smaller steps.
    """

    def run(fixed: Any, moving: Any) -> tuple[Any, Registration]:
        images = [_updated(fixed, "fixed_image"), _updated(moving, "moving_image")]
        fixed, moving = images
        options["fixed_mask"] = _mask_from_array(fixed_mask, "fixed_mask", fixed)
        options["moving_mask"] = _mask_from_array(moving_mask, "moving_mask", moving)
        if type(fixed) is not type(moving):
            images = [image_like(image, np.asarray(image, dtype=np.float32)) for image in images]
        method = itk.NePhiRegistrationMethod.New(*images, **options)
        method.Update()
        registration = method.GetRegistration()
        return resample(moving, [registration.fixed_to_moving], fixed), registration

    # ITK would take the first axis of a tensor, its channel, for an axis of the image.
    warped, registration = accept_array_like_xarray_torch(run)(
        _array_from_tensor(fixed_image, "fixed_image"),
        _array_from_tensor(moving_image, "moving_image"),
    )
    if isinstance(fixed_image, torch.Tensor) or isinstance(moving_image, torch.Tensor):
        warped = torch.from_numpy(np.array(warped))[None]
    return warped, registration


def _updated(image: Any, name: str) -> Any:
    image = itk.output(image)
    if not isinstance(image, itk.Object):
        raise TypeError(
            f"expected {name} to be an itk.Image, a filter or an array, got {type(image).__name__}"
        )
    image.Update()
    return image


def _array_from_tensor(image: Any, name: str) -> Any:
    if not isinstance(image, torch.Tensor):
        return image
    if image.ndim not in (3, 4) or len(image) != 1:
        raise ValueError(
            f"expected {name} as a tensor of shape (1, k, j, i) or (1, j, i), got "
            f"{tuple(image.shape)}"
        )
    return image.numpy(force=True)[0]


def _mask_from_array(mask: Any, name: str, image: Any) -> Any:
    if isinstance(mask, itk.Object) or not is_arraylike(mask):
        return mask
    inside = np.asarray(_array_from_tensor(mask, name)) != 0
    expected = itk.array_view_from_image(image).shape
    if inside.shape != expected:
        raise ValueError(
            f"expected {name} of the shape of its image, {expected}, got {inside.shape}"
        )
    return image_like(image, inside.astype(np.uint8))
