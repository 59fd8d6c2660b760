"""Each similarity on the lung pair, and on one whose moving intensities are changed."""

from __future__ import annotations

import itk
import numpy as np

from benchmarks.cache import Figures
from benchmarks.methods import nephi, run_methods
from benchmarks.pairs import lung_pair
from benchmarks.studies.presets import HEADER, describe
from benchmarks.study import Run, Study, select, tabulate
from itk_nephi.spatial.domain import image_like

SIMILARITIES = ("local_ncc", "ncc", "mean_squares", "mind_ssc", "mutual_information")

MULTI_MODAL = SIMILARITIES[3:]


def measure(run: Run) -> Figures:
    """Run all similarities on the pair as it is, two after inverting and squaring intensities."""
    pair = lung_pair(run)
    moving = itk.imread(pair["moving"], itk.F)
    values = np.asarray(moving)
    inverted = run.folder / "pairs" / "lung-inverted.mha"
    inverted.parent.mkdir(parents=True, exist_ok=True)
    itk.imwrite(image_like(moving, ((values.max() - values) / np.ptp(values)) ** 2), inverted)
    pairs = {"plain": pair, "inverted": pair | {"moving": inverted}}
    trials = []
    for name, similarities in (("plain", SIMILARITIES), ("inverted", MULTI_MODAL)):
        methods = {s: nephi(similarity=s) for s in similarities}
        trials += run_methods(run, methods, {name: pairs[name]})
    return {"trials": trials}


def table(figures: Figures) -> str:
    """Return errors, smoothness, time and memory."""
    rows = [
        [trial["method"], trial["pair"], *describe(select([trial]))] for trial in figures["trials"]
    ]
    return tabulate(["similarity", "moving image", *HEADER], rows)


STUDY = Study(
    name="similarities",
    question="Which similarity for which images?",
    time="5 minutes, two cores",
    measure=measure,
    table=table,
)
