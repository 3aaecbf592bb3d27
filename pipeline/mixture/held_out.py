"""Held-out documents: written apart, so that losses can be measured on them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from pipeline import storage
from pipeline.dedup.arrays import open_array
from pipeline.mixture.sequences import Digested
from pipeline.mixture.tokens import DOCUMENT


class HeldOutItem(BaseModel, frozen=True):
    """A component's token files and where its held-out documents go."""

    key: str
    name: str
    files: tuple[tuple[str, str], ...]
    path: str
    dtype: str


class Empty(BaseModel, frozen=True):
    """Tasks that need no shared settings."""


class HeldOutWritten(BaseModel):
    """A file of held-out documents."""

    component: str
    documents: int
    tokens: int
    sha256: str


HELD_OUT_SCHEMA = pa.schema([("doc_id", pa.binary(16)), ("tokens", pa.list_(pa.int32()))])


def write_held_out(item: HeldOutItem, shared: Empty) -> HeldOutWritten:  # noqa: ARG001 - a task takes both
    """Task: write the held-out documents of a component, in the order of its inputs."""
    documents = tokens = 0
    with storage.write_atomically(item.path) as file:
        digested = Digested(file)
        sink = pa.PythonFile(digested, mode="w")
        with pq.ParquetWriter(sink, HELD_OUT_SCHEMA, compression="zstd", use_dictionary=False) as writer:
            for tokens_path, documents_path in item.files:
                ids, lists = _held_out_of(tokens_path, documents_path, item.dtype)
                if ids:
                    writer.write_table(pa.table([ids, lists], schema=HELD_OUT_SCHEMA))
                documents, tokens = documents + len(ids), tokens + sum(map(len, lists))
    return HeldOutWritten(
        component=item.name, documents=documents, tokens=tokens, sha256=digested.hexdigest()
    )


def _held_out_of(
    tokens_path: str, documents_path: str, dtype: str
) -> tuple[list[bytes], list[npt.NDArray[np.int32]]]:
    """Ids and tokens of a token file's held-out documents."""
    records = open_array(documents_path, DOCUMENT)
    ends = np.cumsum(records["tokens"], dtype=np.int64)
    rows = np.flatnonzero(records["held_out"] == 1).tolist()
    flat = open_array(tokens_path, dtype)
    lists = [flat[ends[row] - records["tokens"][row] : ends[row]].astype(np.int32) for row in rows]
    return [records["id"][row].tobytes() for row in rows], lists
