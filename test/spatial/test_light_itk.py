from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest

from itk_nephi.io.image_writing import write_image
from itk_nephi.io.transforms import write_transform
from itk_nephi.spatial import light_itk
from itk_nephi.spatial.domain import ImageDomain, image_from_array
from itk_nephi.spatial.transforms import compose

PIXEL_TYPES = {
    "UC": np.uint8,
    "US": np.uint16,
    "SS": np.int16,
    "UI": np.uint32,
    "SI": np.int32,
    "F": np.float32,
    "D": np.float64,
}


def values_of(kind: Any, shape: tuple[int, ...]) -> Any:
    return np.random.default_rng(0).integers(0, 100, shape).astype(kind)


@pytest.mark.parametrize(
    "name",
    [
        "AffineTransform",
        "CompositeTransform",
        "DisplacementFieldTransform",
        "IdentityTransform",
        "NePhiTransform",
        "TranslationTransform",
    ],
)
def test_transforms_are_the_classes_of_itk(name: str, dimension: int) -> None:
    found = getattr(light_itk, name)[light_itk.D, dimension]
    assert found is getattr(itk, name)[itk.D, dimension]


def test_other_classes_are_those_of_itk(dimension: int) -> None:
    light: Any = light_itk
    size = dimension, dimension
    assert light.BSplineTransform[itk.D, dimension, 3] is itk.BSplineTransform[itk.D, dimension, 3]
    assert light.Matrix[itk.D, *size] is itk.Matrix[itk.D, *size]
    assert light.OptimizerParameters[itk.D] is itk.OptimizerParameters[itk.D]
    assert light.Object is itk.Object
    vector = itk.Vector[itk.F, dimension]
    assert light.Vector[itk.F, dimension] is vector
    assert light.Image[vector, dimension] is itk.Image[vector, dimension]
    assert light.MedianImageFilter is itk.MedianImageFilter  # which has no name of its own there


@pytest.mark.parametrize("short", PIXEL_TYPES)
def test_images_hold_the_values_of_arrays(short: str, dimension: int) -> None:
    values = values_of(PIXEL_TYPES[short], (4, 5, 6)[:dimension])
    image = light_itk.image_from_array(values)
    assert isinstance(image, itk.Image[getattr(itk, short), dimension])
    for array in (light_itk.array_view_from_image(image), itk.array_view_from_image(image)):
        assert array.dtype == values.dtype
        np.testing.assert_array_equal(array, values)


@pytest.mark.parametrize("short", PIXEL_TYPES)
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha", ".hdf5"])
def test_images_are_read_and_written_as_by_itk(short: str, suffix: str, tmp_path: Path) -> None:
    values = values_of(PIXEL_TYPES[short], (4, 5, 6))
    path = str(tmp_path / f"image{suffix}")
    light_itk.imwrite(light_itk.image_from_array(values), path, compression=True)
    for read in (light_itk.imread, itk.imread):
        image = read(path)
        assert isinstance(image, itk.Image[getattr(itk, short), 3])
        np.testing.assert_array_equal(itk.array_view_from_image(image), values)
    assert isinstance(light_itk.imread(path, light_itk.F), itk.Image[itk.F, 3])


def test_the_pixels_live_as_long_as_their_array(dimension: int) -> None:
    values = values_of(np.float32, (40, 50, 60)[:dimension])
    array = light_itk.array_view_from_image(light_itk.image_from_array(values))
    gc.collect()
    others = [light_itk.image_from_array(np.zeros_like(values)) for _ in range(5)]
    np.testing.assert_array_equal(array, values)
    array[...] = 1  # and is no copy that cannot be written to
    assert len(others) == 5


def test_matrices_come_back_as_they_were(dimension: int) -> None:
    values = np.random.default_rng(1).normal(size=(dimension, dimension))
    matrix = light_itk.matrix_from_array(values)
    assert isinstance(matrix, itk.Matrix[itk.D, dimension, dimension])
    np.testing.assert_array_equal(itk.array_from_matrix(matrix), values)
    np.testing.assert_array_equal(light_itk.array_from_matrix(matrix), values)


@pytest.mark.parametrize("short", ["UC", "SS", "F"])
def test_images_are_resampled_as_by_itk(short: str, affine: Any, domain: ImageDomain) -> None:
    image = image_from_array(values_of(PIXEL_TYPES[short], domain.size[::-1]), domain)
    settings = {
        "transform": affine,
        "reference_image": image,
        "use_reference_image": True,
        "default_pixel_value": 7,
    }
    for name in ("LinearInterpolateImageFunction", "NearestNeighborInterpolateImageFunction"):
        expected = itk.resample_image_filter(
            image, interpolator=getattr(itk, name).New(image), **settings
        )
        found = light_itk.resample_image_filter(
            image, interpolator=getattr(light_itk, name).New(image), **settings
        )
        np.testing.assert_array_equal(found, expected)


def test_displacements_are_sampled_as_by_itk(affine: Any, image: Any, dimension: int) -> None:
    vectors = itk.Image[itk.Vector[itk.F, dimension], dimension]
    expected = itk.TransformToDisplacementFieldFilter[vectors, itk.D].New(
        transform=affine, reference_image=image, use_reference_image=True
    )
    expected.Update()
    found = light_itk.displacement_field(affine, reference_image=image, use_reference_image=True)
    np.testing.assert_array_equal(
        light_itk.array_view_from_image(found), itk.array_view_from_image(expected.GetOutput())
    )


@pytest.mark.parametrize("suffix", [".h5", ".tfm", ".mat"])
def test_transforms_are_read_as_their_own_class(suffix: str, tmp_path: Path) -> None:
    rigid = itk.Euler3DTransform[itk.D].New()
    rigid.SetRotation(0.1, 0.2, 0.3)
    for number, transform in enumerate(
        (rigid, itk.BSplineTransform[itk.D, 3, 3].New(), itk.VersorRigid3DTransform[itk.D].New())
    ):
        path = str(tmp_path / f"{number}{suffix}")
        light_itk.transformwrite(transform, path)
        (found,), (expected,) = light_itk.transformread(path), itk.transformread(path)
        assert type(found) is type(expected) is type(transform)
        np.testing.assert_array_equal(found.GetParameters(), transform.GetParameters())


def test_commands_load_single_classes(tmp_path: Path, image: Any, affine: Any) -> None:
    write_image(image, tmp_path / "image.nii.gz")
    write_transform(compose([affine]), tmp_path / "affine.h5")
    (tmp_path / "points.csv").write_text("x,y,z\n1,2,3\n")
    commands = [
        "info affine.h5",
        "info image.nii.gz",
        "transform-image image.nii.gz affine.h5 --reference image.nii.gz -o warped.nii.gz",
        "jacobian affine.h5 --reference image.nii.gz -o determinants.nii.gz",
        "convert affine.h5 --reference image.nii.gz -o field.nii.gz",
        "register image.nii.gz image.nii.gz -o out --initial-transform identity --steps 1",
    ]
    if image.GetImageDimension() == 3:
        commands.append("transform-points points.csv affine.h5 -o moved.csv")
    code = """
import shlex, sys
from itk_nephi.cli.app import main
for command in sys.argv[1:]:
    sys.argv = ["itk-nephi", *shlex.split(command)]
    try:
        main()
    except SystemExit as end:
        assert not end.code, command
    assert "itk.ITKCommonPython" not in sys.modules, command
"""
    subprocess.run([sys.executable, "-c", code, *commands], cwd=tmp_path, check=True)
