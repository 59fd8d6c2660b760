"""What a training takes its pairs from, and a cache of what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Protocol

from itk_nephi.spatial.image_pair import ImagePair

CACHE_BYTES = 2 * 2**30
"""The most bytes of images that are kept in memory."""


class PairSource(Protocol):
    """A finite list of pairs; the same number always gives the same pair.

    Each has one image of a subject, of float and in canonical order as its masks are, and an
    initial transform. A source may have ``contents``, a string that is the same as long as its
    pairs are: only then a training resumes. Of others the class and the number of pairs are
    compared.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> ImagePair: ...


def contents_of(source: PairSource) -> str:
    """Return what has to be the same for a training to resume, of any process and computer."""
    contents = getattr(source, "contents", None)
    return contents if isinstance(contents, str) else f"{len(source)} of {type(source).__name__}"


class Cache:
    """Keeps what was made, as long as its bytes fit."""

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._kept: dict[Hashable, Any] = {}
        self._room = limit

    def __call__(self, key: Hashable, make: Callable[[], Any], size: Callable[[Any], int]) -> Any:
        """Return what was kept under a key, or make it; ``size`` returns its bytes."""
        if key in self._kept:
            return self._kept[key]
        made = make()
        if size(made) <= self._room:
            self._kept[key] = made
            self._room -= size(made)
        return made
