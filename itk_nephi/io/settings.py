"""Settings from TOML and JSON: types are checked, and what is wrong is named by its key."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from itk_nephi.io.errors import require_file, spelling_hint

T = TypeVar("T")


def read_toml(path: Path, argument: str) -> dict[str, Any]:
    """Read a TOML file, which messages call ``argument``.

    Raises
    ------
    ValueError
        If it is none.
    """
    require_file(path, argument)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"expected {argument} to be a TOML file, got {path}: {error}") from error


def settings_from_content(
    kind: type[T], content: Any, argument: str, folder: Path | None = None
) -> T:
    """Make a dataclass of what a TOML or JSON file holds.

    Parameters
    ----------
    kind : type
        The dataclass: its fields are keys, and sections where they are dataclasses themselves.
    content : dict
        The values.
    argument : str
        What messages call all of it.
    folder : Path, optional
        What paths in it are relative to.

    Raises
    ------
    ValueError
        If a key is unknown or missing, or a value is not what it should be; all are named.
    """
    # takes a tenth of a second, which commands without settings need not wait for
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    config = ConfigDict(extra="forbid", strict=True)
    # strict JSON has lists for tuples, and text for paths; a dataclass alone takes no config
    adapter = TypeAdapter(tuple[kind], config=config)  # type: ignore[valid-type]
    try:
        made: T = adapter.validate_json(json.dumps([content], default=str), context=folder)[0]
    except ValidationError as error:
        faults = [_fault(kind, fault, argument) for fault in error.errors(include_url=False)]
        raise ValueError("; ".join(faults)) from error
    return made


def _fault(kind: Any, fault: Any, argument: str) -> str:
    """Return a fault that pydantic reports, in our words."""
    keys, holder = _keys(kind, fault["loc"][1:])
    where = ".".join(keys)
    match fault["type"]:
        case "unexpected_keyword_argument":
            known = [entry.name for entry in fields(holder)]
            return f"got an unknown key {where}; {spelling_hint(keys[-1], known)}"
        case "missing":
            return f"expected {where}, got none"
        case "value_error":
            return f"{where or argument}: {fault['ctx']['error']}"
    value = fault["input"]
    found = ", ".join(value) or "none" if isinstance(value, dict) else repr(value)
    words = fault["msg"].replace("a valid array", "a list").replace("an object", "a section")
    if words.startswith("Input should "):
        return f"expected {where or argument} to {words.removeprefix('Input should ')}, got {found}"
    return f"{where or argument}: {words}, got {found}"


def _keys(kind: Any, location: Sequence[int | str]) -> tuple[list[str], Any]:
    """Return the keys of a location, and the dataclass that holds the last of them."""
    keys: list[str] = []
    holder, kinds = kind, [kind]
    for part in location:
        # of a union pydantic gives the name of the member, which is no key
        named = [each for each in kinds if each.__name__ == part]
        if named:
            kinds = named
            continue
        keys.append(str(part))
        holder = kinds[0] if kinds else None
        hint = get_type_hints(holder).get(str(part)) if holder else None
        kinds = [each for each in (hint, *get_args(hint)) if is_dataclass(each)]
    return keys, holder
