"""Other representations of a deformation, optimized as the package's own; none of them won.

Each changes what is optimized and leaves a deformation as the package has it, so that all are
judged as ``itk.NePhiTransform``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from itk_nephi.fields.deformation import Deformation
from itk_nephi.registration import joint
from itk_nephi.registration.instance_optimization import Solution, solve
from itk_nephi.registration.problem import RegistrationProblem
from itk_nephi.registration.result import Progress

FINER = 4
"""How many linear cells stand for a cell of the B-spline's grid, along each axis."""

Solve = Callable[..., Solution]


@contextmanager
def represented_by(name: str) -> Iterator[None]:
    """Let :func:`itk_nephi.register` optimize one of ``REPRESENTATIONS``."""
    with mock.patch.object(joint, "solve", REPRESENTATIONS[name]):
        yield


def level_by_level(
    problem: RegistrationProblem,
    deformations: Sequence[Deformation],
    *,
    before: Callable[[int], None],
    **options: Any,
) -> Solution:
    """Optimize as usual, but call a function before each level, numbered from 0."""
    history: list[Progress] = []
    solution = Solution(history, interrupted=False, findings=[])
    for number, sigma in enumerate(problem.settings.smoothing_sigmas):
        before(number)
        level = replace(problem, settings=replace(problem.settings, smoothing_sigmas=(sigma,)))
        solution = solve(level, deformations, **options)
        history += solution.history
        if solution.interrupted:
            break
    return solution._replace(history=history)


def growing_grid(
    problem: RegistrationProblem, deformations: Sequence[Deformation], **options: Any
) -> Solution:
    """Halve the local code's cells, linearly, before each level but the first: a pyramid.

    The last level has the grid of the settings.
    """
    latent: Any = deformations[0].code
    last = latent.local_code.shape[:-1]
    levels = len(problem.settings.smoothing_sigmas)

    def before(number: int) -> None:
        cells = 2 ** (levels - 1 - number)
        size = tuple(max(2, round((vertices - 1) / cells) + 1) for vertices in last)
        code = latent.local_code.detach().movedim(-1, 0)[None]
        if number == 0:
            # of random codes every other one: an interpolation would make them smaller
            grown = F.interpolate(code, size, mode="nearest")
        else:
            linear = "bilinear" if len(size) == 2 else "trilinear"
            grown = F.interpolate(code, size, mode=linear, align_corners=True)
        latent.local_code = nn.Parameter(grown[0].movedim(0, -1).contiguous())

    return level_by_level(problem, deformations, before=before, **options)


def frequencies_by_level(
    problem: RegistrationProblem, deformations: Sequence[Deformation], **options: Any
) -> Solution:
    """Leave the higher half of the embedding's frequencies out of the first level."""
    held: list[Any] = []

    def before(number: int) -> None:
        if number == 1:
            for handle in held:
                handle.remove()
        if number > 0:
            return
        for field in (deformations[0].field, deformations[0].inverse_field):
            sizes = field.embedding.norm(dim=0)
            low = (sizes <= sizes.median()).to(sizes).repeat(2)
            for weight in (field.synthesis[0].weight, field.modulation[0].weight):
                counts = torch.ones_like(weight[0])
                counts[-len(low) :] = low
                with torch.no_grad():
                    weight.mul_(counts)
                held.append(weight.register_hook(counts.mul))

    return level_by_level(problem, deformations, before=before, **options)


class SplineCode(nn.Module):
    """A latent code whose local part is a cubic B-spline, so that the Jacobian is continuous.

    It is read off a grid ``FINER`` times as fine, between whose vertices it is linear: within a
    sixteenth of what linear interpolation of its own vertices would lack.
    """

    def __init__(self, code: Any) -> None:
        super().__init__()
        self.global_code, self.splines = code.global_code, code.splines
        self.coefficients = code.local_code
        vertices = self.coefficients.shape[:-1]
        self._bases = [cubic_basis(count, FINER * (count - 1) + 1) for count in vertices]
        self._kept: tuple[int, Tensor] | None = None

    @property
    def local_code(self) -> Tensor:
        """The fine grid, shape (k, j, i, C), made once for each step."""
        version = self.coefficients._version
        if self._kept is None or self._kept[0] != version:
            code: Tensor = self.coefficients
            for axis, basis in enumerate(self._bases):
                code = torch.tensordot(code, basis, dims=([axis], [1])).movedim(-1, axis)
            self._kept = version, code.contiguous()
        return self._kept[1]


def cubic_basis(count: int, places: int) -> Tensor:
    """Return cubic B-splines of ``count`` vertices at evenly spread places, border values repeated.

    Returns
    -------
    Tensor, shape (places, count)
        Rows sum to 1.
    """
    place = torch.linspace(0, count - 1, places, dtype=torch.float64)
    basis = torch.zeros(places, count, dtype=torch.float64)
    for vertex in range(-2, count + 2):
        distance = (place - vertex).abs()
        near = 2 / 3 - distance**2 + distance**3 / 2
        far = (2 - distance).clamp(min=0) ** 3 / 6
        basis[:, min(max(vertex, 0), count - 1)] += torch.where(distance < 1, near, far)
    return basis.float()


def cubic_spline(
    problem: RegistrationProblem, deformations: Sequence[Deformation], **options: Any
) -> Solution:
    """Interpolate the local code by cubic B-splines."""
    (deformation,) = deformations
    latent: Any = deformation.code
    code: Any = SplineCode(latent)
    found = solve(problem, [replace(deformation, code=code)], **options)
    latent.local_code = nn.Parameter(code.local_code.detach())
    return found


def small_codes(
    problem: RegistrationProblem, deformations: Sequence[Deformation], **options: Any
) -> Solution:
    """Start with local codes ten times smaller."""
    with torch.no_grad():
        deformations[0].code.local_code.mul_(0.1)
    return solve(problem, deformations, **options)


REPRESENTATIONS: dict[str, Solve] = {
    "growing_grid": growing_grid,
    "frequencies_by_level": frequencies_by_level,
    "cubic_spline": cubic_spline,
    "small_codes": small_codes,
}
