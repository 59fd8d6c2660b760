"""The same word for the same thing: in Python, on the command line, in the ITK filter, in TOML."""

from __future__ import annotations

import importlib
import inspect
import json
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import itk
import pytest
import typer.main
from support.command_line import parameters

import itk_nephi
from itk_nephi.cli.app import app
from itk_nephi.cli.options import WITHOUT_OPTION
from itk_nephi.fields.settings import flat_settings, setting_value, settings_of
from itk_nephi.io.settings import settings_from_content
from itk_nephi.models.encoder import EncoderSettings
from itk_nephi.models.nephi import ModelSettings
from itk_nephi.registration.filter_arguments import ARGUMENTS, camel
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.training.augmentation import Augmentation
from itk_nephi.training.settings import TrainingSettings

ROOT = Path(__file__).parents[1]

PACKAGES = sorted(path.parent.name for path in (ROOT / "itk_nephi").glob("*/__init__.pyi"))

REGISTRATION = flat_settings(RegistrationSettings)

KEYWORDS = inspect.signature(itk_nephi.register).parameters

KEYWORDS_WITHOUT_OPTION = {
    "callback": "the command shows progress itself",
    "keep_checkpoint": "the command keeps it until the results are written",
}

KEYWORDS_OF_FILTER = {
    "fixed": ["FixedImage", "FixedChannels"],
    "moving": ["MovingImage", "MovingChannels"],
    "callback": [],  # observers
    "keep_checkpoint": [],  # of those who write the results
    "preset": ["Preset"],
}
"""Keywords of register() whose filter methods do not have exactly their name."""

OPTIONS_WITHOUT_KEYWORD = {
    "_config": "in Python arguments are variables",
    "output": "a folder of files, which register() does not write",
    "results": "which files, likewise",
    "fixed_channel": "repeated, where register() takes a list of images as fixed",
    "moving_channel": "likewise",
    "elastix_parameters": "become settings",
    "evaluation_landmarks": "judge the result, which evaluate() does",
    "labels": "likewise",
    "series": "chooses in a folder of files",
}

OTHER_WORDS = {
    "landmarks": "guide_landmarks or evaluation_landmarks",
    "initial": "initial_transform",
    "smoothing": "smoothing_sigmas or smoothing_sigma",
    "sigmas": "smoothing_sigmas",
    "smoothness": "gradicon_weight",
    "iterations": "steps",
    "samples": "points",
    "windows": "local_windows",
    "batch": "batch_size",
    "report": "callback",
    "resume_from": "checkpoint",
    "start": "warm_start",
    "metric": "similarity",
    "random_seed": "seed",
    "source": "moving",
    "target": "fixed",
}
"""Names that no argument has, and what takes their place."""


# settings


@pytest.mark.parametrize("name", REGISTRATION)
def test_a_setting_is_an_option_a_key_a_keyword_and_two_methods(name: str) -> None:
    for command in ("register", "batch"):
        options = parameters(command)
        if name in WITHOUT_OPTION:
            assert name not in options
        else:
            assert options[name].opts == [f"--{name.replace('_', '-')}"]
            assert options[name].default is None
    method = itk.NePhiRegistrationMethod.values()[0].New()
    assert callable(getattr(method, f"Set{camel(name)}"))
    default = setting_value(RegistrationSettings.preset("default"), name)
    assert getattr(method, f"Get{camel(name)}")() == default
    function = inspect.signature(itk.nephi_registration_method)
    assert function.parameters[name].default == default


def test_a_setting_is_a_key_of_toml() -> None:
    settings = RegistrationSettings.preset("accurate").changed(width=8, max_time=3.0)
    content = json.loads(json.dumps(asdict(settings)))
    assert settings_from_content(RegistrationSettings, content, "FILE") == settings
    keys = {*content.pop("field"), *content}
    assert keys == set(REGISTRATION)


@pytest.mark.parametrize("name", settings_of(TrainingSettings))
def test_a_setting_of_a_training_is_an_option_of_it(name: str) -> None:
    assert parameters("train")[name].opts == [f"--{name.replace('_', '-')}"]


def test_settings_of_one_name_are_of_one_kind() -> None:
    training = settings_of(TrainingSettings)
    shared = REGISTRATION.keys() & training.keys()
    assert {"gradicon_weight", "similarity", "steps", "points", "local_windows"} <= shared
    for name in shared:
        one, other = REGISTRATION[name], training[name]
        assert (one.type, one.unit, one.range) == (other.type, other.unit, other.range)


def test_names_are_unique_across_nested_settings() -> None:
    own = settings_of(RegistrationSettings)
    nested = [name for entry in own.values() for name in entry.nested]
    assert len(REGISTRATION) == len(own) - 1 + len(nested)
    assert not set(nested) & set(own)


@pytest.mark.parametrize(
    "kind", [RegistrationSettings, TrainingSettings, ModelSettings, EncoderSettings, Augmentation]
)
def test_every_setting_says_what_it_is(kind: type) -> None:
    for entry in settings_of(kind).values():
        assert entry.help[0].isupper()
        assert entry.help.endswith(".")
        assert f"    {entry.name} : {entry.type_words}" in (kind.__doc__ or "")


# register()


@pytest.mark.parametrize("name", [name for name in KEYWORDS if name != "settings"])
def test_a_keyword_of_register_has_its_name_and_default_everywhere(name: str) -> None:
    default = KEYWORDS[name].default
    options = parameters("register")
    assert (name in options) != (name in KEYWORDS_WITHOUT_OPTION)
    if default is not inspect.Parameter.empty and name in options:
        assert options[name].default == default
    method = itk.NePhiRegistrationMethod.values()[0].New()
    for words in KEYWORDS_OF_FILTER.get(name, [camel(name)]):
        assert callable(getattr(method, f"Set{words}"))
    if name not in KEYWORDS_OF_FILTER:
        function = inspect.signature(itk.nephi_registration_method)
        assert function.parameters[name].default == default


def test_an_option_of_register_is_a_setting_or_a_keyword_or_has_a_reason() -> None:
    options = set(parameters("register"))
    assert options - set(REGISTRATION) - set(KEYWORDS) == set(OPTIONS_WITHOUT_KEYWORD)


def test_the_filter_takes_all_that_register_takes() -> None:
    kept_in_itk = {"fixed_mask", "moving_mask", "initial_transform", "device", "seed", "settings"}
    assert set(KEYWORDS) == {*ARGUMENTS, *kept_in_itk, *KEYWORDS_OF_FILTER}
    for name, entry in ARGUMENTS.items():
        assert entry.default == KEYWORDS[name].default


def test_register_series_says_what_register_says() -> None:
    series = inspect.signature(itk_nephi.register_series).parameters
    shared = series.keys() & KEYWORDS.keys()
    assert {"fixed", "fixed_mask", "initial_transform", "model", "settings", "seed"} <= shared
    assert {"model", "refine_steps", "refine", "preset", "device", "callback"} <= shared
    for name in shared - {"initial_transform"}:
        assert series[name].default == KEYWORDS[name].default


# all names


def public_arguments() -> dict[str, set[str]]:
    """Return the arguments of every public function, method and dataclass, by what has them."""
    found: dict[str, set[str]] = {}
    for package in ["itk_nephi", *(f"itk_nephi.{name}" for name in PACKAGES)]:
        module = importlib.import_module(package)
        for name in module.__all__:
            value: Any = getattr(module, name)
            if inspect.isfunction(value) or is_dataclass(value):
                found[f"{package}.{name}"] = set(inspect.signature(value).parameters)
            if inspect.isclass(value):
                for key, member in inspect.getmembers(value, inspect.isfunction):
                    if not key.startswith("_") and member.__module__.startswith("itk_nephi"):
                        arguments = set(inspect.signature(member).parameters)
                        found[f"{package}.{name}.{key}"] = arguments
    group: Any = typer.main.get_command(app)
    for command in group.commands:
        found[f"itk-nephi {command}"] = set(parameters(command))
    found["itk.nephi_registration_method"] = set(
        inspect.signature(itk.nephi_registration_method).parameters
    )
    return found


def test_no_argument_has_another_word_for_what_has_a_name() -> None:
    arguments = public_arguments()
    assert "guide_landmarks" in arguments["itk_nephi.register"]
    assert "gradicon_weight" in arguments["itk-nephi batch"]
    wrong = {
        f"{where}: {name}, not {OTHER_WORDS[name]}"
        for where, names in arguments.items()
        for name in names & OTHER_WORDS.keys()
    }
    assert not wrong
