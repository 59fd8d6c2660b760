"""Show the claims of the NePhi paper: a row for each, with its command and what came out.

    python benchmark/generalizable.py -o OUT [--rows predicts ...] [--pairs 50] [--quick] [--readme]

The model of triangles and circles is the one that comes with the package, made by `itk-nephi train
configs/triangles-circles.toml`. Those of the hippocampus and of outlines of shapes are trained
once, from ``configs``, into OUT/models. Each row leaves its table, and one sentence for the table
of the claims, in OUT; one that is there is not made again. Once all are there, some are drawn, and
``--readme`` writes README and docs. ``--quick`` trains for a few steps and takes few pairs: it
shows that everything runs, nothing else.

=====================  ==========================================================================
predicts               before, predicted, refined by 10, 25, 50 steps, and from scratch
diffeomorphic          folding on a grid twice as fine, and how far points come back
regularizer-points     registrations of triangles and circles with 4^-1 to 4^-7 of 512^2 pixels
diffusion              GradICON and a diffusion penalty, each weight swept
latent                 maps between two pairs' codes, global and local code apart
single-resolution      the same loss and steps for a neural field and a displacement of each voxel
pre-align              before, pre-aligned, NePhi alone, both, both with refinement
=====================  ==========================================================================
"""

from __future__ import annotations

import argparse
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from claims import Benchmark, kept, registered, say, summarized
from claims_picture import draw_claims
from from_scratch import diffusion, pre_align, regularizer_points, single_resolution
from latent import draw_latent_space
from tables import ROOT, picture_to_docs, table, write_to_readme
from trials import subfolder

from itk_nephi import RegistrationSettings, register
from itk_nephi.evaluation.metrics import inverse_consistency_errors
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.transforms import jacobians
from itk_nephi.training.datasets import PhantomPairs

FROM_SCRATCH = "from scratch, fast"


def predicts(benchmark: Benchmark) -> str:
    """Compare predictions, their refinements and registrations from scratch on unseen pairs."""
    rows, told = [], []
    for name, (model, pairs, initial_transform) in benchmark.cases().items():
        fast = RegistrationSettings.preset("fast")
        methods = {
            "before": lambda pair: pair.initial_transform,
            "predicted": registered(initial_transform, model=model),
        }
        for refine in ("code", "code_and_weights"):
            for steps in benchmark.refinements:
                label = f"+ {steps} steps, {refine.replace('_', ' ')}"
                methods[label] = registered(
                    initial_transform, model=model, refine=refine, refine_steps=steps, settings=fast
                )
        for steps in benchmark.refinements:
            settings = replace(fast, steps=steps, smoothing_sigmas=fast.smoothing_sigmas[-1:])
            methods[f"from scratch, {steps} steps"] = registered(
                initial_transform, settings=settings
            )
        methods[FROM_SCRATCH] = registered(
            initial_transform, settings=replace(fast, steps=3) if benchmark.quick else fast
        )
        found, folds = {}, {}
        for method, transform_of in methods.items():
            place = benchmark.output / "predicts" / re.sub(r"\W+", "-", f"{name} {method}")
            results = kept(place.with_suffix(".json"), pairs, transform_of)
            found[method] = summarized(results)
            folds[method] = np.array([scores.folding_fraction for scores, _ in results])
        rows += [[name, method, *summary] for method, summary in found.items()]
        dice, folding, _, seconds = (
            {method: float(summary[column]) for method, summary in found.items()}
            for column in range(4)
        )
        gain = (dice["predicted"] - dice["before"]) / (dice[FROM_SCRATCH] - dice["before"])
        more = [folds[method] > folds["predicted"] for method in methods if method.startswith("+ ")]
        refined = f"+ {benchmark.refinements[-1]} steps, code"
        told.append(
            f"{name}: Dice {dice['before']:.3f} before, {dice['predicted']:.3f} predicted, "
            f"{dice[FROM_SCRATCH]:.3f} from scratch: {gain:.1%} of the gain in "
            f"{seconds['predicted'] / seconds[FROM_SCRATCH]:.1%} of the time; {refined}: "
            f"{dice[refined]:.3f}, folding {folding['predicted']} % predicted and "
            f"{folding[refined]} % refined, more than predicted in {np.sum(more)} of "
            f"{np.size(more)} refinements"
        )
    header = ["data", "method", "Dice", "folding %", "its worst", "seconds"]
    benchmark.write("predicts", header, rows)
    return "; ".join(told)


def diffeomorphic(benchmark: Benchmark) -> str:
    """Count folds on a grid twice as fine, and see how far points come back."""
    rows = []
    for name, (model, pairs, initial_transform) in benchmark.cases().items():
        for steps in (0, benchmark.refinements[-1]):
            folded, errors = [], []
            for pair in pairs:
                result = register(
                    pair.fixed,
                    pair.moving,
                    initial_transform=initial_transform,
                    model=model,
                    refine_steps=steps,
                    settings=RegistrationSettings.preset("fast"),
                )
                fine = ImageDomain.of(pair.fixed_image).twice_as_fine()
                points = fine.grid_points().reshape(-1, fine.dimension)
                determinants = np.linalg.det(jacobians(result.fixed_to_moving, points))
                folded.append(100 * np.mean(~(determinants > 0)))
                errors.append(
                    inverse_consistency_errors(
                        result.fixed_to_moving, result.moving_to_fixed, points
                    ).mean()
                )
            rows.append(
                [
                    name,
                    f"predicted + {steps} steps",
                    f"{np.mean(folded):.5f}",
                    f"{max(folded):.4f}",
                    f"{np.mean(errors):.3f}",
                    f"{max(errors):.3f}",
                ]
            )
    header = ["data", "method", "folding %", "its worst", "inverse consistency mm", "its worst"]
    benchmark.write("diffeomorphic", header, rows)
    return "; ".join(
        f"{name}, {method}: {folded} % folded, {error} mm inverse consistency error"
        for name, method, folded, _, error, _ in rows
    )


def latent(benchmark: Benchmark) -> str:
    """Draw the maps between two pairs' codes, global and local code apart."""
    pairs = PhantomPairs(phantom="triangles_and_circles", count=2, hollow=True, seed=3_000_000)
    path = benchmark.output / "latent.png"
    folds, shifts = draw_latent_space(benchmark.hollow_shapes_model, pairs[0], pairs[1], path)
    rows = [[f"{row}", *(f"{100 * fold:.3f}" for fold in line)] for row, line in enumerate(folds)]
    header = ["global \\ local code", *(str(n) for n in range(len(folds)))]
    benchmark.write("latent", header, rows)
    none = sum(fold == 0 for line in folds for fold in line)
    return (
        f"{none} of {np.size(folds)} maps without a fold, at most {100 * np.max(folds):.2f} %; "
        f"from one pair to the other the local code alone moves points by {shifts['local']:.1f} "
        f"mm, the global one by {shifts['global']:.1f} mm"
    )


ROWS = {
    "predicts": ("predicts unseen pairs at once", predicts),
    "diffeomorphic": ("approximately diffeomorphic", diffeomorphic),
    "regularizer-points": ("a few points suffice for the regularizer", regularizer_points),
    "diffusion": ("GradICON against a diffusion penalty", diffusion),
    "latent": ("global and local code have meanings of their own", latent),
    "single-resolution": ("as good as a displacement of each voxel", single_resolution),
    "pre-align": ("refines a pre-aligned pair", pre_align),
}
FURTHER = (
    (
        "memory of a registration does not grow with the images",
        "`benchmark/memory.py`",
        "its table above; that of training a model, which sees whole images, does",
    ),
    (
        "the published networks",
        "`pytest test/test_encoder.py test/test_model.py -k published`",
        "parameter counts equal; written independently, outputs agree to 1e-5",
    ),
)


def page(output: Path) -> str:
    """Return all tables as a page."""
    parts = ["# The paper's claims, table by table\n\nWritten by `benchmark/generalizable.py`.\n"]
    for row, (claim, _) in ROWS.items():
        tables = (output / f"{row}.md").read_text()
        parts.append(f"## {row}: {claim}\n\n{tables}")
    return "\n".join(parts)


def main() -> None:
    """Run the rows that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--pairs", type=int, default=50, help="test pairs of each data set")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--readme", action="store_true", help="write README and docs, of all rows")
    options = parser.parse_args()
    output = subfolder(options)
    output.mkdir(parents=True, exist_ok=True)
    benchmark = Benchmark(
        output,
        options.quick,
        pairs=2 if options.quick else options.pairs,
        seeds=1 if options.quick else 3,
        refinements=(2,) if options.quick else (10, 25, 50),
    )
    sentences = {row: output / f"{row}.txt" for row in ROWS}
    for row in options.rows:
        if not sentences[row].exists():
            start = time.perf_counter()
            sentences[row].write_text(ROWS[row][1](benchmark) + "\n")
            say(f"{row}: {time.perf_counter() - start:.0f} s")
    rows = [
        [claim, f"`benchmark/generalizable.py --rows {row}`", sentences[row].read_text().strip()]
        for row, (claim, _) in ROWS.items()
        if sentences[row].exists()
    ]
    rows += map(list, FURTHER)
    if times := benchmark.training_times():
        rows.append(["models train on a CPU", "`itk-nephi train configs/NAME.toml`", times])
    text = table(["claim", "command", "what we saw"], rows)
    say(f"\n{text}")
    missing = [row for row in ROWS if not sentences[row].exists()]
    if missing:
        say(f"\nnothing is drawn or written into the README before all rows: {', '.join(missing)}")
        return
    draw_claims(output, output / "claims.png")
    if options.readme and not options.quick:
        pictures = {"claims.png": "Dice of the rows", "latent.png": "Maps between two pairs' codes"}
        for name in pictures:
            picture_to_docs(output / name)
        shown = [f"![{label}](docs/{name})" for name, label in pictures.items()]
        write_to_readme("claims", "\n\n".join([text, *shown]))
        (ROOT / "docs" / "claims.md").write_text(page(output))


if __name__ == "__main__":
    main()
