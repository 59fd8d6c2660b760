"""register_series(): a latent code that moves with time, for images of a subject over time."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Sequence
from operator import index
from typing import Any

import numpy as np

from itk_nephi.models.nephi import NePhi
from itk_nephi.registration.inputs import (
    checked_device,
    checked_seed,
    images_from,
    mask_from,
    pair_from,
    size_findings,
)
from itk_nephi.registration.joint import register_jointly
from itk_nephi.registration.result import Progress, Series, knot_shares
from itk_nephi.registration.settings import (
    PresetName,
    RefinedName,
    RegistrationSettings,
    chosen_settings,
)
from itk_nephi.registration.start import Start, initial_transforms_from
from itk_nephi.spatial import light_itk as itk


def register_series(
    fixed: Any,
    images: Sequence[Any],
    times: Sequence[float] | None = None,
    *,
    knots: Sequence[float] | None = None,
    fixed_mask: Any = None,
    masks: Sequence[Any] | None = None,
    channel_weights: Sequence[float] | None = None,
    initial_transform: Any = None,
    warm_start: Any = None,
    model: NePhi | str | os.PathLike[str] | None = None,
    refine_steps: int = 0,
    refine: RefinedName | None = None,
    preset: PresetName | None = None,
    settings: RegistrationSettings | None = None,
    device: str = "cpu",
    seed: int = 0,
    callback: Callable[[Progress], None] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_interval: float = 30.0,
) -> Series:
    """Fit a latent code that moves with time to the images of one subject at several times.

    All times share the two fields. The code is linear between knots, so that the deformation is
    known at times without an image too. Each step takes the points of a registration in every
    image: it takes as long as that many registrations.

    Parameters
    ----------
    fixed
        The image that is deformed, for instance that of the first time; as for
        :func:`itk_nephi.register`.
    images : sequence
        The images at the times, each as ``moving`` for :func:`itk_nephi.register`.
    times : sequence of float, optional
        When they were taken, rising, in any unit; 0, 1, 2 and so on when left out.
    knots : sequence of float, optional
        The times, rising, between which the code is linear, not more than there are images. Two
        make it a straight line: a regression. Those of the images when left out.
    fixed_mask : optional
        As for :func:`itk_nephi.register`.
    masks : sequence, optional
        Of the images, as many as these, each as ``moving_mask`` for :func:`itk_nephi.register`.
    channel_weights : sequence of float, optional
        As for :func:`itk_nephi.register`.
    initial_transform : itk.Transform, Registration, None or a kind
        From fixed to moving space, at all times. A kind is computed between the fixed and the first
        of the images. None is the identity, as suits images of one session.
    warm_start : Registration or itk.NePhiTransform, optional
        An earlier result on the grid of ``fixed``, from where all times start.
    model : NePhi or path, optional
        Predicts the codes; without ``refine_steps`` the knots' codes are those closest to the
        predictions.
    refine_steps, refine, preset, settings, device, seed, callback, checkpoint, checkpoint_interval
        As for :func:`itk_nephi.register`.

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
    MemoryError
        If the memory of a GPU does not suffice.

    Examples
    --------
    >>> times = [0.2, 0.4, 0.6]
    >>> series = register_series(breathing[0], breathing[1:], times)  # doctest: +SKIP
    >>> series.at(0.5).fixed_to_moving.TransformPoint(point)  # doctest: +SKIP
    """
    started = time.perf_counter()
    settings = chosen_settings(settings, preset, refine)
    seed, refine_steps = checked_seed(seed), index(refine_steps)
    start = Start.of(model, refine_steps, refine, warm_start)
    images = _listed(images, "images")
    masks = [None] * len(images) if masks is None else _listed(masks, "masks")
    if len(masks) != len(images):
        raise ValueError(
            f"expected a mask or None for each of {len(images)} images, got {len(masks)}"
        )
    times, knots = _checked_times(times, knots, len(images))
    torch_device = checked_device(device)
    fixed = images_from(fixed, "fixed")
    fixed_mask = mask_from(fixed_mask, "fixed_mask", fixed[0])
    initial_transform, inverse_initial = initial_transforms_from(initial_transform)
    names = [(f"images[{n}]", f"masks[{n}]") for n in range(len(images))]
    pairs = []
    for image, mask, words in zip(images, masks, names, strict=True):
        pair = pair_from(
            fixed,
            image,
            fixed_mask,
            mask,
            channel_weights=channel_weights,
            initial_transform=initial_transform,
            names=words,
        )
        for finding in size_findings(pair, words[0]):
            warnings.warn(finding, stacklevel=2)
        pairs.append(pair)
    series, findings = register_jointly(
        pairs,
        settings,
        start=start,
        device=torch_device,
        seed=seed,
        started=started,
        times=times,
        knots=knots,
        names=names,
        inverse_initial=inverse_initial,
        callback=callback,
        checkpoint=checkpoint,
        checkpoint_interval=checkpoint_interval,
    )
    for finding in findings:
        warnings.warn(finding, stacklevel=2)
    return series


def _listed(given: Any, name: str) -> list[Any]:
    """Return a sequence as a list; a single image or path is none."""
    if isinstance(given, (str, os.PathLike, itk.Object)) or not hasattr(given, "__iter__"):
        raise TypeError(
            f"expected {name} as a list, one for each time, got a single {type(given).__name__}"
        )
    return list(given)


def _checked_times(
    times: Sequence[float] | None, knots: Sequence[float] | None, count: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Check and return the times of images and the knots."""
    if not count:
        raise ValueError("expected images at one or more times, got none")
    times = tuple(map(float, range(count) if times is None else times))
    knots = times if knots is None else tuple(map(float, knots))
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
    if np.linalg.matrix_rank(knot_shares(times, knots)) < len(knots):
        raise ValueError(
            f"expected knots {knots} that the images' times {times} determine: not more than there "
            "are images, each with one of its own nearby"
        )
    return times, knots
