"""The C++ code of fields alone, under sanitizers, with GoogleTest and CTest."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

MISSING = [tool for tool in ("c++", "cmake", "ctest", "ninja") if shutil.which(tool) is None]


def run(*command: Any) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}")
@pytest.mark.parametrize("sanitizers", ["address,undefined", "thread"])
def test_the_code_alone_passes_its_tests_under_sanitizers(tmp_path: Path, sanitizers: str) -> None:
    source = Path(__file__).parent
    run("cmake", "-S", source, "-B", tmp_path, "-G", "Ninja", f"-DSANITIZERS={sanitizers}")
    run("cmake", "--build", tmp_path)
    tested = run("ctest", "--test-dir", tmp_path, "--output-on-failure")
    assert re.search(r"100% tests passed, 0 tests failed out of [1-9]", tested)
