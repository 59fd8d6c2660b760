"""Sampling of image pairs: the points, drawn uniformly or by importance, and their channels."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from itk_nephi.fields.device import constant, upload
from itk_nephi.fields.lattice import Lattice
from itk_nephi.fields.sampled_image import (
    ROUNDING,
    SampledImage,
    SampledTransform,
    tensor_from_image,
)
from itk_nephi.losses.features import FeatureMap, edges, standardized
from itk_nephi.losses.lattice import LatticeImages, with_contrast
from itk_nephi.losses.objective import LandmarkPairs
from itk_nephi.spatial.domain import Array, ImageDomain
from itk_nephi.spatial.image_pair import ImagePair

MARGIN = 6
"""How many points of a lattice lie around those that are compared, on each side."""

THIN = 3
"""How many points along an axis, at most, show nothing of motion along it."""

SOME = 1000
"""Of how many voxels at first it is looked for contrast."""

LEAST_OVERLAP = 1e-3
"""The share of the fixed image, or of its mask, that has to lie in the moving image."""

POOL = 4
"""From how many candidates for each point those near edges are chosen."""

ComparedImages = tuple[SampledImage, SampledImage]
"""The channels of a pair's fixed and moving images."""


class PairSampler:
    """Two images brought together by an initial transform, sampled in the fixed domain's coords.

    Parameters
    ----------
    pair : ImagePair
        Images of float in canonical order, the masks weights in [0, 1].
    initial_transform : SampledTransform
        From fixed to moving space.
    device : torch.device
        Where to sample.
    guide_landmarks : LandmarkPairs, optional
        Points to bring together.
    domain : ImageDomain, optional
        Whose coords are drawn and taken, along the axes of the fixed image; by default its own.
        Points beyond it are not compared.

    Attributes
    ----------
    compared_voxels : int
        How many voxels of the fixed image lie in the domain and in the fixed mask, if any.

    Raises
    ------
    ValueError
        If the images or the masks do not overlap after the initial transform, or an image has no
        contrast where they do.
    """

    def __init__(
        self,
        pair: ImagePair,
        *,
        initial_transform: SampledTransform,
        device: torch.device,
        guide_landmarks: LandmarkPairs | None = None,
        domain: ImageDomain | None = None,
    ) -> None:
        self._fixed_domain = ImageDomain.of(pair.fixed_image)
        self.domain = domain or self._fixed_domain
        self.device = device
        self.channel_weights = pair.channel_weights or (1.0,) * len(pair.fixed)
        self.guide_landmarks = guide_landmarks
        self._initial_transform = initial_transform
        self._moving_domain = ImageDomain.of(pair.moving_image)
        self._fixed, self._moving = (
            [tensor_from_image(image).to(device) for image in images]
            for images in (pair.fixed, pair.moving)
        )
        self._fixed_mask, self._moving_mask = (
            None if mask is None else tensor_from_image(mask).to(device)
            for mask in (pair.fixed_mask, pair.moving_mask)
        )
        in_domain = self._in_domain()
        seen = self._moving_seen_from_fixed() & in_domain
        in_fixed = torch.ones_like(seen) if self._fixed_mask is None else self._fixed_mask[0, 0] > 0
        overlap = float((seen & in_fixed).sum() / in_fixed.sum())
        if overlap < LEAST_OVERLAP:
            what = "images" if self._fixed_mask is self._moving_mask is None else "masks"
            raise ValueError(
                f"expected fixed and moving {what} that overlap after the initial transform, got "
                f"{overlap:.2%} of the fixed one in the moving one; give another initial transform"
            )
        self._require_contrast(seen & in_fixed)
        self._soft_masks = (
            _if_soft(self._fixed_mask, self._in_fixed),
            _if_soft(self._moving_mask, self._in_moving),
        )
        compared = in_fixed & in_domain
        self.compared_voxels = int(compared.sum())
        self._fixed_voxels = None if self._fixed_mask is None else compared.nonzero().flip(1)
        self._moving_voxels = None if self._moving_mask is None else seen.nonzero().flip(1)

    @property
    def voxel_size(self) -> float:
        """The voxel size that both images can resolve, mm."""
        return max(self._fixed_domain.voxel_size, self._moving_domain.voxel_size)

    @property
    def voxel_coords(self) -> float:
        """The voxel size, coords; rounded, so that the unit of length leaves no trace."""
        return round(self.voxel_size / self.domain.scale, 12)

    def thin_axes(self, spacing: float) -> tuple[bool, ...]:
        """Return along which axes points ``spacing`` mm apart show nothing of motion.

        Where both images have too few; none where the fixed image has too few along all axes.
        """
        fixed, moving = (
            np.array(Lattice.spaced(domain, spacing).size)
            for domain in (self.domain, self._moving_domain)
        )
        both = fixed.max() > THIN and moving.min() <= THIN
        return tuple(bool(both and count <= THIN) for count in fixed)

    def features(self, sigma: float, feature_map: FeatureMap) -> ComparedImages:
        """Prepare the channels of the fixed and of the moving images for the dissimilarity.

        Parameters
        ----------
        sigma : float
            Standard deviation of the Gaussian, voxels.
        feature_map : FeatureMap
            Makes the channels of an image.
        """
        fixed = [
            feature_map(image, self._fixed_mask, self._fixed_domain, sigma) for image in self._fixed
        ]
        moving = [
            feature_map(image, self._moving_mask, self._moving_domain, sigma)
            for image in self._moving
        ]
        return (
            self._in_fixed(torch.cat(fixed, dim=1)),
            self._in_moving(torch.cat(moving, dim=1)),
        )

    def lattice_images(
        self, lattice: Lattice, sigma: float, radius: int
    ) -> list[tuple[LatticeImages, LatticeImages]]:
        """Prepare each channel to be compared on a lattice, on both ways.

        Where an image has no contrast in any channel, there is nothing to compare; the lattice is
        cut to the box around the rest.

        Parameters
        ----------
        lattice : Lattice
            The points.
        sigma : float
            Standard deviation of the Gaussian, voxels.
        radius : int
            Of the windows in which images are compared, distances of points.
        """
        coords = lattice.coords(self.device)
        features = self.features(sigma, standardized)
        masks = (
            None if self._fixed_mask is None else self._in_fixed(self._fixed_mask),
            None if self._moving_mask is None else self._in_moving(self._moving_mask),
        )
        references, insides, weights = [], [], []
        for feature, mask in zip(features, masks, strict=True):
            values, inside = (lattice.image(each) for each in feature(coords))
            weight = with_contrast(values, inside, radius)
            if mask is not None:
                weight = weight * lattice.image(mask(coords)[0])[0]
            references.append(values)
            insides.append(inside)
            weights.append(weight)
        part = lattice.around((weights[0] + weights[1]) > 0, MARGIN)

        def compared(number: int, here: int) -> LatticeImages:
            return LatticeImages(
                lattice=part,
                reference=references[here][number][part.slices].contiguous(),
                inside=insides[here][part.slices].contiguous(),
                reference_weights=weights[here][part.slices].contiguous(),
                other=features[1 - here].channel(number),
                other_weights=masks[1 - here],
            )

        return [(compared(number, 0), compared(number, 1)) for number in range(len(self._fixed))]

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw coords uniformly, inside the fixed mask and inside the moving mask.

        Returns
        -------
        in_fixed, in_moving : Tensor, shape (count, D)
            Coords of the fixed domain. Points of the moving mask are mapped by the inverse of the
            initial transform.
        """
        return (
            self._draw(self._fixed_voxels, count, generator),
            self._draw(self._moving_voxels, count, generator),
        )

    def sample(
        self, count: int, share: float, generator: torch.Generator
    ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor | None, Tensor | None]]:
        """Draw coords and their weights, a share of them by importance sampling.

        Parameters
        ----------
        count : int
            How many points in each image.
        share : float
            Which part of them is drawn where the image has edges, below 1.
        generator : torch.Generator
            Draws them.

        Returns
        -------
        coords : pair of Tensor, shape (count, D)
            As from :meth:`draw`.
        weights : pair of Tensor, shape (count,), or None
            In [0, 1]; None where all are the same.
        """
        coords = self.draw(POOL * count if share else count, generator)
        weights: tuple[Tensor | None, Tensor | None] = (None, None)
        if share:
            (in_fixed, for_fixed), (in_moving, for_moving) = (
                importance_sample(points, image(points)[0].sum(dim=1), count, share, generator)
                for points, image in zip(coords, self._edges, strict=True)
            )
            coords, weights = (in_fixed, in_moving), (for_fixed, for_moving)
        return coords, (
            _times(weights[0], self._soft_masks[0], coords[0]),
            _times(weights[1], self._soft_masks[1], coords[1]),
        )

    @cached_property
    def _edges(self) -> ComparedImages:
        return self.features(1.0, edges)

    def _draw(self, voxels: Tensor | None, count: int, generator: torch.Generator) -> Tensor:
        position = torch.rand(count, self.domain.dimension, generator=generator)
        if voxels is None:
            half, middle = self._common_box()
            return upload((2 * position - 1) * half + middle, self.device)
        chosen = upload(torch.randint(len(voxels), (count,), generator=generator), self.device)
        index = voxels[chosen] + upload(position, self.device) - 0.5
        return self._coords(index)

    def _coords(self, index: Tensor) -> Tensor:
        """Map continuous indices of the fixed image, clamped to its box, to coords."""
        last = constant(self._fixed_domain.size, torch.int64, self.device) - 1
        bounds = constant(self._fixed_domain.bounds, torch.float32, self.device)
        own = (2 * index / last - 1).clamp(-1, 1) * bounds
        scale, shift = self._own_to_domain()
        return own * scale + constant(tuple(shift.tolist()), own.dtype, self.device)

    def _own_to_domain(self) -> tuple[float, Array]:
        """Return what maps coords of the fixed image to coords of the domain: a scale, a shift."""
        scale = self._fixed_domain.scale / self.domain.scale
        return scale, self.domain.coords_from_points(self._fixed_domain.center)

    def _common_box(self) -> tuple[Tensor, Tensor]:
        """Return half of the edges and the middle, coords, of what domain and image share."""
        bounds = np.array(self.domain.bounds)
        scale, shift = self._own_to_domain()
        own = scale * np.array(self._fixed_domain.bounds)
        low, high = np.maximum(-bounds, shift - own), np.minimum(bounds, shift + own)
        half, middle = (high - low) / 2, (high + low) / 2
        return torch.tensor(half, dtype=torch.float32), torch.tensor(middle, dtype=torch.float32)

    def _in_domain(self) -> Tensor:
        """Return for each fixed voxel whether it lies in the domain."""
        flags = []
        for axis, count in enumerate(self._fixed_domain.size):
            index = torch.zeros(count, self.domain.dimension, device=self.device)
            index[:, axis] = torch.arange(count, device=self.device)
            bound = constant(self.domain.bounds, torch.float32, self.device)[axis]
            flags.append(self._coords(index)[:, axis].abs() <= bound * (1 + ROUNDING))
        return torch.stack(torch.meshgrid(*reversed(flags), indexing="ij")).all(dim=0)

    def _in_fixed(self, values: Tensor) -> SampledImage:
        return SampledImage(values, self._fixed_domain, self.domain)

    def _in_moving(self, values: Tensor) -> SampledImage:
        return SampledImage(values, self._moving_domain, self.domain, self._initial_transform)

    def _require_contrast(self, compared: Tensor) -> None:
        """Raise if all channels of an image are constant at the fixed voxels that are compared."""
        if self.guide_landmarks is not None:
            return
        for name, images, view in (
            ("fixed", self._fixed, self._in_fixed),
            ("moving", self._moving, self._in_moving),
        ):
            # a part shows it of nearly all images
            for step in (math.ceil((compared.numel() / SOME) ** (1 / compared.ndim)), 1):
                some = compared[(slice(None, None, step),) * compared.ndim]
                coords = self._coords(some.nonzero().flip(1) * step)
                values = torch.cat([view(image)(coords)[0] for image in images], dim=1)
                if len(values) and (values.amax(dim=0) > values.amin(dim=0)).any():
                    break
            else:
                raise ValueError(
                    f"expected {name} to have contrast where the images or masks overlap after the "
                    f"initial transform, got {float(values[0, 0]):g} everywhere"
                )

    def _moving_seen_from_fixed(self) -> Tensor:
        """Return for each fixed voxel whether it lies in the moving image and its mask."""
        mask = self._moving[0] if self._moving_mask is None else self._moving_mask
        support = torch.ones_like(mask) if self._moving_mask is None else (mask > 0).to(mask)
        sampled = self._in_moving(support)
        rows = []
        others = [
            torch.arange(n, device=self.device) for n in reversed(self._fixed_domain.size[:-1])
        ]
        for last in range(self._fixed_domain.size[-1]):
            slab = torch.meshgrid(torch.tensor([last], device=self.device), *others, indexing="ij")
            index = torch.stack([axis.flatten() for axis in reversed(slab)], dim=1)
            values, inside = sampled(self._coords(index))
            rows.append((values[:, 0] > 0.5) & (inside > 0))
        return torch.stack(rows).view(*reversed(self._fixed_domain.size))


def _if_soft(mask: Tensor | None, sampled: Callable[[Tensor], SampledImage]) -> SampledImage | None:
    if mask is None or not ((mask > 0) & (mask < 1)).any():
        return None
    return sampled(mask)


def _times(weights: Tensor | None, mask: SampledImage | None, coords: Tensor) -> Tensor | None:
    """Multiply the points' weights, if any, by a soft mask, if any."""
    if mask is None:
        return weights
    values = mask(coords)[0][:, 0]
    return values if weights is None else weights * values


def importance_sample(
    candidates: Tensor, importance: Tensor, count: int, share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Choose points from candidates, a share of them by importance sampling.

    The first points are candidates as they come. With the weights of the balance heuristic a
    weighted sum over all has the same expectation as over candidates alone.

    Parameters
    ----------
    candidates : Tensor, shape (M, D)
        Coords, drawn uniformly.
    importance : Tensor, shape (M,)
        What makes a candidate more probable, 0 or more.
    count : int
        How many points to choose, less than M.
    share : float
        Which part of them is chosen by importance, below 1; at least one point is not.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    coords : Tensor, shape (count, D)
        The chosen points.
    weights : Tensor, shape (count,)
        Of each, in (0, 1].

    References
    ----------
    Veach and Guibas, Optimally combining sampling techniques for Monte Carlo rendering, 1995.
    """
    by_importance = min(round(share * count), count - 1)
    relative = importance / importance.mean().clamp(min=1e-12)
    # where nothing is of importance, any candidate will do
    probabilities = (relative + 1e-6).cpu()
    found = torch.multinomial(probabilities, by_importance or 1, True, generator=generator)
    chosen = torch.cat([torch.arange(count - by_importance), found])[:count].to(candidates.device)
    share = by_importance / count
    return candidates[chosen], 1 / (1 + share / (1 - share) * relative[chosen])
