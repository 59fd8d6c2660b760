from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from itk_nephi.io.pair_table import PairPaths
from itk_nephi.workflows.batch import RECORD, PairOutcome
from itk_nephi.workflows.batch_summary import NUMBERS, write_summary


def metrics(values: dict[str, Any]) -> dict[str, Any]:
    """Metrics of a registration that has these columns of the summary."""
    found: dict[str, Any] = {}
    for column, value in values.items():
        *parents, last = NUMBERS[column]
        place = found
        for key in parents:
            place = place.setdefault(key, {})
        place[last] = value
    return found


def outcome(
    folder: Path, row: int, name: str, values: dict[str, Any] | None, *remarks: str
) -> PairOutcome:
    """A pair that is done, with a folder of its metrics, or without values failed."""
    pair = PairPaths(row=row, name=name, fixed=folder / "f.nrrd", moving=folder / "m.nrrd")
    if values is None:
        return PairOutcome(pair=pair, reason=remarks[0])
    (folder / name).mkdir()
    (folder / name / "metrics.json").write_text(json.dumps(metrics(values)))
    (folder / name / "overview.png").touch()
    (folder / name / RECORD).write_text(json.dumps({"digest": "", "warnings": remarks}))
    return PairOutcome(pair=pair)


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, str]]:
    """The summary of three pairs, one of which failed, which ended in another order."""
    full = dict.fromkeys(NUMBERS, 0.25) | {"dice_after": {"1": 0.5, "2": 0.75}, "seconds": 8}
    outcomes = [
        outcome(tmp_path, 3, "cleo", {"ncc_after": 0.75}),
        outcome(tmp_path, 1, "anna", full, "odd & <small>", "coarse"),
        outcome(tmp_path, 2, "ben", None, "expected contrast, got <none>"),
    ]
    write_summary(tmp_path, outcomes)
    with (tmp_path / "summary.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_rows_are_in_the_order_of_the_table(rows: list[dict[str, str]]) -> None:
    found = [(row["row"], row["name"], row["status"]) for row in rows]
    assert found == [("1", "anna", "done"), ("2", "ben", "failed"), ("3", "cleo", "done")]


def test_numbers_are_those_of_the_metrics_and_means_where_there_are_several(
    rows: list[dict[str, str]],
) -> None:
    anna = {name: float(rows[0][name]) for name in NUMBERS}
    assert anna == dict.fromkeys(NUMBERS, 0.25) | {"dice_after": 0.625, "seconds": 8}


def test_what_is_not_known_is_an_empty_cell(rows: list[dict[str, str]]) -> None:
    assert {name for name in NUMBERS if rows[2][name]} == {"ncc_after"}
    assert not any(rows[1][name] for name in NUMBERS)


def test_remarks_are_the_warnings_or_the_reason(rows: list[dict[str, str]]) -> None:
    found = [row["remarks"] for row in rows]
    assert found == ["odd & <small>; coarse", "expected contrast, got <none>", ""]


@pytest.mark.parametrize("content", [None, "", "[]", '{"before": 3}'])
@pytest.mark.parametrize("file", ["metrics.json", RECORD])
def test_a_pair_whose_results_cannot_be_read_does_not_lose_the_others(
    tmp_path: Path, file: str, content: str | None
) -> None:
    outcomes = [outcome(tmp_path, n, f"pair-{n}", {"ncc_after": 0.5}) for n in (1, 2)]
    path = tmp_path / "pair-1" / file
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    write_summary(tmp_path, outcomes)
    with (tmp_path / "summary.csv").open(newline="", encoding="utf-8") as table:
        damaged, whole = csv.DictReader(table)
    assert damaged["status"] == "failed"
    assert f"results in {tmp_path / 'pair-1'}, got files that cannot" in damaged["remarks"]
    assert (whole["status"], whole["ncc_after"]) == ("done", "0.5")


def test_the_page_escapes_what_it_shows_and_links_to_what_is_there(
    rows: list[dict[str, str]], tmp_path: Path
) -> None:
    page = (tmp_path / "summary.html").read_text(encoding="utf-8")
    assert f"2 of {len(rows)} pairs registered" in page
    assert "odd &amp; &lt;small&gt;" in page
    assert "<none>" not in page
    assert page.count('<tr class="failed">') == 1
    assert 'href="cleo/overview.png"' in page
    assert 'href="ben/overview.png"' not in page


def test_means_are_over_the_pairs_that_have_a_number(
    rows: list[dict[str, str]], tmp_path: Path
) -> None:
    page = (tmp_path / "summary.html").read_text(encoding="utf-8")
    values = [row["ncc_after"] for row in rows]
    assert values == ["0.25", "", "0.75"]
    foot = page[page.index("<tfoot>") :]
    means = dict(zip(NUMBERS, re.findall(r"<td>([\d.]+)</td>", foot), strict=True))
    assert float(means["ncc_after"]) == 0.5
    assert float(means["ncc_before"]) == 0.25
