"""Earlier runs: published shards whose documents a new run must not publish again.

A shard takes part as one more chunk, with ordinals behind all of the run's own. Of it only the columns of signatures are
read. Its documents always survive, are never compared with each other, and are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
from pydantic import BaseModel

from pipeline import storage
from pipeline.chunks import HarvestedChunk
from pipeline.dedup.arrays import U32
from pipeline.dedup.settings import DedupSettings
from pipeline.errors import UserError
from pipeline.sources.discover import SourceConfig, resolve
from pipeline.sources.parquet import open_parquet

NOBODY = 2**32
"""First ordinal of earlier documents where there are none: beyond every document."""

_THREADS = 16
"""Footers that are read at once."""


class EarlierFile(BaseModel, frozen=True):
    """A published shard of an earlier run, and its number of documents."""

    path: str
    rows: int

    @property
    def run(self) -> str:
        """The earlier run's output folder; the file itself where it does not lie in a `documents/`."""
        folder, _, _ = self.path.rpartition("/")
        output, _, name = folder.rpartition("/")
        return output if name == "documents" and output else self.path


class EarlierRuns(BaseModel, frozen=True):
    """Which ordinals are documents of which earlier run: those from `starts[i]` on are of `names[i]`."""

    starts: tuple[int, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def first(self) -> int:
        """The first ordinal of an earlier document; the run's own documents lie below it."""
        return self.starts[0] if self.starts else NOBODY

    def of(self, ordinals: U32) -> pa.Array:
        """The earlier run of each document, null for the run's own."""
        at = np.searchsorted(np.array(self.starts, np.int64), ordinals.astype(np.int64), side="right") - 1
        return pa.array(self.names, pa.string()).take(pa.array(at, mask=at < 0))


def earlier_runs(chunks: Sequence[HarvestedChunk]) -> EarlierRuns:
    """The earlier runs among all chunks.

    Raises:
        ValueError: where an ordinal of an earlier document lies below one of the run's own.
    """
    starts: list[int] = []
    names: list[str] = []
    for chunk in sorted(chunks, key=lambda each: (each.base, each.rows)):
        if chunk.earlier is None:
            if names:
                raise ValueError(f"chunk {chunk.key} lies behind earlier documents")
        elif not names or names[-1] != chunk.earlier:
            starts.append(chunk.base)
            names.append(chunk.earlier)
    return EarlierRuns(starts=tuple(starts), names=tuple(names))


def earlier_chunks(files: Sequence[EarlierFile], base: int) -> list[HarvestedChunk]:
    """The shards as chunks whose ordinals begin at `base`, in the order of their paths."""
    chunks = []
    for index, file in enumerate(sorted(files, key=lambda each: each.path)):
        key = f"earlier-{index:06d}"
        chunks.append(HarvestedChunk(key=key, path=file.path, rows=file.rows, base=base, earlier=file.run))
        base += file.rows
    return chunks


def find_earlier(
    given: Sequence[str], settings: DedupSettings, signatures: Mapping[str, str], values: int
) -> list[EarlierFile]:
    """The published shards that paths and globs mean, each once, sorted by path. Reads their footers only.

    Args:
        given: paths, globs, URLs that fsspec knows.
        settings: which columns are needed.
        signatures: how the run's own signatures are made (`MinHashSettings.described`).
        values: of a signature.

    Raises:
        UserError: where nothing is found, a file lacks a column, or its signatures were made otherwise.
    """
    if not given:
        return []
    paths = sorted(resolve(SourceConfig(name="against", inputs=tuple(given))))

    def look(path: str) -> EarlierFile:
        with storage.open_read(path) as file:
            parquet = open_parquet(path, file)
            _check(path, parquet.schema_arrow, settings, signatures, values)
            return EarlierFile(path=path, rows=parquet.metadata.num_rows)

    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(look, paths))


def _check(
    path: str, schema: pa.Schema, settings: DedupSettings, signatures: Mapping[str, str], values: int
) -> None:
    needed = earlier_columns(settings.scope, settings.exact_text, settings.exact_url, settings.fuzzy)
    needed |= {"text"} if settings.fuzzy and settings.verify == "exact" else set()
    if missing := sorted(needed - set(schema.names)):
        raise UserError(
            f"against: {path} has no column {', '.join(missing)}. Name the `documents/*.parquet` of an earlier run of "
            "corpusmill."
        )
    if not settings.fuzzy:
        return
    field = schema.field("minhash")
    width = field.type.byte_width if pa.types.is_fixed_size_binary(field.type) else 0
    if width != 4 * values:
        raise UserError(
            f"against: {path} has signatures of {field.type}, and this run makes {values} values of 4 bytes. "
            "Set minhash.permutations to what the earlier run had."
        )
    found = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    for name, value in signatures.items():
        if name not in found:
            raise UserError(
                f"against: {path} does not say how its signatures were made (`{name}` in the metadata of its column "
                "minhash); they cannot be compared. Was it written by other software, or by an older corpusmill?"
            )
        if found[name] != value:
            raise UserError(
                f"against: {path} has signatures of {name} {found[name]}, and this run makes {value}; they cannot be "
                "compared. Make both with the same `minhash` settings."
            )


def earlier_columns(scope: str, text: bool, url: bool, fuzzy: bool) -> set[str]:
    """The columns of signatures that are read of a published shard."""
    asked = {"text_hash": text, "url_hash": url, "minhash": fuzzy, scope: scope != "global"}
    return {"id", *(name for name, wanted in asked.items() if wanted)}
