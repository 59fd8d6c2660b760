"""The registration problem: all that an optimization needs beside where it starts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import zip_longest

import numpy as np
import numpy.typing as npt
import torch

from itk_nephi.fields.sampled_image import SampledTransform
from itk_nephi.fields.sampled_transforms import inverse_transforms, sample_transform
from itk_nephi.fields.settings import spline_numbers
from itk_nephi.losses.objective import LandmarkPairs
from itk_nephi.models.nephi import ModelSettings
from itk_nephi.registration.alignment_refinement import refine_alignment
from itk_nephi.registration.checks import (
    check_channels,
    checked_images,
    checked_initial_transform,
    image_names,
    landmark_pairs,
)
from itk_nephi.registration.inputs import MOVING
from itk_nephi.registration.lattice_objective import LatticeObjective
from itk_nephi.registration.memory_plan import planned_chunk
from itk_nephi.registration.pair_objective import PairObjective
from itk_nephi.registration.sampler import PairSampler
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Image, ImageDomain, Transform
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.initialization import ALIGNMENTS
from itk_nephi.spatial.intensities import OUTLYING, IntensityRange
from itk_nephi.spatial.preparation import checked_mask, intensity_range, mask_inside
from itk_nephi.spatial.transforms import compose

logger = logging.getLogger(__name__)

SPLINE_NUMBERS = 12_000_000
"""The most numbers in B-splines: a transform holds 2^24, its networks' and codes' among them."""

WIDEST = 4.0
"""By how much all cells of B-splines are larger, at most, so that there are no more numbers."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RegistrationProblem:
    """The registration of a fixed image to one moving image, or to one at each of several times.

    Parameters
    ----------
    pairs : tuple of ImagePair
        One per time, all of the same fixed images: checked, of float, in canonical order, with no
        more voxels than ``settings.working_voxels``.
    grid : ImageDomain
        The voxels of the fixed image as it was given.
    domain : ImageDomain
        Where the fields live: the canonical grid of the fixed image, or the model's box.
    samplers : tuple of PairSampler
        One per time.
    initial_transform : itk.Transform
        From fixed to moving space, applied after the field, at all times.
    inverse_initial : tuple of itk.Transform
        Its inverse, first to last.
    sampled_initial : SampledTransform
        The initial transform as torch follows it from the points of ``domain``.
    settings : RegistrationSettings
        How to register, with as many points as suit the images.
    device : torch.device
        Where to compute.
    names : tuple of str
        The user's words for the moving images.
    chunk : int or None
        How many points are evaluated together, by the memory plan; all if None.
    findings : tuple of str
        What to warn of.
    """

    pairs: tuple[ImagePair, ...]
    grid: ImageDomain
    domain: ImageDomain
    samplers: tuple[PairSampler, ...]
    initial_transform: Transform
    inverse_initial: tuple[Transform, ...]
    sampled_initial: SampledTransform
    settings: RegistrationSettings
    device: torch.device
    names: tuple[str, ...]
    chunk: int | None = None
    findings: tuple[str, ...] = ()

    @classmethod
    def prepare(
        cls,
        pairs: Sequence[ImagePair],
        settings: RegistrationSettings,
        device: torch.device,
        *,
        model: ModelSettings | None = None,
        inverse_initial: Sequence[Transform] | None = None,
        names: Sequence[tuple[str, str]] = (MOVING,),
    ) -> RegistrationProblem:
        """Check pairs, and make ready what their registration needs.

        Parameters
        ----------
        pairs : sequence of ImagePair
            One per time; the first one's fixed images, mask, weights and initial transform serve
            all.
        settings : RegistrationSettings
            How to register.
        device : torch.device
            Where to compute.
        model : ModelSettings, optional
            Whose box around the fixed image the fields live on; its grid when left out.
        inverse_initial : sequence of itk.Transform, optional
            The inverse of the initial transform, first to last; computed when left out.
        names : sequence of (str, str)
            The user's words for the moving image and its mask, of each pair.

        Raises
        ------
        TypeError, ValueError
            If something is not what it should be.
        """
        grid = ImageDomain.of(pairs[0].fixed_image)
        pairs = _working_pairs(pairs, names, settings)
        first = pairs[0]
        domain, finding = grid.canonical(), None
        if model is not None:
            domain, finding = model.fit_box(first.fixed_image, first.fixed_mask)
        settings = with_fitting_splines(settings, domain, pairs)
        initial_transform, doubt = checked_initial_transform(first)
        kind = first.initial_transform
        if model is None and settings.similarity == "windowed_ncc" and kind in ALIGNMENTS:
            samplers = _samplers(pairs, domain, initial_transform, device)
            initial_transform = refine_alignment(initial_transform, kind, samplers, settings)
        if inverse_initial is None:
            moving_grid = ImageDomain.of(first.moving_image)
            inverse_initial = inverse_transforms(initial_transform, grid.canonical(), moving_grid)
        landmarks: list[LandmarkPairs | None] = [None] * len(pairs)
        if settings.landmark_weight > 0:
            moving_to_fixed = compose(inverse_initial)
            scale = settings.landmark_scale * grid.voxel_size
            landmarks = [
                pair.guide_landmarks
                and landmark_pairs(pair.guide_landmarks, domain, moving_to_fixed, scale, device)
                for pair in pairs
            ]
        samplers = _samplers(pairs, domain, initial_transform, device, landmarks)
        return cls(
            pairs=pairs,
            grid=grid,
            domain=domain,
            samplers=samplers,
            initial_transform=initial_transform,
            inverse_initial=tuple(inverse_initial),
            sampled_initial=sample_transform(initial_transform, domain),
            settings=settings.for_image(
                min(each.compared_voxels for each in samplers),
                2 / samplers[0].voxel_coords,
            ),
            device=device,
            names=tuple(name for name, _ in names),
            chunk=planned_chunk(pairs, settings, device),
            findings=tuple(filter(None, (doubt, finding))),
        )

    @property
    def spline_cells(self) -> tuple[tuple[int, ...], ...]:
        """The cells of each B-spline of the fields along each axis, i first."""
        voxel = self.samplers[0].voxel_coords
        return self.settings.field.spline_cells(self.domain.bounds, voxel)

    def objectives(self, level: int) -> list[PairObjective] | list[LatticeObjective]:
        """Return the objective of each pair at a level, counted from 1, coarse to fine."""
        settings = self.settings
        sigma = settings.smoothing_sigmas[level - 1]
        if settings.similarity == "windowed_ncc":
            learns = settings.network_learning_rate > 0 or settings.code_learning_rate > 0
            return [
                LatticeObjective.prepare(
                    sampler,
                    sigma,
                    settings,
                    trains_network=(level == 1 and learns) or not settings.field.spline_spacings,
                )
                for sampler in self.samplers
            ]
        similarity = settings.compared(self.samplers[0].voxel_size)
        return [
            PairObjective.prepare(sampler, similarity, sigma, settings, self.chunk)
            for sampler in self.samplers
        ]


def with_fitting_splines(
    settings: RegistrationSettings, domain: ImageDomain, pairs: Sequence[ImagePair]
) -> RegistrationSettings:
    """Return settings of which all B-splines have larger cells where there were too many numbers.

    Raises
    ------
    ValueError
        If there are too many even then, or no transform could hold the field.
    """
    first, given = pairs[0], settings.field.spline_spacings
    sizes = [ImageDomain.of(each).voxel_size for each in (first.fixed_image, first.moving_image)]
    factor, field = 1.0, settings.field
    while True:
        cells = field.spline_cells(domain.bounds, max(sizes) / domain.scale)
        if spline_numbers(cells) <= SPLINE_NUMBERS:
            break
        factor *= 1.01
        if factor > WIDEST:
            raise ValueError(
                f"expected larger spline_spacings or smaller working_voxels, for at most "
                f"{SPLINE_NUMBERS} numbers in the B-splines, got {given} voxels and "
                f"{settings.working_voxels}: even {WIDEST:g} times as large cells are too many"
            )
        field = replace(field, spline_spacings=tuple(factor * each for each in given))
    field.check_transform(domain.bounds, cells)
    if factor == 1:
        return settings
    logger.info("cells of B-splines are %.2f times as large as spline_spacings, to fit", factor)
    return replace(settings, field=field)


def _samplers(
    pairs: Sequence[ImagePair],
    domain: ImageDomain,
    initial_transform: Transform,
    device: torch.device,
    landmarks: Sequence[LandmarkPairs | None] = (),
) -> tuple[PairSampler, ...]:
    """Return what samples each pair."""
    sampled_initial = sample_transform(initial_transform, domain)
    return tuple(
        PairSampler(
            pair,
            initial_transform=sampled_initial,
            device=device,
            guide_landmarks=guiding,
            domain=domain,
        )
        for pair, guiding in zip_longest(pairs, landmarks)
    )


def _working_pairs(
    pairs: Sequence[ImagePair], names: Sequence[tuple[str, str]], settings: RegistrationSettings
) -> tuple[ImagePair, ...]:
    """Return pairs checked, in canonical order and averaged where they have more voxels.

    Where both images of a pair have a mask, what lies outside is replaced; where one has, windows
    around its border have to see the same in both, and only what is far from the intensities inside
    or not finite is replaced. Extreme intensities are scaled, those of fixed and moving images
    alike where a similarity compares them as they are.
    """
    first, voxels = pairs[0], settings.working_voxels
    check_channels(first.fixed, "fixed")
    for pair, (name, _) in zip(pairs, names, strict=True):
        check_channels(pair.moving, name)
    fixed_mask, fixed_inside = _checked_mask(
        first.fixed_mask, "fixed_mask", first.fixed_image, "fixed", voxels
    )
    masks = [
        _checked_mask(pair.moving_mask, mask_name, pair.moving_image, name, voxels)
        for pair, (name, mask_name) in zip(pairs, names, strict=True)
    ]
    if any(inside is None for _, inside in masks):
        fixed_inside = _near_or_inside(first.fixed, fixed_inside)
    subjects = [(first.fixed, "fixed", fixed_inside)]
    for pair, (name, _), (_, inside) in zip(pairs, names, masks, strict=True):
        known = inside if first.fixed_mask is not None else _near_or_inside(pair.moving, inside)
        subjects.append((pair.moving, name, known))
    ranges = [
        [
            intensity_range(image, word, inside)
            for image, word in zip(images, image_names(images, name), strict=True)
        ]
        for images, name, inside in subjects
    ]
    if settings.compares_intensities:
        common = [reduce(IntensityRange.joined, channel) for channel in zip(*ranges, strict=True)]
        ranges = [common] * len(subjects)
    fixed, *moving = (
        checked_images(images, name, voxels, inside, found)
        for (images, name, inside), found in zip(subjects, ranges, strict=True)
    )
    return tuple(
        replace(
            pair,
            fixed=fixed,
            moving=images,
            channel_weights=first.channel_weights,
            fixed_mask=fixed_mask,
            moving_mask=mask,
        )
        for pair, images, (mask, _) in zip(pairs, moving, masks, strict=True)
    )


def _near_or_inside(
    images: Sequence[Image], inside: npt.NDArray[np.bool_] | None
) -> npt.NDArray[np.bool_] | None:
    """Return where images are like in their mask, or in it; None if everywhere or without one."""
    if inside is None:
        return None
    near = np.ones_like(inside)
    for image in images:
        values = itk.array_view_from_image(image)
        low, high = float(values[inside].min()), float(values[inside].max())
        reach = OUTLYING * (high - low)
        near &= (values >= low - reach) & (values <= high + reach)  # and no NaN
    known = near | inside
    return None if known.all() else known


def _checked_mask(
    mask: Image | None, name: str, image: Image, image_name: str, voxels: float
) -> tuple[Image | None, npt.NDArray[np.bool_] | None]:
    """Return a mask as the registration takes it, and where it is non-zero in its own order."""
    if mask is None:
        return None, None
    return checked_mask(mask, name, image, image_name, voxels), mask_inside(mask, name)
