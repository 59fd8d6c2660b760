"""``itk-nephi batch``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from itk_nephi.cli import options
from itk_nephi.cli.messages import report
from itk_nephi.cli.progress import Pulse, pair_progress
from itk_nephi.io.pair_table import read_pair_table
from itk_nephi.io.staging import check_targets
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.spatial.initialization import KINDS

if TYPE_CHECKING:
    from itk_nephi.workflows.batch import PairOutcome


@options.of_settings(RegistrationSettings)
def batch(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE",
            help="CSV with columns fixed, moving, and if you like name, fixed_mask, moving_mask, "
            "fixed_labels, moving_labels, evaluation_landmarks, guide_landmarks, "
            "initial_transform; files relative to its folder.",
        ),
    ],
    output: options.Folder,
    jobs: Annotated[
        int, typer.Option(help="Pairs at a time, each in a process of its own if several.")
    ] = 1,
    threads: Annotated[
        int, typer.Option(help="Threads of each pair; the results are the same on any number.")
    ] = 1,
    dask: Annotated[
        str | None,
        typer.Option(help="Compute on the workers of this Dask scheduler.", metavar="ADDRESS"),
    ] = None,
    initial_transform: Annotated[
        str, typer.Option(help=f"{', '.join(KINDS)}, where TABLE names none.")
    ] = "affine",
    *,
    results: options.Results = "all",
    preset: options.PresetOption = None,
    settings: options.SettingsFile = None,
    elastix_parameters: options.ElastixParameters = None,
    changes: dict[str, Any],
    device: options.Device = "cpu",
    seed: options.Seed = 0,
) -> None:
    """Register many pairs, each into a folder of its own, and write a summary.

    The whole table is checked first. A run that was killed resumes where it
    was when started again: folders appear when they are complete, and are
    done anew if settings, files or versions have changed. Failed pairs are
    rows of summary.csv and summary.html with the reason, and tried again by
    the next run.
    """
    if initial_transform not in KINDS:
        raise ValueError(
            f"expected --initial-transform to be one of {', '.join(KINDS)}, got "
            f"{initial_transform!r}"
        )
    written = options.chosen_results(results)
    pairs = read_pair_table(table, initial_transform=initial_transform)
    from itk_nephi.workflows.batch import BatchSettings, run_batch
    from itk_nephi.workflows.batch_summary import SUMMARY, write_summary

    check_targets([output / name for name in SUMMARY], "--output", [table])

    common = BatchSettings(
        registration=options.registration_settings(preset, settings, elastix_parameters, changes),
        device=device,
        seed=seed,
        threads=threads,
        results=written,
    )
    cores = len(os.sched_getaffinity(0))
    if dask is None and jobs * threads < min(len(pairs), cores):
        report(f"--jobs computes several pairs at a time on this machine's {cores} cores")
    outcomes: list[PairOutcome] = []
    with Pulse("starting") as pulse:
        show = pair_progress(len(pairs), pulse)
        try:
            for outcome in run_batch(pairs, output, common, jobs=jobs, dask=dask):
                outcomes.append(outcome)
                show(outcome)
        except KeyboardInterrupt:
            typer.echo("itk-nephi: interrupted: the same command resumes from here", err=True)
        if outcomes:
            pulse.change("writing the summary")
            write_summary(output, outcomes)
    failed = sum(bool(outcome.reason) for outcome in outcomes)
    done = len(outcomes) - failed
    typer.echo(f"{done} of {len(pairs)} pairs done, {failed} failed: {output / 'summary.html'}")
    if len(outcomes) < len(pairs):
        raise typer.Exit(130)
    if failed:
        raise typer.Exit(1)
