"""The image pair to register: the images of two subjects, and all that is known about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from itk_nephi.spatial.domain import Array, Image, Transform


@dataclass(frozen=True, kw_only=True, eq=False)
class ImagePair:
    """Two images to register, or several of each subject, and what steers or judges the result.

    Parameters
    ----------
    fixed, moving : tuple of itk.Image
        The images of each subject, as many of one as of the other, in 2 or 3 dimensions; those of
        a subject lie on one grid. The first fixed image gives the output grid.
    channel_weights : tuple of float, optional
        The weight of each image of a subject in the objective; all the same when left out.
    fixed_mask, moving_mask : itk.Image, optional
        Non-zero where the images are compared, or weights in [0, 1]; on the grids of the images.
    initial_transform : itk.Transform, str or None
        From fixed to moving space, or a kind, see
        :func:`itk_nephi.alignment.compute_initial_transform`. None is the identity.
    guide_landmarks : (fixed_points, moving_points) or with weights as a third, optional
        Corresponding points that steer the registration, shape (N, D), mm; weights of shape (N,).
    evaluation_landmarks : (fixed_points, moving_points), optional
        Corresponding points that only judge the result, shape (N, D), mm.
    labels : (fixed_labels, moving_labels), optional
        Images of whole numbers, 0 is background, that only judge the result.
    name : str
        What messages and tables call the pair.
    sources : mapping of str to Path
        The files that it was read from, if any: those of ``images`` by the same names,
        guide_landmarks, evaluation_landmarks, initial_transform.

    Raises
    ------
    TypeError
        If something is not an image, or images of a subject are not a tuple.
    ValueError
        If dimensions, numbers of images, or shapes of landmarks do not fit together, or a weight is
        out of range.
    """

    fixed: tuple[Image, ...]
    moving: tuple[Image, ...]
    channel_weights: tuple[float, ...] | None = None
    fixed_mask: Image | None = None
    moving_mask: Image | None = None
    initial_transform: Transform | str | None = "affine"
    guide_landmarks: tuple[Array, Array] | tuple[Array, Array, Array] | None = None
    evaluation_landmarks: tuple[Array, Array] | None = None
    labels: tuple[Image, Image] | None = None
    name: str = "pair"
    sources: Mapping[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("fixed", "moving"):
            images = getattr(self, name)
            if not isinstance(images, tuple):
                raise TypeError(
                    f"expected {name} to be a tuple of images, got {type(images).__name__}"
                )
            if not images:
                raise ValueError(f"expected {name} to be one or more images, got none")
        for name, image in self.images.items():
            if not hasattr(image, "GetImageDimension"):
                raise TypeError(f"expected {name} to be an itk.Image, got {type(image).__name__}")
            if image.GetImageDimension() != self.dimension:
                raise ValueError(
                    f"expected {name} in {self.dimension} dimensions like fixed, got "
                    f"{image.GetImageDimension()}"
                )
        count = len(self.fixed)
        if len(self.moving) != count:
            raise ValueError(
                f"expected as many moving as fixed images, got {len(self.moving)} and {count}"
            )
        weights = self.channel_weights
        if weights is not None and (
            len(weights) != count or not all(0 < weight < np.inf for weight in weights)
        ):
            raise ValueError(
                "expected channel_weights to be a number of more than 0 for each image of a "
                f"subject, {count} in all, got {weights}"
            )
        for name, most in (("guide_landmarks", 3), ("evaluation_landmarks", 2)):
            if getattr(self, name) is not None:
                _check_landmarks(getattr(self, name), name, self.dimension, most)

    @property
    def dimension(self) -> int:
        """Number of spatial dimensions, 2 or 3."""
        return int(self.fixed_image.GetImageDimension())

    @property
    def fixed_image(self) -> Image:
        """The first fixed image, whose grid is the output grid."""
        return self.fixed[0]

    @property
    def moving_image(self) -> Image:
        """The first moving image."""
        return self.moving[0]

    @property
    def images(self) -> dict[str, Image]:
        """All images by name: fixed, fixed_channel_1, ..., moving, fixed_mask, fixed_labels, ..."""
        named = {
            f"{name}_channel_{number}" if number else name: image
            for name, images in (("fixed", self.fixed), ("moving", self.moving))
            for number, image in enumerate(images)
        }
        masks = {"fixed_mask": self.fixed_mask, "moving_mask": self.moving_mask}
        named |= {name: mask for name, mask in masks.items() if mask is not None}
        if self.labels is not None:
            named |= dict(zip(("fixed_labels", "moving_labels"), self.labels, strict=True))
        return named


def _check_landmarks(landmarks: tuple[Array, ...], name: str, dimension: int, most: int) -> None:
    """Check fixed points, moving points and, where ``most`` is 3, perhaps weights."""
    shapes = [np.shape(values) for values in landmarks]
    count = shapes[0][0] if shapes and shapes[0] else 0
    expected = [(count, dimension), (count, dimension), (count,)][: max(2, min(len(shapes), most))]
    if not count or shapes != expected:
        weights = " and perhaps weights of shape (N,)" if most == 3 else ""
        raise ValueError(
            f"expected {name} of shape (N, {dimension}) in both images{weights}, got "
            f"{' and '.join(map(str, shapes)) or 'none'}"
        )
