"""The documentation says what the code does: the reference is the code's, links lead somewhere, options exist."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from jobs import cli
from pipeline.engine import RunnerSettings, unknown_options
from scripts.reference import COMMANDS, TARGET, reference

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)

of_every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def test_the_reference_is_what_the_code_says() -> None:
    # Not `==` inside assert: the difference of two long pages would take minutes to print.
    is_current = TARGET.exists() and TARGET.read_text(encoding="utf-8") == reference()
    assert is_current, "docs/reference.md is out of date: run `.venv/bin/python scripts/reference.py`"


# --- links -------------------------------------------------------------------------------------------------------------


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ +(.+?) *$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    """The relative links of a page that lead to no file, or to no heading of a page."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    return broken


@of_every_page
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# A `b.c` d\n\n```sh\n# Not a heading\n```\n")
    page = tmp_path / "page.md"
    links = "other.md", "none.md", "other.md#a-bc-d", "other.md#not-a-heading", "https://example.org/none.md"
    page.write_text("\n".join(f"[see]({link})" for link in links))
    assert broken_links(page) == ["none.md", "other.md#not-a-heading"]


# --- options -----------------------------------------------------------------------------------------------------------


def option_names(command: click.Command) -> set[str]:
    return {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}


def mentions(text: str) -> Iterator[tuple[str, str]]:
    """Command (empty where none is named) and option, for every option in code; other programs' are left out."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    for code in [*lines, *re.findall(r"`([^`\n]+)`", FENCED.sub("", text))]:
        named = re.search(r"(?:^|[\s/])((?:decontam|corpusmill)(?: [a-z][a-z-]*)*)(?=\s|$)", code)
        if named or code.lstrip().startswith("--"):
            for option in re.findall(r"(?<![\w-])--[A-Za-z][\w-]*", code.partition("  #")[0]):
                yield (_command(named[1]) if named else ""), option


def _command(words: str) -> str:
    """The command that begins with these words, the longest there is; the first word where there is none."""
    names = words.split()
    tried = (" ".join(names[:count]) for count in range(len(names), 0, -1))
    return next((name for name in tried if name in COMMANDS), names[0])


def unknown(text: str) -> list[str]:
    """The options in a page that neither the command takes nor, where it passes options on, Beam."""
    found = []
    for name, option in mentions(text):
        commands = (
            [COMMANDS[name]] if name in COMMANDS else list(COMMANDS.values()) if not name else [cli.main]
        )
        takes = any(option in option_names(command) for command in commands)
        passes = any(command.context_settings.get("ignore_unknown_options") for command in commands)
        if not takes and not (passes and not unknown_options(RunnerSettings(options=(option,)))):
            found.append(f"{name} {option}".strip())
    return found


@of_every_page
def test_options_exist(page: Path) -> None:
    assert unknown(page.read_text(encoding="utf-8")) == []


def test_an_unknown_option_is_found() -> None:
    text = """
`--inputs`, `--input`, `--project` (Beam's), `--output DIR` and `corpusmill demo --runner local`

```sh
.venv/bin/corpusmill web --explain \\
    --inptu x     # --none
uv pip install --whatever
decontam --skip a --keep-measures
```
"""
    expected = {"--inputs", "corpusmill demo --runner", "corpusmill web --inptu", "decontam --keep-measures"}
    assert set(unknown(text)) == expected


# --- dependencies ------------------------------------------------------------------------------------------------------


def test_readme_names_every_dependency_and_no_other() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {re.split(r"[^A-Za-z0-9_.-]", each)[0].lower() for each in project["dependencies"]}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("\n## Dependencies")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| *([^|]+?) *\|", section, re.MULTILINE)[2:]
    assert {name for cell in cells for name in re.split(r",\s*", cell)} == needed
