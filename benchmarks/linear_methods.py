"""Linear alignment by NePhi and its peers, each a function of images, masks and a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import itk
import numpy as np

from itk_nephi.alignment import compute_initial_transform
from itk_nephi.io.transforms import read_transform
from itk_nephi.spatial.domain import Array, ImageDomain, image_from_array
from itk_nephi.spatial.initialization import TRANSLATIONS, compute_translation

LinearMethod = Callable[..., Any]
"""Takes the fixed and the moving image, their masks or None, and a folder for files; returns the
transform from fixed to moving points."""

COARSE_VOXELS = 48
MINIMUM_OVERLAP = 0.2


def nephi(fixed: Any, moving: Any, fixed_mask: Any, moving_mask: Any, _: Path) -> Any:
    """Align with the package, as its registrations start."""
    return compute_initial_transform("affine", fixed, moving, fixed_mask, moving_mask)


def itk_affine(fixed: Any, moving: Any, fixed_mask: Any, moving_mask: Any, _: Path) -> Any:
    """Run ITK's affine registration by mutual information from the best of three translations.

    Images are smoothed and shrunk to ``COARSE_VOXELS`` along each axis. Masks choose the start; the
    optimizer follows the fixed one, as a moving one takes it ten times as long.
    """
    coarse = [_shrunk(image) for image in (fixed, moving)]
    masks = [None if mask is None else _spatial_object(mask) for mask in (fixed_mask, moving_mask)]
    best, best_value = None, np.inf
    for kind in TRANSLATIONS:
        offset = np.array(
            compute_translation(kind, fixed, moving, fixed_mask, moving_mask).GetOffset()
        )
        if _overlap(fixed, moving, offset) < MINIMUM_OVERLAP:
            continue
        start = itk.AffineTransform[itk.D, len(offset)].New()
        start.SetCenter(ImageDomain.of(fixed).center)
        start.SetTranslation(offset.tolist())
        value = _mutual_information(start, coarse, masks)
        if best is None or value < best_value:
            best, best_value = start, value
    if best is None:
        raise RuntimeError("no translation makes the images overlap")
    metric = _metric(coarse, [masks[0], None])
    scales = itk.RegistrationParameterScalesFromPhysicalShift[type(metric)].New(metric=metric)
    optimizer = itk.RegularStepGradientDescentOptimizerv4[itk.D].New(
        scales_estimator=scales,
        learning_rate=1.0,
        minimum_step_length=1e-2,
        number_of_iterations=100,
        return_best_parameters_and_value=True,
    )
    method = itk.ImageRegistrationMethodv4[type(coarse[0]), type(coarse[1])].New(
        fixed_image=coarse[0],
        moving_image=coarse[1],
        metric=metric,
        optimizer=optimizer,
        initial_transform=best,
        number_of_levels=2,
        shrink_factors_per_level=[2, 1],
        smoothing_sigmas_per_level=[1, 0],
        in_place=True,
    )
    method.Update()
    return best


def greedy(
    fixed: Any, moving: Any, fixed_mask: Any, moving_mask: Any, folder: Path, *, options: str
) -> Any:
    """Run greedy's affine registration with local correlation, and its options for the start."""
    import picsl_greedy

    dimension = fixed.GetImageDimension()
    program = {2: picsl_greedy.Greedy2D, 3: picsl_greedy.Greedy3D}[dimension]()
    written = ""
    for option, image in (("-gm", fixed_mask), ("-mm", moving_mask), ("-i", fixed), ("", moving)):
        if image is not None:
            path = folder / f"image-{len(written.split())}.nii.gz"
            itk.imwrite(image, path)
            written += f"{option} {path} "
    found = folder / "found.mat"
    windows = "x".join(["2"] * dimension)
    program.execute(
        f"-d {dimension} -a -dof 12 {written} {options} -seed 1 "
        f"-m NCC {windows} -n 100x50x10 -threads 1 -o {found}"
    )
    matrix = np.loadtxt(found)
    flip = np.diag([*[-1.0, -1.0, 1.0][:dimension], 1.0])  # NIfTI's axes
    both = flip @ matrix @ flip
    transform = itk.AffineTransform[itk.D, dimension].New()
    transform.SetMatrix(itk.matrix_from_array(both[:-1, :-1].copy()))
    transform.SetTranslation(both[:-1, -1].tolist())
    return transform


def ants(fixed: Any, moving: Any, fixed_mask: Any, moving_mask: Any, folder: Path) -> Any:
    """Run ANTsPy's affine registration with its defaults, which bring centroids together first."""
    import ants as ants_module

    images = [
        None
        if image is None
        else ants_module.from_numpy(
            np.asarray(image).T.astype(np.float32),
            origin=tuple(image.GetOrigin()),
            spacing=tuple(image.GetSpacing()),
            direction=itk.array_from_matrix(image.GetDirection()),
        )
        for image in (fixed, moving, fixed_mask, moving_mask)
    ]
    result = ants_module.registration(
        images[0],
        images[1],
        type_of_transform="Affine",
        mask=images[2],
        moving_mask=images[3],
        outprefix=str(folder / "ants-"),
        random_seed=1,
    )
    return read_transform(Path(result["fwdtransforms"][0]), "ants", fixed.GetImageDimension())


LINEAR_METHODS: dict[str, LinearMethod] = {
    "NePhi": nephi,
    "ITK": itk_affine,
    "greedy, centers": partial(greedy, options="-ia-image-centers"),
    "greedy, 200 random starts": partial(greedy, options="-ia-image-centers -search 200 any 20"),
    "ANTs": ants,
}


def _shrunk(image: Any) -> Any:
    factors = [max(1, -(-n // COARSE_VOXELS)) for n in ImageDomain.of(image).size]
    smooth = itk.discrete_gaussian_image_filter(
        image,
        variance=[(0.5 * factor) ** 2 if factor > 1 else 0.0 for factor in factors],
        use_image_spacing=False,
    )
    return itk.shrink_image_filter(smooth, shrink_factors=factors)


def _spatial_object(mask: Any) -> Any:
    """Return where a mask is non-zero, a thousandth of a voxel aside from the faces of voxels."""
    domain = ImageDomain.of(mask)
    origin = domain.points_from_index([1e-3] * domain.dimension)
    inside = (itk.array_view_from_image(mask) != 0).astype(np.uint8)
    spatial_object = itk.ImageMaskSpatialObject[domain.dimension].New()
    spatial_object.SetImage(
        image_from_array(inside, replace(domain, origin=tuple(origin.tolist())))
    )
    spatial_object.Update()
    return spatial_object


def _overlap(fixed: Any, moving: Any, offset: Array) -> float:
    """Return which share of a lattice over either domain lies in the other after a shift."""
    domains = [ImageDomain.of(image) for image in (fixed, moving)]
    shares = []
    for (one, other), shift in zip((domains, domains[::-1]), (offset, -offset), strict=True):
        corners = np.array(list(product(np.linspace(-1, 1, 9), repeat=one.dimension)))
        points = one.points_from_coords(corners * np.array(one.bounds)) + shift
        inside = np.abs(other.coords_from_points(points)) <= np.array(other.bounds)
        shares.append(float(inside.all(axis=1).mean()))
    return max(shares)


def _metric(images: list[Any], masks: list[Any]) -> Any:
    metric = itk.MattesMutualInformationImageToImageMetricv4[type(images[0]), type(images[0])].New()
    metric.SetNumberOfHistogramBins(32)
    metric.SetMaximumNumberOfWorkUnits(1)
    if masks[0] is not None:
        metric.SetFixedImageMask(masks[0])
    if masks[1] is not None:
        metric.SetMovingImageMask(masks[1])
    return metric


def _mutual_information(transform: Any, images: list[Any], masks: list[Any]) -> float:
    """Return the negative mutual information, infinite without common points."""
    metric = _metric(images, masks)
    metric.SetFixedImage(images[0])
    metric.SetMovingImage(images[1])
    metric.SetVirtualDomainFromImage(images[0])
    metric.SetMovingTransform(transform)
    try:
        metric.Initialize()
        return float(metric.GetValue())
    except RuntimeError:
        return np.inf
