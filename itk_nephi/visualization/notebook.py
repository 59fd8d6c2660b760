"""The summary of a registration in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from itk_nephi.evaluation import metrics
from itk_nephi.evaluation.statistics import Statistics
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.transforms import flatten, jacobians, transform_points
from itk_nephi.visualization import plots, slices
from itk_nephi.visualization.pages import render
from itk_nephi.visualization.planes import Plane

POINTS = 5_000


class Registration(Protocol):
    """What is shown of :class:`itk_nephi.Registration`, which needs torch."""

    @property
    def fixed_to_moving(self) -> Any:
        """An ``itk.NePhiTransform``, followed by the initial transform."""

    @property
    def moving_to_fixed(self) -> Any:
        """Its approximate inverse."""

    @property
    def initial_transform(self) -> Any:
        """The initial transform, fixed to moving."""

    @property
    def history(self) -> Sequence[plots.Progress]:
        """The losses of each step."""

    @property
    def settings(self) -> Any:
        """With the name of the ``similarity``."""

    @property
    def seed(self) -> int:
        """Of all random numbers."""

    @property
    def interrupted(self) -> bool:
        """Whether it was ended early."""


def registration_html(registration: Registration) -> str:
    """Return a short summary as HTML: figures, warnings, the deformed grid and the losses.

    The figures are measured at random points of the fixed image's box, always the same ones.
    """
    field = flatten(registration.fixed_to_moving)[0]
    domain = ImageDomain.of_transform(field)
    last = np.array(domain.size) - 1
    random = np.random.default_rng(0)
    points = domain.points_from_index(random.uniform(0, last, (POINTS, domain.dimension)))
    moved = np.linalg.norm(transform_points(field, points) - points, axis=1)
    consistency = metrics.inverse_consistency_errors(
        registration.fixed_to_moving, registration.moving_to_fixed, points
    )
    plane = Plane.coronal(domain.canonical())
    index = plane.indices[plane.start()]
    grid = slices.Grid(plane, registration.fixed_to_moving, registration.initial_transform, [index])
    return render(
        "notebook.html",
        registration=registration,
        moved=Statistics.of(moved),
        consistency=Statistics.of(consistency),
        folding=metrics.folding_fraction(np.linalg.det(jacobians(field, points))),
        plane=plane,
        grid=list(zip(slices.shades(), grid.paths(0, grid.largest), strict=True)),
        loss_plot=plots.losses(registration.history) if registration.history else None,
    )
