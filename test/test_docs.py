"""What readers are shown is there: pages of the reference, links, and the notebooks' code."""

from __future__ import annotations

import importlib
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import itk
import pytest
import typer.main
from support.command_line import parameters

from itk_nephi.cli.app import app
from itk_nephi.fields.settings import flat_settings
from itk_nephi.phantoms import lung
from itk_nephi.registration.settings import RegistrationSettings

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
REFERENCE = runpy.run_path(str(DOCS / "reference_pages.py"))
COMMANDS = [
    command.callback.__name__.replace("_", "-")
    for command in app.registered_commands
    if command.callback
]


def pages() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]


def links(page: Path) -> set[str]:
    """Return the files that a page refers to."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)", text)
    return {target for target in targets if "://" not in target}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    generated = {DOCS / "reference" / name for name in REFERENCE["PAGES"]}
    missing = {link for link in links(page) if not (page.parent / link).exists()}
    assert {link for link in missing if (page.parent / link).resolve() not in generated} == set()


def shown_commands() -> dict[str, list[str]]:
    """Return the words of the commands that pages show as blocks, by page and line."""
    shown = {}
    for page in pages():
        blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
        for line in "".join(blocks).replace("\\\n", "").splitlines():
            if line.startswith("itk-nephi "):
                name = f"{page.relative_to(ROOT)}: {line}"
                shown[name] = shlex.split(line, comments=True)[1:]
    return shown


SHOWN = shown_commands()


@pytest.mark.parametrize("name", SHOWN)
def test_commands_have_the_options_that_pages_show(name: str) -> None:
    group: Any = typer.main.get_command(app)
    command, *words = SHOWN[name]
    shown = group.commands[command]
    parser = shown.make_parser(shown.context_class(shown))
    options, _, _ = parser.parse_args(list(words))
    assert words.count(options.get("output")) <= 1  # no input, which would be refused


def test_every_page_is_reached_from_the_first() -> None:
    reached, ahead = set[Path](), {DOCS / "index.md"}
    while ahead:
        page = ahead.pop()
        reached.add(page)
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"```\{toctree\}\n(.*?)```", text, re.DOTALL):
            names = [line for line in block.splitlines() if not line.startswith(":")]
            found = {page.parent / f"{name}.md" for name in names}
            ahead |= {each for each in found if each.exists()} - reached
    generated = {DOCS / "reference" / name for name in REFERENCE["PAGES"]}
    assert reached - generated == set(DOCS.rglob("*.md")) - generated


def test_the_readme_is_short() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") <= 130
    assert text.count("![") == 1


@pytest.mark.slow
def test_the_examples_of_the_readme_run(tmp_path: Path) -> None:
    images = lung(3, size=(24, 20, 18), seed=2).pair.images
    names = {"fixed": "fixed", "moving": "moving", "moving_labels": "labels"}
    for image, name in names.items():
        itk.imwrite(images[image], tmp_path / f"{name}.nii.gz")
    use = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Use\n")[2]
    environment = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    for language, command in (("sh", ["bash", "-ec"]), ("python", [sys.executable, "-c"])):
        example = use.partition(f"```{language}\n")[2].partition("```")[0]
        subprocess.run([*command, example], cwd=tmp_path, env=environment, check=True)
    written = {path.name for path in tmp_path.iterdir()} - {
        f"{name}.nii.gz" for name in names.values()
    }
    assert written == {"result", "labels_on_fixed.nii.gz", "fixed_to_moving.h5"}


def test_the_table_of_versions_is_that_of_the_project() -> None:
    oldest = runpy.run_path(str(ROOT / "scripts" / "oldest.py"))["oldest"]()
    bounds = {re.split("[>=,]+", line)[0]: re.split("[>=,]+", line)[1] for line in oldest}
    pinned = dict(re.findall(r"^(\S+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M))
    text = (DOCS / "getting-started.md").read_text(encoding="utf-8").partition("### Versions")[2]
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| (\S+) \|$", text, re.MULTILINE)
    assert len(rows) == 8
    assert rows == [(name, bounds[name], pinned[name]) for name, _, _ in rows]


def test_the_page_of_settings_has_all_of_them() -> None:
    text = REFERENCE["settings_page"]()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    for name, entry in flat_settings(RegistrationSettings).items():
        assert any(row.startswith(f"| `{name}` |") and entry.help in row for row in rows), name


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_of_commands_has_all_options(command: str) -> None:
    text = REFERENCE["command_page"]()
    section = text.partition(f"\n## {command}\n")[2].partition("\n## ")[0]
    for parameter in parameters(command).values():
        named = parameter.opts if parameter.param_type_name == "option" else [parameter.metavar]
        assert all(f"`{name}`" in section for name in named)


def test_the_page_of_python_has_all_public_names() -> None:
    sections = re.split(r"^## ", REFERENCE["python_page"](), flags=re.MULTILINE)[1:]
    assert len(sections) == 13
    for section in sections:
        package = section.split("\n")[0]
        names = re.findall(r"^   (\w+)$|`(\w+)`", section.partition("autosummary")[2], re.MULTILINE)
        assert {a or b for a, b in names} == set(importlib.import_module(package).__all__)
