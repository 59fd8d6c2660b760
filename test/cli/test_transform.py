from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest
from support.command_line import assert_fails, run
from support.dicom_series import write_series
from support.transforms import read_transform
from typer.testing import Result

from itk_nephi.evaluation.metrics import jacobian_determinant_image
from itk_nephi.io.images import read_voxels
from itk_nephi.spatial.domain import ImageDomain, image_from_array
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.resampling import resample
from itk_nephi.spatial.transforms import compose, flatten, transform_points


@pytest.fixture
def folder(diffeomorphism: Any, image: Any, tmp_path: Path) -> Path:
    made = tmp_path / "inputs"
    made.mkdir()
    itk.transformwrite(diffeomorphism, str(made / "fixed_to_moving.h5"))
    itk.imwrite(image, str(made / "fixed.nrrd"))
    dimension = image.GetImageDimension()
    itk.transformwrite(itk.AffineTransform[itk.D, 5 - dimension].New(), str(made / "other.tfm"))
    return made


@pytest.fixture
def points(domain: ImageDomain) -> np.ndarray:
    relative = np.random.default_rng(7).uniform(-0.95, 0.95, (20, domain.dimension))
    return domain.points_from_coords(relative * domain.bounds)


def succeeded(result: Result) -> Result:
    assert result.exit_code == 0, result.output
    return result


# transform-image


@pytest.mark.parametrize("pixel", [np.uint8, np.int16, np.uint16, np.float32, np.float64, np.int32])
def test_an_image_is_resampled_as_itk_does_and_keeps_its_pixel_type(
    inputs: Path, tmp_path: Path, pixel: type
) -> None:
    values = np.random.default_rng(0).integers(0, 200, size=(9, 11)).astype(pixel)
    itk.imwrite(itk.image_from_array(values), str(tmp_path / "moving.nrrd"))
    itk.imwrite(itk.image_from_array(np.zeros((8, 10), np.uint8)), str(tmp_path / "grid.nrrd"))
    output = tmp_path / "new" / "out.nrrd"
    transform = read_transform(inputs / "affine.tfm")
    for interpolation, interpolator in (
        ("linear", itk.LinearInterpolateImageFunction),
        ("nearest", itk.NearestNeighborInterpolateImageFunction),
        ("bspline", itk.BSplineInterpolateImageFunction),
    ):
        files = [tmp_path / "moving.nrrd", inputs / "affine.tfm"]
        options = ["--reference", tmp_path / "grid.nrrd", "-o", output, "--outside", "7"]
        result = run("transform-image", *files, *options, "--interpolation", interpolation)
        assert result.exit_code == 0, result.output
        image = itk.image_from_array(values.astype(np.float64))
        expected = itk.resample_image_filter(
            image,
            transform=transform,
            interpolator=interpolator.New(image),
            size=[10, 8],
            default_pixel_value=7,
        )
        found = np.asarray(itk.imread(str(output)))
        assert found.dtype == pixel
        tolerance = 1 if pixel(0.5) == 0 else 1e-4  # ITK cuts fractions off
        inside = np.clip(expected, 0, np.iinfo(pixel).max if tolerance == 1 else None)
        if interpolation != "bspline":
            np.testing.assert_allclose(found, inside, rtol=0, atol=tolerance)
        if interpolation == "nearest":
            np.testing.assert_array_equal(found, expected)


def test_transforms_are_applied_in_the_given_order(inputs: Path, tmp_path: Path) -> None:
    stretch = itk.AffineTransform[itk.D, 2].New()
    stretch.SetMatrix(itk.matrix_from_array(np.diag([2.0, 1.0])))
    itk.transformwrite(stretch, str(tmp_path / "stretch.tfm"))
    values = np.arange(40.0, dtype=np.float32)[None].repeat(6, axis=0)
    itk.imwrite(itk.image_from_array(values), str(tmp_path / "ramp.nrrd"))
    files = [tmp_path / "ramp.nrrd", inputs / "affine.tfm", tmp_path / "stretch.tfm"]
    output = tmp_path / "out.nrrd"
    result = run("transform-image", *files, "--reference", tmp_path / "ramp.nrrd", "-o", output)
    assert result.exit_code == 0, result.output
    assert np.asarray(itk.imread(str(output)))[4, 3] == 2 * (3 + 4)


def test_colors_and_vectors_are_resampled_component_by_component(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    shift = itk.TranslationTransform[itk.D, 2].New()
    shift.SetOffset([1.5, -1.0])
    itk.transformwrite(shift, str(tmp_path / "shift.tfm"))
    for name, kind, components in (
        ("color.png", np.uint8, 3),
        ("alpha.png", np.uint8, 4),
        ("field.nrrd", np.float32, 2),
        ("tensor.mha", np.float64, 3),
        ("deep.nrrd", np.uint16, 5),
    ):
        values = (random.random((6, 7, components)) * 200).astype(kind)
        itk.imwrite(itk.image_from_array(values, is_vector=True), str(tmp_path / name))
        files = [tmp_path / name, tmp_path / "shift.tfm", "--reference", tmp_path / name]
        output = tmp_path / f"out-{name}"
        result = run("transform-image", *files, "-o", output)
        assert result.exit_code == 0, result.output
        assert "luminance" not in result.stderr
        expected = [
            np.asarray(resample(image, [shift], image))
            for image in map(itk.image_from_array, np.ascontiguousarray(np.moveaxis(values, -1, 0)))
        ]
        _, found = read_voxels(output, "FILE")
        assert found.dtype == kind
        np.testing.assert_array_equal(found[0], np.stack(expected, axis=-1))


@pytest.mark.parametrize("frames", [2, 5])
def test_a_series_is_resampled_frame_by_frame(tmp_path: Path, frames: int) -> None:
    values = np.random.default_rng(0).integers(0, 900, (frames, 5, 5, 5)).astype(np.int16)
    series = itk.image_from_array(values)
    series.SetSpacing([1.0, 1.5, 2.0, 0.8])
    series.SetOrigin([3.0, 4.0, 5.0, 6.0])
    itk.imwrite(series, str(tmp_path / "series.nii.gz"))
    shift = itk.TranslationTransform[itk.D, 3].New()
    shift.SetOffset([1.0, 0.0, 2.0])
    itk.transformwrite(shift, str(tmp_path / "shift.tfm"))
    files = [tmp_path / "series.nii.gz", tmp_path / "shift.tfm"]
    output = tmp_path / "out.nii.gz"
    succeeded(
        run("transform-image", *files, "--reference", tmp_path / "series.nii.gz", "-o", output)
    )
    found = itk.imread(str(output))
    expected = np.zeros_like(values)
    expected[:, :-1, :, :-1] = values[:, 1:, :, 1:]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(found.GetSpacing(), series.GetSpacing(), rtol=1e-6)
    np.testing.assert_allclose(found.GetOrigin(), series.GetOrigin(), rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("int8", [-128, -1, 0, 127]),
        ("int16", [-32768, -1, 0, 32767]),
        ("uint32", [0, 1, 2**31, 2**32 - 1]),
        ("int32", [-(2**31), -1, 0, 2**31 - 1]),
        ("int64", [0, 1, 2**53 + 1, 2**63 - 1]),
        ("int64", [-(2**31), -1, 0, 2**31 - 1]),
        ("uint64", [0, 1, 2**53 + 1, 2**64 - 1]),
    ],
)
def test_labels_of_every_type_are_exact(tmp_path: Path, kind: str, values: list[int]) -> None:
    header = f"NRRD0004\ntype: {kind}\ndimension: 2\nsizes: 2 2\nencoding: raw\nendian: little\n"
    voxels = np.array(values, kind).reshape(2, 2)
    (tmp_path / "a.nrrd").write_bytes(header.encode() + b"\n" + voxels.tobytes())
    itk.transformwrite(itk.IdentityTransform[itk.D, 2].New(), str(tmp_path / "identity.tfm"))
    files = [tmp_path / "a.nrrd", tmp_path / "identity.tfm", "--reference", tmp_path / "a.nrrd"]
    options = ["--interpolation", "nearest", "-o", tmp_path / "o.nrrd"]
    result = run("transform-image", *files, *options)
    assert result.exit_code == 0, result.output
    # the type that ITK's Python lacks is named
    assert (f"{kind} values are written as" in result.stderr) == (kind in ("int8", "int64"))
    _, found = read_voxels(tmp_path / "o.nrrd", "FILE")
    assert found[0, ..., 0].tolist() == voxels.tolist()


def test_transform_image_refuses_what_does_not_fit(inputs: Path, tmp_path: Path) -> None:
    moving, affine = inputs / "moving.nrrd", inputs / "affine.tfm"
    labels = inputs / "moving_labels.nrrd"
    solid = tmp_path / "solid.nrrd"
    itk.imwrite(itk.image_from_array(np.ones((4, 5, 6), np.float32)), str(solid))
    output = tmp_path / "new" / "out.nrrd"
    for arguments, fragment in (
        ([moving, inputs / "affine3d.tfm", "--reference", moving], "TRANSFORM in 2 dimensions"),
        ([moving, affine, "--reference", solid], "--reference in 2 dimensions like MOVING"),
        ([labels, affine, "--reference", moving, "--outside", "256"], "pixel type, uint8, got 256"),
        ([labels, affine, "--reference", moving, "--outside", "0.5"], "pixel type, uint8, got 0.5"),
        ([moving, tmp_path / "none.h5", "--reference", moving], "expected TRANSFORM to be a file"),
        ([moving, moving, "--reference", moving], "TRANSFORM to be a transform that ITK can read"),
    ):
        assert_fails(run("transform-image", *arguments, "-o", output), fragment)
        assert not output.parent.exists()


@pytest.mark.parametrize("command", ["transform-image", "jacobian"])
def test_an_output_that_is_an_input_or_a_folder_is_refused(
    inputs: Path, tmp_path: Path, command: str
) -> None:
    moving = Path(shutil.copy(inputs / "moving.nrrd", tmp_path))
    affine = inputs / "affine.tfm"
    files = [affine] if command == "jacobian" else [moving, affine]
    content = moving.read_bytes()
    assert_fails(
        run(command, *files, "--reference", moving, "-o", moving),
        f"expected --output to replace no input, got {moving} as both",
    )
    assert moving.read_bytes() == content
    (tmp_path / "out.nrrd").mkdir()
    assert_fails(
        run(command, *files, "--reference", moving, "-o", tmp_path / "out.nrrd"), "a folder there"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"moving.nrrd", "out.nrrd"}


def test_the_voxels_beside_a_header_are_an_input_too(inputs: Path, tmp_path: Path) -> None:
    image = itk.imread(str(inputs / "moving.nrrd"))
    itk.imwrite(image, str(tmp_path / "b.mhd"), compression=True)
    (tmp_path / "b.mhd").rename(tmp_path / "a.mhd")
    content = (tmp_path / "b.zraw").read_bytes()
    files = [tmp_path / "a.mhd", inputs / "affine.tfm", "--reference", tmp_path / "a.mhd"]
    assert_fails(run("transform-image", *files, "-o", tmp_path / "b.mhd"), "to replace no input")
    assert (tmp_path / "b.zraw").read_bytes() == content
    assert not (tmp_path / "b.mhd").exists()


def test_tensors_are_not_taken_for_vectors(tmp_path: Path) -> None:
    header = (
        "NRRD0004\ntype: float\ndimension: 4\nspace: left-posterior-superior\nsizes: 6 3 3 3\n"
        "space directions: none (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n"
        "kinds: 3D-symmetric-matrix space space space\nendian: little\nencoding: raw\n\n"
    )
    (tmp_path / "a.nrrd").write_bytes(header.encode() + bytes(6 * 27 * 4))
    itk.transformwrite([itk.TranslationTransform[itk.D, 3].New()], str(tmp_path / "a.tfm"))
    files = [tmp_path / "a.nrrd", tmp_path / "a.tfm", "--reference", tmp_path / "a.nrrd"]
    assert_fails(run("transform-image", *files, "-o", tmp_path / "b.nrrd"), "got tensors")


def test_an_unknown_output_format_is_refused(inputs: Path, tmp_path: Path) -> None:
    files = [inputs / "moving.nrrd", inputs / "affine.tfm", "--reference", inputs / "fixed.nrrd"]
    result = run("transform-image", *files, "-o", tmp_path / "out.xyz")
    assert_fails(result, "expected to write an image to", "out.xyz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dimension", [2], ids=["2D"])
@pytest.mark.parametrize(
    ("command", "computation", "output"),
    [
        ("transform-image", "resample_frames", "a.png"),
        ("convert", "to_displacement_field", "a.png"),
        ("convert", "to_displacement_field", "a.tif"),
        ("convert", "to_displacement_field", "a.xyz"),
        ("convert", "to_displacement_field", "a.xfm"),
        ("convert --to b-spline", "to_bspline_transform", "a.nii.gz"),
        ("convert --to displacement-field-transform", "to_displacement_field", "a.nrrd"),
        ("invert", "inverse_parts", "a.nrrd"),
        ("invert --exact", "inverse_displacement_field", "a.xyz"),
        ("invert --exact", "inverse_displacement_field", "a.png"),
        ("jacobian", "metrics.jacobian_determinant_image", "a.png"),
    ],
)
def test_a_format_that_cannot_hold_the_result_is_refused_first(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    computation: str,
    output: str,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        pytest.fail("nothing is computed before")

    monkeypatch.setattr(f"itk_nephi.cli.transform.{computation}", fail)
    given = [folder / "fixed_to_moving.h5"]
    if command == "transform-image":
        given.insert(0, folder / "fixed.nrrd")
    if command != "invert":
        given += ["--reference", folder / "fixed.nrrd"]
    result = run(*command.split(), *given, "-o", tmp_path / "new" / output)
    assert_fails(result, "expected to write a", f"new/{output}")
    assert not (tmp_path / "new").exists()


# convert


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha", "h5", "tfm"])
def test_the_suffix_chooses_a_field_or_its_transform(
    diffeomorphism: Any, folder: Path, image: Any, tmp_path: Path, suffix: str
) -> None:
    output = tmp_path / "new" / f"output.{suffix}"
    reference = ["--reference", folder / "fixed.nrrd"]
    result = succeeded(run("convert", folder / "fixed_to_moving.h5", "-o", output, *reference))
    assert f"sampled at {np.asarray(image).size} voxels" in result.stderr
    assert f"maps from fixed space to moving space: {output}" in result.stderr
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    voxels = ImageDomain.of(image).voxel_points(np.arange(np.asarray(image).size))
    if suffix in ("h5", "tfm"):
        moved = transform_points(read_transform(output), voxels)
    else:
        moved = voxels + np.asarray(itk.imread(str(output))).reshape(voxels.shape)
    np.testing.assert_allclose(moved, transform_points(diffeomorphism, voxels), rtol=0, atol=1e-4)


def test_a_bspline_says_its_largest_error(
    diffeomorphism: Any, folder: Path, image: Any, tmp_path: Path
) -> None:
    files = [folder / "fixed_to_moving.h5", "--reference", folder / "fixed.nrrd"]
    voxels = ImageDomain.of(image).voxel_points(np.arange(np.asarray(image).size))
    moved = transform_points(diffeomorphism, voxels)
    for options, bound in ((["--spacing", 4], 1.0), (["--tolerance", 0.02], 0.02), ([], 0.5)):
        output = tmp_path / "bspline.h5"
        result = succeeded(run("convert", *files, "-o", output, "--to", "b-spline", *options))
        bspline = read_transform(output)
        largest = np.linalg.norm(transform_points(bspline, voxels) - moved, axis=1).max()
        assert largest <= bound
        (stated,) = re.findall(r"largest error (\S+) mm at the voxels of ", result.stderr)
        np.testing.assert_allclose(float(stated), largest, rtol=0.05, atol=1e-5)
        counts = " x ".join(str(cells + 3) for cells in bspline.GetTransformDomainMeshSize())
        assert f"B-spline of {counts} control points" in result.stderr


def test_convert_refuses_what_does_not_fit(folder: Path, tmp_path: Path) -> None:
    transform, reference = folder / "fixed_to_moving.h5", folder / "fixed.nrrd"
    output = tmp_path / "new" / "output.h5"
    for arguments, fragment in (
        ([transform, "--reference", reference, "--spacing", 3], "expected --to b-spline with"),
        (
            [transform, "--reference", reference, "--to", "b-spline", "--spacing", 0],
            "expected spacing to be positive",
        ),
        ([folder / "other.tfm", "--reference", reference], "dimensions like the images"),
        ([reference, "--reference", reference], "TRANSFORM to be a transform that ITK can read"),
        ([transform, "--reference", transform], "--reference to be an image that ITK can read"),
    ):
        assert_fails(run("convert", *arguments, "-o", output), fragment)
        assert not output.parent.exists()


# invert


def test_the_parts_are_inverted_in_reverse_order(
    diffeomorphism: Any, folder: Path, points: np.ndarray, tmp_path: Path
) -> None:
    output = tmp_path / "inverse.h5"
    result = succeeded(run("invert", folder / "fixed_to_moving.h5", "-o", output))
    assert f"maps from moving space to fixed space: {output}" in result.stderr
    field, affine = (part.GetInverseTransform() for part in flatten(diffeomorphism))
    expected = transform_points(field, transform_points(affine, points))
    np.testing.assert_allclose(
        transform_points(read_transform(output), points), expected, rtol=0, atol=1e-6
    )
    succeeded(run("invert", output, "-o", tmp_path / "again.h5"))
    again = transform_points(read_transform(tmp_path / "again.h5"), points)
    np.testing.assert_allclose(again, transform_points(diffeomorphism, points), rtol=0, atol=1e-6)


def test_the_inverse_of_one_part_is_no_composite(tmp_path: Path) -> None:
    affine = itk.AffineTransform[itk.D, 3].New()
    affine.SetTranslation([1.0, 2.0, 3.0])
    itk.transformwrite(affine, str(tmp_path / "affine.tfm"))
    succeeded(run("invert", tmp_path / "affine.tfm", "-o", tmp_path / "inverse.tfm"))
    inverse = read_transform(tmp_path / "inverse.tfm")
    assert inverse.GetNameOfClass() == "AffineTransform"
    assert list(inverse.GetTranslation()) == [-1.0, -2.0, -3.0]


@pytest.mark.parametrize("suffix", ["h5", "nii.gz"])
def test_the_exact_inverse_is_sampled_on_any_grid(
    diffeomorphism: Any, folder: Path, tmp_path: Path, dimension: int, suffix: str
) -> None:
    moving = itk.image_from_array(np.zeros((3, 4, 5)[:dimension], np.uint8))
    moving.SetOrigin([-40.0, 5.0, 100.0][:dimension])
    moving.SetSpacing([3.1, 2.0, 4.0][:dimension])
    itk.imwrite(moving, str(tmp_path / "moving.nrrd"))
    output = tmp_path / f"inverse.{suffix}"
    options = ["--exact", "--reference", tmp_path / "moving.nrrd"]
    result = succeeded(run("invert", folder / "fixed_to_moving.h5", "-o", output, *options))
    voxels = ImageDomain.of(moving).voxel_points(np.arange(np.asarray(moving).size))
    if suffix == "h5":
        back = transform_points(read_transform(output), voxels)
    else:
        back = voxels + np.asarray(itk.imread(str(output))).reshape(voxels.shape)
    residuals = np.linalg.norm(transform_points(diffeomorphism, back) - voxels, axis=1)
    assert residuals.max() < 2e-3
    assert f"inverted {len(voxels)} points, all converged, largest residual " in result.stderr
    assert "maps from moving space to fixed space" in result.stderr


def test_points_that_did_not_converge_are_counted(tmp_path: Path) -> None:
    flattening = itk.AffineTransform[itk.D, 2].New()
    flattening.SetMatrix(itk.matrix_from_array(np.diag([1.0, 0.0])))
    itk.transformwrite(flattening, str(tmp_path / "flattening.tfm"))
    itk.imwrite(itk.image_from_array(np.zeros((3, 2), np.uint8)), str(tmp_path / "grid.nrrd"))
    files = [tmp_path / "flattening.tfm", "-o", tmp_path / "inverse.nrrd"]
    options = ["--exact", "--reference", tmp_path / "grid.nrrd"]
    result = succeeded(run("invert", *files, *options))
    assert "6 points, 4 did not converge, largest residual 2 mm" in result.stderr


def test_invert_refuses_what_it_cannot(folder: Path, dimension: int, tmp_path: Path) -> None:
    transform, reference = folder / "fixed_to_moving.h5", folder / "fixed.nrrd"
    bspline = itk.BSplineTransform[itk.D, dimension, 3].New()
    chain = compose([bspline, itk.AffineTransform[itk.D, dimension].New()])
    itk.transformwrite(chain, str(folder / "chain.h5"))
    output = tmp_path / "new" / "inverse.h5"
    for arguments, fragment in (
        ([folder / "chain.h5"], f"or --exact, got {folder / 'chain.h5'} with a BSplineTransform"),
        ([transform, "--exact"], "expected --exact and --reference together"),
        ([transform, "--reference", reference], "expected --exact and --reference together"),
        ([transform, "--exact", "--reference", reference, "--tolerance", 0], "tolerance to be pos"),
        ([folder / "other.tfm", "--exact", "--reference", reference], "dimensions like the images"),
    ):
        assert_fails(run("invert", *arguments, "-o", output), fragment)
        assert not output.parent.exists()


# transform-points


def test_points_are_mapped_and_other_columns_stay(
    registered: tuple[Path, Result], phantom: ImagePair, tmp_path: Path
) -> None:
    points = phantom.evaluation_landmarks[0]
    lines = [f'"tip, {n}",{y!r},{x!r},{n}' for n, (x, y) in enumerate(points.tolist())]
    (tmp_path / "in.csv").write_text("name,y,x,number\n" + "\n".join(lines) + "\n")
    transform = registered[0] / "fixed_to_moving.h5"
    result = run("transform-points", tmp_path / "in.csv", transform, "-o", tmp_path / "out.csv")
    assert result.exit_code == 0, result.output
    assert f"mapped {len(points)} points from fixed space to moving space" in result.stderr
    header, *rows = (tmp_path / "out.csv").read_text().splitlines()
    assert header == "name,y,x,number"
    moved = [[float(row.split(",")[3]), float(row.split(",")[2])] for row in rows]
    np.testing.assert_array_equal(moved, transform_points(read_transform(transform), points))
    assert rows[1].startswith('"tip, 1",')
    assert rows[1].endswith(",1")


def test_the_spaces_of_another_transform_are_described(inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("x,y\n1,2\n")
    output = tmp_path / "out.csv"
    result = run("transform-points", tmp_path / "in.csv", inputs / "affine.tfm", "-o", output)
    assert "from TRANSFORM's input space to TRANSFORM's output space" in result.stderr
    assert output.read_text() == "x,y\n5.0,-0.5\n"


def test_columns_are_chosen_among_those_of_landmarks_alone(inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("x,y,fixed_x,fixed_y,moving_x,moving_y\n1,2,1,2,1,2\n")
    files = [inputs / "affine.tfm", "--columns", "moving", "-o", tmp_path / "out.csv"]
    assert_fails(
        run("transform-points", tmp_path / "a.csv", *files), "--columns with columns of landmarks"
    )
    assert run("transform-points", tmp_path / "b.csv", *files).exit_code == 0
    assert (tmp_path / "out.csv").read_text().splitlines()[1] == "1,2,1,2,5.0,-0.5"


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("a,b\n1,2\n", "the columns x, y, got"),
        ("x,y,z\n1,2,3\n", "expected CSV in 2 dimensions, got"),
        ("x,y\n1,inf\n", "'inf' in row 1, column y"),
        ("x,y\n", "with 0 rows"),
        ("\x00\xff", "CSV"),
    ],
)
def test_bad_points_are_refused(inputs: Path, tmp_path: Path, text: str, fragment: str) -> None:
    (tmp_path / "in.csv").write_text(text, encoding="latin-1")
    output = tmp_path / "new" / "out.csv"
    result = run("transform-points", tmp_path / "in.csv", inputs / "affine.tfm", "-o", output)
    assert_fails(result, fragment, str(tmp_path / "in.csv"))
    assert not output.parent.exists()


def test_a_truncated_transform_is_refused(registered: tuple[Path, Result], tmp_path: Path) -> None:
    content = (registered[0] / "fixed_to_moving.h5").read_bytes()
    (tmp_path / "part.h5").write_bytes(content[: len(content) // 2])
    (tmp_path / "in.csv").write_text("x,y\n1,2\n")
    result = run(
        "transform-points", tmp_path / "in.csv", tmp_path / "part.h5", "-o", tmp_path / "out.csv"
    )
    assert_fails(result, "expected TRANSFORM to be a transform that ITK can read", "part.h5")
    assert not (tmp_path / "out.csv").exists()


def test_points_come_back_by_the_exact_inverse(
    diffeomorphism: Any, folder: Path, points: np.ndarray, tmp_path: Path
) -> None:
    header = ",".join("xyz"[: points.shape[1]])
    moved = transform_points(diffeomorphism, points)
    np.savetxt(tmp_path / "in.csv", moved, delimiter=",", header=header, comments="")
    files = [tmp_path / "in.csv", folder / "fixed_to_moving.h5", "-o", tmp_path / "out.csv"]
    result = succeeded(run("transform-points", *files, "--exact-inverse"))
    back = np.loadtxt(tmp_path / "out.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(back, points, rtol=0, atol=1e-2)
    assert "inverted 20 points, all converged, largest residual" in result.stderr
    assert "mapped 20 points from moving space to fixed space" in result.stderr


# jacobian


def test_the_determinant_is_written_on_any_grid(
    diffeomorphism: Any, folder: Path, domain: ImageDomain, tmp_path: Path
) -> None:
    finer = ImageDomain(
        tuple(2 * n for n in domain.size),
        tuple(s / 2 for s in domain.spacing),
        domain.origin,
        domain.direction,
    )
    grid = image_from_array(np.zeros(finer.size[::-1], np.uint8), finer)
    itk.imwrite(grid, str(tmp_path / "grid.nrrd"))
    options = ["--reference", tmp_path / "grid.nrrd", "-o", tmp_path / "determinant.nrrd"]
    result = succeeded(run("jacobian", folder / "fixed_to_moving.h5", *options))
    written = itk.imread(str(tmp_path / "determinant.nrrd"))
    expected = np.asarray(jacobian_determinant_image(diffeomorphism, grid))
    np.testing.assert_allclose(np.asarray(written), expected, rtol=1e-5)
    assert f"from {expected.min():.3g} to {expected.max():.3g}, folding none" in result.stderr


@pytest.mark.parametrize("command", ["convert", "invert --exact", "jacobian"])
def test_the_grid_of_one_of_two_series_is_chosen(
    inputs: Path, tmp_path: Path, command: str
) -> None:
    sizes = (6, 7, 8), (5, 7, 8)
    uids = [
        write_series(tmp_path / "two", np.ones(size, np.int16), n)
        for n, size in enumerate(sizes, 1)
    ]
    given = [inputs / "affine3d.tfm", "--reference", tmp_path / "two", "-o", tmp_path / "a.nrrd"]
    assert_fails(run(*command.split(), *given), uids[0], uids[1], "choose with --series")
    succeeded(run(*command.split(), *given, "--series", uids[1]))
    assert read_voxels(tmp_path / "a.nrrd", "OUTPUT")[1].shape[1:4] == sizes[1]


def test_folding_is_told(tmp_path: Path) -> None:
    mirror = itk.AffineTransform[itk.D, 2].New()
    mirror.SetMatrix(itk.matrix_from_array(np.diag([1.0, -1.5])))
    itk.transformwrite(mirror, str(tmp_path / "mirror.tfm"))
    itk.imwrite(itk.image_from_array(np.zeros((3, 2), np.uint8)), str(tmp_path / "grid.nrrd"))
    files = [tmp_path / "mirror.tfm", "--reference", tmp_path / "grid.nrrd"]
    result = succeeded(run("jacobian", *files, "-o", tmp_path / "out.nii"))
    assert "from -1.5 to -1.5, folding 100.00% of the voxels" in result.stderr


# transform-mesh

VTK = """# vtk DataFile Version 3.0
tetrahedron
ASCII
DATASET POLYDATA
POINTS 4 float
-30 13 107 -28 13 107 -30 16 107 -30 13 110
POLYGONS 2 8
3 0 1 2
3 0 1 3
"""
SCALARS = "POINT_DATA 4\nSCALARS number float 1\nLOOKUP_TABLE default\n1 2 3 4\n"
NORMALS = "POINT_DATA 4\nNORMALS normals float\n0 0 1 0 1 0 1 0 0 0 0 1\n"


@pytest.mark.parametrize("dimension", [3], indirect=True)
@pytest.mark.parametrize("suffix", ["vtk", "obj", "off", "gii", "byu"])
def test_a_mesh_keeps_its_cells_and_scalars(
    diffeomorphism: Any, folder: Path, tmp_path: Path, suffix: str
) -> None:
    (tmp_path / "mesh.vtk").write_text(VTK + (SCALARS if suffix == "vtk" else ""))
    original = itk.meshread(str(tmp_path / "mesh.vtk"), itk.F)
    source, output = tmp_path / f"source.{suffix}", tmp_path / f"moved.{suffix}"
    itk.meshwrite(original, str(source))
    result = succeeded(run("transform-mesh", source, folder / "fixed_to_moving.h5", "-o", output))
    assert "mapped 4 points from fixed space to moving space" in result.stderr
    moved = itk.meshread(str(output), itk.F)
    before, after = (itk.array_from_vector_container(m.GetPoints()) for m in (original, moved))
    np.testing.assert_allclose(after, transform_points(diffeomorphism, before), rtol=0, atol=1e-3)
    if suffix == "vtk":
        lines = (source.read_text().split("POLYGONS")[1], output.read_text().split("POLYGONS")[1])
        assert lines[0] == lines[1]
        assert "LOOKUP_TABLE default\n1\n2\n3\n4" in lines[1]
    if suffix in ("obj", "off"):
        faces = [
            [line.split() for line in path.read_text().splitlines()][-2:]
            for path in (source, output)
        ]
        assert faces[0] == faces[1]


@pytest.mark.parametrize("dimension", [3], indirect=True)
def test_normals_are_left_out_and_that_is_said(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mesh.vtk").write_text(VTK + NORMALS)
    files = [tmp_path / "mesh.vtk", folder / "fixed_to_moving.h5", "-o", tmp_path / "moved.vtk"]
    result = succeeded(run("transform-mesh", *files))
    assert "vectors at points, such as normals, are left out" in result.stderr
    assert "POINT_DATA" not in (tmp_path / "moved.vtk").read_text()


def test_transform_mesh_refuses_what_does_not_fit(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mesh.vtk").write_text(VTK + SCALARS)
    (tmp_path / "none.vtk").write_text("once upon a time")
    (tmp_path / "empty.off").write_text("OFF\n0 0 0\n")
    (tmp_path / "mesh.stl").write_text("solid x\nendsolid x\n")
    (tmp_path / "mesh.fsa").write_text("#!ascii\n")
    itk.transformwrite(itk.AffineTransform[itk.D, 2].New(), str(folder / "flat.tfm"))
    itk.transformwrite(itk.AffineTransform[itk.D, 3].New(), str(folder / "solid.tfm"))
    output = tmp_path / "new" / "moved.vtk"
    for mesh, transform, target, fragment in (
        ("mesh.vtk", "flat.tfm", output, "a mesh in 2 dimensions like the transform, got 3"),
        ("none.vtk", "solid.tfm", output, "expected MESH to be a mesh that can be read"),
        ("empty.off", "solid.tfm", output, "empty.off: no points"),
        ("mesh.stl", "solid.tfm", output.with_suffix(".stl"), "mesh.stl: no points"),
        ("mesh.fsa", "solid.tfm", output, "a mesh of one of the formats .vtk, .obj"),
        ("absent.vtk", "solid.tfm", output, "which does not exist"),
        ("mesh.vtk", "solid.tfm", output.with_suffix(".xyz"), "expected to write a mesh to"),
    ):
        assert_fails(
            run("transform-mesh", tmp_path / mesh, folder / transform, "-o", target), fragment
        )
        assert not output.parent.exists()
