"""The deformation field: a neural field conditioned on a latent code."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from itk_nephi.fields.compiled import can_fuse, evaluate_field
from itk_nephi.fields.interpolation import (
    sample_grid,
    sample_grid_with_derivatives,
    sample_spline,
    sample_spline_with_derivatives,
)
from itk_nephi.fields.jet import Jet
from itk_nephi.fields.latent_code import Code, PairCode
from itk_nephi.fields.settings import FieldSettings

SINE_FREQUENCY = 30.0
"""The factor before every hidden layer's sine, as in SIREN and the published NePhi."""


class DeformationField(nn.Module):
    r"""A neural field that maps coords to coords, conditioned on a latent code.

    With the embedding ``e = [sin(2 pi x B), cos(2 pi x B)]`` and ``s = [global; local(x); e]``:

    .. math::
        m_0 &= \sin 30 (A_0 s + a_0), & m_k &= \sin 30 (A_k m_{k-1} + a_k) + m_0 \\
        h_0 &= \sin(W_0 e + b_0),     & h_k &= m_k \sin 30 (W_k h_{k-1} + b_k) \\
        y &= x + W h_L + b + \sum_n S_n(x)

    where S_n are the cubic B-splines of displacements that the code may hold. Beyond the domain the
    displacement is that of the nearest boundary point. The output layer and the splines start at
    zero, so that the field starts as the identity.

    Parameters
    ----------
    settings : FieldSettings
        The sizes.
    bounds : tuple of float
        The domain's largest coords per axis, i first.
    generator : torch.Generator
        Draws the embedding's frequencies and the initial weights.
    is_inverse : bool
        Whether the code's B-splines of the inverse field are its own.

    Attributes
    ----------
    threads : int or None
        How many threads compute where the field is compiled; as many as torch has if None.

    References
    ----------
    Tian et al., NePhi, arXiv:2309.07322; the layers are those of its released code.
    """

    embedding: Tensor
    bounds: Tensor
    threads: int | None = None
    # lists of nn.Linear, which the type of nn.ModuleList cannot express
    synthesis: Any
    modulation: Any

    def __init__(
        self,
        settings: FieldSettings,
        bounds: tuple[float, ...],
        generator: torch.Generator,
        *,
        is_inverse: bool = False,
    ) -> None:
        super().__init__()
        self.is_inverse = is_inverse
        dimension, width = len(bounds), settings.width
        embedded = 2 * settings.frequencies
        codes = settings.global_code + settings.local_channels
        frequencies = torch.randn(dimension, settings.frequencies, generator=generator)
        self.register_buffer("embedding", frequencies)
        self.register_buffer("bounds", torch.tensor(bounds), persistent=False)

        def layer(inputs: int, outputs: int, limit: float) -> nn.Linear:
            made = _Linear(inputs, outputs)
            nn.init.uniform_(made.weight, -limit, limit, generator=generator)
            nn.init.uniform_(made.bias, -(inputs**-0.5), inputs**-0.5, generator=generator)
            return made

        hidden_limit = math.sqrt(6 / width) / SINE_FREQUENCY
        self.synthesis = nn.ModuleList([layer(embedded, width, 1 / embedded)])
        self.synthesis += [layer(width, width, hidden_limit) for _ in range(settings.depth)]
        self.output = layer(width, dimension, 0)
        nn.init.zeros_(self.output.bias)
        self.modulation = nn.ModuleList([layer(codes + embedded, width, 1 / (codes + embedded))])
        self.modulation += [layer(width, width, hidden_limit) for _ in range(settings.depth)]

    def forward(self, coords: Tensor, code: Code) -> Tensor:
        """Map coords.

        Parameters
        ----------
        coords : Tensor, shape (N, D)
            Coords of the domain.
        code : Code
            The pair's latent code.

        Returns
        -------
        Tensor, shape (N, D)
            Coords of the domain.
        """
        if self._is_fused(coords, code):
            moved: Tensor = self._fused(coords, code, derivatives=False)[0]
            return moved
        return coords + self._displacement(coords, code, derivatives=False).value

    def with_jacobian(self, coords: Tensor, code: Code) -> tuple[Tensor, Tensor]:
        """Map coords, with the exact Jacobian by forward-mode differentiation.

        Returns
        -------
        moved : Tensor, shape (N, D)
            As :meth:`forward`.
        jacobian : Tensor, shape (N, D, D)
            ``jacobian[n, i, j]`` is the derivative of ``moved[n, i]`` by ``coords[n, j]``.
        """
        if self._is_fused(coords, code):
            found: tuple[Tensor, Tensor] = self._fused(coords, code, derivatives=True)
            return found
        displacement = self._displacement(coords, code, derivatives=True)
        inside = (coords.detach().abs() <= self.bounds).to(coords.dtype)
        jacobian = displacement.derivatives.permute(1, 2, 0) * inside[:, None, :]
        return coords + displacement.value, jacobian + torch.eye(
            coords.shape[1], dtype=coords.dtype, device=coords.device
        )

    def network_displacement(self, coords: Tensor, code: Code) -> Tensor:
        """Return the displacement that the network alone adds, shape (N, D), coords."""
        alone = PairCode(code.global_code, code.local_code)
        return self.forward(coords, alone) - coords

    def _is_fused(self, coords: Tensor, code: Code) -> bool:
        return can_fuse(coords, self.bounds, code.local_code)

    def _fused(self, coords: Tensor, code: Code, *, derivatives: bool) -> Any:
        codes = code.global_code, code.local_code
        weights: list[Tensor] = list(self.parameters())
        return evaluate_field(
            coords,
            self.bounds,
            self.embedding,
            codes,
            weights,
            code.splines[self.is_inverse],
            derivatives=derivatives,
            threads=self.threads,
        )

    def _displacement(self, coords: Tensor, code: Code, *, derivatives: bool) -> Jet:
        coords = torch.maximum(torch.minimum(coords, self.bounds), -self.bounds)
        embedded = self._embed(coords, derivatives=derivatives)
        local = self._interpolate(coords, code.local_code, derivatives=derivatives)

        first, gate = self.synthesis[0], self.modulation[0]
        by_global, by_local, by_embedded = gate.weight.split(
            [len(code.global_code), local.value.shape[1], embedded.value.shape[1]], dim=1
        )
        # the global code is the same everywhere: it only shifts the bias
        gate_bias = gate.bias + by_global @ code.global_code
        both = embedded.linear(
            torch.cat([first.weight, SINE_FREQUENCY * by_embedded]),
            torch.cat([first.bias, SINE_FREQUENCY * gate_bias]),
        )
        hidden, modulated = both.split(self.output.in_features)
        hidden = hidden.sine()
        modulated = (modulated + local.linear(SINE_FREQUENCY * by_local)).sine()
        skip = modulated
        for layer, gate in zip(self.synthesis[1:], self.modulation[1:], strict=True):
            modulated = _sine_layer(gate, modulated) + skip
            hidden = modulated * _sine_layer(layer, hidden)
        displacement = hidden.linear(self.output.weight, self.output.bias)
        for coefficients in code.splines[self.is_inverse]:
            displacement += self._spline(coords, coefficients, derivatives=derivatives)
        return displacement

    def _spline(self, coords: Tensor, coefficients: Tensor, *, derivatives: bool) -> Jet:
        position = coords / self.bounds
        if not derivatives:
            return Jet(sample_spline(coefficients, position))
        value, slopes = sample_spline_with_derivatives(coefficients, position)
        return Jet(value, slopes / self.bounds[:, None, None])

    def _embed(self, coords: Tensor, *, derivatives: bool) -> Jet:
        frequencies = 2 * math.pi * self.embedding
        phase = coords @ frequencies
        sine, cosine = phase.sin(), phase.cos()
        value = torch.cat([sine, cosine], dim=1)
        if not derivatives:
            return Jet(value)
        slope = torch.cat([cosine, -sine], dim=1)
        return Jet(value, slope * torch.cat([frequencies, frequencies], dim=1)[:, None, :])

    def _interpolate(self, coords: Tensor, local_code: Tensor, *, derivatives: bool) -> Jet:
        position = coords / self.bounds
        if not derivatives:
            return Jet(sample_grid(local_code.movedim(-1, 0)[None], position))
        value, slopes = sample_grid_with_derivatives(local_code, position)
        return Jet(value, slopes / self.bounds[:, None, None])


class _Linear(nn.Linear):
    """A linear layer whose weights somebody else draws."""

    def reset_parameters(self) -> None:
        """Leave the weights and the bias as they are allocated."""


def _sine_layer(layer: nn.Linear, features: Jet) -> Jet:
    return features.linear(SINE_FREQUENCY * layer.weight, SINE_FREQUENCY * layer.bias).sine()
