"""Models as files: safetensors, whose header holds the settings; reading one runs no code."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from itk_nephi.io.errors import plain_words, require_file
from itk_nephi.io.settings import settings_from_content
from itk_nephi.io.staging import staged
from itk_nephi.models.nephi import ModelSettings, NePhi

HEADER = "itk-nephi-model"
"""The key of the file's metadata under which its header is found."""

FORMAT_VERSION = 1


def save_model(path: str | os.PathLike[str], model: NePhi) -> None:
    """Write a model to a file, atomically; the same model gives the same bytes.

    Parameters
    ----------
    path : path
        By custom with the suffix ``.safetensors``.
    model : NePhi
        On any device.

    Raises
    ------
    ValueError
        If a weight is not finite, or the folder cannot be written.
    """
    path = Path(path)
    tensors = {
        name: values.detach().cpu().contiguous() for name, values in model.state_dict().items()
    }
    for name, values in tensors.items():
        if not values.isfinite().all():
            raise ValueError(f"expected a model of finite weights, got NaN or infinity in {name}")
    settings = json.dumps(asdict(model.settings), sort_keys=True)
    header = {
        "format_version": FORMAT_VERSION,
        "package_version": version("itk-nephi"),
        "settings": settings,
        "digest": _digest(settings, tensors),
    }
    content = save(tensors, {HEADER: json.dumps(header, sort_keys=True)})
    with staged(path.parent, "the model's folder") as stage:
        (stage / path.name).write_bytes(content)


def load_model(path: str | os.PathLike[str]) -> NePhi:
    """Read a model from a file.

    Parameters
    ----------
    path : path
        Written by :func:`save_model`.

    Returns
    -------
    NePhi
        On the CPU, ready to predict.

    Raises
    ------
    ValueError
        If there is no such file, or it is another, a damaged one, or of another version.
    """
    path = Path(path)
    require_file(path, "the model")
    expectation = f"expected the model to be a file that itk-nephi wrote, got {path}"
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, RuntimeError) as error:
        raise ValueError(f"{expectation}, which is none or damaged: {error}") from error
    if HEADER not in metadata:
        raise ValueError(f"{expectation}, a safetensors file of something else")
    try:
        header = json.loads(metadata[HEADER])
        if header["format_version"] != FORMAT_VERSION:
            raise ValueError(
                f"expected a model file of format {FORMAT_VERSION}, got {path} of format "
                f"{header['format_version']}, written by itk-nephi {header['package_version']}"
            )
        settings, digest = header["settings"], header["digest"]
    except (json.JSONDecodeError, TypeError, KeyError) as error:
        raise ValueError(f"{expectation}, whose header is damaged: {error}") from error
    if digest != _digest(str(settings), tensors):
        raise ValueError(f"{expectation}, whose content is damaged: its digest is another")
    try:
        made = settings_from_content(ModelSettings, json.loads(settings), "settings")
        _check_sizes(made, tensors)
        model = NePhi(made, torch.Generator())
        model.load_state_dict(tensors)
    except (AttributeError, TypeError, KeyError, ValueError, RuntimeError, MemoryError) as error:
        raise ValueError(
            f"{expectation}, whose settings and weights do not belong together: "
            f"{plain_words(error)}"
        ) from error
    return model.eval()


def _check_sizes(settings: ModelSettings, tensors: dict[str, Tensor]) -> None:
    """Raise unless a model of some settings is about as large as the tensors, before it is made."""
    held = sum(values.numel() for values in tensors.values())
    field, encoder = settings.field, settings.encoder
    asked = [value for value in asdict(field).values() if isinstance(value, int)]
    asked.append(field.width ** min(field.depth + 1, 2))
    if encoder is not None:
        cells = encoder.cells(len(settings.size))
        asked.append(cells * encoder.filters[-1] * encoder.hidden)
        asked += [one * other for one, other in pairwise((1, *encoder.filters))]
    if field.depth > len(tensors) or max(asked) > held:
        raise ValueError(f"sizes for more than the {held} numbers it holds")


def _digest(settings: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(settings.encode())
    for name, values in sorted(tensors.items()):
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
