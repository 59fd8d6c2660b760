"""``itk-nephi compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from itk_nephi.cli import options
from itk_nephi.cli.interrupts import kept_if_interrupted
from itk_nephi.cli.progress import Pulse
from itk_nephi.io.errors import require_file
from itk_nephi.io.pair_files import PairPaths, read_pair
from itk_nephi.io.pair_table import pair_faults, read_pair_table
from itk_nephi.io.staging import staged
from itk_nephi.spatial.initialization import KINDS


def compare(
    output: options.Folder,
    fixed: Annotated[Path | None, typer.Argument(metavar="FIXED", help="Fixed image.")] = None,
    moving: Annotated[Path | None, typer.Argument(metavar="MOVING", help="Moving image.")] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            help="CSV of several pairs instead, with columns fixed, moving, and any of name, "
            "fixed_mask, moving_mask, fixed_labels, moving_labels, evaluation_landmarks, "
            "initial_transform."
        ),
    ] = None,
    fixed_mask: Annotated[Path | None, typer.Option(help="Non-zero where to compare.")] = None,
    moving_mask: Annotated[Path | None, typer.Option(help="The same on the moving grid.")] = None,
    evaluation_landmarks: Annotated[
        Path | None,
        typer.Option(help="CSV with columns fixed_x, fixed_y, fixed_z, moving_x, ... in mm."),
    ] = None,
    labels: Annotated[
        tuple[Path, Path] | None,
        typer.Option(help="Label images of fixed and moving.", metavar="FIXED MOVING"),
    ] = None,
    initial_transform: Annotated[
        str,
        typer.Option(help=f"Where all but `elastix` start: {', '.join(KINDS)}, or a file."),
    ] = "affine",
    methods: Annotated[
        str | None,
        typer.Option(
            help="nephi, nephi-fast, nephi-accurate, elastix, "
            "elastix-bspline, demons, ants, greedy, fireants (default nephi and those that are "
            "installed).",
            metavar="NAME,NAME,...",
            show_default=False,
        ),
    ] = None,
    elastix_parameters: Annotated[
        list[Path] | None,
        typer.Option(
            help="Parameter file for `elastix`; repeat for the next stage (default its affine and "
            "B-spline).",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="For all methods that take one (default each one's own).", min=0),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="For each method (default all cores).", min=1)
    ] = None,
) -> None:
    """Run registration methods on a pair, or several, and judge them by the same code.

    One after the other, each in a process of its own. OUTPUT/METHOD holds
    fixed_to_moving.h5, warped.nii.gz and log.txt, and moving_to_fixed.h5
    where the method has one; comparison.json, .csv, .md and report.html hold errors,
    folding, time and memory. A method that fails is a row with the reason.

    Time is that of the registration with its initial transform, without
    reading and writing. `elastix` starts on its own, with its default affine
    registration, as its users run it; `elastix-bspline` is its B-spline from
    the same initial transform as the others. Masks go to all but demons.
    """
    from itk_nephi.workflows import comparison
    from itk_nephi.workflows.methods import default_methods

    names = default_methods() if methods is None else _checked_methods(methods)
    for path in elastix_parameters or []:
        require_file(path, "--elastix-parameters")
    pulse = Pulse("starting")
    kept = kept_if_interrupted(f"methods that have ended left their files in {output}")
    settings: dict[str, Any] = {
        "elastix_parameters": elastix_parameters or [],
        "seed": seed,
        "threads": threads,
        "callback": pulse.show,
        "stage": pulse.change,
    }
    if table is None:
        if fixed is None or moving is None:
            raise ValueError("expected FIXED and MOVING, or --table, got neither")
        pair = PairPaths(
            fixed=fixed,
            moving=moving,
            fixed_mask=fixed_mask,
            moving_mask=moving_mask,
            fixed_labels=labels and labels[0],
            moving_labels=labels and labels[1],
            evaluation_landmarks=evaluation_landmarks,
            initial_transform=initial_transform,
        )
        if faults := pair_faults(pair):
            raise ValueError("; ".join(faults))
        inputs = [*pair.files.values(), *(elastix_parameters or [])]
        with staged(output, "--output", comparison.files(names), inputs), kept, pulse:
            found = comparison.compare_pair(read_pair(pair), output, names, **settings)
        rows = found["methods"]
    else:
        single = (fixed, moving, fixed_mask, moving_mask, evaluation_landmarks, labels)
        if any(value is not None for value in single):
            raise ValueError("expected the images of all pairs in --table, got some beside it")
        pairs = read_pair_table(table, "--table", initial_transform)
        if guided := [pair.name for pair in pairs if pair.guide_landmarks]:
            raise ValueError(
                f"expected no guide_landmarks, which no method of a comparison sees, in --table "
                f"{table}, got those of {', '.join(guided)}: leave the column out"
            )
        files = comparison.files(names, [pair.name for pair in pairs])
        inputs = [table, *(path for pair in pairs for path in pair.files.values())]
        inputs += elastix_parameters or []
        with staged(output, "--output", files, inputs), kept, pulse:
            found = comparison.compare_pairs(pairs, output, names, **settings)
        rows = [row for pair in found["pairs"] for row in pair["methods"]]
    typer.echo((output / "comparison.md").read_text(encoding="utf-8"))
    if all(row["error"] for row in rows):
        raise RuntimeError(f"every method failed; see {output / 'comparison.md'}")


def _checked_methods(text: str) -> list[str]:
    from itk_nephi.workflows.methods import METHODS

    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in METHODS]
    if unknown or len(set(names)) < len(names):
        raise ValueError(
            f"expected --methods to be some of {', '.join(METHODS)}, each once, got {text!r}"
        )
    return names
