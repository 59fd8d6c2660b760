"""What the rows of the claims share: models, test pairs, and how a registration is judged."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from tables import table
from trials import once

from itk_nephi import register
from itk_nephi.evaluation.evaluation import MeanEvaluation, evaluate
from itk_nephi.models.nephi import NePhi
from itk_nephi.models.serialization import load_model
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.training.config import TrainingConfig
from itk_nephi.training.datasets import FolderPairs, PhantomPairs
from itk_nephi.training.training import BEST, CHECKPOINT, train
from itk_nephi.workflows.demonstration import MODEL

ROOT = Path(__file__).resolve().parents[1]
HIPPOCAMPUS = ROOT.parent / "shared" / "data" / "hippocampus"
SHAPES = "triangles and circles"
SECONDS = "seconds.txt"
"""In a model's folder: how long its training has taken."""


@dataclass(frozen=True)
class Benchmark:
    """Where results go, and how much is computed."""

    output: Path
    quick: bool
    pairs: int
    seeds: int
    refinements: tuple[int, ...]

    @cached_property
    def shapes_model(self) -> NePhi:
        """The model of triangles and circles, which comes with the package."""
        return load_model(MODEL)

    @cached_property
    def hollow_shapes_model(self) -> NePhi:
        """The model of outlines of triangles and circles."""
        return self._trained("hollow-triangles-circles")

    @cached_property
    def hippocampus_model(self) -> NePhi:
        """The model of the hippocampus."""
        return self._trained("hippocampus", HIPPOCAMPUS)

    def _trained(self, name: str, data: Path | None = None) -> NePhi:
        """Return the best model of a training that ``configs`` describes, made before or now."""
        config = TrainingConfig.read(ROOT / "configs" / f"{name}.toml", data)
        if self.quick:
            config = replace(
                config,
                training=replace(config.training, steps=4, validate_every=4),
                pairs=replace(config.pairs, count=4),
                validation=replace(config.validation, count=1),
            )
        folder = self.output / "models" / name
        start = time.perf_counter()
        train(
            config.pairs,
            config.validation,
            config.model,
            config.training,
            folder,
            augmentation=config.augmentation,
            resume=(folder / CHECKPOINT).exists(),
        )
        taken = folder / SECONDS
        before = float(taken.read_text()) if taken.exists() else 0.0
        taken.write_text(f"{before + time.perf_counter() - start:.0f}\n")
        return load_model(folder / BEST)

    def training_times(self) -> str:
        """Say how long the models took that were trained."""
        return "; ".join(
            f"{file.parent.name} in {float(file.read_text()) / 60:.0f} minutes"
            for file in sorted((self.output / "models").glob(f"*/{SECONDS}"))
        )

    def cases(self) -> dict[str, tuple[NePhi, list[ImagePair], str]]:
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


def shapes(count: int, size: int = 64, seed: int = 3_000_000) -> list[ImagePair]:
    """Return pairs of triangles and circles of seeds that no training takes."""
    pairs = PhantomPairs(phantom="triangles_and_circles", count=count, size=size, seed=seed)
    return [pairs[n] for n in range(count)]


def summarized(results: Iterable[tuple[Any, float]]) -> list[str]:
    """Return mean Dice, mean and worst folding in percent, and mean seconds of registrations."""
    scores, seconds = zip(*results, strict=True)
    folding = [100 * one.folding_fraction for one in scores]
    return [
        f"{np.mean([one.dice for one in scores]):.4f}",
        f"{np.mean(folding):.4f}",
        f"{max(folding):.3f}",
        f"{np.mean(seconds):.3f}",
    ]


def kept(
    path: Path, pairs: list[ImagePair], transform_of: Callable[[ImagePair], Any]
) -> list[tuple[MeanEvaluation, float]]:
    """Return scores and seconds of each pair from a file; register and write it if there is none.

    Raises
    ------
    RuntimeError
        If a registration fails.
    """

    def trial() -> dict[str, Any]:
        results = [timed(pair, transform_of) for pair in pairs]
        return {"scores": [asdict(one) for one, _ in results], "seconds": [s for _, s in results]}

    figures = once(path, trial)
    if "error" in figures:
        raise RuntimeError(figures["error"])
    scores = [MeanEvaluation(**one) for one in figures["scores"]]
    return list(zip(scores, figures["seconds"], strict=True))


def registered(initial_transform: str, **options: Any) -> Callable[[ImagePair], Any]:
    """Return what registers a pair, with options of ``register``."""

    def transform_of(pair: ImagePair) -> Any:
        return register(
            pair.fixed, pair.moving, initial_transform=initial_transform, **options
        ).fixed_to_moving

    return transform_of


def timed(pair: ImagePair, transform_of: Callable[[ImagePair], Any]) -> tuple[Any, float]:
    """Register a pair, and return its scores and the seconds taken."""
    start = time.perf_counter()
    transform = transform_of(pair)
    seconds = time.perf_counter() - start
    return MeanEvaluation.of([evaluate(pair, transform)]), seconds
