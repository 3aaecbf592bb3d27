"""The benchmark registry: what the YAML may say, where the files are, and the items in them.

A registry is a YAML file with a list `benchmarks:` (one `Benchmark` each) and optionally `include:` (another
registry, or a list of them, relative to the file). docs/decontamination.md describes it for users.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import hashlib
import io
import json
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import yaml
import zstandard
from fsspec.core import url_to_fs
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from decontam.errors import BenchmarkError
from decontam.settings import DecontaminationSettings, Part

FORMATS = (".parquet", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".csv", ".csv.gz", ".csv.zst")
"""The names tried, in this order, for a benchmark without `file:`."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HubSource(_Strict):
    """Where the benchmark lies on the Hugging Face hub. Kept for the record: nothing is downloaded."""

    path: str
    config: str | None = None
    split: str | None = None


class Benchmark(_Strict):
    """One entry of the registry. A column is a name in the file, or a dotted path (`fields.question`)."""

    key: str = Field(pattern=r"^[A-Za-z0-9]([^\x00-\x1f]*[^\x00-\x20])?$")  # "exams/north macedonian" is one
    family: str | None = None
    file: str | None = None
    prompt: tuple[str, ...] = Field(min_length=1)
    choices: tuple[str, ...] = ()
    answer: tuple[str, ...] = ()
    passage: tuple[str, ...] = ()
    license: str | None = None
    language: str | None = None
    aliases: tuple[str, ...] = ()
    hf: HubSource | None = None

    def columns(self, part: Part) -> tuple[str, ...]:
        """The columns of one part of an item."""
        columns: tuple[str, ...] = getattr(self, part)
        return columns

    @property
    def names(self) -> tuple[str, ...]:
        """The key and the aliases: what `skip` may name."""
        return (self.key, *self.aliases)


class _RegistryFile(_Strict):
    benchmarks: tuple[Benchmark, ...] = ()
    include: str | tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """A benchmark and the file that holds its items."""

    benchmark: Benchmark
    path: str


@dataclass(frozen=True)
class Registry:
    """The benchmarks that will be indexed, in the order of the YAML, and the keys of those that will not."""

    sources: tuple[Source, ...]
    skipped: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Item:
    """One item of a benchmark: its id (column `id`, else the row number from 0), its texts and their parts.

    The texts are fields in the sense of the rule: no n-gram crosses from one to the next. Each string of a
    list is a field of its own.
    """

    id: str
    fields: tuple[tuple[Part, str], ...]


def load_registry(settings: DecontaminationSettings) -> Registry:
    """Reads the registry, leaves out what is skipped, and finds the file of everything else.

    Raises:
        BenchmarkError: when the YAML is wrong (naming the nearest valid key), two entries share a key, `skip`
            names no benchmark, or files are missing without `allow_missing` (one error lists them all).
    """
    if settings.benchmarks is None:
        return Registry((), (), ())
    entries = list(_read_registry(settings.benchmarks, ()))
    _check_keys(entries, settings.skip)
    skip = set(settings.skip)
    wanted = [entry for entry in entries if not skip.intersection(entry[0].names)]
    finder = _Finder()
    sources, missing = [], []
    for benchmark, folder in wanted:
        roots = (settings.benchmark_root,) if settings.benchmark_root else (folder, _beside(folder))
        path = finder.find(benchmark, roots)
        if path is None:
            missing.append((benchmark, roots))
        else:
            sources.append(Source(benchmark, path))
    if missing and not settings.allow_missing:
        raise BenchmarkError(_missing_message(missing))
    skipped = tuple(benchmark.key for benchmark, _ in entries if skip.intersection(benchmark.names))
    return Registry(tuple(sources), skipped, tuple(benchmark.key for benchmark, _ in missing))


def read_items(source: Source, parts: Sequence[Part]) -> tuple[list[Item], str]:
    """The items of a benchmark with the texts of the given parts, and the SHA-256 of its file.

    Raises:
        BenchmarkError: when the file cannot be read, has no rows, or lacks a column that the registry names.
    """
    with _open(source.path) as file:
        stored = file.read()
    columns = [(part, column) for part in parts for column in source.benchmark.columns(part)]
    try:
        rows = _rows(source.path, _decompress(source.path, stored))
    except (OSError, EOFError, ValueError, pa.ArrowException, zstandard.ZstdError) as error:
        raise BenchmarkError(f"{_about(source)}: {error}") from error
    if not rows:
        raise BenchmarkError(f"{_about(source)} has no rows.")
    _check_columns(source, rows, [column for _, column in columns])
    items = []
    for number, row in enumerate(rows):
        fields = [
            (part, text)
            for part, column in columns
            for value in _lookup(row, column)
            for text in _texts(value)
        ]
        name = row.get("id")
        items.append(Item(str(number if name is None else name), tuple(fields)))
    return items, hashlib.sha256(stored).hexdigest()


def _about(source: Source) -> str:
    return f'decontamination: benchmark "{source.benchmark.key}": {source.path}'


# ---- the YAML


def _read_registry(path: str, including: tuple[str, ...]) -> Iterator[tuple[Benchmark, str]]:
    """Every entry of a registry and of those it includes, with the folder of the YAML that lists it."""
    if path in including:
        raise BenchmarkError(f"decontamination: {path} includes itself ({' -> '.join((*including, path))}).")
    try:
        with _open(path) as file:
            content = yaml.safe_load(file)
    except FileNotFoundError as error:
        by = f" (included by {including[-1]})" if including else ""
        raise BenchmarkError(f"decontamination: there is no benchmark registry {path}{by}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BenchmarkError(f"decontamination: {path} is not valid YAML: {error}") from error
    try:
        registry = _RegistryFile.model_validate(content if content is not None else {})
    except ValidationError as error:
        raise BenchmarkError(_validation_message(path, content, error)) from error
    folder = posixpath.dirname(path)
    includes = (registry.include,) if isinstance(registry.include, str) else registry.include
    for other in includes:
        yield from _read_registry(posixpath.join(folder, other), (*including, path))
    for benchmark in registry.benchmarks:
        yield benchmark, folder


def _check_keys(entries: Sequence[tuple[Benchmark, str]], skip: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    for benchmark, folder in entries:
        if benchmark.key in seen:
            where = f"{seen[benchmark.key] or '.'} and {folder or '.'}"
            raise BenchmarkError(
                f'decontamination: benchmark "{benchmark.key}" is listed twice (in {where}); keys are unique.'
            )
        seen[benchmark.key] = folder
    names = {name for benchmark, _ in entries for name in benchmark.names}
    for key in skip:
        if key not in names:
            raise BenchmarkError(
                f'decontamination: skip names "{key}", which is no benchmark of the registry.'
                + _nearest(key, names)
            )


def _validation_message(path: str, content: Any, error: ValidationError) -> str:
    """One line for each mistake: where it is (by the benchmark's key) and the nearest valid name."""
    lines = []
    for detail in error.errors():
        place = list(detail["loc"])
        model: type[BaseModel] = _RegistryFile
        where = ""
        if len(place) >= 2 and place[0] == "benchmarks" and isinstance(place[1], int):
            model = HubSource if len(place) > 3 and place[2] == "hf" else Benchmark
            entry = content["benchmarks"][place[1]]
            key = entry.get("key") if isinstance(entry, dict) else None
            where = f"benchmark {place[1] + 1}" + (f' ("{key}")' if key else "") + ": "
            place = place[2:]
        name = ".".join(str(step) for step in place)
        if detail["type"] == "extra_forbidden":
            lines.append(f'{where}unknown key "{name}".{_nearest(str(place[-1]), model.model_fields)}')
        else:
            lines.append(f"{where}{name}: {detail['msg']}" if name else f"{where}{detail['msg']}")
    return f"decontamination: {path}: " + f"\ndecontamination: {path}: ".join(lines)


def _nearest(name: str, known: Iterable[str]) -> str:
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f' Did you mean "{matches[0]}"?' if matches else ""


# ---- the files


class _Finder:
    """Finds benchmark files. Lists each folder once: asking a remote store name by name takes minutes."""

    def __init__(self) -> None:
        self._folders: dict[str, frozenset[str]] = {}

    def find(self, benchmark: Benchmark, roots: Sequence[str]) -> str | None:
        for root in roots:
            for name in _candidates(benchmark):
                path = posixpath.join(root, name)
                folder, base = posixpath.split(path)
                if base in self._names(folder):
                    return path
        return None

    def _names(self, folder: str) -> frozenset[str]:
        if folder not in self._folders:
            fs, inner = url_to_fs(folder or ".")
            found = fs.ls(inner, detail=False) if fs.isdir(inner) else []
            self._folders[folder] = frozenset(posixpath.basename(path.rstrip("/")) for path in found)
        return self._folders[folder]


def _beside(folder: str) -> str:
    return posixpath.join(folder, "benchmarks")


def _candidates(benchmark: Benchmark) -> list[str]:
    """What a benchmark's file may be called: its `file`, or its key (as folders or flat) and an ending."""
    if benchmark.file is not None:
        return [benchmark.file]
    stems = dict.fromkeys((benchmark.key, benchmark.key.replace("/", "__")))
    return [stem + ending for stem in stems for ending in FORMATS]


def _missing_message(missing: Sequence[tuple[Benchmark, Sequence[str]]]) -> str:
    lines = []
    for benchmark, roots in missing:
        flat = f" or {benchmark.key.replace('/', '__')}.*" if "/" in benchmark.key else ""
        looked = benchmark.file or f"{benchmark.key}{FORMATS[0]}, {', '.join(FORMATS[1:])}{flat}"
        where = " or ".join(root or "." for root in roots)
        lines.append(
            f'decontamination: benchmark "{benchmark.key}" has no file under {where} (looked for {looked}).'
        )
    one = len(missing) == 1
    lines.append(
        f"Put {'it' if one else 'them'} there, point `--benchmark-root` at your copy, or drop "
        f"{'the entry' if one else 'an entry'} with `--skip {missing[0][0].key}`"
        f"{'' if one else ' (once for each)'}; skipped benchmarks are listed in the report. "
        f"`--allow-missing` goes on without every benchmark that has no file."
    )
    return "\n".join(lines)


def _open(path: str) -> Any:
    return fsspec.open(path, "rb")


def _decompress(path: str, stored: bytes) -> bytes:
    if path.endswith(".gz"):
        return gzip.decompress(stored)
    if path.endswith(".zst"):
        decompressor = zstandard.ZstdDecompressor()
        with decompressor.stream_reader(io.BytesIO(stored), read_across_frames=True) as reader:
            return reader.read()
    return stored


def _rows(path: str, content: bytes) -> list[dict[str, Any]]:
    name = path.removesuffix(".gz").removesuffix(".zst")
    if name.endswith(".jsonl"):
        return list(_json_lines(content))
    if name.endswith(".csv"):
        return _csv_rows(content)
    if name.endswith(".parquet"):
        rows: list[dict[str, Any]] = pa.parquet.read_table(io.BytesIO(content)).to_pylist()
        return rows
    raise ValueError("the name says no known format: .jsonl, .parquet or .csv, plain or with .gz or .zst")


def _json_lines(content: bytes) -> Iterator[dict[str, Any]]:
    # Split on \n only: benchmark texts hold U+2028 and U+0085, at which str.splitlines would cut them.
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number} is not valid JSON: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is not a JSON object")
        yield row


def _csv_rows(content: bytes) -> list[dict[str, Any]]:
    header = next(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")), [])
    table = pa.csv.read_csv(
        io.BytesIO(content),
        # One block: a field may be longer than the default block, and hold newlines.
        read_options=pa.csv.ReadOptions(block_size=len(content) + 1, use_threads=False),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string())),
    )
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


# ---- rows to texts


def _check_columns(source: Source, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    """A column that no row has is a mistake in the registry, which would match nothing and say nothing."""
    for column in columns:
        if not any(True for row in rows for _ in _lookup(row, column)):
            names = sorted({name for row in rows for name in row})
            known = f"(it has {', '.join(names)}).{_nearest(column, names)}"
            raise BenchmarkError(f'{_about(source)} has no column "{column}" {known}')


def _lookup(value: Any, column: str) -> Iterator[Any]:
    """Each value at the column, null or not; nothing where there is no such field."""
    if isinstance(value, list):
        for element in value:
            yield from _lookup(element, column)
    elif isinstance(value, dict):
        if column in value:
            yield value[column]
            return
        head, dot, rest = column.partition(".")
        if dot and head in value:
            yield from _lookup(value[head], rest)


def _texts(value: Any) -> Iterator[str]:
    """The strings in a value, each its own field, and numbers as they are written; bytes hold no text."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, bool):
        return
    elif isinstance(value, int | float):
        yield str(value)
    elif isinstance(value, list):
        for element in value:
            yield from _texts(element)
    elif isinstance(value, dict):
        for element in value.values():
            yield from _texts(element)
