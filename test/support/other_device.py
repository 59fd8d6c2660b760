"""A device that is not the CPU, for machines without a GPU: it computes there, but apart from it.

As on a GPU, tensors of the two do not mix, and their copies and the numbers that are asked for are
what somebody waits for. Here they are counted.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

ELSEWHERE = "elsewhere"

OWN_PROCESS = "ITK_NEPHI_TEST_ELSEWHERE"
"""The variable of a process that has the device: from before its first gradients, for good."""

IS_POSSIBLE = hasattr(backend_registration, "_setup_privateuseone_for_python_backend")
"""Whether torch is new enough."""

IS_THERE = IS_POSSIBLE and OWN_PROCESS in os.environ
"""Whether this process has the device."""

if IS_THERE:
    backend_registration._setup_privateuseone_for_python_backend(ELSEWHERE)
    torch.elsewhere.get_amp_supported_dtype = lambda: [torch.bfloat16]  # type: ignore[attr-defined]


def run_elsewhere(*files: Path) -> subprocess.CompletedProcess[str]:
    """Run the tests of some files that need the device, in a process that has it."""
    command = [sys.executable, "-m", "pytest", "-q", "-k", ELSEWHERE, *map(str, files)]
    variables = os.environ | {OWN_PROCESS: "1"}
    return subprocess.run(command, env=variables, check=False, capture_output=True, text=True)


_aten = torch.ops.aten
_READS = (_aten._local_scalar_dense.default, _aten.nonzero.default, _aten.equal.default)
_COPIES = (_aten._to_copy.default, _aten.copy_.default)
_INDEXED = (_aten.index.Tensor, _aten.index_put_.default, _aten._index_put_impl_.default)


class Waits:
    """How often the host waited for the device, or the device for the host."""

    def __init__(self) -> None:
        self.uploads = self.downloads = 0


@contextmanager
def other_device() -> Iterator[Waits]:
    """Compute on the device ``"elsewhere"``, too."""
    waits = Waits()
    with _Made(), _Computed(waits):
        yield waits


class _Remote(Tensor):
    """A tensor elsewhere, in truth on the CPU."""

    values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> _Remote:
        made = Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=torch.device(ELSEWHERE, 0),
        )
        made.values = values
        return made

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, _types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        return _compute(function, arguments, options or {}, Waits())


class _Computed(TorchDispatchMode):
    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self._waits = waits

    def __torch_dispatch__(
        self, function: Any, _types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        return _compute(function, arguments, options or {}, self._waits)


class _Made(TorchFunctionMode):
    """Makes tensors of numbers by way of the CPU, as torch itself knows no other way."""

    def __torch_function__(
        self, function: Any, _types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        options = dict(options or {})
        if function is torch.tensor and "device" in options:
            device = options.pop("device")
            return function(*arguments, **options).to(device)
        if function is Tensor.new_tensor:
            like, numbers = arguments
            options = {"dtype": like.dtype} | options
            return torch.tensor(numbers, **options).to(like.device)
        return function(*arguments, **options)


def _compute(function: Any, arguments: Any, options: Any, waits: Waits) -> Any:
    tensors = [each for each in tree_leaves((arguments, options)) if isinstance(each, Tensor)]
    remote = [isinstance(each, _Remote) for each in tensors]
    is_remote = any(remote)
    if options.get("device") is not None:
        is_remote = torch.device(options["device"]).type == ELSEWHERE
        options = options | {"device": torch.device("cpu")}
    if function in _COPIES:
        ends = (*remote, is_remote) if function is _COPIES[0] else remote
        waits.uploads += ends in ((False, True), [True, False])
        waits.downloads += ends in ((True, False), [False, True])
    elif any(remote):
        waits.downloads += function in _READS
        _require_one_device(function, tensors)
    found = function(*tree_map(_values, arguments), **tree_map(_values, options))
    if function._schema.is_mutable:
        return None if found is None else options.get("out", arguments[0])
    return tree_map(_elsewhere, found) if is_remote else found


def _require_one_device(function: Any, tensors: list[Tensor]) -> None:
    """Raise an error where tensors of the CPU are among others, but for numbers and indices."""
    for tensor in tensors:
        if not isinstance(tensor, _Remote) and tensor.ndim and function not in _INDEXED:
            raise RuntimeError(f"expected all tensors of {function} elsewhere, got one on the CPU")


def _elsewhere(value: Any) -> Any:
    return _Remote(value) if isinstance(value, Tensor) else value


def _values(value: Any) -> Any:
    return value.values if isinstance(value, _Remote) else value
