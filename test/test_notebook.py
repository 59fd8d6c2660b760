from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from matplotlib.figure import Figure

import itk_nephi
from itk_nephi.phantom import deformed_shape

SETTINGS = itk_nephi.RegistrationSettings(steps=3, points=200, regularizer_points=20)
PHANTOM = deformed_shape(size=32, motion=3)


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
    assert "&#9888;" not in text
    assert "<svg" in text
    assert 'src="data:image/svg+xml' in text


def test_it_warns_where_it_was_interrupted(registration: itk_nephi.Registration) -> None:
    text = replace(registration, interrupted=True, history=[])._repr_html_()
    assert "&#9888; interrupted" in text
    assert "<img" not in text


def test_it_draws_itself(registration: itk_nephi.Registration) -> None:
    figure = registration.plot(PHANTOM.fixed, PHANTOM.moving)
    assert isinstance(figure, Figure)
    assert len(figure.axes) >= 8
