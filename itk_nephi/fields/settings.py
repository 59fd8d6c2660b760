"""The sizes of a deformation field and of its latent code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FieldSettings:
    """The sizes of a deformation field and of its latent code.

    Parameters
    ----------
    width : int
        Features of a hidden layer.
    depth : int
        Hidden layers after the first.
    frequencies : int
        Random Fourier frequencies of the coords' embedding.
    global_code : int
        Numbers in the global latent code.
    local_channels : int
        Channels of the local latent code.
    local_grid : int
        Vertices of the local latent code's grid along each axis.

    Raises
    ------
    ValueError
        If a size is too small.
    """

    width: int = 64
    depth: int = 2
    frequencies: int = 32
    global_code: int = 16
    local_channels: int = 16
    local_grid: int = 16

    def __post_init__(self) -> None:
        for name, least in {
            "width": 1,
            "depth": 0,
            "frequencies": 1,
            "global_code": 0,
            "local_channels": 1,
            "local_grid": 2,
        }.items():
            if getattr(self, name) < least:
                raise ValueError(f"expected {name} of at least {least}, got {getattr(self, name)}")

    @classmethod
    def paper(cls) -> FieldSettings:
        """Return the published sizes: 140,419 trainable weights a field in 3D, 140,290 in 2D."""
        return cls(
            width=128,
            depth=2,
            frequencies=128,
            global_code=32,
            local_channels=32,
            local_grid=22,
        )

    def local_grid_size(self, bounds: tuple[float, ...]) -> tuple[int, ...]:
        """Return the vertices per axis, i first, of a box with these bounds: cells nearly cubic."""
        return tuple(max(2, round((self.local_grid - 1) * b / max(bounds)) + 1) for b in bounds)
