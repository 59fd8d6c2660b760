"""Damaged parameters and files never crash, nor take memory without bound."""

import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).with_name("fuzz.py")


def fuzz(*arguments: str) -> None:
    process = subprocess.run(
        [sys.executable, FUZZ, *arguments], capture_output=True, text=True, timeout=600
    )
    assert process.returncode == 0, process.stdout + process.stderr
    assert "0 failures, 0 crashes" in process.stdout


@pytest.mark.slow
@pytest.mark.parametrize("target", ["parameters", "tfm", "h5"])
@pytest.mark.parametrize("cases", ["0", "200"], ids=["fixed corpus", "mutations"])
def test_damaged_input_is_accepted_or_refused(target: str, cases: str) -> None:
    fuzz("--targets", target, "--cases", cases, "--seed", "1")


ALLOCATE = """
import resource, sys
import itk, numpy as np
transform = itk.NePhiTransform[itk.D, 2].New()
before = itk.array_from_vnl_vector(transform.GetFixedParameters())
limit = 2**30 + resource.getpagesize() * int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sizes = [float(word) for word in sys.argv[1:]]
fixed = [1.0, *sizes, 9.0, 9.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, *[0.5] * 4]
try:
    transform.SetFixedParameters(itk.OptimizerParameters[itk.D](fixed))
except RuntimeError as error:
    assert "Expected" in str(error), error
    np.testing.assert_array_equal(itk.array_from_vnl_vector(transform.GetFixedParameters()), before)
"""

# Width, depth, frequencies, global code, local code channels, local code grid.
SIZES = {
    "deep": (1, 30_000_000, 1, 0, 1, 2, 2),
    "wide": (8000, 1, 1, 0, 1, 2, 2),
    "long global code": (1, 0, 1, 60_000_000, 1, 2, 2),
    "many channels": (3, 1, 1, 0, 10_000_000, 2, 4),
    "fine grid": (1, 0, 1, 0, 1, 16_000, 16_000),
}


@pytest.mark.parametrize("name", SIZES)
def test_no_sizes_take_more_than_a_gibibyte(name: str) -> None:
    command = [sys.executable, "-c", ALLOCATE, *map(str, SIZES[name])]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr[-500:]
