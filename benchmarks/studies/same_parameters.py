"""Another commit's parameters, to the bit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.cache import ROOT, Figures
from benchmarks.pairs import Pair, lung_pair, shape_pairs
from benchmarks.process import environment
from benchmarks.study import QUICK_STEPS, Run, Study, tabulate

DIGESTS = """
import hashlib, inspect, json, pathlib, sys, warnings
import itk, numpy as np
import itk_nephi
from itk_nephi import RegistrationSettings, register
warnings.simplefilter("ignore")
lung, shapes, steps = json.loads(sys.argv[1])
root = pathlib.Path(itk_nephi.__file__).parent
if not root.is_relative_to(pathlib.Path.cwd()):
    raise ImportError(f"expected the package of {pathlib.Path.cwd()}, got {root}")
(model,) = root.rglob("triangles-circles.safetensors")
def digest(found):
    both = {}
    for name in ("fixed_to_moving", "moving_to_fixed"):
        transform = getattr(found, name)
        numbers = transform.GetFixedParameters(), transform.GetParameters()
        content = b"".join(np.array(list(n), np.float64).tobytes() for n in numbers)
        both[name] = hashlib.sha256(content).hexdigest()
    return both
lung = {name: itk.imread(path) for name, path in lung.items()}
settings = {} if steps is None else {"settings": RegistrationSettings(steps=steps)}
masks = {name: lung[name] for name in ("fixed_mask", "moving_mask")}
predict = {"model": str(model)}
if "prediction" in inspect.signature(register).parameters:
    predict = {"prediction": itk_nephi.Prediction(str(model))}
print(json.dumps({
    "registered": digest(register(lung["fixed"], lung["moving"], **masks, **settings)),
    "predicted": digest(register(*(itk.imread(path) for path in shapes.values()), **predict)),
}))
"""
"""What a process prints that imports one commit's package; it knows the old API and the new."""


def measure(run: Run) -> Figures:
    """Register and predict with this checkout and with another commit's."""
    place = run.folder / f"commit-{run.commit}"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--detach", "--force", str(place), run.commit], check=True)
    try:
        lung = {name: path for name, path in lung_pair(run).items() if "landmarks" not in name}
        shapes = {name: shape_pairs(run, 1)["shapes-0"][name] for name in ("fixed", "moving")}
        steps = QUICK_STEPS if run.quick else None
        return {
            "commit": run.commit,
            run.commit: compute_digests(place, lung, shapes, steps),
            "checkout": compute_digests(ROOT, lung, shapes, steps),
        }
    finally:
        subprocess.run([*git, "remove", "--force", str(place)], check=True)


def table(figures: Figures) -> str:
    """Return the digests of fixed parameters and parameters of all transforms."""
    theirs, ours = figures[figures["commit"]], figures["checkout"]
    rows = [
        [f"{what}, {name}", digest, ours[what][name], "yes" if digest == ours[what][name] else "NO"]
        for what, digests in theirs.items()
        for name, digest in digests.items()
    ]
    return tabulate(["transform", figures["commit"], "this checkout", "same"], rows)


def holds(figures: Figures) -> bool:
    """Say whether all digests are the same."""
    return bool(figures[figures["commit"]] == figures["checkout"])


def compute_digests(checkout: Path, lung: Pair, shapes: Pair, steps: int | None) -> Figures:
    """Return SHA-256 of the transforms that a checkout's package finds, in a fresh process.

    The installed extension serves every checkout.
    """
    paths = [{name: str(path) for name, path in pair.items()} for pair in (lung, shapes)]
    command = [sys.executable, "-c", DIGESTS, json.dumps([*paths, steps])]
    variables = environment(checkout=checkout)
    done = subprocess.run(command, env=variables, cwd=checkout, check=True, stdout=subprocess.PIPE)
    return dict(json.loads(done.stdout.splitlines()[-1]))


STUDY = Study(
    name="same-parameters",
    question="Are the parameters those of another commit (`--commit COMMIT`), to the bit?",
    time="2 minutes, two cores",
    measure=measure,
    table=table,
    holds=holds,
    page="",
)
