"""Write docs/settings.md: all settings, from the dataclasses that have them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from itk_nephi.fields.settings import FieldSettings, Setting, settings_of
from itk_nephi.losses.settings import ObjectiveWeights
from itk_nephi.models.encoder import EncoderSettings
from itk_nephi.models.nephi import ModelSettings
from itk_nephi.registration.settings import DEFAULT_SIMILARITY as AT_POINTS
from itk_nephi.registration.settings import PRESETS, RegistrationSettings
from itk_nephi.training.augmentation import Augmentation
from itk_nephi.training.datasets import FolderPairs, PhantomPairs, TablePairs
from itk_nephi.training.settings import TrainingSettings

PAGE = Path(__file__).resolve().parents[1] / "docs" / "settings.md"

INTRODUCTION = """
# Settings

Written by `python scripts/settings_page.py` from the dataclasses of the package.

A setting has one name. `gradicon_weight` is a field of `RegistrationSettings`, the option
`--gradicon-weight` of `itk-nephi register` and `itk-nephi batch`, a key of the TOML file of
`--settings`, `SetGradiconWeight()` and `GetGradiconWeight()` of `itk.NePhiRegistrationMethod`, and
a keyword of `itk.nephi_registration_method()`. It is also a field of `TrainingSettings`, a key of
the section `[training]` of a training's TOML file, and an option of `itk-nephi train`. Tuples are
numbers separated by commas on the command line, and lists in TOML.
"""

SECTIONS = {
    "Registration": (
        RegistrationSettings,
        "The weights of the objective, below, are settings, too.",
    ),
    "Objective": (
        ObjectiveWeights,
        "Of registrations; and of trainings, in the section `[training]`.",
    ),
    "Fields": (
        FieldSettings,
        "Of registrations, in TOML in the section `[field]`; and of models, in `[model.field]`.",
    ),
    "Training": (TrainingSettings, "The section `[training]`."),
    "Model": (ModelSettings, "The section `[model]`."),
    "Encoder": (EncoderSettings, "The section `[model.encoder]`; `encoder = false` for none."),
    "Pairs of a table": (TablePairs, "The sections `[pairs]` and `[validation]`, one of three."),
    "Pairs of a folder": (FolderPairs, "The sections `[pairs]` and `[validation]`, one of three."),
    "Synthetic pairs": (PhantomPairs, "The sections `[pairs]` and `[validation]`, one of three."),
    "Augmentation": (Augmentation, "The section `[augmentation]`."),
}


def page() -> str:
    """Return the page as Markdown."""
    parts = [INTRODUCTION.strip()]
    for title, (kind, words) in SECTIONS.items():
        settings = settings_of(kind)
        if title in ("Registration", "Training"):
            settings = {n: s for n, s in settings.items() if n not in settings_of(ObjectiveWeights)}
        rows = [_row(name, setting) for name, setting in settings.items()]
        parts += [f"## {title}", words, _table(("name", "type", "default", "range", ""), rows)]
        if title == "Registration":
            parts += ["What the presets differ in:", _presets()]
    return "\n\n".join(parts) + "\n"


def _row(name: str, setting: Setting) -> tuple[str, ...]:
    default = setting.default
    words = "" if default in (..., None) or setting.nested else f"`{default!r}`"
    return f"`{name}`", setting.type_words, words, setting.range, setting.help


def _presets() -> str:
    found = {name: _flat(RegistrationSettings.preset(name)) for name in PRESETS}
    found |= {
        f"{name}, at random points": _flat(RegistrationSettings.preset(name, similarity=AT_POINTS))
        for name in PRESETS
    }
    rows = [
        (f"`{key}`", *(str(settings[key]) for settings in found.values()))
        for key in found["default"]
        if len({settings[key] for settings in found.values()}) > 1
    ]
    return _table(("", *found), rows)


def _flat(settings: RegistrationSettings) -> dict[str, Any]:
    values = asdict(settings)
    return {**values.pop("field"), **values}


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
