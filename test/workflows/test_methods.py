from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import itk
import numpy as np
import pytest

from itk_nephi import RegistrationSettings, register
from itk_nephi.evaluation.evaluation import evaluate
from itk_nephi.evaluation.metrics import landmark_errors
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import transform_points
from itk_nephi.workflows import methods
from itk_nephi.workflows.method_input import MethodInput
from itk_nephi.workflows.methods import METHODS

flat = pytest.mark.parametrize("dimension", [2], ids=["2D"])


def test_elastix_agrees_with_a_direct_run_and_with_transformix(
    pair: ImagePair, paths: dict[str, Path], tmp_path: Path
) -> None:
    parameters = [paths["affine"], paths["bspline"]]
    task = MethodInput(
        pair=pair,
        folder=tmp_path,
        elastix_parameters=parameters,
        seed=3,
    )
    found, inverse = methods.elastix(task)()
    assert inverse is None
    assert pair.evaluation_landmarks is not None
    fixed_points, moving_points = pair.evaluation_landmarks

    direct = itk.ParameterObject.New()
    for path in parameters:
        direct.AddParameterFile(str(path))
    for number in range(2):
        direct.SetParameter(number, "RandomSeed", "4")
    method = itk.ElastixRegistrationMethod[type(pair.fixed_image), type(pair.moving_image)].New(
        pair.fixed_image, pair.moving_image
    )
    method.SetParameterObject(direct)
    method.SetFixedMask(pair.fixed_mask)
    method.SetMovingMask(pair.moving_mask)
    method.SetLogToConsole(False)
    method.UpdateLargestPossibleRegion()
    table = tmp_path / "points.txt"
    lines = [" ".join(map(repr, point)) for point in fixed_points.tolist()]
    table.write_text("\n".join(["point", str(len(lines)), *lines]))
    transformix = itk.TransformixFilter[type(pair.moving_image)].New(pair.moving_image)
    transformix.SetTransformParameterObject(method.GetTransformParameterObject())
    transformix.SetFixedPointSetFileName(str(table))
    transformix.SetOutputDirectory(str(tmp_path))
    transformix.SetLogToConsole(False)
    transformix.UpdateLargestPossibleRegion()
    texts = (tmp_path / "outputpoints.txt").read_text().split("OutputPoint = [")[1:]
    expected = np.array([text.split("]")[0].split() for text in texts], dtype=float)

    converted = methods.itk_transform(method)
    np.testing.assert_allclose(transform_points(converted, fixed_points), expected, atol=1e-5)
    error = np.linalg.norm(expected - moving_points, axis=1).mean()
    evaluation = evaluate(pair, found)
    # in one process the random numbers of elastix's first run differ from those of the next
    assert evaluation.landmark_error_mm.mean == pytest.approx(error, abs=0.03)
    before = np.linalg.norm(fixed_points - moving_points, axis=1).mean()
    assert error < before / 4


def test_a_transform_that_itk_has_not_is_an_error() -> None:
    method = SimpleNamespace(ConvertToItkTransform=lambda _: None, GetCombinationTransform=dict)
    with pytest.raises(RuntimeError, match="expected a transform of elastix that ITK has"):
        methods.itk_transform(method)


@flat
def test_demons_brings_the_images_together(pair: ImagePair, tmp_path: Path) -> None:
    found, inverse = methods.demons(MethodInput(pair=pair, folder=tmp_path))()
    assert inverse is None
    assert pair.evaluation_landmarks is not None
    identity = itk.IdentityTransform[itk.D, 2].New()
    before = landmark_errors(identity, *pair.evaluation_landmarks).mean()
    assert landmark_errors(found, *pair.evaluation_landmarks).mean() < before / 4


@flat
def test_nephi_is_what_register_finds(
    pair: ImagePair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_field: FieldSettings
) -> None:
    settings = RegistrationSettings(
        steps=2, points=50, regularizer_points=20, spline_learning_rate=0.1, field=small_field
    )
    monkeypatch.setattr(RegistrationSettings, "preset", lambda _: settings)
    there, back = methods.nephi(MethodInput(pair=pair, folder=tmp_path, seed=5))()
    expected = register(
        pair.fixed_image,
        pair.moving_image,
        fixed_mask=pair.fixed_mask,
        moving_mask=pair.moving_mask,
        initial_transform="moments",
        settings=settings,
        seed=5,
    )
    points = ImageDomain.of(pair.fixed_image).grid_points().reshape(-1, 2)
    for found, other in ((there, expected.fixed_to_moving), (back, expected.moving_to_fixed)):
        np.testing.assert_array_equal(
            transform_points(found, points), transform_points(other, points)
        )


def test_what_is_not_installed_is_no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert methods.is_installed(None)
    assert methods.is_installed("numpy")
    assert not methods.is_installed("no-such-package")
    needed = {name: package for name, (_, package) in METHODS.items() if package}
    for there in (set(), set(needed.values())):
        monkeypatch.setattr(methods, "is_installed", lambda name, there=there: name in there)
        found = methods.default_methods()
        assert found == [name for name in METHODS if name in found]
        assert set(found) == {"nephi", "demons", "elastix"} | (set(needed) if there else set())
