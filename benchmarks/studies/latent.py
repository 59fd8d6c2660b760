"""A claim of the paper: global and local code have meanings of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import itk
import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks.cache import Figures
from benchmarks.study import Run, Study, tabulate
from benchmarks.unseen import trained_model, training_minutes, unseen_shapes
from itk_nephi.evaluation.metrics import folding_fraction, jacobian_determinant_image
from itk_nephi.fields.deformation import Deformation, transform_from_deformation
from itk_nephi.fields.latent_code import LatentCode
from itk_nephi.fields.sampled_transforms import sample_transform
from itk_nephi.models.nephi import NePhi
from itk_nephi.models.serialization import load_model
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.image_pair import ImagePair

COUNT = 6
"""Of codes from one pair to the other, along each axis of the picture."""

OUTLINES = "hollow-triangles-circles"


def measure(run: Run) -> Figures:
    """Look at the maps between the codes of two pairs of outlines."""
    model = trained_model(run, OUTLINES)
    minutes = {"training_minutes": {OUTLINES: training_minutes(model)}}
    return (
        run.trial("codes between two pairs", compare_codes, model=model)
        | minutes
        | {"model": str(model)}
    )


def table(figures: Figures) -> str:
    """Return the folding of each map, %."""
    rows = [
        [str(row), *(f"{100 * fold:.3f}" for fold in line)]
        for row, line in enumerate(figures["folds"])
    ]
    return tabulate(["global \\ local code", *(str(n) for n in range(COUNT))], rows)


def answer(figures: Figures) -> str:
    """Say how many maps fold, and how far each code moves points."""
    folds, shifts = np.array(figures["folds"]), figures["shifts_mm"]
    return (
        f"{np.sum(folds == 0)} of {folds.size} maps without folding, at most "
        f"{100 * folds.max():.2f} %; from one pair to the other the local code alone moves points "
        f"by {shifts['local']:.1f} mm, the global one by {shifts['global']:.1f} mm"
    )


def draw(figures: Figures) -> Figure:
    """Draw the first pair's moving image under each map, with a grid of fixed space."""
    first, transforms = interpolate_codes(Path(figures["model"]))
    figure = Figure(figsize=(12, 12), layout="constrained")
    axes = figure.subplots(COUNT, COUNT)
    for place, transform in np.ndenumerate(transforms):
        _draw_map(axes[place], first, transform)
        fold = figures["folds"][place[0]][place[1]]
        axes[place].set_title(f"folding {100 * fold:.2f} %", fontsize=8)
    figure.supxlabel("local code, from the first pair to the second")
    figure.supylabel("global code, from the second pair (below) to the first")
    return figure


def compare_codes(_folder: Path, *, model: Path) -> Figures:
    """Return the folding of all maps, and the mean displacement by the second codes alone, mm."""
    first, transforms = interpolate_codes(model)
    folds = [
        [
            folding_fraction(jacobian_determinant_image(transform, first.fixed_image))
            for transform in row
        ]
        for row in transforms
    ]
    points = ImageDomain.of(first.fixed_image).grid_points().reshape(-1, 2)
    start, by_global, by_local = (
        transforms[place].TransformPoints(points) for place in ((0, 0), (-1, 0), (0, -1))
    )
    shifts = {
        name: float(np.linalg.norm(moved - start, axis=1).mean())
        for name, moved in (("global", by_global), ("local", by_local))
    }
    return {"folds": folds, "shifts_mm": shifts}


def interpolate_codes(path: Path) -> tuple[ImagePair, Any]:
    """Return a pair, and transforms with codes between its own and another's, shape (n, n).

    The global code goes from the first to the second pair from the top row to the bottom one, the
    local code from the left column to the right one: the pairs are at opposite corners.
    """
    model, pairs = load_model(path), unseen_shapes(2, hollow=True)
    ends = [_predict(model, pairs[number]) for number in range(2)]
    start = ends[0]
    transforms = np.empty((COUNT, COUNT), object)
    for row, column in np.ndindex(transforms.shape):
        code = LatentCode(start.settings, start.domain.bounds, torch.Generator())
        with torch.no_grad():
            for name, step in (("global_code", row), ("local_code", column)):
                first, last = (getattr(end.code, name) for end in ends)
                getattr(code, name).copy_(torch.lerp(first, last, step / (COUNT - 1)))
        transforms[row, column] = transform_from_deformation(
            Deformation(start.domain, start.settings, start.field, start.inverse_field, code)
        )
    return pairs[0], transforms


def _predict(model: NePhi, pair: ImagePair) -> Deformation:
    box = model.settings.box(pair.fixed_image)
    return model.predict(
        pair.fixed_image,
        pair.moving_image,
        box=box,
        initial_transform=sample_transform(pair.initial_transform, box),
    )


def _draw_map(axes: Any, pair: ImagePair, transform: Any) -> None:
    warped = itk.resample_image_filter(
        pair.moving_image,
        transform=transform,
        use_reference_image=True,
        reference_image=pair.fixed_image,
    )
    axes.imshow(np.asarray(warped), cmap="gray", vmin=0, vmax=1)
    domain = ImageDomain.of(pair.fixed_image)
    points = domain.grid_points()
    moved = transform.TransformPoints(points.reshape(-1, 2)).reshape(points.shape)
    index = domain.index_from_points(moved)
    for axis in (0, 1):
        levels = np.arange(0, domain.size[axis], 4)
        axes.contour(index[..., axis], levels=levels, colors="tab:orange", linewidths=0.5)
    axes.set_axis_off()


STUDY = Study(
    name="latent",
    question="Do global and local code have meanings of their own?",
    time="6 minutes, one core, of it 5 minutes of training",
    measure=measure,
    table=table,
    figure=draw,
    page="claims.md",
)
