"""What a command takes besides its work: seconds and memory, before classes were loaded alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.cache import ROOT, Figures, slug
from benchmarks.pairs import Pair, hippocampus_pairs, read_pair
from benchmarks.process import environment, run_command
from benchmarks.study import QUICK_STEPS, Run, Study, tabulate

BEFORE = "96b7020"
"""A commit that loads ITK's modules with all that they depend on."""

RUNS = 5

LANDMARKS = 51

LAUNCH = """
import os, sys, time
start = time.perf_counter()
child = os.fork()
if not child:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.execv(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(child, 0)
print(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**10)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""What starts a command from a small process: its peak counts the memory of what it came from."""

MAIN = """
try:
    from itk_nephi.cli.app import main
except ImportError:
    from itk_nephi.cli import main
main()
"""
"""The command line, of the old package or the new."""


def measure(run: Run) -> Figures:
    """Measure all commands with both packages, in rounds, on one core."""
    place = run.folder / f"commit-{BEFORE}"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--detach", "--force", str(place), BEFORE], check=True)
    try:
        checkouts = {"before": place, "after": ROOT}
        runs = 1 if run.quick else RUNS
        folder = run.folder.resolve() / "start-up"
        folder.mkdir(parents=True, exist_ok=True)
        pair = next(iter(hippocampus_pairs(run, 1, seed=0).values()))
        files = [pair["fixed"], pair["moving"]]
        measured = {
            what: (command, checkouts)
            for what, command in commands(pair, folder, run.quick).items()
        }
        whole = ["--steps", str(QUICK_STEPS)] if run.quick else []
        for what, options in (
            ("itk-nephi register --steps 1", ["--steps", "1"]),
            ("itk-nephi register", whole),
            ("itk-nephi register --preset fast", ["--preset", "fast", *whole]),
        ):
            command = [sys.executable, "-c", MAIN, "register", *map(str, files), *options]
            command += ["-o", str(folder / slug(what))]
            # the old package cannot: its training kernel is called otherwise than the compiled one
            measured[what] = (command, {"after": ROOT})
        return {"commands": measure_commands(measured, runs)}
    finally:
        subprocess.run([*git, "remove", "--force", str(place)], check=True)


def table(figures: Figures) -> str:
    """Return the seconds and the peak memory of each command, before and after."""
    rows = []
    for what, found in figures["commands"].items():
        before, after = found.get("before"), found["after"]
        rows.append(
            [
                what,
                f"{before['seconds']:.2f}" if before else "-",
                f"{after['seconds']:.2f}",
                f"{after['seconds'] / before['seconds']:.2f}" if before else "-",
                f"{after['cpu']:.2f}",
                f"{before['mib']:.0f}" if before else "-",
                f"{after['mib']:.0f}",
            ]
        )
    header = [
        "command",
        f"s, {BEFORE}",
        "s, now",
        "ratio",
        "s of CPU",
        f"MiB, {BEFORE}",
        "MiB, now",
    ]
    return tabulate(header, rows)


def commands(pair: Pair, folder: Path, quick: bool) -> dict[str, list[str]]:
    """Return what is run, with the files it needs: a registration of the pair, and landmarks."""
    transform = folder / "registered" / "fixed_to_moving.h5"
    if not transform.exists():
        steps = ["--steps", QUICK_STEPS] if quick else []
        run_command("register", pair["fixed"], pair["moving"], "-o", transform.parent, *steps)
    dimension = read_pair(pair).dimension
    points = folder / "points.csv"
    row = ",".join(["1.5"] * dimension)
    points.write_text("\n".join([",".join("xyz"[:dimension]), *[row] * LANDMARKS]) + "\n")
    nephi = [sys.executable, "-c", MAIN]
    moved = str(folder / "moved.csv")
    return {
        "itk-nephi --help": [*nephi, "--help"],
        "itk-nephi info x.h5": [*nephi, "info", str(transform)],
        "itk-nephi transform-points": [
            *[*nephi, "transform-points", str(points), str(transform), "-o", moved]
        ],
        "import itk_nephi": [sys.executable, "-c", "import itk_nephi"],
        "import itk; itk.NePhiTransform": [sys.executable, "-c", "import itk; itk.NePhiTransform"],
        "import itk; itk.Image": [sys.executable, "-c", "import itk; itk.Image"],
    }


def measure_commands(
    commands: dict[str, tuple[list[str], dict[str, Path]]], rounds: int
) -> dict[str, dict[str, Figures]]:
    """Return the fewest seconds, also of the CPU, and the most memory of each command.

    All of them take turns, in every checkout given with a command: a machine that is slower for
    some minutes is slower for all.
    """
    found: dict[str, dict[str, list[Figures]]] = {
        what: {name: [] for name in checkouts} for what, (_, checkouts) in commands.items()
    }
    for _ in range(rounds):
        for what, (command, checkouts) in commands.items():
            for name, checkout in checkouts.items():
                found[what][name].append(run_measured(command, checkout))
    return {
        what: {
            name: {
                "seconds": min(each["seconds"] for each in every),
                "cpu": min(each["cpu"] for each in every),
                "mib": max(each["mib"] for each in every),
            }
            for name, every in packages.items()
        }
        for what, packages in found.items()
    }


def run_measured(command: list[str], checkout: Path) -> Figures:
    """Run a command on one thread; return its seconds and its peak memory, MiB."""
    launched = subprocess.run(
        [sys.executable, "-S", "-c", LAUNCH, *command],
        env=environment(1, checkout),
        cwd=checkout,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    seconds, cpu, mib = map(float, launched.stdout.split())
    return {"seconds": seconds, "cpu": cpu, "mib": mib}


STUDY = Study(
    name="start-up",
    question="What do commands take besides their work?",
    time="4 minutes, one core",
    measure=measure,
    table=table,
)
