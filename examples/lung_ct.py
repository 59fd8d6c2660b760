"""Register a lung CT, breathed out (fixed) and in (moving), with masks; or a synthetic chest.

python examples/lung_ct.py --fixed out.nii.gz --moving in.nii.gz --fixed-mask out_mask.nii.gz \
    --moving-mask in_mask.nii.gz -o result/
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import itk
import numpy as np

import itk_nephi
from itk_nephi.evaluation import folding_fraction, jacobian_determinant_image, landmark_errors
from itk_nephi.phantoms import lung


def main(arguments: Sequence[str] | None = None) -> None:
    """Register, tell how it went, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--fixed", "--moving", "--fixed-mask", "--moving-mask"):
        parser.add_argument(name, type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("lung_ct"))
    parser.add_argument("--steps", type=int, default=25, help="optimizer steps of each level")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)

    if options.fixed and options.moving:
        fixed, moving = itk.imread(options.fixed, itk.F), itk.imread(options.moving, itk.F)
        fixed_mask = itk.imread(options.fixed_mask) if options.fixed_mask else None
        moving_mask = itk.imread(options.moving_mask) if options.moving_mask else None
    else:
        pair = lung(3, size=(64, 56, 48)).pair
        fixed, moving = pair.fixed_image, pair.moving_image
        fixed_mask, moving_mask = pair.fixed_mask, pair.moving_mask

    registration = itk_nephi.register(
        fixed,
        moving,
        fixed_mask=fixed_mask,
        moving_mask=moving_mask,
        settings=itk_nephi.RegistrationSettings(steps=options.steps),
    )

    # Each voxel of the fixed grid asks where it comes from in the moving image.
    warped = itk.resample_image_filter(
        moving,
        transform=registration.fixed_to_moving,
        use_reference_image=True,
        reference_image=fixed,
        default_pixel_value=-1000,
    )
    itk.imwrite(warped, options.output / "warped.nii.gz")
    itk.transformwrite(registration.fixed_to_moving, options.output / "fixed_to_moving.h5")

    # Above 1 the lung expands from the fixed to the moving image; 0 or less is a fold.
    determinants = jacobian_determinant_image(registration.fixed_to_moving, fixed)
    itk.imwrite(determinants, options.output / "jacobian_determinant.nii.gz")
    inside = None if fixed_mask is None else np.asarray(fixed_mask) != 0
    print(f"folding: {folding_fraction(determinants, inside):.4%} of the voxels")
    if not options.fixed:
        points = pair.evaluation_landmarks
        before = landmark_errors(registration.initial_transform, *points).mean()
        now = landmark_errors(registration.fixed_to_moving, *points).mean()
        print(f"landmark error: {before:.2f} mm after the affine registration, {now:.2f} mm now")


if __name__ == "__main__":
    main()
