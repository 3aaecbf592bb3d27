"""Writes docs/reference.md from the code: every command, setting, column and manifest key.

Meanings are the code's own, the first there is of: a pydantic `description` or a column's `about`; a string below the
field; a comment beside it or directly above; the clause of the class docstring that names it; its type's docstring.
Tables and manifest are those of a run over five documents, so their columns and keys are the ones really written.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import pathlib
import re
import tempfile
import typing
from collections.abc import Iterable, Iterator
from typing import Any

import click
import yaml
from pyarrow.dataset import dataset
from pydantic import BaseModel

from jobs import cli, decontam
from pipeline import decide, engine, harvest, publish, reporting, run
from pipeline.config import JobConfig, validate
from pipeline.dedup import survivors

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "reference.md"
TABLES = {"documents": (publish, "published_columns"), "rejected": (publish, "REJECTED_SCHEMA")}
TABLES |= {"failed": (publish, "FAILED_SCHEMA"), "decisions/duplicates": (survivors, "TABLE")}
TABLES |= {
    "decisions/contaminated": (decide, "CONTAMINATED"),
    "decisions/ngram_usage": (reporting, "_write_usage"),
}
"""Parquet files and folders of a run, with the module and name of their schema, or of the function that makes it."""
KEYED = {"books": "source", "rules": "rule", "records": "kind", "languages": "language"}
KEYED |= {"versions": "package", "rejected": "rule", "failed": "reason"}
"""Objects of the manifest whose keys are data, and what the keys are."""
MAKERS = {"books.<source>": "_account", "funnel[]": "funnel", "identity": "identity"}
MAKERS |= {"identity.inputs[]": "_inputs", "decontamination": "_contamination"}
"""Objects of the manifest that another function than `manifest` makes, all in pipeline/run.py."""
MODELS: dict[str, type[BaseModel]] = {"outputs[]": publish.Written, "cost.phases[]": engine.PhaseCost}


def one_line(text: object) -> str:
    """A text without line breaks."""
    return " ".join(str(text or "").split())


def section(title: str, text: str, header: str, rows: Iterable[Iterable[str]]) -> str:
    """A heading, a paragraph and a table."""
    cells = [header.split(), ["---"] * len(header.split()), *rows]
    lines = ["| " + " | ".join(c.replace("|", "\\|") or "—" for c in row) + " |\n" for row in cells]
    return f"{title}\n\n{text + chr(10) * 2 if text else ''}" + "".join(lines)


def statements(body: list[ast.stmt]) -> Iterator[tuple[str, ast.stmt, str]]:
    """The statements of a block: the name that each makes, the statement, and the string below it."""
    for node, after in itertools.pairwise([*body, ast.Pass()]):
        target = getattr(node, "target", None) or next(iter(getattr(node, "targets", [])), node)
        text = getattr(getattr(after, "value", None), "value", "") if isinstance(after, ast.Expr) else ""
        yield getattr(target, "id", getattr(node, "name", "")), node, one_line(text)


def notes(module: Any, name: str) -> tuple[str, dict[str, str]]:
    """The docstring of a name in a module, and what is said at the fields, columns or keys inside it."""
    source = inspect.getsource(module)
    lines = ["", *source.splitlines()]

    def comment(node: ast.stmt | ast.expr) -> str:
        beside = lines[node.end_lineno or 0].partition("  # ")[2]
        above = itertools.takewhile(lambda line: line.strip().startswith("# "), lines[node.lineno - 1 :: -1])
        return beside or " ".join(line.strip("# ") for line in [*above][::-1])

    blocks = [n.body for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Module | ast.ClassDef)]
    node, doc = next((n, below) for body in blocks for made, n, below in statements(body) if made == name)
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        doc = one_line(ast.get_docstring(node))
    if isinstance(node, ast.ClassDef):
        return doc, {field: below or comment(each) for field, each, below in statements(node.body)}
    strings = [n for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return doc, {str(each.value): comment(each) for each in reversed(strings)}


def models_in(kind: Any) -> list[type[BaseModel]]:
    """The models that a type is made of."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    return [model for inner in typing.get_args(kind) for model in models_in(inner)]


def type_text(kind: Any) -> str:
    """A type as a person writes it."""
    inner, origin = [each for each in typing.get_args(kind) if each is not ...], typing.get_origin(kind)
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (tuple, dict):
        return f"{'list of' if origin is tuple else 'map to'} {type_text(inner[-1])}"
    if inner:
        return " or ".join(type_text(each) for each in inner if not hasattr(each, "metadata"))
    return f"[{kind.__name__}](#{kind.__name__.lower()})" if models_in(kind) else str(kind.__name__)


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """The meaning of each field of a model; empty where the code gives none."""
    doc, said = notes(inspect.getmodule(model), model.__name__)
    found = {}
    for name, field in model.model_fields.items():
        mention = re.compile(rf"`{field.alias or name}\b").search
        ways = [field.description, said.get(name), *filter(mention, re.split(r"(?<=[.;]) ", doc))]
        types = [one_line(inner.__doc__).partition(". ")[0] for inner in models_in(field.annotation)]
        found[name] = next((way for way in [*ways, *types] if way), "").rstrip(";.")
    return found


def settings() -> Iterator[str]:
    """A section for the configuration and for each model in it."""
    queue: list[type[BaseModel]] = [JobConfig]
    for model in queue:  # which grows meanwhile
        rows, meaning = [], meanings(model)
        for name, field in model.model_fields.items():
            queue += [inner for inner in models_in(field.annotation) if inner not in queue]
            bounds = ", ".join(re.sub(r"^\w+\((.*)\)$", r"\1", str(each)) for each in field.metadata)
            kind = type_text(field.annotation).replace("NoneType", "null") + (
                f" ({bounds})" if bounds else ""
            )
            default = field.get_default(call_default_factory=True)
            value = (
                "its defaults" if isinstance(default, BaseModel) else f"`{json.dumps(default, default=str)}`"
            )
            rows.append(
                (
                    f"`{field.alias or name}`",
                    kind,
                    "required" if field.is_required() else value,
                    meaning[name],
                )
            )
        text = f"{one_line(model.__doc__)} (`{pathlib.Path(inspect.getfile(model)).relative_to(ROOT)}`)"
        yield section(f"### {model.__name__}", text, "setting type default meaning", rows)


def tiny_run(folder: pathlib.Path) -> dict[str, Any]:
    """The manifest of a run over a document, its copy, a short one, a contaminated one and a broken one."""
    prompt = "which of these seven rivers flows north through the largest desert of the world"
    text = "The harbour was quiet that morning, and nobody knew why the boats had stayed."
    benchmark = {"key": "toy", "file": "toy.jsonl", "prompt": ["question"]}
    (folder / "toy.jsonl").write_text(json.dumps({"question": prompt}))
    (folder / "toy.yaml").write_text(yaml.safe_dump({"benchmarks": [benchmark]}))
    texts = enumerate((text, text, "Short.", f"{text} {prompt}"))
    rows = [json.dumps({"id": str(number), "text": each}) for number, each in texts]
    (folder / "in.jsonl").write_text("\n".join([*rows, "{"]))
    content = {
        "sources": {"toy": {"input": [str(folder / "in.jsonl")]}},
        "rules": {"gopher.word_count": {"min": 5}},
        "decontamination": {"benchmarks": str(folder / "toy.yaml")},
    }
    plan = run.plan_run("toy", validate(JobConfig, content, "reference"), str(folder / "out"))
    return run.execute(plan, engine.RunnerSettings(workers=0), quiet=True).manifest


def columns(output: pathlib.Path) -> Iterator[str]:
    """A section for each table of a run."""
    described = [*publish.published_columns(JobConfig().stages()), *harvest.LEDGER]
    about = {column.name: column.about for column in described}
    for place, (module, name) in TABLES.items():
        doc, said = notes(module, name)
        path = next(output.glob(f"{place}.parquet"), output / place)
        rows = [
            (f"`{f.name}`", str(f.type), said.get(f.name) or about.get(f.name, ""))
            for f in dataset(path).schema
        ]
        yield section(f"### {path.relative_to(output)}", doc, "column type meaning", rows)


def keys(value: Any, path: str = "", name: str = "") -> Iterator[tuple[str, str]]:
    """The path and type of everything in a JSON value."""
    kind = {dict: "object", list: "list", type(None): "null"}.get(type(value), type(value).__name__)
    if path and not path.endswith("[]") and not (value and path.endswith(">") and kind == "object"):
        yield path, kind
    if kind == "object" and name != "configuration":
        for key, inner in value.items():
            shown = f"<{KEYED[name]}>" if name in KEYED else key
            yield from keys(inner, f"{path}.{shown}".lstrip("."), shown)
    for item in value if kind == "list" else ():
        yield from keys(item, f"{path}[]")


def key_meaning(path: str) -> str:
    """What the code says at a key of the manifest, or of the function that has the key's name."""
    parent, _, last = path.rpartition(".")
    if parent in MODELS:
        return meanings(MODELS[parent])[last]
    maker = getattr(run, last, None) or getattr(run.Plan, last, None)
    return notes(run, MAKERS.get(parent, "manifest"))[1].get(last) or (
        one_line(maker.__doc__) if maker else ""
    )


def manifest(content: dict[str, Any]) -> str:
    """The section of the manifest's keys."""
    kinds: dict[str, set[str]] = {}
    for path, kind in keys(content):
        kinds.setdefault(path, set()).add(kind)
    rows = [(f"`{path}`", " or ".join(sorted(found)), key_meaning(path)) for path, found in kinds.items()]
    return section("## manifest.json", "", "key type meaning", rows)


def commands() -> Iterator[str]:
    """A section for each command: its own help."""
    known = {f"corpusmill {name}": command for name, command in cli.main.commands.items()}
    for name, command in {**known, "decontam": decontam.main}.items():
        context = click.Context(command, info_name=name, terminal_width=110)
        yield f"### {name}\n\n```text\n{command.get_help(context)}\n```\n"


def reference() -> str:
    """The whole page."""
    with tempfile.TemporaryDirectory() as folder:
        content = tiny_run(pathlib.Path(folder))
        tables = [*columns(pathlib.Path(folder) / "out")]
    made = "Made from the code by `.venv/bin/python scripts/reference.py`: change the code, not this file.\n"
    parts = ["# Reference\n", made, "## Commands\n", *commands(), "## Settings\n", *settings()]
    return "\n".join([*parts, "## Columns\n", *tables, manifest(content)])


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
