"""Write the pages of the reference from the code: settings, commands, Python names."""

from __future__ import annotations

import ast
import inspect
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import typer.main

from itk_nephi.cli.app import app
from itk_nephi.fields.settings import FieldSettings, Setting, settings_of
from itk_nephi.losses.settings import ObjectiveWeights
from itk_nephi.models.encoder import EncoderSettings
from itk_nephi.models.nephi import ModelSettings
from itk_nephi.registration.settings import DEFAULT_SIMILARITY as AT_POINTS
from itk_nephi.registration.settings import PRESETS, RegistrationSettings
from itk_nephi.training.augmentation import Augmentation
from itk_nephi.training.datasets import FolderPairs, PhantomPairs, TablePairs
from itk_nephi.training.settings import TrainingSettings

PACKAGE = Path(__file__).resolve().parents[1] / "itk_nephi"

SETTINGS = """
# Settings

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


def settings_page() -> str:
    """Return the page of all settings."""
    parts = [SETTINGS.strip()]
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


COMMANDS = """
# Command line

`itk-nephi COMMAND --help` shows the same. What a command reports goes to stderr, what it is asked
for to stdout or to the file that `-o` names. `-v`, `-q` and `--debug` may stand anywhere, and
`--install-completion` teaches your shell commands and options.

| exit code | means |
| --- | --- |
| 0 | done |
| 1 | some pairs of a batch failed |
| 2 | wrong input or options, in one sentence on stderr |
| 130 | interrupted by Ctrl-C, SIGTERM or SIGHUP |
"""


def command_page() -> str:
    """Return the page of all commands and their options."""
    group: Any = typer.main.get_command(app)
    parts = [COMMANDS.strip(), "## Before any command", _options(group.params)]
    for name, command in group.commands.items():
        parts += [f"## {name}", f"```sh\n{_usage(name, command)}\n```"]
        parts += [inspect.cleandoc(command.help)]
        panels: dict[str, list[Any]] = {}
        for parameter in command.params:
            panel = getattr(parameter, "rich_help_panel", None)
            panels.setdefault(panel or "", []).append(parameter)
        for panel, parameters in panels.items():
            parts += [f"**{panel}**", _options(parameters)] if panel else [_options(parameters)]
    return "\n\n".join(parts) + "\n"


def _usage(name: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    words = [p.metavar if p.required else f"[{p.metavar}]" for p in arguments]
    return " ".join(["itk-nephi", name, *words, "[OPTIONS]"])


def _options(parameters: list[Any]) -> str:
    rows = []
    for parameter in parameters:
        if parameter.param_type_name == "argument":
            name = f"`{parameter.metavar}`"
        else:
            flags = [*parameter.opts, *parameter.secondary_opts]
            name = ", ".join(f"`{flag}`" for flag in flags)
        rows.append((name, " ".join((parameter.help or "").split()).replace("|", "\\|")))
    return _table(("", ""), rows)


PYTHON = """
# Python

What the package and its packages export, and nothing else, is public: paths of modules below them
may change. `help(itk_nephi.register)` shows the same as these pages.
"""


def python_page() -> str:
    """Return the page of all public names, each with a page of its own."""
    packages = ["itk_nephi"]
    packages += [f"itk_nephi.{path.parent.name}" for path in sorted(PACKAGE.glob("*/__init__.pyi"))]
    parts, seen = [PYTHON.strip()], set[Any]()
    for package in packages:
        module = import_module(package)
        first = (ast.get_docstring(ast.parse(inspect.getsource(module))) or "").split("\n")[0]
        values = {name: getattr(module, name) for name in sorted(module.__all__)}
        names = [name for name, value in values.items() if id(value) not in seen]
        seen |= {id(value) for value in values.values()}
        again = sorted(values.keys() - set(names))
        parts += [f"## {package}", first, _summary(package, names)]
        if again:
            parts += ["Also here: " + ", ".join(f"`{name}`" for name in again) + "."]
    return "\n\n".join(parts) + "\n"


def _summary(package: str, names: list[str]) -> str:
    lines = ["```{eval-rst}", f".. currentmodule:: {package}", "", ".. autosummary::"]
    lines += ["   :toctree: python", "   :nosignatures:", ""]
    return "\n".join([*lines, *(f"   {name}" for name in names), "```"])


PAGES = {"settings.md": settings_page, "command-line.md": command_page, "python.md": python_page}
"""What is written, by the names of the files."""


def write_pages(folder: Path) -> None:
    """Write all pages; those that are as they should be are left, so that they are not new."""
    for name, page in PAGES.items():
        path, text = folder / name, page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
