"""What a registration shows of itself in a notebook."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import numpy as np

from itk_nephi import metrics, plots, slices
from itk_nephi.composite import flatten, jacobians
from itk_nephi.domain import ImageDomain
from itk_nephi.plane import Plane
from itk_nephi.transform import deformation_from_transform

if TYPE_CHECKING:
    from itk_nephi.registration import Registration

POINTS = 5_000


def registration_html(registration: Registration) -> str:
    """Return a short summary as HTML: figures, warnings, the deformed grid and the losses.

    The figures are measured at random points of the fixed image's box, always the same ones.
    """
    field = flatten(registration.fixed_to_moving)[0]
    domain = deformation_from_transform(field).domain
    last = np.array(domain.size) - 1
    random = np.random.default_rng(0)
    points = domain.points_from_index(random.uniform(0, last, (POINTS, domain.dimension)))
    folding = metrics.folding_fraction(np.linalg.det(jacobians(field, points)))
    off = metrics.inverse_consistency_errors(
        registration.fixed_to_moving, registration.moving_to_fixed, points
    )
    moved = np.linalg.norm(field.TransformPoints(points) - points, axis=1)
    rows = {
        "steps": len(registration.history),
        "moves points, beyond the initial transform, by": (
            f"{moved.mean():.2f} mm on average, at most {moved.max():.2f} mm"
        ),
        "inverse consistency error": (
            f"{off.mean():.2f} mm on average, {np.percentile(off, 95):.2f} mm at the 95th "
            "percentile"
        ),
        "folding": f"{folding:.2%} of the fixed image" if folding else "none",
        "similarity": registration.settings.dissimilarity or registration.settings.similarity,
        "seed": registration.seed,
    }
    warnings = ["interrupted: the transforms are what was reached"] * registration.interrupted
    warnings += ["the transform folds"] * (folding > 0)
    notes = "".join(f"<p><strong>&#9888; {warning}</strong></p>" for warning in warnings)
    cells = "".join(
        f"<tr><th>{name}</th><td>{html.escape(str(value))}</td></tr>"
        for name, value in rows.items()
    )
    curves = ""
    if registration.history:
        curves = f'<img src="{plots.losses(registration.history)}" width="440" alt="losses">'
    return f"{notes}<table>{cells}</table>{_grid(registration, domain)}{curves}"


def _grid(registration: Registration, domain: ImageDomain) -> str:
    """Draw the deformed grid in the middle, coronally if it is in 3D."""
    plane = Plane(domain.canonical(), 1 if domain.dimension == 3 else None)
    middle = plane.indices[len(plane.indices) // 2]
    grid = slices.Grid(
        plane, registration.fixed_to_moving, registration.initial_transform, [middle]
    )
    width, height = (10 * n for n in plane.size)
    lines = "".join(
        f'<path d="{path}" stroke="{color}"/>'
        for path, color in zip(grid.paths(0, grid.largest), slices.shades(), strict=True)
    )
    return (
        f'<svg viewBox="0 0 {width} {height}" height="200" fill="none" '
        f'stroke-width="{height / 150:.0f}" style="background: #222; margin-right: 1em" role="img" '
        f'aria-label="deformed grid">{lines}</svg>'
    )
