from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import itk
import numpy as np
import pytest

import itk_nephi
from itk_nephi.phantoms.pairs import deformed_shape
from itk_nephi.spatial.resampling import resample
from itk_nephi.spatial.transforms import compose, flatten
from itk_nephi.visualization import slices
from itk_nephi.visualization.overview import Overview, draw_overview

SETTINGS = itk_nephi.RegistrationSettings(steps=3, points=200, regularizer_points=20)
PHANTOM = deformed_shape(size=32, motion=3).pair


@pytest.fixture(scope="module")
def registration() -> itk_nephi.Registration:
    return itk_nephi.register(
        PHANTOM.fixed, PHANTOM.moving, settings=SETTINGS, initial_transform="identity", seed=7
    )


def test_a_registration_shows_its_figures(registration: itk_nephi.Registration) -> None:
    text = registration._repr_html_()
    HTMLParser().feed(text)
    assert re.search(r"<th>steps</th><td>6</td>", text)
    assert re.search(r"<th>seed</th><td>7</td>", text)
    assert re.search(r"at most \d+\.\d\d mm", text)
    assert "⚠" not in text
    assert "<svg" in text
    assert 'src="data:image/svg+xml' in text


def test_it_warns_where_it_was_interrupted(registration: itk_nephi.Registration) -> None:
    text = replace(registration, interrupted=True, history=[])._repr_html_()
    assert "⚠ interrupted" in text
    assert "<img" not in text


def test_it_warns_where_it_folds(registration: itk_nephi.Registration) -> None:
    field, *others = flatten(registration.fixed_to_moving)
    wild = itk.NePhiTransform[itk.D, 2].New()
    wild.SetFixedParameters(field.GetFixedParameters())
    parameters = 10 * np.array(field.GetParameters())
    wild.SetParameters(itk.OptimizerParameters[itk.D](parameters.tolist()))
    text = replace(registration, fixed_to_moving=compose([wild, *others]))._repr_html_()
    assert "⚠ the transform folds" in text
    assert re.search(r"<th>folding</th><td>\d+\.\d\d% of the fixed image</td>", text)


def test_it_is_short_in_words(registration: itk_nephi.Registration) -> None:
    total = registration.history[-1].losses["total"]
    assert (
        repr(registration)
        == f"<Registration: {len(registration.history)} steps, total {total:.4g}>"
    )
    interrupted = replace(registration, interrupted=True)
    assert repr(interrupted).endswith(", interrupted>")


def test_it_draws_what_was_registered_as_it_was_given(
    registration: itk_nephi.Registration,
) -> None:
    images = PHANTOM.fixed_image, PHANTOM.moving_image
    drawn = registration.plot(*images)
    np.testing.assert_array_equal(registration.plot(*([each, each] for each in images)), drawn)
    arrays = [itk.array_from_image(image) for image in images]
    inside = arrays[0] > arrays[0].mean()
    mask = itk.image_from_array(inside.astype(np.uint8))
    drawn = registration.plot(*map(itk.image_from_array, arrays), mask)
    np.testing.assert_array_equal(registration.plot(*arrays, inside), drawn)


def test_it_draws_itself(registration: itk_nephi.Registration) -> None:
    images = PHANTOM.fixed_image, PHANTOM.moving_image
    transforms = registration.fixed_to_moving, registration.initial_transform
    drawn = registration.plot(*images)
    assert drawn._repr_png_().startswith(b"\x89PNG")
    np.testing.assert_array_equal(drawn, draw_overview(*images, *transforms, registration.history))
    warped = resample(PHANTOM.moving_image, [registration.fixed_to_moving], PHANTOM.fixed_image)
    overview = Overview.of(*images, *transforms)
    fixed, moving, registered = (panel.pixels.astype(float) for panel in overview.panels[:3])
    for shown, image in ((fixed, PHANTOM.fixed_image), (registered, warped)):
        values = slices.ordered(image)
        expected = slices.picture(overview.plane, values, slices.window(values))
        assert np.ptp(expected) > 200
        # the window of the registered image leaves out what lies outside
        assert np.median(np.abs(shown - expected)) < 3
    assert np.abs(registered - moving).max() > 10
