"""The command line as a test calls it."""

from pathlib import Path
from typing import Any

import typer.main
from typer.testing import CliRunner, Result

from itk_nephi.cli.app import app

PHANTOM_IMAGES = ["fixed", "moving", "fixed_mask", "moving_mask", "fixed_labels", "moving_labels"]
RESULTS = {
    "fixed_to_moving.h5",
    "moving_to_fixed.h5",
    "warped.nii.gz",
    "jacobian_determinant.nii.gz",
    "metrics.json",
    "config.toml",
    "overview.png",
    "report.html",
}
QUICK = [
    "--steps",
    "2",
    "--points",
    "100",
    "--smoothing-sigmas",
    "2,1",
    "--initial-transform",
    "geometry",
]


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def parameters(command: str) -> dict[str, Any]:
    """Return the arguments and options of a command by name, in the order of its help."""
    group: Any = typer.main.get_command(app)
    return {parameter.name: parameter for parameter in group.commands[command].params}


def register(inputs: Path, output: Path, *options: Any) -> Result:
    quick = [] if "--initial-transform" in options else QUICK
    return run(
        "register", inputs / "fixed.nrrd", inputs / "moving.nrrd", "-o", output, *quick, *options
    )


def assert_fails(result: Result, *fragments: str) -> None:
    """One sentence on stderr that holds the fragments, and exit status 2."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line.startswith("itk-nephi: error: ")]
    assert result.stderr.splitlines()[-1:] == lines
    for fragment in fragments:
        assert fragment in lines[0]
    assert "Traceback" not in result.stderr
    assert "ITK ERROR" not in result.stderr
