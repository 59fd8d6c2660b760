"""The initial transform: identity, centers, moments, or an affine registration."""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Array, ImageDomain, image_from_array

logger = logging.getLogger(__name__)

KINDS = ("identity", "geometry", "moments", "affine")

COARSE_VOXELS = 48

MINIMUM_OVERLAP = 0.2


def compute_initial_transform(
    kind: str, fixed: Any, moving: Any, fixed_mask: Any = None, moving_mask: Any = None
) -> Any:
    """Compute an initial transform of one of the usual kinds.

    Parameters
    ----------
    kind : str
        ``"identity"``; ``"geometry"``, which brings the images' centers together; ``"moments"``,
        which brings the centroids together, of the masks where both are given, else of the
        intensities; or ``"affine"``, which takes the best of these three as the start of an affine
        registration by mutual information.
    fixed, moving : itk.Image
        Scalar float images in 2 or 3 dimensions.
    fixed_mask, moving_mask : itk.Image, optional
        Non-zero inside. The affine registration chooses its start by both, and then follows the
        fixed mask.

    Returns
    -------
    itk.AffineTransform or itk.TranslationTransform
        From points of fixed space to points of moving space.

    Raises
    ------
    ValueError
        If the kind is unknown.
    """
    if kind not in KINDS:
        raise ValueError(
            f"expected initial_transform to be one of {', '.join(KINDS)}, got {kind!r}"
        )
    dimension = fixed.GetImageDimension()
    centers = {
        "identity": np.zeros(dimension),
        "geometry": ImageDomain.of(moving).center - ImageDomain.of(fixed).center,
        "moments": _centroid(moving, moving_mask if fixed_mask is not None else None)
        - _centroid(fixed, fixed_mask if moving_mask is not None else None),
    }
    if kind != "affine":
        return _translation(centers[kind])
    return _affine(np.array(list(centers.values())), fixed, moving, fixed_mask, moving_mask)


def _translation(offset: Array) -> Any:
    transform = itk.TranslationTransform[itk.D, len(offset)].New()
    transform.SetOffset([float(x) for x in offset])
    return transform


def _centroid(image: Any, mask: Any = None) -> Array:
    """Return the physical point around which a mask, or else the intensity, is balanced, mm."""
    values = itk.array_view_from_image(image if mask is None else mask).astype(np.float64)
    weights = values - values.min() if mask is None else (values != 0).astype(np.float64)
    axes = range(values.ndim)
    index = [
        np.average(np.arange(n), weights=weights.sum(tuple(a for a in axes if a != axis)))
        for axis, n in enumerate(values.shape)
    ]
    return ImageDomain.of(image).points_from_index(index[::-1])


def _affine(offsets: Array, fixed: Any, moving: Any, fixed_mask: Any, moving_mask: Any) -> Any:
    # ITK's steps depend on the axes of space: those of the fixed image make the result turn with it
    axes = np.array(ImageDomain.of(fixed).canonical().direction)
    fixed, moving = (_turned(image, axes.T) for image in (fixed, moving))
    images = [_coarse(image) for image in (fixed, moving)]
    masks = [
        None if mask is None else _spatial_object(_turned(mask, axes.T))
        for mask in (fixed_mask, moving_mask)
    ]
    best, best_value = None, np.inf
    for offset in offsets @ axes:
        overlap = max(
            _overlap(ImageDomain.of(fixed), ImageDomain.of(moving), offset),
            _overlap(ImageDomain.of(moving), ImageDomain.of(fixed), -offset),
        )
        start = itk.AffineTransform[itk.D, len(offset)].New()
        start.SetCenter(ImageDomain.of(fixed).center)
        start.SetTranslation([float(x) for x in offset])
        value = _value(start, images, masks) if overlap >= MINIMUM_OVERLAP else np.inf
        logger.debug(
            "offset %s mm: %.0f %% overlap, mutual information %.4f", offset, 100 * overlap, -value
        )
        if value < best_value:
            best, best_value = start, value
    if best is None:
        raise ValueError(
            "expected images and masks that overlap once their centers are brought together, got "
            "none that do; give an initial transform"
        )
    # ITK asks a moving mask about every point of every iteration, which takes ten times as long
    try:
        _optimize(best, images, [masks[0], None])
    except RuntimeError as error:
        raise RuntimeError(
            "the affine registration failed; give another initial transform, for instance moments"
        ) from error
    best.SetCenter((axes @ np.array(best.GetCenter())).tolist())
    best.SetMatrix(itk.matrix_from_array(axes @ itk.array_from_matrix(best.GetMatrix()) @ axes.T))
    best.SetTranslation((axes @ np.array(best.GetTranslation())).tolist())
    return best


def _turned(image: Any, rotation: Array) -> Any:
    """Return an image turned about the physical origin, its geometry rounded.

    The optimizer amplifies rounding errors, which a turn of space would leave behind.
    """
    domain = ImageDomain.of(image).turned(rotation)
    exact = replace(
        domain,
        origin=tuple(round(x, 6) for x in domain.origin),
        direction=tuple(tuple(round(x, 12) for x in row) for row in domain.direction),
    )
    return image_from_array(itk.array_view_from_image(image), exact)


def _overlap(one: ImageDomain, other: ImageDomain, offset: Array) -> float:
    """Return which share of a lattice over one domain lies in the other after a shift."""
    corners = np.array(list(product(np.linspace(-1, 1, 9), repeat=one.dimension)))
    points = one.points_from_coords(corners * np.array(one.bounds)) + offset
    inside = np.abs(other.coords_from_points(points)) <= np.array(other.bounds)
    return float(inside.all(axis=1).mean())


def _coarse(image: Any) -> Any:
    """Smooth and shrink an image to at most ``COARSE_VOXELS`` along each axis."""
    size = ImageDomain.of(image).size
    factors = [max(1, -(-n // COARSE_VOXELS)) for n in size]
    smooth = itk.discrete_gaussian_image_filter(
        image,
        variance=[(0.5 * factor) ** 2 if factor > 1 else 0.0 for factor in factors],
        use_image_spacing=False,
    )
    return itk.shrink_image_filter(smooth, shrink_factors=factors)


def _spatial_object(mask: Any) -> Any:
    """Return where a mask is non-zero as ITK's metric takes it, a thousandth of a voxel aside.

    Points of a shrunken image lie on the faces between voxels, where otherwise rounding errors
    would choose the side.
    """
    domain = ImageDomain.of(mask)
    origin = domain.points_from_index([1e-3] * domain.dimension)
    inside = (itk.array_view_from_image(mask) != 0).astype(np.uint8)
    spatial_object = itk.ImageMaskSpatialObject[domain.dimension].New()
    spatial_object.SetImage(
        image_from_array(inside, replace(domain, origin=tuple(origin.tolist())))
    )
    spatial_object.Update()
    return spatial_object


def _metric(images: list[Any], masks: list[Any]) -> Any:
    image_type = type(images[0])
    metric = itk.MattesMutualInformationImageToImageMetricv4[image_type, image_type].New()
    metric.SetNumberOfHistogramBins(32)
    # several threads add up in the order in which they finish: other bits at every run
    metric.SetMaximumNumberOfWorkUnits(1)
    if masks[0] is not None:
        metric.SetFixedImageMask(masks[0])
    if masks[1] is not None:
        metric.SetMovingImageMask(masks[1])
    return metric


def _value(transform: Any, images: list[Any], masks: list[Any]) -> float:
    """Return the negative mutual information under a transform, infinite without common points."""
    metric = _metric(images, masks)
    metric.SetFixedImage(images[0])
    metric.SetMovingImage(images[1])
    metric.SetVirtualDomainFromImage(images[0])
    metric.SetMovingTransform(transform)
    try:
        metric.Initialize()
        return float(metric.GetValue())
    except RuntimeError as error:
        logger.debug("no mutual information: %s", error)
        return np.inf


def _optimize(transform: Any, images: list[Any], masks: list[Any]) -> None:
    """Optimize an affine transform in place."""
    image_type = type(images[0])
    metric = _metric(images, masks)
    scales = itk.RegistrationParameterScalesFromPhysicalShift[type(metric)].New(metric=metric)
    optimizer = itk.RegularStepGradientDescentOptimizerv4[itk.D].New(
        scales_estimator=scales,
        learning_rate=1.0,
        minimum_step_length=1e-2,
        number_of_iterations=100,
        return_best_parameters_and_value=True,
    )
    method = itk.ImageRegistrationMethodv4[image_type, image_type].New(
        fixed_image=images[0],
        moving_image=images[1],
        metric=metric,
        optimizer=optimizer,
        initial_transform=transform,
        number_of_levels=2,
        shrink_factors_per_level=[2, 1],
        smoothing_sigmas_per_level=[1, 0],
        in_place=True,
    )
    method.Update()
