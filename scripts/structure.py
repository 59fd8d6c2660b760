"""Print what the code of some trees is made of, side by side: structure.py BEFORE AFTER."""

from __future__ import annotations

import ast
import sys
from itertools import zip_longest
from pathlib import Path

FUNCTION_LINES = 60
"""Lines of a function's body, without its docstring, above which it is long."""

MODULE_LINES = 400


def nodes(folder: Path, kind: type[ast.AST]) -> list[tuple[str, ast.AST]]:
    """Return the nodes of a kind in all modules below a folder, with their modules' paths."""
    return [
        (str(path.relative_to(folder)), node)
        for path in sorted(folder.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, kind)
    ]


def long_modules(package: Path) -> dict[str, int]:
    """Return the modules of more than ``MODULE_LINES`` lines, and how many they have."""
    lines = {
        str(path.relative_to(package)): path.read_text(encoding="utf-8").count("\n")
        for path in package.rglob("*.py")
    }
    return {module: count for module, count in lines.items() if count > MODULE_LINES}


def long_functions(package: Path) -> dict[str, int]:
    """Return the functions of more than ``FUNCTION_LINES`` lines, and how many they have."""
    found = {}
    for module, node in nodes(package, ast.FunctionDef):
        body = node.body[1:] if ast.get_docstring(node) else node.body
        found[f"{module}: {node.name}"] = body[-1].end_lineno - body[0].lineno + 1 if body else 0
    return {name: count for name, count in found.items() if count > FUNCTION_LINES}


def pair_classes(package: Path) -> dict[str, int]:
    """Return the classes that have ``fixed`` and ``moving``, and how many fields they add."""
    found: dict[str, int] = {}
    for module, node in nodes(package, ast.ClassDef):
        fields = [s.target.id for s in node.body if isinstance(s, ast.AnnAssign)]
        inherited = any(f"{module}: {ast.unparse(base)}" in found for base in node.bases)
        if inherited or {"fixed", "moving"} <= set(fields):
            found[f"{module}: {node.name}"] = len(fields)
    return found


def tests(folder: Path) -> dict[str, int]:
    """Return the files of tests, and how many test functions they have."""
    named = [module for module, n in nodes(folder, ast.FunctionDef) if n.name.startswith("test_")]
    return {module: named.count(module) for module in named}


TABLES = {
    f"functions of more than {FUNCTION_LINES} lines": (long_functions, "itk_nephi"),
    f"modules of more than {MODULE_LINES} lines": (long_modules, "itk_nephi"),
    "classes that hold a pair of images, and their fields": (pair_classes, "itk_nephi"),
    "tests": (tests, "test"),
}

if __name__ == "__main__":
    for title, (measure, folder) in TABLES.items():
        columns = []
        for tree in sys.argv[1:] or ["."]:
            rows = sorted(measure(Path(tree) / folder).items(), key=lambda row: -row[1])
            columns.append([f"{len(rows)}, together {sum(count for _, count in rows)}"])
            columns[-1] += [f"{count:5d}  {name}" for name, count in rows]
        print(f"\n{title}")
        for line in zip_longest(*columns, fillvalue=""):
            print("".join(cell.ljust(72) for cell in line).rstrip())
