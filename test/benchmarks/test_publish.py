"""Studies are listed, run, and published into the pages that name them."""

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.__main__ import STUDIES, main
from benchmarks.cache import ROOT
from benchmarks.publish import PAGES, list_studies, page_of, replace_between
from benchmarks.study import FIGURES


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What publishing writes, copied."""
    copy = tmp_path / "checkout"
    for file in ("README.md", "benchmarks/README.md"):
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, copy / file)
    shutil.copytree(ROOT / PAGES, copy / PAGES)
    return copy


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_has_its_place_in_the_docs(name: str) -> None:
    study = STUDIES[name]
    page = page_of(study)
    if page is None:
        return
    text = (ROOT / page).read_text()
    assert text.count(f"<!-- {name} -->") == text.count(f"<!-- end of {name} -->") == 1
    if study.short is not None:
        assert f"<!-- {name} -->" in (ROOT / "README.md").read_text()
    for line in text.splitlines():
        if line.startswith("!["):
            assert (ROOT / PAGES / line.partition("](")[2].rstrip(")")).exists()


def test_the_list_of_studies_is_that_of_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    listed = capsys.readouterr().out
    assert listed == list_studies(STUDIES.values()) + "\n"
    assert listed in (ROOT / "benchmarks" / "README.md").read_text()


def test_a_quick_study_is_run_and_published(
    tmp_path: Path, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "single-resolution"
    assert main(["run", name, "-o", str(tmp_path), "--quick"]) == 0
    printed = capsys.readouterr().out
    figures = STUDIES[name].read(tmp_path / "quick")
    table = STUDIES[name].table(figures)
    assert f"{STUDIES[name].question}\n\n{table}\n" in printed
    assert "| NePhi |" in table
    untouched = {p: p.read_bytes() for p in checkout.rglob("*") if p.is_file()}

    publish = ["publish", "--root", str(checkout), "-o"]
    main([*publish, str(tmp_path)])  # where only a quick run lies
    assert untouched == {path: path.read_bytes() for path in untouched}
    main([*publish, str(tmp_path / "quick")])
    page = checkout / PAGES / "claims.md"
    assert f"<!-- {name} -->\n{table}\n<!-- end of {name} -->" in page.read_text()
    assert [p for p in untouched if p.read_bytes() != untouched[p]] == [page]


def test_readme_and_pictures_are_written(tmp_path: Path, checkout: Path) -> None:
    trial = {
        "method": "nephi",
        "pair": "lung",
        "seed": 0,
        "seconds": 16.8,
        "folding_fraction": 0.0,
        "landmark_error_mm": {"mean": 1.38, "median": 1.0, "p95": 2.69},
    }
    (tmp_path / "lung").mkdir()
    failed = {"method": "ants", "pair": "lung", "seed": 0, "error": "no memory"}
    (tmp_path / "lung" / FIGURES).write_text(json.dumps({"trials": [trial, failed]}))
    picture = checkout / PAGES / "lung.png"
    picture.unlink()
    main(["publish", "--root", str(checkout), "-o", str(tmp_path)])
    readme = (checkout / "README.md").read_text()
    assert "| nephi | 1.38 | 2.69 | 0 | 16.8 |\n| ants | no memory | - | - | - |" in readme
    assert picture.exists()


def test_a_page_without_marks_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("before <!-- one -->old<!-- end of one --> after")
    replace_between(path, "one", "new")
    assert path.read_text() == "before <!-- one -->\nnew\n<!-- end of one --> after"
    with pytest.raises(ValueError, match="with <!-- two --> and <!-- end of two -->, found none"):
        replace_between(path, "two", "new")
