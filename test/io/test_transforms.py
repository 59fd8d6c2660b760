from __future__ import annotations

from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest

from itk_nephi.io.transforms import (
    TRANSFORM_SUFFIXES,
    WRITTEN_SUFFIXES,
    read_transform,
    require_transform_suffix,
    write_transform,
)
from itk_nephi.spatial.conversion import vector_image
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.transforms import compose, flatten, transform_points


@pytest.mark.parametrize("suffix", WRITTEN_SUFFIXES)
def test_an_affine_transform_survives_the_way_to_a_file_and_back(
    affine: Any, domain: ImageDomain, tmp_path: Path, suffix: str
) -> None:
    points = domain.grid_points().reshape(-1, domain.dimension)
    write_transform(affine, tmp_path / f"a{suffix}")
    found = read_transform(tmp_path / f"a{suffix}", "TRANSFORM", domain.dimension)
    assert found.GetNameOfClass() == "AffineTransform"
    np.testing.assert_allclose(transform_points(found, points), transform_points(affine, points))


@pytest.mark.parametrize("suffix", [".tfm", ".txt"])
def test_an_affine_transform_of_itk_snap_is_one(
    affine: Any, domain: ImageDomain, tmp_path: Path, suffix: str
) -> None:
    points = domain.grid_points().reshape(-1, domain.dimension)
    write_transform(affine, tmp_path / "a.tfm")
    text = (tmp_path / "a.tfm").read_text()
    path = tmp_path / f"b{suffix}"
    path.write_text(text.replace(" AffineTransform", " MatrixOffsetTransformBase"))
    found = read_transform(path, "TRANSFORM", domain.dimension)
    assert found.GetNameOfClass() == "AffineTransform"
    np.testing.assert_allclose(transform_points(found, points), transform_points(affine, points))
    path.write_text(text.replace(" AffineTransform", " PolyaffineTransform"))
    with pytest.raises(ValueError, match=r'instance of "PolyaffineTransform_double_\d_\d"$'):
        read_transform(path, "TRANSFORM")


def test_a_composite_is_one_transform(diffeomorphism: Any, tmp_path: Path) -> None:
    write_transform(diffeomorphism, tmp_path / "a.h5")
    parts = [part.GetNameOfClass() for part in flatten(read_transform(tmp_path / "a.h5", "T"))]
    assert parts == [part.GetNameOfClass() for part in flatten(diffeomorphism)]
    assert len(parts) == 2


def test_several_transforms_in_a_file_are_refused(affine: Any, tmp_path: Path) -> None:
    itk.transformwrite([affine, affine], str(tmp_path / "a.tfm"))
    with pytest.raises(ValueError, match=r"hold one transform .*, got .*a\.tfm with 2$"):
        read_transform(tmp_path / "a.tfm", "TRANSFORM")


def test_a_transform_of_another_dimension_is_refused(
    affine: Any, dimension: int, tmp_path: Path
) -> None:
    write_transform(affine, tmp_path / "a.tfm")
    other = 5 - dimension
    expected = rf"expected --start in {other} dimensions like the images, got .* in {dimension}$"
    with pytest.raises(ValueError, match=expected):
        read_transform(tmp_path / "a.tfm", "--start", other)


@pytest.mark.parametrize("suffix", ["h5", "tfm", "mat"])
def test_what_is_no_transform_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    with pytest.raises(ValueError, match="which does not exist"):
        read_transform(path, "TRANSFORM")
    path.write_text("once upon a time")
    with pytest.raises(ValueError, match=r"TRANSFORM to (be a transform .*|hold one .* with 0)"):
        read_transform(path, "TRANSFORM")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["AffineTransform_double_2_2", "1 0 0 1 5 6 7", "0 0"], "expected 6 parameters of .* 7"),
        (["AffineTransform_double_2_2", "1 0 0 1 5", "0 0"], ""),
        (["AffineTransform_double_2_2", "1 0 0 1 1e999 6", "0 0"], ""),
        (["CompositeTransform_double_2_2"], "a composite of no transforms"),
    ],
)
def test_numbers_that_itk_would_leave_out_are_refused(
    tmp_path: Path, lines: list[str], words: str
) -> None:
    path, names = tmp_path / "a.tfm", ("Transform", "Parameters", "FixedParameters")
    text = [f"{name}: {line}" for name, line in zip(names, lines, strict=False)]
    path.write_text("\n".join(["#Insight Transform File V1.0", "#Transform 0", *text, ""]))
    with pytest.raises(ValueError, match=f"expected --start to be a transform .*{words}"):
        read_transform(path, "--start")


def test_large_transforms_are_compressed(tmp_path: Path) -> None:
    spline = itk.BSplineTransform[itk.D, 2, 3].New()
    spline.SetTransformDomainMeshSize([60, 60])
    count = spline.GetNumberOfParameters()
    write_transform(compose([spline]), tmp_path / "a.h5")
    assert (tmp_path / "a.h5").stat().st_size < 8 * count / 2


def test_a_format_that_itk_has_not_is_named(affine: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected to write a transform to .*a\.xyz, whose"):
        write_transform(affine, tmp_path / "a.xyz")


@pytest.mark.parametrize("suffix", [*TRANSFORM_SUFFIXES, ".H5", ".nrrd", ""])
def test_the_suffixes_that_are_taken_are_those_that_itk_writes_and_reads(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    try:
        itk.transformwrite(itk.AffineTransform[itk.D, 2].New(), str(path))
        itk.transformread(str(path))
    except RuntimeError:
        with pytest.raises(ValueError, match=r"none of a transform that ITK writes; take \.h5 or"):
            require_transform_suffix(path)
    else:
        require_transform_suffix(path)


@pytest.mark.parametrize("suffix", [".tfm", ".txt", ".h5", ".mat"])
def test_a_cut_file_is_refused(tmp_path: Path, suffix: str) -> None:
    spline = itk.BSplineTransform[itk.D, 2, 3].New()
    spline.SetTransformDomainMeshSize([3, 3])
    path = tmp_path / f"a{suffix}"
    write_transform(spline, path)
    content = path.read_bytes()
    for kept in (len(content) // 3, len(content) // 2, len(content) * 9 // 10):
        path.write_bytes(content[:kept])
        with pytest.raises(ValueError, match=f"a transform that ITK can read, got {path}: "):
            read_transform(path, "TRANSFORM")


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_field_is_read_as_a_transform(image: Any, tmp_path: Path, suffix: str) -> None:
    shape = (*itk.array_from_image(image).shape, image.GetImageDimension())
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    path = tmp_path / f"1Warp{suffix}"
    itk.imwrite(vector_image(values, image, itk.F), str(path))
    transform = read_transform(path, "TRANSFORM", image.GetImageDimension())
    points = ImageDomain.of(image).grid_points().reshape(-1, shape[-1])
    moved = transform_points(transform, points)
    np.testing.assert_allclose(moved - points, values.reshape(-1, shape[-1]), atol=1e-4)
    itk.imwrite(image, str(path))
    with pytest.raises(ValueError, match="a transform that ITK can read, or an image of displ"):
        read_transform(path, "TRANSFORM")
