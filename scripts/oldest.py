"""Print the dependencies at their lower bounds, one a line, for `pip install`."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("register",)


def oldest() -> list[str]:
    """Return what the package and its extra for registering need, pinned to what they allow."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"]]
    for extra in EXTRAS:
        lines += project["optional-dependencies"][extra]
    pinned = []
    for line in lines:
        requirement = Requirement(line)
        (bound,) = (each.version for each in requirement.specifier if each.operator == ">=")
        pinned.append(f"{requirement.name}>={bound},<={bound}.post9")  # itk has post releases only
    return pinned


if __name__ == "__main__":
    print("\n".join(oldest()))
