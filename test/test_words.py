"""One word for one thing: what the vocabulary of the architecture page replaces is not used."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DESIGN = ROOT / "docs" / "design" / "architecture.md"
SOURCES = ("itk_nephi", "include", "src", "wrapping", "docs", "README.md", "CONTRIBUTING.md")
SUFFIXES = {".py", ".pyi", ".h", ".hxx", ".cxx", ".i", ".md", ".html", ".js", ".css"}

# by the first column of the vocabulary; a space is any white space, also that around a line's end
REPLACED = {
    "GradICON (Tian, Greer et al., CVPR 2023)": r"gradient( |_)inverse( |_)consistency",
    "inverse consistency error, mm": r"there and back|come back to another|comes? back the closest",
    "instance optimization": r"train(ed|ing) (it )?on your|instead of finding"
    r"|how (it was|they were) found|finds? the (transform|deformation)",
    "latent code; global, local": r"what distinguishes",
    "importance sampling": r"(by|with|the|no|their)( |_)content|focus(ed|ing)?",
    "weight, weighted": r"how much ([^.]{0,60} )?counts?|counts? (less|more|as much|the same|about)"
    r"|counts? linearly",
    "gradient, cotangent, vector-Jacobian product": r"multiples|numbers? (is |are )?given for"
    r"|(m_)?by_?(weights?|gate|moved|jacobian|coords|parameters)",
    "dissimilarity, similarity metric": r"how (the )?images are compared|(is|are) compared, and how"
    r"|what (of [^.]{0,20} )?is compared|what the dissimilarity compares",
    "displacement, mm; coords, isotropic, dimensionless; index, voxels": r"places?|lands?|landing",
    "folding fraction; SD of log Jacobian": r"(a|no|of|further|more|without) folds?"
    r"|volume changes?|changes? (of )?volume",
    "atomic write, staged; resumes, bit-identical": r"whole or not|to the same bits"
    r"|goes on (where|from)",
    "non-zero; computes, reports, logs": r"not zero|tells?|told|says?|said|finds",
}

LEGITIMATE = (
    r"in[ _-]place",
    r"file\.tell\(\)",
    r"via\s+Gradient Inverse Consistency",  # the title of the paper
    r":focus-visible|\.focus\(\)",  # of a browser
)


def texts() -> Iterator[tuple[Path, str]]:
    for source in SOURCES:
        path = ROOT / source
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix in SUFFIXES:
                text = file.read_text(encoding="utf-8")
                if file == DESIGN:
                    text = re.sub(r"(?s)\n## Vocabulary\n.*?(?=\n## )", blank, text)
                for phrase in LEGITIMATE:
                    text = re.sub(phrase, blank, text)
                yield file, text


def blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", "-", match[0])


@pytest.mark.parametrize("term", REPLACED)
def test_what_a_term_replaces_is_not_used(term: str) -> None:
    phrases = REPLACED[term].replace(" ", r"[\s*/#\"']+")
    pattern = re.compile(rf"(?<![a-z0-9])({phrases})(?![a-z0-9])", re.IGNORECASE)
    found = [
        f"{file.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}"
        for file, text in texts()
        for match in pattern.finditer(text)
    ]
    assert not found, "\n" + "\n".join(found)


def test_the_terms_are_those_of_the_vocabulary() -> None:
    vocabulary = DESIGN.read_text(encoding="utf-8").split("\n## Vocabulary\n")[1].split("\n## ")[0]
    rows = [line.split(" | ") for line in vocabulary.splitlines() if line.startswith("| ")]
    assert [row[0].removeprefix("| ") for row in rows[2:]] == list(REPLACED)
    for row in rows[2:]:
        phrase = row[2].removesuffix(" |").split(", ")[0].split("; ")[0].strip("`")
        assert re.search(rf"(?i){REPLACED[row[0].removeprefix('| ')]}", phrase), phrase


def test_gradicon_is_cited() -> None:
    source = (ROOT / "itk_nephi" / "losses" / "regularizers.py").read_text(encoding="utf-8")
    assert "Tian, Greer et al., GradICON, CVPR 2023" in source
