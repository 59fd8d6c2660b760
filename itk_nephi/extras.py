"""The optional dependencies, and the sentence that asks for one that is not installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import lazy_loader

EXTRAS = {
    "register": (
        "contourpy",
        "jinja2",
        "matplotlib",
        "PIL",
        "safetensors",
        "torch",
    ),
    "train": ("lightning_fabric", "tensorboard"),
    "batch": ("distributed",),
}
"""What to import, by the extra of this package that brings it."""


@contextmanager
def named_extras() -> Iterator[None]:
    """Turn the error that an optional dependency is missing into one that names the extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        for extra, modules in EXTRAS.items():
            if missing in modules:
                raise ImportError(
                    f"expected {missing} to be installed, found none: "
                    f"`pip install 'itk-nephi[{extra}]'` brings it",
                    name=missing,
                ) from error
        raise


def public_names(
    package: str, file: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of a package from its stub.

    Each name is imported when it is first asked for, with what it needs.

    Parameters
    ----------
    package, file : str
        ``__name__`` and ``__file__`` of the package.
    """
    named, directory, names = lazy_loader.attach_stub(package, file)

    def __getattr__(name: str) -> Any:  # noqa: N807
        with named_extras():
            return named(name)

    return __getattr__, directory, names
