"""Points where the images have content, which count less the more often they are drawn."""

from __future__ import annotations

import torch
from torch import Tensor


def focused(
    candidates: Tensor, content: Tensor, count: int, fraction: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Choose points from candidates, a part of them by their content.

    The first points are candidates as they come. With the weights of the balance heuristic a
    weighted sum over all has the same expectation as over candidates alone.

    Parameters
    ----------
    candidates : Tensor, shape (M, D)
        Coords, drawn uniformly.
    content : Tensor, shape (M,)
        What makes a candidate more probable, 0 or more.
    count : int
        How many points to choose, less than M.
    fraction : float
        Which part of them is chosen by content, below 1.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    coords : Tensor, shape (count, D)
        The chosen points.
    weights : Tensor, shape (count,)
        How much each counts, in (0, 1].

    References
    ----------
    Veach and Guibas, Optimally combining sampling techniques for Monte Carlo rendering, 1995.
    """
    by_content = round(fraction * count)
    relative = content / content.mean().clamp(min=1e-12)
    # where there is no content at all, any candidate will do
    probabilities = (relative + 1e-6).cpu()
    found = torch.multinomial(probabilities, by_content, replacement=True, generator=generator)
    chosen = torch.cat([torch.arange(count - by_content), found]).to(candidates.device)
    share = by_content / count
    return candidates[chosen], 1 / (1 + share / (1 - share) * relative[chosen])
