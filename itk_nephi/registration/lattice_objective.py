"""The objective of one pair at one resolution level, at all points of a lattice in every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import ClassVar

import torch
from torch import Tensor

from itk_nephi.fields.deformation import Deformation
from itk_nephi.fields.interpolation import sample_spline
from itk_nephi.fields.lattice import Lattice
from itk_nephi.fields.neural_field import DeformationField
from itk_nephi.fields.threads import torch_threads
from itk_nephi.losses.lattice import (
    Contrast,
    LatticeImages,
    composition_energy,
    local_dissimilarity,
    spline_diffusion,
)
from itk_nephi.losses.regularizers import latent_prior, lattice_diffusion
from itk_nephi.registration.sampler import PairSampler
from itk_nephi.registration.settings import RegistrationSettings, lattice_spacing

LEAST_CELL = 2.5
"""The smallest cell of a B-spline that a lattice determines where contrast is everywhere, in
distances of its points."""

LEVELS_AT_ONCE = 2
"""How many of the B-splines that a lattice determines are optimized on it, the finest ones."""

HALF_OF_VARIANCE = 0.5
"""The share of the images' variance within windows at which ``spline_weight`` counts as it is."""

MOST_SPARSE = 2.0
"""By how much cells are larger, at most, where few windows hold most of the contrast."""

STRIDE_POINTS = 200_000
"""A lattice of more points is looked at by every second one when maps are composed."""

OUTSIDE_STRIDE = 4
"""Outside masks, where maps are smooth, every so many points along each axis are looked at."""

NETWORK_POINTS = {True: 2, False: 4}
"""Where the network is evaluated, per vertex of its code's grid: while it learns, and afterwards;
in between its displacement is interpolated."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LatticeObjective:
    """The objective of a deformation of one pair at one resolution level.

    Parameters
    ----------
    sampler : PairSampler
        The images.
    lattice : Lattice
        Where they are compared.
    images : sequence of (LatticeImages, LatticeImages)
        Of each channel, on the way to the moving image and on the way back.
    floor : float
        Added to variances in windows, see :class:`itk_nephi.losses.lattice.Contrast`.
    spline_weight : float
        Of the diffusion energy of the B-splines that are optimized.
    outside : tuple of (Tensor, shape (k, j, i), or None)
        How little every fourth point along each axis is compared, from 0 to 1, for the fixed and
        the moving mask, where there is one: outside it, or in it without contrast.
    settings : RegistrationSettings
        The weights of the terms.
    splines : range
        Which of the fields' B-splines are optimized, by number; coarser ones are left as they are,
        finer ones are not looked at.
    trains_network : bool
        Whether the networks and the latent code are optimized.
    thin_axes : tuple of bool
        Along which axes nothing is optimized, see :meth:`PairSampler.thin_axes`.
    """

    sampler: PairSampler
    lattice: Lattice
    images: Sequence[tuple[LatticeImages, LatticeImages]]
    floor: float
    spline_weight: float
    outside: tuple[Tensor | None, ...]
    settings: RegistrationSettings
    splines: range
    trains_network: bool
    thin_axes: tuple[bool, ...]
    _displacements: dict[bool, Tensor] = field(default_factory=dict)

    @classmethod
    def prepare(
        cls,
        sampler: PairSampler,
        sigma: float,
        settings: RegistrationSettings,
        *,
        trains_network: bool,
    ) -> LatticeObjective:
        """Prepare the images of a pair, smoothed by ``sigma`` voxels."""
        spacing = lattice_spacing(sigma)
        lattice = Lattice.spaced(sampler.domain, spacing * sampler.voxel_size)
        spacings = settings.field.spline_spacings
        images = sampler.lattice_images(lattice, sigma, settings.window_radius)
        lattice = images[0][0].lattice
        contrasts = [
            Contrast.of(each.reference, each.reference_weights, settings.window_radius)
            for ways in images
            for each in ways
        ]
        # a cell has to hold enough windows of contrast
        sparsity = fmean(each.sparsity for each in contrasts) ** (1 / lattice.dimension)
        least = LEAST_CELL * spacing * min(sparsity, MOST_SPARSE)
        splines = min(len(spacings), max(1, sum(each >= least for each in spacings)))
        within_windows = fmean(each.mean for each in contrasts)
        return cls(
            sampler=sampler,
            lattice=lattice,
            images=images,
            floor=fmean(each.floor for each in contrasts),
            spline_weight=settings.spline_weight * (within_windows / HALF_OF_VARIANCE) ** 4,
            outside=tuple(_outside(images[0], here) for here in (0, 1)),
            settings=settings,
            splines=range(max(0, splines - LEVELS_AT_ONCE), splines),
            trains_network=trains_network,
            thin_axes=sampler.thin_axes(spacing * sampler.voxel_size),
        )

    square_decay: ClassVar[float] = 0.99
    full_steps: ClassVar[int] = 25
    """Steps on a lattice are large, and what a few overshoot would stay."""

    @property
    def step_size(self) -> float:
        """The distance of the lattice's points, coords: the unit of its B-splines' step sizes."""
        return min(self.lattice.steps)

    def differentiate(
        self, deformation: Deformation, _generator: torch.Generator, *, share: float = 1.0
    ) -> dict[str, Tensor]:
        """Add a share of the gradients to the parameters', and return the terms."""
        weights = self.settings
        threads = deformation.field.threads or 1
        there, back = (self._displacement(deformation, inverse) for inverse in (False, True))
        stride = 1 if there[0].numel() <= STRIDE_POINTS else 2
        area = self.sampler.voxel_coords**2
        factors = weights.gradicon_weight, weights.inverse_consistency_weight / area
        energy, gradicon, residual = composition_energy(
            there, back, self.lattice, factors, stride=stride, threads=threads
        )
        terms = {
            "dissimilarity": self.dissimilarity((there, back), threads),
            "gradicon": gradicon,
            "inverse_consistency": residual / area,
            "latent_prior": latent_prior(deformation.code),
        }
        terms["total"] = terms["dissimilarity"] + energy
        if self.spline_weight and self.splines:
            learned = [*self._learned(deformation, False), *self._learned(deformation, True)]
            with torch_threads(1):  # as rounding errors of a sum depend on their number
                terms["spline_diffusion"] = spline_diffusion(learned, self.lattice) / 2
            terms["total"] = terms["total"] + self.spline_weight * terms["spline_diffusion"]
        if weights.outside_weight and any(each is not None for each in self.outside):
            terms["outside_diffusion"] = self._outside_diffusion((there, back))
            terms["total"] = terms["total"] + weights.outside_weight * terms["outside_diffusion"]
        if self.trains_network:
            terms["total"] = terms["total"] + weights.latent_prior_weight * terms["latent_prior"]
        landmarks = self.sampler.guide_landmarks
        if landmarks is not None:
            moved = [self._moved(deformation, here == 1, landmarks.coords[here]) for here in (0, 1)]
            misfits = [landmarks.misfit(moved[here], landmarks.coords[1 - here]) for here in (0, 1)]
            terms["landmark"] = torch.stack(misfits).mean()
            terms["total"] = terms["total"] + weights.landmark_weight * terms["landmark"]
        torch.autograd.backward(share * terms["total"])
        return {name: term.detach() for name, term in terms.items()}

    @torch.no_grad()
    def dissimilarities(self, deformation: Deformation) -> tuple[float, float]:
        """Return the dissimilarity without and with a deformation."""
        moved = [self._displacement(deformation, inverse) for inverse in (False, True)]
        unmoved = [torch.zeros_like(each) for each in moved]
        threads = deformation.field.threads or 1
        before, after = (float(self.dissimilarity(each, threads)) for each in (unmoved, moved))
        return before, after

    def dissimilarity(self, displacements: Sequence[Tensor], threads: int) -> Tensor:
        """Return the weighted mean over the channels, and both ways.

        Parameters
        ----------
        displacements : sequence of Tensor, shape (D, k, j, i)
            Of the lattice's points, coords: to the moving image and back.
        threads : int
            How many compute, with the same result, where it is compiled.
        """
        weights = self.sampler.channel_weights
        total = displacements[0].new_zeros(())
        for weight, ways in zip(weights, self.images, strict=True):
            for displacement, images in zip(displacements, ways, strict=True):
                part = local_dissimilarity(
                    displacement,
                    images,
                    radius=self.settings.window_radius,
                    floor=self.floor,
                    threads=threads,
                )
                total = total + weight / (2 * sum(weights)) * part
        return total

    def _outside_diffusion(self, displacements: Sequence[Tensor]) -> Tensor:
        """Return the mean diffusion energy outside the masks, of both ways."""
        steps = [OUTSIDE_STRIDE * step for step in self.lattice.steps]
        total = displacements[0].new_zeros(())
        with torch_threads(1):  # as rounding errors of a sum depend on their number
            for displacement, outside in zip(displacements, self.outside, strict=True):
                if outside is not None:
                    some = displacement[(slice(None), *_strided(outside.ndim))]
                    total = total + lattice_diffusion(some, outside, steps) / 2
        return total

    def _displacement(self, deformation: Deformation, inverse: bool) -> Tensor:
        """Return a field's displacement of the lattice's points, shape (D, k, j, i), coords."""
        learned = self._learned(deformation, inverse)
        displacement = self._frozen(deformation, inverse)
        if self.trains_network:
            field = deformation.inverse_field if inverse else deformation.field
            displacement = displacement + self._evaluated(field, deformation)
        displacement = self.lattice.with_splines(
            displacement, learned, deformation.field.threads or 1
        )
        if not any(self.thin_axes):
            return displacement
        # what points do not show is not learned
        parts = zip(self.thin_axes, displacement, strict=True)
        return torch.stack([part.detach() if is_thin else part for is_thin, part in parts])

    def _learned(self, deformation: Deformation, inverse: bool) -> list[Tensor]:
        """Return a field's B-splines that are optimized."""
        return [deformation.code.splines[inverse][number] for number in self.splines]

    def _moved(self, deformation: Deformation, inverse: bool, coords: Tensor) -> Tensor:
        """Map coords, shape (N, D), such that only what is optimized gets a gradient."""
        field = deformation.inverse_field if inverse else deformation.field
        with torch.set_grad_enabled(self.trains_network):
            moved = coords + field.network_displacement(coords, deformation.code)
        position = coords / field.bounds
        splines = deformation.code.splines[inverse][: self.splines.stop]
        for number, spline in enumerate(splines):
            optimized = spline if number in self.splines else spline.detach()
            moved = moved + sample_spline(optimized, position)
        return moved

    def _frozen(self, deformation: Deformation, inverse: bool) -> Tensor:
        """Return the part of a field's displacement that is not optimized, computed once."""
        if inverse not in self._displacements:
            field = deformation.inverse_field if inverse else deformation.field
            coarse = deformation.code.splines[inverse][: self.splines.start]
            shape = self.lattice.dimension, *reversed(self.lattice.size)
            with torch.no_grad():
                displacement = deformation.code.local_code.new_zeros(shape)
                if not self.trains_network:
                    displacement = displacement + self._evaluated(field, deformation)
                self._displacements[inverse] = self.lattice.with_splines(
                    displacement, coarse, deformation.field.threads or 1
                )
        return self._displacements[inverse]

    def _evaluated(self, field: DeformationField, deformation: Deformation) -> Tensor:
        code = deformation.code
        grid = max(code.local_code.shape[:-1])
        lattice = self.lattice.coarser(NETWORK_POINTS[self.trains_network] * (grid - 1) + 1)
        displacement = field.network_displacement(lattice.coords(code.local_code.device), code)
        return lattice.refined(lattice.image(displacement), self.lattice)


def _strided(dimension: int) -> tuple[slice, ...]:
    return (slice(None, None, OUTSIDE_STRIDE),) * dimension


def _outside(ways: Sequence[LatticeImages], here: int) -> Tensor | None:
    """Return how little points are compared for the fixed (0) or the moving mask (1), if any."""
    mask, weights = ways[1 - here].other_weights, ways[here].reference_weights
    if mask is None or weights is None:
        return None
    return 1 - weights[_strided(weights.ndim)]
