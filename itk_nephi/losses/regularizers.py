"""Regularizers: GradICON, diffusion, folding, and the prior of the latent code."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from itk_nephi.fields.latent_code import Code

SAFE_DETERMINANT = 0.1
"""The Jacobian determinant below which the folding penalty sets in."""


def gradicon(outer: Tensor, inner: Tensor) -> Tensor:
    r"""GradICON: penalize the Jacobian of the composed maps minus the identity.

    .. math:: \frac{1}{N D^2} \sum_n \lVert J_{outer}(y_n) J_{inner}(x_n) - I \rVert_F^2

    References
    ----------
    Tian, Greer et al., GradICON, CVPR 2023.
    """
    identity = torch.eye(inner.shape[-1], dtype=inner.dtype, device=inner.device)
    return (outer @ inner - identity).square().mean()


def diffusion_energy(jacobian: Tensor) -> Tensor:
    """Diffusion energy: the mean square of the displacement's derivatives, dimensionless."""
    identity = torch.eye(jacobian.shape[-1], dtype=jacobian.dtype, device=jacobian.device)
    return (jacobian - identity).square().mean()


def lattice_diffusion(displacement: Tensor, weights: Tensor, steps: Sequence[float]) -> Tensor:
    r"""Return the diffusion energy of a displacement on a lattice with weights.

    .. math:: \frac{1}{N D^2} \sum_n w_n \lVert \nabla u_n \rVert^2

    Parameters
    ----------
    displacement : Tensor, shape (D, k, j, i)
        Of the lattice's points.
    weights : Tensor, shape (k, j, i)
        Of the points; a difference between two has the mean of theirs.
    steps : sequence of float
        The distance of the points along each axis, i first, in units of the displacement.

    Returns
    -------
    Tensor, shape ()
        Dimensionless.
    """
    dimension = weights.ndim
    total = displacement.new_zeros(())
    for axis, step in enumerate(steps):
        dim, last = -1 - axis, weights.shape[-1 - axis] - 1
        between = (weights.narrow(dim, 0, last) + weights.narrow(dim, 1, last)) / 2
        total = total + (between * displacement.diff(dim=dim).square()).sum() / step**2
    energy: Tensor = total / (weights.numel() * dimension**2)
    return energy


def folding_penalty(jacobian: Tensor) -> Tensor:
    """Folding penalty: the mean square of how far determinants are below ``SAFE_DETERMINANT``."""
    determinants: Tensor = torch.linalg.det(jacobian)
    return F.relu(SAFE_DETERMINANT - determinants).square().mean()


def latent_prior(code: Code) -> Tensor:
    """Latent prior: the norm of the global code plus the mean norm of the local ones."""
    epsilon = 1e-8
    return (code.global_code.square().sum() + epsilon).sqrt() + (
        code.local_code.square().sum(dim=-1) + epsilon
    ).sqrt().mean()
