"""The latent space of a model: maps between the codes of two pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import itk
import numpy as np
import torch
from matplotlib.figure import Figure

from itk_nephi.evaluation.metrics import folding_fraction, jacobian_determinant_image
from itk_nephi.fields.deformation import Deformation, transform_from_deformation
from itk_nephi.fields.latent_code import LatentCode
from itk_nephi.fields.sampled_transforms import sample_transform
from itk_nephi.models.nephi import NePhi
from itk_nephi.spatial.domain import Array, ImageDomain
from itk_nephi.spatial.image_pair import ImagePair

COUNT = 6


def draw_latent_space(
    model: NePhi, first: ImagePair, second: ImagePair, path: Path
) -> tuple[list[list[float]], dict[str, float]]:
    """Draw the first pair's moving image under codes between those of two pairs, 2D.

    The global code goes from the first to the second pair from the top row to the bottom one, the
    local code from the left column to the right one: the pairs are at opposite corners.

    Returns
    -------
    folds : list of list of float
        The folding fraction of each map, in [0, 1].
    shifts : dict of str to float
        By how much the second pair's ``global`` or ``local`` code alone moves points to other
        places, mean, mm.
    """
    ends = [_predicted(model, pair) for pair in (first, second)]
    start = ends[0]
    figure = Figure(figsize=(12, 12), layout="constrained")
    axes = figure.subplots(COUNT, COUNT)
    folds = []
    moved = {}
    points = ImageDomain.of(first.fixed_image).grid_points().reshape(-1, 2)
    for row, by_global in enumerate(np.linspace(0, 1, COUNT)):
        folds.append([])
        for column, by_local in enumerate(np.linspace(0, 1, COUNT)):
            code = LatentCode(start.settings, start.domain.bounds, torch.Generator())
            with torch.no_grad():
                for name, share in (("global_code", by_global), ("local_code", by_local)):
                    values = [getattr(end.code, name) for end in ends]
                    getattr(code, name).copy_(torch.lerp(*values, float(share)))
            transform = transform_from_deformation(
                Deformation(start.domain, start.settings, start.field, start.inverse_field, code)
            )
            fold = folding_fraction(jacobian_determinant_image(transform, first.fixed_image))
            folds[-1].append(fold)
            moved[row, column] = transform.TransformPoints(points)
            _draw(axes[row, column], first, transform)
            axes[row, column].set_title(f"folding {100 * fold:.2f} %", fontsize=8)
    figure.supxlabel("local code, from the first pair to the second")
    figure.supylabel("global code, from the second pair (below) to the first")
    figure.savefig(path, dpi=100)
    last = COUNT - 1
    shifts = {
        name: float(np.linalg.norm(moved[end] - moved[0, 0], axis=1).mean())
        for name, end in (("global", (last, 0)), ("local", (0, last)))
    }
    return folds, shifts


def _predicted(model: NePhi, pair: ImagePair) -> Deformation:
    box = model.settings.box(pair.fixed_image)
    return model.predict(
        pair.fixed_image,
        pair.moving_image,
        box=box,
        initial_transform=sample_transform(pair.initial_transform, box),
    )


def _draw(axis: Any, pair: ImagePair, transform: Any) -> None:
    """Show the warped moving image, and where a grid of fixed space comes from."""
    warped = itk.resample_image_filter(
        pair.moving_image,
        transform=transform,
        use_reference_image=True,
        reference_image=pair.fixed_image,
    )
    axis.imshow(np.asarray(warped), cmap="gray", vmin=0, vmax=1)
    domain = ImageDomain.of(pair.fixed_image)
    points = domain.grid_points()
    moved: Array = transform.TransformPoints(points.reshape(-1, 2)).reshape(points.shape)
    index = domain.index_from_points(moved)
    for axis_number in (0, 1):
        axis.contour(
            index[..., axis_number],
            levels=np.arange(0, domain.size[axis_number], 4),
            colors="tab:orange",
            linewidths=0.5,
        )
    axis.set_axis_off()
