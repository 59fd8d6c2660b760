"""The logic of the 3D Slicer module, without 3D Slicer."""

from __future__ import annotations

import ast
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from NePhiLib.command import PRESETS, Run, Task, find_program, progress_of

from itk_nephi.registration import settings
from itk_nephi.spatial import light_itk as itk

MODULE = Path(__file__).parents[1] / "NePhi"


def program(folder: Path, text: str) -> str:
    path = folder / "itk-nephi"
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return str(path)


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_presets_are_those_of_the_command() -> None:
    assert PRESETS == settings.PRESETS


def test_progress_is_the_share_of_the_steps() -> None:
    assert progress_of("level 2 of 3: step 150 of 300, dissimilarity 0.1, 5 s") == 0.5
    assert progress_of("wrote the results") == 0.0


def test_what_the_command_prints_is_reported(tmp_path: Path) -> None:
    lines = ["level 1 of 2: step 1 of 4, dissimilarity 0.9", "done"]
    fake = program(tmp_path, f"for line in {lines}: print(line)")
    found: list[tuple[float, str]] = []
    run = Run(Task(tmp_path, tmp_path, tmp_path), lambda *line: found.append(line), fake)
    run.start()
    run.wait()
    assert found == 2 * [(0.25, lines[0]), (0.0, lines[1])]
    assert not run.problem


def test_a_failure_is_its_last_line_and_ends_the_run(tmp_path: Path) -> None:
    fake = program(tmp_path, "print('first'); raise SystemExit('expected an image, got none')")
    found: list[str] = []
    run = Run(Task(tmp_path, tmp_path, tmp_path), lambda _, line: found.append(line), fake)
    run.start()
    run.wait()
    assert run.problem == "expected an image, got none"
    assert found.count("first") == 1


def test_cancelling_ends_the_command(tmp_path: Path) -> None:
    fake = program(tmp_path, "import time\nprint('begun', flush=True)\ntime.sleep(60)")
    found: list[str] = []
    run = Run(Task(tmp_path, tmp_path, tmp_path), lambda _, line: found.append(line), fake)
    run.start()
    wait_for(lambda: found)
    run.cancel()
    run.wait()
    assert run.cancelled
    assert not run.problem
    assert found == ["begun"]


def test_a_missing_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError, match=r"expected the command itk-nephi .* `pip install"):
        find_program()


def test_the_module_has_the_classes_that_slicer_looks_for() -> None:
    tree = ast.parse((MODULE / "NePhi.py").read_text())
    names = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    assert names == {"NePhi", "NePhiWidget", "NePhiLogic"}


@pytest.mark.slow
def test_a_phantom_is_registered_into_files_that_slicer_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from itk_nephi.phantoms import deformed_shape

    monkeypatch.setenv("PYTHONPATH", str(MODULE.parents[2]))
    pair = deformed_shape(size=32, motion=3).pair
    for name in ("fixed", "moving"):
        itk.imwrite(getattr(pair, f"{name}_image"), str(tmp_path / f"{name}.nrrd"))
    task = Task(
        tmp_path / "fixed.nrrd", tmp_path / "moving.nrrd", tmp_path / "result", preset="fast"
    )
    shares: list[float] = []
    command = program(tmp_path, "from itk_nephi.cli.app import main\nmain()")
    run = Run(task, lambda share, _: shares.append(share), command)
    run.start()
    run.wait()
    assert not run.problem
    assert max(shares) == 1.0
    fixed = itk.imread(str(task.fixed))
    warped, displacement = (
        itk.asarray(itk.imread(str(path))) for path in (task.warped, task.displacement)
    )
    assert warped.shape == itk.asarray(fixed).shape
    assert displacement.shape[-1] == 2
    assert np.abs(displacement).max() > 0.5
