"""Show the claims of the NePhi paper: a row for each, with its command and what came out.

    python benchmark/generalisable.py -o OUT [--rows predicts ...] [--pairs 50] [--quick] [--readme]

The model of triangles and circles is the one that comes with the package, made by `itk-nephi train
configs/triangles-circles.toml`. Others are trained once, from the files in ``configs``, into
OUT/models, where other runs find them.
Each row leaves its table, and one sentence for the table of the claims, in OUT. ``--quick`` trains
for a few steps and takes few pairs: it shows that everything runs, nothing else.

=====================  ==========================================================================
predicts               before, predicted, refined by 10, 25, 50 steps, and from scratch
diffeomorphic          folding on a grid twice as fine, and how far points come back
regularizer-points     registrations of triangles and circles with 4^-1 to 4^-7 of the pixels
diffusion              gradient inverse consistency and a diffusion penalty, each weight swept
latent                 maps between two pairs' codes, global and local code apart
single-resolution      the same loss and steps for a neural field and a displacement of each voxel
pre-align              before, pre-aligned, NePhi alone, both, both with refinement
=====================  ==========================================================================
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import itk
import numpy as np
from latent import draw_latent_space
from tables import table, write_to_readme
from trials import LUNG, LUNG_PAIR, subfolder
from voxel_field import register_voxels

from itk_nephi import RegistrationSettings, register
from itk_nephi.composite import jacobians
from itk_nephi.dataset import FolderPairs, PhantomPairs, TrainingPair
from itk_nephi.domain import ImageDomain
from itk_nephi.metrics import (
    inverse_consistency_errors,
    jacobian_determinant_image,
    landmark_errors,
    standard_deviation_of_log_jacobian,
)
from itk_nephi.model_file import load_model
from itk_nephi.nephi import NePhi
from itk_nephi.phantom import lung
from itk_nephi.training import BEST, CHECKPOINT, train
from itk_nephi.training_settings import Recipe
from itk_nephi.validation import judge

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "itk_nephi" / "models" / "triangles-circles.safetensors"
HIPPOCAMPUS = ROOT.parent / "shared" / "data" / "hippocampus"
SHAPES = "triangles and circles"
FROM_SCRATCH = "from scratch, fast"


@dataclass(frozen=True)
class Benchmark:
    """Where results go, and how much is computed."""

    output: Path
    quick: bool
    pairs: int
    seeds: int
    refinements: tuple[int, ...]

    def recipe(self, name: str, folder: Path | None = None) -> Recipe:
        """Return a training of ``configs``, with the paths in ``folder``."""
        recipe = Recipe.read(ROOT / "configs" / f"{name}.toml", folder)
        if not self.quick:
            return recipe
        training = replace(recipe.training, steps=4, validate_every=4)
        return replace(
            recipe,
            training=training,
            pairs=replace(recipe.pairs, count=4),
            validation=replace(recipe.validation, count=1),
        )

    def model(self, name: str, recipe: Recipe) -> NePhi:
        """Return a model, trained before or now."""
        folder = self.output / "models" / name
        start = time.perf_counter()
        train(
            recipe.pairs,
            recipe.validation,
            recipe.model,
            recipe.training,
            folder,
            augmentation=recipe.augmentation,
            resume=(folder / CHECKPOINT).exists(),
        )
        say(f"{name}: {time.perf_counter() - start:.0f} s to have the model")
        return load_model(folder / BEST)

    @cached_property
    def shapes_model(self) -> NePhi:
        """The model of triangles and circles, which comes with the package."""
        return load_model(SHIPPED)

    @cached_property
    def hippocampus_model(self) -> NePhi:
        """The model of the hippocampus."""
        return self.model("hippocampus", self.recipe("hippocampus", HIPPOCAMPUS))

    def cases(self) -> dict[str, tuple[NePhi, list[TrainingPair], str]]:
        """Return each data set's model, its test pairs, and how these are brought together."""
        found = {SHAPES: (self.shapes_model, shapes(self.pairs), "identity")}
        if HIPPOCAMPUS.is_dir():
            tests = FolderPairs(
                images=HIPPOCAMPUS / "images",
                labels=HIPPOCAMPUS / "labels",
                subjects=(160, 200),
                count=self.pairs,
                seed=3,
            )
            pairs = [tests[n] for n in range(self.pairs)]
            found["hippocampus"] = (self.hippocampus_model, pairs, "geometry")
        return found

    def write(self, name: str, header: list[str], rows: list[list[str]]) -> None:
        """Print a table and keep it."""
        text = table(header, rows)
        say(f"\n{name}\n\n{text}\n")
        (self.output / f"{name}.md").write_text(text + "\n")


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def shapes(count: int, size: int = 64, seed: int = 3_000_000) -> list[TrainingPair]:
    """Return pairs of triangles and circles of seeds that no training takes."""
    pairs = PhantomPairs(phantom="triangles_and_circles", count=count, size=size, seed=seed)
    return [pairs[n] for n in range(count)]


def summarised(results: Iterable[tuple[Any, float]]) -> list[str]:
    """Return mean Dice, mean and worst folding in percent, and mean seconds of registrations."""
    scores, seconds = zip(*results, strict=True)
    folding = [100 * one.folding for one in scores]
    return [
        f"{np.mean([one.dice for one in scores]):.4f}",
        f"{np.mean(folding):.4f}",
        f"{max(folding):.3f}",
        f"{np.mean(seconds):.3f}",
    ]


def registered(initial: str, **options: Any) -> Callable[[TrainingPair], Any]:
    """Return what registers a pair, with options of ``register``."""

    def transform_of(pair: TrainingPair) -> Any:
        return register(pair.fixed, pair.moving, initial=initial, **options).fixed_to_moving

    return transform_of


def timed(pair: TrainingPair, transform_of: Callable[[TrainingPair], Any]) -> tuple[Any, float]:
    """Register a pair, and return its scores and the seconds taken."""
    start = time.perf_counter()
    transform = transform_of(pair)
    seconds = time.perf_counter() - start
    return judge(pair, transform), seconds


def predicts(benchmark: Benchmark) -> str:
    """Compare predictions, their refinements and registrations from scratch on unseen pairs."""
    rows, told = [], []
    for name, (model, pairs, initial) in benchmark.cases().items():
        fast = RegistrationSettings.fast()
        methods = {
            "before": lambda pair: pair.initial,
            "predicted": registered(initial, model=model),
        }
        for refine in ("code", "code_and_weights"):
            for steps in benchmark.refinements:
                label = f"+ {steps} steps, {refine.replace('_', ' ')}"
                methods[label] = registered(
                    initial, model=model, refine=refine, refine_steps=steps, settings=fast
                )
        for steps in benchmark.refinements:
            settings = replace(fast, steps=steps, smoothing=fast.smoothing[-1:])
            methods[f"from scratch, {steps} steps"] = registered(initial, settings=settings)
        methods[FROM_SCRATCH] = registered(
            initial, settings=replace(fast, steps=3) if benchmark.quick else fast
        )
        found = {
            method: [timed(pair, transform_of) for pair in pairs]
            for method, transform_of in methods.items()
        }
        rows += [[name, method, *summarised(results)] for method, results in found.items()]
        dice = {
            method: np.mean([one.dice for one, _ in results]) for method, results in found.items()
        }
        spent = {method: np.mean([s for _, s in results]) for method, results in found.items()}
        gain = (dice["predicted"] - dice["before"]) / (dice[FROM_SCRATCH] - dice["before"])
        told.append(
            f"{name}: Dice {dice['before']:.3f} before, {dice['predicted']:.3f} predicted, "
            f"{dice[FROM_SCRATCH]:.3f} from scratch: {gain:.0%} of the gain in "
            f"{spent['predicted'] / spent[FROM_SCRATCH]:.1%} of the time"
        )
    header = ["data", "method", "Dice", "folding %", "its worst", "seconds"]
    benchmark.write("predicts", header, rows)
    return "; ".join(told)


def diffeomorphic(benchmark: Benchmark) -> str:
    """Count folds on a grid twice as fine, and see how far points come back."""
    rows = []
    for name, (model, pairs, initial) in benchmark.cases().items():
        for steps in (0, benchmark.refinements[-1]):
            folded, errors = [], []
            for pair in pairs:
                result = register(
                    pair.fixed,
                    pair.moving,
                    initial=initial,
                    model=model,
                    refine_steps=steps,
                    settings=RegistrationSettings.fast(),
                )
                domain = ImageDomain.of(pair.fixed)
                fine = replace(
                    domain,
                    size=tuple(2 * n - 1 for n in domain.size),
                    spacing=tuple(s / 2 for s in domain.spacing),
                )
                points = fine.grid_points().reshape(-1, domain.dimension)
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
    header = ["data", "method", "folding %", "its worst", "there and back mm", "its worst"]
    benchmark.write("diffeomorphic", header, rows)
    return "; ".join(
        f"{name}, {method}: {folded} % folded, {error} mm there and back"
        for name, method, folded, _, error, _ in rows
    )


def regularizer_points(benchmark: Benchmark) -> str:
    """Register with ever fewer points of the regulariser."""
    size = 128
    pairs = shapes(max(1, benchmark.pairs // 10), size)
    base = scratch_settings(benchmark, points=size**2 // 4)
    rows = []
    for ratio in range(1, 8):
        count = size**2 // 4**ratio
        by_seed = []
        for seed in range(benchmark.seeds):
            settings = replace(base, regularizer_points=count)
            transform_of = registered("identity", settings=settings, seed=seed)
            by_seed.append([timed(pair, transform_of) for pair in pairs])
        means = [np.mean([scores.dice for scores, _ in results]) for results in by_seed]
        everything = summarised(one for results in by_seed for one in results)
        spread = f"{min(means):.4f} to {max(means):.4f}"
        rows.append([f"4^-{ratio}", f"{count}", everything[0], spread, *everything[1:]])
    header = ["share", "points", "Dice", "by seed", "folding %", "its worst", "seconds"]
    benchmark.write("regularizer-points", header, rows)
    return "; ".join(f"{row[0]}: Dice {row[2]}, {row[4]} % folded" for row in rows)


def diffusion(benchmark: Benchmark) -> str:
    """Sweep the weights of two regularisers."""
    pairs = shapes(max(1, benchmark.pairs // 5))
    base = scratch_settings(benchmark)
    weights = (0.05, 0.5) if benchmark.quick else (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
    none = {"smoothness": 0.0, "inverse_consistency": 0.0}
    rows = []
    for weight in weights:
        for name, changes in (
            ("gradient inverse consistency", none | {"smoothness": weight}),
            ("diffusion", none | {"diffusion": weight}),
        ):
            results, deviations = [], []
            for pair in pairs:
                start = time.perf_counter()
                transform = register(
                    pair.fixed, pair.moving, initial="identity", settings=replace(base, **changes)
                ).fixed_to_moving
                results.append((judge(pair, transform), time.perf_counter() - start))
                deviations.append(
                    standard_deviation_of_log_jacobian(
                        jacobian_determinant_image(transform, pair.fixed)
                    )
                )
            rows.append([name, f"{weight:g}", *summarised(results), f"{np.mean(deviations):.3f}"])
    header = ["regulariser", "weight", "Dice", "folding %", "its worst", "seconds", "SD log J"]
    benchmark.write("diffusion", header, sorted(rows, key=lambda row: row[0]))
    best = {}
    for row in sorted(rows, key=lambda row: float(row[2])):
        if float(row[3]) < 0.01:
            best[row[0]] = f"{row[0]} Dice {row[2]} (weight {row[1]}, SD log J {row[6]})"
    return "best with less than 0.01 % folded: " + "; ".join(best.values())


def latent(benchmark: Benchmark) -> str:
    """Draw the maps between two pairs' codes of hollow triangles and circles."""
    recipe = benchmark.recipe("triangles-circles")
    recipe = replace(
        recipe,
        pairs=replace(recipe.pairs, hollow=True),
        validation=replace(recipe.validation, hollow=True),
        training=replace(recipe.training, smoothing=2.0),
    )
    model = benchmark.model("triangles-circles-hollow", recipe)
    pairs = PhantomPairs(phantom="triangles_and_circles", count=9, hollow=True, seed=3_000_000)
    folds = draw_latent_space(model, pairs[0], pairs[1], benchmark.output / "latent.png")
    rows = [[f"{row}", *(f"{100 * fold:.3f}" for fold in line)] for row, line in enumerate(folds)]
    header = ["global \\ local code", *(str(n) for n in range(len(folds)))]
    benchmark.write("latent", header, rows)
    none = sum(fold == 0 for line in folds for fold in line)
    return f"{none} of {np.size(folds)} maps without a fold, at most {100 * np.max(folds):.2f} %"


def single_resolution(benchmark: Benchmark) -> str:
    """Give a neural field and a displacement of each voxel the same loss and steps."""
    pairs = shapes(max(1, benchmark.pairs // 5))
    settings = scratch_settings(benchmark)
    methods: dict[str, Callable[[TrainingPair], Any]] = {
        "NePhi": lambda pair: (
            register(pair.fixed, pair.moving, initial="identity", settings=settings).fixed_to_moving
        )
    }
    for rate in (1e-3, 3e-3, 1e-2):
        methods[f"displacement of each voxel, learning rate {rate:g}"] = lambda pair, rate=rate: (
            register_voxels(pair, settings, rate, seed=0)
        )
    rows = [
        [method, *summarised(timed(pair, transform_of) for pair in pairs)]
        for method, transform_of in methods.items()
    ]
    header = ["field", "Dice", "folding %", "its worst", "seconds"]
    benchmark.write("single-resolution", header, rows)
    best = max(rows[1:], key=lambda row: float(row[1]))
    return "; ".join(f"{row[0]}: Dice {row[1]}, {row[2]} % folded" for row in (rows[0], best))


def pre_align(benchmark: Benchmark) -> str:
    """Register with and without an affine start, and a coarse result at full resolution."""
    size = (32, 28, 24) if benchmark.quick else None
    chest = lung(3, size=size, motion=30)
    names = ("fixed", "moving", "fixed_mask", "moving_mask")
    cases = {
        "chest, 30 mm": (
            {name: getattr(chest, name) for name in names},
            (chest.fixed_landmarks, chest.moving_landmarks),
        )
    }
    if LUNG.is_dir() and not benchmark.quick:
        points = np.loadtxt(LUNG_PAIR["landmarks"], delimiter=",", skiprows=1)
        images = {name: itk.imread(LUNG_PAIR[name]) for name in names}
        cases["lung"] = (images, (points[:, :3], points[:, 3:]))
    coarse = replace(RegistrationSettings(), smoothing=(2.0,), working_voxels=300_000)
    fine = RegistrationSettings()
    if benchmark.quick:
        coarse, fine = (replace(settings, steps=3) for settings in (coarse, fine))
    rows = []
    for name, (images, landmarks) in cases.items():
        start = time.perf_counter()
        both = register(**images, settings=coarse)
        seconds = {"both": time.perf_counter() - start}
        start = time.perf_counter()
        alone = register(**images, initial="identity", settings=coarse)
        seconds["NePhi alone"] = time.perf_counter() - start
        start = time.perf_counter()
        refined = register(**images, initial=both, settings=fine)
        seconds["both, refined"] = seconds["both"] + time.perf_counter() - start
        identity = itk.IdentityTransform[itk.D, 3].New()
        domain = ImageDomain.of(images["fixed"])
        inside = domain.grid_points()[np.asarray(images["fixed_mask"]) != 0][::5]
        for label, transform, back in (
            ("before", identity, None),
            ("pre-aligned", both.initial, None),
            ("NePhi alone", alone.fixed_to_moving, alone.moving_to_fixed),
            ("both", both.fixed_to_moving, both.moving_to_fixed),
            ("both, refined", refined.fixed_to_moving, refined.moving_to_fixed),
        ):
            errors = landmark_errors(transform, *landmarks)
            folds = np.mean(~(np.linalg.det(jacobians(transform, inside)) > 0))
            row = [name, label, f"{errors.mean():.2f}", f"{np.percentile(errors, 95):.2f}"]
            row.append(f"{100 * folds:.4f}")
            away = back and inverse_consistency_errors(transform, back, inside).mean()
            row.append(f"{away:.2f}" if away is not None else "-")
            rows.append([*row, f"{seconds[label]:.1f}" if label in seconds else "-"])
    header = ["data", "method", "landmark error mm", "p95", "folding %", "there and back mm", "s"]
    benchmark.write("pre-align", header, rows)
    return "; ".join(f"{row[0]}, {row[1]}: {row[2]} mm" for row in rows)


def scratch_settings(benchmark: Benchmark, **changes: Any) -> RegistrationSettings:
    """Return the settings of a registration at one resolution, without a model."""
    steps = 3 if benchmark.quick else 200
    return RegistrationSettings(similarity="ncc", smoothing=(1.0,), steps=steps, **changes)


ROWS = {
    "predicts": ("predicts unseen pairs at once", predicts),
    "diffeomorphic": ("approximately diffeomorphic", diffeomorphic),
    "regularizer-points": ("a few points suffice for the regulariser", regularizer_points),
    "diffusion": ("gradient inverse consistency beats a diffusion penalty", diffusion),
    "latent": ("global and local code have meanings of their own", latent),
    "single-resolution": ("as good as a displacement of each voxel", single_resolution),
    "pre-align": ("refines a pre-aligned pair", pre_align),
}
FURTHER = (
    ("memory does not grow with the images", "`benchmark/memory.py`", "its table above"),
    (
        "the published networks",
        "`pytest test/test_encoder.py test/test_model.py -k published`",
        "parameter counts equal; written independently, outputs agree to 1e-5",
    ),
)


def main() -> None:
    """Run the rows that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--pairs", type=int, default=50, help="test pairs of each data set")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--readme", action="store_true", help="write the claims into the README")
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
    for row in options.rows:
        start = time.perf_counter()
        (output / f"{row}.txt").write_text(ROWS[row][1](benchmark) + "\n")
        say(f"{row}: {time.perf_counter() - start:.0f} s")
    sentences = {row: output / f"{row}.txt" for row in ROWS}
    rows = [
        [claim, f"`benchmark/generalisable.py --rows {row}`", sentences[row].read_text().strip()]
        for row, (claim, _) in ROWS.items()
        if sentences[row].exists()
    ]
    text = table(["claim", "command", "what we saw"], [*rows, *map(list, FURTHER)])
    say(f"\n{text}")
    if options.readme:
        write_to_readme("claims", text)


if __name__ == "__main__":
    main()
