"""The page on the architecture describes the code as it is."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "design" / "architecture.md").read_text()
TREE = runpy.run_path(str(ROOT / "scripts" / "tree.py"))


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_its_tree_is_that_of_the_package() -> None:
    assert TREE["MARKS"].findall(PAGE) == [TREE["tree"]()], "run: python scripts/tree.py"


def test_its_layers_are_those_of_the_import_contract() -> None:
    rows = [line for line in section("Layers").splitlines() if re.match(r"\| \d", line)]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[2])]
    assert named == TREE["packages"]()


def test_its_paths_exist() -> None:
    named = re.findall(r"`((?:\w+/)+\w*(?:\.\w+)*)", PAGE)
    assert len(named) > 40
    for name in named:
        path = re.sub(r"\.(?!py$)\w+$", "", name)
        paths = [path, f"itk_nephi/{path}", f"itk_nephi/{path}.py"]
        assert any((ROOT / each).exists() for each in paths), name
