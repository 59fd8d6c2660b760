from __future__ import annotations

import re
from pathlib import Path

from support.command_line import PHANTOM_IMAGES, RESULTS, run


def test_the_demo_leaves_its_inputs_too(tmp_path: Path) -> None:
    result = run("demo", "-o", tmp_path, "--steps", 10, "--size", 20, 18, 16)
    assert result.exit_code == 0, result.output
    images = {f"{name}.nii.gz" for name in PHANTOM_IMAGES}
    assert {path.name for path in tmp_path.iterdir()} == RESULTS | images | {
        "landmarks.csv",
        "prediction.png",
    }
    found = re.search(
        r"Dice ([\d.]+) before, ([\d.]+) predicted .*, ([\d.]+) refined", result.stdout
    )
    assert found is not None
    before, predicted, refined = (float(overlap) for overlap in found.groups())
    assert refined > predicted > before + 0.1
    assert "landmark error" in result.stdout
    assert "Dice" in result.stdout
