"""Where fields and codes start: as the identity, at an earlier result, or as a model predicts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from itk_nephi.fields.deformation import Deformation, deformation_from_transform
from itk_nephi.fields.latent_code import LatentCode
from itk_nephi.models.nephi import NePhi
from itk_nephi.models.serialization import load_model
from itk_nephi.registration.problem import RegistrationProblem
from itk_nephi.registration.result import Registration
from itk_nephi.registration.settings import RefinedName, RegistrationSettings
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Array, Transform
from itk_nephi.spatial.transforms import cloned, flatten

REFINED: dict[RefinedName, tuple[float, float]] = {
    "splines": (0.0, 0.0),
    "code": (0.0, 1e-2),
    "code_and_weights": (1e-4, 1e-2),
}
"""What can be refined, and the largest step sizes of the weights and of the code for it: in a few
steps, larger ones fold what was predicted well."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where a registration starts, and how it is refined.

    Parameters
    ----------
    model : NePhi, optional
        Predicts where to start.
    refine_steps : int
        Optimizer steps of the refinement of a prediction; with 0 there is none.
    refine : {"splines", "code", "code_and_weights"}, optional
        What these change; B-splines, where the settings have any, else the code, when left out.
    warm_start : Registration or itk.NePhiTransform, optional
        An earlier result. Without it and without a model it is the identity.
    """

    model: NePhi | None = None
    refine_steps: int = 0
    refine: RefinedName | None = None
    warm_start: Any = None

    @classmethod
    def of(
        cls, model: Any, refine_steps: int, refine: RefinedName | None, warm_start: Any
    ) -> Start:
        """Check a user's arguments and return a start; ``model`` may be a path.

        Raises
        ------
        TypeError
            If the model is neither a model nor a path.
        ValueError
            If an argument is out of range, or the file is not that of a model.
        """
        if refine is not None and refine not in REFINED:
            raise ValueError(f"expected refine to be one of {', '.join(REFINED)}, got {refine!r}")
        if refine_steps < 0:
            raise ValueError(f"expected refine_steps of 0 or more, got {refine_steps}")
        if model is None and refine_steps:
            raise ValueError("expected a model whose prediction refine_steps can refine, got none")
        if model is None and refine is not None:
            raise ValueError(f"expected a model whose prediction to refine, got none, {refine=}")
        if model is not None and warm_start is not None:
            raise ValueError("expected a model or warm_start to start from, got both")
        if isinstance(model, (str, os.PathLike)):
            model = load_model(model)
        if model is not None and not isinstance(model, NePhi):
            raise TypeError(f"expected model to be a NePhi or a path, got {type(model).__name__}")
        return cls(model=model, refine_steps=refine_steps, refine=refine, warm_start=warm_start)

    @property
    def is_final(self) -> bool:
        """Whether the start, a prediction, is already the result."""
        return self.model is not None and self.refine_steps == 0

    def settings(self, settings: RegistrationSettings) -> RegistrationSettings:
        """Return the settings of an optimization from here, given those from the identity.

        Raises
        ------
        ValueError
            If they have no B-splines, and these are to be refined.
        """
        if self.model is None:
            return settings
        spacings = () if self.is_final else settings.field.spline_spacings
        refine = self.refine or ("splines" if spacings else "code")
        if refine == "splines" and not spacings and not self.is_final:
            raise ValueError(
                "expected settings with B-splines to refine splines, as the presets have them with "
                "windowed_ncc, got empty spline_spacings: refine the code instead"
            )
        network_learning_rate, code_learning_rate = REFINED[refine]
        return replace(
            settings,
            field=replace(self.model.settings.field, spline_spacings=spacings),
            smoothing_sigmas=settings.smoothing_sigmas[-1:],
            steps=self.refine_steps or settings.steps,
            network_learning_rate=min(settings.network_learning_rate, network_learning_rate),
            code_learning_rate=min(settings.code_learning_rate, code_learning_rate),
        )

    @property
    def warm_transform(self) -> Any:
        """The transform of an earlier result; anything else as it was given."""
        start = self.warm_start
        return flatten(start.fixed_to_moving)[0] if isinstance(start, Registration) else start

    def deformations(
        self, problem: RegistrationProblem, shares: Array, generator: torch.Generator
    ) -> list[Deformation]:
        """Return deformations that share their fields, each with a code of its own.

        Parameters
        ----------
        problem : RegistrationProblem
            What is registered.
        shares : array, shape (T, K)
            The weights of the K codes at each of the T times of the problem's pairs.
        generator : torch.Generator
            Draws random weights and codes.

        Raises
        ------
        TypeError, ValueError
            If the earlier result is none, or not on the same grid and of the same sizes.
        """
        if self.model is not None:
            predicted = self._predictions(problem, self.model)
            found = _closest(predicted, shares, () if self.is_final else problem.spline_cells)
            for weights in found[0].weights():
                weights.requires_grad_(self.refine == "code_and_weights")
            return found
        if self.warm_start is None:
            field = problem.settings.field
            first = Deformation.identity(problem.domain, field, generator, ())
        else:
            first = self._warm_deformation(problem)
        return [
            replace(first, code=_copied_code(first, problem.spline_cells))
            for _ in range(shares.shape[1])
        ]

    def _predictions(self, problem: RegistrationProblem, model: NePhi) -> list[Deformation]:
        return [
            model.predict(
                pair.fixed_image,
                pair.moving_image,
                pair.fixed_mask,
                pair.moving_mask,
                box=problem.domain,
                initial_transform=problem.sampled_initial,
                device=problem.device,
            )
            for pair in problem.pairs
        ]

    def _warm_deformation(self, problem: RegistrationProblem) -> Deformation:
        domain, transform = problem.domain, self.warm_transform
        if not isinstance(transform, itk.NePhiTransform[itk.D, domain.dimension]):
            raise TypeError(
                f"expected warm_start to be a Registration or an itk.NePhiTransform of double "
                f"precision in {domain.dimension} dimensions, got {type(transform).__name__}"
            )
        deformation = deformation_from_transform(transform)
        if not deformation.domain.matches(domain):
            raise ValueError(
                f"expected warm_start on the grid of fixed, got one on {deformation.domain.size} "
                f"voxels from {deformation.domain.origin}"
            )
        field, cells = problem.settings.field, deformation.spline_cells
        sizes = replace(deformation.settings, spline_spacings=field.spline_spacings)
        if sizes != field or problem.spline_cells[: len(cells)] != cells:
            raise ValueError(
                f"expected warm_start with the sizes of settings, {field}, and B-splines of "
                f"{problem.spline_cells} cells or the first of them, got {deformation.settings} "
                f"and {cells} cells"
            )
        return deformation


def initial_transforms_from(given: Any) -> tuple[Any, list[Transform] | None]:
    """Return an initial transform and, where it is an earlier result, its own inverse in parts."""
    if isinstance(given, Registration):
        return given.fixed_to_moving, flatten(cloned(given.moving_to_fixed))
    return given, None


def _copied_code(
    deformation: Deformation, spline_cells: Sequence[tuple[int, ...]] = ()
) -> LatentCode:
    """Return a deformation's code as one of its own, with all B-splines: new ones are zero."""
    cells = deformation.spline_cells
    code = LatentCode(deformation.settings, deformation.domain.bounds, torch.Generator(), cells)
    code.load_state_dict(deformation.code.state_dict())
    for more in spline_cells[len(cells) :]:
        code.add_spline(more)
    return code


def _closest(
    predicted: Sequence[Deformation], shares: Array, spline_cells: Sequence[tuple[int, ...]]
) -> list[Deformation]:
    """Return deformations whose codes at the times come closest to the predicted ones."""
    fits = torch.from_numpy(np.linalg.pinv(shares)).float()
    found = []
    for weights in fits.to(predicted[0].code.global_code.device):
        code = _copied_code(predicted[0], spline_cells).to(weights.device)
        with torch.no_grad():
            for name in ("global_code", "local_code"):
                codes = torch.stack([getattr(each.code, name) for each in predicted])
                getattr(code, name).copy_(torch.tensordot(weights, codes, dims=1))
        found.append(replace(predicted[0], code=code))
    return found
