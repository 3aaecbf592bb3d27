"""Which files a source means, and the splits in which they are read.

An input is a path, a glob (`**` for any depth), a URL of any file system that fsspec knows, or `@FILE`: a
list of inputs, one to a line (plain or gzip; empty lines and `#` lines are passed over), such as Common
Crawl's `warc.paths.gz`. Relative inputs are taken below `root`, where one is given. What is not found, or
not recognised, is an error, never passed over.
"""

from __future__ import annotations

import glob
import gzip
import os
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from pydantic import BaseModel

from pipeline import storage
from pipeline.chunks import Format, Split
from pipeline.errors import UserError
from pipeline.sources import ReadSettings
from pipeline.sources.members import open_archive
from pipeline.sources.parquet import check_text_column, open_parquet, row_group_sizes
from pipeline.sources.warc import record_per_member

_SUFFIXES: dict[Format, tuple[str, ...]] = {
    "warc": (".warc", ".warc.gz", ".warc.zst"),
    "jsonl": tuple(name + end for name in (".jsonl", ".ndjson", ".json") for end in ("", ".gz", ".zst")),
    "parquet": (".parquet",),
}
_THREADS = 16
"""Files that are looked at at once: planning waits for their file system, not for the processor."""


class SourceConfig(BaseModel, frozen=True, extra="forbid"):
    """A source: its name, its inputs, how they are read; `format` for files whose names do not tell it."""

    name: str
    inputs: tuple[str, ...]
    root: str = ""
    format: Format | None = None
    reading: ReadSettings = ReadSettings()


def plan_splits(config: SourceConfig, split_bytes: int) -> list[Split]:
    """The splits of all inputs, in the order of the inputs (of a glob: by path); each file comes once.

    Files are split into about equal parts of at most `split_bytes` bytes as stored; 0 leaves every file
    whole. Row groups are never divided; nor are compressed JSONL files, or compressed WARCs that are one
    big member.

    Raises:
        UserError: when an input is not found, or its format is not known, or a Parquet file has no text
        column.
    """
    paths = resolve(config)
    formats = [config.format or format_of(path) for path in paths]
    with ThreadPoolExecutor(_THREADS) as pool:
        ranges = pool.map(lambda path, form: _ranges(path, form, config, split_bytes), paths, formats)
        planned = list(zip(paths, formats, shard_names(paths), ranges, strict=True))
    return [
        Split(source=config.name, shard=shard, path=path, format=form, index=index, start=start, stop=stop)
        for path, form, shard, parts in planned
        for index, (start, stop) in enumerate(parts)
    ]


def resolve(config: SourceConfig) -> list[str]:
    """The files that the inputs mean, each once.

    Raises:
        UserError: saying what was looked for, and where.
    """
    if not config.inputs:
        raise UserError(f"source {config.name}: no inputs are given.")
    found = (path for given in _listed(config.inputs, config) for path in _matches(given, config))
    return list(dict.fromkeys(found))


def format_of(path: str) -> Format:
    """The format that a file's name tells.

    Raises:
        UserError: when it tells none.
    """
    for form, suffixes in _SUFFIXES.items():
        if path.lower().endswith(suffixes):
            return form
    known = ", ".join(suffix for suffixes in _SUFFIXES.values() for suffix in suffixes)
    raise UserError(
        f"{path}: the name does not tell the format (known: {known}). "
        "Say `format: warc`, `jsonl` or `parquet` for this source, or narrow the glob."
    )


def shard_names(paths: Sequence[str]) -> list[str]:
    """The shortest ends of the paths, in whole parts, that tell each from all others: mostly file names."""
    parts = [storage.local_path(path).replace("://", "/").split("/") for path in paths]
    names = [part[-1] for part in parts]
    depth = 1
    while len(set(names)) < len(names) and depth < max(map(len, parts)):
        depth += 1
        shared = {name for name, count in Counter(names).items() if count > 1}
        names = [
            "/".join(part[-depth:]) if name in shared else name
            for name, part in zip(names, parts, strict=True)
        ]
    return names


def _listed(inputs: Iterable[str], config: SourceConfig) -> Iterator[str]:
    """The inputs, with the entries of lists in their place."""
    for given in inputs:
        if not given.startswith("@"):
            yield given
            continue
        path = given[1:]
        if not storage.exists(path):
            raise UserError(f"source {config.name}: there is no list {_shown(path)}.")
        content = storage.read_bytes(path)
        try:
            text = (gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content).decode("utf-8")
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise UserError(f"source {config.name}: the list {path} cannot be read: {error}") from error
        yield from (line for line in map(str.strip, text.split("\n")) if line and not line.startswith("#"))


def _matches(given: str, config: SourceConfig) -> list[str]:
    """The files that one input means, sorted.

    An existing file is taken as it is, also where its name looks like a glob.
    """
    relative = "://" not in given and not given.startswith("/")
    path = storage.join(config.root, given) if config.root and relative else given
    if storage.is_local(path):
        local = os.path.expanduser(storage.local_path(path))
        if os.path.isdir(local):
            raise UserError(
                f"source {config.name}: {_shown(local)} is a folder. Say which files in it are meant, "
                f"for example {storage.join(local, '**', '*.warc.gz')}"
            )
        candidates = [local] if os.path.exists(local) else glob.glob(local, recursive=True)
        files = sorted(candidate for candidate in candidates if os.path.isfile(candidate))
    elif glob.has_magic(path) and not storage.exists(path):
        system, inner = storage.file_system(path)
        files = sorted(system.unstrip_protocol(match) for match in system.glob(inner) if system.isfile(match))
    else:
        files = [path] if storage.exists(path) else []
    if not files:
        what = "no file matches" if glob.has_magic(path) else "there is no file"
        raise UserError(f"source {config.name}: {what} {_shown(path)}.")
    return files


def _shown(path: str) -> str:
    """The path, and where a relative one was looked for."""
    if not storage.is_local(path) or os.path.isabs(storage.local_path(path)):
        return path
    return f"{path} (looked in {os.getcwd()})"


def _ranges(path: str, form: Format, config: SourceConfig, split_bytes: int) -> list[tuple[int, int]]:
    """The ranges in which a file is read; one at least, so that an empty file is seen to have been read."""
    if form == "parquet":
        with storage.open_read(path) as file:
            parquet = open_parquet(path, file)
            check_text_column(path, parquet.schema_arrow, config.reading.columns.text)
            return _grouped(row_group_sizes(parquet), split_bytes)
    size = storage.size(path)
    parts = -(-size // split_bytes) if split_bytes else 1
    if parts < 2 or not _divisible(path, form):
        return [(0, size)]
    return [(size * part // parts, size * (part + 1) // parts) for part in range(parts)]


def _divisible(path: str, form: Format) -> bool:
    with storage.open_read(path) as file:
        archive = open_archive(path, file)
        return archive.compression == "plain" if form == "jsonl" else record_per_member(archive)


def _grouped(sizes: Sequence[int], limit: int) -> list[tuple[int, int]]:
    """Neighbouring row groups together, up to `limit` bytes."""
    if not limit or not sizes:
        return [(0, len(sizes))]
    ranges, start, held = [], 0, 0
    for group, size in enumerate(sizes):
        if group > start and held + size > limit:
            ranges.append((start, group))
            start, held = group, 0
        held += size
    return [*ranges, (start, len(sizes))]
