from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import termios
import warnings
from pathlib import Path
from typing import Any

import itk
import pytest
from support.command_line import assert_fails, register, run

from itk_nephi.cli import app
from itk_nephi.workflows.outputs import files as files_of

MAIN = [sys.executable, "-c", "from itk_nephi.cli.app import main; main()"]


@pytest.fixture
def truncated(inputs: Path, tmp_path: Path) -> Path:
    path = tmp_path / "moving.mha"
    itk.imwrite(itk.imread(str(inputs / "moving.nrrd")), str(path))
    path.write_bytes(path.read_bytes()[:-100])
    return path


def test_libraries_of_itk_print_nothing_about_a_truncated_image(
    inputs: Path, truncated: Path, tmp_path: Path
) -> None:
    command = [*MAIN, "register", inputs / "fixed.nrrd", truncated, "-o", tmp_path]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 2
    # a busy machine may take long enough to show what it does
    shown = ("starting", "reading")
    (error,) = (line for line in result.stderr.splitlines() if not line.startswith(shown))
    assert error.startswith("itk-nephi: error:")
    assert f"expected MOVING to be an image that ITK can read, got {truncated}" in result.stderr


def test_with_debug_libraries_print_and_the_traceback_is_shown(truncated: Path) -> None:
    result = subprocess.run(
        [*MAIN, "--debug", "info", truncated], check=False, capture_output=True, text=True
    )
    assert result.returncode == 2
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("itk-nephi: error: expected FILE")


def test_a_traceback_is_shown_on_demand(tmp_path: Path) -> None:
    result = run("--debug", "register", "none.mha", "none.mha", "-o", tmp_path / "output")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("itk-nephi: error: expected FIXED to be")


def test_without_stderr_results_and_status_are_the_same(inputs: Path, truncated: Path) -> None:
    """Descriptor 2 is then free: libraries must not print into the next file that is opened."""
    for path, status in ((inputs / "fixed.nrrd", 0), (truncated, 2)):
        usual, closed = (
            subprocess.run(
                ["bash", "-c", f'exec "$@" {redirected}', "bash", *MAIN, "info", path],
                check=False,
                stdout=subprocess.PIPE,
            )
            for redirected in ("2> /dev/null", "2>&-")
        )
        assert usual.returncode == closed.returncode == status
        assert usual.stdout == closed.stdout


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (ValueError("expected tea,\n got coffee"), 2, "itk-nephi: error: expected tea, got coffee"),
        (MemoryError(), 2, "itk-nephi: error: MemoryError"),
        (KeyboardInterrupt(), 130, "itk-nephi: interrupted, nothing written"),
    ],
)
def test_what_input_can_cause_is_one_sentence_and_a_status(
    inputs: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    status: int,
    told: str,
) -> None:
    def failing(_: Path) -> str:
        raise error

    monkeypatch.setattr("itk_nephi.cli.info.describe", failing)
    result = run("info", inputs / "fixed.nrrd")
    assert (result.exit_code, result.stderr) == (status, f"{told}\n")


def test_a_defect_is_no_sentence(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Path) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr("itk_nephi.cli.info.describe", broken)
    assert isinstance(run("info", inputs / "fixed.nrrd").exception, ZeroDivisionError)


def test_warnings_are_one_plain_line(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def warned(_: Path) -> str:
        warnings.simplefilter("always")
        warnings.warn("mind the gap", stacklevel=1)
        return "described"

    usual = warnings.showwarning
    monkeypatch.setattr("itk_nephi.cli.info.describe", warned)
    result = run("info", inputs / "fixed.nrrd")
    assert result.stderr == "itk-nephi: warning: mind the gap\n"
    assert result.stdout == "described\n"
    assert warnings.showwarning is usual


def test_waiting_threads_of_torch_leave_the_cores_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(
        app, "app", lambda **_: seen.update(policy=os.environ.get("OMP_WAIT_POLICY"))
    )
    for given, expected in ((None, "passive"), ("active", "active")):
        if given is None:
            monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
        else:
            monkeypatch.setenv("OMP_WAIT_POLICY", given)
        app.main()
        assert seen["policy"] == expected


def test_versions_are_shown() -> None:
    result = run("--version")
    assert result.exit_code == 0
    assert re.fullmatch(r"itk-nephi \d\S*, itk 5\.4\.\d+\n", result.stdout)


def test_the_package_is_run_as_the_command() -> None:
    command = [sys.executable, "-m", "itk_nephi", "--version"]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert result.stdout.startswith("itk-nephi ")


def test_names_are_printed_whatever_their_letters(inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("x,y\n1,2\n")
    (tmp_path / "ł.nrrd").write_bytes((inputs / "fixed.nrrd").read_bytes())
    pair, folder = [inputs / "fixed.nrrd", inputs / "moving.nrrd"], tmp_path / "m\udcfcller"
    points = [tmp_path / "points.csv", inputs / "affine.tfm", "-o", folder / "o.csv"]
    for arguments, status, printed in (
        (["info", folder], 2, r"m\udcfcller, which does not exist"),
        (["transform-points", *points], 0, r"m\udcfcller/o.csv"),
        (["register", *pair, "-o", folder], 2, "is not UTF-8, as ITK needs it: rename it"),
        (["info", tmp_path / "ł.nrrd"], 0, r"/\u0142.nrrd"),
    ):
        result = subprocess.run(
            [*MAIN, *map(str, arguments)],
            env={**os.environ, "PYTHONIOENCODING": "latin-1:strict"},
            check=False,
            capture_output=True,
            text=True,
        )
        assert result.returncode == status, result.stderr
        assert printed in result.stdout + result.stderr
        assert "Traceback" not in result.stderr
    assert (folder / "o.csv").is_file()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_change_no_file(inputs: Path, tmp_path: Path, closed: str) -> None:
    arguments = ["transform-image", inputs / "moving.nrrd", inputs / "affine.tfm"]
    arguments += ["--reference", inputs / "fixed.nrrd", "-o", tmp_path / "out.nrrd"]
    command = ["bash", "-c", f'exec "$@" {closed}', "bash", sys.executable, "-m", "itk_nephi"]
    subprocess.run([*command, *map(str, arguments)], check=True)
    expected = run(*arguments[:-1], tmp_path / "other.nrrd")
    assert expected.exit_code == 0, expected.output
    assert (tmp_path / "out.nrrd").read_bytes() == (tmp_path / "other.nrrd").read_bytes()


def test_sigterm_is_ctrl_c(inputs: Path, tmp_path: Path) -> None:
    files = [inputs / "fixed.nrrd", inputs / "moving.nrrd", "-o", tmp_path / "out"]
    options = ["--initial-transform", "identity", "--steps", 100_000]
    command = [sys.executable, "-m", "itk_nephi", "register", *files, *options]
    with subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "level" not in process.stderr.readline() and process.poll() is None:
            pass
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        assert process.wait(120) == 130
    assert not list(tmp_path.glob(".itk-nephi-*"))


def test_what_was_reached_is_written_when_the_terminal_closes(inputs: Path, tmp_path: Path) -> None:
    files = [inputs / "fixed.nrrd", inputs / "moving.nrrd", "-o", tmp_path / "out"]
    options = ["--initial-transform", "identity", "--steps", 100_000, "--results", "transforms"]
    command = [sys.executable, "-m", "itk_nephi", "register", *files, *options]
    terminal, theirs = os.openpty()

    def begin() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup ignores
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    with subprocess.Popen(
        [*map(str, command)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=begin,
    ) as process:
        try:
            os.close(theirs)
            shown = b""
            while b"level" not in shown:
                shown += os.read(terminal, 1000)
            os.close(terminal)
            assert process.wait(120) == 130
        finally:
            process.kill()
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(files_of(["transforms"]))
    assert not list(tmp_path.glob(".itk-nephi-*"))


@pytest.mark.parametrize("first", [True, False])
def test_options_of_all_commands_stand_anywhere(tmp_path: Path, first: bool) -> None:
    words = ["align", "none.mha", "none.mha", "-o", tmp_path / "start.h5"]
    result = run(*["--debug", *words] if first else [*words, "--debug"])
    assert result.exit_code == 2
    assert "Traceback" in result.stderr


def test_after_two_hyphens_words_are_files() -> None:
    assert_fails(run("info", "--", "-q"), "expected FILE to be", "-q")


def test_quiet_leaves_results_and_errors(inputs: Path, tmp_path: Path) -> None:
    loud, quiet = (
        register(inputs, tmp_path / name, *options)
        for name, options in (("loud", []), ("quiet", ["-q"]))
    )
    assert "level 1 of 2" in loud.stderr
    assert quiet.exit_code == 0
    assert quiet.stderr == ""
    assert quiet.stdout.count("\n") == loud.stdout.count("\n")
    assert_fails(run("info", "none.mha", "-q"), "expected FILE to be")
    assert_fails(run("-q", "-v", "info", "none.mha"), "expected one of -q and -v, got both")


def test_verbose_shows_the_stages(inputs: Path, tmp_path: Path) -> None:
    result = register(inputs, tmp_path / "out", "-v")
    for stage in ("reading the images", "starting the registration", "writing the transforms"):
        assert f"itk-nephi: {stage}\n" in result.stderr


def test_the_shell_completes_commands_and_options() -> None:
    result = subprocess.run(
        MAIN,
        check=False,
        capture_output=True,
        text=True,
        env=os.environ
        | {
            "_ITK_NEPHI_COMPLETE": "complete_bash",
            "COMP_WORDS": "itk-nephi transform-",
            "COMP_CWORD": "1",
        },
    )
    assert result.stdout.split() == ["transform-image", "transform-points", "transform-mesh"]


def test_a_thread_that_fails_shows_no_traceback() -> None:
    code = """
import threading
from itk_nephi.cli import app
def fail():
    raise OSError("no room")
def command(**_):
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
app.app = command
app.main()
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stderr == ""
