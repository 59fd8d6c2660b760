"""evaluate(): every measure of a transform of an image pair, whatever made it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from itk_nephi.evaluation import metrics
from itk_nephi.evaluation.statistics import Statistics
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Array, Image, ImageDomain, Transform
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.intensities import spread_numbers
from itk_nephi.spatial.maps import at_points
from itk_nephi.spatial.preparation import check_grid, mask_inside
from itk_nephi.spatial.resampling import sample_image, sample_inside
from itk_nephi.spatial.transforms import transform_points

MAX_POINTS = 50_000
"""Voxels at which similarity and inverse consistency are measured, where the region has more."""


@dataclass(frozen=True, kw_only=True)
class DeterminantGrid:
    """Where Jacobian determinants were computed.

    Parameters
    ----------
    size : tuple of int
        Points along each axis, from the first to the last voxel center.
    spacing_mm : tuple of float
        Distances between them, mm.
    points : int
        How many of them lie in the region.
    """

    size: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    points: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """The evaluation of a transform of an image pair: Jacobian, similarity, errors, overlap.

    Parameters
    ----------
    region : {"fixed image", "fixed mask"}
        Where folding, SD of the log Jacobian, NCC and inverse consistency are measured: in the
        fixed mask (where it is non-zero), or in the whole fixed image if there is none.
    voxels : int
        Voxels of the region.
    folding_fraction : float
        Fraction of the region, in [0, 1], where the Jacobian determinant is not positive.
    log_jacobian_sd : float
        Standard deviation of the logarithm of the Jacobian determinant where the transform does
        not fold, dimensionless.
    ncc : float
        Normalized cross correlation of the first images where they and their masks overlap, in
        [-1, 1], whatever lies outside the masks; NaN where nothing does.
    inverse_consistency_error_mm : Statistics, optional
        Distances of points from their images under both transforms, mm, if there is an inverse.
    landmark_error_mm : Statistics, optional
        Of ``landmark_errors_mm``.
    landmark_errors_mm : array, shape (N,), optional
        Distances in moving space between mapped fixed and moving evaluation landmarks, mm.
    dice : mapping of int to float, optional
        Overlap of each label, in [0, 1].
    determinant_grid : DeterminantGrid, optional
        From where ``folding_fraction`` and ``log_jacobian_sd`` are, if not from every voxel of the
        region.
    """

    region: str
    voxels: int
    folding_fraction: float
    log_jacobian_sd: float
    ncc: float
    inverse_consistency_error_mm: Statistics | None = None
    landmark_error_mm: Statistics | None = None
    landmark_errors_mm: Array | None = None
    dice: Mapping[int, float] | None = None
    determinant_grid: DeterminantGrid | None = None

    @property
    def mean_dice(self) -> float | None:
        """Dice averaged over the labels, if there are any."""
        return float(np.mean(list(self.dice.values()))) if self.dice else None

    def to_json(self) -> dict[str, Any]:
        """Return what JSON can hold, by the same words: labels as strings, null for NaN.

        What was not measured is absent.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: _to_json(value) for name, value in values.items() if value is not None}


def _to_json(value: Any) -> Any:
    if isinstance(value, (Statistics, DeterminantGrid)):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _to_json(entry) for key, entry in value.items()}
    if isinstance(value, (np.ndarray, tuple)):
        return [_to_json(entry) for entry in np.asarray(value).tolist()]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True, kw_only=True)
class MeanEvaluation:
    """Evaluations of several pairs, averaged.

    Parameters
    ----------
    folding_fraction, log_jacobian_sd, ncc : float
        As in :class:`Evaluation`.
    dice : float or None
        Averaged over the labels of a pair, then over the pairs that have labels.
    landmark_error_mm : float or None
        The mean of a pair, averaged over the pairs that have landmarks, mm.
    """

    folding_fraction: float
    log_jacobian_sd: float
    ncc: float
    dice: float | None
    landmark_error_mm: float | None

    @classmethod
    def of(cls, evaluations: Iterable[Evaluation]) -> MeanEvaluation:
        """Average evaluations, at least one."""
        pairs = list(evaluations)
        overlaps = [pair.mean_dice for pair in pairs if pair.mean_dice is not None]
        errors = [pair.landmark_error_mm.mean for pair in pairs if pair.landmark_error_mm]
        return cls(
            folding_fraction=float(np.mean([pair.folding_fraction for pair in pairs])),
            log_jacobian_sd=float(np.mean([pair.log_jacobian_sd for pair in pairs])),
            ncc=float(np.mean([pair.ncc for pair in pairs])),
            dice=float(np.mean(overlaps)) if overlaps else None,
            landmark_error_mm=float(np.mean(errors)) if errors else None,
        )

    @property
    def merit(self) -> float:
        """What the best model has most of: overlap, or else closeness of landmarks, or else NCC."""
        if self.dice is not None:
            return self.dice
        return self.ncc if self.landmark_error_mm is None else -self.landmark_error_mm


def evaluate(
    pair: ImagePair,
    fixed_to_moving: Transform,
    moving_to_fixed: Transform | None = None,
    *,
    determinants: Image | None = None,
    refinement: int = 1,
) -> Evaluation:
    """Evaluate a transform of an image pair.

    Folding and the SD of the log Jacobian are measured at every voxel of the fixed mask, or of the
    fixed image if it has no mask; where these are more than ``MAX_DETERMINANTS`` of
    :mod:`itk_nephi.evaluation.metrics`, at about so many points of a coarser grid. NCC and inverse
    consistency are measured at no more than ``MAX_POINTS`` of the voxels, spread over the region
    and always the same.

    Parameters
    ----------
    pair : ImagePair
        The images, and the landmarks and labels that judge if there are any.
    fixed_to_moving : itk.Transform
        From points of fixed to points of moving space.
    moving_to_fixed : itk.Transform, optional
        Its approximate inverse, to measure inverse consistency.
    determinants : itk.Image, optional
        :func:`itk_nephi.evaluation.jacobian_determinant_image` of ``fixed_to_moving`` on the grid
        of the fixed image, or
        :func:`itk_nephi.evaluation.metrics.sampled_determinant_image`, where it is known already.
    refinement : int
        Into how many parts each voxel is divided along each axis to measure folding and the SD of
        the log Jacobian at the center of each, however many these are; 2 also sees folds between
        voxel centers.

    Raises
    ------
    ValueError
        If a mask is empty or lies on another grid than its image, or ``determinants`` on another
        than the fixed image; if ``refinement`` is below 1, or above it with ``determinants``.
    """
    if refinement < 1 or (refinement > 1 and determinants is not None):
        most = "" if determinants is None else ", and 1 with determinants"
        raise ValueError(f"expected refinement of at least 1{most}, got {refinement}")
    domain = ImageDomain.of(pair.fixed_image)
    inside = _inside(pair.fixed_mask, "fixed_mask", pair.fixed_image, "fixed")
    count = math.prod(domain.size) if inside is None else int(inside.sum())
    grid = domain if refinement > 1 else metrics.determinant_grid(domain, count)
    if determinants is not None and not ImageDomain.of(determinants).matches(grid):
        grid = check_grid(determinants, "determinants", pair.fixed_image, "fixed")
    compared = None if inside is None else at_points(inside, domain, grid)
    if determinants is None:
        parts = metrics.jacobian_determinants(
            fixed_to_moving, grid, compared, refinement=refinement
        )
    else:
        parts = metrics.masked_parts("determinants", determinants, compared)
    folding_fraction, log_jacobian_sd = metrics.volume_change(parts)
    voxels = _some_voxels(domain, inside)
    points = domain.voxel_points(voxels)
    moved = transform_points(fixed_to_moving, points)
    in_moving = _inside(pair.moving_mask, "moving_mask", pair.moving_image, "moving")
    if in_moving is None:
        moving_values = sample_image(pair.moving_image, moved)
    else:
        moving_values = sample_inside(pair.moving_image, in_moving, moved)
    fixed_values = itk.array_view_from_image(pair.fixed_image).reshape(-1)[voxels]
    consistency = errors = overlaps = None
    if moving_to_fixed is not None:
        consistency = Statistics.of(metrics.landmark_errors(moving_to_fixed, moved, points))
    if pair.evaluation_landmarks is not None:
        errors = metrics.landmark_errors(fixed_to_moving, *pair.evaluation_landmarks)
    if pair.labels is not None:
        overlaps = metrics.dice(*pair.labels, fixed_to_moving)
    return Evaluation(
        region="fixed image" if inside is None else "fixed mask",
        voxels=count,
        folding_fraction=folding_fraction,
        log_jacobian_sd=log_jacobian_sd,
        ncc=_correlation(fixed_values, moving_values),
        inverse_consistency_error_mm=consistency,
        landmark_error_mm=None if errors is None else Statistics.of(errors),
        landmark_errors_mm=errors,
        dice=overlaps,
        determinant_grid=None if grid.size == domain.size else _described(grid, compared),
    )


def _described(grid: ImageDomain, compared: npt.NDArray[np.bool_] | None) -> DeterminantGrid:
    points = math.prod(grid.size) if compared is None else int(compared.sum())
    return DeterminantGrid(size=grid.size, spacing_mm=grid.spacing, points=points)


def _inside(
    mask: Image | None, name: str, image: Image, image_name: str
) -> npt.NDArray[np.bool_] | None:
    """Return whether each voxel, shape (k, j, i), is in the mask of its image; None without one."""
    if mask is None:
        return None
    check_grid(mask, name, image, image_name)
    return mask_inside(mask, name)


def _some_voxels(domain: ImageDomain, inside: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.int_]:
    """Return the numbers of the voxels of a region, or of some spread over it."""
    count = math.prod(domain.size) if inside is None else int(inside.sum())
    chosen = spread_numbers(count, MAX_POINTS)
    return chosen if inside is None else _numbers_inside(inside, chosen)


def _numbers_inside(
    inside: npt.NDArray[np.bool_], chosen: npt.NDArray[np.int_]
) -> npt.NDArray[np.int_]:
    """Return the numbers of voxels of a region, given which ones of it, rising; by slices."""
    found, before = [], 0
    for number, plane in enumerate(inside):
        region = np.flatnonzero(plane)
        first, last = np.searchsorted(chosen, [before, before + len(region)])
        found.append(region[chosen[first:last] - before] + number * plane.size)
        before += len(region)
    return np.concatenate(found)


def _correlation(fixed: npt.NDArray[Any], warped: Array) -> float:
    overlap = ~np.isnan(warped)
    if not overlap.any():
        return math.nan
    return metrics.normalized_cross_correlation(fixed[overlap], warped[overlap])
