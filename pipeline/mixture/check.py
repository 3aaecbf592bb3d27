"""What can be told from one shard's file: that it is whole, that its sequences are sequences, and which copies it holds.

Nothing is taken from the build's own records but what the file must be (name, checksum, plan). Each finding is a sentence
with the place first, so that a person can look there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.dedup.arrays import I64
from pipeline.mixture.layout import METADATA, SCHEMA
from pipeline.mixture.plan import MixturePlan
from pipeline.mixture.sequences import ShardWritten, metadata

CLAIM = np.dtype(
    [
        ("id_hi", "<u8"),
        ("id_lo", "<u8"),
        ("tokens", "<u4"),
        ("shard", "<u4"),
        ("source", "<u2"),
        ("stratum", "<u2"),
        ("epoch", "<u2"),
        ("held_out", "u1"),
        ("is_input", "u1"),
    ]
)
"""A copy that a shard holds, or a document that an input has (`is_input`; only that knows stratum and held_out)."""

MOST_ALIKE = 3
"""Findings of one kind that are listed of a shard; more are counted."""


@dataclass
class Findings:
    """What is wrong, with the place; of each kind only the first are spelled out."""

    place: str
    lines: list[str] = field(default_factory=list)
    _kinds: dict[str, int] = field(default_factory=dict)

    def add(self, where: str, what: str, kind: str) -> None:
        """Note that something is wrong at a place in the file."""
        count = self._kinds[kind] = self._kinds.get(kind, 0) + 1
        if count <= MOST_ALIKE:
            self.lines.append(": ".join(part for part in (self.place, where, what) if part))

    def rows(self, wrong: npt.NDArray[np.bool_], first_row: int, what: str) -> None:
        """Note all sequences in which something is wrong."""
        for row in np.flatnonzero(wrong).tolist():
            self.add(f"sequence {first_row + row}", what, what)

    def closed(self) -> list[str]:
        """All lines, with how many more there are of each kind."""
        more = [
            f"{self.place}: {count - MOST_ALIKE:,} more like this: {kind}"
            for kind, count in self._kinds.items()
            if count > MOST_ALIKE
        ]
        return [*self.lines, *more]


def check_file(path: str, written: ShardWritten, plan: MixturePlan) -> tuple[npt.NDArray[Any], list[str]]:
    """The copies that a shard's file holds (records of `CLAIM`), and what is wrong with it."""
    found = Findings(written.name)
    empty = np.empty(0, CLAIM)
    if not storage.exists(path):
        return empty, [f"{written.name}: the file is missing"]
    size, digest = _digest(path)
    if size != written.bytes:
        found.add("", f"it has {size:,} bytes, and {written.bytes:,} were written", "size")
    if digest != written.sha256:
        found.add("", f"its SHA-256 is {digest}, and {written.sha256} was written: it was changed", "sha256")
    try:
        with storage.open_read(path) as file:
            parquet = pq.ParquetFile(file)
            if not _check_header(parquet, written, plan, found):
                return empty, found.closed()
            pieces = [_check_group(table, row, plan, found) for row, table in _groups(parquet)]
    except (pa.ArrowException, OSError) as error:
        found.add("", f"it cannot be read as Parquet: {error}", "unreadable")
        return empty, found.closed()
    claims = _check_copies(np.concatenate(pieces) if pieces else np.empty(0, PIECE), plan, found)
    claims["shard"] = written.index
    return claims, found.closed()


def _digest(path: str) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with storage.open_read(path) as file:
        while piece := file.read(1 << 22):
            digest.update(piece)
            size += len(piece)
    return size, digest.hexdigest()


def _check_header(parquet: pq.ParquetFile, written: ShardWritten, plan: MixturePlan, found: Findings) -> bool:
    """Whether the columns can be checked at all."""
    schema = parquet.schema_arrow
    if not schema.equals(SCHEMA):
        found.add("", f"its columns are not those of a shard: {', '.join(schema.names)}", "schema")
        return False
    about = (schema.metadata or {}).get(METADATA.encode(), b"")
    if json.dumps(metadata(plan, written.index)).encode() != about:
        found.add("", "its metadata are not those of this shard and plan", "metadata")
    if parquet.metadata.num_rows != written.rows:
        found.add("", f"it has {parquet.metadata.num_rows:,} sequences, not {written.rows:,}", "rows")
    return True


def _groups(parquet: pq.ParquetFile) -> Iterator[tuple[int, pa.Table]]:
    row = 0
    for group in range(parquet.metadata.num_row_groups):
        table = parquet.read_row_group(group, use_threads=False)
        yield row, table
        row += table.num_rows


# ---- sequences

PIECE = np.dtype(
    [
        ("id_hi", "<u8"),
        ("id_lo", "<u8"),
        ("offset", "<i8"),
        ("length", "<i8"),
        ("row", "<i8"),
        ("source", "<i4"),
        ("epoch", "<i4"),
        ("first", "<i4"),  # its first and last tokens
        ("last", "<i4"),
        ("ends", "<i4"),  # end-of-sequence tokens in it
    ]
)


def _check_group(table: pa.Table, first_row: int, plan: MixturePlan, found: Findings) -> npt.NDArray[Any]:
    """Check the sequences of a row group; the pieces in them."""
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    rows, length = table.num_rows, plan.sequence_length
    index = columns["seq_index"].to_numpy()
    found.rows(index != np.arange(first_row, first_row + rows), first_row, "seq_index is not its position")
    sizes = _counts(columns["input_ids"])
    found.rows(sizes != length, first_row, f"it does not have {length} tokens")
    lens, n_pad = columns["doc_lens"], columns["n_pad"].to_numpy()
    values = lens.flatten().to_numpy()
    sums = _sums(values, _counts(lens))
    found.rows(sums != length, first_row, f"doc_lens do not add up to {length}")
    found.rows(_sums(values <= 0, _counts(lens)) > 0, first_row, "doc_lens holds a length below 1")
    pieces = _counts(lens) - (n_pad > 0)
    uneven = np.zeros(rows, np.bool_)
    for name in ("source", "doc_id", "doc_offset", "epoch"):
        uneven |= _counts(columns[name]) != pieces
    found.rows(uneven, first_row, "its lists have different numbers of pieces")
    bad = (sizes != length) | (sums != length) | uneven | (_sums(values <= 0, _counts(lens)) > 0)
    if bad.any():  # the rest would compare what does not belong together
        return np.empty(0, PIECE)
    return _pieces(columns, n_pad, first_row, plan, found)


def _pieces(
    columns: dict[str, Any], n_pad: npt.NDArray[np.int32], first_row: int, plan: MixturePlan, found: Findings
) -> npt.NDArray[Any]:
    length, rows = plan.sequence_length, len(n_pad)
    ids = columns["input_ids"].flatten().to_numpy().reshape(rows, length)
    lens = columns["doc_lens"].flatten().to_numpy().astype(np.int64)
    counts = _counts(columns["doc_lens"])
    last = np.cumsum(counts) - 1
    found.rows((n_pad < 0) | ((n_pad > 0) & (lens[last] != n_pad)), first_row, "n_pad is not the last length")
    is_padding = np.zeros(len(lens), np.bool_)
    is_padding[last[n_pad > 0]] = True
    in_padding = np.arange(length) >= length - n_pad[:, None]
    found.rows(((ids != plan.pad_id) & in_padding).any(axis=1), first_row, "its padding holds other tokens")
    found.rows(
        ((ids < 0) | (ids >= plan.vocabulary)).any(axis=1), first_row, "a token is not in the vocabulary"
    )
    ends = np.cumsum(lens)  # positions in the tokens of all rows, since each row's lengths add up
    flat = ids.ravel()
    is_end = flat == plan.eos_id if plan.eos_id is not None else np.zeros(len(flat), np.bool_)
    end_counts = np.concatenate([[0], np.cumsum(is_end)])
    pieces = np.zeros(len(lens), PIECE)
    pieces["length"], pieces["row"] = lens, first_row + np.repeat(np.arange(rows), counts)
    pieces["first"], pieces["last"] = flat[ends - lens], flat[ends - 1]
    pieces["ends"] = end_counts[ends] - end_counts[ends - lens]
    pieces = pieces[~is_padding]
    raw = columns["doc_id"].flatten()
    halves = (
        np.array([b"".join(raw.to_pylist())]).view(">u8").reshape(-1, 2) if len(raw) else np.zeros((0, 2))
    )
    pieces["id_hi"], pieces["id_lo"] = halves[:, 0], halves[:, 1]
    pieces["source"] = columns["source"].flatten().to_numpy()
    pieces["offset"] = columns["doc_offset"].flatten().to_numpy()
    pieces["epoch"] = columns["epoch"].flatten().to_numpy()
    return pieces


def _counts(lists: pa.ListArray) -> I64:
    return np.asarray(np.diff(lists.offsets.to_numpy()), np.int64)


def _sums(values: npt.NDArray[Any], counts: I64) -> I64:
    """Sums of neighbouring values, so many for each (0 for none)."""
    ends = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    stops = np.cumsum(counts)
    return np.asarray(ends[stops] - ends[stops - counts], np.int64)


# ---- copies


def _check_copies(pieces: npt.NDArray[Any], plan: MixturePlan, found: Findings) -> npt.NDArray[Any]:
    """Put the pieces of each copy together: they must follow each other from its first token to its last."""
    pieces = pieces[np.lexsort(tuple(pieces[n] for n in ("offset", "epoch", "id_lo", "id_hi", "source")))]
    names = ("source", "id_hi", "id_lo", "epoch")
    is_first = np.ones(len(pieces), np.bool_)
    is_first[1:] = np.any([pieces[name][1:] != pieces[name][:-1] for name in names], axis=0)
    starts = np.flatnonzero(is_first)
    is_last = np.append(is_first[1:], True)[: len(pieces)]
    expected = np.zeros(len(pieces), np.int64)
    expected[1:] = (pieces["offset"] + pieces["length"])[:-1]
    expected[is_first] = 0
    _note(found, pieces, pieces["offset"] != expected, "a document's pieces do not follow each other")
    if plan.eos_id is not None:
        wrong = pieces["ends"] != is_last
        wrong |= is_last & (pieces["last"] != plan.eos_id)
        _note(found, pieces, wrong, "the end of a document is not where its end mark is")
    if plan.bos_id is not None:
        wrong = is_first & (pieces["first"] != plan.bos_id)
        _note(found, pieces, wrong, "a document does not begin with its begin mark")
    _note(found, pieces, (pieces["source"] < 0) | (pieces["source"] >= len(plan.sources)), "unknown source")
    tokens = np.add.reduceat(pieces["length"], starts) if len(starts) else np.empty(0, np.int64)
    if plan.packing == "best_fit":
        cut = (np.diff(np.append(starts, len(pieces))) > 1) & (tokens <= plan.sequence_length)
        _note(found, pieces[starts], cut, "a document that fits a sequence is cut")
    claims = np.zeros(len(starts), CLAIM)
    for name in names:
        claims[name] = pieces[name][starts]
    claims["tokens"] = tokens
    return claims


def _note(found: Findings, pieces: npt.NDArray[Any], wrong: npt.NDArray[np.bool_], what: str) -> None:
    for piece in pieces[wrong]:
        found.add(f"sequence {piece['row']}, document {document_name(piece)}", what, what)


def document_name(record: npt.NDArray[Any]) -> str:
    """A document's id as 32 hex digits."""
    return f"{int(record['id_hi']):016x}{int(record['id_lo']):016x}"
