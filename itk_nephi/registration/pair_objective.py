"""The objective of one pair at one resolution level, at points drawn anew for each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from itk_nephi.fields.deformation import Deformation
from itk_nephi.losses.objective import objective_terms
from itk_nephi.losses.similarity import Dissimilarity, Similarity, weighted
from itk_nephi.registration.sampler import ComparedImages, PairSampler
from itk_nephi.registration.settings import RegistrationSettings


@dataclass(frozen=True, eq=False)
class PairObjective:
    """The objective of a deformation of one pair at one resolution level.

    Parameters
    ----------
    sampler : PairSampler
        Draws the points.
    images : ComparedImages
        Their channels.
    dissimilarity : Dissimilarity
        Of the channels; minimized.
    settings : RegistrationSettings
        The weights of the terms, and how many points there are.
    chunk : int, optional
        How many points are evaluated together; all when left out.
    """

    sampler: PairSampler
    images: ComparedImages
    dissimilarity: Dissimilarity
    settings: RegistrationSettings
    chunk: int | None = None

    @classmethod
    def prepare(
        cls,
        sampler: PairSampler,
        similarity: Similarity,
        sigma: float,
        settings: RegistrationSettings,
        chunk: int | None = None,
    ) -> PairObjective:
        """Prepare the images of a pair, smoothed by ``sigma`` voxels, for a similarity."""
        return cls(
            sampler,
            sampler.features(sigma, similarity.feature_map),
            weighted(similarity.dissimilarity, sampler.channel_weights),
            settings,
            chunk,
        )

    square_decay: ClassVar[float] = 0.999
    full_steps: ClassVar[int] = 1

    @property
    def step_size(self) -> float:
        """The edge of a voxel, coords: the unit of the B-splines' step sizes."""
        return self.sampler.voxel_coords

    def differentiate(
        self, deformation: Deformation, generator: torch.Generator, *, share: float = 1.0
    ) -> dict[str, Tensor]:
        """Draw points, add a share of the gradients to the parameters', and return the terms."""
        settings, sampler = self.settings, self.sampler
        coords, weights = sampler.sample(settings.points, settings.importance_sampling, generator)
        losses = objective_terms(
            deformation.field,
            deformation.inverse_field,
            deformation.code,
            self.images,
            coords,
            dissimilarity=self.dissimilarity,
            point_weights=weights,
            guide_landmarks=sampler.guide_landmarks,
            regularizer_points=settings.regularizer_points,
            voxel=self.step_size,
            weights=settings,
            landmark_weight=settings.landmark_weight,
            chunk=self.chunk,
        )
        torch.autograd.backward(share * losses["total"])
        return {name: loss.detach() for name, loss in losses.items()}

    @torch.no_grad()
    def dissimilarities(self, deformation: Deformation) -> tuple[float, float]:
        """Return the dissimilarity without and with a deformation, at the same points."""
        fixed, moving = self.images
        (coords, _), (weights, _) = self.sampler.sample(
            self.settings.points, 0, torch.Generator().manual_seed(0)
        )
        values, counts = fixed(coords)
        counts = counts if weights is None else counts * weights
        parts = torch.split(coords, self.chunk or len(coords))
        moved = torch.cat([deformation.field(part, deformation.code) for part in parts])
        before, after = (
            float(self.dissimilarity(values, other, counts * in_moving))
            for other, in_moving in (moving(coords), moving(moved))
        )
        return before, after
