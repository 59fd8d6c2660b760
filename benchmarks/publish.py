"""Writes what studies found into docs/benchmarks, and one small table into the README."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmarks.study import FIGURES, Study, tabulate

PAGES = "docs/benchmarks"


def publish(studies: Iterable[Study], folder: Path, root: Path) -> list[Path]:
    """Write the tables and pictures of all studies that have run.

    Parameters
    ----------
    studies : iterable of Study
        Which ones.
    folder : Path
        Of their runs.
    root : Path
        The checkout: has docs/benchmarks, README.md and benchmarks/README.md.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ValueError
        If a page lacks the marks of a study.
    """
    studies = list(studies)
    index = root / "benchmarks" / "README.md"
    replace_between(index, "studies", list_studies(studies))
    written = [index]
    for study in studies:
        page = page_of(study)
        if page is None or not (folder / study.name / FIGURES).exists():
            continue
        figures = study.read(folder)
        replace_between(root / page, study.name, study.table(figures))
        written.append(root / page)
        if study.short is not None:
            replace_between(root / "README.md", study.name, study.short(figures))
            written.append(root / "README.md")
        if study.figure is not None:
            picture = (root / page).with_name(f"{study.name}.png")
            study.figure(figures).savefig(picture, dpi=120)
            written.append(picture)
    return written


def list_studies(studies: Iterable[Study]) -> str:
    """Return a table with a row for each study."""
    rows = []
    for study in studies:
        page = page_of(study)
        place = "printed" if page is None else f"[{Path(page).name}](../{page})"
        command = f"`python -m benchmarks run {study.name} -o OUT`"
        rows.append([study.question, command, study.time, place])
    return tabulate(["question", "command", "time", "table"], rows)


def page_of(study: Study) -> str | None:
    """Return the page of a study, relative to the checkout; None where it is only printed."""
    if study.page == "":
        return None
    return f"{PAGES}/{study.page or f'{study.name}.md'}"


def replace_between(path: Path, name: str, text: str) -> None:
    """Replace what stands between the marks ``<!-- name -->`` and ``<!-- end of name -->``.

    Raises
    ------
    ValueError
        If the file has no such marks.
    """
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, found, rest = path.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"expected {path} with {begin} and {end}, found none")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
