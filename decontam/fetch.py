"""Downloads the benchmarks that a registry names into one folder (`decontam fetch`), where the finder finds them.

An entry with `hf` comes from the hub's own conversion of the data set to Parquet (branch refs/convert/parquet, laid out
CONFIG/SPLIT/*.parquet); its path is tried first, then its aliases. An entry with `url` comes from there. Files are named
by the key (`mmlu__anatomy.parquet`) and unchanged, except that the parts of a split, or several splits, are joined into
one Parquet file.

`fetched.json` in the folder says where each file is from, with sizes and SHA-256. A second call checks the files against it
and downloads what is missing, damaged or from another source than the registry now names. A file that fetch has not laid
down is the user's own and stays.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import IO, Any, Literal
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet
from fsspec.core import url_to_fs

from decontam.entries import Benchmark, flat
from decontam.errors import BenchmarkError
from decontam.files import FORMATS, LARGEST_STORED
from decontam.finder import Finder
from decontam.items import nearest
from decontam.registry import read_entries
from decontam.remote import Part, errors, explain, hub_parts, is_unreachable, url_part
from decontam.settings import DecontaminationSettings

HUB = "hf://datasets/{path}@refs%2Fconvert%2Fparquet"
"""The root of a data set's Parquet files, as an fsspec URL."""

LEDGER = "fetched.json"

State = Literal["downloaded", "unchanged", "kept", "local", "failed"]
"""downloaded now; there and as recorded; the user's own file; an entry without `hf` and `url`; see the message."""

_GIVE_UP = 3
"""Benchmarks in a row whose host does not answer: the rest is not tried, each would wait for its time-out."""

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Fetched:
    """What became of one benchmark: its file in the folder and the file's size, or why there is none."""

    key: str
    state: State
    file: str | None = None
    bytes: int = 0
    message: str = ""


@dataclass(frozen=True)
class FetchSummary:
    """What became of every benchmark, in the order of the registry."""

    folder: str
    results: tuple[Fetched, ...]

    @property
    def failed(self) -> tuple[Fetched, ...]:
        """The benchmarks that could not be downloaded, with the reasons."""
        return tuple(result for result in self.results if result.state == "failed")

    @property
    def counts(self) -> dict[str, int]:
        """How many benchmarks came to each state."""
        return dict(Counter(result.state for result in self.results))


def fetch(
    settings: DecontaminationSettings,
    folder: str,
    *,
    only: Sequence[str] = (),
    progress: Callable[[int, int, Fetched], None] | None = None,
    hub: str = HUB,
) -> FetchSummary:
    """Downloads the benchmarks of a registry into a folder.

    Args:
        settings: names the registry (`benchmarks`) and what is left out (`skip`).
        folder: a local folder or an fsspec URL; made where it does not exist.
        only: keys, aliases, or families where no benchmark has that name; none means every benchmark.
        progress: called after each benchmark with the number done, the number of all, and what became of it.
        hub: the root of a data set's Parquet files, with `{path}` for its id.

    Raises:
        BenchmarkError: for a wrong registry, a name in `only` that no benchmark has, a folder that cannot be made or
            listed, a `fetched.json` that cannot be read, or a protocol whose package is not installed. What goes wrong
            with a single benchmark is in the summary.
    """
    if settings.benchmarks is None:
        raise BenchmarkError("There is no registry to fetch: name one, for example `--benchmarks 811.yaml`.")
    entries = _choose(read_entries(settings.benchmarks), only, settings.skip)
    fetcher = _Fetcher(_Folder(folder), hub)
    results: list[Fetched] = []
    for entry in entries:
        try:
            results.append(fetcher.fetch(entry))
        except ImportError as error:
            raise BenchmarkError(
                f"{error}. What the hub needs comes with `pip install corpusmill[fetch]`."
            ) from error
        if progress:
            progress(len(results), len(entries), results[-1])
    return FetchSummary(folder, tuple(results))


def _choose(entries: Sequence[Benchmark], only: Sequence[str], skip: Sequence[str]) -> list[Benchmark]:
    names = {name for entry in entries for name in entry.names}
    families = {entry.family for entry in entries if entry.family}
    for asked, known in ((only, names | families), (skip, names)):
        for name in asked:
            if name not in known:
                raise BenchmarkError(f'No benchmark of the registry is named "{name}".{nearest(name, known)}')
    wanted_families = set(only) - names  # "humaneval" is a benchmark, and the family of others

    def is_wanted(entry: Benchmark) -> bool:
        if not set(skip).isdisjoint(entry.names):
            return False
        return not only or entry.family in wanted_families or not set(only).isdisjoint(entry.names)

    return [entry for entry in entries if is_wanted(entry)]


# ---- one benchmark after another


class _Fetcher:
    """Fetches benchmarks, keeping the ledger up to date after each."""

    def __init__(self, folder: _Folder, hub: str) -> None:
        self._folder = folder
        self._hub = hub
        self._records = folder.read_ledger()
        self._finder = Finder()
        # Source -> record of a file that this call has checked or made.
        self._same: dict[str, dict[str, Any]] = {}
        # Host -> benchmarks in a row for which it did not answer.
        self._unreachable: Counter[str] = Counter()

    def fetch(self, entry: Benchmark) -> Fetched:
        source = _source(entry)
        if source is None:
            return Fetched(entry.key, "local", entry.file)
        record = self._records.get(entry.key)
        if record and record["from"] == source and self._folder.holds(record):
            self._same[json.dumps(source)] = record
            return Fetched(entry.key, "unchanged", record["file"], record["bytes"])
        found = self._finder.find(entry, (self._folder.path,))
        if found and not (record and posixpath.basename(found) == record["file"]):
            return Fetched(entry.key, "kept", posixpath.relpath(found, self._folder.path))
        if self._unreachable[urlsplit(entry.url or self._hub).netloc] >= _GIVE_UP:
            return self._failed(entry, "not tried, as the host does not answer")
        return self._download(entry, source)

    def _failed(self, entry: Benchmark, message: str) -> Fetched:
        record = self._records.get(entry.key)
        if record and self._folder.has(record["file"]):
            message += f"; {record['file']} of an earlier call is there, damaged or from another source: do not use it"
        return Fetched(entry.key, "failed", message=message)

    def _download(self, entry: Benchmark, source: dict[str, Any]) -> Fetched:
        """Tries every place where the benchmark may be, until one gives the whole of it."""
        reasons: list[str] = []
        host = urlsplit(entry.url or self._hub).netloc
        for place, parts in self._places(entry, source):
            try:
                record = self._folder.store(
                    _target(entry), parts(), lambda new: self._note(entry.key, source, new)
                )
            except errors() as error:
                reasons.append(explain(error, place))
                if is_unreachable(error):
                    self._unreachable[host] += 1
                    break
            else:
                self._unreachable[host] = 0
                self._same[json.dumps(source)] = record
                return Fetched(entry.key, "downloaded", record["file"], record["bytes"])
        return self._failed(entry, "; ".join(reasons))

    def _places(
        self, entry: Benchmark, source: dict[str, Any]
    ) -> Iterator[tuple[str, Callable[[], list[Part]]]]:
        """Where the benchmark may be, in order, and what lists its parts there."""
        twin = self._same.get(json.dumps(source))
        if twin is not None:
            yield twin["file"], lambda: [self._folder.part(twin)]
        elif entry.url is not None:
            url = entry.url
            yield url, lambda: [url_part(url)]
        elif entry.hf is not None:
            hf = entry.hf
            for path in (hf.path, *hf.aliases):
                yield path, partial(hub_parts, self._hub.format(path=path), path, hf)

    def _note(self, key: str, source: dict[str, Any], record: dict[str, Any]) -> None:
        """Enters a file in the ledger, before it gets its name: a call that is killed between is mended by the next."""
        self._records[key] = {"from": source, **record}
        self._folder.write_ledger(self._records)


def _source(entry: Benchmark) -> dict[str, Any] | None:
    """Where the entry says that its benchmark is, as it stands in the ledger."""
    if entry.url is not None:
        return {"url": entry.url}
    if entry.hf is not None:
        return {"hf": {"path": entry.hf.path, "config": entry.hf.config, "split": list(entry.hf.splits)}}
    return None


def _target(entry: Benchmark) -> str:
    """The name of the benchmark's file in the folder."""
    place = urlsplit(entry.url).path if entry.url else ".parquet"
    ending = next((ending for ending in reversed(FORMATS) if place.endswith(ending)), None)
    if ending is None:
        raise ValueError(f"the url says no known format: it must end in one of {', '.join(FORMATS)}")
    if entry.file is None:
        return flat(entry.key) + ending
    if not entry.file.endswith(ending) or posixpath.basename(entry.file) != entry.file:
        raise ValueError(
            f"the entry's `file` is {entry.file}, and what is downloaded is a {ending} in the folder itself: "
            f"remove `file` from the entry, or `hf` and `url`"
        )
    return entry.file


# ---- the folder


class _Folder:
    """The folder of the files, local or remote: what is in it is whole, under its final name."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._fs, self._inner = url_to_fs(path)
            self._fs.makedirs(self._inner, exist_ok=True)
        except (OSError, ValueError) as error:
            raise BenchmarkError(f"The folder {path} cannot be made: {error}") from error
        except ImportError as error:
            raise BenchmarkError(f"The folder {path}: {error}") from error
        self._local = os.path.abspath(self._inner) if "file" in _protocols(self._fs) else None

    def read_ledger(self) -> dict[str, Any]:
        """What earlier calls have laid down, by key."""
        path = self._place(LEDGER)
        try:
            if not self._fs.exists(path):
                return {}
            records: dict[str, Any] = json.loads(self._fs.cat_file(path))["benchmarks"]
            for record in records.values():
                _ = (record["from"], record["file"], record["bytes"], record["sha256"], record["parts"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BenchmarkError(
                f"{self.path}: {LEDGER} cannot be read ({error!r}). Remove it: files that are there then count as your own."
            ) from error
        return records

    def write_ledger(self, records: dict[str, Any]) -> None:
        """Replaces the ledger."""
        text = json.dumps({"benchmarks": records}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        with self._writing(LEDGER) as file:
            file.write(text.encode())

    def part(self, record: dict[str, Any]) -> Part:
        """A file of the folder, as something to copy; it is from where the file is from."""
        path = self._place(record["file"])
        return Part("", self._fs.size(path), lambda: self._fs.open(path, "rb"), tuple(record["parts"]))

    def holds(self, record: dict[str, Any]) -> bool:
        """Whether the file of a record is there as it was laid down; one that cannot be read is not."""
        path = self._place(record["file"])
        try:
            if not self._fs.exists(path) or self._fs.size(path) != record["bytes"]:
                return False
            with self._fs.open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return False
        return digest == str(record["sha256"])

    def has(self, name: str) -> bool:
        """Whether there is a file of this name, in whatever state."""
        return bool(self._fs.exists(self._place(name)))

    def store(
        self, name: str, parts: Sequence[Part], note: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        """Downloads parts into one file of the folder.

        Returns:
            The record of the file, without where the registry says that it is from. `note` gets it before the file
            takes its name.
        """
        with tempfile.TemporaryDirectory(prefix=".decontam-fetch-", dir=self._local) as scratch:
            paths = [os.path.join(scratch, str(number)) for number in range(len(parts))]
            details = [each for part, path in zip(parts, paths, strict=True) for each in _copy(part, path)]
            whole = paths[0]
            if len(paths) > 1:
                whole = os.path.join(scratch, "joined")
                _join(paths, whole)
            elif name.endswith(".parquet"):
                pa.parquet.read_metadata(whole)  # a page that says "try later" is no Parquet
            with open(whole, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            record = {"file": name, "bytes": os.path.getsize(whole), "sha256": digest, "parts": details}
            note(record)
            self._put(whole, name)
        return record

    def _place(self, name: str) -> str:
        return posixpath.join(self._inner, name)

    def _put(self, path: str, name: str) -> None:
        if self._local:
            os.replace(path, os.path.join(self._local, name))
        else:
            self._fs.put_file(path, self._place(name))  # an object appears when its upload ends

    @contextmanager
    def _writing(self, name: str) -> Iterator[IO[bytes]]:
        with tempfile.TemporaryDirectory(prefix=".decontam-fetch-", dir=self._local) as scratch:
            path = os.path.join(scratch, name)
            with open(path, "wb") as file:
                yield file
            self._put(path, name)


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def _copy(part: Part, path: str) -> Sequence[dict[str, Any]]:
    """Downloads a part, checks its size, and says what it is."""
    digest = hashlib.sha256()
    size = 0
    with part.open() as source, open(path, "wb") as target:
        while content := source.read(_CHUNK):
            size += len(content)
            if size > LARGEST_STORED:
                raise ValueError(
                    f"{part.url} is larger than {LARGEST_STORED >> 30} GiB, the most that a benchmark may be"
                )
            digest.update(content)
            target.write(content)
    if part.size is not None and size != part.size:
        raise OSError(f"{part.url} has {part.size} bytes, and {size} came")
    return part.origin or [{"url": part.url, "bytes": size, "sha256": digest.hexdigest()}]


def _join(paths: Sequence[str], target: str) -> None:
    """One Parquet file of the rows of several, in order."""
    schema = pa.parquet.read_schema(paths[0]).remove_metadata()
    with pa.parquet.ParquetWriter(target, schema, compression="zstd") as writer:
        for path in paths:
            with pa.parquet.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group, use_threads=False).replace_schema_metadata()
                    writer.write_table(table.cast(schema) if table.schema != schema else table)
