from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from itk_nephi.io.staging import LOCK, UNFINISHED, locked, staged, temporary_folder


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_files_appear_together_and_replace_those_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    with staged(tmp_path, "--output") as stage:
        (stage / "a.txt").write_text("new")
        (stage / "b.txt").write_text("new")
        assert (tmp_path / "a.txt").read_text() == "old"
        assert not (tmp_path / "b.txt").exists()
    assert contents(tmp_path) == {"a.txt": "new", "b.txt": "new", "notes.txt": "mine"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_after_a_failure_all_is_as_before(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "a.txt").write_text("old")
    for folder in (tmp_path, tmp_path / "new" / "deep"):
        with pytest.raises(error), staged(folder, "--output") as stage:  # noqa: PT012
            (stage / "a.txt").write_text("new")
            raise error
    assert contents(tmp_path) == {"a.txt": "old"}


def test_folders_that_were_there_stay_though_empty(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with staged(tmp_path / "mine" / "new", "--output"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    expected = f"expected --output to be where files can be written, got {tmp_path / 'file'}"
    with pytest.raises(ValueError, match=expected), staged(tmp_path / "file" / "below", "--output"):
        pytest.fail("nothing is computed before")
    assert contents(tmp_path) == {"file": "mine"}


def test_a_temporary_folder_goes_unless_it_is_renamed(tmp_path: Path) -> None:
    for name in ("given up", "complete"):
        with temporary_folder(tmp_path) as folder:
            assert folder.parent == tmp_path
            (folder / "a.txt").write_text(name)
            if name == "complete":
                folder.rename(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["complete"]
    assert contents(tmp_path / "complete") == {"a.txt": "complete"}


def test_what_becomes_a_result_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()
    with temporary_folder(tmp_path) as folder:
        assert folder.stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_one_process_at_a_time_has_the_lock_until_it_ends(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from itk_nephi.io.staging import locked
with locked(Path(sys.argv[1]), "batch"):
    print("has it", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"has it\n"
        expected = f"expected no other batch that writes to {tmp_path}, got one"
        with pytest.raises(ValueError, match=expected), locked(tmp_path, "batch"):
            pytest.fail("two have the lock")
        other.kill()  # as when a machine is short of memory: nothing is cleaned up
    with locked(tmp_path, "batch"):
        pass


def test_a_lock_is_not_shared_within_a_process(tmp_path: Path) -> None:
    with (
        locked(tmp_path, "batch"),
        pytest.raises(ValueError, match="expected no other batch"),
        locked(tmp_path, "batch"),
    ):
        pytest.fail("two have the lock")
    with locked(tmp_path, "batch"):
        pass


def test_what_a_killed_process_has_left_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    output = tmp_path / "output"
    left = output / f"{UNFINISHED}0123"
    (left / "deep").mkdir(parents=True)
    (output / "complete").mkdir()
    with locked(output, "batch"):
        assert not left.exists()
        left.mkdir()
    assert {path.name for path in output.iterdir()} == {"complete", LOCK}
