"""A field and its domain to an ``itk.NePhiTransform``, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from itk_nephi.fields.compiled import can_fuse
from itk_nephi.fields.latent_code import InterpolatedCode, LatentCode
from itk_nephi.fields.neural_field import DeformationField
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.fields.threads import torch_threads
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import Array, ImageDomain

FILE_FORMAT_VERSION, FILE_FORMAT_VERSION_OF_SPLINES = 1, 2


@dataclass(frozen=True)
class Deformation:
    """Everything that defines a deformation of a domain and its approximate inverse.

    Parameters
    ----------
    domain : ImageDomain
        The domain of both fields.
    settings : FieldSettings
        Their sizes.
    field, inverse_field : DeformationField
        The field, and the one that undoes it.
    code : LatentCode or InterpolatedCode
        The latent code, which both are conditioned on.
    """

    domain: ImageDomain
    settings: FieldSettings
    field: DeformationField
    inverse_field: DeformationField
    code: LatentCode | InterpolatedCode

    @classmethod
    def identity(
        cls,
        domain: ImageDomain,
        settings: FieldSettings,
        generator: torch.Generator,
        spline_cells: Sequence[tuple[int, ...]] | None = None,
    ) -> Deformation:
        """Return the identity, with random hidden weights and a random latent code.

        Parameters
        ----------
        domain : ImageDomain
            Where it lives.
        settings : FieldSettings
            Its sizes.
        generator : torch.Generator
            Draws the weights and the code.
        spline_cells : sequence of tuple of int, optional
            The cells of each B-spline along each axis, i first; those that the settings give with
            the voxels of the domain when left out.

        Raises
        ------
        ValueError
            If no transform could hold it.
        """
        bounds = domain.bounds
        if spline_cells is None:
            spline_cells = settings.spline_cells(bounds, domain.voxel_size / domain.scale)
        settings.check_transform(bounds, spline_cells)
        return cls(
            domain=domain,
            settings=settings,
            field=DeformationField(settings, bounds, generator),
            inverse_field=DeformationField(settings, bounds, generator, is_inverse=True),
            code=LatentCode(settings, bounds, generator, spline_cells),
        )

    @property
    def spline_cells(self) -> tuple[tuple[int, ...], ...]:
        """The cells of each B-spline along each axis, i first."""
        return tuple(
            tuple(count - 3 for count in spline.shape[-2::-1]) for spline in self.code.splines[0]
        )

    def to(self, device: torch.device) -> None:
        """Move the fields and the code to a device."""
        for module in (self.field, self.inverse_field, self.code):
            module.to(device)

    def weights(self) -> list[nn.Parameter]:
        """Return the weights of both fields, in the order of the transform's parameters."""
        return [*self.field.parameters(), *self.inverse_field.parameters()]

    def parameters(self) -> list[nn.Parameter]:
        """Return the weights and the parameters of the latent code."""
        return [*self.weights(), *self.code.parameters()]

    def state(self) -> list[dict[str, Any]]:
        """Return all tensors that define the fields and the code."""
        return [module.state_dict() for module in (self.field, self.inverse_field, self.code)]

    def load_state(self, state: list[dict[str, Any]]) -> None:
        """Restore the :meth:`state` of a deformation of the same domain and sizes."""
        for module, values in zip((self.field, self.inverse_field, self.code), state, strict=True):
            module.load_state_dict(values)


def weights_of(deformations: Sequence[Deformation]) -> list[nn.Parameter]:
    """Return the weights of deformations, each once where they share their fields."""
    return list(dict.fromkeys(w for each in deformations for w in each.weights()))


def codes_of(deformations: Sequence[Deformation]) -> list[nn.Parameter]:
    """Return the parameters of the codes of deformations, each once where they share it."""
    return list(dict.fromkeys(p for each in deformations for p in each.code.parameters()))


def splines_of(deformations: Sequence[Deformation]) -> list[nn.Parameter]:
    """Return the B-splines among the parameters of the codes."""
    named = [pair for each in deformations for pair in each.code.named_parameters()]
    return list(dict.fromkeys(parameter for name, parameter in named if "splines" in name))


@contextmanager
def threads_for_fields(deformations: Sequence[Deformation], device: torch.device) -> Iterator[None]:
    """Leave torch's threads to compiled fields while these are optimized, on a CPU.

    Torch's operators are small beside them: to wake a second thread takes them longer than their
    work, and its threads would be in the way of those of the compiled code.
    """
    if not can_fuse(torch.empty(0, device=device)):
        yield
        return
    fields = [field for each in deformations for field in (each.field, each.inverse_field)]
    count = torch.get_num_threads()
    try:
        for field in fields:
            field.threads = count
        with torch_threads(1):
            yield
    finally:
        for field in fields:
            field.threads = None


def transform_from_deformation(deformation: Deformation) -> Any:
    """Make an ``itk.NePhiTransform[itk.D, D]`` that maps points as a deformation moves coords."""
    domain, settings = deformation.domain, deformation.settings
    code = deformation.code
    local_grid = code.local_code.shape[-2::-1]
    fixed_parameters = np.concatenate(
        [
            [
                FILE_FORMAT_VERSION_OF_SPLINES if deformation.spline_cells else FILE_FORMAT_VERSION,
                settings.width,
                settings.depth,
                settings.frequencies,
                settings.global_code,
                settings.local_channels,
            ],
            local_grid,
            domain.size,
            domain.spacing,
            domain.origin,
            np.ravel(domain.direction),
            _flat([deformation.field.embedding]),
            _flat([deformation.inverse_field.embedding]),
            np.ravel(deformation.spline_cells),
        ]
    )
    transform = itk.NePhiTransform[itk.D, domain.dimension].New()
    transform.SetFixedParameters(itk.OptimizerParameters[itk.D](fixed_parameters.tolist()))
    codes = [code.global_code, code.local_code, *code.splines[0], *code.splines[1]]
    parameters = _flat([*deformation.weights(), *codes]).tolist()
    transform.SetParameters(itk.OptimizerParameters[itk.D](parameters))
    return transform


def deformation_from_transform(transform: Any) -> Deformation:
    """Make a deformation that moves coords as an ``itk.NePhiTransform`` maps points.

    Parameters
    ----------
    transform : itk.NePhiTransform
        In 2 or 3 dimensions, of either precision.

    Raises
    ------
    ValueError
        If its local code's grid is not the one that this package gives the domain.
    """
    transform = itk.down_cast(transform)
    domain = ImageDomain.of_transform(transform)
    local_grid, spline_cells = transform.GetLocalCodeGrid(), transform.GetSplineCells()
    settings = FieldSettings(
        width=transform.GetWidth(),
        depth=transform.GetDepth(),
        frequencies=transform.GetFrequencies(),
        global_code=transform.GetGlobalCodeSize(),
        local_channels=transform.GetLocalCodeChannels(),
        local_grid=max(local_grid),
        spline_spacings=tuple(
            2 * domain.scale / max(cells) / domain.voxel_size for cells in spline_cells
        ),
    )
    if settings.local_grid_size(domain.bounds) != local_grid:
        raise ValueError(
            f"expected a local code on a grid of {settings.local_grid_size(domain.bounds)} "
            f"vertices, got {local_grid}"
        )
    deformation = Deformation.identity(domain, settings, torch.Generator(), spline_cells)
    parameters = _Reader(np.array(transform.GetParameters(), dtype=np.float64))
    with torch.no_grad():
        fields = deformation.field, deformation.inverse_field
        for field, matrix in zip(fields, transform.GetFrequencyMatrices(), strict=True):
            field.embedding.copy_(torch.from_numpy(matrix))
        for parameter in deformation.parameters():
            parameters.fill(parameter)
    return deformation


class _Reader:
    """Takes numbers from an array, from the first to the last."""

    def __init__(self, values: Array) -> None:
        self._values = values

    def fill(self, tensor: Tensor) -> None:
        values, self._values = np.split(self._values, [tensor.numel()])
        tensor.copy_(torch.from_numpy(values).view(tensor.shape))


def _flat(tensors: list[Any]) -> Array:
    return torch.cat([t.detach().cpu().flatten() for t in tensors]).double().numpy()
