"""What the demonstration shows of prediction: a pair of shapes that no training has seen."""

from __future__ import annotations

import time
from pathlib import Path

import itk
import numpy as np
from matplotlib.figure import Figure

from itk_nephi.metrics import dice
from itk_nephi.model_file import load_model
from itk_nephi.phantom import triangles_and_circles
from itk_nephi.registration import register

MODEL = Path(__file__).with_name("models") / "triangles-circles.safetensors"
"""The model of triangles and circles; made by `itk-nephi train configs/triangles-circles.toml`."""
UNSEEN = 3_000_000
"""The first seed that no training takes."""


def show_prediction(path: Path, seed: int) -> str:
    """Predict a pair of shapes, draw it, and say how well that went.

    Parameters
    ----------
    path : Path
        Of the picture.
    seed : int
        Draws the pair.
    """
    model = load_model(MODEL)
    pair = triangles_and_circles(2, size=64, seed=UNSEEN + seed)
    start = time.perf_counter()
    found = register(pair.fixed, pair.moving, initial="identity", model=model)
    seconds = time.perf_counter() - start
    before, after = (
        dice(pair.fixed_labels, pair.moving_labels, transform)[1]
        for transform in (found.initial, found.fixed_to_moving)
    )
    warped = itk.resample_image_filter(
        pair.moving,
        transform=found.fixed_to_moving,
        use_reference_image=True,
        reference_image=pair.fixed,
    )
    figure = Figure(figsize=(9, 3), layout="constrained")
    shown = {
        "fixed": pair.fixed,
        f"moving, Dice {before:.2f}": pair.moving,
        f"moving as predicted, Dice {after:.2f}": warped,
    }
    for axis, (title, image) in zip(figure.subplots(1, 3), shown.items(), strict=True):
        axis.imshow(np.asarray(image), cmap="gray")
        axis.set_title(title)
        axis.set_axis_off()
    figure.savefig(path, dpi=100)
    return (
        f"predicted in {seconds:.1f} s how one unseen shape becomes another: Dice {before:.2f} "
        f"before, {after:.2f} after ({path.name})"
    )
