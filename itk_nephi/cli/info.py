"""``itk-nephi info``: a transform file or an image file, described."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from itk_nephi.io.images import read_voxels
from itk_nephi.io.transforms import TRANSFORM_SUFFIXES, read_transform
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.transforms import flatten, is_neural


def info(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Transform or image.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, for other programs.")
    ] = False,
) -> None:
    """Describe a transform file or an image file."""
    typer.echo(json.dumps(facts(file), indent=2) if as_json else describe(file))


def describe(path: Path) -> str:
    """Describe a transform file or an image file in a few lines.

    Raises
    ------
    ValueError
        If ITK can read it as neither.
    """
    found = facts(path)
    return _describe_image(found) if found["kind"] == "image" else _describe_transform(found)


def facts(path: Path) -> dict[str, Any]:
    """Return what is known of a transform file or an image file, as JSON has it; lengths in mm.

    Raises
    ------
    ValueError
        If ITK can read it as neither.
    """
    if not path.name.lower().endswith(TRANSFORM_SUFFIXES):
        return _image_facts(path)
    try:
        transform = read_transform(path, "FILE")
    except ValueError:
        if not path.name.lower().endswith((".h5", ".hdf5", ".hdf")) or not path.is_file():
            raise
        try:
            return _image_facts(path)
        except ValueError:
            pass
        raise
    return {
        "kind": "transform",
        "file": str(path),
        "bytes": path.stat().st_size,
        "input_dimension": int(transform.GetInputSpaceDimension()),
        "output_dimension": int(transform.GetOutputSpaceDimension()),
        "parts": [_part_facts(part) for part in flatten(transform)],
    }


def _image_facts(path: Path) -> dict[str, Any]:
    header, values = read_voxels(path, "FILE", any_size=True)
    found = {
        "kind": "image",
        "file": str(path),
        "bytes": path.stat().st_size,
        "size": [int(n) for n in header.size],
        "spacing": [float(n) for n in header.spacing],
        "origin": [float(n) for n in header.origin],
        "direction": np.asarray(header.direction, dtype=float).tolist(),
        "pixel": header.pixel,
        "component": header.component,
        "components": int(header.components),
    }
    if header.components == 1:
        finite = values[np.isfinite(values)]
        if finite.size:
            found["range"] = [finite.min().item(), finite.max().item()]
        if finite.size < values.size:
            found["not_finite"] = values.size - finite.size
    return found


def _part_facts(part: Any) -> dict[str, Any]:
    found = {
        "class": part.GetNameOfClass(),
        "parameters": int(part.GetNumberOfParameters()),
        "linear": bool(part.IsLinear()),
    }
    return found | ({"field": _field_facts(part)} if is_neural(part) else {})


def _field_facts(transform: Any) -> dict[str, Any]:
    domain = ImageDomain.of_transform(transform)
    ends = np.array(list(product(*((0, count - 1) for count in domain.size))))
    corners = domain.points_from_index(ends)
    return {
        "format_version": transform.GetFileFormatVersion(),
        "width": transform.GetWidth(),
        "depth": transform.GetDepth(),
        "frequencies": transform.GetFrequencies(),
        "global_code": transform.GetGlobalCodeSize(),
        "local_channels": transform.GetLocalCodeChannels(),
        "local_grid": list(transform.GetLocalCodeGrid()),
        "spline_cells": [list(cells) for cells in transform.GetSplineCells()],
        "size": list(domain.size),
        "spacing": list(domain.spacing),
        "origin": list(domain.origin),
        "direction": np.array(domain.direction).T.tolist(),
        "corners": [corners.min(axis=0).tolist(), corners.max(axis=0).tolist()],
    }


def _describe_image(found: dict[str, Any]) -> str:
    lines = [
        f"image            {found['file']}, {found['bytes']:,} bytes",
        f"size             {_sizes(found['size'])} voxels",
        f"spacing          {_numbers(found['spacing'])} mm",
        f"origin           {_numbers(found['origin'])} mm",
        f"direction        {_axes(found['direction'])}",
        f"pixel type       {found['pixel']} of {found['component']}, {found['components']} a voxel",
    ]
    if "range" in found:
        low, high = found["range"]
        lines.append(f"range            {low:g} to {high:g}")
    if "not_finite" in found:
        voxels = math.prod(found["size"])
        lines.append(f"not finite       {found['not_finite']:,} of {voxels:,} voxels")
    return "\n".join(lines)


def _describe_transform(found: dict[str, Any]) -> str:
    dimensions = f"{found['input_dimension']}D to {found['output_dimension']}D"
    parts = found["parts"]
    count = f"{len(parts)} part" + ("s" if len(parts) != 1 else "")
    lines = [
        f"transform        {found['file']}, {found['bytes']:,} bytes",
        f"maps points      in mm, {dimensions}, through {count} in this order:",
    ]
    for number, part in enumerate(parts, start=1):
        linear = ", linear" if part["linear"] else ""
        lines.append(f"{number}. {part['class']}, {part['parameters']:,} parameters{linear}")
        if "field" in part:
            lines += [f"   {line}" for line in _describe_field(part["field"])]
    return "\n".join(lines)


def _describe_field(found: dict[str, Any]) -> list[str]:
    low, high = found["corners"]
    return [
        f"format version {found['format_version']}",
        f"field: width {found['width']}, depth {found['depth']}, "
        f"{found['frequencies']} frequencies",
        f"latent code: {found['global_code']} global, {found['local_channels']} channels on a grid "
        f"of {_sizes(found['local_grid'])}",
        *(f"B-spline: {_sizes(cells)} cells" for cells in found["spline_cells"]),
        f"domain: {_sizes(found['size'])} voxels of {_numbers(found['spacing'])} mm, "
        f"origin {_numbers(found['origin'])} mm",
        f"domain: direction {_axes(found['direction'])}",
        f"domain: from {_numbers(low)} to {_numbers(high)} mm; "
        "beyond it the displacement of its boundary",
    ]


def _axes(axes: npt.ArrayLike) -> str:
    """Describe unit vectors, a row per axis of a grid."""
    named = zip("ijk", np.asarray(axes, dtype=float), strict=False)
    return "; ".join(f"{name}: {_numbers(axis)}" for name, axis in named)


def _sizes(values: Sequence[int]) -> str:
    return " x ".join(map(str, values))


def _numbers(values: npt.ArrayLike) -> str:
    return ", ".join(f"{value + 0.0:.6g}" for value in np.asarray(values, dtype=float))
