"""register(): one image pair to two transforms, by optimizing a deformation for that pair."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import itk
import torch

from itk_nephi.fields.deformation import (
    Deformation,
    deformation_from_transform,
    transform_from_deformation,
)
from itk_nephi.fields.sampled_transforms import inverse_transforms, sample_transform
from itk_nephi.models.nephi import NePhi
from itk_nephi.registration.checkpoint import Checkpoint, described_run
from itk_nephi.registration.inputs import (
    checked_device,
    checked_images,
    checked_weights,
    landmark_pairs,
    warn_of_sizes,
)
from itk_nephi.registration.instance_optimization import optimize
from itk_nephi.registration.memory_plan import planned_chunk
from itk_nephi.registration.quality_check import warn_if_worse
from itk_nephi.registration.refinement import model_and_settings, parameters_of, take_back_folds
from itk_nephi.registration.result import Progress, Registration
from itk_nephi.registration.sampler import PairSampler
from itk_nephi.registration.settings import RegistrationSettings, chosen_settings
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.initialization import compute_initial_transform
from itk_nephi.spatial.preparation import checked_mask
from itk_nephi.spatial.transforms import compose, flatten


def register(
    fixed: Any,
    moving: Any,
    *,
    fixed_mask: Any = None,
    moving_mask: Any = None,
    channel_weights: Sequence[float] | None = None,
    guide_landmarks: Sequence[Any] | None = None,
    initial_transform: Any = "affine",
    warm_start: Any = None,
    model: NePhi | str | os.PathLike[str] | None = None,
    refine_steps: int = 0,
    refine: str = "code",
    preset: str | None = None,
    settings: RegistrationSettings | None = None,
    device: str = "cpu",
    seed: int = 0,
    callback: Callable[[Progress], None] | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_interval: float = 30.0,
) -> Registration:
    """Register a pair of images: find where each point of the fixed image lies in the moving image.

    Parameters
    ----------
    fixed, moving : itk.Image or list of itk.Image
        Scalar images of any pixel type, in 2 or 3 dimensions, each on a grid of its own. Or several
        of each subject, on one grid, the first with the first, and so on; the first two give the
        initial transform.
    fixed_mask, moving_mask : itk.Image, optional
        Not zero where the images are to be compared; each on the grid of its image. Float values
        between 0 and 1 say how much each place counts.
    channel_weights : sequence of float, optional
        How much each of several images counts; all the same when left out.
    guide_landmarks : (fixed_points, moving_points) or with weights as a third, optional
        Corresponding points to bring together, shape (N, D), mm, and how much each pair counts,
        shape (N,).
    initial_transform : itk.Transform, Registration, None or a kind
        From fixed to moving space: where to start. Or how it is computed, ``"affine"``,
        ``"moments"``, ``"geometry"`` or ``"identity"``, see
        :func:`itk_nephi.spatial.compute_initial_transform`. An earlier result, perhaps of
        coarser images, brings its own inverse. None is the identity.
    warm_start : Registration or itk.NePhiTransform, optional
        An earlier result on the grid of ``fixed``, from where the optimization starts; for instance
        that of the image before in a time series. Its initial transform is not taken over.
    model : NePhi or path, optional
        Predicts the deformation from the first image of each subject, after the initial transform.
        It stays as it is; its sizes take the place of ``settings.field``, and the fields live on
        its box around the fixed image.
    refine_steps : int
        Optimizer steps at the finest level that refine a prediction. Where these fold more than was
        predicted, the result goes back towards the prediction as far as it takes.
    refine : {"code", "code_and_weights"}
        What they change: the latent code alone, with a step size of at most 1e-2, or also the
        weights, with one of at most 1e-4.
    preset : {"fast", "default", "accurate"}, optional
        The name of settings, see :meth:`RegistrationSettings.preset`.
    settings : RegistrationSettings, optional
        How to register, in place of a preset; with a model, how to refine.
    device : str
        ``"cpu"``, ``"cuda"``, or what else torch calls a device.
    seed : int
        The same seed gives the same result, on a CPU to the bit, unless ``settings.max_time`` is
        given; without a model on any number of threads.
    callback : callable, optional
        Called with the :class:`Progress` after every step. StopIteration, raised by it, ends the
        optimization early as Ctrl-C does.
    checkpoint : path, optional
        A file that keeps the state. Where it exists, the optimization goes on from there, on a CPU
        to the same bits as without a break; it is deleted when the registration has ended, and
        stays after Ctrl-C.
    checkpoint_interval : float
        How often the file is written, seconds.

    Returns
    -------
    Registration
        The transforms in both directions and how they were found. Ctrl-C ends the optimization
        early and keeps what was reached.

    Warns
    -----
    UserWarning
        If the images are of very different size in mm, the model's box does not cover the fixed
        image or its mask, or the images are less alike after the registration than with the initial
        transform alone.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it should be.
    RuntimeError
        If the optimization diverges in spite of smaller steps.

    References
    ----------
    Tian et al., NePhi, arXiv:2309.07322: the fields and the objective. Coarse to fine images, local
    standardization and masks are ours.
    """
    started = time.perf_counter()
    settings = chosen_settings(settings, preset)
    if model is not None:
        if warm_start is not None:
            raise ValueError("expected a model or warm_start to start from, got both")
        if checkpoint is not None:
            raise ValueError("expected a checkpoint of an optimization, got a model with it")
        model, settings = model_and_settings(model, refine_steps, refine, settings)
    elif refine_steps:
        raise ValueError("expected a model whose prediction refine_steps can refine, got none")
    torch_device = checked_device(device)
    fixed, moving = _listed(fixed), _listed(moving)
    voxels = settings.working_voxels
    fixed_images = checked_images(fixed, "fixed", voxels)
    moving_images = checked_images(moving, "moving", voxels)
    fixed_image, moving_image = fixed_images[0], moving_images[0]
    dimension = fixed_image.GetImageDimension()
    if moving_image.GetImageDimension() != dimension:
        raise ValueError(
            f"expected fixed and moving of the same dimension, got {dimension} and "
            f"{moving_image.GetImageDimension()}"
        )
    weights = checked_weights(channel_weights, len(fixed_images), len(moving_images))
    warn_of_sizes(ImageDomain.of(fixed_image), ImageDomain.of(moving_image))
    if fixed_mask is not None:
        fixed_mask = checked_mask(fixed_mask, "fixed_mask", fixed[0], "fixed", voxels)
    if moving_mask is not None:
        moving_mask = checked_mask(moving_mask, "moving_mask", moving[0], "moving", voxels)
    earlier = initial_transform if isinstance(initial_transform, Registration) else None
    if earlier is not None:
        initial_transform = earlier.fixed_to_moving
    chunk = planned_chunk(
        settings, fixed_images, moving_images, fixed_mask, moving_mask, torch_device
    )
    keeper = None
    if checkpoint is not None:
        inputs = {
            "fixed": fixed_images,
            "moving": moving_images,
            "fixed_mask": fixed_mask,
            "moving_mask": moving_mask,
            "channel_weights": weights,
            "guide_landmarks": guide_landmarks,
            "initial_transform": initial_transform,
            "warm_start": _transform_of(warm_start),
        }
        run = described_run(settings, seed, inputs)
        keeper = Checkpoint(Path(checkpoint), checkpoint_interval, run)
    initial_transform = checked_initial_transform(
        initial_transform, fixed_image, moving_image, fixed_mask, moving_mask
    )
    fixed_domain = ImageDomain.of(fixed[0]).canonical()
    if earlier is not None:
        inverses = flatten(earlier.moving_to_fixed)
    else:
        inverses = inverse_transforms(initial_transform, fixed_domain, ImageDomain.of(moving_image))
    domain = model.settings.box(fixed_image, fixed_mask) if model else fixed_domain
    initial_map = sample_transform(initial_transform, domain)
    pairs = None
    if guide_landmarks is not None and settings.landmark_weight > 0:
        pairs = landmark_pairs(
            guide_landmarks, domain, compose(inverses), settings.landmark_scale, torch_device
        )
    pair = PairSampler(
        fixed=fixed_images,
        moving=moving_images,
        fixed_mask=fixed_mask,
        moving_mask=moving_mask,
        initial_transform=initial_map,
        device=torch_device,
        channel_weights=weights,
        guide_landmarks=pairs,
        domain=domain,
    )
    generator = torch.Generator().manual_seed(seed)
    if model is not None:
        deformation = model.predict(
            fixed_image,
            moving_image,
            fixed_mask,
            moving_mask,
            box=domain,
            initial_transform=initial_map,
            device=torch_device,
        )
        for weights_of_field in deformation.weights():
            weights_of_field.requires_grad_(refine == "code_and_weights")
    elif warm_start is None:
        deformation = Deformation.identity(domain, settings.field, generator)
    else:
        deformation = _warm_deformation(warm_start, domain, settings)
    history: list[Progress] = []
    interrupted = False
    if model is None or refine_steps:
        prediction = parameters_of([deformation])
        history, interrupted = optimize(
            [deformation],
            [pair],
            settings,
            generator,
            callback,
            started=started,
            checkpoint=keeper,
            chunk=chunk,
        )
        if model is not None:
            take_back_folds([deformation], prediction, ImageDomain.of(fixed[0]))
    else:
        warn_if_worse(deformation, pair, settings)

    transform = transform_from_deformation(deformation)
    if keeper is not None and not interrupted:
        keeper.remove()
    return Registration(
        fixed_to_moving=compose([transform, *flatten(initial_transform)]),
        moving_to_fixed=compose([*inverses, transform.GetInverseTransform()]),
        initial_transform=initial_transform,
        history=history,
        settings=settings,
        seed=seed,
        interrupted=interrupted,
    )


def _listed(images: Any) -> list[Any]:
    return list(images) if isinstance(images, (list, tuple)) else [images]


def _transform_of(start: Any) -> Any:
    """Return the NePhiTransform of a registration; anything else as it is."""
    return flatten(start.fixed_to_moving)[0] if isinstance(start, Registration) else start


def _warm_deformation(
    start: Any, domain: ImageDomain, settings: RegistrationSettings
) -> Deformation:
    """Return the deformation of an earlier result, if it is one of this domain and these sizes."""
    transform = _transform_of(start)
    if not isinstance(transform, itk.NePhiTransform[itk.D, domain.dimension]):
        raise TypeError(
            f"expected warm_start to be a Registration or an itk.NePhiTransform of double "
            f"precision in {domain.dimension} dimensions, got {type(transform).__name__}"
        )
    deformation = deformation_from_transform(transform)
    if not deformation.domain.matches(domain):
        raise ValueError(
            f"expected warm_start on the grid of fixed, got one on {deformation.domain.size} "
            f"voxels from {deformation.domain.origin}"
        )
    if deformation.settings != settings.field:
        raise ValueError(
            f"expected warm_start with the sizes of settings, {settings.field}, got "
            f"{deformation.settings}"
        )
    return deformation


def checked_initial_transform(
    initial_transform: Any, fixed: Any, moving: Any, fixed_mask: Any, moving_mask: Any
) -> Any:
    """Return an initial transform as it was given, or found where it is a kind or None."""
    if initial_transform is None or isinstance(initial_transform, str):
        return compute_initial_transform(
            initial_transform or "identity", fixed, moving, fixed_mask, moving_mask
        )
    dimension = fixed.GetImageDimension()
    if not isinstance(initial_transform, itk.Transform[itk.D, dimension, dimension]):
        raise TypeError(
            f"expected initial_transform to be an itk.Transform of double precision in {dimension} "
            f"dimensions, the name of a kind or None, got {type(initial_transform).__name__}"
        )
    return initial_transform
