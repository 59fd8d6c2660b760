"""Pairs that no training takes, the models that predict them, and how registrations are judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cache import ROOT, Figures
from benchmarks.methods import mean_dice
from benchmarks.pairs import DATA
from benchmarks.study import Run
from itk_nephi.evaluation import evaluate
from itk_nephi.registration.pairwise import register
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.training.config import TrainingConfig
from itk_nephi.training.datasets import FolderPairs, PhantomPairs
from itk_nephi.training.training import BEST, CHECKPOINT, train
from itk_nephi.workflows.demonstration import MODEL, UNSEEN

SHAPES, HIPPOCAMPUS = "triangles and circles", "hippocampus"

SECONDS = "seconds.txt"
"""In a model's folder: how long its training has taken."""

PairSource = PhantomPairs | FolderPairs


@dataclass(frozen=True, kw_only=True)
class Unseen:
    """Test pairs, their model, and how they are brought together before."""

    pairs: PairSource
    model: Path
    initial_transform: str


def unseen_data(run: Run) -> dict[str, Unseen]:
    """Return fifty pairs of shapes and fifty of hippocampi, with their models."""
    count = 2 if run.quick else 50
    data = {SHAPES: Unseen(pairs=unseen_shapes(count), model=MODEL, initial_transform="identity")}
    if not run.quick:
        folder = DATA / "hippocampus"
        pairs = FolderPairs(
            images=folder / "images",
            labels=folder / "labels",
            subjects=(160, 200),
            count=count,
            seed=3,
        )
        model = trained_model(run, "hippocampus", folder)
        data[HIPPOCAMPUS] = Unseen(pairs=pairs, model=model, initial_transform="geometry")
    return data


def unseen_shapes(count: int, size: int = 64, *, hollow: bool = False) -> PhantomPairs:
    """Return pairs of triangles and circles of seeds that no training takes."""
    return PhantomPairs(
        phantom="triangles_and_circles", count=count, size=size, hollow=hollow, seed=UNSEEN
    )


def trained_model(run: Run, name: str, data: Path | None = None) -> Path:
    """Return the best model of a training that ``configs`` describes, made before or now."""
    config = TrainingConfig.read(ROOT / "configs" / f"{name}.toml", data)
    if run.quick:
        config = replace(
            config,
            training=replace(config.training, steps=4, validate_every=4),
            pairs=replace(config.pairs, count=4),  # type: ignore[arg-type]
            validation=replace(config.validation, count=1),  # type: ignore[arg-type]
        )
    folder = run.folder / "models" / name
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
    return folder / BEST


def training_minutes(model: Path) -> float:
    """Return how long the training of a model took."""
    return float(model.with_name(SECONDS).read_text()) / 60


def register_each(
    _folder: Path,
    *,
    pairs: PairSource,
    options: dict[str, Any] | None,
    model: Path | None = None,
    refinement: int = 1,
) -> Figures:
    """Register pairs with options of ``register``, or leave them as they are, and judge that.

    Returns
    -------
    dict
        ``pairs``: of each what :class:`itk_nephi.evaluation.Evaluation` holds, and ``seconds``; or
        ``error`` where the registration diverged.
    """

    def transforms_of(pair: ImagePair) -> tuple[Any, Any]:
        if options is None:
            return pair.initial_transform, None
        found = register(pair.fixed, pair.moving, model=model, **options)
        return found.fixed_to_moving, found.moving_to_fixed

    return judge_each(pairs, transforms_of, refinement)


def judge_each(
    pairs: PairSource,
    transforms_of: Callable[[ImagePair], tuple[Any, Any]],
    refinement: int = 1,
) -> Figures:
    """Judge the transforms of each pair, from fixed to moving and back, as they are made."""
    judged: list[Figures] = []
    for pair in (pairs[number] for number in range(len(pairs))):
        start = time.perf_counter()
        try:
            transforms = transforms_of(pair)
        except RuntimeError as error:
            judged.append({"error": str(error)})
            continue
        seconds = time.perf_counter() - start
        judged.append(
            {"seconds": seconds} | evaluate(pair, *transforms, refinement=refinement).to_json()
        )
    return {"pairs": judged}


def summarize(pairs: Sequence[Figures]) -> list[str]:
    """Return mean Dice, mean and worst folding in percent, and mean seconds."""
    if not pairs:
        return ["nan"] * 4
    folding = [100 * pair["folding_fraction"] for pair in pairs]
    return [
        f"{np.mean([mean_dice(pair) for pair in pairs]):.4f}",
        f"{np.mean(folding):.4f}",
        f"{max(folding):.3f}",
        f"{np.mean([pair['seconds'] for pair in pairs]):.3f}",
    ]
