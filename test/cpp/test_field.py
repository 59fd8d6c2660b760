"""The C++ evaluation and training of fields on their own, under sanitizers."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")
@pytest.mark.parametrize(
    ("name", "sanitizers"),
    [
        ("field_test", "address,undefined"),
        ("field_test", "thread"),
        ("training_test", "address,undefined"),
    ],
)
def test_the_code_alone_passes_its_test_under_sanitizers(
    tmp_path: Path, name: str, sanitizers: str
) -> None:
    program = tmp_path / name
    warnings = ["-Wall", "-Wextra", "-Werror"]
    command = ["c++", "-std=c++17", "-O1", *warnings]
    command += [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all"]
    command += [
        f"-I{ROOT / 'include'}",
        str(Path(__file__).with_name(f"{name}.cpp")),
        "-o",
        str(program),
    ]
    subprocess.run(command, check=True, timeout=300)
    result = subprocess.run([program], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
