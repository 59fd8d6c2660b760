"""elastix parameter files, translated to our settings as far as possible."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, geometric_mean
from typing import Any

from itk_nephi.io.errors import require_file
from itk_nephi.registration.settings import RegistrationSettings

ARGUMENT = "--elastix-parameters"

METRICS = {
    "AdvancedNormalizedCorrelation": "ncc",
    "AdvancedMeanSquares": "mean_squares",
    "AdvancedMattesMutualInformation": "mutual_information",
    "NormalizedMutualInformation": "mutual_information",
}

LINEAR = (
    "TranslationTransform",
    "EulerTransform",
    "SimilarityTransform",
    "AffineTransform",
    "AffineDTITransform",
    "AffineLogTransform",
)

MOST_LEVELS = 12
"""Resolutions: each halves an image, of which no more than two voxels are left at the end."""

LARGEST = 10**7
"""What any other number may be at most: points, iterations, and factors of a schedule."""

SCHEDULES = ("FixedImagePyramidSchedule", "ImagePyramidSchedule")

_ENTRY = re.compile(r'\(\s*([A-Za-z]\w*)((?:\s+(?:"[^"]*"|[^\s"()]+))+)\s*\)\s*(?://.*)?')

_VALUE = re.compile(r'"([^"]*)"|(\S+)')


@dataclass(frozen=True)
class Translation:
    """The translation of elastix parameter files to our settings.

    Parameters
    ----------
    settings : RegistrationSettings
        The settings; our defaults where nothing in the files can be translated.
    taken : dict of str to str
        The parameters that were translated, and the settings that they became.
    ignored : tuple of str
        The parameters that were not, and the files that the initial transform stands for.
    """

    settings: RegistrationSettings
    taken: dict[str, str]
    ignored: tuple[str, ...]

    def __str__(self) -> str:
        taken = ", ".join(f"{name} became {setting}" for name, setting in self.taken.items())
        return (
            f"from elastix: {taken or 'nothing taken'}\n"
            f"from elastix, ignored: {', '.join(self.ignored) or 'nothing'}"
        )


def read_parameters(path: Path) -> dict[str, list[str]]:
    """Read an elastix parameter file, in its own format or, by the suffix .toml, in TOML.

    Returns
    -------
    dict of str to list of str
        The values of each parameter.

    Raises
    ------
    ValueError
        If the file is malformed; the message has the number of the line.
    """
    require_file(path, ARGUMENT)
    expectation = f"expected {ARGUMENT} to be an elastix parameter file, got {path}"
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".toml":
            found = {name: _strings(value) for name, value in tomllib.loads(text).items()}
            empty = [name for name, values in found.items() if not values]
            if empty:
                raise ValueError(f"{empty[0]} has no value")
            return found
    except (ValueError, RecursionError) as error:  # those of UTF-8 and of TOML are ValueErrors
        raise ValueError(f"{expectation}: {error}") from error
    parameters: dict[str, list[str]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("//"):
            continue
        entry = _ENTRY.fullmatch(line)
        if entry is None:
            raise ValueError(f"{expectation}: line {number} is not (Name value ...): {line!r}")
        name, values = entry[1], entry[2]
        if name in parameters:
            raise ValueError(f"{expectation}: line {number} gives {name} a second time")
        parameters[name] = [quoted or bare for quoted, bare in _VALUE.findall(values)]
    if not parameters:
        raise ValueError(f"{expectation}, without a parameter")
    return parameters


def translate_parameters(paths: Sequence[Path]) -> Translation:
    """Translate elastix parameter files, as given to elastix one after the other.

    Files of linear transforms are ignored, as the initial transform stands for them; of several
    files of deformable ones the last is taken.

    Raises
    ------
    ValueError
        If a file is malformed, a value is out of range, or no file is for a deformable transform.
    """
    files = {path: read_parameters(path) for path in paths}
    deformable = [
        path for path, found in files.items() if found.get("Transform", [""])[0] not in LINEAR
    ]
    if not deformable:
        raise ValueError(
            f"expected a file for a deformable transform among {ARGUMENT}, got only "
            + ", ".join(f"{path} for {found['Transform'][0]}" for path, found in files.items())
        )
    path = deformable[-1]
    parameters = files[path]
    changes: dict[str, Any] = {}
    taken: dict[str, str] = {}

    def take(names: Sequence[str], setting: str, value: Any) -> None:
        changes[setting] = value
        taken.update(dict.fromkeys(names, f"{setting} {value}"))

    def numbers(name: str, largest: int = LARGEST) -> list[int]:
        given = parameters[name]
        values = [int(value) if re.fullmatch(r"[+-]?\d{1,18}", value) else 0 for value in given]
        if not 1 <= min(values) <= max(values) <= largest:
            text = " ".join(given)
            text = text if len(text) < 40 else f"{text[:40]}..."
            raise ValueError(
                f"expected {name} of 1 to {largest}, whole, got {text} {_location(path, name)}"
            )
        return values

    pyramid = [name for name in SCHEDULES if name in parameters][:1]
    if "NumberOfResolutions" in parameters or pyramid:
        levels = 3
        if "NumberOfResolutions" in parameters:
            levels = numbers("NumberOfResolutions", MOST_LEVELS)[0]
        factors = [[2 ** (levels - 1 - level)] for level in range(levels)]
        if pyramid:
            schedule = numbers(pyramid[0])
            axes, rest = divmod(len(schedule), levels)
            if rest or axes not in (2, 3):
                raise ValueError(
                    f"expected {pyramid[0]} to have 2 or 3 numbers for each of {levels} "
                    f"resolutions, got {len(schedule)} {_location(path, pyramid[0])}"
                )
            factors = [schedule[axes * level : axes * (level + 1)] for level in range(levels)]
        names = [name for name in ("NumberOfResolutions", *pyramid) if name in parameters]
        # elastix's pyramids blur by half of the factor
        take(
            names,
            "smoothing_sigmas",
            tuple(round(0.5 * geometric_mean(each), 3) for each in factors),
        )
    if "MaximumNumberOfIterations" in parameters:
        name = "MaximumNumberOfIterations"
        take([name], "steps", round(fmean(numbers(name))))
    if "NumberOfSpatialSamples" in parameters:
        name = "NumberOfSpatialSamples"
        points = round(fmean(numbers(name)))
        take([name], "points", points)
        changes["regularizer_points"] = min(points, RegistrationSettings().regularizer_points)
    others = [other for other in parameters.get("Metric", []) if other not in METRICS]
    metrics = [metric for metric in parameters.get("Metric", []) if metric in METRICS]
    if metrics:
        take(["Metric"], "similarity", METRICS[metrics[0]])
    ignored = [f"{other}, for which --initial-transform stands" for other in files if other != path]
    ignored += [f"Metric {metric}" for metric in metrics[1:] + others]
    ignored += [name for name in parameters if name not in taken and name != "Metric"]
    return Translation(replace(RegistrationSettings(), **changes), taken, tuple(ignored))


def _strings(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [str(entry).lower() if isinstance(entry, bool) else str(entry) for entry in values]


def _location(path: Path, name: str) -> str:
    """Return where a file names a parameter."""
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    entry = re.compile(rf"\s*\(?\s*[\"']?{re.escape(name)}\b")
    found = [number for number, line in enumerate(lines, start=1) if entry.match(line)]
    return f"in line {found[0]} of {path}" if found else f"in {path}"
