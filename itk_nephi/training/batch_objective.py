"""The objective of a batch of pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from itk_nephi.fields.latent_code import PairCode
from itk_nephi.fields.sampled_image import SampledImage
from itk_nephi.losses.objective import Sampler, objective_terms
from itk_nephi.losses.similarity import Similarity
from itk_nephi.models.encoder import LatentCodeTable
from itk_nephi.models.nephi import NePhi
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.training.augmentation import TrainingExample
from itk_nephi.training.settings import TrainingSettings


class PairsObjective(nn.Module):
    """The mean objective of a batch of pairs, which all devices differentiate together.

    Parameters
    ----------
    model : NePhi
        Its fields, and its encoder, where it has one, are trained.
    codes : LatentCodeTable or None
        The codes of all pairs, instead of an encoder's.
    settings : TrainingSettings
        The similarity metric and the weights of the terms.
    """

    def __init__(
        self, model: NePhi, codes: LatentCodeTable | None, settings: TrainingSettings
    ) -> None:
        super().__init__()
        self.model, self.codes, self.settings = model, codes, settings
        self.domain = ImageDomain(
            size=model.settings.size,
            spacing=model.settings.spacing,
            origin=(0.0,) * model.settings.dimension,
            direction=tuple(tuple(row) for row in np.eye(model.settings.dimension).tolist()),
        )
        self.similarity = Similarity.of(
            settings.similarity, voxel=self.domain.voxel_size, windows=settings.local_windows
        )

    def forward(self, sample: TrainingExample, pairs: Tensor, coords: Tensor) -> dict[str, Tensor]:
        """Return the terms of the objective and their weighted sum, each of shape ().

        Parameters
        ----------
        sample : TrainingExample
            The images of a batch of B pairs.
        pairs : Tensor, shape (B,)
            The numbers of the pairs, for the table of codes.
        coords : Tensor, shape (B, 2, N, D)
            Points in the fixed and in the moving image.
        """
        settings = self.settings
        kind = sample.fixed.device.type
        with torch.autocast(kind, torch.bfloat16, enabled=settings.mixed_precision):
            if self.model.encoder is not None:
                codes = self.model.encoder(sample.fixed, sample.moving)
            elif self.codes is not None:
                codes = self.codes(pairs)
        images = [
            torch.stack(
                [
                    self.similarity.feature_map(
                        image, weights, self.domain, settings.smoothing_sigma
                    )[0]
                    for image, weights in zip(values[:, None], inside[:, None], strict=True)
                ]
            )
            for values, inside in (
                (sample.fixed, sample.fixed_weights),
                (sample.moving, sample.moving_weights),
            )
        ]
        batch = zip(*(code.float() for code in codes), *images, *sample, coords, strict=True)
        losses = [
            self._losses(PairCode(*pair[:2]), pair[2:4], TrainingExample(*pair[4:-1]), pair[-1])
            for pair in batch
        ]
        return {name: torch.stack([each[name] for each in losses]).mean() for name in losses[0]}

    def _losses(
        self, code: PairCode, images: Sequence[Tensor], sample: TrainingExample, coords: Tensor
    ) -> dict[str, Tensor]:
        settings = self.settings
        weights = [
            self._sampled(values)(points)[0][:, 0]
            for values, points in zip(
                (sample.fixed_weights, sample.moving_weights), coords, strict=True
            )
        ]
        return objective_terms(
            self.model.field,
            self.model.inverse_field,
            code,
            (
                self._supported(images[0], sample.fixed_support),
                self._supported(images[1], sample.moving_support),
            ),
            (coords[0], coords[1]),
            dissimilarity=self.similarity.dissimilarity,
            point_weights=(weights[0], weights[1]),
            regularizer_points=settings.regularizer_points,
            voxel=self.domain.voxel_size / self.domain.scale,
            weights=settings,
        )

    def _sampled(self, values: Tensor) -> SampledImage:
        return SampledImage(values[None], self.domain, self.domain)

    def _supported(self, channels: Tensor, support: Tensor) -> Sampler:
        image, inside = self._sampled(channels), self._sampled(support)

        def sampler(coords: Tensor) -> tuple[Tensor, Tensor]:
            values, in_box = image(coords)
            return values, in_box * inside(coords.detach())[0][:, 0]

        return sampler
