"""The compiled deformation field on the CPU, and its vector-Jacobian product."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

from itk_nephi.spatial.compiled_module import compiled_module

_alone = ContextVar("alone", default=False)


@contextmanager
def torch_alone() -> Iterator[None]:
    """Compute by torch alone on the CPU, too: the operators that a GPU computes by."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


def can_fuse(*tensors: Tensor) -> bool:
    """Whether there is compiled code for these tensors: in single precision, on the CPU."""
    return not _alone.get() and all(map(_is_plain, tensors))


def _is_plain(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float32 and tensor.device.type == "cpu"


def evaluate_field(
    coords: Tensor,
    bounds: Tensor,
    frequencies: Tensor,
    codes: tuple[Tensor, Tensor],
    weights: Sequence[Tensor],
    splines: Sequence[Tensor] = (),
    *,
    derivatives: bool,
    threads: int | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Evaluate a field, as :class:`itk_nephi.fields.neural_field.DeformationField` does.

    All tensors are float32, on the CPU. It can be differentiated once, with respect to coords,
    codes, weights and splines.

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
    weights : sequence of Tensor
        A weight and a bias for each layer: synthesis, output, modulation.
    splines : sequence of Tensor, shape (k, j, i, D)
        The coefficients of each B-spline.
    derivatives : bool
        Whether the Jacobian is wanted.
    threads : int, optional
        How many compute, forward and backward; as many as torch has when left out.

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
    _require_shapes(coords, bounds, frequencies, codes, weights, splines)
    result: tuple[Tensor, Tensor | None] = _Moved.apply(  # type: ignore[no-untyped-call]
        _sizes(frequencies, codes, weights, splines),
        threads or torch.get_num_threads(),
        derivatives,
        coords,
        bounds,
        frequencies,
        *codes,
        *weights,
        *splines,
    )
    return result


class _Moved(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, sizes: list[int], threads: int, derivatives: bool, *tensors: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        tensors = tuple(tensor.contiguous() for tensor in tensors)
        coords = tensors[0]
        moved = torch.empty_like(coords)
        jacobian = coords.new_empty(*coords.shape, coords.shape[1]) if derivatives else None
        _call("Forward", sizes, threads, tensors, moved, jacobian)
        ctx.sizes, ctx.threads = sizes, threads
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        return moved, jacobian

    @staticmethod
    def backward(ctx: Any, grad_moved: Tensor | None, grad_jacobian: Tensor | None) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "expected to differentiate a field in single precision on the CPU once, got "
                "create_graph=True, which double precision allows"
            )
        tensors = ctx.saved_tensors
        grad_coords = torch.empty_like(tensors[0]) if ctx.needs_input_grad[3] else None
        grad_parameters = [torch.empty_like(tensor) for tensor in tensors[3:]]
        cotangents = [
            None if cotangent is None else cotangent.contiguous()
            for cotangent in (grad_moved, grad_jacobian)
        ]
        others = *cotangents, grad_parameters, grad_coords
        _call("Backward", ctx.sizes, ctx.threads, tensors, *others)
        return None, None, None, grad_coords, None, None, *grad_parameters


def _sizes(
    frequencies: Tensor,
    codes: tuple[Tensor, Tensor],
    weights: Sequence[Tensor],
    splines: Sequence[Tensor],
) -> list[int]:
    global_code, local_code = codes
    sizes = [len(weights[0]), len(weights) // 4 - 1, frequencies.shape[1], len(global_code)]
    sizes += [*local_code.shape[::-1], len(splines)]
    return sizes + [count - 3 for spline in splines for count in spline.shape[-2::-1]]


def _call(
    way: str, sizes: list[int], threads: int, tensors: tuple[Tensor, ...], *others: Any
) -> None:
    coords, bounds, frequencies, *parameters = tensors
    function = getattr(compiled_module(), f"NePhiField{way}{coords.shape[1]}")
    function(
        sizes,
        *map(memory_of, (bounds, frequencies, parameters)),
        threads,
        len(coords),
        *map(memory_of, (coords, *others)),
    )


def memory_of(tensors: Any) -> Any:
    """Return the address of a tensor's values, or those of several; None stays, a null pointer."""
    if tensors is None:
        return None
    if isinstance(tensors, Tensor):
        return tensors.data_ptr()
    return [memory_of(tensor) for tensor in tensors]


def call_on_lattice(name: str, dimension: int, *arguments: Any) -> None:
    """Call a compiled function of a lattice, see ``src/itkNePhiCalls.h``.

    Parameters
    ----------
    name : str
        The function's, without what all share.
    dimension : int
        Of the lattice.
    *arguments
        Numbers, sequences of numbers, and what :func:`memory_of` returns.

    Raises
    ------
    MemoryError
        If there is too little memory.
    """
    getattr(compiled_module(), f"NePhi{name}{dimension}")(*arguments)


def _require_shapes(
    coords: Tensor,
    bounds: Tensor,
    frequencies: Tensor,
    codes: tuple[Tensor, Tensor],
    weights: Sequence[Tensor],
    splines: Sequence[Tensor],
) -> None:
    for tensor in (coords, bounds, frequencies, *codes, *weights, *splines):
        if not _is_plain(tensor):
            raise ValueError(
                f"expected tensors of float32 on the CPU, got {tensor.dtype} on {tensor.device}"
            )
    dimension, width, depth = len(bounds), len(weights[0]), len(weights) // 4 - 1
    global_code, local_code = codes
    grid, channels = local_code.shape[:-1], local_code.shape[-1]
    if len(grid) != dimension:
        grid = local_code.shape[:1] * dimension
    embedded = 2 * frequencies.shape[1]
    hidden = depth * [(width, width), (width,)]
    expected = [(width, embedded), (width,), *hidden, (dimension, width), (dimension,)]
    expected += [(width, len(global_code) + channels + embedded), (width,), *hidden]
    for name, shape, found in (
        ("coords of shape", (len(coords), dimension), coords.shape),
        ("frequencies of shape", (dimension, embedded // 2), frequencies.shape),
        ("local code of shape", (*grid, channels), local_code.shape),
        ("weights of shapes", tuple(expected), tuple(tuple(w.shape) for w in weights)),
    ):
        if tuple(found) != shape:
            raise ValueError(f"expected {name} {shape}, got {tuple(found)}")
    for spline in splines:
        if spline.shape[dimension:] != (dimension,) or min(spline.shape[:-1]) < 4:
            axes = ", ".join(["4 or more"] * dimension)
            raise ValueError(
                f"expected splines of shape ({axes}, {dimension}), got {tuple(spline.shape)}"
            )
