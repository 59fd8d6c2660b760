import copy
import math
import warnings
from dataclasses import replace
from typing import Any

import itk
import numpy as np
import pytest
import torch

from itk_nephi.fields.sampled_image import SampledTransform
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.models.encoder import EncoderSettings
from itk_nephi.models.nephi import ModelSettings, NePhi
from itk_nephi.spatial.domain import Array, ImageDomain, image_from_array
from itk_nephi.spatial.preparation import checked_image

OBLIQUE = ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0))


@pytest.fixture
def settings(dimension: int) -> ModelSettings:
    return ModelSettings(
        field=FieldSettings(width=8, frequencies=4, global_code=2, local_channels=3, local_grid=4),
        encoder=EncoderSettings(filters=(4, 8), local_block=1, hidden=6),
        size=(12, 10, 8)[:dimension],
        spacing=(1.5, 2.0, 3.0)[:dimension],
    )


@pytest.fixture
def model(settings: ModelSettings) -> NePhi:
    """A model that moves points."""
    generator = torch.Generator().manual_seed(1)
    model = NePhi(settings, generator)
    for field in (model.field, model.inverse_field):
        torch.nn.init.normal_(field.output.weight, std=0.03, generator=generator)
    return model


def linear_image(domain: ImageDomain, slopes: Array, offset: float = 0.0) -> Any:
    """Return an image whose intensity rises linearly with the physical point."""
    return image_from_array((domain.grid_points() @ slopes + offset).astype(np.float32), domain)


def wide_domain(dimension: int) -> ImageDomain:
    return ImageDomain(
        size=(33, 29, 31)[:dimension],
        spacing=(0.9, 1.1, 1.3)[:dimension],
        origin=(-40.0, 25.0, 310.0)[:dimension],
        direction=tuple(row[:dimension] for row in OBLIQUE[:dimension]),
    )


def identity(dimension: int) -> SampledTransform:
    return SampledTransform(np.eye(dimension), np.zeros(dimension))


def test_the_box_is_centered_on_the_fixed_image_along_its_axes(
    settings: ModelSettings, domain: ImageDomain, image: Any
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        box = settings.box(image)
    assert (box.size, box.spacing) == (settings.size, settings.spacing)
    np.testing.assert_allclose(box.center, domain.center, atol=1e-9)
    assert box.direction == domain.canonical().direction
    assert box.bounds == settings.bounds


def test_the_order_of_the_voxels_in_memory_does_not_move_the_box(
    settings: ModelSettings, image: Any
) -> None:
    domain = ImageDomain.of(image)
    values = itk.array_from_image(image)
    turned = image_from_array(
        values.transpose(),
        ImageDomain(
            domain.size[::-1],
            domain.spacing[::-1],
            domain.origin,
            tuple(row[::-1] for row in domain.direction),
        ),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert settings.box(image).matches(settings.box(turned))


def test_the_box_is_centered_on_the_mask(dimension: int, settings: ModelSettings) -> None:
    domain = wide_domain(dimension)
    inside = np.zeros(domain.size[::-1], np.uint8)
    inside[(..., *(slice(2, 7),) * dimension)] = 1
    mask = image_from_array(inside, domain)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        box = settings.box(image_from_array(inside.astype(np.float32), domain), mask)
    middle = domain.points_from_index([4.0] * dimension)
    np.testing.assert_allclose(box.center, middle, atol=1e-9)


def test_a_box_that_is_too_small_is_a_warning(dimension: int, settings: ModelSettings) -> None:
    image = linear_image(wide_domain(dimension), np.ones(dimension))
    extent = ["18 x 20 mm .* fixed, 29.7 x 31.9 mm", "18 x 20 x 24 mm .* 29.7 x 31.9 x 40.3 mm"]
    with pytest.warns(UserWarning, match=extent[dimension - 2]):
        settings.box(image)
    everywhere = image_from_array(
        np.ones(wide_domain(dimension).size[::-1], np.uint8), wide_domain(dimension)
    )
    with pytest.warns(UserWarning, match="does not cover fixed_mask"):
        settings.box(image, everywhere)


@pytest.mark.parametrize("axis", [0, 1])
def test_an_image_smaller_than_two_voxels_of_the_box_is_a_warning(
    dimension: int, settings: ModelSettings, axis: int
) -> None:
    domain = wide_domain(dimension)
    for part, are_enough in ((1.01, True), (0.99, False)):
        spacing = [0.5] * dimension
        spacing[axis] = part * 2 * settings.spacing[axis] / domain.size[axis]
        image = linear_image(replace(domain, spacing=tuple(spacing)), np.ones(dimension))
        _, finding = settings.fit_box(image)
        assert (finding is None) == are_enough
    meters = replace(domain, spacing=tuple(s / 1000 for s in domain.spacing))
    with pytest.warns(UserWarning, match=r"fixed, 0\.0297 x .* mm, is smaller than two voxels of"):
        settings.box(linear_image(meters, np.ones(dimension)))


def test_images_of_another_dimension_are_refused(settings: ModelSettings) -> None:
    other = 5 - settings.dimension
    image = linear_image(wide_domain(other), np.ones(other))
    with pytest.raises(ValueError, match=f"a model for {other} dimensions like the images"):
        settings.box(image)


def test_resampling_keeps_every_value_at_its_point(
    dimension: int, settings: ModelSettings, affine: Any
) -> None:
    domain = wide_domain(dimension)
    slopes = np.array([0.3, -0.2, 0.1])[:dimension]
    image = linear_image(domain, slopes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        box = settings.box(image)
    points = box.grid_points()
    affine.SetCenter(domain.center.tolist())
    matrix = itk.array_from_matrix(affine.GetMatrix())
    offset = np.array(affine.TransformPoint([0.0] * dimension))
    window = (-1000.0, 1000.0)
    for space_map, there in (
        (None, points),
        (SampledTransform(matrix, offset), points @ matrix.T + offset),
    ):
        values, inside = replace(settings, window=window).resample(image, None, box, space_map)
        assert bool((inside == 1).all())
        # linear interpolation and the blur keep linear functions, except at the border
        expected = (there @ slopes + 1000) / 2000
        assert values.shape == (1, 1, *box.size[::-1])
        np.testing.assert_allclose(values[0, 0], expected, atol=1e-4)


def test_intensities_are_those_of_the_mask(dimension: int, settings: ModelSettings) -> None:
    domain = wide_domain(dimension)
    rng = np.random.default_rng(1)
    values = rng.uniform(100, 300, domain.size[::-1]).astype(np.float32)
    marked = np.zeros(domain.size[::-1], np.uint8)
    marked[(..., slice(0, domain.size[0] // 2))] = 1
    values[marked == 0] = 1e6
    fine = replace(
        settings,
        size=domain.size,
        spacing=domain.spacing,
        quantiles=(0.0, 1.0),
    )
    box = fine.box(image_from_array(values, domain))
    found, inside = fine.resample(
        image_from_array(values, domain), image_from_array(marked, domain), box
    )
    np.testing.assert_allclose(inside[0, 0], marked, atol=1e-4)
    # the voxels at the mask's face blend into the outside by rounding errors
    low, high = values[marked == 1].min(), values[marked == 1].max()
    expected = (values - low) / (high - low)
    core = np.zeros_like(marked, bool)
    core[(..., slice(0, domain.size[0] // 2 - 1))] = True
    np.testing.assert_allclose(found[0, 0].numpy()[core], expected[core], atol=2e-3)
    assert float(found[0, 0].numpy()[marked == 0].max()) < 1e-3


def test_an_image_beyond_the_box_is_refused(dimension: int, settings: ModelSettings) -> None:
    image = linear_image(wide_domain(dimension), np.ones(dimension))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        box = settings.box(image)
    away = SampledTransform(np.eye(dimension), np.full(dimension, 1e4))
    with pytest.raises(ValueError, match="got none of one in it"):
        settings.resample(image, None, box, away)


def test_a_prediction_is_the_encoders_code_in_the_models_fields(
    dimension: int, settings: ModelSettings, model: NePhi
) -> None:
    image = checked_image(linear_image(wide_domain(dimension), np.ones(dimension)), "fixed")
    other = checked_image(linear_image(wide_domain(dimension), -np.ones(dimension)), "moving")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        box = settings.box(image)
    before = copy.deepcopy(model.state_dict())
    found = model.predict(image, other, box=box, initial_transform=identity(dimension))
    (code,) = model(settings.resample(image, None, box)[0], settings.resample(other, None, box)[0])
    assert torch.equal(found.code.global_code, code.global_code)
    assert torch.equal(found.code.local_code, code.local_code)
    coords = 2 * torch.rand(20, dimension) - 1
    moved = model.field(coords, code)
    assert (moved - coords).abs().max() > 0.01
    assert torch.equal(found.field(coords, found.code), moved)
    assert torch.equal(found.inverse_field(coords, found.code), model.inverse_field(coords, code))
    with torch.no_grad():
        for parameter in found.parameters():
            parameter += 1
    assert model.training
    assert all(torch.equal(before[name], v) for name, v in model.state_dict().items())


def test_a_new_model_predicts_that_nothing_moves(dimension: int, settings: ModelSettings) -> None:
    new = NePhi(settings, torch.Generator().manual_seed(1))
    codes = new(*torch.rand(2, 3, 1, *settings.size[::-1]))
    coords = 2 * torch.rand(20, dimension) - 1
    assert all(torch.equal(new.field(coords, code), coords) for code in codes)


def test_a_model_without_encoder_starts_from_the_code_0(
    dimension: int, settings: ModelSettings
) -> None:
    new = NePhi(replace(settings, encoder=None), torch.Generator().manual_seed(1))
    codes = new(*torch.rand(2, 3, 1, *settings.size[::-1]))
    assert len(codes) == 3
    assert all(not code.global_code.any() and not code.local_code.any() for code in codes)
    assert new.field(torch.zeros(1, dimension), codes[0]).shape == (1, dimension)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": (8,)}, "size on 2 or 3 axes"),
        ({"size": (8, 1)}, "size of at least 2"),
        ({"size": (20_000, 20_000)}, "size of at most 134217728 voxels"),
        ({"field": FieldSettings(local_grid=2_000)}, "at most 16777216 parameters"),
        ({"spacing": (1.0, 1.0, 1.0)}, "spacing on 2 axes"),
        ({"spacing": (1.0, 0.0)}, "spacing of more than 0, "),
        ({"field": FieldSettings(spline_spacings=(4.0,))}, "a model's field without B-splines"),
        ({"window": (1.0, 1.0)}, "window of two rising numbers"),
        ({"quantiles": (0.5, 0.4)}, "quantiles of two rising numbers"),
        ({"quantiles": (0.5, 1.1)}, "quantiles of 0 or more and at most 1"),
        ({"window": (0.0, math.inf)}, "window to be finite"),
        ({"encoder": EncoderSettings.paper((64, 64))}, "size to be the published encoder's"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelSettings(**{"size": (8, 9), "spacing": (1.0, 1.0), **wrong})
