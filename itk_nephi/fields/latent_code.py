"""The latent code of an image pair: optimized, interpolated in time, or predicted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from itk_nephi.fields.settings import FieldSettings


class LatentCode(nn.Module):
    """The latent code of an image pair, z = [z_g, z_l]: a global vector and a local grid.

    Beside them it may hold B-splines of displacements, each for both fields, which start at zero.

    Parameters
    ----------
    settings : FieldSettings
        The sizes.
    bounds : tuple of float
        The domain's largest coords per axis, i first.
    generator : torch.Generator
        Draws the initial code.
    spline_cells : sequence of tuple of int
        The cells of each B-spline along each axis, i first.
    """

    # two lists of nn.Parameter, which the type of nn.ModuleList cannot express
    splines: Any

    def __init__(
        self,
        settings: FieldSettings,
        bounds: tuple[float, ...],
        generator: torch.Generator,
        spline_cells: Sequence[tuple[int, ...]] = (),
    ) -> None:
        super().__init__()
        grid = settings.local_grid_size(bounds)
        global_code = torch.empty(settings.global_code)
        local_code = torch.empty(*reversed(grid), settings.local_channels)
        for code in (global_code, local_code):
            nn.init.normal_(code, std=max(1, code.shape[-1]) ** -0.5, generator=generator)
        self.global_code = nn.Parameter(global_code)
        self.local_code = nn.Parameter(local_code)
        self.splines = nn.ModuleList([nn.ParameterList(), nn.ParameterList()])
        for cells in spline_cells:
            self.add_spline(cells)

    def add_spline(self, cells: tuple[int, ...]) -> None:
        """Add a B-spline of zeros with so many cells along each axis, for both fields."""
        for splines in self.splines:
            coefficients = torch.zeros(*(count + 3 for count in reversed(cells)), len(cells))
            splines.append(nn.Parameter(coefficients.to(self.local_code.device)))


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

    @property
    def splines(self) -> tuple[list[Tensor], list[Tensor]]:
        """The B-splines of the field and of the inverse field."""
        forth, back = (
            [torch.lerp(*both, self.share) for both in zip(one, other, strict=True)]
            for one, other in zip(self.first.splines, self.second.splines, strict=True)
        )
        return forth, back


class Code(Protocol):
    """A latent code as the fields take it: optimized, between two such, or predicted."""

    @property
    def global_code(self) -> Tensor:
        """The global vector, shape (K,)."""

    @property
    def local_code(self) -> Tensor:
        """The local grid, shape (k, j, i, C)."""

    @property
    def splines(self) -> Sequence[Sequence[Tensor]]:
        """The B-splines of the field and of the inverse field, each of shape (k, j, i, D)."""


class PairCode(NamedTuple):
    """The latent code of one pair out of a batch."""

    global_code: Tensor
    local_code: Tensor
    splines: Sequence[Sequence[Tensor]] = ((), ())
