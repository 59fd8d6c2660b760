"""Write the tree of packages and modules into the page on the architecture.

`python scripts/tree.py` after a module is added, moved or described anew; a test compares.
"""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "design" / "architecture.md"
MARKS = re.compile(r"(?<=<!-- tree -->\n).*?(?=<!-- end of tree -->)", re.DOTALL)


def packages() -> list[str]:
    """Return the packages from the top to the ground, as the import contract orders them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [package.strip() for layer in layers for package in layer.split("|")]


def first_line(path: Path) -> str:
    """Return the first line of a module's docstring, without markup."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return re.sub(r"`+(.*?)`+", r"\1", text.split("\n")[0])


def tree() -> str:
    """Return the tree as a block of Markdown."""
    lines = []
    for package in packages():
        folder = ROOT / "itk_nephi" / package
        lines += ["", f"{package}: {first_line(folder / '__init__.py')}"]
        for path in sorted(folder.glob("*.py")):
            if path.name != "__init__.py":
                lines.append(f"  {path.name:<26}{first_line(path)}")
    return "\n".join(["```text", *lines[1:], "```", ""])


if __name__ == "__main__":
    PAGE.write_text(MARKS.sub(lambda _: tree(), PAGE.read_text()))
