"""register_series(): a latent code that moves with time, for images of a subject over time."""

from __future__ import annotations

import os
import time as clock
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from itk_nephi.fields.deformation import Deformation, transform_from_deformation
from itk_nephi.fields.latent_code import InterpolatedCode, LatentCode
from itk_nephi.fields.sampled_transforms import inverse_transforms, sample_transform
from itk_nephi.models.nephi import NePhi
from itk_nephi.registration.inputs import checked_device, checked_images, warn_of_sizes
from itk_nephi.registration.instance_optimization import optimize
from itk_nephi.registration.pairwise import checked_initial_transform
from itk_nephi.registration.quality_check import warn_if_worse
from itk_nephi.registration.refinement import model_and_settings, parameters_of, take_back_folds
from itk_nephi.registration.result import Progress, Registration
from itk_nephi.registration.sampler import PairSampler
from itk_nephi.registration.settings import RegistrationSettings, chosen_settings
from itk_nephi.spatial.domain import Array, ImageDomain
from itk_nephi.spatial.preparation import checked_mask
from itk_nephi.spatial.transforms import compose, flatten


@dataclass(frozen=True)
class Series:
    """What :func:`register_series` found: how a fixed image deforms, at any time.

    Parameters
    ----------
    times : tuple of float
        Those of the images, rising.
    knots : tuple of float
        The times between which the latent code changes linearly, rising.
    deformations : tuple of Deformation
        At the knots; all have the same two fields.
    initial_transform, inverse_initial_transform : itk.CompositeTransform
        The initial transform, from fixed to moving space, and its inverse: the same at all times.
    history, settings, seed, interrupted
        As of a :class:`itk_nephi.Registration`; the losses are means over the images.
    """

    times: tuple[float, ...]
    knots: tuple[float, ...]
    deformations: tuple[Deformation, ...]
    initial_transform: Any
    inverse_initial_transform: Any
    history: list[Progress]
    settings: RegistrationSettings
    seed: int
    interrupted: bool

    def at(self, time: float) -> Registration:
        """Return the transforms between the fixed image and the subject at a time.

        Raises
        ------
        ValueError
            If the time is before the first knot or after the last.
        """
        if not self.knots[0] <= time <= self.knots[-1]:
            raise ValueError(
                f"expected a time from {self.knots[0]:g} to {self.knots[-1]:g}, got {time:g}"
            )
        transform = transform_from_deformation(deformation_at(self.deformations, self.knots, time))
        return Registration(
            fixed_to_moving=compose([transform, *flatten(self.initial_transform)]),
            moving_to_fixed=compose(
                [*flatten(self.inverse_initial_transform), transform.GetInverseTransform()]
            ),
            initial_transform=self.initial_transform,
            history=self.history,
            settings=self.settings,
            seed=self.seed,
            interrupted=self.interrupted,
        )


def register_series(
    fixed: Any,
    images: Sequence[Any],
    times: Sequence[float] | None = None,
    *,
    knots: Sequence[float] | None = None,
    fixed_mask: Any = None,
    masks: Sequence[Any] | None = None,
    initial_transform: Any = None,
    model: NePhi | str | os.PathLike[str] | None = None,
    refine_steps: int = 0,
    refine: str = "code",
    preset: str | None = None,
    settings: RegistrationSettings | None = None,
    device: str = "cpu",
    seed: int = 0,
    callback: Callable[[Progress], None] | None = None,
) -> Series:
    """Fit a latent code that moves with time to the images of one subject at several times.

    All times share the two fields. The code is linear between knots, so that the deformation is
    known at times without an image too. Each step takes the points of a registration in every
    image: it takes as long as that many registrations.

    Parameters
    ----------
    fixed : itk.Image
        The image that is deformed, for instance that of the first time. Scalar, in 2 or 3
        dimensions.
    images : sequence of itk.Image
        The images at the times, each on a grid of its own.
    times : sequence of float, optional
        When they were taken, rising, in any unit; 0, 1, 2 and so on when left out.
    knots : sequence of float, optional
        The times, rising, between which the code is linear, not more than there are images. Two
        make it a straight line: a regression. Those of the images when left out.
    fixed_mask : itk.Image, optional
        As for :func:`itk_nephi.register`.
    masks : sequence of itk.Image or None, optional
        Of the images, as many as these.
    initial_transform : itk.Transform or {"affine", "moments", "geometry", "identity"} or None
        From fixed to moving space, at all times. A kind is found between the fixed and the first of
        the images. None is the identity, as suits images of one session.
    model : NePhi or path, optional
        Predicts the codes; without ``refine_steps`` the knots' codes are those closest to the
        predictions.
    refine_steps, refine, preset, settings, device, seed, callback
        As for :func:`itk_nephi.register`. Memory is not planned: no ``memory_limit``.

    Returns
    -------
    Series
        The transforms in both directions, at any time between the first and the last knot.

    Warns
    -----
    UserWarning
        As :func:`itk_nephi.register` does, for each image.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it should be.
    RuntimeError
        If the optimization diverges in spite of smaller steps.

    Examples
    --------
    >>> times = [0.2, 0.4, 0.6]
    >>> series = register_series(breathing[0], breathing[1:], times)  # doctest: +SKIP
    >>> series.at(0.5).fixed_to_moving.TransformPoint(point)  # doctest: +SKIP
    """
    started = clock.perf_counter()
    settings = chosen_settings(settings, preset)
    if model is not None:
        model, settings = model_and_settings(model, refine_steps, refine, settings)
    elif refine_steps:
        raise ValueError("expected a model whose prediction refine_steps can refine, got none")
    if settings.memory_limit is not None:
        raise ValueError("expected settings without memory_limit for a series, got one")
    images = list(images)
    masks = [None] * len(images) if masks is None else list(masks)
    if len(masks) != len(images):
        raise ValueError(
            f"expected a mask or None for each of {len(images)} images, got {len(masks)}"
        )
    times, knots, shares = _checked_times(times, knots, len(images))
    torch_device = checked_device(device)
    voxels = settings.working_voxels
    (fixed_image,) = checked_images([fixed], "fixed", voxels)
    moving = [checked_images([image], f"images[{n}]", voxels)[0] for n, image in enumerate(images)]
    fixed_domain = ImageDomain.of(fixed).canonical()
    for n, image in enumerate(moving):
        if image.GetImageDimension() != fixed_domain.dimension:
            raise ValueError(
                f"expected images of {fixed_domain.dimension} dimensions like fixed, got "
                f"{image.GetImageDimension()} of images[{n}]"
            )
        warn_of_sizes(ImageDomain.of(fixed_image), ImageDomain.of(image))
    if fixed_mask is not None:
        fixed_mask = checked_mask(fixed_mask, "fixed_mask", fixed, "fixed", voxels)
    masks = [
        None if mask is None else checked_mask(mask, f"masks[{n}]", image, f"images[{n}]", voxels)
        for n, (mask, image) in enumerate(zip(masks, images, strict=True))
    ]
    initial_transform = checked_initial_transform(
        initial_transform, fixed_image, moving[0], fixed_mask, masks[0]
    )
    inverses = inverse_transforms(initial_transform, fixed_domain, ImageDomain.of(moving[0]))
    domain = model.settings.box(fixed_image, fixed_mask) if model else fixed_domain
    initial_map = sample_transform(initial_transform, domain)
    pairs = [
        PairSampler(
            fixed=[fixed_image],
            moving=[image],
            fixed_mask=fixed_mask,
            moving_mask=mask,
            initial_transform=initial_map,
            device=torch_device,
            domain=domain,
        )
        for image, mask in zip(moving, masks, strict=True)
    ]
    generator = torch.Generator().manual_seed(seed)
    if model is None:
        start = Deformation.identity(domain, settings.field, generator)
        at_knots = [replace(start, code=_copied(start)) for _ in knots]
    else:
        predicted = [
            model.predict(
                fixed_image,
                image,
                fixed_mask,
                mask,
                box=domain,
                initial_transform=initial_map,
                device=torch_device,
            )
            for image, mask in zip(moving, masks, strict=True)
        ]
        at_knots = _closest(predicted, shares)
        for weights in at_knots[0].weights():
            weights.requires_grad_(refine == "code_and_weights")
    at_times = [deformation_at(at_knots, knots, time) for time in times]
    history: list[Progress] = []
    interrupted = False
    if model is None or refine_steps:
        prediction = parameters_of(at_times)
        history, interrupted = optimize(
            at_times, pairs, settings, generator, callback, started=started
        )
        if model is not None:
            take_back_folds(at_times, prediction, ImageDomain.of(fixed))
    else:
        for deformation, pair in zip(at_times, pairs, strict=True):
            warn_if_worse(deformation, pair, settings)
    return Series(
        times=times,
        knots=knots,
        deformations=tuple(at_knots),
        initial_transform=initial_transform,
        inverse_initial_transform=compose(inverses),
        history=history,
        settings=settings,
        seed=seed,
        interrupted=interrupted,
    )


def deformation_at(
    at_knots: Sequence[Deformation], knots: Sequence[float], time: float
) -> Deformation:
    """Return the deformation at a time, whose code is made of those of the knots around it."""
    later = int(np.searchsorted(knots, time))
    if knots[later] == time:
        return at_knots[later]
    first, second = at_knots[later - 1], at_knots[later]
    share = (time - knots[later - 1]) / (knots[later] - knots[later - 1])
    return replace(first, code=InterpolatedCode(first.code, second.code, share))


def _checked_times(
    times: Sequence[float] | None, knots: Sequence[float] | None, count: int
) -> tuple[tuple[float, ...], tuple[float, ...], Array]:
    """Return times, knots, and how much each knot counts at each time, shape (T, K)."""
    if not count:
        raise ValueError("expected images at one or more times, got none")
    times = tuple(float(time) for time in (range(count) if times is None else times))
    knots = times if knots is None else tuple(float(knot) for knot in knots)
    if len(times) != count:
        raise ValueError(f"expected a time for each of {count} images, got {len(times)}")
    for name, values in (("times", times), ("knots", knots)):
        if not np.isfinite(values).all() or not (np.diff(values) > 0).all():
            raise ValueError(f"expected {name} to be finite and to rise, got {values}")
    if not knots or knots[0] > times[0] or knots[-1] < times[-1]:
        raise ValueError(
            f"expected knots from {times[0]:g} or before to {times[-1]:g} or after, the times of "
            f"the images, got {knots}"
        )
    shares = np.stack([np.interp(times, knots, unit) for unit in np.eye(len(knots))], axis=1)
    if np.linalg.matrix_rank(shares) < len(knots):
        raise ValueError(
            f"expected knots {knots} that the images' times {times} determine: not more than there "
            "are images, each with one of its own nearby"
        )
    return times, knots, shares


def _copied(deformation: Deformation) -> LatentCode:
    """Return a code of its own that is the same as a deformation's."""
    code = LatentCode(deformation.settings, deformation.domain.bounds, torch.Generator())
    code.load_state_dict(deformation.code.state_dict())
    return code


def _closest(predicted: Sequence[Deformation], shares: Array) -> list[Deformation]:
    """Return deformations at knots whose codes at the times come closest to the predicted ones."""
    fits = torch.from_numpy(np.linalg.pinv(shares)).float()
    at_knots = []
    for weights in fits.to(predicted[0].code.global_code.device):
        code = _copied(predicted[0]).to(weights.device)
        with torch.no_grad():
            for name in ("global_code", "local_code"):
                codes = torch.stack([getattr(each.code, name) for each in predicted])
                getattr(code, name).copy_(torch.tensordot(weights, codes, dims=1))
        at_knots.append(replace(predicted[0], code=code))
    return at_knots
