"""The report of a registration: one page that holds all it shows and opens anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from itk_nephi.evaluation.evaluation import Evaluation
from itk_nephi.evaluation.statistics import percentage
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import transform_points
from itk_nephi.visualization import plots, slices
from itk_nephi.visualization.pages import render
from itk_nephi.visualization.palette import DISTANCE, VOLUME
from itk_nephi.visualization.planes import Plane


@dataclass(frozen=True, kw_only=True)
class MethodResult:
    """What a method made of an image pair.

    Parameters
    ----------
    name : str
        What the report calls it.
    warped : itk.Image
        The moving image on the fixed grid.
    evaluation : Evaluation
        How good ``fixed_to_moving`` is.
    fixed_to_moving : itk.Transform
        Maps points of fixed to moving space.
    moving_to_fixed : itk.Transform, optional
        Its approximate inverse.
    determinants : itk.Image, optional
        Jacobian determinants of ``fixed_to_moving`` on the fixed grid.
    """

    name: str
    warped: Any
    evaluation: Evaluation
    fixed_to_moving: Any
    moving_to_fixed: Any = None
    determinants: Any = None


def render_report(
    pair: ImagePair,
    outcomes: Sequence[MethodResult],
    before: MethodResult,
    record: dict[str, Any],
    *,
    as_stored: Evaluation | None = None,
    history: Sequence[plots.Progress] = (),
    comparison: dict[str, Any] | None = None,
) -> str:
    """Return a page that shows how a registration went.

    Parameters
    ----------
    pair : ImagePair
        What was registered.
    outcomes : sequence of MethodResult
        The first one is what the page is about; it can be looked at beside the others.
    before : MethodResult
        What it was before: the initial transform alone.
    record : dict
        What metrics.json holds beside the evaluations: settings, files, time.
    as_stored : Evaluation, optional
        Of the identity, if that is not ``before``.
    history : sequence of Progress
        The losses of each step.
    comparison : dict, optional
        What comparison.json holds.

    Returns
    -------
    str
        HTML that needs nothing else: no file, no network.
    """
    first = outcomes[0]
    evaluations = {} if as_stored is None else {"as stored": as_stored}
    evaluations |= {outcome.name: outcome.evaluation for outcome in (before, *outcomes)}
    errors = {
        name: evaluation.landmark_errors_mm
        for name, evaluation in evaluations.items()
        if evaluation.landmark_errors_mm is not None
    }
    rows = (comparison or {}).get("methods", [])
    return render(
        "report.html",
        fixed_name=_file_name(pair, "fixed"),
        moving_name=_file_name(pair, "moving"),
        first=first,
        before=before,
        viewer=_viewer(pair, outcomes, before),
        record=record,
        evaluations=evaluations,
        errors=errors,
        landmark_plot=plots.landmark_errors(errors, first.name) if errors else None,
        loss_plot=plots.losses(history) if history else None,
        methods=rows,
        method_plot=plots.methods(rows) if rows else None,
        settings=_flat(record.get("settings", {})),
        warnings=_warnings(record, before, first.evaluation),
    )


def _file_name(pair: ImagePair, image: str) -> str:
    return pair.sources[image].name if image in pair.sources else image


def _viewer(
    pair: ImagePair, outcomes: Sequence[MethodResult], before: MethodResult
) -> dict[str, Any]:
    """Return what the script of the page shows: the slices of each plane, and their legends."""
    first, shown = outcomes[0], [before, *outcomes]
    domain = ImageDomain.of(pair.fixed_image).canonical()
    planes = Plane.all_of(domain)
    mask = None if pair.fixed_mask is None else slices.ordered(pair.fixed_mask) != 0
    pixels = sum(len(plane.indices) * plane.size[0] * plane.size[1] for plane in planes)
    maps = [_Maps(plane, pixels, pair, shown) for plane in planes]
    grids = [slices.Grid(plane, first.fixed_to_moving, before.fixed_to_moving) for plane in planes]
    farthest = max(grid.largest for grid in grids)
    consistency = _limit([m.consistency for m in maps if m.consistency is not None])
    determinants = None if first.determinants is None else slices.ordered(first.determinants)
    volume = 0.0 if determinants is None else slices.volume_limit(determinants)

    images = [slices.ordered(image) for image in (pair.fixed_image, *(one.warped for one in shown))]
    moving = slices.window(slices.ordered(pair.moving_image))
    windows = [slices.window(images[0]), *[moving] * len(shown)]
    pictures: list[slices.Bytes] = []
    result: list[dict[str, Any]] = []
    for plane, map_, grid in zip(planes, maps, grids, strict=True):
        entries = []
        for number, index in enumerate(plane.indices):
            for image, window, outside in zip(images, windows, [None, *map_.outside], strict=True):
                cut = plane.cut(image, index)
                gray = slices.picture(plane, cut, window)
                if outside is not None and outside[number].any():
                    gray = slices.shaded(gray, slices.filled(cut, outside[number]))
                pictures.append(gray)
            outline = [] if mask is None else slices.outline(plane, plane.cut(mask, index))
            entry: dict[str, Any] = {
                "position": plane.position(index),
                "grid": grid.paths(number, farthest),
                "volume": None,
                "consistency": None,
                "folds": 0,
                "outline": "".join(map(slices.path, outline)),
                "landmarks": map_.landmarks(index),
            }
            if determinants is not None:
                cut = plane.cut(determinants, index)
                entry["folds"] = int((~(cut > 0)).sum())
                pictures.append(slices.volume_picture(plane, cut, volume))
            if map_.consistency is not None:
                colors = slices.colored(map_.consistency[number] / consistency, DISTANCE)
                entry["consistency"] = slices.exact(colors)
            entries.append(entry)
        result.append(
            {
                "name": plane.name,
                "extent": plane.extent,
                "size": plane.size,
                "letters": plane.letters,
                "bar": plane.scale_bar,
                "start": plane.start(mask),
                "slices": entries,
            }
        )
    addresses = iter(slices.encoded(pictures))
    for described in result:
        for entry in described["slices"]:
            entry["pictures"] = [next(addresses) for _ in images]
            if determinants is not None:
                entry["volume"] = next(addresses)
    return {
        "planes": result,
        "names": [one.name for one in shown],
        "shades": slices.shades(),
        "farthest": farthest,
        "consistency": consistency,
        "volume": float(np.exp(volume)),
        "has_volume": determinants is not None,
        "has_consistency": maps[0].consistency is not None,
        "has_outline": mask is not None,
        "has_landmarks": pair.evaluation_landmarks is not None
        and first.moving_to_fixed is not None,
        "bars": {"volume": slices.color_bar(VOLUME), "distance": slices.color_bar(DISTANCE)},
    }


class _Maps:
    """The transforms at coarse points of all slices of a plane, and at the landmarks."""

    def __init__(
        self, plane: Plane, pixels: int, pair: ImagePair, shown: Sequence[MethodResult]
    ) -> None:
        first = shown[1]
        sampling = slices.SliceSampling(plane, pixels)
        points = sampling.points()
        moving_domain = ImageDomain.of(pair.moving_image)
        moved = [transform_points(one.fixed_to_moving, points) for one in shown]
        self.outside = [sampling.slices(~moving_domain.contains(mapped)) for mapped in moved]
        self.consistency: npt.NDArray[Any] | None = None
        self._plane = plane
        self._fixed = self._back = np.empty((0, pair.dimension))
        if first.moving_to_fixed is not None:
            back = transform_points(first.moving_to_fixed, moved[1])
            self.consistency = sampling.slices(np.linalg.norm(back - points, axis=1))
            if pair.evaluation_landmarks is not None:
                self._fixed, moving = pair.evaluation_landmarks
                self._back = transform_points(first.moving_to_fixed, moving)

    def landmarks(self, index: int) -> str:
        """Return the marks of the landmarks to which a slice is the closest."""
        plane = self._plane
        near = np.ones(len(self._fixed), bool)
        if plane.across is not None:
            position = plane.domain.index_from_points(self._fixed)[:, plane.across]
            indices = np.array(plane.indices)
            near = indices[np.abs(position[:, None] - indices).argmin(axis=1)] == index
        return slices.marks(plane.project(self._fixed[near]), plane.project(self._back[near]))


def _limit(parts: Sequence[npt.NDArray[Any]]) -> float:
    """Return what nearly all values are below, more than 0."""
    values = np.concatenate([part.ravel() for part in parts] or [np.zeros(1)])
    return max(float(np.percentile(values, 99)), 1e-30)


def _warnings(record: dict[str, Any], before: MethodResult, now: Evaluation) -> list[str]:
    """Return what a reader should not overlook."""
    found = []
    if record.get("interrupted"):
        found.append(f"The registration was interrupted after step {record['steps']}.")
    if now.folding_fraction:
        folding = percentage(now.folding_fraction)
        found.append(f"The transform folds in {folding} of the {now.region}.")
    errors, earlier = now.landmark_error_mm, before.evaluation.landmark_error_mm
    if errors and earlier and errors.mean > earlier.mean:
        found.append(f"Landmarks are farther apart than before: {before.name}.")
    if now.ncc < before.evaluation.ncc:
        found.append(f"The images are less alike than before: {before.name}.")
    return found


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings as one level of text."""
    result: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            result |= _flat(value, f"{prefix}{name}.")
        else:
            listed = isinstance(value, (list, tuple))
            result[prefix + name] = ", ".join(map(str, value)) if listed else str(value)
    return result
