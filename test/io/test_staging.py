from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from itk_nephi.io.staging import (
    LOCK,
    UNFINISHED,
    clear_unfinished,
    locked,
    staged,
    temporary_folder,
    unfinished_name,
)


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
        with temporary_folder(tmp_path, beside=False) as folder:
            assert folder.parent == tmp_path
            (folder / "a.txt").write_text(name)
            if name == "complete":
                folder.rename(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["complete"]
    assert contents(tmp_path / "complete") == {"a.txt": "complete"}


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize(
    "error", [ValueError, RuntimeError, lambda path: OSError(28, "No space left", path)]
)
def test_no_message_names_a_temporary_folder(
    tmp_path: Path, beside: bool, error: Callable[[str], Exception]
) -> None:
    target = tmp_path / "result"
    target.mkdir()

    def fail() -> None:
        with temporary_folder(target, beside=beside) as stage:
            assert stage.parent == (tmp_path if beside else target)
            raise error(f"{stage}/a.h5")

    with pytest.raises(Exception, match=f"{target}/a.h5") as found:
        fail()
    assert UNFINISHED not in str(found.value)


def test_what_becomes_a_result_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()
    with temporary_folder(tmp_path, beside=False) as folder:
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
    left = output / unfinished_name()
    (left / "deep").mkdir(parents=True)
    (output / "complete").mkdir()
    with locked(output, "batch"):
        assert not left.exists()
        left.mkdir()
    assert {path.name for path in output.iterdir()} == {"complete", LOCK}


@pytest.mark.parametrize(
    "suffix", [".nii.gz", ".nii", ".nrrd", ".mha", ".hdf5", ".tfm", ".h5", ".csv"]
)
def test_a_full_disk_is_an_error_and_the_old_file_stays(tmp_path: Path, suffix: str) -> None:
    code = """
import resource, sys
from pathlib import Path
import numpy as np
from itk_nephi.io.image_writing import write_image
from itk_nephi.io.staging import staged_file
from itk_nephi.io.transforms import write_transform
from itk_nephi.spatial import light_itk as itk
path = Path(sys.argv[1])
values = np.random.default_rng(0).random((20, 20, 20)).astype(np.float32)
image, transform = itk.image_from_array(values), itk.BSplineTransform[itk.D, 3, 3].New()
transform.SetTransformDomainMeshSize([9, 9, 9])
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
try:
    with staged_file(path, "--output") as target:
        match path.suffix:
            case ".tfm" | ".h5":
                write_transform(transform, target)
            case ".csv":
                target.write_text("1,2,3\\n" * 1000)
            case _:
                write_image(image, target)
except (ValueError, OSError) as error:
    print(error)
"""
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"old")
    command = [sys.executable, "-W", "ignore", "-c", code, path]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert str(tmp_path if suffix == ".csv" else path) in result.stdout
    assert UNFINISHED not in result.stdout
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_only_what_the_dead_have_left_is_cleared(tmp_path: Path) -> None:
    foreign = tmp_path / f"{UNFINISHED}another-command"
    for folder in (left := tmp_path / unfinished_name(), foreign):
        folder.mkdir()
        (folder / "a.txt").write_text("mine")
    with temporary_folder(tmp_path, beside=False) as living, staged(tmp_path, "--output"):
        assert living.is_dir()
        assert not left.exists()
        assert (foreign / "a.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "boot", "is_here"),
    [
        ("node1", "first", True),
        ("node1", "second", True),  # restarted
        ("container", "first", True),
        ("node2", "second", False),
    ],
)
def test_what_other_hosts_are_writing_stays_though_no_lock_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, boot: str, is_here: bool
) -> None:
    def become(name: str, boot: str) -> None:
        monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(nodename=name))
        (tmp_path / "boot_id").write_text(boot)
        monkeypatch.setattr("itk_nephi.io.staging.BOOT", tmp_path / "boot_id")

    become(name, boot)
    (left := tmp_path / unfinished_name()).mkdir()
    become("node1", "first")
    clear_unfinished(tmp_path)
    assert left.exists() != is_here


@pytest.mark.parametrize(
    ("number", "kind", "is_error"),
    [
        (errno.EINVAL, "folder", False),
        (errno.ENOTSUP, "folder", False),
        (errno.EIO, "folder", True),
        (errno.EINVAL, "file", True),
    ],
)
def test_file_systems_that_cannot_wait_for_folders_get_results_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: str, is_error: bool
) -> None:
    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) == (kind == "folder"):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    with (
        pytest.raises(OSError, match=os.strerror(number)) if is_error else nullcontext(),
        staged(tmp_path, "--output") as stage,
    ):
        (stage / "a.txt").write_text("whole")
    if not is_error:
        assert contents(tmp_path) == {"a.txt": "whole"}


def test_what_a_killed_run_has_left_beside_its_new_folder_is_cleared(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from itk_nephi.io.staging import staged
with staged(Path(sys.argv[1]), "--output") as stage:
    (stage / "a.txt").write_text("cut")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    output = tmp_path / "deep" / "output"
    for _ in range(2):  # the folder is new, then empty
        process = subprocess.run([sys.executable, "-c", code, output], check=False)
        assert process.returncode < 0
    with staged(output, "--output") as stage:
        (stage / "a.txt").write_text("whole")
    assert [path for path in tmp_path.rglob("*") if path.name.startswith(UNFINISHED)] == []
    assert contents(output) == {"a.txt": "whole"}


def test_targets_are_checked_first(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("mine")
    (tmp_path / "b.txt").mkdir()
    (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")
    for names, inputs, words in (
        (["b.txt"], [], "to leave .*b.txt to a file, got a folder there"),
        (["a.txt"], [tmp_path / "a.txt"], "to replace no input, got .*a.txt as both"),
        (["a.txt"], [tmp_path / "link.txt"], "to replace no input, got .*link.txt as both"),
    ):
        with (
            pytest.raises(ValueError, match=f"expected --output {words}"),
            staged(tmp_path, "--output", names, inputs),
        ):
            pytest.fail("nothing is computed before")


def test_a_new_folder_appears_with_all_of_its_files(tmp_path: Path) -> None:
    output = tmp_path / "new" / "deep"
    with staged(output, "--output") as stage:
        for name in ("a.txt", "b.txt"):
            (stage / name).write_text(name)
            assert list(output.iterdir()) == []
    assert contents(output) == {"a.txt": "a.txt", "b.txt": "b.txt"}
    assert [path.name for path in output.parent.iterdir()] == ["deep"]


@pytest.mark.parametrize("moment", ["mkdir", "flock", "exists", "rmtree"])
def test_an_interrupt_at_any_moment_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    owner = {"mkdir": Path, "exists": Path, "flock": fcntl, "rmtree": shutil}[moment]
    usual, calls = getattr(owner, moment), []

    def interrupted(*given: Any, **named: Any) -> Any:
        result = None if moment == "rmtree" and not calls else usual(*given, **named)
        calls.append(moment)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(owner, moment, interrupted)
    with pytest.raises(KeyboardInterrupt), temporary_folder(tmp_path, beside=False):
        pass
    monkeypatch.undo()
    assert not list(tmp_path.iterdir())
