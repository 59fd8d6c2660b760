from dataclasses import replace
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest
import torch
from support.registrations import HASTY, parts, same_bits, stored_otherwise

from itk_nephi.evaluation.metrics import landmark_errors
from itk_nephi.fields.deformation import (
    Deformation,
    deformation_from_transform,
    transform_from_deformation,
)
from itk_nephi.fields.sampled_image import SampledImage, SampledTransform
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.fields.threads import torch_threads
from itk_nephi.losses.objective import ObjectiveWeights, objective_terms
from itk_nephi.losses.similarity import Similarity
from itk_nephi.models.encoder import EncoderSettings
from itk_nephi.models.nephi import ModelSettings, NePhi
from itk_nephi.models.serialization import save_model
from itk_nephi.phantoms.pairs import deformed_shape
from itk_nephi.registration.instance_optimization import Solution
from itk_nephi.registration.pairwise import register
from itk_nephi.registration.problem import RegistrationProblem
from itk_nephi.registration.refinement import parameters_of, take_back_folds
from itk_nephi.registration.result import Registration
from itk_nephi.spatial.domain import ImageDomain, image_from_array, image_like
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.preparation import checked_image
from itk_nephi.spatial.transforms import compose, flatten, transform_points

SETTINGS = ModelSettings(
    field=FieldSettings(width=24, frequencies=8, global_code=4, local_channels=4, local_grid=6),
    encoder=EncoderSettings(filters=(8, 8), local_block=1, hidden=8),
    size=(24, 24),
    spacing=(1.2, 1.2),
)
QUICK = replace(HASTY, points=300, gradicon_weight=0.5)
FAR = np.array([700.0, -90.0])


def trained(pair: ImagePair, steps: int) -> NePhi:
    """Return a model that has seen one pair only."""
    model = NePhi(SETTINGS, torch.Generator().manual_seed(1))
    box = SETTINGS.box(pair.fixed_image)
    inputs = [
        SETTINGS.resample(image, None, box) for image in (pair.fixed_image, pair.moving_image)
    ]
    images = [SampledImage(values, box, box) for values, _ in inputs]
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(2)
    bounds = torch.tensor(box.bounds)
    for _ in range(steps):
        (code,) = model(inputs[0][0], inputs[1][0])
        coords = [bounds * (2 * torch.rand(200, 2, generator=generator) - 1) for _ in range(2)]
        losses = objective_terms(
            model.field,
            model.inverse_field,
            code,
            (images[0], images[1]),
            (coords[0], coords[1]),
            dissimilarity=Similarity.of("mean_squares", voxel=1.0).dissimilarity,
            regularizer_points=40,
            voxel=box.voxel_size / box.scale,
            weights=ObjectiveWeights(
                gradicon_weight=0.01, inverse_consistency_weight=0.001, latent_prior_weight=0.0
            ),
        )
        optimizer.zero_grad()
        torch.autograd.backward(losses["total"])
        optimizer.step()
    return model


@pytest.fixture(scope="module")
def pair() -> ImagePair:
    return deformed_shape(2, size=24, motion=2, seed=1).pair


@pytest.fixture(scope="module")
def other() -> ImagePair:
    return deformed_shape(2, size=28, motion=2, seed=4).pair


@pytest.fixture(scope="module")
def model(pair: ImagePair) -> NePhi:
    with torch_threads(1):
        return trained(pair, 120)


def field_of(registration: Registration) -> Any:
    return flatten(registration.fixed_to_moving)[0]


def predicted(pair: ImagePair, model: Any, **options: Any) -> Registration:
    options = {"initial_transform": None, "settings": QUICK, **options}
    return register(pair.fixed, pair.moving, model=model, **options)


def test_a_pair_that_the_model_knows_is_predicted_and_refined(
    pair: ImagePair, model: NePhi
) -> None:
    landmarks = pair.evaluation_landmarks
    before = np.linalg.norm(landmarks[1] - landmarks[0], axis=1).mean()
    prediction = predicted(pair, model)
    assert prediction.history == []
    after = landmark_errors(prediction.fixed_to_moving, *landmarks).mean()
    assert after < 0.6 * before
    assert landmark_errors(prediction.moving_to_fixed, *landmarks[::-1]).mean() < 0.6 * before
    for refine in ("code", "code_and_weights"):
        refined = predicted(pair, model, refine_steps=20, refine=refine)
        assert len(refined.history) == 20
        assert landmark_errors(refined.fixed_to_moving, *landmarks).mean() < after


def folds_of(field: Any, domain: ImageDomain) -> list[int]:
    """Return how often a field and its inverse fold at the voxels, and on a grid twice as fine."""
    grids = [each.grid_points().reshape(-1, 2) for each in (domain, domain.twice_as_fine())]
    return [
        int((np.linalg.det(one.JacobiansWithRespectToPosition(points)) <= 0).sum())
        for one in (field, field.GetInverseTransform())
        for points in grids
    ]


def test_a_refinement_that_folds_goes_back_towards_the_prediction(
    pair: ImagePair, model: NePhi, monkeypatch: pytest.MonkeyPatch
) -> None:
    # stands in for an optimizer that went astray: all displacements grow
    def astray(by: float) -> None:
        def solved(
            _problem: RegistrationProblem, deformations: list[Deformation], **_: Any
        ) -> Solution:
            (deformation,) = deformations
            with torch.no_grad():
                for field in (deformation.field, deformation.inverse_field):
                    field.output.weight *= by
                    field.output.bias *= by
            return Solution([], interrupted=False, findings=[])

        monkeypatch.setattr("itk_nephi.registration.joint.solve", solved)

    def weights_of(by: float) -> Any:
        astray(by)
        found = predicted(pair, model, refine_steps=1)
        folded.append(folds_of(field_of(found), ImageDomain.of(pair.fixed_image)))
        return deformation_from_transform(field_of(found)).field.output.weight.detach()

    prediction = predicted(pair, model)
    folded = [folds_of(field_of(prediction), ImageDomain.of(pair.fixed_image))]
    first = deformation_from_transform(field_of(prediction)).field.output.weight.detach()
    little, much = weights_of(1.02), weights_of(60.0)
    assert np.max(folded, axis=0).tolist() == folded[0]
    torch.testing.assert_close(little, 1.02 * first)  # nothing to take back
    share = float((much / first - 1).mean() / 59)
    assert share == pytest.approx(round(4 * share) / 4, abs=1e-3)
    assert share < 1


def test_folds_between_the_voxels_are_taken_back(pair: ImagePair, model: NePhi) -> None:
    deformation = deformation_from_transform(field_of(predicted(pair, model)))
    prediction = parameters_of([deformation])
    predicted_weight = deformation.field.output.weight.detach().clone()
    points = ImageDomain.of(pair.fixed_image).twice_as_fine().grid_points().reshape(-1, 2)
    for by in range(2, 60):  # so far that it folds somewhere
        with torch.no_grad():
            deformation.field.output.weight.copy_(by * predicted_weight)
        field = transform_from_deformation(deformation)
        determinants = np.linalg.det(field.JacobiansWithRespectToPosition(points))
        if determinants.min() < -0.1:
            break
    # midway between four voxels beyond the corners of the field, where it only translates
    size = 4 * ImageDomain.of(pair.fixed_image).half_extent.max()
    origin = points[determinants.argmin()] - size / 2
    domain = ImageDomain((2, 2), (size, size), tuple(origin.tolist()), ((1.0, 0.0), (0.0, 1.0)))
    folds = folds_of(field, domain)
    assert folds[0] == 0 < folds[1]
    take_back_folds([deformation], prediction, domain)
    assert folds_of(transform_from_deformation(deformation), domain) == [0, 0, 0, 0]
    assert not torch.equal(deformation.field.output.weight, by * predicted_weight)


def test_a_prediction_is_the_models_field_before_the_initial_transform(
    pair: ImagePair, model: NePhi, tmp_path: Path
) -> None:
    save_model(tmp_path / "model", model)
    found = [
        predicted(pair, given, initial_transform="geometry")
        for given in (model, tmp_path / "model")
    ]
    assert same_bits(*found)
    assert parts(found[0].fixed_to_moving) == ["NePhiTransform", "TranslationTransform"]
    assert parts(found[0].moving_to_fixed) == ["TranslationTransform", "NePhiTransform"]
    offset = np.array(found[0].initial_transform.GetOffset())
    expected = model.predict(
        checked_image(pair.fixed_image, "fixed"),
        checked_image(pair.moving_image, "moving"),
        box=SETTINGS.box(pair.fixed_image),
        initial_transform=SampledTransform(np.eye(2), offset),
    )
    deformation = deformation_from_transform(field_of(found[0]))
    assert deformation.domain == expected.domain
    for one, two in zip(deformation.parameters(), expected.parameters(), strict=True):
        assert torch.equal(one, two)


def test_registering_pairs_never_changes_the_model(
    pair: ImagePair, other: ImagePair, model: NePhi
) -> None:
    before = {name: values.clone() for name, values in model.state_dict().items()}
    for options in ({}, {"refine_steps": 3, "refine": "code_and_weights"}):
        first, second, third = (predicted(p, model, **options) for p in (pair, other, pair))
        assert same_bits(first, third)
        assert not same_bits(first, second)
    assert all(torch.equal(before[name], v) for name, v in model.state_dict().items())
    assert all(weights.requires_grad for weights in model.parameters())
    assert model.training


def test_what_is_refined_is_what_was_asked_for(pair: ImagePair, model: NePhi) -> None:
    start = deformation_from_transform(field_of(predicted(pair, model)))
    for refine in ("code", "code_and_weights"):
        registration = predicted(pair, model, refine_steps=4, refine=refine)
        found = deformation_from_transform(field_of(registration))
        change = [
            max(float((a - b).detach().abs().max()) for a, b in zip(one, two, strict=True))
            for one, two in (
                (start.weights(), found.weights()),
                (list(start.code.parameters()), list(found.code.parameters())),
            )
        ]
        assert change[1] > 1e-3
        if refine == "code":
            assert change[0] == 0
        else:
            # a step of Adam moves a weight by about its step size
            assert 1e-5 < change[0] < 6e-4
        assert registration.settings.field == SETTINGS.field
        assert registration.settings.smoothing_sigmas == (QUICK.smoothing_sigmas[-1],)
        assert registration.settings.steps == 4


@pytest.mark.parametrize("options", [{}, {"refine": "splines"}])
def test_presets_refine_a_prediction_by_splines_alone(
    other: ImagePair, model: NePhi, options: dict[str, Any]
) -> None:
    given: dict[str, Any] = {"settings": None, "preset": "default", "refine_steps": 25, **options}
    prediction = predicted(other, model)
    start = deformation_from_transform(field_of(prediction))
    registration = predicted(other, model, **given)
    found = deformation_from_transform(field_of(registration))
    for one, two in zip(start.weights(), found.weights(), strict=True):
        assert torch.equal(one, two)
    assert torch.equal(start.code.global_code, found.code.global_code)
    assert torch.equal(start.code.local_code, found.code.local_code)
    assert all(any(spline.any() for spline in splines) for splines in found.code.splines)
    assert len(registration.history) == 25
    errors = [
        landmark_errors(each.fixed_to_moving, *other.evaluation_landmarks).mean()
        for each in (prediction, registration)
    ]
    assert errors[1] < 0.8 * errors[0]


def test_presets_change_a_predicted_code_at_random_points(pair: ImagePair, model: NePhi) -> None:
    registration = predicted(
        pair, model, settings=None, preset="fast", refine_steps=2, refine="code"
    )
    assert registration.settings.similarity == "local_ncc"
    assert registration.settings.field == SETTINGS.field


def test_images_that_lie_far_apart_are_brought_together_first(
    pair: ImagePair, model: NePhi
) -> None:
    near = predicted(pair, model, initial_transform="geometry")
    domain = ImageDomain.of(pair.moving_image)
    away = replace(domain, origin=tuple((np.array(domain.origin) + FAR).tolist()))
    far = image_from_array(itk.array_from_image(pair.moving_image), away)
    found = register(
        pair.fixed_image, far, initial_transform="geometry", model=model, settings=QUICK
    )
    points = pair.evaluation_landmarks[0]
    np.testing.assert_allclose(
        transform_points(found.fixed_to_moving, points) - FAR,
        transform_points(near.fixed_to_moving, points),
        atol=1e-3,
    )
    with pytest.raises(ValueError, match=r"got none of one in it|that overlap after the initial"):
        register(pair.fixed_image, far, initial_transform=None, model=model, settings=QUICK)


def test_neither_grid_nor_order_of_the_voxels_matters(pair: ImagePair, model: NePhi) -> None:
    """The same images on finer, turned grids are resampled to the same box."""
    points = pair.evaluation_landmarks[0]
    expected = transform_points(predicted(pair, model).fixed_to_moving, points)
    moved = np.linalg.norm(expected - points, axis=1).mean()
    turned = register(
        stored_otherwise(pair.fixed_image),
        stored_otherwise(pair.moving_image),
        initial_transform=None,
        model=model,
        settings=QUICK,
    )
    np.testing.assert_allclose(
        transform_points(turned.fixed_to_moving, points), expected, atol=1e-4
    )
    fine_domain = ImageDomain.of(pair.fixed_image).twice_as_fine()
    images = [
        itk.resample_image_filter(
            image,
            use_reference_image=True,
            reference_image=image_from_array(
                np.zeros(fine_domain.size[::-1], np.float32), fine_domain
            ),
        )
        for image in (pair.fixed_image, pair.moving_image)
    ]
    fine = register(*images, initial_transform=None, model=model, settings=QUICK)
    # the blur before a coarser grid is not that of the coarse image
    difference = transform_points(fine.fixed_to_moving, points) - expected
    assert np.linalg.norm(difference, axis=1).mean() < 0.25 * moved


def test_turned_space_turns_the_prediction(pair: ImagePair, model: NePhi) -> None:
    c, s = np.cos(0.3), np.sin(0.3)
    rotation = np.array([[c, -s], [s, c]])
    images = [
        image_from_array(itk.array_from_image(image), ImageDomain.of(image).turned(rotation))
        for image in (pair.fixed_image, pair.moving_image)
    ]
    points = pair.evaluation_landmarks[0]
    expected = transform_points(predicted(pair, model).fixed_to_moving, points)
    found = register(*images, initial_transform=None, model=model, settings=QUICK)
    np.testing.assert_allclose(
        transform_points(found.fixed_to_moving, points @ rotation.T),
        expected @ rotation.T,
        atol=1e-3,
    )


def test_several_images_of_a_subject_share_one_refined_code(pair: ImagePair, model: NePhi) -> None:
    alone = predicted(pair, model, refine_steps=3)
    both = [
        [image, image_like(image, itk.array_from_image(image) ** 2)]
        for image in (pair.fixed_image, pair.moving_image)
    ]
    twice = register(*both, initial_transform=None, model=model, refine_steps=3, settings=QUICK)
    assert not same_bits(alone, twice)
    start, found = (
        deformation_from_transform(field_of(r)) for r in (predicted(pair, model), twice)
    )
    for one, two in zip(start.weights(), found.weights(), strict=True):
        assert torch.equal(one, two)


def test_a_box_that_does_not_cover_the_fixed_image_is_a_warning(
    pair: ImagePair, model: NePhi
) -> None:
    domain = ImageDomain.of(pair.fixed_image)
    wide = replace(domain, spacing=tuple(2 * s for s in domain.spacing))
    images = [
        image_from_array(itk.array_from_image(image), wide)
        for image in (pair.fixed_image, pair.moving_image)
    ]
    with pytest.warns(UserWarning, match=r"box of 28\.8 x 28\.8 mm does not cover fixed, 48 x 48"):
        register(*images, initial_transform=None, model=model, refine_steps=1, settings=QUICK)


def test_a_prediction_that_makes_things_worse_is_a_warning(pair: ImagePair) -> None:
    spoilt = NePhi(SETTINGS, torch.Generator().manual_seed(1))
    with torch.no_grad():
        spoilt.field.output.bias += 0.4
    with pytest.warns(UserWarning, match="the images are less alike than before"):
        predicted(pair, spoilt)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"refine": "weights"}, ValueError, "one of splines, code, code_and_weights, got"),
        (
            {"refine": "splines", "refine_steps": 1},
            ValueError,
            "settings with B-splines to refine splines, .* got empty spline_spacings",
        ),
        ({"refine_steps": -1}, ValueError, "refine_steps of 0 or more, got -1"),
        ({"model": 3}, TypeError, "model to be a NePhi or a path, got int"),
        ({"model": "/nowhere/at all"}, ValueError, "which does not exist"),
        ({"model": None, "refine": "code"}, ValueError, "to refine, got none, refine='code'"),
        ({"model": None, "refine_steps": 1}, ValueError, "refine_steps can refine, got none"),
        ({"guide_landmarks": [np.ones((1, 2))] * 2}, ValueError, "1 or more with a model and gui"),
    ],
)
def test_wrong_arguments_are_refused(
    pair: ImagePair, model: NePhi, options: dict[str, Any], error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        predicted(pair, **{"model": model, **options})


def test_a_model_and_a_warm_start_are_refused_together(pair: ImagePair, model: NePhi) -> None:
    with pytest.raises(ValueError, match="a model or warm_start to start from, got both"):
        predicted(pair, model, warm_start=predicted(pair, model))


def test_a_model_of_another_dimension_is_refused(model: NePhi) -> None:
    solid = deformed_shape(3, size=16, motion=0.5, seed=1).pair
    with pytest.raises(ValueError, match="a model for 3 dimensions like the images, got one for 2"):
        predicted(solid, model)


def test_an_earlier_result_comes_first_and_brings_its_own_inverse(
    pair: ImagePair, model: NePhi
) -> None:
    coarse = register(pair.fixed, pair.moving, initial_transform="geometry", settings=HASTY)
    back_by = itk.TranslationTransform[itk.D, 2].New()
    back_by.SetOffset([0.3, -0.2])
    # an inverse that no transform has by itself
    coarse = replace(coarse, moving_to_fixed=compose([back_by]))
    points = pair.evaluation_landmarks[0]
    for options in ({"model": model}, {}):
        fine = register(
            pair.fixed, pair.moving, initial_transform=coarse, settings=QUICK, **options
        )
        field = field_of(fine)
        assert parts(fine.fixed_to_moving) == ["NePhiTransform", *parts(coarse.fixed_to_moving)]
        assert parts(fine.moving_to_fixed) == [*parts(coarse.moving_to_fixed), "NePhiTransform"]
        np.testing.assert_allclose(
            transform_points(fine.fixed_to_moving, points),
            transform_points(coarse.fixed_to_moving, transform_points(field, points)),
            atol=1e-9,
        )
        back = transform_points(coarse.moving_to_fixed, points)
        np.testing.assert_allclose(
            transform_points(fine.moving_to_fixed, points),
            transform_points(field.GetInverseTransform(), back),
            atol=1e-9,
        )


def test_a_composite_of_fields_is_inverted_by_their_own_inverses(pair: ImagePair) -> None:
    coarse = register(pair.fixed, pair.moving, initial_transform="geometry", settings=HASTY)
    fine = register(
        pair.fixed, pair.moving, initial_transform=coarse.fixed_to_moving, settings=HASTY
    )
    names = ["TranslationTransform", "NePhiTransform", "NePhiTransform"]
    assert parts(fine.moving_to_fixed) == names
    points = pair.evaluation_landmarks[0]
    inverse_field = field_of(fine).GetInverseTransform()
    expected = transform_points(inverse_field, transform_points(coarse.moving_to_fixed, points))
    np.testing.assert_allclose(transform_points(fine.moving_to_fixed, points), expected, atol=1e-9)
