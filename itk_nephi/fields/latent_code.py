"""The latent code of an image pair: optimized, interpolated in time, or predicted."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from itk_nephi.fields.settings import FieldSettings


class LatentCode(nn.Module):
    """The latent code of an image pair, z = [z_g, z_l]: a global vector and a local grid.

    Parameters
    ----------
    settings : FieldSettings
        The sizes.
    bounds : tuple of float
        The domain's largest coords per axis, i first.
    generator : torch.Generator
        Draws the initial code.
    """

    def __init__(
        self, settings: FieldSettings, bounds: tuple[float, ...], generator: torch.Generator
    ) -> None:
        super().__init__()
        grid = settings.local_grid_size(bounds)
        global_code = torch.empty(settings.global_code)
        local_code = torch.empty(*reversed(grid), settings.local_channels)
        for code in (global_code, local_code):
            nn.init.normal_(code, std=max(1, code.shape[-1]) ** -0.5, generator=generator)
        self.global_code = nn.Parameter(global_code)
        self.local_code = nn.Parameter(local_code)


class InterpolatedCode(nn.Module):
    """A latent code on the line between two others.

    Parameters
    ----------
    first, second : LatentCode or InterpolatedCode
        Of the same sizes.
    share : float
        The weight of the second one, in [0, 1]; that of the first is the rest.
    """

    def __init__(
        self,
        first: LatentCode | InterpolatedCode,
        second: LatentCode | InterpolatedCode,
        share: float,
    ) -> None:
        super().__init__()
        self.first, self.second, self.share = first, second, share

    @property
    def global_code(self) -> Tensor:
        """The global vector, shape (K,)."""
        return torch.lerp(self.first.global_code, self.second.global_code, self.share)

    @property
    def local_code(self) -> Tensor:
        """The local grid, shape (k, j, i, C)."""
        return torch.lerp(self.first.local_code, self.second.local_code, self.share)


class Code(Protocol):
    """A latent code as the fields take it: optimized, between two such, or predicted."""

    @property
    def global_code(self) -> Tensor:
        """The global vector, shape (K,)."""

    @property
    def local_code(self) -> Tensor:
        """The local grid, shape (k, j, i, C)."""


class PairCode(NamedTuple):
    """The latent code of one pair out of a batch."""

    global_code: Tensor
    local_code: Tensor
