"""Each similarity on a lung, as it is and with intensities changed, and on stained sections."""

from __future__ import annotations

import itk
import numpy as np

from benchmarks.cache import Figures
from benchmarks.methods import errors_mm, nephi, run_methods
from benchmarks.pairs import lung_pair, section_pairs
from benchmarks.study import Run, Study, select, tabulate
from itk_nephi.spatial.domain import image_like

MULTI_MODAL = ("mind_ssc", "mutual_information")

SIMILARITIES = ("windowed_ncc", "local_ncc", "ncc", "mean_squares", *MULTI_MODAL)


def measure(run: Run) -> Figures:
    """Run all on the lung, two after inverting and squaring intensities, three on the sections."""
    pair = lung_pair(run)
    moving = itk.imread(pair["moving"], itk.F)
    values = np.asarray(moving)
    inverted = run.folder / "pairs" / "lung-inverted.mha"
    inverted.parent.mkdir(parents=True, exist_ok=True)
    itk.imwrite(image_like(moving, ((values.max() - values) / np.ptp(values)) ** 2), inverted)
    cases = {
        "lung": ({"lung": pair}, SIMILARITIES),
        "lung, inverted": ({"inverted": pair | {"moving": inverted}}, MULTI_MODAL),
        "sections": (section_pairs(run), ("windowed_ncc", *MULTI_MODAL)),
    }
    return {
        name: run_methods(run, {each: nephi(similarity=each) for each in similarities}, pairs)
        for name, (pairs, similarities) in cases.items()
    }


def table(figures: Figures) -> str:
    """Return errors, smoothness, time and memory."""
    rows = []
    for name, trials in figures.items():
        for trial in trials:
            rows.append([trial["pair"] if name == "sections" else name, trial["method"]])
            if not select([trial]):
                rows[-1] += ["failed", *"------"]
                continue
            errors = errors_mm(trial, outlier=name == "sections")
            values = [errors.mean(), np.median(errors), np.percentile(errors, 95)]
            rows[-1] += [f"{value:.3f}" for value in values]
            rows[-1] += [f"{trial['folding_fraction']:.2g}", f"{trial['log_jacobian_sd']:.3f}"]
            rows[-1] += [f"{trial['seconds']:.1f}", f"{trial['peak_memory_mib']:.0f}"]
    header = ["data", "similarity", "mean landmark error, mm or pixels", "median", "p95"]
    header += ["folding fraction", "SD of log Jacobian", "s", "MiB"]
    return tabulate(header, rows)


STUDY = Study(
    name="similarities",
    question="Which similarity for which images?",
    time="6 minutes, one core",
    measure=measure,
    table=table,
)
