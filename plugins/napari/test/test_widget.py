"""The widget in a real viewer, with phantoms."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

import itk
import numpy as np
import pytest

napari = pytest.importorskip("napari")

from napari_itk_nephi.layers import image_from_layer, mask_from_layer  # noqa: E402
from npe2 import PluginManifest  # noqa: E402

from itk_nephi.phantoms import deformed_shape  # noqa: E402

MANIFEST = Path(__file__).parents[1] / "napari_itk_nephi" / "napari.yaml"
PAIR = deformed_shape(size=32, motion=3).pair


def arrays() -> tuple[np.ndarray, np.ndarray]:
    return itk.array_from_image(PAIR.fixed_image), itk.array_from_image(PAIR.moving_image)


@pytest.fixture
def viewer(make_napari_viewer):
    made = make_napari_viewer()
    fixed, moving = arrays()
    made.add_image(fixed, name="fixed", colormap="green", scale=(0.5, 2.0), translate=(3.0, -4.0))
    made.add_image(
        moving,
        name="moving",
        colormap="magenta",
        blending="additive",
        scale=(0.5, 2.0),
        translate=(3.0, -4.0),
    )
    made.add_labels(np.ones(fixed.shape, int), name="mask", visible=False)
    made.layers["mask"].scale, made.layers["mask"].translate = (0.5, 2.0), (3.0, -4.0)
    return made


@pytest.fixture
def widget(viewer):
    (command,) = PluginManifest.from_file(MANIFEST).contributions.commands
    module, name = command.python_name.split(":")
    made = getattr(import_module(module), name)(viewer)
    viewer.window.add_dock_widget(made, name="NePhi")
    made.fixed.value, made.moving.value = viewer.layers["fixed"], viewer.layers["moving"]
    made.preset.value = "fast"
    return made


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_a_phantom_is_registered_and_shown(viewer, widget, qtbot) -> None:
    widget.fixed_mask.value = viewer.layers["mask"]
    widget.button.clicked.emit(True)
    assert widget.button.text == "Cancel"
    qtbot.waitUntil(lambda: not widget.is_running, timeout=300_000)
    assert widget.button.text == "Register"
    assert widget.progress.value == 100
    layer = viewer.layers["moving registered"]
    fixed, moving = arrays()
    assert similarity(layer.data, fixed) > max(0.95, similarity(moving, fixed))
    np.testing.assert_array_equal(layer.scale, viewer.layers["fixed"].scale)
    assert not layer.metadata["registration"].interrupted
    if folder := os.environ.get("SCREENSHOTS"):
        viewer.window._qt_window.resize(1200, 800)
        viewer.layers["moving"].visible = False
        layer.blending = "additive"
        viewer.screenshot(f"{folder}/napari.png", canvas_only=False)


def test_cancelling_keeps_what_was_reached(viewer, widget, qtbot) -> None:
    widget.preset.value = "accurate"
    widget.button.clicked.emit(True)
    qtbot.waitUntil(lambda: widget.progress.value > 0, timeout=300_000)
    widget.button.clicked.emit(True)
    qtbot.waitUntil(lambda: not widget.is_running, timeout=60_000)
    assert viewer.layers["moving registered"].metadata["registration"].interrupted


def test_a_layer_is_an_image_on_its_grid(viewer) -> None:
    image = image_from_layer(viewer.layers["moving"])
    np.testing.assert_array_equal(itk.array_from_image(image), viewer.layers["moving"].data)
    assert tuple(image.GetSpacing()) == (2.0, 0.5)
    assert tuple(image.GetOrigin()) == (-4.0, 3.0)
    mask = mask_from_layer(viewer.layers["mask"])
    assert tuple(mask.GetSpacing()) == (2.0, 0.5)
    assert itk.array_from_image(mask).all()
    assert mask_from_layer(None) is None


def test_a_turned_layer_is_refused(viewer) -> None:
    viewer.layers["moving"].rotate = 30
    with pytest.raises(ValueError, match="expected a layer that is not turned"):
        image_from_layer(viewer.layers["moving"])
