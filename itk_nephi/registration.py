"""register(): one image pair to two transforms, by optimising a deformation for that pair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import itk
import torch

from itk_nephi.composite import composite, flat_transforms
from itk_nephi.domain import ImageDomain, checked_image, checked_mask
from itk_nephi.initial import initial_transform
from itk_nephi.optimisation import ImagePair, Progress, RegistrationSettings, optimise
from itk_nephi.sampling import inverse_transforms, space_map
from itk_nephi.transform import Deformation, transform_from_deformation


@dataclass(frozen=True)
class Registration:
    """What :func:`register` found.

    Parameters
    ----------
    fixed_to_moving : itk.CompositeTransform
        Maps points of fixed space to moving space; what resampling the moving image needs.
    moving_to_fixed : itk.CompositeTransform
        Its approximate inverse: maps points of moving space to fixed space.
    initial : itk.Transform
        The initial transform, fixed to moving, that is part of both.
    history : list of Progress
        One entry a step.
    settings : RegistrationSettings
        What was asked for.
    seed : int
        The seed of all random numbers.
    interrupted : bool
        Whether Ctrl-C or ``report`` ended it early; the transforms are then what was reached.
    """

    fixed_to_moving: Any
    moving_to_fixed: Any
    initial: Any
    history: list[Progress]
    settings: RegistrationSettings
    seed: int
    interrupted: bool


def register(
    fixed: Any,
    moving: Any,
    *,
    fixed_mask: Any = None,
    moving_mask: Any = None,
    initial: Any = "affine",
    settings: RegistrationSettings | None = None,
    device: str = "cpu",
    seed: int = 0,
    report: Callable[[Progress], None] | None = None,
) -> Registration:
    """Register a pair of images: find where each point of the fixed image lies in the moving image.

    Parameters
    ----------
    fixed, moving : itk.Image
        Scalar images of any pixel type, in 2 or 3 dimensions, each on a grid of its own.
    fixed_mask, moving_mask : itk.Image, optional
        Not zero where the images are to be compared; each on the grid of its image.
    initial : itk.Transform or {"affine", "moments", "geometry", "identity"} or None
        From fixed to moving space: where to start, see :func:`itk_nephi.initial.initial_transform`.
        None is the identity.
    settings : RegistrationSettings, optional
        How to register.
    device : str
        ``"cpu"``, ``"cuda"``, or what else torch calls a device.
    seed : int
        The same seed gives the same result, on a CPU to the bit.
    report : callable, optional
        Called with the :class:`Progress` after every step. StopIteration, raised by it, ends the
        optimisation early as Ctrl-C does.

    Returns
    -------
    Registration
        The transforms in both directions and how they were found. Ctrl-C ends the optimisation
        early and keeps what was reached.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it should be.
    RuntimeError
        If the optimisation diverges in spite of smaller steps.

    References
    ----------
    Tian et al., NePhi, arXiv:2309.07322: the fields and the objective. Coarse to fine images, local
    standardisation and masks are ours.
    """
    settings = settings or RegistrationSettings()
    torch_device = _checked_device(device)
    fixed_image = checked_image(fixed, "fixed")
    moving_image = checked_image(moving, "moving")
    dimension = fixed_image.GetImageDimension()
    if moving_image.GetImageDimension() != dimension:
        raise ValueError(
            f"expected fixed and moving of the same dimension, got {dimension} and "
            f"{moving_image.GetImageDimension()}"
        )
    if fixed_mask is not None:
        fixed_mask = checked_mask(fixed_mask, "fixed_mask", fixed, "fixed")
    if moving_mask is not None:
        moving_mask = checked_mask(moving_mask, "moving_mask", moving, "moving")
    if initial is None or isinstance(initial, str):
        kind = initial or "identity"
        initial = initial_transform(kind, fixed_image, moving_image, fixed_mask, moving_mask)
    elif not isinstance(initial, itk.Transform[itk.D, dimension, dimension]):
        raise TypeError(
            f"expected initial to be an itk.Transform of double precision in {dimension} "
            f"dimensions, the name of a kind or None, got {type(initial).__name__}"
        )
    domain = ImageDomain.of(fixed_image)
    pair = ImagePair(
        fixed=fixed_image,
        moving=moving_image,
        fixed_mask=fixed_mask,
        moving_mask=moving_mask,
        initial=space_map(initial, domain),
        device=torch_device,
    )
    generator = torch.Generator().manual_seed(seed)
    deformation = Deformation.identity(domain, settings.field, generator)
    history, interrupted = optimise(deformation, pair, settings, generator, report)

    transform = transform_from_deformation(deformation)
    return Registration(
        fixed_to_moving=composite([transform, *flat_transforms(initial)]),
        moving_to_fixed=composite(
            [
                *inverse_transforms(initial, domain, ImageDomain.of(moving_image)),
                transform.GetInverseTransform(),
            ]
        ),
        initial=initial,
        history=history,
        settings=settings,
        seed=seed,
        interrupted=interrupted,
    )


def _checked_device(device: str) -> torch.device:
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"expected device to be cpu, or cuda where torch finds a GPU, got {device!r}: {reason}"
        ) from None
    return found
