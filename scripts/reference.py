"""Writes docs/reference.md from the code: every setting, rule, column, manifest key and option.

Meanings are the code's own, the first there is of: a pydantic `description` or a column's `about`; a string below the field; a
comment beside it or directly above; the clause of the class docstring that names it; its type's docstring. The tables and
the manifest are those of a run over five documents, so the columns and keys are the ones really written.
"""

from __future__ import annotations

import ast
import inspect
import json
import pathlib
import re
import sys
import tempfile
import types
import typing
from collections.abc import Iterable, Iterator
from typing import Any

import click
import pyarrow.parquet as pq
import yaml
from pydantic import BaseModel

from jobs import cli, decontam, web
from pipeline import decide, engine, harvest, publish, reporting, run
from pipeline.config import JobConfig, validate
from pipeline.dedup import survivors
from pipeline.rules import Bound

TARGET = pathlib.Path(__file__).resolve().parent.parent / "docs" / "reference.md"
KEYED_BY = {"books": "source", "rules": "rule", "records": "kind", "languages": "language"}
KEYED_BY |= {"versions": "package", "rejected": "rule", "failed": "reason"}
"""Objects of the manifest whose keys are data, and what the keys are."""
TABLES = (
    ("rejected/*.parquet", publish, "REJECTED_SCHEMA"),
    ("failed/*.parquet", publish, "FAILED_SCHEMA"),
    ("decisions/duplicates.parquet", survivors, "TABLE"),
    ("decisions/contaminated.parquet", decide, "CONTAMINATED"),
    ("decisions/ngram_usage.parquet", reporting, "_write_usage"),
)
"""Files of a run, with the module and name of their schema, or of the function that makes it."""


def first_sentence(text: str | None) -> str:
    """The first sentence of a docstring, as one line."""
    return re.split(r"(?<=\.) ", " ".join((text or "").split()))[0]


def table(header: str, rows: Iterable[Iterable[str]]) -> list[str]:
    """A Markdown table."""
    cells = [header.split(", "), ["---"] * (header.count(",") + 1), *rows]
    return [*("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells), ""]


def notes(module: types.ModuleType, name: str) -> tuple[str, dict[str, str]]:
    """The docstring of what has a name in a module, and what is said at the fields, columns or keys inside it."""
    source = inspect.getsource(module)
    lines, said = source.splitlines(), {"": ""}

    def comment(first: int, last: int) -> str:
        above: list[str] = []
        while lines[(first := first - 1) - 1].lstrip().startswith("# "):
            above.insert(0, lines[first - 1].lstrip(" #"))
        return lines[last - 1].partition("  # ")[2] or " ".join(above)

    def below(body: list[ast.stmt], position: int) -> str:
        match body[position + 1 : position + 2]:
            case [ast.Expr(ast.Constant(str(text)))]:
                return " ".join(text.split())
        return ""

    def inside(node: ast.AST) -> None:
        for position, each in enumerate(body := getattr(node, "body", [])):
            if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
                told = below(body, position) or comment(each.lineno, each.end_lineno or 0)
                said[each.target.id] = told
        for each in ast.walk(node):
            if isinstance(each, ast.Constant) and isinstance(each.value, str) and len(each.value) < 40:
                said[each.value] = said.get(each.value) or comment(each.lineno, each.end_lineno or 0)

    for holder in ast.walk(ast.parse(source)):
        body = getattr(holder, "body", []) if isinstance(holder, ast.Module | ast.ClassDef) else []
        for position, node in enumerate(body):
            if name in (getattr(node, "name", ""), *(t.id for t in getattr(node, "targets", []) if hasattr(t, "id"))):
                inside(node)
                return " ".join((ast.get_docstring(node) or "").split()) if hasattr(node, "name") else below(body, position), said
    raise LookupError(f"{module.__name__} has no {name}")
