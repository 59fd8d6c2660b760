"""The latent codes of a model of many pairs: from an encoder, or from a table (auto-decoder)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from itk_nephi.fields.settings import FieldSettings, check_settings, documented, setting

SLOPE = 0.2
"""The slope of the rectifiers for negative values, as published."""

GROUP = 8
"""Channels that are normalized together."""


@documented
@dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """The sizes of an encoder."""

    filters: tuple[int, ...] = setting(
        (16, 32, 64, 128),
        "Channels of each block of the trunk; a block halves the image.",
        minimum=1,
    )
    local_block: int = setting(
        2, "The first block, from 1, whose features the local code comes from.", minimum=1
    )
    pooled: int = setting(
        2,
        "Cells along each axis to which the last features are averaged for the global code.",
        minimum=1,
    )
    hidden: int = setting(64, "Features of the global head's hidden layer.", minimum=1)
    published_size: tuple[int, ...] | None = setting(
        None,
        "Build the published encoder, for images of this size only, i first.",
        unit="voxels",
        minimum=2,
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if self.local_block > len(self.filters):
            raise ValueError(
                f"expected local_block from 1 to the number of blocks, {len(self.filters)}, got "
                f"{self.local_block}"
            )
        if self.published_size is not None and len(self.published_size) not in (2, 3):
            raise ValueError(f"expected published_size on 2 or 3 axes, got {self.published_size}")

    def cells(self, dimension: int) -> int:
        """Return how many cells of the last features the global head takes."""
        if self.published_size is None:
            return math.prod([self.pooled] * dimension)
        return math.prod(-(-n // 2 ** len(self.filters)) for n in self.published_size)

    @classmethod
    def paper(cls, size: tuple[int, ...] = (175, 175, 175)) -> EncoderSettings:
        """Return the published encoder of images of a size: 2,986,136 weights at 175^3.

        Parameters
        ----------
        size : tuple of int
            Voxels, i first; at least 23 along the longest axis.

        Raises
        ------
        ValueError
            If the images are too small for a local code.
        """
        octaves = round(math.log2(max(size)))
        if octaves < 5:
            raise ValueError(f"expected size of at least 23 along the longest axis, got {size}")
        return cls(
            filters=(8, 16, 32, 64, 128, 256) + (256,) * (octaves - 7),
            local_block=octaves - 4,
            hidden=256,
            published_size=size,
        )


class Encoder(nn.Module):
    """A convolutional encoder: predicts the latent code of an image pair in one pass.

    A trunk of convolutions with stride 2 takes the pair as two channels. Two heads compute the
    codes: the local one from the features of its later blocks, resampled to the local code's grid;
    the global one from its last features, averaged to a few cells, so that images may have any
    size. The codes themselves are neither normalized nor rectified.

    Channels are normalized in groups. Group norm does not depend on other pairs, so that a pair
    gets the same code in any batch, in training and after it. It also keeps the channels of a group
    in proportion, which instance norm would set to the same mean before they are averaged.

    The published encoder is another: batch norm, a local head that sees its first block only and
    is normalized and rectified, and a global head that takes all of the last features, for images
    of one size.

    Parameters
    ----------
    settings : EncoderSettings
        The sizes.
    field : FieldSettings
        Those of the codes.
    bounds : tuple of float
        The domain's largest coords per axis, i first.
    generator : torch.Generator
        Draws the initial weights, as PyTorch's layers do by default.

    References
    ----------
    Tian et al., NePhi, arXiv:2309.07322; the published encoder is that of its released code.
    """

    def __init__(
        self,
        settings: EncoderSettings,
        field: FieldSettings,
        bounds: tuple[float, ...],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        dimension, size = len(bounds), settings.published_size
        if size is not None and len(size) != dimension:
            raise ValueError(
                f"expected published_size in {dimension} dimensions like the domain, got {size}"
            )
        self.settings = settings
        self.local_grid = field.local_grid_size(bounds)[::-1]
        convolution: Any = nn.Conv2d if dimension == 2 else nn.Conv3d
        batch_norm: Any = nn.BatchNorm2d if dimension == 2 else nn.BatchNorm3d
        inputs = (2, *settings.filters)
        first = settings.local_block
        with torch.device("meta"):
            self.trunk = nn.ModuleList(
                nn.Sequential(
                    convolution(before, after, 3, stride=2, padding=1),
                    _group_norm(after) if size is None else batch_norm(after),
                    nn.LeakyReLU(SLOPE),
                )
                for before, after in zip(inputs, settings.filters, strict=False)
            )
            if size is None:
                seen = sum(settings.filters[first - 1 :])
                self.local_head = nn.Sequential(
                    convolution(seen, field.local_channels, 3, padding=1)
                )
            else:
                self.local_head = nn.Sequential(
                    convolution(settings.filters[first - 1], field.local_channels, 3, padding=1),
                    batch_norm(field.local_channels),
                    nn.LeakyReLU(SLOPE),
                )
            self.global_head = nn.Sequential(
                nn.Flatten(),
                nn.Linear(settings.filters[-1] * settings.cells(dimension), settings.hidden),
                nn.LeakyReLU(SLOPE),
                nn.Linear(settings.hidden, field.global_code),
            )
        self.to_empty(device="cpu")
        for layer in self.modules():
            if isinstance(layer, (convolution, nn.Linear)):
                limit = layer.weight[0].numel() ** -0.5 if len(layer.weight) else 0.0
                nn.init.uniform_(layer.weight, -limit, limit, generator=generator)
                nn.init.uniform_(layer.bias, -limit, limit, generator=generator)
            elif isinstance(layer, (nn.GroupNorm, batch_norm)):
                layer.reset_parameters()

    def forward(self, fixed: Tensor, moving: Tensor) -> tuple[Tensor, Tensor]:
        """Predict latent codes.

        Parameters
        ----------
        fixed, moving : Tensor, shape (B, 1, k, j, i)
            Intensities from about 0 to 1, of both images of each pair on the domain's grid.

        Returns
        -------
        global_codes : Tensor, shape (B, K)
        local_codes : Tensor, shape (B, k, j, i, C)
            On the local codes' grid; both as in :class:`itk_nephi.fields.latent_code.LatentCode`.

        Raises
        ------
        ValueError
            If the published encoder gets images of another size than its own.
        """
        size = self.settings.published_size
        if size is not None and tuple(fixed.shape[2:]) != size[::-1]:
            raise ValueError(
                f"expected images of {size} voxels, the published encoder's size, got "
                f"{tuple(fixed.shape[:1:-1])}"
            )
        features = [torch.cat([fixed, moving], dim=1)]
        for block in self.trunk:
            features.append(block(features[-1]))
        last, later = features[-1], features[self.settings.local_block :]
        if size is None:
            local = self.local_head(torch.cat([self._on_local_grid(f) for f in later], dim=1))
            pool: Any = F.adaptive_avg_pool2d if last.ndim == 4 else F.adaptive_avg_pool3d
            last = pool(last, self.settings.pooled)
        else:
            local = self._on_local_grid(self.local_head(later[0]))
        return self.global_head(last), local.movedim(1, -1)

    def _on_local_grid(self, features: Tensor) -> Tensor:
        if tuple(features.shape[2:]) == self.local_grid:
            return features
        mode = "bilinear" if features.ndim == 4 else "trilinear"
        return F.interpolate(features, self.local_grid, mode=mode, align_corners=True)


class LatentCodeTable(nn.Module):
    """The codes of an auto-decoder: one for each pair of a list, free instead of predicted.

    Parameters
    ----------
    count : int
        How many pairs.
    settings : FieldSettings
        The sizes of the codes.
    bounds : tuple of float
        The domain's largest coords per axis, i first.
    generator : torch.Generator
        Draws the initial codes.

    Raises
    ------
    ValueError
        If there is no pair.
    """

    def __init__(
        self,
        count: int,
        settings: FieldSettings,
        bounds: tuple[float, ...],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if count < 1:
            raise ValueError(f"expected a table of at least 1 code, got {count}")
        grid = settings.local_grid_size(bounds)[::-1]
        self.global_codes = nn.Parameter(torch.empty(count, settings.global_code))
        self.local_codes = nn.Parameter(torch.empty(count, *grid, settings.local_channels))
        for codes in (self.global_codes, self.local_codes):
            nn.init.normal_(codes, std=max(1, codes.shape[-1]) ** -0.5, generator=generator)

    def forward(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the codes of pairs by their numbers, shape (B,), as :class:`Encoder` does."""
        return self.global_codes[pairs], self.local_codes[pairs]


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(max(1, channels // GROUP) if channels % GROUP == 0 else 1, channels)
