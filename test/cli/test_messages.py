from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings

import pytest

from itk_nephi.cli.messages import shown_messages

LIBRARY = "os.write(2, b'data not read completely\\n')"


def process(code: str) -> subprocess.CompletedProcess[str]:
    setup = "import os, sys, typer; from itk_nephi.cli.messages import libraries_apart\n"
    return subprocess.run(
        [sys.executable, "-c", setup + code], check=False, capture_output=True, text=True
    )


@pytest.mark.parametrize("debug", [False, True])
def test_log_lines_and_warnings_are_plain_lines(
    debug: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    package, other = logging.getLogger("itk_nephi.some.module"), logging.getLogger("other")
    with shown_messages(logging.DEBUG if debug else logging.WARNING):
        package.debug("step %d", 3)
        package.warning("odd")
        other.debug("theirs")
        other.warning("mind")
        warnings.simplefilter("always")
        warnings.warn("the gap", stacklevel=1)
    expected = ["itk-nephi: odd", "itk-nephi: mind", "itk-nephi: warning: the gap"]
    assert capsys.readouterr().err.splitlines() == ["itk-nephi: step 3"] * debug + expected


def test_nothing_of_it_is_left() -> None:
    def state() -> list[object]:
        package = logging.getLogger("itk_nephi")
        return [*logging.getLogger().handlers, package.level, warnings.showwarning]

    before = state()
    context = shown_messages(logging.DEBUG)
    context.__enter__()
    assert state() != before
    error = ValueError("odd")
    assert not context.__exit__(ValueError, error, None)
    assert state() == before


def test_what_libraries_print_comes_after_what_the_command_says() -> None:
    result = process(f"""
with libraries_apart():
    {LIBRARY}
    typer.echo("done", err=True)
typer.echo("as before", err=True)
{LIBRARY}
""")
    assert result.stderr.splitlines() == [
        "done", "itk-nephi: data not read completely", "as before", "data not read completely"
    ]  # fmt: skip


@pytest.mark.parametrize("status", [0, 2])
def test_it_is_left_out_of_a_command_that_failed(status: int) -> None:
    result = process(f"""
with libraries_apart():
    {LIBRARY}
    sys.exit({status})
""")
    assert result.returncode == status
    assert result.stderr == ("" if status else "itk-nephi: data not read completely\n")


def test_children_print_to_the_same_place() -> None:
    result = process("""
with libraries_apart():
    os.system("echo from a child >&2")
    print("ours", file=sys.stderr)
""")
    assert result.stderr.splitlines() == ["ours", "itk-nephi: from a child"]


def test_a_closed_stderr_is_no_error() -> None:
    code = f"""
import os, sys
from itk_nephi.cli.messages import libraries_apart, open_standard_streams
assert sys.stderr is None
open_standard_streams()
with libraries_apart():
    {LIBRARY}
    print("to nobody", file=sys.stderr)
    with open(sys.argv[1], "w") as file:
        assert file.fileno() > 2
print("out")
"""
    command = ["bash", "-c", 'exec "$@" 2>&-', "bash", sys.executable, "-c", code, os.devnull]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    assert result.stdout == "out\n"
