from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

SWALLOWING = """
import os, time
try:
    os.kill(os.getpid(), {signal})
    [time.sleep(0.001) for _ in range(100)]
except BaseException:
    pass
"""

COMMAND = """
import sys, time
sys.path.append(sys.argv[1])
from itk_nephi.cli import app

class Collected:
    def __del__(self):
        {interrupt}

def command(prog_name):
    {statement}
    print("loaded", flush=True)
    time.sleep(60)

app.app = command
app.main()
"""


def heed_signals() -> None:
    """Let a process heed what a shell's background or nohup ignores."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.parametrize("number", ["signal.SIGTERM", "signal.SIGINT", "signal.SIGHUP"])
@pytest.mark.parametrize("place", ["a module that loads", "garbage that is collected"])
def test_an_interrupt_that_libraries_ignore_comes_again(
    number: str, place: str, tmp_path: Path
) -> None:
    body = SWALLOWING.format(signal=number)
    (tmp_path / "swallowing.py").write_text("import signal\n" + body)
    interrupt = f"import os, signal; os.kill(os.getpid(), {number}); time.sleep(0.1)"
    statement = "import swallowing" if place == "a module that loads" else "Collected()"
    text = COMMAND.format(interrupt=interrupt, statement=statement)
    ended = subprocess.run(
        [sys.executable, "-c", text, tmp_path],
        capture_output=True,
        text=True,
        timeout=50,
        preexec_fn=heed_signals,
    )
    assert ended.returncode == 130, ended.stderr
    assert ended.stdout == "loaded\n"
    assert ended.stderr == "itk-nephi: interrupted\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_what_is_ignored_stays_ignored(number: signal.Signals) -> None:
    text = "from itk_nephi.cli.interrupts import heed_interrupts; import os"
    text += f"; heed_interrupts(); os.kill(os.getpid(), {number.value}); print('done')"
    ended = subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_IGN),
    )
    assert (ended.returncode, ended.stdout) == (0, "done\n")
