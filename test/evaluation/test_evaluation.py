"""One evaluation for all tables: where it looks, and that it sees what is there."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import itk
import numpy as np
import pytest

from itk_nephi.evaluation import evaluation, metrics
from itk_nephi.evaluation.evaluation import Evaluation, MeanEvaluation, evaluate
from itk_nephi.evaluation.metrics import (
    dice,
    inverse_consistency_errors,
    jacobian_determinant_image,
    landmark_errors,
)
from itk_nephi.evaluation.statistics import Statistics
from itk_nephi.spatial.conversion import displacement_field_transform, vector_image
from itk_nephi.spatial.domain import ImageDomain, image_from_array, image_like
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import compose


def translation(*offset: float) -> Any:
    transform = itk.TranslationTransform[itk.D, len(offset)].New()
    transform.SetOffset(offset)
    return transform


def steps(domain: ImageDomain, count: float) -> list[float]:
    """Return an offset of so many voxels along the first axis, mm."""
    return (domain.points_from_index([count, 0, 0][: domain.dimension]) - domain.origin).tolist()


@pytest.fixture
def pair(image: Any, domain: ImageDomain) -> ImagePair:
    """An image and another one that looks like it, with landmarks, labels, and a mask."""
    random = np.random.default_rng(2)
    values = np.asarray(image) + 0.3 * random.normal(size=domain.size[::-1]).astype(np.float32)
    mask, labels = np.zeros((2, *domain.size[::-1]), np.uint8)
    mask[..., :6] = 3
    labels[..., 2:5], labels[..., 5:7] = 1, 4
    points = domain.voxel_points(np.arange(9))
    return ImagePair(
        fixed=(image,),
        moving=(image_from_array(values, domain),),
        fixed_mask=image_from_array(mask, domain),
        evaluation_landmarks=(points, points + random.normal(size=points.shape)),
        labels=(image_from_array(labels, domain),) * 2,
    )


def test_an_image_and_itself_are_evaluated_by_the_shift_between_them(
    pair: ImagePair, domain: ImageDomain
) -> None:
    assert pair.labels is not None
    assert pair.evaluation_landmarks is not None
    points = pair.evaluation_landmarks[0]
    same = replace(pair, moving=pair.fixed, evaluation_landmarks=(points, points))
    identity = translation(*[0.0] * domain.dimension)
    exact = Statistics(count=9, mean=0, median=0, p95=0, max=0)
    found = evaluate(same, identity, identity)
    assert found.region == "fixed mask"
    assert found.voxels == np.sum(np.asarray(pair.fixed_mask) == 3)
    assert found.ncc == pytest.approx(1)
    assert (found.folding_fraction, found.log_jacobian_sd) == (0, 0)
    assert found.landmark_error_mm == exact
    assert found.inverse_consistency_error_mm == replace(exact, count=found.voxels)
    assert found.dice == {1: 1, 4: 1}

    shift = steps(domain, 1)
    shifted = evaluate(same, translation(*shift))
    assert shifted.inverse_consistency_error_mm is None
    assert shifted.landmark_errors_mm == pytest.approx([domain.spacing[0]] * 9)
    assert shifted.dice == pytest.approx({1: 2 / 3, 4: 1 / 2})
    assert shifted.ncc < 0.5
    mirror = itk.AffineTransform[itk.D, domain.dimension].New()
    mirror.SetMatrix(itk.matrix_from_array(np.diag([-1.0, *[1.0] * (domain.dimension - 1)])))
    assert evaluate(same, mirror).folding_fraction == 1


def test_the_parts_are_those_of_the_metrics(
    pair: ImagePair, domain: ImageDomain, diffeomorphism: Any, affine: Any
) -> None:
    assert pair.labels is not None
    assert pair.evaluation_landmarks is not None
    inside = np.asarray(pair.fixed_mask) != 0
    found = evaluate(pair, diffeomorphism, affine)
    logs = np.log(np.asarray(jacobian_determinant_image(diffeomorphism, pair.fixed_image))[inside])
    assert found.log_jacobian_sd == pytest.approx(logs.std(), rel=1e-6)
    points = domain.grid_points()[inside]
    errors = inverse_consistency_errors(diffeomorphism, affine, points)
    assert found.inverse_consistency_error_mm == Statistics.of(errors)
    errors = landmark_errors(diffeomorphism, *pair.evaluation_landmarks)
    np.testing.assert_array_equal(found.landmark_errors_mm, errors)
    assert found.landmark_error_mm == Statistics.of(errors)
    assert found.dice == dice(*pair.labels, diffeomorphism)
    assert found.mean_dice == pytest.approx(np.mean([found.dice[1], found.dice[4]]))


@pytest.mark.parametrize("masked", [True, False])
def test_correlation_is_that_of_the_resampled_image_where_it_is_not_outside(
    pair: ImagePair, domain: ImageDomain, affine: Any, masked: bool
) -> None:
    transform = compose([affine, translation(*steps(domain, 2.3))])
    warped = np.asarray(
        itk.resample_image_filter(
            pair.moving_image,
            transform=transform,
            use_reference_image=True,
            reference_image=pair.fixed_image,
            default_pixel_value=np.nan,
        )
    )
    seen = ~np.isnan(warped)
    if masked:
        seen &= np.asarray(pair.fixed_mask) != 0
    else:
        pair = replace(pair, fixed_mask=None)
    assert 9 < seen.sum() < seen.size
    expected = np.corrcoef(np.asarray(pair.fixed_image)[seen], warped[seen])[0, 1]
    found = evaluate(pair, transform)
    assert found.ncc == pytest.approx(expected, abs=1e-6)
    assert found.region == ("fixed mask" if masked else "fixed image")


@pytest.mark.parametrize("soft", [True, False])
@pytest.mark.parametrize("shift", [0.0, 0.3, 2.0])
def test_what_lies_outside_the_moving_mask_changes_nothing(
    pair: ImagePair, domain: ImageDomain, soft: bool, shift: float
) -> None:
    inside = np.random.default_rng(5).random(domain.size[::-1]) < 0.6
    values = np.where(inside, 0.3 if soft else 1, 0).astype(np.float32)
    transform = translation(*steps(domain, shift))
    found = []
    for outside in (0.0, -3.0, -3024.0, 1e30, np.nan, np.inf):
        moving = np.where(inside, np.asarray(pair.moving_image), np.float32(outside))
        masked = replace(
            pair,
            moving=(image_like(pair.moving_image, moving),),
            moving_mask=image_like(pair.moving_image, values),
        )
        found.append(evaluate(masked, transform).ncc)
    assert len(set(found)) == 1
    if shift == 0:
        both = inside & (np.asarray(pair.fixed_mask) != 0)
        images = [np.asarray(image)[both] for image in (pair.fixed_image, pair.moving_image)]
        assert found[0] == pytest.approx(np.corrcoef(*images)[0, 1], abs=1e-6)


def test_what_lies_outside_the_mask_changes_nothing_but_labels(
    pair: ImagePair, affine: Any
) -> None:
    outside = np.asarray(pair.fixed_mask) == 0
    values = np.where(outside, 1e6, np.asarray(pair.fixed_image))
    other = replace(pair, fixed=(image_like(pair.fixed_image, values.astype(np.float32)),))
    determinants = image_like(pair.fixed_image, np.where(outside, -1, 1).astype(np.float32))
    found = evaluate(other, affine, determinants=determinants)
    assert found.ncc == evaluate(pair, affine).ncc
    assert found.folding_fraction == 0
    everywhere = evaluate(replace(other, fixed_mask=None), affine, determinants=determinants)
    assert everywhere.folding_fraction == pytest.approx(outside.mean())
    assert everywhere.ncc != found.ncc


def test_images_that_do_not_overlap_have_no_correlation(
    pair: ImagePair, domain: ImageDomain
) -> None:
    found = evaluate(pair, translation(*steps(domain, 50)))
    assert np.isnan(found.ncc)
    assert found.to_json()["ncc"] is None


def test_determinants_that_are_known_give_the_same(pair: ImagePair, diffeomorphism: Any) -> None:
    known = jacobian_determinant_image(diffeomorphism, pair.fixed_image)
    found = evaluate(pair, diffeomorphism, determinants=known).to_json()
    assert found == evaluate(pair, diffeomorphism).to_json()


def test_refinement_sees_folds_between_voxel_centers(pair: ImagePair, domain: ImageDomain) -> None:
    eighths = ImageDomain(
        size=(8 * domain.size[0], *domain.size[1:]),
        spacing=(domain.spacing[0] / 8, *domain.spacing[1:]),
        origin=tuple(domain.points_from_index([-0.5 + 1 / 16, 0, 0][: domain.dimension]).tolist()),
        direction=domain.direction,
    )
    # along the first axis: 3.3 mm a mm at the center of each voxel, -1.1 mm a mm elsewhere
    place = (np.arange(eighths.size[0]) + 0.5) % 8 - 4
    moved = np.interp(place, [-4, -1, 1, 4], [0, -3.3, 3.3, 0]) * eighths.spacing[0]
    axis = np.array(domain.direction)[:, 0]
    values = np.broadcast_to(moved[:, None] * axis, (*eighths.size[::-1], domain.dimension))
    grid = image_from_array(np.zeros(eighths.size[::-1], np.uint8), eighths)
    transform = displacement_field_transform(vector_image(values, grid, itk.D))
    assert evaluate(pair, transform).folding_fraction == 0
    found = evaluate(pair, transform, refinement=2)
    assert found.folding_fraction == 1
    assert np.isnan(found.log_jacobian_sd)
    assert found.voxels == evaluate(pair, transform).voxels


@pytest.mark.parametrize("refinement", [1, 2, 3])
def test_refinement_does_not_change_what_is_linear(
    pair: ImagePair, affine: Any, refinement: int
) -> None:
    one = evaluate(pair, affine).to_json()
    assert evaluate(pair, affine, refinement=refinement).to_json() == one


def test_some_voxels_of_a_large_region_say_nearly_what_all_say(
    affine: Any, domain: ImageDomain, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = replace(domain, size=tuple(5 * n for n in domain.size))
    points = large.grid_points()
    fixed = np.sin(points[..., 0]) + np.cos(points[..., 1] / 2)
    mask = (fixed > -1).astype(np.uint8)
    both = [image_from_array(values.astype(np.float32), large) for values in (fixed, fixed**3)]
    pair = ImagePair(fixed=(both[0],), moving=(both[1],), fixed_mask=image_from_array(mask, large))
    inverse = affine.GetInverseTransform()
    shift = compose([inverse, translation(*[1.0] * domain.dimension)])
    every = evaluate(pair, affine, shift)
    monkeypatch.setattr(evaluation, "MAX_POINTS", 700)
    some = evaluate(pair, affine, shift)
    assert some.voxels == every.voxels > 700
    assert some.ncc == pytest.approx(every.ncc, abs=0.05)
    assert some.ncc != every.ncc
    error = some.inverse_consistency_error_mm
    assert error is not None
    assert error.count == 700
    assert error.mean == pytest.approx(np.sqrt(domain.dimension))
    assert evaluate(pair, affine, shift).to_json() == some.to_json()
    assert some.log_jacobian_sd == every.log_jacobian_sd


@pytest.mark.parametrize("masked", [True, False])
def test_determinants_on_a_coarser_grid_say_nearly_what_those_of_all_voxels_say(
    domain: ImageDomain, monkeypatch: pytest.MonkeyPatch, masked: bool
) -> None:
    large = replace(
        domain,
        size=tuple(6 * n for n in domain.size),
        spacing=tuple(s / 6 for s in domain.spacing),
    )
    points = large.grid_points()
    wave = np.sin(points[..., :1] / 3) * np.ones(domain.dimension) * 0.4
    blank = image_from_array(np.zeros(large.size[::-1], np.uint8), large)
    transform = displacement_field_transform(vector_image(wave, blank, itk.D))
    mask = image_from_array((points[..., 1] > large.center[1]).astype(np.uint8), large)
    pair = ImagePair(fixed=(blank,), moving=(blank,), fixed_mask=mask if masked else None)
    every = evaluate(pair, transform)
    assert every.determinant_grid is None
    most = every.voxels // 6
    monkeypatch.setattr(metrics, "MAX_DETERMINANTS", most)
    some = evaluate(pair, transform)
    grid = some.determinant_grid
    assert grid is not None
    assert most / 2 < grid.points < 1.5 * most
    assert some.voxels == every.voxels
    assert some.log_jacobian_sd == pytest.approx(every.log_jacobian_sd, rel=0.1)
    assert some.log_jacobian_sd != every.log_jacobian_sd
    written = json.loads(json.dumps(some.to_json()))["determinant_grid"]
    assert written == {
        "size": list(grid.size), "spacing_mm": list(grid.spacing_mm), "points": grid.points
    }  # fmt: skip
    if not masked:
        known = metrics.sampled_determinant_image(transform, blank)
        assert evaluate(pair, transform, determinants=known).to_json() == some.to_json()


def test_few_voxels_of_a_large_image_are_all_looked_at(
    pair: ImagePair, diffeomorphism: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = evaluate(pair, diffeomorphism).to_json()
    monkeypatch.setattr(metrics, "MAX_DETERMINANTS", every["voxels"])
    assert evaluate(pair, diffeomorphism).to_json() == every
    assert evaluate(replace(pair, fixed_mask=None), diffeomorphism).determinant_grid is not None


def test_some_voxels_are_spread_over_the_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "MAX_POINTS", 500)
    domain = ImageDomain(
        size=(50, 40, 20),
        spacing=(1, 1, 1),
        origin=(0, 0, 0),
        direction=((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    )
    # every 80th voxel would lie in five columns of the image
    voxels = evaluation._some_voxels(domain, None)
    assert np.all(voxels // 80 == np.arange(500))
    assert len(np.unique(voxels % 50)) == 50


def test_json_has_the_same_words_and_nothing_that_was_not_measured(
    pair: ImagePair, affine: Any
) -> None:
    found = evaluate(pair, affine, affine.GetInverseTransform())
    written = json.loads(json.dumps(found.to_json(), allow_nan=False))
    names = [field.name for field in fields(Evaluation)]
    assert list(written) == [name for name in names if name != "determinant_grid"]
    assert written["landmark_errors_mm"] == list(found.landmark_errors_mm)
    assert list(written["landmark_error_mm"]) == ["count", "mean", "median", "p95", "max"]
    assert written["dice"] == {str(label): value for label, value in found.dice.items()}
    bare = evaluate(ImagePair(fixed=pair.fixed, moving=pair.moving), affine)
    assert list(bare.to_json()) == [
        "region",
        "voxels",
        "folding_fraction",
        "log_jacobian_sd",
        "ncc",
    ]


def test_what_json_cannot_hold_is_null(pair: ImagePair, affine: Any) -> None:
    found = evaluate(pair, affine)
    odd = replace(
        found,
        log_jacobian_sd=np.nan,
        landmark_errors_mm=np.array([1.5, np.inf]),
        inverse_consistency_error_mm=Statistics(count=1, mean=0, median=1.5, p95=np.nan, max=2.0),
    ).to_json()
    assert odd["log_jacobian_sd"] is None
    assert odd["landmark_errors_mm"] == [1.5, None]
    assert odd["inverse_consistency_error_mm"]["p95"] is None
    assert json.loads(json.dumps(odd, allow_nan=False)) == odd
    assert np.isfinite(found.log_jacobian_sd)


def test_what_cannot_be_evaluated_is_refused(
    pair: ImagePair, affine: Any, domain: ImageDomain
) -> None:
    empty = image_from_array(np.zeros(domain.size[::-1], np.uint8), domain)
    elsewhere = image_from_array(
        np.ones(domain.size[::-1], np.uint8), replace(domain, spacing=(2.0,) * domain.dimension)
    )
    with pytest.raises(ValueError, match="fixed_mask to have non-zero voxels, got an empty"):
        evaluate(replace(pair, fixed_mask=empty), affine)
    with pytest.raises(ValueError, match="expected fixed_mask to lie on the grid of fixed"):
        evaluate(replace(pair, fixed_mask=elsewhere), affine)
    with pytest.raises(ValueError, match="moving_mask to have non-zero voxels, got an empty"):
        evaluate(replace(pair, moving_mask=empty), affine)
    with pytest.raises(ValueError, match="expected moving_mask to lie on the grid of moving"):
        evaluate(replace(pair, moving_mask=elsewhere), affine)
    with pytest.raises(ValueError, match="expected determinants to lie on the grid of fixed"):
        evaluate(pair, affine, determinants=elsewhere)
    with pytest.raises(ValueError, match="refinement of at least 1, got 0"):
        evaluate(pair, affine, refinement=0)
    with pytest.raises(ValueError, match="at least 1, and 1 with determinants, got 2"):
        evaluate(pair, affine, determinants=empty, refinement=2)


def test_the_mean_leaves_out_what_pairs_do_not_have() -> None:
    statistics = Statistics(count=3, mean=2.0, median=1.0, p95=5.0, max=6.0)
    bare = Evaluation(
        region="fixed image", voxels=4, folding_fraction=0.1, log_jacobian_sd=0.2, ncc=0.7
    )
    marked = replace(bare, folding_fraction=0.0, ncc=0.5, landmark_error_mm=statistics)
    labeled = replace(bare, ncc=0.6, dice={1: 0.2, 7: 0.4}, log_jacobian_sd=0.5)
    mean = MeanEvaluation.of([bare, marked])
    assert (mean.ncc, mean.folding_fraction) == (pytest.approx(0.6), pytest.approx(0.05))
    assert (mean.dice, mean.landmark_error_mm, mean.merit) == (None, 2.0, -2.0)
    assert MeanEvaluation.of([bare]).merit == bare.ncc
    mean = MeanEvaluation.of([bare, marked, labeled])
    assert mean.log_jacobian_sd == pytest.approx(0.3)
    assert mean.dice == mean.merit == pytest.approx(0.3)
