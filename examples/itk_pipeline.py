"""An ITK pipeline with the registration and its transform inside: bring labels to the fixed image.

python examples/itk_pipeline.py --fixed fixed.nii.gz --moving moving.nii.gz \
    --moving-labels labels.nii.gz -o result/
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import itk

from itk_nephi.phantoms import lung


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the pipeline, update it, and use the transform once more as read from its file."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--fixed", "--moving", "--moving-labels"):
        parser.add_argument(name, type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("itk_pipeline"))
    parser.add_argument("--steps", type=int, default=25, help="optimizer steps of each level")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)

    if not (options.fixed and options.moving and options.moving_labels):
        pair = lung(3, size=(48, 40, 36)).pair
        for name in ("fixed", "moving", "moving_labels"):
            setattr(options, name, options.output / f"{name}.nii.gz")
            itk.imwrite(pair.images[name], getattr(options, name))

    volume, labels = itk.Image[itk.F, 3], itk.Image[itk.UC, 3]
    fixed = itk.ImageFileReader[volume].New(file_name=str(options.fixed))
    moving = itk.ImageFileReader[volume].New(file_name=str(options.moving))
    quiet = itk.MedianImageFilter[volume, volume].New(moving, radius=1)

    method = itk.NePhiRegistrationMethod.New(fixed, quiet, steps=options.steps, seed=1)

    def tell() -> None:
        if method.GetCurrentIteration() % options.steps == 0:
            losses = method.GetLosses()
            print(f"step {method.GetCurrentIteration()}: {losses['dissimilarity']:.3f}")

    method.AddObserver(itk.IterationEvent(), tell)
    method.Update()
    itk.transformwrite(method.GetTransform(), options.output / "fixed_to_moving.h5")

    # Elsewhere, later, without torch: the file is enough.
    (transform,) = itk.transformread(options.output / "fixed_to_moving.h5")
    moving_labels = itk.ImageFileReader[labels].New(file_name=str(options.moving_labels))
    resampled = itk.ResampleImageFilter[labels, labels].New(
        moving_labels,
        transform=itk.down_cast(transform),
        interpolator=itk.NearestNeighborInterpolateImageFunction[labels, itk.D].New(),
        use_reference_image=True,
        reference_image=fixed.GetOutput(),
    )
    itk.ImageFileWriter[labels].New(
        resampled, file_name=str(options.output / "labels_on_fixed.nii.gz")
    ).Update()


if __name__ == "__main__":
    main()
