"""The input of a registration method: the same pair, masks and start, whatever the method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np

from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Image, Transform, image_like
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.initialization import InitialTransformKind
from itk_nephi.spatial.preparation import checked_image, checked_mask
from itk_nephi.spatial.transforms import matrix_and_offset


@dataclass(frozen=True, kw_only=True)
class MethodInput:
    """What a method is asked for.

    Parameters
    ----------
    pair : ImagePair
        The pair, its masks and its initial transform. Landmarks and labels are taken out of it:
        they are not for methods to see.
    folder : Path
        Where a method may leave files.
    elastix_parameters : sequence of Path
        elastix's parameter files; its default affine and B-spline when empty.
    seed : int, optional
        Of all random numbers; each method's own when left out.
    threads : int
        How many to use.
    """

    pair: ImagePair
    folder: Path
    elastix_parameters: Sequence[Path] = ()
    seed: int | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        blind = replace(self.pair, guide_landmarks=None, evaluation_landmarks=None, labels=None)
        object.__setattr__(self, "pair", blind)

    @property
    def images(self) -> tuple[Image, Image]:
        """The fixed and the moving image as ``itk.Image`` of float."""
        fixed, moving = (
            image_like(image, itk.array_view_from_image(image).astype(np.float32))
            for image in (self.pair.fixed_image, self.pair.moving_image)
        )
        return fixed, moving

    @property
    def masks(self) -> tuple[Image | None, Image | None]:
        """The masks as ``itk.Image`` of unsigned char, 1 where they are non-zero."""
        fixed, moving = (
            None
            if mask is None
            else image_like(mask, (itk.array_view_from_image(mask) != 0).astype(np.uint8))
            for mask in (self.pair.fixed_mask, self.pair.moving_mask)
        )
        return fixed, moving

    def initial_affine(self) -> Transform:
        """Return the initial transform as an ``itk.AffineTransform``, fixed to moving.

        Raises
        ------
        ValueError
            If it is not linear.
        """
        pair = self.pair
        initial_transform = pair.initial_transform
        if initial_transform is None or isinstance(initial_transform, str):
            from itk_nephi.alignment.initialization import compute_initial_transform

            masks = [
                None if mask is None else checked_mask(mask, f"{name}_mask", image, name)
                for name, mask, image in (
                    ("fixed", pair.fixed_mask, pair.fixed_image),
                    ("moving", pair.moving_mask, pair.moving_image),
                )
            ]
            images = (
                checked_image(pair.fixed_image, "fixed"),
                checked_image(pair.moving_image, "moving"),
            )
            initial_transform = compute_initial_transform(
                cast(InitialTransformKind, initial_transform or "identity"), *images, *masks
            )
        if not initial_transform.IsLinear():
            raise ValueError(
                "expected a linear initial transform for this method, got "
                f"{type(initial_transform).__name__}"
            )
        matrix, offset = matrix_and_offset(initial_transform)
        affine = itk.AffineTransform[itk.D, len(offset)].New()
        affine.SetMatrix(itk.matrix_from_array(matrix))
        affine.SetTranslation(offset.tolist())
        return affine
