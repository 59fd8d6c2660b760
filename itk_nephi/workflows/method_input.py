"""What a registration method is asked for: the same pair, masks and start, whatever the method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import itk
import numpy as np

from itk_nephi.io.pair_files import Case
from itk_nephi.spatial.domain import image_like
from itk_nephi.spatial.preparation import checked_image, checked_mask
from itk_nephi.spatial.transforms import matrix_and_offset


@dataclass(frozen=True, kw_only=True)
class MethodInput:
    """What a method is asked for.

    Parameters
    ----------
    case : Case
        The pair and its masks; landmarks and labels are not for methods to see.
    initial_transform : itk.Transform or str
        From fixed to moving space, or a kind, see
        :func:`itk_nephi.spatial.initialization.compute_initial_transform`.
    folder : Path
        Where a method may leave files.
    elastix_parameters : sequence of Path
        elastix's parameter files; its default affine and B-spline when empty.
    seed : int, optional
        Of all random numbers; each method's own when left out.
    threads : int
        How many to use.
    """

    case: Case
    initial_transform: Any
    folder: Path
    elastix_parameters: Sequence[Path] = ()
    seed: int | None = None
    threads: int = 1

    @property
    def images(self) -> tuple[Any, Any]:
        """The fixed and the moving image as ``itk.Image`` of float."""
        fixed, moving = (
            image_like(image, np.asarray(image).astype(np.float32))
            for image in (self.case.fixed, self.case.moving)
        )
        return fixed, moving

    @property
    def masks(self) -> tuple[Any | None, Any | None]:
        """The masks as ``itk.Image`` of unsigned char, 1 where they are not zero."""
        fixed, moving = (
            None if mask is None else image_like(mask, (np.asarray(mask) != 0).astype(np.uint8))
            for mask in (self.case.fixed_mask, self.case.moving_mask)
        )
        return fixed, moving

    def initial_affine(self) -> Any:
        """Return the initial transform as an ``itk.AffineTransform``, fixed to moving.

        Raises
        ------
        ValueError
            If it is not linear.
        """
        initial_transform = self.initial_transform
        if isinstance(initial_transform, str):
            from itk_nephi.spatial.initialization import compute_initial_transform

            case = self.case
            masks = [
                None if mask is None else checked_mask(mask, f"{name}_mask", image, name)
                for name, mask, image in (
                    ("fixed", case.fixed_mask, case.fixed),
                    ("moving", case.moving_mask, case.moving),
                )
            ]
            images = checked_image(case.fixed, "fixed"), checked_image(case.moving, "moving")
            initial_transform = compute_initial_transform(initial_transform, *images, *masks)
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
