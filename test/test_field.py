"""The C++ evaluator on its own, under the address and undefined behaviour sanitizers."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")
@pytest.mark.parametrize("sanitizers", ["address,undefined", "thread"])
def test_the_evaluator_alone_passes_its_test_under_sanitizers(
    tmp_path: Path, sanitizers: str
) -> None:
    program = tmp_path / "field_test"
    warnings = ["-Wall", "-Wextra", "-Werror"]
    command = ["c++", "-std=c++17", "-O1", *warnings]
    command += [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all"]
    command += [f"-I{ROOT / 'include'}", str(ROOT / "test" / "field_test.cpp"), "-o", str(program)]
    subprocess.run(command, check=True, timeout=120)
    result = subprocess.run([program], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
