"""Feed damaged parameters and files to itk.NePhiTransform and count crashes; there should be none.

Mutated numbers go through SetFixedParameters and SetParameters, mutated files through
itk.transformread. Each case must be accepted or refused with one RuntimeError within the memory
limit, and a refusal must leave the transform as it was. What reached a new message, or new code
where the coverage is recorded, is mutated further. To record it, compile the package and the
recorder, and preload the latter:

    gcc -shared -fPIC -O2 -o coverage.so test/fuzz/coverage.c
    export CXXFLAGS=-fsanitize-coverage=trace-pc LDFLAGS=-Wl,--no-as-needed,$PWD/coverage.so
    pip install --no-deps --force-reinstall .
    LD_PRELOAD=$PWD/coverage.so python test/fuzz/fuzz.py

HDF5 itself hangs or crashes on broken structures, before any transform is asked. So only the
numbers of the transform are changed in .h5 files.
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import json
import mmap
import pickle
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

MEMORY_LIMIT = 2**30
SECONDS_LIMIT = 20
# What ITK itself raises for a file with a broken name of a class.
FILE_ERRORS = (IndexError, UnicodeDecodeError)
TARGETS = ("parameters", "tfm", "h5")
KINDS = (("D", 2), ("D", 3), ("F", 2), ("F", 3))
NUMBERS = [0.0, -0.0, 1.0, 2.0, 3.0, -1.0, 0.5, 1e-4, 17.0, 64.0, 1e3, 1e5, 1e7, 1e10, 1e19, 1e39]
NUMBERS += [2.0**n for n in (16, 24, 27, 28, 31, 32, 53, 63, 64)]
NUMBERS += [2.0**31 - 1, 2.0**28 + 1, 5e-324, 1e-300, 1e-160, 1e160, 1e300, np.inf, np.nan]
NUMBERS += [-x for x in NUMBERS]


# What each number is replaced by, in turn, in the fixed corpus.
BAD_NUMBERS = [0.0, -1.0, 0.5, 1.0, 1e3, 2.0**28, 2.0**31, 2.0**63, 1e300, 5e-324, -np.inf, np.nan]


def mutated_numbers(rng: np.random.Generator, values: list[float]) -> list[float]:
    """Return numbers with one to three random changes."""
    values = list(values)
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(0, max(len(values), 1)))
        match rng.choice(["set", "set", "set", "step", "scale", "swap", "cut", "insert"]):
            case _ if not values:
                values = [float(rng.choice(NUMBERS))]
            case "set":
                values[place] = float(rng.choice(NUMBERS))
            case "step":
                values[place] += float(rng.choice([-1, 1, 0.5]))
            case "scale":
                values[place] *= float(rng.choice([-1, 0.5, 2, 16, 1e9]))
            case "swap":
                other = int(rng.integers(0, len(values)))
                values[place], values[other] = values[other], values[place]
            case "cut":
                del values[place : place + int(rng.choice([1, 2, 4, 1000]))]
            case "insert":
                part = values[place : place + int(rng.choice([1, 2, 4, 30]))]
                values[place:place] = part
    return values


def mutated_bytes(rng: np.random.Generator, data: bytes) -> bytes:
    """Return bytes with one to three random changes."""
    values = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(0, max(len(values), 1)))
        length = int(rng.choice([1, 2, 4, 8, 100]))
        match rng.choice(["bits", "byte", "number", "text", "cut", "insert", "end"]):
            case _ if not values:
                values = bytearray(b"#")
            case "bits":
                values[place] ^= 1 << int(rng.integers(0, 8))
            case "byte":
                values[place] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF]))
            case "number":
                place -= place % 8
                values[place : place + 8] = np.float64(rng.choice(NUMBERS)).tobytes()
            case "text":
                numbers = list(re.finditer(rb"(?<=[ _])[-+.e\d]+(?=[ _\n])", bytes(values)))
                if numbers:
                    number = numbers[int(rng.integers(0, len(numbers)))]
                    values[number.start() : number.end()] = b"%g" % rng.choice(NUMBERS)
            case "cut":
                del values[place : place + length]
            case "insert":
                values[place:place] = values[place : place + length]
            case "end":
                del values[place:]
    return bytes(values)


class Harness:
    """Tries cases, each a kind of transform and what is fed to it."""

    def __init__(self, folder: Path) -> None:
        import itk

        self.itk = itk
        self.folder = folder
        self.failures: list[str] = []

    def vector(self, values: list[float], kind: str) -> Any:
        """Return numbers as ITK takes them."""
        return self.itk.OptimizerParameters[getattr(self.itk, kind)](values)

    def transform(self, kind: str, dimension: int) -> Any:
        """Return a small transform that moves points, in 3D with splines."""
        itk, rng = self.itk, np.random.default_rng(dimension)
        transform = itk.NePhiTransform[getattr(itk, kind), dimension].New()
        splines = [] if dimension == 2 else [1, 2, 1, 3, 1, 1]
        sizes = [
            2 if splines else 1,
            3,
            1,
            2,
            1,
            2,
            *[2] * dimension,
            *[9] * dimension,
            *[1.5] * dimension,
        ]
        direction = np.eye(dimension)[::-1].ravel()
        fixed = [*sizes, *[-7.0] * dimension, *direction, *rng.normal(size=4 * dimension), *splines]
        transform.SetFixedParameters(self.vector([float(x) for x in fixed], "D"))
        parameters = rng.uniform(-0.3, 0.3, transform.GetNumberOfParameters())
        transform.SetParameters(self.vector(parameters.tolist(), kind))
        return transform

    def numbers(self, transform: Any) -> list[Any]:
        """Return the fixed parameters and the parameters as arrays."""
        vectors = (transform.GetFixedParameters(), transform.GetParameters())
        return [self.itk.array_from_vnl_vector(each) for each in vectors]

    def seeds(self) -> list[Any]:
        """Return the cases to begin with, one of each kind, all sound."""
        return [
            (*kind, *(each.tolist() for each in self.numbers(self.transform(*kind))))
            for kind in KINDS
        ]

    def corpus(self, target: str) -> Iterator[Any]:
        """Yield every case of the fixed corpus: damaged numbers, lengths, and ends of files."""
        for kind, dimension, *vectors in self.seeds()[:: 1 if target == "parameters" else 3]:
            for which, values in enumerate(vectors):
                damaged = [[], values[:1], values[:-1], [*values, 0.0], 2 * values]
                places = range(len(values)) if which == 0 else (0, len(values) // 2, -1)
                for place, number in itertools.product(places, BAD_NUMBERS):
                    damaged.append(list(values))
                    damaged[-1][place] = number
                for each in damaged:
                    yield kind, dimension, *vectors[:which], each, *vectors[which + 1 :]
            if target != "parameters":
                data = self.content(target, (kind, dimension, *vectors))
                yield from (data[:end] for end in range(0, len(data), len(data) // 40))

    def mutate(self, target: str, rng: np.random.Generator, case: Any) -> Any:
        """Return another case: numbers of a transform, or the content of a file."""
        if target == "tfm":
            return mutated_bytes(rng, self.content(target, case))
        kind, dimension, fixed, parameters = case
        if rng.random() < 0.7:
            fixed = mutated_numbers(rng, fixed)
        else:
            parameters = mutated_numbers(rng, parameters)
        return kind, dimension, fixed, parameters

    def state(self, transform: Any) -> bytes:
        """Return all that tells a transform from another, to the bit."""
        dimension = transform.GetInputSpaceDimension()
        points = np.linspace(-9, 9, 5 * dimension).reshape(5, dimension)
        mapped = [np.array(transform.TransformPoint(point)) for point in points.tolist()]
        return b"".join(part.tobytes() for part in (*self.numbers(transform), np.array(mapped)))

    def attempt(self, name: str, call: Callable[[], Any]) -> tuple[str, Any]:
        """Return what a call came to, numbers and places left out, and its result."""
        try:
            result = call()
        except RuntimeError as error:
            text = str(error).rsplit("\n", 1)[-1] if str(error).strip() else "nothing said"
            if "bad_alloc" in str(error):
                self.failures.append(f"{name}: more memory than {MEMORY_LIMIT} bytes")
            text = re.sub(r"^.*?\): ", "", text)
            return (
                f"{name}: {re.sub(r'[-+]?(0x)?[.0-9][-+.0-9a-f]*|nan|inf', '#', text)[:90]}",
                None,
            )
        except Exception as error:
            if name != "transformread" or not isinstance(error, FILE_ERRORS):
                self.failures.append(f"{name}: {error!r}"[:200])
            return f"{name}: {type(error).__name__}", None
        return f"{name}: accepted", result

    def try_parameters(self, case: Any) -> str:
        """Give a sound transform the numbers of a case; return what came of it."""
        kind, dimension, fixed, parameters = case
        transform = self.transform(kind, dimension)
        outcomes = []
        for name, values, precision in (
            ("SetFixedParameters", fixed, "D"),
            ("SetParameters", parameters, kind),
        ):
            before = self.state(transform)
            setter, given = getattr(transform, name), self.vector(values, precision)
            outcome, _ = self.attempt(name, lambda setter=setter, given=given: setter(given))
            if not outcome.endswith("accepted") and self.state(transform) != before:
                self.failures.append(f"{outcome}: a refusal changed the transform")
            outcomes.append(outcome)
        outcomes.append(self.attempt("use", lambda: self.use(transform))[0])
        return "; ".join(outcomes)

    def use(self, transform: Any) -> None:
        """Ask for all that is computed from the numbers of a transform."""
        dimension = transform.GetInputSpaceDimension()
        points = np.array([[0.0, 1e30, np.nan], [-np.inf, 1e-9, -5.0]])[:, :dimension]
        self.state(transform)
        transform.TransformPoints(points)
        transform.JacobiansWithRespectToPosition(points)
        if transform.GetNumberOfParameters() < 100_000:
            kind = self.itk.template(transform)[1][0]
            jacobian = self.itk.Array2D[kind]()
            transform.ComputeJacobianWithRespectToParameters([1.0] * dimension, jacobian)
            again = transform.GetInverseTransform().GetInverseTransform()
            if self.state(again) != self.state(transform.Clone()):
                self.failures.append("the inverse of the inverse is another transform")

    def content(self, target: str, case: Any) -> bytes:
        """Return a file with the numbers of a case; in .h5 as many as there were."""
        if isinstance(case, bytes):
            return case
        kind, dimension, *vectors = case
        transform = self.transform(kind, dimension)
        if target == "tfm":
            fixed, parameters = (" ".join(map(repr, values)) for values in vectors)
            name = transform.GetTransformTypeAsString()
            header = f"#Insight Transform File V1.0\n#Transform 0\nTransform: {name}\n"
            return f"{header}Parameters: {parameters}\nFixedParameters: {fixed}\n".encode()
        path = self.folder / "seed.h5"
        template = self.itk.TransformFileWriterTemplate[getattr(self.itk, kind)]
        writer = template.New(FileName=str(path))
        writer.AddTransform(transform)
        writer.Update()
        data = path.read_bytes()
        for values, old in zip(vectors, self.numbers(transform), strict=True):
            with np.errstate(over="ignore"):
                new = np.array([*values, *old[len(values) :]][: len(old)]).astype(old.dtype)
            data = data.replace(old.tobytes(), new.tobytes())
        return data

    def try_file(self, target: str, case: Any) -> str:
        """Read a file with the content of a case; return what came of it."""
        path = self.folder / f"case.{target}"
        path.write_bytes(self.content(target, case))
        outcome, transforms = self.attempt("transformread", lambda: self.itk.transformread(path))
        for transform in transforms or []:
            if transform.GetNameOfClass() == "NePhiTransform":
                outcome += "; " + self.attempt("use", lambda t=transform: self.use(t))[0]
        return outcome

    def attempt_case(self, target: str, case: Any) -> str:
        """Try a case where it belongs; return what came of it."""
        return self.try_parameters(case) if target == "parameters" else self.try_file(target, case)


def coverage_map() -> Any:
    """Return one byte for each place of the code, or None where nothing is recorded."""
    try:
        recorded = (ctypes.c_ubyte * 2**16).in_dll(ctypes.CDLL(None), "nephi_coverage")
    except ValueError:
        return None
    return np.frombuffer(recorded, dtype=np.uint8)


def work(target: str, count: int, seed: int, folder: Path) -> None:
    """Try cases in this process and write what came of them."""
    harness = Harness(folder)
    rng = np.random.default_rng(seed)
    found = harness.seeds()
    mutated = (
        harness.mutate(target, rng, found[int(rng.integers(0, len(found)))]) for _ in range(count)
    )
    outcomes: Counter[str] = Counter()
    coverage, reached = coverage_map(), 0
    with (folder / "current").open("w+b") as file:
        file.truncate(2**22)
        current = mmap.mmap(file.fileno(), 2**22)
    harness.attempt_case(target, found[0])  # loads modules, which takes time and memory
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_LIMIT, resource.RLIM_INFINITY))
    failures = []
    for case in mutated if count else harness.corpus(target):
        text = pickle.dumps(case)
        current[: len(text)] = text
        signal.alarm(SECONDS_LIMIT)
        outcome = harness.attempt_case(target, case)
        failures += [(failure, repr(case)[:600]) for failure in harness.failures]
        harness.failures.clear()
        before, reached = reached, 0 if coverage is None else int(np.count_nonzero(coverage))
        if reached > before or outcome not in outcomes:
            found.append(case)
        outcomes[outcome] += 1
    signal.alarm(0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    summary = {"outcomes": outcomes, "failures": failures, "reached": reached, "peak": peak}
    (folder / "summary.json").write_text(json.dumps(summary))


def write(line: str) -> None:
    """Print a line."""
    sys.stdout.write(line + "\n")


def run(target: str, cases: int, seed: int) -> int:
    """Try cases in a process of its own, print the result, and return the number of failures."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, __file__, "--work", name]
        command += ["--targets", target, "--cases", str(cases), "--seed", str(seed)]
        with (folder / "stderr").open("w") as errors:
            process = subprocess.run(command, stderr=errors, check=False)
        if process.returncode != 0:
            current = folder / "current"
            case = pickle.loads(current.read_bytes()) if process.returncode < 0 else None
            last = (folder / "stderr").read_text()[-2000:]
            write(f"{target}: seed {seed}: ended with {process.returncode}: {last}\n{case!r}")
            return 1
        summary = json.loads((folder / "summary.json").read_text())
    failures = Counter(failure for failure, _ in summary["failures"])
    accepted = Counter()
    for outcome, number in summary["outcomes"].items():
        accepted[outcome.split(";")[0].endswith("accepted")] += number
    distinct, peak = len(summary["outcomes"]), summary["peak"] / 2**20
    write(
        f"{target}: {accepted.total()} cases, {accepted[True]} accepted, {distinct} distinct "
        f"outcomes, {summary['reached']} places of code, {failures.total()} failures, 0 crashes, "
        f"{peak:.0f} MiB, {time.monotonic() - start:.0f} s"
    )
    examples = dict(reversed(summary["failures"]))
    for failure, count in failures.most_common():
        write(f"  {count} x {failure}\n    {examples[failure]}")
    return failures.total()


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=TARGETS)
    parser.add_argument(
        "--cases", type=int, default=100_000, help="of each target; 0 for the fixed corpus"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.targets[0], arguments.cases, arguments.seed, arguments.work)
        return 0
    return min(1, sum(run(each, arguments.cases, arguments.seed) for each in arguments.targets))


if __name__ == "__main__":
    sys.exit(main())
