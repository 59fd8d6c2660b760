"""The demonstration of prediction: a pair of shapes that no training has seen."""

from __future__ import annotations

import time
from importlib.resources import files
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from itk_nephi.evaluation.metrics import dice
from itk_nephi.models.serialization import load_model
from itk_nephi.phantoms.pairs import triangles_and_circles
from itk_nephi.registration.pairwise import register
from itk_nephi.spatial import light_itk as itk

MODEL = Path(str(files("itk_nephi.models").joinpath("pretrained", "triangles-circles.safetensors")))
"""The model of triangles and circles; made by `itk-nephi train configs/triangles-circles.toml`."""

UNSEEN = 3_000_000
"""The first seed that no training takes."""

REFINE_STEPS = 25


def show_prediction(path: Path, seed: int) -> str:
    """Predict a pair of shapes, refine it, draw both, and return a sentence on the overlaps.

    Parameters
    ----------
    path : Path
        Of the picture.
    seed : int
        Draws the pair.
    """
    model = load_model(MODEL)
    pair = triangles_and_circles(2, size=64, seed=UNSEEN + seed)
    shown = {"fixed": pair.fixed_image}
    notes = []

    def show(name: str, transform: Any) -> None:
        overlap = dice(pair.images["fixed_labels"], pair.images["moving_labels"], transform)[1]
        notes.append(f"{overlap:.2f}")
        shown[f"{name}, Dice {overlap:.2f}"] = itk.resample_image_filter(
            pair.moving_image,
            transform=transform,
            use_reference_image=True,
            reference_image=pair.fixed_image,
        )

    show("moving", itk.IdentityTransform[itk.D, 2].New())
    for name, steps in (("predicted", 0), (f"refined by {REFINE_STEPS} steps", REFINE_STEPS)):
        start = time.perf_counter()
        found = register(
            pair.fixed_image,
            pair.moving_image,
            initial_transform="identity",
            model=model,
            refine_steps=steps,
            refine="code_and_weights",
            preset="fast",
        )
        seconds = time.perf_counter() - start
        show(name, found.fixed_to_moving)
        notes[-1] += f" {name} ({seconds:.2f} s)"
    figure = Figure(figsize=(12, 3.4), layout="constrained")
    for axis, (title, image) in zip(figure.subplots(1, 4), shown.items(), strict=True):
        axis.imshow(itk.array_view_from_image(image), cmap="gray")
        axis.set_title(title)
        axis.set_axis_off()
    figure.savefig(path, dpi=100)
    return (
        f"how one unseen shape becomes another: Dice {notes[0]} before, {notes[1]}, {notes[2]} "
        f"({path.name})"
    )
