"""Room 1: from harvested chunks to flat columns, and from signatures to band keys.

The Parquet files are read once, and of them only the columns that deduplication needs; everything after works
on flat arrays. Per group of chunks (one map task) there are, for the documents that take part, in the order
of their ordinals:

    ordinals-<group>.bin     uint32
    documents-<group>.bin    records of `DOCUMENT`: hashes, scope, ranks, id
    signatures-<group>.bin   uint32[K]: MinHash signatures (not written without a fuzzy stage)
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash
from numba import njit
from pydantic import BaseModel

from pipeline import storage
from pipeline.chunks import HarvestedChunk
from pipeline.dedup.arrays import (
    I64,
    U32,
    U64,
    Blocks,
    mix64,
    open_array,
    partition_of,
    write_array,
    write_blocks,
)
from pipeline.dedup.earlier import NOBODY, earlier_columns
from pipeline.dedup.settings import Rule
from pipeline.errors import UserError

DOCUMENT = np.dtype(
    [
        ("scope", "<u8"),
        ("text_hi", "<u8"),
        ("text_lo", "<u8"),
        ("url", "<u8"),  # 0: no URL
        ("rank", "<u8"),  # smaller survives
        ("url_rank", "<u8"),
        ("id_hi", "<u8"),
        ("id_lo", "<u8"),
        ("has_text", "?"),
    ]
)
LAST = np.uint64(2**64 - 1)
"""The rank of a document without the value that decides."""

_SIGN = np.uint64(1 << 63)
_COUNT = "gopher.word_count"
_NIBBLES = np.full(256, 255, np.uint8)
_NIBBLES[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)


class Group(BaseModel, frozen=True):
    """Chunks that follow each other, whose rows one task reads."""

    key: str
    base: int
    rows: int
    chunks: tuple[HarvestedChunk, ...]

    @property
    def weight(self) -> int:
        """What the pool sorts tasks by."""
        return self.rows


class KeySettings(BaseModel, frozen=True):
    """What `read_group` depends on."""

    folder: str
    scope: str
    rule: Rule
    url_rule: Rule
    quality_column: str | None
    text: bool
    url: bool
    fuzzy: bool


class GroupDocuments(BaseModel, frozen=True):
    """A group whose flat columns are written. `width` is the number of values of a signature, 0 where none
    was read; `earlier` is how many of the documents an earlier run has published.
    """

    key: str
    base: int
    rows: int
    folder: str
    documents: int
    width: int
    earlier: int = 0

    def path(self, column: str) -> str:
        """The flat file of a column."""
        return storage.join(self.folder, f"{column}-{self.key}.bin")


def group_chunks(chunks: Sequence[HarvestedChunk], task_rows: int) -> list[Group]:
    """Cut the chunks, in the order of their ordinals, into groups of about `task_rows` rows.

    Raises:
        ValueError: where the rows of two chunks share an ordinal, or ordinals do not fit 32 bits.
    """
    groups: list[Group] = []
    members: list[HarvestedChunk] = []
    for chunk in sorted(chunks, key=lambda each: (each.base, each.rows)):
        last = members[-1] if members else groups[-1].chunks[-1] if groups else None
        if last is not None and last.base + last.rows > chunk.base:
            raise ValueError(f"chunks {last.key} and {chunk.key} share ordinals")
        if chunk.base + chunk.rows > 2**32 - 1:
            raise ValueError(f"chunk {chunk.key} ends beyond 2^32 documents; deduplicate fewer at a time")
        if members and chunk.base + chunk.rows - members[0].base > task_rows:
            groups.append(_group(len(groups), members))
            members = []
        members.append(chunk)
    if members:
        groups.append(_group(len(groups), members))
    return groups


def _group(index: int, members: list[HarvestedChunk]) -> Group:
    first, last = members[0], members[-1]
    rows = last.base + last.rows - first.base
    return Group(key=f"group-{index:06d}", base=first.base, rows=rows, chunks=tuple(members))


# ---- Parquet -> flat columns


def read_group(item: Group, shared: KeySettings) -> GroupDocuments:
    """Task: read the columns of a group's chunks and write those of the documents that take part.

    Documents take part when their `status` is "kept" and they have words (a signature, or a word count other
    than 0); those of earlier runs have no status.

    Raises:
        UserError: where a file misses a column that the settings need, or has another number of rows than
        announced.
    """
    read = [(chunk, _read_chunk(chunk, shared)) for chunk in item.chunks]
    parts = [part for _, part in read if len(part[0])]
    widths = {part[2].shape[1] for part in parts}
    if len(widths) > 1:
        raise UserError(f"signatures of {sorted(widths)} values in {item.chunks[0].path} and its neighbours")
    width = widths.pop() if widths else 0
    result = GroupDocuments(
        key=item.key,
        base=item.base,
        rows=item.rows,
        folder=shared.folder,
        documents=sum(len(part[0]) for part in parts),
        width=width,
        earlier=sum(len(part[0]) for chunk, part in read if chunk.earlier is not None),
    )
    write_array(result.path("ordinals"), *(part[0] for part in parts))
    write_array(result.path("documents"), *(part[1] for part in parts))
    if shared.fuzzy:
        write_array(result.path("signatures"), *(part[2] for part in parts))
    return result


def _read_chunk(chunk: HarvestedChunk, settings: KeySettings) -> tuple[U32, npt.NDArray[Any], U32]:
    """Ordinals, documents and signatures of a chunk's documents that take part."""
    with storage.open_read(chunk.path) as file:
        parquet = pq.ParquetFile(file)
        present = set(parquet.schema_arrow.names)
        needed = columns_read(settings, chunk.earlier is not None)
        if missing := sorted(needed - present):
            raise UserError(f"deduplication: {chunk.path} has no column {', '.join(missing)}")
        if not settings.fuzzy and _COUNT in present:
            needed = needed | {_COUNT}
        table = parquet.read(columns=sorted(needed)).combine_chunks()
    if table.num_rows != chunk.rows:
        raise UserError(f"deduplication: {chunk.path} has {table.num_rows} rows, {chunk.rows} were announced")
    kept = pa.chunked_array([pa.array(np.ones(table.num_rows, np.bool_))])
    if chunk.earlier is None:
        kept = pc.equal(table["status"].cast(pa.string()), "kept")
    if settings.fuzzy:
        kept = pc.and_(kept, table["minhash"].is_valid())
    elif _COUNT in table.column_names:
        kept = pc.and_(kept, pc.fill_null(pc.greater(table[_COUNT], 0), True))
    rows = np.flatnonzero(np.asarray(pc.fill_null(kept, False)))
    table = table.take(pa.array(rows)).combine_chunks()
    signatures = _signatures(table) if settings.fuzzy else np.empty((len(rows), 0), np.uint32)
    return (
        (rows + chunk.base).astype(np.uint32),
        _documents(table, settings, chunk.earlier is not None),
        signatures,
    )


def columns_read(settings: KeySettings, earlier: bool = False) -> set[str]:
    """The columns that the settings need of a harvested chunk, or of an earlier run's shard."""
    if earlier:
        return earlier_columns(settings.scope, settings.text, settings.url, settings.fuzzy)
    needed = {"id", "status"}
    needed |= {"text_hash"} if settings.text else set()
    needed |= {"url_hash"} if settings.url else set()
    needed |= {"minhash"} if settings.fuzzy else set()
    needed |= {settings.scope} if settings.scope != "global" else set()
    for rule in (settings.rule, settings.url_rule) if settings.url else (settings.rule,):
        needed.add(
            {"longest": _COUNT, "quality": str(settings.quality_column), "newest": "date", "oldest": "date"}[
                rule
            ]
        )
    return needed


def _documents(table: pa.Table, settings: KeySettings, earlier: bool) -> npt.NDArray[Any]:
    out = np.zeros(table.num_rows, DOCUMENT)
    out["id_hi"], out["id_lo"] = parse_ids(_flat(table["id"]))
    if settings.scope != "global":
        out["scope"] = _scopes(_flat(table[settings.scope]))
    if settings.text:
        out["text_hi"], out["text_lo"] = _hash_halves(_flat(table["text_hash"]))
        out["has_text"] = np.asarray(table["text_hash"].is_valid())
    if settings.url:
        out["url"] = np.asarray(_flat(table["url_hash"]).cast(pa.uint64()).fill_null(0))
    if earlier:
        return out  # ranks 0, which no rule gives: what is published survives
    out["rank"] = ranks(table, settings.rule, settings.quality_column)
    if settings.url:
        out["url_rank"] = ranks(table, settings.url_rule, settings.quality_column)
    return out


def _flat(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks != 1 else column.chunk(0)


def _fixed(array: pa.Array) -> npt.NDArray[np.uint8]:
    """The bytes of a fixed-size binary array, a row per value; zeros where it is null."""
    width = array.type.byte_width
    if array.null_count:
        array = array.fill_null(bytes(width))
    data = np.frombuffer(array.buffers()[1], np.uint8)[array.offset * width :]
    return data[: len(array) * width].reshape(len(array), width)


def _signatures(table: pa.Table) -> U32:
    kind = table.schema.field("minhash").type
    if not pa.types.is_fixed_size_binary(kind) or kind.byte_width % 4:
        raise UserError(f"deduplication: column minhash is {kind}, not fixed_size_binary of 4 K bytes")
    if table.num_rows == 0:
        return np.empty((0, kind.byte_width // 4), np.uint32)
    return _fixed(_flat(table["minhash"])).view("<u4")


def _hash_halves(array: pa.Array) -> tuple[U64, U64]:
    """A 64-bit hash and zeros, or the halves of a 128-bit one."""
    if pa.types.is_fixed_size_binary(array.type) and array.type.byte_width == 16:
        both = _fixed(array).view("<u8")
        return both[:, 0], both[:, 1]
    values = np.asarray(array.cast(pa.uint64()).fill_null(0))
    return values, np.zeros_like(values)


def _scopes(array: pa.Array) -> U64:
    """A 64-bit number (XXH3) for each value; documents without one share a scope of their own."""
    encoded = array.cast(pa.string()).fill_null("").dictionary_encode()
    each = [xxhash.xxh3_64_intdigest(value.encode()) for value in encoded.dictionary.to_pylist()]
    numbers: U64 = np.array(each, np.uint64)
    indices: I64 = np.asarray(encoded.indices, np.int64)
    return numbers[indices]


def parse_ids(array: pa.Array) -> tuple[U64, U64]:
    """Ids of 32 hexadecimal digits as the two halves of a 128-bit number, which order as the digits do.

    Raises:
        ValueError: where an id is null or not of that form.
    """
    if len(array) == 0:
        return np.empty(0, np.uint64), np.empty(0, np.uint64)
    array = array.cast(pa.large_string())
    if array.null_count or pc.any(pc.not_equal(pc.binary_length(array), 32)).as_py():
        raise ValueError("an id is not of 32 hexadecimal digits")
    offsets = np.frombuffer(array.buffers()[1], np.int64)
    start = int(offsets[array.offset])
    digits = _NIBBLES[np.frombuffer(array.buffers()[2], np.uint8)[start : start + 32 * len(array)]]
    if (digits == 255).any():
        raise ValueError("an id is not of 32 hexadecimal digits")
    halves = ((digits[0::2] << 4) | digits[1::2]).view(">u8").reshape(-1, 2).astype(np.uint64)
    return halves[:, 0], halves[:, 1]


def format_ids(high: U64, low: U64) -> pa.Array:
    """The inverse of `parse_ids`."""
    octets = np.stack([high, low], axis=1).astype(">u8").view(np.uint8)
    digits = np.stack([_DIGITS[octets >> 4], _DIGITS[octets & 15]], axis=2).reshape(-1)
    offsets = pa.array(np.arange(len(high) + 1, dtype=np.int32) * 32)
    return pa.StringArray.from_buffers(len(high), offsets.buffers()[1], pa.py_buffer(digits))


# ---- survivor ranks


def ranks(table: pa.Table, rule: Rule, quality_column: str | None) -> U64:
    """A number per document that orders as the rule prefers: the smallest survives. `LAST` where the value is
    missing.
    """
    if rule == "longest":
        return _descending(_ordered(_floats(_flat(table[_COUNT]))))
    if rule == "quality":
        return _descending(_ordered(_floats(_flat(table[str(quality_column)]))))
    micros, known = timestamps(_flat(table["date"]))
    ascending = micros.view(np.uint64) ^ _SIGN
    ascending[~known] = LAST if rule == "oldest" else 0
    return ascending if rule == "oldest" else ~ascending


def _floats(array: pa.Array) -> npt.NDArray[np.float64]:
    return np.asarray(array.cast(pa.float64()).fill_null(float("nan")))


def _ordered(values: npt.NDArray[np.float64]) -> U64:
    """Numbers that order as the floats do, never the largest nor 0; 0 for NaN."""
    bits = (values + 0.0).view(np.uint64)  # + 0.0: both zeros are one value
    ordered = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    ordered[np.isnan(values)] = 0
    return ordered


def _descending(ordered: U64) -> U64:
    return ~ordered


def timestamps(array: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """ISO 8601 dates as microseconds since 1970 in UTC (taken as UTC where no zone is given), and which are
    valid.
    """
    array = array.cast(pa.string())
    # Arrow is ten times as fast, but accepts other forms than Python does; only on this one do both agree.
    if pc.all(pc.match_substring_regex(array, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")).as_py():
        with contextlib.suppress(pa.ArrowInvalid):  # a 13th month, a 31st of June
            cast = array.cast(pa.timestamp("us", tz="UTC"))
            return np.array(cast.cast(pa.int64()).fill_null(0), np.int64), np.array(cast.is_valid(), np.bool_)
    each = [_timestamp(value) for value in array.to_pylist()]
    known = np.array([value is not None for value in each], np.bool_)
    return np.array([value or 0 for value in each], np.int64), known


def _timestamp(text: str | None) -> int | None:
    try:
        moment = datetime.datetime.fromisoformat(text or "")
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return (moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) // datetime.timedelta(microseconds=1)


# ---- signatures -> band keys


@njit(cache=True, nogil=True)
def _scope(keys: Any, scopes: Any) -> Any:
    out = np.empty(keys.shape, np.uint64)
    for i in range(keys.shape[0]):
        for band in range(keys.shape[1]):
            out[i, band] = mix64(keys[i, band] + scopes[i])
    return out


def scoped(keys: U64, scopes: U64) -> U64:
    """Band keys (documents x bands) that are equal only within a scope, and whose bits are all well mixed."""
    return _scope(keys, scopes)  # type: ignore[no-any-return]


@njit(cache=True, nogil=True)
def _pack_records(keys: Any, ordinals: Any, partitions: int) -> Any:
    documents, bands = keys.shape
    count = np.uint64(partitions)
    starts = np.zeros(partitions + 1, np.int64)
    for i in range(documents):
        for band in range(bands):
            starts[partition_of(keys[i, band], count) + 1] += 1
    for p in range(partitions):
        starts[p + 1] += starts[p]
    nexts = starts[:-1].copy()
    packed_keys = np.empty(documents * bands, np.uint64)
    packed_ordinals = np.empty(documents * bands, np.uint32)
    for i in range(documents):
        for band in range(bands):
            at = partition_of(keys[i, band], count)
            packed_keys[nexts[at]] = keys[i, band]
            packed_ordinals[nexts[at]] = ordinals[i]
            nexts[at] += 1
    return packed_keys, packed_ordinals, starts


def pack_records(keys: U64, ordinals: U32, partitions: int) -> tuple[U64, U32, I64]:
    """The (key, ordinal) records of documents x bands by partition, in the order of the documents; where
    partitions start.
    """
    return _pack_records(keys, ordinals, partitions)  # type: ignore[no-any-return]


class BandGroup(BaseModel, frozen=True):
    """A group and its documents that are exact copies of others (not compared again)."""

    key: str
    group: GroupDocuments
    levels: str

    @property
    def weight(self) -> int:
        """What the pool sorts tasks by."""
        return self.group.documents


class BandSettings(BaseModel, frozen=True):
    """What `write_bands` and `group_bands` depend on. `chains`: see `group.candidate_edges`; `earlier`: the first ordinal
    of the documents of earlier runs.
    """

    folder: str
    bands: int
    rows: int
    partitions: int
    edge_partitions: int
    chains: bool
    earlier: int = NOBODY


_SLICE = 8192
"""Documents whose signatures are copied at a time: 3.7 MB, which stay in the cache until their keys are made."""


def write_bands(item: BandGroup, shared: BandSettings) -> Blocks:
    """Task: the band keys of a group's documents, packed by partition: uint64 keys, then uint32 ordinals."""
    rows = np.flatnonzero(open_array(item.levels, np.uint8) == 0)
    keys = _band_keys(item.group, rows, shared)
    ordinals = open_array(item.group.path("ordinals"), np.uint32)[rows]
    packed_keys, packed_ordinals, starts = pack_records(keys, ordinals, shared.partitions)
    with write_blocks(storage.join(shared.folder, f"bands-{item.key}.bin")) as writer:
        for p in range(shared.partitions):
            here = slice(starts[p], starts[p + 1])
            writer.add(p, packed_keys[here], packed_ordinals[here])
    return Blocks(blocks=writer.blocks, counts={"documents": len(rows), "records": keys.size})


def _band_keys(group: GroupDocuments, rows: I64, settings: BandSettings) -> U64:
    """The scoped keys of some documents of a group, a row each."""
    from filters.minhash import band_keys

    keys = np.empty((len(rows), settings.bands), np.uint64)
    if len(rows) == 0:
        return keys
    signatures = open_array(group.path("signatures"), np.uint32, group.width)
    scopes = open_array(group.path("documents"), DOCUMENT)["scope"][rows]
    for start in range(0, len(rows), _SLICE):
        here = slice(start, start + _SLICE)
        keys[here] = scoped(band_keys(signatures[rows[here]], settings.bands, settings.rows), scopes[here])
    return keys
