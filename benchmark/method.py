"""One registration of one method: timed, its memory measured, and judged.

All methods start from images in memory, are timed until their transform is there, and are judged by
the same code.
"""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import itk
import numpy as np

from itk_nephi.evaluation.metrics import dice, landmark_errors
from itk_nephi.io.pair_files import landmark_columns
from itk_nephi.spatial.conversion import to_displacement_field
from itk_nephi.spatial.domain import ImageDomain, image_from_array

SLAB = 16
"""How many planes of a displacement field are differentiated together."""
ELASTIX_SEED = 121212
"""What elastix takes by default."""

Images = dict[str, Any]


def preload() -> None:
    """Import what all methods need, so that processes forked from this one have it already."""
    importlib.import_module("itk_nephi.registration.pairwise")
    itk.force_load()  # else the first use of each class would be timed, for half a minute in all


def prepared_nephi(
    images: Images,
    seed: int,
    preset: str,
    initial_transform: str,
    settings: dict[str, Any],
    representation: str | None = None,
) -> Callable[[], Any]:
    """Return NePhi's registration of a pair, from fixed to moving, with all that it imports."""
    from representations import represented_by

    from itk_nephi import FieldSettings, RegistrationSettings, register

    chosen = RegistrationSettings if preset == "default" else getattr(RegistrationSettings, preset)
    if "field" in settings:
        settings = settings | {"field": FieldSettings(**settings["field"])}
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}

    def registration() -> Any:
        with represented_by(representation) if representation else nullcontext():
            return register(
                images["fixed"],
                images["moving"],
                fixed_mask=images.get("fixed_mask"),
                moving_mask=images.get("moving_mask"),
                initial_transform=initial_transform,
                settings=replace(chosen(), **settings),
                seed=seed,
            ).fixed_to_moving

    return registration


def prepared_elastix(
    images: Images, seed: int, grid_spacing: float, iterations: int | None
) -> Callable[[], Any]:
    """Return elastix's registration: its default affine, then B-spline, with masks if any."""
    stages = (("affine", {}), ("bspline", {"fixed_mask", "moving_mask"}))

    def registration() -> Any:
        before = None
        for kind, masks in stages:
            parameters = itk.ParameterObject.New()
            values = parameters.GetDefaultParameterMap(kind, 4, grid_spacing)
            if kind == "affine":
                values["AutomaticTransformInitialization"] = ["true"]
            # it gives up below 0.25, which its random steps before the first one reach now and then
            values["RequiredRatioOfValidSamples"] = ["0.05"]
            if iterations is not None:
                values["MaximumNumberOfIterations"] = [str(iterations)]
            values["RandomSeed"] = [str(ELASTIX_SEED + seed)]
            values["WriteResultImage"] = ["false"]
            parameters.AddParameterMap(values)
            fixed, moving = images["fixed"], images["moving"]
            elastix = itk.ElastixRegistrationMethod[type(fixed), type(moving)].New(fixed, moving)
            elastix.SetParameterObject(parameters)
            if "fixed_mask" in masks & images.keys():
                elastix.SetFixedMask(images["fixed_mask"])
            if "moving_mask" in masks & images.keys():
                elastix.SetMovingMask(images["moving_mask"])
            if before is not None:
                elastix.SetInitialTransformParameterObject(before)
            elastix.UpdateLargestPossibleRegion()
            before = elastix.GetTransformParameterObject()
        return elastix.ConvertToItkTransform(elastix.GetCombinationTransform())

    return registration


METHODS = {"nephi": prepared_nephi, "elastix": prepared_elastix}


def determinants(transform: Any, reference: Any, inside: Any) -> Any:
    """Return Jacobian determinants on a grid twice as fine as an image's, dimensionless.

    Parameters
    ----------
    transform : itk.Transform
        From the points of ``reference``.
    reference : itk.Image
        Gives the grid.
    inside : array of bool, shape (k, j, i)
        At which voxels.

    Returns
    -------
    array, shape (N,)
        By differences of the points on the fine grid.
    """
    domain = ImageDomain.of(reference)
    # all that is inside, and a voxel around it for its differences
    box = tuple(slice(max(n.min() - 1, 0), n.max() + 2) for n in np.nonzero(inside))
    inside = inside[box]
    first_voxel = np.array([part.start for part in reversed(box)])
    fine = replace(
        domain,
        size=tuple(2 * n for n in inside.shape[::-1]),
        spacing=tuple(s / 2 for s in domain.spacing),
        origin=tuple(domain.points_from_index(first_voxel - 0.25).tolist()),
    )
    grid = image_from_array(np.zeros(fine.size[::-1], np.uint8), fine)
    moves = np.asarray(to_displacement_field(transform, grid))
    axes = range(domain.dimension)
    for axis in axes:
        inside = inside.repeat(2, axis=axis)
    direction, found = np.array(domain.direction), []
    for start in range(0, len(moves), SLAB):
        first, last = max(start - 1, 0), min(start + SLAB + 1, len(moves))
        part = moves[first:last].astype(float)
        slopes = np.stack(np.gradient(part, *fine.spacing[::-1], axis=tuple(axes))[::-1], axis=-1)[
            start - first :
        ][: min(SLAB, len(moves) - start)]
        chosen = slopes[inside[start : start + SLAB]]
        found.append(np.linalg.det(chosen + direction) * np.linalg.det(direction))
    return np.concatenate(found)


def judged(transform: Any, pair: dict[str, str], images: Images) -> dict[str, Any]:
    """Return what a transform from fixed to moving points is worth."""
    mask = itk.imread(pair["judged_in"]) if "judged_in" in pair else images.get("fixed_mask")
    shape = np.asarray(images["fixed"]).shape
    inside = np.ones(shape, bool) if mask is None else np.asarray(mask) != 0
    volumes = determinants(transform, images["fixed"], inside)
    figures: dict[str, Any] = {
        "folding_fine": float(np.mean(~(volumes > 0))),
        "log_jacobian_sd": float(np.log(volumes[volumes > 0]).std()),
    }
    if "evaluation_landmarks" in pair:
        with Path(pair["evaluation_landmarks"]).open() as file:
            header = file.readline().strip().split(",")
            both = np.loadtxt(file, delimiter=",")
        dimension = len(shape)
        columns = [header.index(name) for name in landmark_columns(dimension)]
        points = both[:, columns[:dimension]], both[:, columns[dimension:]]
        figures["landmark_errors"] = landmark_errors(transform, *points).tolist()
    if "fixed_labels" in pair:
        labels = [itk.imread(pair[name]) for name in ("fixed_labels", "moving_labels")]
        figures["dice"] = {str(k): v for k, v in dice(*labels, transform).items()}
    return figures


def work(
    method: str, options: dict[str, Any], pair: dict[str, str], folder: Path, seed: int
) -> None:
    """Register, judge, and write figures.json; what is printed goes into log.txt.

    For a process of its own: it turns that process's output into the file.

    Parameters
    ----------
    method : str
        One of ``METHODS``.
    options : dict
        Its arguments.
    pair : dict of str to str
        The images, their masks, labels and landmarks, as paths.
    folder : Path
        Also gets fixed_to_moving.h5.
    seed : int
        Of all random numbers.
    """
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    images = {name: itk.imread(pair[name], itk.F) for name in ("fixed", "moving")}
    images |= {n: itk.imread(pair[n], itk.UC) for n in pair if n in ("fixed_mask", "moving_mask")}
    registration = METHODS[method](images, seed, **options)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = resident_mib("VmRSS")
    start, start_cpu = time.perf_counter(), time.process_time()
    transform = registration()
    figures = {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - start_cpu,
        "memory_mib": resident_mib("VmHWM") - before,
    }
    itk.transformwrite(transform, str(folder / "fixed_to_moving.h5"))
    (folder / "figures.json").write_text(json.dumps(figures | judged(transform, pair, images)))


def resident_mib(name: str) -> float:
    """Return what this process holds in memory now, ``VmRSS``, or held at most, ``VmHWM``."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 2**10
