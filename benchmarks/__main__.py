"""The command line of the benchmarks: list, run, publish."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.cache import ROOT, log
from benchmarks.performance import build, memory, results, start_up, transform
from benchmarks.publish import list_studies, publish
from benchmarks.studies import (
    ablation,
    alignment,
    chests,
    claims,
    cohort,
    detail,
    invariance,
    kinds,
    lung,
    phantoms,
    reproducibility,
    same_parameters,
    series,
    similarities,
    smoothness,
)
from benchmarks.study import Run, Study

MODULES = (
    detail,
    lung,
    chests,
    similarities,
    smoothness,
    ablation,
    phantoms,
    alignment,
    series,
    cohort,
    invariance,
    reproducibility,
    same_parameters,
    kinds,
    claims,
    results,
    transform,
    start_up,
    build,
)

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        *(module.STUDY for module in MODULES),
        *(study for _, study, _ in claims.CLAIMS),
        memory.CPU,
        memory.CUDA,
    )
}
"""All studies by name."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return 1 where a study does not show what it should."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="print a row for each study")
    running = commands.add_parser("run", help="measure, and print tables")
    running.add_argument("studies", nargs="+", choices=STUDIES, metavar="STUDY")
    running.add_argument("-o", "--output", type=Path, required=True, help="keeps all trials")
    running.add_argument(
        "--quick", action="store_true", help="small phantoms and few steps, in OUTPUT/quick"
    )
    running.add_argument(
        "--commit", default=Run.commit, help="of same-parameters (default %(default)s)"
    )
    publishing = commands.add_parser("publish", help="write the tables of runs into the docs")
    publishing.add_argument("-o", "--output", type=Path, required=True, help="of the runs")
    publishing.add_argument("--root", type=Path, default=ROOT, help="another checkout")
    options = parser.parse_args(arguments)
    if options.command == "list":
        sys.stdout.write(list_studies(STUDIES.values()) + "\n")
        return 0
    output = options.output.resolve()
    if options.command == "publish":
        for path in publish(STUDIES.values(), output, options.root):
            log(f"wrote {path}")
        return 0
    run = Run(
        folder=output / "quick" if options.quick else output,
        quick=options.quick,
        commit=options.commit,
    )
    failed = False
    for study in (STUDIES[name] for name in options.studies):
        figures = study.run(run)
        sys.stdout.write(f"{study.question}\n\n{study.table(figures)}\n\n")
        failed |= study.holds is not None and not study.holds(figures)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
