"""NePhi in 3D Slicer: two volumes in, the registered volume and its transform out."""

from __future__ import annotations

import tempfile
from pathlib import Path

import qt
import slicer
from NePhiLib.command import PRESETS, Run, Task
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleWidget,
)


class NePhi(ScriptedLoadableModule):
    """What 3D Slicer shows of the module."""

    def __init__(self, parent):
        super().__init__(parent)
        parent.title = "NePhi"
        parent.categories = ["Registration"]
        parent.contributors = ["the authors of itk-nephi"]
        parent.helpText = "Deformable registration with neural fields, by the itk-nephi command."
        parent.acknowledgementText = "Tian et al., NePhi, ECCV 2024."


class NePhiWidget(ScriptedLoadableModuleWidget):
    """Choose volumes, masks and a preset; register, watch, cancel."""

    def setup(self):
        """Lay out the widgets."""
        super().setup()
        self.logic = NePhiLogic()
        form = qt.QFormLayout()
        self.layout.addLayout(form)
        self.selectors = {
            name: self._selector(form, name, kind, needed)
            for name, kind, needed in (
                ("fixed", "vtkMRMLScalarVolumeNode", True),
                ("moving", "vtkMRMLScalarVolumeNode", True),
                ("fixed_mask", "vtkMRMLLabelMapVolumeNode", False),
                ("moving_mask", "vtkMRMLLabelMapVolumeNode", False),
            )
        }
        self.preset = qt.QComboBox()
        self.preset.addItems(list(PRESETS))
        self.preset.setCurrentText("default")
        form.addRow("preset", self.preset)
        self.progress = qt.QProgressBar()
        form.addRow(self.progress)
        self.button = qt.QPushButton("Register")
        self.button.connect("clicked()", self.onButton)
        form.addRow(self.button)
        self.timer = qt.QTimer()
        self.timer.setInterval(200)
        self.timer.connect("timeout()", self.onTimer)

    def _selector(self, form, name, kind, needed):
        selector = slicer.qMRMLNodeComboBox()
        selector.nodeTypes = [kind]
        selector.addEnabled = selector.removeEnabled = False
        selector.noneEnabled = not needed
        selector.setMRMLScene(slicer.mrmlScene)
        form.addRow(name.replace("_", " "), selector)
        return selector

    def onButton(self):
        """Register, or cancel."""
        if self.logic.is_running():
            self.logic.cancel()
            return
        nodes = {name: selector.currentNode() for name, selector in self.selectors.items()}
        with slicer.util.tryWithErrorDisplay("The registration did not start."):
            self.logic.start(nodes, self.preset.currentText)
            self.button.text = "Cancel"
            self.timer.start()

    def onTimer(self):
        """Show the progress, and the results at the end."""
        self.progress.value = round(100 * self.logic.share)
        if self.logic.is_running():
            return
        self.timer.stop()
        self.button.text = "Register"
        with slicer.util.tryWithErrorDisplay("The registration failed."):
            self.logic.load_results()


class NePhiLogic(ScriptedLoadableModuleLogic):
    """Writes the nodes to files, runs the command, and loads its results as nodes."""

    def __init__(self):
        super().__init__()
        self.share = 0.0
        self._run = None

    def start(self, nodes, preset):
        """Register the volumes of nodes by name: fixed, moving, fixed_mask, moving_mask."""
        if nodes["fixed"] is None or nodes["moving"] is None:
            raise ValueError("expected a fixed and a moving volume, got none")
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        paths = {}
        for name, node in nodes.items():
            if node is not None:
                paths[name] = folder / f"{name}.nrrd"
                slicer.util.saveNode(node, str(paths[name]))
        self._task = Task(folder=folder / "result", preset=preset, **paths)
        self.share = 0.0
        self._run = Run(self._task, self._report)
        self._run.start()

    def _report(self, share, _line):
        self.share = max(self.share, share)

    def is_running(self):
        """Return whether a registration runs."""
        return self._run is not None and self._run.is_running()

    def cancel(self):
        """End the registration."""
        self._run.cancel()

    def load_results(self):
        """Load the registered volume and the transform, unless it was cancelled."""
        if self._run.problem:
            raise RuntimeError(self._run.problem)
        if not self._run.cancelled:
            slicer.util.loadVolume(str(self._task.warped), {"name": "registered"})
            slicer.util.loadTransform(str(self._task.displacement)).SetName("fixed to moving")
        self._folder.cleanup()
