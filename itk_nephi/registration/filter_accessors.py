"""The Set and Get methods of ``itk.NePhiRegistrationMethod``, and its function, made of settings.

Loaded with the first filter: neither torch nor itk is imported.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from itk_nephi.extras import named_extras
from itk_nephi.fields.settings import Setting, setting_value
from itk_nephi.registration.filter_arguments import ARGUMENTS, SETTINGS, camel
from itk_nephi.registration.settings import (
    PresetName,
    RegistrationSettings,
    chosen_settings,
)


def add_accessors(method_class: Any) -> None:
    """Give the class of a filter its methods for settings, arguments and further channels.

    They are those of :class:`itk_nephi.RegistrationSettings`, ``SetSteps`` for ``steps``, and of
    :func:`itk_nephi.register`; and ``SetSettings``, which changes all settings, and ``SetPreset``.
    """
    for name, entry in SETTINGS.items():
        _add(method_class, name, entry.help, _setting_setter(entry), _setting_getter(name))
    for name, entry in ARGUMENTS.items():
        _add(method_class, name, entry.help, _argument_setter(name), _argument_getter(entry))
    for subject in ("fixed", "moving"):
        words = f"Further images of the {subject} subject, on the grid of the {subject} image."
        _add(method_class, f"{subject}_channels", words, *_channel_accessors(subject))
    method_class.SetSettings = _set_settings
    method_class.GetSettings = _get_settings
    method_class.SetPreset = _set_preset


def with_settings(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Put those of a filter's keywords that are settings into one, so that their order is free."""
    rest = dict(keywords)
    changes = {name: _value(SETTINGS[name], rest.pop(name)) for name in SETTINGS if name in rest}
    preset = rest.pop("preset", None)
    settings = _checked(rest.pop("settings", None))
    if settings is not None or preset is not None:
        rest["settings"] = chosen_settings(settings, preset, rest.get("refine"), **changes)
    elif changes:
        rest["settings"] = _SingleSettings(changes)
    return rest


def nephi_registration_method(fixed_image: Any, moving_image: Any, **options: Any) -> Any:
    """Register two images with itk.NePhiRegistrationMethod, and resample the moving one.

    Parameters
    ----------
    fixed_image, moving_image : itk.Image, filter, or array
        Scalar images in 2 or 3 dimensions, of any pixel types. Arrays are those that ITK's
        functions take: numpy and xarray of shape (k, j, i), torch of shape (1, k, j, i).
    **options
        ``fixed_mask``, ``moving_mask``: an image, an array on the grid of its image, or a spatial
        object, non-zero where the images are to be compared. ``fixed_channels``,
        ``moving_channels``: further images of each subject. ``initial_transform``: a transform, a
        kind or None. ``auto_progress``: whether to show progress in the terminal; 2 is plainer.
        The others are arguments of :func:`itk_nephi.register`, and single settings of
        :class:`itk_nephi.RegistrationSettings`.

    Returns
    -------
    warped : itk.Image or array
        The moving image on the grid of the fixed image, 0 outside; an array if one was given.
    registration : itk_nephi.Registration
        The transforms in both directions and the losses of each step.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it should be.
    RuntimeError
        If the optimization diverges in spite of smaller steps.
    """
    _SIGNATURE.bind(fixed_image, moving_image, **options)
    with named_extras():
        from itk_nephi.registration.itk_filter import registered

    return registered(fixed_image, moving_image, **options)


def _add(
    method_class: Any,
    name: str,
    words: str,
    setter: Callable[..., None],
    getter: Callable[..., Any],
) -> None:
    for verb, function, summary in (
        ("Set", setter, f"Set {name}. {words}"),
        ("Get", getter, f"Return {name}. {words}"),
    ):
        function.__name__ = f"{verb}{camel(name)}"
        function.__qualname__ = f"{method_class.__name__}.{function.__name__}"
        function.__doc__ = summary
        setattr(method_class, function.__name__, function)


def _value(entry: Setting, value: Any) -> Any:
    """Return a value of a setting; the entries of tuples may come as any sequence."""
    if not entry.is_tuple:
        return value
    kind = float if entry.kind is float else None
    return tuple(np.asarray(value, dtype=kind).ravel().tolist())


def _checked(settings: Any) -> RegistrationSettings | None:
    if settings is not None and not isinstance(settings, RegistrationSettings):
        raise TypeError(
            f"expected settings to be RegistrationSettings or None, got {type(settings).__name__}"
        )
    return settings


class _SingleSettings(dict[str, Any]):
    """Settings by name that are changed from the default."""


def _get_settings(method: Any) -> RegistrationSettings:
    """Return how to register: the settings or the preset, and single settings on top."""
    state = method._State()
    origin = (state.get(name) for name in ("settings", "preset", "refine"))
    return chosen_settings(*origin, **state.get("changes", {}))


def _set_settings(method: Any, settings: RegistrationSettings | _SingleSettings | None) -> None:
    """Set how to register; None stands for the defaults. SetSteps and the like change it."""
    if isinstance(settings, _SingleSettings):
        _change(method, {}, **settings)
    else:
        _change(method, {"settings": _checked(settings)})


def _set_preset(method: Any, name: PresetName) -> None:
    """Set how to register by a name: fast, default or accurate."""
    RegistrationSettings.preset(name)
    _change(method, {"preset": name})


def _change(method: Any, origin: Mapping[str, Any], **changes: Any) -> None:
    """Keep where a filter's settings come from, and what is changed on top."""
    state = method._State()
    kept = {name: state[name] for name in ("settings", "preset", "changes") if name in state}
    before = _get_settings(method)
    for name in kept:
        del state[name]
    state.update({name: value for name, value in origin.items() if value is not None})
    if changes:
        state["changes"] = changes
    try:
        if _get_settings(method) != before:
            method.Modified()
    except (TypeError, ValueError):
        for name in ("settings", "preset", "changes"):
            state.pop(name, None)
        state.update(kept)
        raise


def _setting_setter(entry: Setting) -> Callable[..., None]:
    def change(method: Any, value: Any) -> None:
        state = method._State()
        origin = {name: state.get(name) for name in ("settings", "preset")}
        earlier = state.get("changes", {})
        changes = {name: earlier[name] for name in earlier if name not in entry.nested}
        changes[entry.name] = _value(entry, value)
        _change(method, origin, **changes)

    if not entry.is_tuple:
        return change
    return lambda method, *values: change(method, values)


def _setting_getter(name: str) -> Callable[[Any], Any]:
    return lambda method: setting_value(_get_settings(method), name)


def _argument_setter(name: str) -> Callable[[Any, Any], None]:
    def change(method: Any, value: Any) -> None:
        state = method._State()
        before = state.get(name, ARGUMENTS[name].default)
        plain = isinstance(value, (str, int, float))
        if not (value is before or (plain and value == before)):
            state[name] = value
            method.Modified()

    return change


def _argument_getter(entry: Setting) -> Callable[[Any], Any]:
    return lambda method: method._State().get(entry.name, entry.default)


def _channel_accessors(subject: str) -> tuple[Callable[..., None], Callable[[Any], Any]]:
    """Return methods for inputs of the filter, whose number is free."""
    one = f"{subject.capitalize()}Channel"

    def get(method: Any) -> list[Any]:
        import itk

        found: list[Any] = []
        while (channel := method._GetChannel(one, len(found))) is not None:
            found.append(itk.down_cast(channel))
        return found

    def change(method: Any, channels: Any) -> None:
        channels = list(channels or [])
        for number in range(max(len(channels), len(get(method)))):
            channel = channels[number] if number < len(channels) else None
            method._SetChannel(one, number, channel)

    return change, get


def _signature() -> inspect.Signature:
    """Return the signature that editors show of the function."""
    image = "itk.Image | numpy.ndarray | torch.Tensor | xarray.DataArray"
    mask = "itk.Image | itk.SpatialObject | numpy.ndarray | None"
    channels = "Sequence[itk.Image]"
    usual = RegistrationSettings.preset("default")
    keywords: dict[str, tuple[Any, Any]] = {
        "fixed_mask": (mask, None),
        "moving_mask": (mask, None),
        "fixed_channels": (channels, ()),
        "moving_channels": (channels, ()),
        "initial_transform": ("itk.Transform | str | None", "affine"),
        **{name: (entry.type, entry.default) for name, entry in ARGUMENTS.items()},
        "preset": ("str | None", None),
        "settings": ("itk_nephi.RegistrationSettings | None", None),
        **{name: (entry.type, setting_value(usual, name)) for name, entry in SETTINGS.items()},
        "device": ("str", "cpu"),
        "seed": ("int", 0),
        "auto_progress": ("bool | int", False),
    }
    parameter = inspect.Parameter
    return inspect.Signature(
        [
            *(
                parameter(name, parameter.POSITIONAL_OR_KEYWORD, annotation=image)
                for name in ("fixed_image", "moving_image")
            ),
            *(
                parameter(name, parameter.KEYWORD_ONLY, annotation=kind, default=default)
                for name, (kind, default) in keywords.items()
            ),
        ],
        return_annotation=f"tuple[{image}, itk_nephi.Registration]",
    )


_SIGNATURE = _signature()
nephi_registration_method.__signature__ = _SIGNATURE  # type: ignore[attr-defined]
