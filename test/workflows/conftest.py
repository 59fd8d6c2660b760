"""Files of two subjects of blobs, with elastix's parameters for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest

from itk_nephi.io.pair_files import PairPaths, landmark_columns, read_pair
from itk_nephi.spatial.domain import ImageDomain, image_from_array, image_like
from itk_nephi.spatial.image_pair import ImagePair

PARAMETERS = """
(Registration "MultiResolutionRegistration")
(FixedImagePyramid "FixedSmoothingImagePyramid")
(MovingImagePyramid "MovingSmoothingImagePyramid")
(Interpolator "LinearInterpolator")
(ResampleInterpolator "FinalBSplineInterpolator")
(Resampler "DefaultResampler")
(Metric "AdvancedMeanSquares")
(Optimizer "AdaptiveStochasticGradientDescent")
(ImageSampler "RandomCoordinate")
(NumberOfResolutions 1)
(MaximumNumberOfIterations 60)
(NumberOfSpatialSamples 400)
(RequiredRatioOfValidSamples 0.05)
"""
STAGES = {
    "affine": '(Transform "AffineTransform")\n(AutomaticTransformInitialization "true")\n',
    "bspline": '(Transform "BSplineTransform")\n(FinalGridSpacingInPhysicalUnits 20)\n',
}


@pytest.fixture
def paths(domain: ImageDomain, tmp_path: Path) -> dict[str, Path]:
    """Files of a pair of blobs, turned, shifted and bent by a known map of moving points."""
    dimension = domain.dimension
    fixed_domain = replace(
        domain, size=(30, 26, 20)[:dimension], spacing=(1.5, 1.7, 2.1)[:dimension]
    )
    shift = np.array([3.0, -2.0, 4.0][:dimension])
    origin = tuple(float(x) for x in np.array(fixed_domain.origin) + shift)
    moving_domain = replace(fixed_domain, origin=origin)
    rng = np.random.default_rng(0)
    half = fixed_domain.half_extent
    centers = fixed_domain.center + rng.uniform(-0.8, 0.8, (30, dimension)) * half
    heights = rng.uniform(50, 150, 30)

    def blobs(points: Any) -> Any:
        return sum(
            height * np.exp(-np.square(points - center).sum(axis=-1) / 50)
            for height, center in zip(heights, centers, strict=True)
        )

    def to_fixed(points: Any) -> Any:
        coords = (points - shift - fixed_domain.center) / half.max()
        return points - shift + 1.5 * np.sin(2 * np.roll(coords, 1, axis=-1))

    points = moving_domain.center + rng.uniform(-0.5, 0.5, (25, dimension)) * half
    found = {name: tmp_path / f"{name}.nrrd" for name in ("fixed", "moving")}
    for name, grid, coords in (
        ("fixed", fixed_domain, fixed_domain.grid_points()),
        ("moving", moving_domain, to_fixed(moving_domain.grid_points())),
    ):
        image = image_from_array(blobs(coords).astype(np.float32), grid)
        inside = np.zeros(np.asarray(image).shape, np.uint8)
        inside[(slice(1, -1),) * dimension] = 1
        labels = 1 + (np.asarray(image) > 60)
        itk.imwrite(image, found[name])
        for kind, values in (("mask", inside), ("labels", labels.astype(np.uint8))):
            found[f"{name}_{kind}"] = tmp_path / f"{name}_{kind}.nrrd"
            itk.imwrite(image_like(image, values), found[f"{name}_{kind}"])
    found["evaluation_landmarks"] = tmp_path / "landmarks.csv"
    np.savetxt(
        found["evaluation_landmarks"],
        np.hstack([to_fixed(points), points]),
        delimiter=",",
        header=",".join(landmark_columns(dimension)),
        comments="",
    )
    for name, text in STAGES.items():
        found[name] = tmp_path / f"{name}.txt"
        found[name].write_text(PARAMETERS + text)
    return found


@pytest.fixture
def pair(paths: dict[str, Path]) -> ImagePair:
    stages = STAGES.keys()
    files = {name: path for name, path in paths.items() if name not in stages}
    return read_pair(PairPaths(**files, initial_transform="moments"))
