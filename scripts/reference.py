"""Writes docs/reference.md from the code: every command, setting, column and manifest key.

Meanings are the code's own, the first there is of: a pydantic `description` or a column's `about`; a string below the
field; a comment beside it or directly above; the clause of the class docstring that names it; its type's docstring.
Tables and manifest are those of a run of the demo, so their columns and keys are the ones really written.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import pathlib
import re
import tempfile
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

import click
from pyarrow.dataset import dataset
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from decontam import exposure, usage
from jobs import cli, decontam, demo
from pipeline import contamination, engine, harvest, publish, run
from pipeline.config import JobConfig
from pipeline.dedup import survivors
from pipeline.mixture.long_context import LongContextSettings
from pipeline.mixture.settings import MixtureSettings
from pipeline.tokenizing import TrainConfig

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "reference.md"
HEAD = "Made from the code by `.venv/bin/python scripts/reference.py`: change the code, not this page.\n"
TABLES = {"documents": (publish, "published_columns"), "rejected": (publish, "REJECTED_SCHEMA")}
TABLES |= {"failed": (publish, "FAILED_SCHEMA"), "decisions/duplicates": (survivors, "TABLE")}
TABLES |= {"decisions/contaminated": (contamination, "MATCHES")}
TABLES |= {"decisions/ngram_usage": (usage, "SCHEMA"), "decisions/benchmarks": (exposure, "Exposure")}
"""Parquet files and folders of a run, with the module and name of their schema, or of the function that makes it."""
KEYED = {"books": "source", "rules": "rule", "records": "kind", "languages": "language"}
KEYED |= {"versions": "package", "rejected": "rule", "failed": "reason"}
KEYED |= {"effect": "reading", "<reading>": "threshold"}
"""Objects of the manifest whose keys are data, and what the keys are."""
MAKERS = {"books.<source>": "_account", "funnel[]": "funnel", "identity": "identity"}
MAKERS |= {"identity.inputs[]": "_inputs", "decontamination": "account"}
"""Objects of the manifest that another function than `manifest` makes, in pipeline/run.py or pipeline/contamination.py."""
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
        beside = re.sub(r"^.*?(  # (?!noqa|type:)|$)", "", lines[node.end_lineno or 0])
        above = itertools.takewhile(lambda line: line.strip().startswith("# "), lines[node.lineno - 1 :: -1])
        return beside or " ".join(line.strip("# ") for line in [*above][::-1])

    blocks = [n.body for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Module | ast.ClassDef)]
    node, doc = next((n, below) for body in blocks for made, n, below in statements(body) if made == name)
    doc = one_line(ast.get_docstring(node)) if isinstance(node, ast.ClassDef | ast.FunctionDef) else doc
    if isinstance(node, ast.ClassDef):
        return doc, {field: below or comment(each) for field, each, below in statements(node.body)}
    strings = [n for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return doc, {str(each.value): comment(each) for each in reversed(strings)}


def models_in(kind: Any) -> list[type[BaseModel]]:
    """The models that a type is made of."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    return [model for inner in get_args(kind) for model in models_in(inner)]


def type_text(kind: Any) -> str:
    """A type as a person writes it."""
    inner, origin = [each for each in get_args(kind) if each is not ...], get_origin(kind)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (tuple, list, dict):
        return f"{'map to' if origin is dict else 'list of'} {type_text(inner[-1])}"
    if inner:
        return " or ".join(type_text(each) for each in (inner[:1] if origin is Annotated else inner))
    name = kind.__name__.replace("NoneType", "null")
    return f"[{name}](#{name.lower()})" if models_in(kind) else str(name)


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """The meaning of each field of a model; empty where the code gives none."""
    (doc, said), found = notes(inspect.getmodule(model), model.__name__), {}
    for name, field in model.model_fields.items():
        mention = re.compile(rf"`{field.alias or name}\b").search
        ways = [field.description, said.get(name), *filter(mention, re.split(r"(?<=[.;]) ", doc))]
        types = [one_line(inner.__doc__).partition(". ")[0] for inner in models_in(field.annotation)]
        found[name] = next((way for way in [*ways, *types] if way), "").rstrip(";.")
    return found


def settings() -> Iterator[str]:
    """A section for the configuration and for each model in it."""
    queue: list[type[BaseModel]] = [JobConfig, TrainConfig, MixtureSettings, LongContextSettings]
    for model in queue:  # which grows meanwhile
        rows, meaning = [], meanings(model)
        for name, field in model.model_fields.items():
            queue += [inner for inner in models_in(field.annotation) if inner not in queue]
            bounds = ", ".join(re.findall(r"\w+=[^()]+", str(field.metadata)))
            kind = f"{type_text(field.annotation)} {bounds}".strip()
            rows.append([f"`{field.alias or name}`", kind, default_text(field), meaning[name]])
        text = f"{one_line(model.__doc__)} (`{pathlib.Path(inspect.getfile(model)).relative_to(ROOT)}`)"
        yield section(f"### {model.__name__}", text, "setting type default meaning", rows)


def default_text(field: FieldInfo) -> str:
    """A default as YAML has it."""
    default = field.get_default(call_default_factory=True)
    if isinstance(default, BaseModel) and default == type(default)():
        return "its defaults"
    return "required" if field.is_required() else f"`{json.dumps(default, ensure_ascii=False)}`"


def columns(output: pathlib.Path) -> Iterator[str]:
    """A section for each table of a run."""
    about = {c.name: c.about for c in [*publish.published_columns(JobConfig().stages()), *harvest.LEDGER]}
    for place, (module, name) in TABLES.items():
        doc, said = notes(module, name)
        path = next(output.glob(f"{place}.parquet"), output / place)
        named = [(field.name, str(field.type)) for field in dataset(path).schema]
        rows = [(f"`{each}`", kind, said.get(each) or about.get(each, "")) for each, kind in named]
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
    name = MAKERS.get(parent, "manifest")
    said = notes(contamination if name == "account" else run, name)[1].get(last)
    return said or one_line((maker := getattr(run, last, getattr(run.Plan, last, None))) and maker.__doc__)


def manifest(content: dict[str, Any]) -> str:
    """The section of the manifest's keys."""
    kinds: dict[str, set[str]] = {}
    for path, kind in keys(content):
        kinds.setdefault(path, set()).add(kind)
    rows = [(f"`{path}`", " or ".join(sorted(found)), key_meaning(path)) for path, found in kinds.items()]
    return section("## manifest.json", "", "key type meaning", rows)


def leaves(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """The full names of the commands in a group, and the commands; `decontam run` goes by the name of its group."""
    if isinstance(command, click.Group):
        for inner, each in command.commands.items():
            yield from leaves(name if (name, inner) == ("decontam", "run") else f"{name} {inner}", each)
    else:
        yield name, command


COMMANDS = {**dict(leaves("corpusmill", cli.main)), **dict(leaves("decontam", decontam.main))}


def commands() -> Iterator[str]:
    """A section for each command: its own help."""
    for name, command in COMMANDS.items():
        context = click.Context(command, info_name=name, terminal_width=110)
        yield f"### {name}\n\n```text\n{command.get_help(context)}\n```\n"


def reference() -> str:
    """The whole page."""
    with tempfile.TemporaryDirectory() as folder:
        content = demo.run(folder, workers=0).manifest
        tables = [*columns(pathlib.Path(folder) / "result")]
    parts = ["# Reference\n", HEAD, "## Commands\n", *commands(), "## Settings\n", *settings()]
    return "\n".join([*parts, "## Columns\n", *tables, manifest(content)])


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
