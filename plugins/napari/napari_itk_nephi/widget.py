"""The widget: two layers in, the registered one out."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import ComboBox, Container, ProgressBar, PushButton, create_widget
from napari.layers import Image, Labels
from napari.qt.threading import create_worker
from napari.utils.notifications import show_error
from napari.viewer import Viewer
from qtpy.QtCore import QObject, Signal

import itk_nephi
from napari_itk_nephi.layers import image_from_layer, mask_from_layer, warped_array

PRESETS = ("fast", "default", "accurate")


class _Messages(QObject):
    """What the thread of a registration sends to that of the widget."""

    progressed = Signal(object)


class RegistrationWidget(Container):
    """Registers a moving layer to a fixed one, and adds the registered layer.

    Its metadata holds the :class:`itk_nephi.Registration` under ``"registration"``.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers are registered.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._worker: Any = None
        self._is_cancelled = False
        self._messages = _Messages()
        self._messages.progressed.connect(self._show_progress)
        self.fixed = create_widget(annotation=Image, label="fixed image")
        self.moving = create_widget(annotation=Image, label="moving image")
        self.fixed_mask = create_widget(annotation=Labels | None, label="fixed mask")
        self.moving_mask = create_widget(annotation=Labels | None, label="moving mask")
        self.preset = ComboBox(choices=PRESETS, value="default", label="preset")
        self.progress = ProgressBar(min=0, max=100, value=0, label="progress")
        self.button = PushButton(text="Register")
        self.button.clicked.connect(self._press)
        self.extend(
            [
                self.fixed,
                self.moving,
                self.fixed_mask,
                self.moving_mask,
                self.preset,
                self.progress,
                self.button,
            ]
        )

    @property
    def is_running(self) -> bool:
        """Whether a registration runs."""
        return self._worker is not None

    def _press(self) -> None:
        if self.is_running:
            self._is_cancelled = True
            return
        try:
            images = self._read()
        except ValueError as error:
            show_error(str(error))
            return
        self._is_cancelled = False
        self.progress.value = 0
        self.button.text = "Cancel"
        names = self.fixed.value, self.moving.value
        self._worker = create_worker(self._register, *images, self.preset.value)
        self._worker.returned.connect(lambda found: self._show(*names, *found))
        self._worker.errored.connect(lambda error: show_error(str(error)))
        self._worker.finished.connect(self._end)
        self._worker.start()

    def _read(self) -> tuple[Any, Any, Any, Any]:
        """Return the two images and the two masks."""
        if self.fixed.value is None or self.moving.value is None:
            raise ValueError("expected two image layers, got fewer")
        masks = (mask_from_layer(each.value) for each in (self.fixed_mask, self.moving_mask))
        return (
            image_from_layer(self.fixed.value),
            image_from_layer(self.moving.value),
            *masks,
        )

    def _register(
        self, fixed: Any, moving: Any, fixed_mask: Any, moving_mask: Any, preset: Any
    ) -> tuple[itk_nephi.Registration, Any]:
        """Register in a thread of its own; a registration that is cancelled keeps what it has."""

        def callback(progress: itk_nephi.Progress) -> None:
            self._messages.progressed.emit(progress)
            if self._is_cancelled:
                raise StopIteration

        registration = itk_nephi.register(
            fixed,
            moving,
            fixed_mask=fixed_mask,
            moving_mask=moving_mask,
            preset=preset,
            callback=callback,
        )
        return registration, warped_array(moving, registration.fixed_to_moving, fixed)

    def _show_progress(self, progress: itk_nephi.Progress) -> None:
        self.progress.value = round(100 * progress.done / progress.total)

    def _show(self, fixed: Any, moving: Any, registration: Any, warped: Any) -> None:
        self._viewer.add_image(
            warped,
            name=f"{moving.name} registered",
            scale=fixed.scale,
            translate=fixed.translate,
            colormap=moving.colormap.name,
            contrast_limits=moving.contrast_limits,
            metadata={"registration": registration},
        )
        self.progress.value = 100

    def _end(self) -> None:
        self._worker = None
        self.button.text = "Register"
