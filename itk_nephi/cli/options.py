"""The options that several commands share; those of settings are made from the dataclasses."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from itk_nephi.cli.messages import report
from itk_nephi.fields.settings import Setting, flat_settings, setting_value
from itk_nephi.io.errors import plain_errors, spelling_hint
from itk_nephi.io.settings import read_toml, settings_from_content
from itk_nephi.registration.settings import RefinedName, RegistrationSettings, chosen_settings
from itk_nephi.spatial.initialization import KINDS

EVERYDAY = ("similarity", "max_time")
"""The settings whose options stand among a command's own; the others come below."""

FURTHER = "Further settings"
IMAGES = "Further images and landmarks"
ORIGINS = "Settings from files"
MODELS = "Models and earlier results"
OUTPUTS = "Results and checkpoints"

FILES = (
    "fixed",
    "moving",
    "fixed_mask",
    "moving_mask",
    "fixed_channel",
    "moving_channel",
    "guide_landmarks",
    "evaluation_landmarks",
    "labels",
    "initial_transform",
    "settings",
    "elastix_parameters",
    "checkpoint",
    "warm_start",
    "model",
    "output",
)
"""The keys of a configuration that name files, or may; relative to its own folder."""

WITHOUT_OPTION = ("dissimilarity",)
"""The settings that are functions, which no option can give."""


class Preset(StrEnum):
    """The settings from which single ones are changed."""

    fast = "fast"
    default = "default"
    accurate = "accurate"


PresetOption = Annotated[
    Preset | None,
    typer.Option(
        "--preset",
        help="fast: every second voxel, a third of the time; default; accurate: more steps and "
        "smoother maps, twice the time. Single options change it.",
        metavar="NAME",
        show_default=False,
    ),
]

SettingsFile = Annotated[
    Path | None,
    typer.Option(
        "--settings",
        help="TOML file with settings by name, in place of a preset. Single options change it.",
        metavar="FILE",
        rich_help_panel=ORIGINS,
    ),
]

ElastixParameters = Annotated[
    list[Path] | None,
    typer.Option(
        help="elastix parameter file whose translatable parameters become settings; repeat for "
        "more, in elastix's order. Options given beside it win.",
        metavar="FILE",
        rich_help_panel=ORIGINS,
    ),
]


def _take_configuration(ctx: typer.Context, path: Path | None) -> None:
    """Let the options that are not given have the values of a configuration."""
    if path is None:
        return
    content = read_toml(path, "--config")
    parameters = {parameter.name: parameter for parameter in ctx.command.params}
    for key in content:
        if key not in parameters or key in ("_config", "help"):
            known = [name for name in parameters if name not in ("_config", "help")]
            raise ValueError(f"--config: got an unknown key {key}; {spelling_hint(key, known)}")
    ctx.default_map = {
        key: _given(key, value, parameters[key], path.absolute().parent)
        for key, value in content.items()
    }


def _given(key: str, value: Any, parameter: Any, folder: Path) -> Any:
    """Return the value of a key as if it were given on the command line."""
    several = parameter.multiple or parameter.nargs != 1
    if isinstance(value, dict) or (several and not isinstance(value, list)):
        raise ValueError(
            f"--config: expected {key} = {'[...]' if several else 'a value'}, got {value!r}"
        )
    if key in FILES and not (key == "initial_transform" and value in KINDS):
        if isinstance(value, list):
            return [str(folder / str(each)) for each in value]
        return str(folder / str(value))
    return ",".join(map(str, value)) if isinstance(value, list) and not several else value


def refuse_two_origins(ctx: typer.Context) -> None:
    """Raise a ValueError if settings of a configuration would hide an option that is given."""
    configured = [n for n in flat_settings(RegistrationSettings) if n in (ctx.default_map or {})]
    for name in ("preset", "settings", "elastix_parameters"):
        source = ctx.get_parameter_source(name)
        if configured and source is not None and source.name == "COMMANDLINE":
            raise ValueError(
                f"expected {_flag(name)} or settings in --config, got both, with {configured[0]}"
            )


Configuration = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="TOML file with arguments and options by name, such as config.toml beside earlier "
        "results, which it repeats. Options given beside it win.",
        metavar="FILE",
        is_eager=True,
        callback=_take_configuration,
        show_default=False,
    ),
]

CheckpointFile = Annotated[
    Path | None,
    typer.Option(
        help="Keep the state in this file, and resume from it if it exists; deleted at the end.",
        metavar="FILE",
        rich_help_panel=OUTPUTS,
    ),
]

CheckpointInterval = Annotated[
    float,
    typer.Option(
        help="How often --checkpoint is written.", metavar="SECONDS", rich_help_panel=OUTPUTS
    ),
]

WarmStart = Annotated[
    Path | None,
    typer.Option(
        help="fixed_to_moving.h5 of an earlier registration on the same fixed grid, to start from. "
        "Its initial transform is not taken over.",
        metavar="TRANSFORM",
        rich_help_panel=MODELS,
    ),
]

Series = Annotated[
    list[str] | None,
    typer.Option(
        help="Which DICOM series to take of a folder with several; repeat for more.",
        metavar="UID",
        rich_help_panel=IMAGES,
    ),
]


def _in_utf8(folder: Path) -> Path:
    with plain_errors(f"expected --output to be a folder that ITK can write to, got {folder}"):
        str(folder).encode()
    return folder


Folder = Annotated[
    Path, typer.Option("-o", "--output", help="Folder for all results.", callback=_in_utf8)
]

Results = Annotated[
    str,
    typer.Option(
        help="What to write: all, or some of transforms, images (warped and Jacobian determinant), "
        "evaluation (in metrics.json, which is always written) and report, separated by commas.",
        metavar="NAME,...",
        rich_help_panel=OUTPUTS,
    ),
]

Device = Annotated[str, typer.Option(help="cpu, or cuda where there is a GPU.")]

Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]

Command = Callable[..., None]


def of_settings(kind: Any, only: Sequence[str] = ()) -> Callable[[Command], Command]:
    """Give a command an option for each setting of a dataclass, those of nested ones as well.

    Parameters
    ----------
    kind : type
        The dataclass.
    only : sequence of str
        The settings that get an option; all when left out.

    Returns
    -------
    callable
        Decorates a command. The everyday options stand where its parameter ``changes`` does, a dict
        by name of the settings that are given; the others stand last.
    """
    start = RegistrationSettings.preset("default") if kind is RegistrationSettings else kind()
    settings = {
        name: replace(entry, default=setting_value(start, name))
        for name, entry in flat_settings(kind).items()
        if name not in WITHOUT_OPTION and (name in only or not only)
    }
    everyday = [name for name in EVERYDAY if name in settings]
    ordered = everyday + [name for name in settings if name not in everyday]

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(*arguments: Any, **values: Any) -> None:
            given = {name: values.pop(name, None) for name in ordered}
            changes = {
                name: numbers(value, _flag(name)) if settings[name].is_tuple else value
                for name, value in given.items()
                if value is not None
            }
            command(*arguments, **values, changes=changes)

        signature = inspect.signature(command, eval_str=True)
        parameters: list[inspect.Parameter] = []
        for parameter in signature.parameters.values():
            if parameter.name == "changes":
                parameters += [_option(settings[name]) for name in everyday]
            else:
                parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
        parameters += [_option(settings[name]) for name in ordered if name not in everyday]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return run

    return decorate


def _option(entry: Setting) -> inspect.Parameter:
    """Return the option of a setting as a parameter of a command; None leaves the setting."""
    flag = _flag(entry.name)
    option = typer.Option(
        f"{flag}/--no-{flag[2:]}" if entry.kind is bool else flag,
        help=_help(entry),
        metavar="N,N,..." if entry.is_tuple else None,
        show_default=False,
        rich_help_panel=None if entry.name in EVERYDAY else FURTHER,
    )
    kind = entry.kind if entry.kind in (bool, int, float) and not entry.is_tuple else str
    return inspect.Parameter(
        entry.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _help(entry: Setting) -> str:
    """Return the help of a setting, with its unit and the default."""
    default = entry.default
    if default is None:
        return f"{entry.help} In {entry.unit}."
    if entry.kind is bool:
        return entry.help
    values = default if entry.is_tuple else (default,)
    words = ",".join(f"{value:g}" if entry.kind is float else str(value) for value in values)
    return f"{entry.help} Default {words}{f' {entry.unit}' if entry.unit else ''}."


def registration_settings(
    preset: Preset | None,
    settings: Path | None,
    elastix_parameters: list[Path] | None,
    changes: Mapping[str, Any],
    refine: RefinedName | None = None,
) -> RegistrationSettings:
    """Return the settings of a preset, of a file or of elastix's parameters, changed.

    Parameters
    ----------
    preset : Preset or None
        Where to start from.
    settings : Path or None
        A TOML file to start from.
    elastix_parameters : list of Path or None
        Files to start from, whose translation is reported.
    changes : mapping of str to object
        Single settings by name.
    refine : {"splines", "code", "code_and_weights"}, optional
        What the steps after a prediction change.
    """
    origins = {
        "--preset": preset,
        "--settings": settings,
        "--elastix-parameters": elastix_parameters,
    }
    given = [name for name, value in origins.items() if value]
    if len(given) > 1:
        raise ValueError(f"expected one of {', '.join(origins)}, got {' and '.join(given)}")
    if elastix_parameters:
        from itk_nephi.registration.elastix_parameters import translate_parameters

        translation = translate_parameters(elastix_parameters)
        report(str(translation))
        start = translation.settings
    elif settings:
        content = read_toml(settings, "--settings")
        start = settings_from_content(RegistrationSettings, content, "--settings")
    else:
        return chosen_settings(None, preset.value if preset else None, refine, **changes)
    return start.changed(**changes)


def chosen_results(text: str) -> tuple[str, ...]:
    """Return the names of results that ``--results`` chooses."""
    from itk_nephi.workflows.outputs import RESULTS, checked_results

    names = [name.strip() for name in text.split(",")]
    return tuple(RESULTS) if names == ["all"] else checked_results(names, "--results")


def numbers(text: str, option: str) -> tuple[float, ...]:
    """Read numbers separated by commas, none from no text; the error names ``option``."""
    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise ValueError(
            f"expected {option} to be numbers separated by commas, got {text!r}"
        ) from None
