"""A displacement at every voxel in place of a neural field, with the same objective."""

from __future__ import annotations

from typing import Any

import itk
import numpy as np
import torch
from torch import Tensor, nn

from itk_nephi import RegistrationSettings
from itk_nephi.fields.interpolation import sample_grid_with_derivatives
from itk_nephi.fields.latent_code import Code, PairCode
from itk_nephi.fields.sampled_transforms import sample_transform
from itk_nephi.losses.objective import objective_terms
from itk_nephi.registration.sampler import PairSampler
from itk_nephi.spatial.conversion import displacement_field_transform, vector_image
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.image_pair import ImagePair


class VoxelField(nn.Module):
    """Moves coords by a displacement that is interpolated linearly between the voxels.

    What a neural field stands in for.

    Parameters
    ----------
    domain : ImageDomain
        Gives the voxels, and the coords as for :class:`itk_nephi.fields.DeformationField`.
    """

    bounds: Tensor

    def __init__(self, domain: ImageDomain) -> None:
        super().__init__()
        self.register_buffer("bounds", torch.tensor(domain.bounds))
        self.displacement = nn.Parameter(torch.zeros(*domain.size[::-1], domain.dimension))

    def forward(self, coords: Tensor, code: Code) -> Tensor:
        """Move coords, shape (N, D)."""
        return self.with_jacobian(coords, code)[0]

    def with_jacobian(self, coords: Tensor, _code: Code) -> tuple[Tensor, Tensor]:
        """Move coords and differentiate by them: shapes (N, D) and (N, D, D)."""
        place = coords / self.bounds
        inside = (place.detach().abs() <= 1).to(coords)
        values, slopes = sample_grid_with_derivatives(self.displacement, place.clamp(-1, 1))
        jacobian = (slopes / self.bounds[:, None, None]).permute(1, 2, 0) * inside[:, None, :]
        return coords + values, jacobian + torch.eye(coords.shape[1]).to(coords)


def register_voxels(
    pair: ImagePair, settings: RegistrationSettings, learning_rate: float, seed: int
) -> Any:
    """Return the transform of a pair, without initial transform, with the steps of ``settings``."""
    images = PairSampler(
        ImagePair(fixed=pair.fixed, moving=pair.moving),
        initial_transform=sample_transform(
            pair.initial_transform, ImageDomain.of(pair.fixed_image)
        ),
        device=torch.device("cpu"),
    )
    domain = images.domain
    field, inverse_field = VoxelField(domain), VoxelField(domain)
    similarity = settings.compared(images.voxel_size)
    generator = torch.Generator().manual_seed(seed)
    code = PairCode(torch.zeros(1), torch.zeros(1, 1))
    for smoothing in settings.smoothing_sigmas:
        channels = images.features(smoothing, similarity.feature_map)
        optimizer = torch.optim.Adam(
            [*field.parameters(), *inverse_field.parameters()], lr=learning_rate
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
        for _ in range(settings.steps):
            losses = objective_terms(
                field,  # type: ignore[arg-type]
                inverse_field,  # type: ignore[arg-type]
                code,
                channels,
                images.draw(settings.points, generator),
                dissimilarity=similarity.dissimilarity,
                regularizer_points=settings.regularizer_points,
                voxel=domain.voxel_size / domain.scale,
                weights=settings,
            )
            optimizer.zero_grad()
            losses["total"].backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    shift = field.displacement.detach().double().numpy() * domain.scale
    return displacement_field_transform(
        vector_image(shift @ np.array(domain.direction).T, pair.fixed_image, itk.D)
    )
