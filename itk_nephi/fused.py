"""Deformation fields on the CPU, there and back, in compiled code: what optimises them fast."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any

import itk
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@cache
def compiled_module() -> ctypes.CDLL | None:
    """Return the compiled module, or None where it is missing or older than this file."""
    # naming a class of the module loads it
    if not hasattr(itk, "NePhiTransform"):
        return None
    module = ctypes.CDLL(sys.modules["itk._NePhiPython"].__file__)
    return module if hasattr(module, "itkNePhiFieldForward3") else None


def can_fuse(*tensors: Tensor) -> bool:
    """Whether there is compiled code for these tensors: in single precision, on the CPU."""
    return all(map(_is_plain, tensors)) and compiled_module() is not None


def _is_plain(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float32 and tensor.device.type == "cpu"


def moved_by(
    coords: Tensor,
    bounds: Tensor,
    frequencies: Tensor,
    codes: tuple[Tensor, Tensor],
    weights: list[Tensor],
    *,
    derivatives: bool,
) -> tuple[Tensor, Tensor | None]:
    """Move coords, as :class:`itk_nephi.model.DeformationField` does.

    All tensors are float32, on the CPU. Gradients reach coords, codes and weights, once.

    Parameters
    ----------
    coords : Tensor, shape (N, D)
        Coords of the domain.
    bounds : Tensor, shape (D,)
        The domain's largest coords.
    frequencies : Tensor, shape (D, F)
        Of the embedding.
    codes : pair of Tensor, shapes (G,) and (k, j, i, C)
        The global and the local latent code.
    weights : list of Tensor
        A weight and a bias for each layer: synthesis, output, modulation.
    derivatives : bool
        Whether the Jacobian is wanted.

    Returns
    -------
    moved : Tensor, shape (N, D)
        Coords of the domain.
    jacobian : Tensor, shape (N, D, D), or None
        ``jacobian[n, i, j]`` is the derivative of ``moved[n, i]`` by ``coords[n, j]``.

    Raises
    ------
    ValueError
        If the shapes do not fit together.
    """
    _require_shapes(coords, bounds, frequencies, codes, weights)
    result: tuple[Tensor, Tensor | None] = _Moved.apply(
        derivatives, coords, bounds, frequencies, *codes, *weights
    )
    return result


class _Moved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, derivatives: bool, *tensors: Tensor) -> tuple[Tensor, Tensor | None]:
        tensors = tuple(tensor.contiguous() for tensor in tensors)
        coords = tensors[0]
        moved = torch.empty_like(coords)
        jacobian = coords.new_empty(*coords.shape, coords.shape[1]) if derivatives else None
        _call("Forward", tensors, moved, jacobian)
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        return moved, jacobian

    @staticmethod
    @once_differentiable  # type: ignore[misc, untyped-decorator]
    def backward(ctx: Any, by_moved: Tensor | None, by_jacobian: Tensor | None) -> Any:
        tensors = ctx.saved_tensors
        by_coords = torch.empty_like(tensors[0]) if ctx.needs_input_grad[1] else None
        by_parameters = [torch.empty_like(tensor) for tensor in tensors[3:]]
        given = [None if by is None else by.contiguous() for by in (by_moved, by_jacobian)]
        _call("Backward", tensors, *given, by_parameters, by_coords)
        return None, by_coords, None, None, *by_parameters


def _call(way: str, tensors: tuple[Tensor, ...], *others: Any) -> None:
    coords, bounds, frequencies, global_code, local_code, *weights = tensors
    sizes = [len(weights[0]), len(weights) // 4 - 1, frequencies.shape[1], len(global_code)]
    sizes += local_code.shape[::-1]
    function = getattr(compiled_module(), f"itkNePhiField{way}{coords.shape[1]}")
    succeeded = function(
        (ctypes.c_int64 * len(sizes))(*sizes),
        _memory(bounds),
        _memory(frequencies),
        _memory(tensors[3:]),
        ctypes.c_int64(torch.get_num_threads()),
        ctypes.c_int64(len(coords)),
        _memory(coords),
        *(_memory(other) for other in others),
    )
    if not succeeded:
        raise MemoryError(f"expected memory for {len(coords)} points, got too little")


def _memory(tensors: Any) -> Any:
    """Return where the numbers of a tensor are, or of several; None is nowhere."""
    if tensors is None:
        return None
    if isinstance(tensors, Tensor):
        return ctypes.c_void_p(tensors.data_ptr())
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))


def _require_shapes(
    coords: Tensor,
    bounds: Tensor,
    frequencies: Tensor,
    codes: tuple[Tensor, Tensor],
    weights: list[Tensor],
) -> None:
    dimension = len(bounds)
    width = len(weights[0])
    depth = len(weights) // 4 - 1
    embedded = 2 * frequencies.shape[1]
    sources = embedded + codes[0].numel() + codes[1].shape[-1]

    def layer(inputs: int, outputs: int) -> list[tuple[int, ...]]:
        return [(outputs, inputs), (outputs,)]

    hidden = depth * layer(width, width)
    expected = layer(embedded, width) + hidden + layer(width, dimension)
    expected += layer(sources, width) + hidden
    found = [tuple(tensor.shape) for tensor in weights]
    if found != expected:
        raise ValueError(f"expected weights of shapes {expected}, got {found}")
    for name, tensor, shape in (
        ("coords", coords, (len(coords), dimension)),
        ("frequencies", frequencies, (dimension, embedded // 2)),
        (
            "the local code",
            codes[1],
            (*codes[1].shape[:dimension], sources - embedded - len(codes[0])),
        ),
    ):
        if tuple(tensor.shape) != shape:
            raise ValueError(f"expected {name} of shape {shape}, got {tuple(tensor.shape)}")
