"""Register two differently stained sections in 2D; or two drawings of opposite contrast.

python examples/histology_2d.py --fixed he.png --moving ihc.png -o result/
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import itk
import numpy as np

import itk_nephi
from itk_nephi.phantoms import lung
from itk_nephi.spatial import ImageDomain, image_like, transform_points


def main(arguments: Sequence[str] | None = None) -> None:
    """Register, and write the warped section and where a grid of points goes, both ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--fixed", "--moving"):
        parser.add_argument(name, type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("histology_2d"))
    parser.add_argument("--steps", type=int, default=25, help="optimizer steps of each level")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)

    if options.fixed and options.moving:
        # As itk.F, ITK reads colors as their luminance.
        fixed, moving = itk.imread(options.fixed, itk.F), itk.imread(options.moving, itk.F)
    else:
        pair = lung(2, size=(96, 72)).pair
        fixed = pair.fixed_image
        moving = image_like(pair.moving_image, -np.asarray(pair.moving_image))

    # Stains differ in contrast, so structure is compared, not intensity. Blurs are in voxels: large
    # sections gain from coarser levels before, such as (8, 4, 2, 1).
    registration = itk_nephi.register(
        fixed,
        moving,
        settings=itk_nephi.RegistrationSettings(
            similarity="mind_ssc", smoothing_sigmas=(4, 2, 1), steps=options.steps
        ),
    )

    warped = itk.resample_image_filter(
        moving,
        transform=registration.fixed_to_moving,
        use_reference_image=True,
        reference_image=fixed,
    )
    itk.imwrite(warped, options.output / "warped.nii.gz")
    for name in ("fixed_to_moving", "moving_to_fixed"):
        itk.transformwrite(getattr(registration, name), options.output / f"{name}.h5")

    # Points of the fixed section, such as landmarks or outlines, found in the moving one and back.
    domain = ImageDomain.of(fixed)
    points = domain.points_from_index(np.mgrid[2:8, 2:8].reshape(2, -1).T / 10 * domain.size)
    found = transform_points(registration.fixed_to_moving, points)
    back = transform_points(registration.moving_to_fixed, found)
    np.savetxt(
        options.output / "points.csv",
        np.concatenate([points, found], axis=1),
        delimiter=",",
        header="fixed_x,fixed_y,moving_x,moving_y",
        comments="",
    )
    errors = np.linalg.norm(back - points, axis=1)
    print(f"inverse consistency error: {errors.mean():.3f} mm on average")


if __name__ == "__main__":
    main()
