"""The header of an image file: its grid and the type of its voxels."""

from __future__ import annotations

from dataclasses import dataclass

from itk_nephi.spatial.domain import ImageDomain

_COLORS = ("rgb", "rgba")


@dataclass(frozen=True)
class ImageHeader:
    """The header of an image file; ``direction`` has a row per axis."""

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[tuple[float, ...], ...]
    pixel: str
    component: str
    components: int
    component_bytes: int

    @property
    def domain(self) -> ImageDomain:
        """The voxel grid in physical space; that of each frame where there are four axes."""
        axes = min(len(self.size), 3)
        directions = zip(*(row[:axes] for row in self.direction[:axes]), strict=True)
        return ImageDomain(
            self.size[:axes], self.spacing[:axes], self.origin[:axes], tuple(directions)
        )

    @property
    def is_color(self) -> bool:
        """Whether the voxels are colors."""
        return self.pixel in _COLORS
