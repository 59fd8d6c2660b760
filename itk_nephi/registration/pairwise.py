"""register(): instance optimization of an image pair, or prediction and refinement."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Sequence
from operator import index
from typing import Any

from itk_nephi.models.nephi import NePhi
from itk_nephi.registration.inputs import (
    checked_device,
    checked_seed,
    pair_from,
    size_findings,
)
from itk_nephi.registration.joint import register_jointly
from itk_nephi.registration.result import Progress, Registration
from itk_nephi.registration.settings import (
    PresetName,
    RefinedName,
    RegistrationSettings,
    chosen_settings,
)
from itk_nephi.registration.start import Start, initial_transforms_from
from itk_nephi.spatial.domain import Transform
from itk_nephi.spatial.initialization import InitialTransformKind


def register(
    fixed: Any,
    moving: Any,
    *,
    fixed_mask: Any = None,
    moving_mask: Any = None,
    channel_weights: Sequence[float] | None = None,
    guide_landmarks: Sequence[Any] | None = None,
    initial_transform: InitialTransformKind | Transform | Registration | None = "affine",
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
    keep_checkpoint: bool = False,
) -> Registration:
    """Register an image pair by instance optimization, or by a model that predicts.

    Parameters
    ----------
    fixed, moving : itk.Image, path or array, or a list of these
        Scalar images of any pixel type, in 2 or 3 dimensions, each on a grid of its own. Arrays are
        those that ITK's functions take: of shape (k, j, i) from numpy, (1, k, j, i) from torch,
        with a spacing of 1 mm, or from xarray, with a grid. Or several of each subject, on one
        grid, the first with the first, and so on.
    fixed_mask, moving_mask : itk.Image, path, array or itk.SpatialObject, optional
        Non-zero where the images are to be compared; on the grids of the images, on which arrays
        lie and spatial objects are drawn. Float values between 0 and 1 are weights.
    channel_weights : sequence of float, optional
        The weight of each of several images; all the same when left out.
    guide_landmarks : (fixed_points, moving_points) or with weights as a third, optional
        Corresponding points to bring together, shape (N, D), mm, and the weight of each pair,
        shape (N,). They steer an optimization, or the refinement of a prediction.
    initial_transform : itk.Transform, Registration, None or a kind
        From fixed to moving space: where to start. Or how it is computed: ``"affine"``,
        ``"similarity"``, ``"rigid"`` or ``"translation"``, an alignment from anywhere, which the
        presets refine by the windows in which they compare images; ``"moments"``, ``"geometry"`` or
        ``"identity"``; see :func:`itk_nephi.alignment.compute_initial_transform`. An earlier
        result, perhaps of coarser images, brings its own inverse. None is the identity.
    warm_start : Registration or itk.NePhiTransform, optional
        An earlier result on the grid of ``fixed``, from where the optimization starts; for instance
        that of the image before in a time series. Its initial transform is not taken over.
    model : NePhi or path, optional
        Predicts the deformation from the first image of each subject, after the initial transform.
        It does not change; its sizes replace ``settings.field``, and the fields live on its box
        around the fixed image.
    refine_steps : int
        Optimizer steps at the finest level that refine a prediction. Where these fold more than was
        predicted, the result goes back towards the prediction as far as it takes.
    refine : {"splines", "code", "code_and_weights"}, optional
        What they change: B-splines on top of what was predicted, the default where the settings
        have any, as the presets do; the latent code, with a step size of at most 1e-2; or also the
        weights, with one of at most 1e-4.
    preset : {"fast", "default", "accurate"}, optional
        The name of settings, see :meth:`RegistrationSettings.preset`.
    settings : RegistrationSettings, optional
        How to register, instead of a preset; with a model, how to refine.
    device : str
        ``"cpu"``, ``"cuda"``, or what else torch calls a device.
    seed : int
        The same seed gives the same result, on a CPU bit-identical, unless ``settings.max_time`` is
        given; without a model on any number of threads.
    callback : callable, optional
        Called with the :class:`Progress` after every step. StopIteration, raised by it, ends the
        optimization early as Ctrl-C does.
    checkpoint : path, optional
        A file that keeps the state, written atomically. Where it exists, the optimization resumes
        from there, on a CPU with a result bit-identical to that without a break; it is deleted when
        the registration has ended, and stays after Ctrl-C.
    checkpoint_interval : float
        How often the file is written, seconds.
    keep_checkpoint : bool
        Whether the file stays, with the result, when the registration has ended: for those who
        write the result, and delete it afterwards.

    Returns
    -------
    Registration
        The transforms in both directions, and the losses of each step. Ctrl-C ends the optimization
        early and keeps what was reached.

    Warns
    -----
    UserWarning
        If the images are of very different size in mm, the initial alignment is ambiguous, the
        model's box does not cover the fixed image or its mask, the fixed image is smaller than two
        voxels of that box, or the images are less alike after the registration than with the
        initial transform alone.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it should be.
    RuntimeError
        If the optimization diverges in spite of smaller steps.
    MemoryError
        If the memory of a GPU does not suffice.

    References
    ----------
    Tian et al., NePhi, arXiv:2309.07322: the fields and the objective, with GradICON (Tian, Greer
    et al., CVPR 2023). Coarse to fine images, local standardization and masks are ours.
    """
    started = time.perf_counter()
    settings = chosen_settings(settings, preset, refine)
    seed, refine_steps = checked_seed(seed), index(refine_steps)
    start = Start.of(model, refine_steps, refine, warm_start)
    if start.is_final and guide_landmarks is not None:
        raise ValueError(
            "expected refine_steps of 1 or more with a model and guide_landmarks, which steer no "
            "prediction, got none"
        )
    torch_device = checked_device(device)
    initial_transform, inverse_initial = initial_transforms_from(initial_transform)
    pair = pair_from(
        fixed,
        moving,
        fixed_mask,
        moving_mask,
        channel_weights=channel_weights,
        guide_landmarks=guide_landmarks,
        initial_transform=initial_transform,
    )
    for finding in size_findings(pair):
        warnings.warn(finding, stacklevel=2)
    series, findings = register_jointly(
        [pair],
        settings,
        start=start,
        device=torch_device,
        seed=seed,
        started=started,
        inverse_initial=inverse_initial,
        callback=callback,
        checkpoint=checkpoint,
        checkpoint_interval=checkpoint_interval,
        keep_checkpoint=keep_checkpoint,
    )
    for finding in findings:
        warnings.warn(finding, stacklevel=2)
    return series.at(0.0)
