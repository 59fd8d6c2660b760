from __future__ import annotations

from pathlib import Path

import itk
import numpy as np
import pytest
from support.command_line import assert_fails, run

from itk_nephi.registration.elastix_parameters import read_parameters, translate_parameters
from itk_nephi.registration.instance_optimization import RegistrationSettings

LINES = """
// A deformable registration
(Transform "BSplineTransform")
(NumberOfResolutions 3)   // coarse to fine
\t( MaximumNumberOfIterations 250 500 600 )
(NumberOfSpatialSamples 3000)
(Metric "AdvancedMattesMutualInformation" "TransformBendingEnergyPenalty")
(Metric0Weight 1.0)
(ErodeMask "false")
(FinalGridSpacingInPhysicalUnits 10.0 10.0 10.0)
(ResultImageFormat "nii.gz")
(Empty "")
"""


def write(folder: Path, text: str, name: str = "parameters.txt") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_is_read_as_elastix_reads_it(tmp_path: Path) -> None:
    parameters = read_parameters(write(tmp_path, LINES))
    assert parameters["NumberOfResolutions"] == ["3"]
    assert parameters["MaximumNumberOfIterations"] == ["250", "500", "600"]
    assert parameters["ResultImageFormat"] == ["nii.gz"]
    assert parameters["Empty"] == [""]
    assert len(parameters) == 10


def test_toml_says_the_same(tmp_path: Path) -> None:
    text = """
    # A deformable registration
    Transform = "BSplineTransform"
    NumberOfResolutions = 3
    MaximumNumberOfIterations = [250, 500, 600]
    NumberOfSpatialSamples = 3000
    Metric = ["AdvancedMattesMutualInformation", "TransformBendingEnergyPenalty"]
    Metric0Weight = 1.0
    ErodeMask = false
    FinalGridSpacingInPhysicalUnits = [10.0, 10.0, 10.0]
    ResultImageFormat = "nii.gz"
    Empty = ""
    """
    expected = read_parameters(write(tmp_path, LINES))
    assert read_parameters(write(tmp_path, text, "parameters.toml")) == expected


def test_what_has_a_counterpart_is_taken_and_the_rest_listed(tmp_path: Path) -> None:
    translation = translate_parameters([write(tmp_path, LINES)])
    assert translation.settings == RegistrationSettings(
        similarity="mutual_information", smoothing_sigmas=(2.0, 1.0, 0.5), steps=450, points=3000
    )
    assert set(translation.taken) == {
        "NumberOfResolutions", "MaximumNumberOfIterations", "NumberOfSpatialSamples", "Metric"
    }  # fmt: skip
    assert translation.ignored == (
        "Metric TransformBendingEnergyPenalty",
        "Transform",
        "Metric0Weight",
        "ErodeMask",
        "FinalGridSpacingInPhysicalUnits",
        "ResultImageFormat",
        "Empty",
    )


@pytest.mark.parametrize(
    ("metric", "similarity"),
    [
        ("AdvancedNormalizedCorrelation", "ncc"),
        ("AdvancedMeanSquares", "mean_squares"),
        ("NormalizedMutualInformation", "mutual_information"),
        ("AdvancedKappaStatistic", RegistrationSettings().similarity),
    ],
)
def test_metrics_have_counterparts(tmp_path: Path, metric: str, similarity: str) -> None:
    path = write(tmp_path, f'(Transform "BSplineTransform")\n(Metric "{metric}")')
    assert translate_parameters([path]).settings.similarity == similarity


@pytest.mark.parametrize("name", ["FixedImagePyramidSchedule", "ImagePyramidSchedule"])
def test_elastix_s_pyramids_blur_as_much(tmp_path: Path, name: str) -> None:
    """Their standard deviation is half of the factor, in voxels of each axis."""
    path = write(tmp_path, f"(NumberOfResolutions 2)\n({name} 8 8 1 1 1 1)")
    assert translate_parameters([path]).settings.smoothing_sigmas == (2.0, 0.5)


def test_few_samples_also_serve_the_regularizer(tmp_path: Path) -> None:
    settings = translate_parameters([write(tmp_path, "(NumberOfSpatialSamples 100)")]).settings
    assert (settings.points, settings.regularizer_points) == (100, 100)


def test_the_initial_transform_stands_for_linear_files(tmp_path: Path) -> None:
    affine = write(tmp_path, '(Transform "AffineTransform")\n(NumberOfResolutions 9)', "affine.txt")
    both = translate_parameters([affine, write(tmp_path, LINES)])
    assert both.settings == translate_parameters([write(tmp_path, LINES)]).settings
    assert both.ignored[0] == f"{affine}, for which --initial-transform stands"
    with pytest.raises(ValueError, match=r"deformable transform .*affine.txt for AffineTransform"):
        translate_parameters([affine])


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ('(Transform "BSplineTransform")\nNumberOfResolutions 3', "line 2 is not (Name value ...)"),
        ("(NumberOfResolutions 3", "line 1 is not"),
        ("(NumberOfResolutions)", "line 1 is not"),
        ('\n\n(Metric "AdvancedMeanSquares)', "line 3 is not"),
        ("(Seed 1)\n(Seed 2)", "line 2 gives Seed a second time"),
        ("// nothing", "without a parameter"),
        ("\n(NumberOfResolutions many)", "got many in line 2"),
        ("(MaximumNumberOfIterations 10 0)", "got 10 0 in line 1"),
        ("(NumberOfSpatialSamples 0.5)", "got 0.5 in line 1"),
        ("(NumberOfResolutions 2)\n(ImagePyramidSchedule 4 4 2)", "got 3 in line 2"),
    ],
)
def test_malformed_files_are_refused_with_the_line(
    tmp_path: Path, text: str, fragment: str
) -> None:
    with pytest.raises(ValueError, match=r"parameters.txt") as caught:
        translate_parameters([write(tmp_path, text)])
    assert fragment in str(caught.value)


def test_malformed_toml_is_refused_with_the_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"parameters.toml: .*line 2"):
        translate_parameters([write(tmp_path, "A = 1\nB = = 2", "parameters.toml")])
    with pytest.raises(ValueError, match=r"got 0 in line 2 of .*parameters.toml"):
        translate_parameters([write(tmp_path, "A = 1\nNumberOfResolutions = 0", "parameters.toml")])


@pytest.mark.filterwarnings("ignore:the images are less alike")
def test_register_takes_elastix_files_and_options_win(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(20, 24)).astype(np.float32)
    image = str(tmp_path / "image.mha")
    itk.imwrite(itk.image_from_array(values), image)
    path = write(tmp_path, LINES.replace("250 500 600", "1").replace("3000", "50"))
    result = run(
        "register", image, image, "-o", tmp_path / "result", "--elastix-parameters", path,
        "--initial-transform", "identity", "--similarity", "ncc",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "MaximumNumberOfIterations became steps 1" in result.stderr
    assert "ignored: Metric TransformBendingEnergyPenalty, Transform," in result.stderr
    metrics = (tmp_path / "result" / "metrics.json").read_text()
    assert '"similarity": "ncc"' in metrics
    assert '"steps": 3,' in metrics
    missing = run("register", image, image, "-o", tmp_path, "--elastix-parameters", "no.txt")
    assert_fails(missing, "expected --elastix-parameters to be a file, got no.txt")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "a.txt",
            "(NumberOfResolutions 5000)",
            "NumberOfResolutions of 1 to 12, whole, got 5000 in",
        ),
        ("a.txt", "(NumberOfResolutions 1000000000)", "NumberOfResolutions of 1 to 12"),
        ("a.txt", f"(MaximumNumberOfIterations {'9' * 400})", r"whole, got 9{40}\.\.\. in line 1"),
        ("a.txt", "(NumberOfSpatialSamples 1e3)", "NumberOfSpatialSamples of 1 to 10000000"),
        ("a.txt", "(MaximumNumberOfIterations ²)", "MaximumNumberOfIterations of 1 to"),
        ("a.toml", "Transform = []", "Transform has no value"),
        (
            "a.toml",
            "'NumberOfResolutions' = 0",
            "NumberOfResolutions of 1 to 12, whole, got 0 in line",
        ),
        ("a.toml", "x = " + "[" * 5000, "to be an elastix parameter file"),
    ],
)
def test_numbers_out_of_bounds_are_a_sentence(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=words):
        translate_parameters([tmp_path / name])
