"""The configuration of a registration: the options of ``itk-nephi register`` that repeat it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from itk_nephi.fields.settings import flat_settings, setting_value
from itk_nephi.io.pair_files import PairPaths
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.spatial.initialization import KINDS
from itk_nephi.workflows.provenance import written_name

NAME = "config.toml"
"""The file, beside the results."""

HEAD = "# repeats this registration: itk-nephi register --config FILE -o FOLDER\n\n"


def configuration(paths: PairPaths, settings: RegistrationSettings, **options: Any) -> str:
    """Return a configuration as TOML: a key for each argument and option, with its name.

    Parameters
    ----------
    paths : PairPaths
        The files of the pair, which are named in full.
    settings : RegistrationSettings
        All of them are keys but functions, which no file can hold.
    **options
        Further options; those that are None are left out.
    """
    start = paths.initial_transform
    entries = {
        "fixed": paths.fixed,
        "moving": paths.moving,
        "fixed_mask": paths.fixed_mask,
        "moving_mask": paths.moving_mask,
        "fixed_channel": paths.fixed_channels or None,
        "moving_channel": paths.moving_channels or None,
        "channel_weights": paths.channel_weights,
        "guide_landmarks": paths.guide_landmarks,
        "initial_transform": start if start in KINDS else Path(start),
        "evaluation_landmarks": paths.evaluation_landmarks,
        "labels": paths.labels,
        "series": paths.series or None,
        **options,
    }
    for name in flat_settings(RegistrationSettings):
        value = setting_value(settings, name)
        # a model decides how often it is refined, by an option of its own
        if not callable(value) and not (name == "steps" and options.get("model")):
            entries[name] = value
    lines = [f"{key} = {_toml(value)}" for key, value in entries.items() if value is not None]
    return HEAD + "\n".join(lines) + "\n"


def described_settings(settings: RegistrationSettings) -> dict[str, Any]:
    """Return all settings by name, as JSON can hold them; a function is known by its own name."""
    described = asdict(settings)
    for name, value in described.items():
        if callable(value):
            described[name] = getattr(value, "__qualname__", type(value).__qualname__)
    return described


def _toml(value: Any) -> str:
    """Return a value as TOML has it."""
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case Path():
            return _toml(written_name(value.absolute()))
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return f"[{', '.join(map(_toml, value))}]"
