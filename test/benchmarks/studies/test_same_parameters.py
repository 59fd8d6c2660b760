"""This checkout's parameters are its own, to the bit."""

import subprocess
from pathlib import Path

import pytest

from benchmarks.cache import ROOT
from benchmarks.studies.same_parameters import STUDY
from benchmarks.study import Run

COMMITS = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], check=False, capture_output=True)


@pytest.mark.slow
@pytest.mark.skipif(COMMITS.returncode != 0, reason="needs a git checkout")
def test_a_commit_is_held_against_the_checkout(tmp_path: Path) -> None:
    figures = STUDY.run(Run(folder=tmp_path, quick=True))
    rows = STUDY.table(figures).splitlines()[2:]
    assert len(rows) == 4
    assert STUDY.holds is not None
    assert STUDY.holds(figures) == all(row.endswith("| yes |") for row in rows)
    worktrees = subprocess.run(
        ["git", "-C", ROOT, "worktree", "list"], check=True, capture_output=True, text=True
    ).stdout
    assert str(tmp_path) not in worktrees
    figures["checkout"]["predicted"]["fixed_to_moving"] = "another"
    assert not STUDY.holds(figures)
    assert "| NO |" in STUDY.table(figures)
