"""A problem is checked, in canonical order and on the working grid before anything is optimized."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import itk
import numpy as np
import pytest
import torch
from support.registrations import HASTY, stored_otherwise

from itk_nephi.fields.settings import spline_numbers
from itk_nephi.phantoms.pairs import lung
from itk_nephi.registration import problem as problem_module
from itk_nephi.registration.problem import (
    SPLINE_NUMBERS,
    RegistrationProblem,
    with_fitting_splines,
)
from itk_nephi.registration.settings import PRESETS, RegistrationSettings
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import compose, transform_points

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def chest() -> ImagePair:
    return lung(2, size=(48, 36), motion=20, seed=1).pair


def pair_of(chest: ImagePair, change: Any = lambda image: image, **options: Any) -> ImagePair:
    images = (chest.fixed_image, chest.moving_image, chest.fixed_mask, chest.moving_mask)
    fixed, moving, fixed_mask, moving_mask = map(change, images)
    return ImagePair(
        fixed=(fixed,),
        moving=(moving,),
        fixed_mask=fixed_mask,
        moving_mask=moving_mask,
        **options,
    )


def test_the_order_of_voxels_does_not_matter(chest: ImagePair) -> None:
    one, other = (
        RegistrationProblem.prepare([pair_of(chest, change)], HASTY, CPU)
        for change in (lambda image: image, stored_otherwise)
    )
    assert one.domain.matches(other.domain)
    assert not one.grid.matches(other.grid)
    for name in ("fixed", "moving"):
        np.testing.assert_array_equal(
            getattr(one.pairs[0], name)[0], getattr(other.pairs[0], name)[0]
        )


def test_large_images_are_averaged_on_the_domain_of_the_given_one(chest: ImagePair) -> None:
    settings = replace(HASTY, working_voxels=500)
    problem = RegistrationProblem.prepare([pair_of(chest)], settings, CPU)
    (pair,) = problem.pairs
    for image in (pair.fixed_image, pair.moving_image, pair.fixed_mask, pair.moving_mask):
        assert np.asarray(image).size <= 500
    assert problem.grid == ImageDomain.of(chest.fixed_image)
    assert problem.domain == problem.grid.canonical()
    assert problem.samplers[0].domain == problem.domain


def test_the_initial_transform_and_its_inverse_undo_each_other(chest: ImagePair) -> None:
    problem = RegistrationProblem.prepare(
        [pair_of(chest, initial_transform="geometry")], HASTY, CPU
    )
    points = chest.evaluation_landmarks[0]
    moved = transform_points(problem.initial_transform, points)
    np.testing.assert_allclose(
        transform_points(compose(problem.inverse_initial), moved), points, atol=1e-9
    )
    given = itk.TranslationTransform[itk.D, 2].New()
    own = RegistrationProblem.prepare(
        [pair_of(chest, initial_transform=given)], HASTY, CPU, inverse_initial=[given]
    )
    assert own.initial_transform is given
    assert own.inverse_initial == (given,)


def test_pairs_share_the_fixed_image_and_have_a_sampler_each(chest: ImagePair) -> None:
    pairs = [pair_of(chest), pair_of(chest)]
    names = [(f"images[{n}]", f"masks[{n}]") for n in range(2)]
    problem = RegistrationProblem.prepare(pairs, HASTY, CPU, names=names)
    assert problem.pairs[0].fixed is problem.pairs[1].fixed
    assert len(problem.samplers) == 2
    assert len(problem.objectives(1)) == 2
    empty = itk.image_from_array(np.zeros((36, 48), np.uint8))
    empty.CopyInformation(chest.moving_image)
    with pytest.raises(ValueError, match=r"expected masks\[1\] to have .* got an empty mask"):
        RegistrationProblem.prepare(
            [pairs[0], replace(pairs[1], moving_mask=empty)], HASTY, CPU, names=names
        )


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("name", ["fixed", "moving"])
def test_images_that_do_not_fit_together_are_named_with_and_without_masks(
    chest: ImagePair, name: str, masked: bool
) -> None:
    pair = pair_of(chest) if masked else replace(chest, fixed_mask=None, moving_mask=None)
    image = getattr(chest, name)[0]
    values = itk.array_from_image(image)
    elsewhere = itk.image_from_array(values[1:, 2:])
    both = {each: getattr(chest, each) * 2 for each in ("fixed", "moving")}
    pair = replace(pair, **(both | {name: (image, elsewhere)}))
    with pytest.raises(ValueError, match=rf"all images of {name} on the same grid, got {name}\[1"):
        RegistrationProblem.prepare([pair], HASTY, CPU)
    color = itk.image_from_array(np.stack([values] * 3, axis=-1), is_vector=True)
    for part in ("Origin", "Spacing", "Direction"):
        getattr(color, f"Set{part}")(getattr(image, f"Get{part}")())
    pair = replace(pair, fixed=chest.fixed, moving=chest.moving)
    for change in ({name: (color,)}, {f"{name}_mask": color}):
        (changed,) = change
        with pytest.raises(TypeError, match=f"{changed} to have scalar pixels, got 3 components"):
            RegistrationProblem.prepare([replace(pair, **change)], HASTY, CPU)


def test_small_images_get_fewer_points(chest: ImagePair) -> None:
    settings = replace(HASTY, points=5000)
    problem = RegistrationProblem.prepare([pair_of(chest)], settings, CPU)
    inside = int((np.asarray(chest.fixed_mask) > 0).sum())
    assert problem.samplers[0].compared_voxels == inside
    assert problem.settings == settings.for_image(inside, 1)


@pytest.mark.parametrize("size", [(512, 512, 200), (400, 400, 400), (5000, 4000, 2), (8000, 8000)])
def test_the_splines_of_presets_fit_all_images_that_they_do_not_average(
    size: tuple[int, ...],
) -> None:
    image = itk.Image[itk.F, len(size)].New()
    image.SetRegions(size)
    domain = ImageDomain.of(image)
    voxel = domain.voxel_size / domain.scale
    for name in PRESETS:
        settings = RegistrationSettings.preset(name)
        spacings = settings.field.spline_spacings
        pair = ImagePair(fixed=(image,), moving=(image,))
        found = with_fitting_splines(settings, domain, [pair])
        factors = np.divide(found.field.spline_spacings, spacings)
        assert factors == pytest.approx(np.full(len(spacings), factors[0]), rel=1e-12)
        numbers, larger = (
            spline_numbers(field.spline_cells(domain.bounds, voxel))
            for field in (
                found.field,
                replace(found.field, spline_spacings=tuple(0.98 * factors * spacings)),
            )
        )
        assert numbers <= SPLINE_NUMBERS
        assert factors[0] == 1 or larger > SPLINE_NUMBERS


def test_splines_that_cannot_fit_are_refused_before_an_alignment(
    chest: ImagePair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pair, settings = pair_of(chest), RegistrationSettings.preset("accurate")
    numbers = spline_numbers(RegistrationProblem.prepare([pair], settings, CPU).spline_cells)
    assert not caplog.records
    monkeypatch.setattr(problem_module, "SPLINE_NUMBERS", numbers // 2)
    with caplog.at_level("INFO", "itk_nephi"):
        fitting = RegistrationProblem.prepare([pair], settings, CPU)
    assert spline_numbers(fitting.spline_cells) <= numbers // 2
    assert "times as large as spline_spacings" in caplog.text
    monkeypatch.setattr(problem_module, "SPLINE_NUMBERS", numbers // 50)
    monkeypatch.delattr(problem_module, "checked_initial_transform")
    with pytest.raises(ValueError, match="expected larger spline_spacings or smaller working_vox"):
        RegistrationProblem.prepare([pair], settings, CPU)


def test_a_field_that_no_transform_holds_is_refused_before_an_alignment(
    chest: ImagePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(problem_module, "checked_initial_transform")
    settings = RegistrationSettings.preset("default", width=3000)
    with pytest.raises(ValueError, match="at most 16777216 parameters"):
        RegistrationProblem.prepare([pair_of(chest)], settings, CPU)
