"""The benchmark registry: reads the YAML and finds the file of every benchmark in it.

A registry is a YAML file with a list `benchmarks:` (one `Benchmark` each) and optionally `include:` (another
registry, or a list of them). docs/benchmarks.md describes it for users. Some registries come with the package
(`811.yaml`); `resolve` finds them by their bare name.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import fsspec
import yaml
from pydantic import BaseModel, ValidationError

from decontam.entries import Benchmark, HubSource, Registry, RegistryFile, RowFilter, Source, flat
from decontam.errors import BenchmarkError
from decontam.finder import Finder, missing_message
from decontam.items import BenchmarkItems, Item, columns_used, nearest, read_benchmark, read_items
from decontam.settings import DecontaminationSettings

try:  # a fifth of the time: 0.2 s for 811.yaml
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # a PyYAML built without libyaml
    from yaml import SafeLoader  # type: ignore[assignment]

__all__ = [
    "Benchmark",
    "BenchmarkItems",
    "HubSource",
    "Item",
    "Registry",
    "RowFilter",
    "Source",
    "columns_used",
    "load_registry",
    "read_benchmark",
    "read_entries",
    "read_items",
    "resolve",
]

PACKAGED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "benchmarks")
"""The folder of the registries that come with the package."""


def resolve(path: str) -> str:
    """The path of a registry: a bare name that is no file here, but one of the packaged registries, is that one."""
    packaged = os.path.join(PACKAGED, path)
    is_bare = os.path.basename(path) == path
    return packaged if is_bare and not os.path.exists(path) and os.path.isfile(packaged) else path


def load_registry(settings: DecontaminationSettings) -> Registry:
    """Reads the registry, leaves out what is skipped, and finds the file of everything else.

    Raises:
        BenchmarkError: when the YAML is wrong (naming the nearest valid key), two entries share a name, `skip`
            names no benchmark, files are missing without `allow_missing` (one error lists them all), or no benchmark
            at all has a file.
    """
    if settings.benchmarks is None:
        return Registry((), (), ())
    entries = _listed(settings.benchmarks)
    _check_skip(entries, settings.skip)
    skip = set(settings.skip)
    wanted = [entry for entry in entries if not skip.intersection(entry.benchmark.names)]
    finder = Finder()
    sources, missing = [], []
    for entry in wanted:
        roots = _roots(entry, settings)
        path = finder.find(entry.benchmark, roots)
        if path is None:
            missing.append((entry.benchmark, roots))
        else:
            sources.append(Source(entry.benchmark, path))
    # A wrong root must not pass for a corpus that was compared with nothing.
    if missing and not (settings.allow_missing and sources):
        raise BenchmarkError(missing_message(missing, none_at_all=settings.allow_missing))
    skipped = tuple(entry.benchmark.key for entry in entries if skip.intersection(entry.benchmark.names))
    return Registry(tuple(sources), skipped, tuple(benchmark.key for benchmark, _ in missing))


def read_entries(path: str) -> tuple[Benchmark, ...]:
    """Every entry of a registry and of those it includes (first), without looking for their files.

    Raises:
        BenchmarkError: when the YAML is wrong or two entries share a name.
    """
    return tuple(entry.benchmark for entry in _listed(path))


@dataclass(frozen=True)
class _Listed:
    """An entry, the YAML that lists it, and the folders of that and of the YAMLs that include it."""

    benchmark: Benchmark
    path: str
    folders: tuple[str, ...]


def _roots(entry: _Listed, settings: DecontaminationSettings) -> tuple[str, ...]:
    """The folders in which a benchmark's file is looked for."""
    if settings.benchmark_root:
        return (settings.benchmark_root,)
    folders = [
        folder for folder in entry.folders if folder != PACKAGED
    ]  # data are never beside a packaged registry
    if not folders:
        raise BenchmarkError(
            f"{os.path.basename(entry.path)} comes with the program and has no files beside it: say where the "
            f"benchmarks are with `--benchmark-root DIR` (`benchmark_root` in a job's YAML). "
            f"`decontam fetch` downloads them."
        )
    return tuple(root for folder in folders for root in (folder, posixpath.join(folder, "benchmarks")))


# ---- the YAML


def _listed(path: str) -> list[_Listed]:
    entries = list(_read(resolve(path), (), set()))
    _check_names(entries)
    return entries


def _read(path: str, including: tuple[str, ...], read: set[str]) -> Iterator[_Listed]:
    """Every entry of a registry and of those it includes. A registry that is included twice is read once."""
    place = _identity(path)
    if place in map(_identity, including):
        raise BenchmarkError(
            f"{path} includes itself ({' -> '.join((*including, path))}); remove one `include`."
        )
    if place in read:
        return
    read.add(place)
    content = _content(path, including)
    try:
        registry = RegistryFile.model_validate(content if content is not None else {})
    except ValidationError as error:
        raise BenchmarkError(_validation_message(path, content, error)) from error
    folder = posixpath.dirname(path)
    includes = (registry.include,) if isinstance(registry.include, str) else registry.include
    for other in includes:
        yield from _read(_included(folder, other), (*including, path), read)
    folders = tuple(dict.fromkeys(map(posixpath.dirname, (path, *reversed(including)))))
    for benchmark in registry.benchmarks:
        yield _Listed(benchmark, path, folders)


def _included(folder: str, other: str) -> str:
    """The path that `include` means: a URL or absolute path; a file beside the YAML; a packaged registry."""
    if "://" in other:
        return other
    beside = posixpath.join(folder, other)
    packaged = os.path.join(PACKAGED, other)
    if os.path.basename(other) == other and os.path.isfile(packaged) and not _exists(beside):
        return packaged
    return beside


def _exists(path: str) -> bool:
    try:
        with fsspec.open(path, "rb"):
            return True
    except FileNotFoundError:
        return False


def _identity(path: str) -> str:
    return posixpath.normpath(path) if "://" in path else os.path.realpath(path)


def _content(path: str, including: Sequence[str]) -> Any:
    by = f" (included by {including[-1]})" if including else ""
    try:
        with fsspec.open(path, "rb") as file:
            return yaml.load(file, _UniqueKeys)  # noqa: S506 - a SafeLoader
    except FileNotFoundError as error:
        known = sorted(os.listdir(PACKAGED))
        near = nearest(os.path.basename(path), [name for name in known if name.endswith(".yaml")])
        raise BenchmarkError(f"There is no benchmark registry {path}{by}.{near}") from error
    except (OSError, ImportError) as error:
        raise BenchmarkError(f"The benchmark registry {path}{by} cannot be read: {error}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise BenchmarkError(f"{path} is not valid YAML: {error}") from error


class _UniqueKeys(SafeLoader):
    """Refuses a mapping that names a key twice; YAML itself would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """The mapping, or an error that names the key and both its lines."""
        first: dict[str, int] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            line = key.start_mark.line + 1
            if key.value in first:
                problem = (
                    f'line {line}: the key "{key.value}" is given twice (first in line {first[key.value]})'
                )
                raise yaml.constructor.ConstructorError(None, None, f"{problem}; remove one.", None)
            first[key.value] = line
        return super().construct_mapping(node, deep)


def _check_names(entries: Sequence[_Listed]) -> None:
    """A key or alias names one benchmark, also as the name of a flat file."""
    seen: dict[str, tuple[str, _Listed]] = {}
    for entry in entries:
        for name in dict.fromkeys(entry.benchmark.names):
            if flat(name) not in seen:
                seen[flat(name)] = (name, entry)
                continue
            other_name, other = seen[flat(name)]
            where = other.path if other.path == entry.path else f"{other.path} and {entry.path}"
            if name == other_name == entry.benchmark.key == other.benchmark.key:
                raise BenchmarkError(f'benchmark "{name}" is listed twice (in {where}); keys are unique.')
            if other is not entry:
                raise BenchmarkError(
                    f'the name "{name}" of benchmark "{entry.benchmark.key}" is taken: "{other.benchmark.key}" has '
                    f'"{other_name}" (in {where}); keys and aliases are unique, with "/" and "__" taken for the same.'
                )


def _check_skip(entries: Sequence[_Listed], skip: Sequence[str]) -> None:
    names = {name for entry in entries for name in entry.benchmark.names}
    for key in skip:
        if key not in names:
            raise BenchmarkError(
                f'skip names "{key}", which is no benchmark of the registry.{nearest(key, names)}'
            )


def _validation_message(path: str, content: Any, error: ValidationError) -> str:
    """One line for each mistake: where it is (by the benchmark's key), what to write, and the nearest valid name."""
    models: dict[str, type[BaseModel]] = {"hf": HubSource, "row_filter": RowFilter}
    lines = []
    for detail in error.errors():
        # A value of two types (`split: a` or `[a, b]`) has an error for each, under the name of the type.
        place = [step for step in detail["loc"] if step not in ("str", "tuple[str, ...]")]
        model: type[BaseModel] = RegistryFile
        where = ""
        if len(place) >= 2 and place[0] == "benchmarks" and isinstance(place[1], int):
            model = models.get(str(place[2]), Benchmark) if len(place) > 3 else Benchmark
            entry = content["benchmarks"][place[1]]
            key = entry.get("key") if isinstance(entry, dict) else None
            where = f"benchmark {place[1] + 1}" + (f' ("{key}")' if key else "") + ": "
            place = place[2:]
        name = ".".join(str(step) for step in place)
        if detail["type"] == "extra_forbidden":
            lines.append(f'{where}unknown key "{name}".{nearest(str(place[-1]), model.model_fields)}')
        else:
            lines.append(where + (f"{name}: " if name else "") + _what_to_write(detail["type"], detail))
    return "\n".join(f"{path}: {line}" for line in dict.fromkeys(lines))


def _what_to_write(kind: str, detail: Any) -> str:
    """A mistake in the words of someone who writes YAML."""
    given = detail["input"]
    if kind == "missing":
        return "is missing"
    if kind == "tuple_type":
        return f"give a list: [{given}]" if isinstance(given, str) else "give a list: [...]"
    if kind in ("model_type", "dict_type"):
        return "give a mapping: {name: value}"
    if kind == "string_type":
        # YAML reads `no`, `1.0` and the like as other things than text.
        is_scalar = isinstance(given, bool | int | float)
        hint = f' (YAML reads it as {str(given).lower()}; put it in quotes: "...")' if is_scalar else ""
        return f"give a text{hint}"
    if kind == "too_short":
        return "names nothing; it needs at least one"
    if kind == "string_pattern_mismatch":
        return f"{given!r} is no name of this kind (the pattern is {detail['ctx']['pattern']})"
    message: str = detail["msg"]
    return message.removeprefix("Value error, ")
