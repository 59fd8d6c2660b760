"""Each public header, by itself, with every compiler that there is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FETCHED = ROOT / "build" / "itk-headers" / "usr" / "include" / "ITK-5.4"
ITK_HEADERS = Path(os.environ.get("ITK_INCLUDE_DIR", FETCHED))
HEADERS = sorted(path.name for path in (ROOT / "include").glob("*.h"))
COMPILERS = [name for name in ("g++", "clang++") if shutil.which(name)]

needs_itk = pytest.mark.skipif(
    not (ITK_HEADERS / "itkTransform.h").exists(), reason="needs the headers of ITK"
)


def compiler_output(compiler: str, header: str, *options: str) -> str:
    command = [compiler, "-std=c++17", "-x", "c++", "-", "-DITK_LEGACY_REMOVE=", *options]
    command += ["-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'include'}"]
    command += ["-isystem", str(ITK_HEADERS), "-isystem", str(ITK_HEADERS / "itkeigen")]
    done = subprocess.run(
        command, input=f'#include "{header}"\n', check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_itk
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("header", HEADERS)
def test_a_public_header_compiles_alone(compiler: str, header: str) -> None:
    compiler_output(compiler, header, "-fsyntax-only")


@needs_itk
@pytest.mark.skipif(not COMPILERS, reason="needs a C++ compiler")
@pytest.mark.parametrize("header", HEADERS)
def test_a_public_header_brings_no_kernels(header: str) -> None:
    text = compiler_output(COMPILERS[0], header, "-E")
    ours = {Path(name).name for name in re.findall(r'^# \d+ "(.*?)"', text, re.MULTILINE)}
    ours = {name for name in ours if name.startswith("itkNePhi")}
    assert ours <= {*HEADERS, "itkNePhiTransform.hxx"}
    assert "dlopen" not in text
    code = "".join((ROOT / "include" / name).read_text() for name in ours)
    assert "vector_size" not in code
    assert "#pragma" not in code


def test_the_layout_needs_no_itk() -> None:
    text = (ROOT / "include" / "itkNePhiFieldLayout.h").read_text()
    assert re.findall(r"#include (.*)", text) == ["<array>", "<cstddef>", "<vector>"]
