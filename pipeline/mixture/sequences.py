"""Packs the copies of a shard and writes them as Parquet (columns: `layout`)."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from pipeline import progress, storage
from pipeline.dedup.arrays import I64, U8, open_array, read_blocks
from pipeline.errors import UserError
from pipeline.mixture.layout import METADATA, SCHEMA
from pipeline.mixture.pack import Packed, fill, pack_best_fit, pack_concat
from pipeline.mixture.plan import MixturePlan
from pipeline.mixture.select import COPY, Copies, Shard, order_in_shard, taken

GROUP_TOKENS, GROUP_ROWS = 1 << 22, 1024
"""Tokens and rows of a row group, at most (one sequence at least): 16 MiB of tokens."""


class PackSettings(BaseModel, frozen=True):
    """What all shards share. `files` is a JSON list of token files, `classes` the bytes of `piece_classes`."""

    output: str
    files: str
    classes: str
    dtype: str
    plan: MixturePlan


class StratumWritten(BaseModel):
    """What a shard holds of a stratum."""

    copies: int = 0
    tokens: int = 0


class ShardWritten(BaseModel):
    """Receipt of a shard: its file, and what is in it."""

    index: int
    name: str
    rows: int
    tokens: int
    """Tokens of documents; padding is not among them."""
    padding: int
    pieces: int
    cut_documents: int
    """Appearances of documents that lie in more than one piece."""
    bytes: int
    sha256: str
    strata: list[StratumWritten]


def shard_name(index: int, shards: int) -> str:
    """The file of a shard, in the output folder."""
    return f"sequences/shard-{index:05d}-of-{shards:05d}.parquet"


def metadata(plan: MixturePlan, index: int) -> dict[str, Any]:
    """What a shard's file says about itself."""
    return {
        "format": plan.format,
        "plan": plan.digest,
        "shard": index,
        "shards": plan.shards,
        "sequence_length": plan.sequence_length,
        "packing": plan.packing,
        "seed": plan.seed,
        "tokenizer_sha256": plan.tokenizer_sha256,
        "vocabulary": plan.vocabulary,
        "bos_id": plan.bos_id,
        "eos_id": plan.eos_id,
        "pad_id": plan.pad_id,
        "sources": plan.sources,
    }


def pack_shard(item: Shard, shared: PackSettings) -> ShardWritten:
    """Task: select the copies of a shard, read their tokens, pack them and write the file.

    Raises:
        UserError: when nothing falls to the shard.
    """
    plan = shared.plan
    copies = taken(_sorted(read_blocks(item.blocks, COPY)), item.whole, item.partial)
    if len(copies) == 0:
        raise UserError(
            f"no document falls to shard {item.index} of {plan.shards}: ask for fewer `shards`, "
            "there are hardly more documents than that."
        )
    copies = copies[order_in_shard(copies)]
    written = _counted(item, plan, copies)
    name = storage.join(shared.output, written.name)
    with storage.write_atomically(name) as file:
        digested = Digested(file)
        _write(digested, _windows(copies, plan.window_tokens), shared, written)
    written.bytes, written.sha256 = digested.size, digested.hexdigest()
    progress.add(documents=len(copies), tasks=1)
    return written


def _sorted(copies: Copies) -> Copies:
    return copies[np.lexsort(tuple(copies[name] for name in ("id_lo", "id_hi", "hash", "epoch", "stratum")))]


def _counted(item: Shard, plan: MixturePlan, copies: Copies) -> ShardWritten:
    strata = len(plan.strata)
    counts = np.bincount(copies["stratum"], minlength=strata)
    tokens = [int(copies["tokens"][copies["stratum"] == at].sum(dtype=np.int64)) for at in range(strata)]
    return ShardWritten(
        index=item.index,
        name=shard_name(item.index, plan.shards),
        rows=0,
        tokens=sum(tokens),
        padding=0,
        pieces=0,
        cut_documents=0,
        bytes=0,
        sha256="",
        strata=[
            StratumWritten(copies=int(count), tokens=size) for count, size in zip(counts, tokens, strict=True)
        ],
    )


def _windows(copies: Copies, window_tokens: int) -> Iterator[Copies]:
    """The copies in about equal parts of at most about `window_tokens` tokens; a copy is in one part."""
    ends = np.cumsum(copies["tokens"], dtype=np.int64)
    total = int(ends[-1])
    parts = -(-total // window_tokens)
    # A copy belongs to the part in which its first token lies.
    part = (ends - copies["tokens"]) * parts // total
    edges = np.searchsorted(part, np.arange(parts + 1))
    for begin, end in itertools.pairwise(edges):
        if end > begin:
            yield copies[begin:end]


def _write(file: Digested, windows: Iterator[Copies], shared: PackSettings, written: ShardWritten) -> None:
    plan = shared.plan
    schema = SCHEMA.with_metadata({METADATA: json.dumps(metadata(plan, written.index))})
    rows = max(1, min(GROUP_ROWS, GROUP_TOKENS // plan.sequence_length))
    sink = pa.PythonFile(file, mode="w")
    # `use_dictionary=False`: 1.04 bytes a token, with dictionaries 1.33 (research D7).
    with pq.ParquetWriter(sink, schema, compression="zstd", use_dictionary=False) as writer:
        for copies in windows:
            table, packed = _packed(copies, shared, written.rows)
            writer.write_table(table.cast(schema), row_group_size=rows)
            written.rows += packed.sequences
            written.padding += packed.sequences * plan.sequence_length - int(packed.length.sum())
            written.pieces += len(packed.length)
            written.cut_documents += int((np.bincount(packed.document) > 1).sum())


def _packed(copies: Copies, shared: PackSettings, first_row: int) -> tuple[pa.Table, Packed]:
    """The sequences of a window."""
    plan = shared.plan
    tokens, starts = _read_tokens(copies, shared)
    if plan.packing == "concat":
        packed = pack_concat(starts, plan.sequence_length)
    else:
        packed = pack_best_fit(tokens, starts, _classes(shared), plan.sequence_length, copies["hash"])
    ids = fill(tokens, starts, packed, plan.sequence_length, plan.pad_id)
    return _table(ids, packed, copies, first_row), packed


def _read_tokens(copies: Copies, shared: PackSettings) -> tuple[npt.NDArray[Any], I64]:
    """The tokens of copies, one after the other, and where each begins; files are read in their own order."""
    starts = np.concatenate([[0], np.cumsum(copies["tokens"], dtype=np.int64)])
    tokens = np.empty(int(starts[-1]), shared.dtype)
    files = _files(shared.files)
    for at in np.lexsort((copies["offset"], copies["file"])).tolist():
        begin, size = int(copies["offset"][at]), int(copies["tokens"][at])
        found = _open_tokens(files[copies["file"][at]], shared.dtype)[begin : begin + size]
        tokens[starts[at] : starts[at] + size] = found
    return tokens, starts


@functools.lru_cache(maxsize=2)
def _files(path: str) -> list[str]:
    return json.loads(storage.read_bytes(path))  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=2)
def _open_tokens(path: str, dtype: str) -> npt.NDArray[Any]:
    return open_array(path, dtype)


def _classes(shared: PackSettings) -> U8:
    """The pieces' classes; without any, long documents are cut at the last token that fits."""
    classes = np.frombuffer(storage.read_bytes(shared.classes), np.uint8)
    return classes if shared.plan.long_documents == "sentence" else np.zeros_like(classes)


def _table(ids: npt.NDArray[np.int32], packed: Packed, copies: Copies, first_row: int) -> pa.Table:
    sequences, length = ids.shape
    lengths = np.add.reduceat(packed.length, packed.starts[:-1])
    padding = (length - lengths).astype(np.int32)
    documents = copies[packed.document]
    per_piece = pa.array(packed.starts.astype(np.int32))
    id_bytes = np.stack([documents["id_hi"], documents["id_lo"]], axis=1).astype(">u8").tobytes()
    doc_ids = pa.Array.from_buffers(pa.binary(16), len(documents), [None, pa.py_buffer(id_bytes)])
    columns = {
        "seq_index": pa.array(np.arange(first_row, first_row + sequences, dtype=np.int64)),
        "input_ids": _lists(
            pa.array(np.arange(sequences + 1, dtype=np.int32) * length), pa.array(ids.ravel())
        ),
        "doc_lens": _with_padding(packed, padding),
        "n_pad": pa.array(padding),
        "source": _lists(per_piece, pa.array(documents["source"].astype(np.int16))),
        "doc_id": _lists(per_piece, doc_ids),
        "doc_offset": _lists(per_piece, pa.array(packed.offset)),
        "epoch": _lists(per_piece, pa.array(documents["epoch"].astype(np.uint8))),
    }
    return pa.table(columns)


def _lists(offsets: pa.Array, values: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(offsets, values)


def _with_padding(packed: Packed, padding: npt.NDArray[np.int32]) -> pa.ListArray:
    """The lengths of the pieces, with the padding as one more where there is some."""
    ends = packed.starts[1:][padding > 0]
    values = np.insert(packed.length, ends, padding[padding > 0]).astype(np.int32)
    offsets = packed.starts + np.concatenate([[0], np.cumsum(padding > 0)])
    return _lists(pa.array(offsets.astype(np.int32)), pa.array(values))


class Digested:
    """A file opened for writing that knows the SHA-256 and the size of what went through it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._digest = file, hashlib.sha256()
        self.size = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        """Write on."""
        self._digest.update(data)
        self.size += len(data)
        self._file.write(data)
        return len(data)

    def tell(self) -> int:
        """Bytes written."""
        return self.size

    def flush(self) -> None:
        """Nothing: the file beneath is flushed when it is closed."""

    def close(self) -> None:
        """Leave the file beneath open; whoever opened it closes it."""
        self.closed = True

    def hexdigest(self) -> str:
        """The digest of what was written."""
        return self._digest.hexdigest()
