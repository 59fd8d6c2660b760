"""Writes what a benchmark measured into the README, between the marks that name the benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(
        "| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows]
    )


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a file with a Markdown table, by the names of its columns."""
    header, _, *rows = (
        line.removeprefix("| ").removesuffix(" |").split(" | ")
        for line in path.read_text().strip().splitlines()
    )
    return [dict(zip(header, row, strict=True)) for row in rows]


def write_to_readme(name: str, text: str) -> None:
    """Replace what stands between the marks ``<!-- name -->`` and ``<!-- end of name -->``.

    Raises
    ------
    ValueError
        If the README has no such marks.
    """
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, found, rest = README.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"expected {README} with {begin} and {end}, found none")
    README.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def picture_to_docs(path: Path) -> None:
    """Copy a picture that the README shows."""
    (ROOT / "docs" / path.name).write_bytes(path.read_bytes())
