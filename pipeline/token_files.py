"""The task that encodes a split to a file of tokens. It needs no Beam, and so do the workers that run it.

    KEY.parquet   id (string), tokens (list<int32>), n (int32); rows in the order of the input

`id` is the input's own, where it has one, and otherwise the id that corpusmill gives a document for its URL or
text. The file's metadata names the tokenizer (`tokenizer.sha256`). Records without a readable text are in no
file; the receipt counts them by reason.
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel

from pipeline import progress, storage
from pipeline.chunks import Split
from pipeline.errors import UserError
from pipeline.sources import ReadSettings, SplitReader, TextColumns
from tokenizer import Tokenizer, load
from tokenizer.errors import TokenizerError
from tokenizer.model import Encoder

SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("tokens", pa.list_(pa.int32()), nullable=False),
        pa.field("n", pa.int32(), nullable=False),
    ]
)


class EncodePlan(BaseModel, frozen=True):
    """What encoding needs: the tokenizer by path and checksum, how records are read, where files go."""

    tokenizer: str
    sha256: str
    encoder: Encoder
    reading: ReadSettings
    folder: str


class EncodeItem(BaseModel, frozen=True):
    """A split to encode; `weight` is what the pool sorts tasks by."""

    key: str
    split: Split
    weight: int


class TokensWritten(BaseModel):
    """Receipt of `encode_split`."""

    source: str
    path: str
    sha256: str
    documents: int
    tokens: int
    text_bytes: int
    failed: dict[str, int]


@functools.lru_cache(maxsize=2)
def open_tokenizer(path: str, encoder: Encoder = "auto") -> Tokenizer:
    """A tokenizer's folder or model file; once per process.

    Raises:
        UserError: when there is none, or the encoder cannot be used with it.
    """
    try:
        return load(path, encoder)
    except TokenizerError as error:
        raise UserError(str(error)) from error


def reading_for(text_column: str, id_column: str) -> ReadSettings:
    """How records are read for encoding.

    The reader makes ids from a document's own id; the own id itself comes through as its URL, which it keeps.
    """
    return ReadSettings(columns=TextColumns(text=text_column, id=None, url=id_column, date=None, title=None))


def encode_split(item: EncodeItem, plan: EncodePlan) -> TokensWritten:
    """Task: encode the documents of a split.

    Raises:
        UserError: when the tokenizer is not the one of the plan.
    """
    tokenizer = open_tokenizer(plan.tokenizer, plan.encoder)
    if tokenizer.sha256 != plan.sha256:
        raise UserError(f"{plan.tokenizer} is no longer the tokenizer that the run was planned with.")
    made = TokensWritten(
        source=item.split.source,
        path=storage.join(plan.folder, f"{item.key}.parquet"),
        sha256="",
        documents=0,
        tokens=0,
        text_bytes=0,
        failed={},
    )
    failed: Counter[str] = Counter()
    schema = SCHEMA.with_metadata({"tokenizer.sha256": plan.sha256})
    with (
        storage.write_atomically(made.path) as file,
        # Tokens hardly repeat: a dictionary makes their column a quarter larger, and ids never do.
        pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=False) as writer,
    ):
        for batch in _encoded(item.split, plan.reading, tokenizer, made, failed):
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))
    made.failed = dict(sorted(failed.items()))
    made.sha256 = hashlib.sha256(storage.read_bytes(made.path)).hexdigest()
    progress.add(tasks=1)
    return made


def _encoded(
    split: Split, reading: ReadSettings, tokenizer: Tokenizer, made: TokensWritten, failed: Counter[str]
) -> Iterator[pa.RecordBatch]:
    for chunk in SplitReader(split, reading):
        batch = chunk.batch
        failed.update(error for error in batch["error"].to_pylist() if error is not None)
        batch = batch.filter(batch["text"].is_valid())
        if not batch.num_rows:
            continue
        tokens = tokenizer.encode_column(batch["text"])
        size = int(pc.sum(pc.binary_length(batch["text"])).as_py())
        made.documents += batch.num_rows
        made.tokens += len(tokens.values)
        made.text_bytes += size
        progress.add(documents=batch.num_rows, bytes=size)
        ids = pc.coalesce(batch["url"], batch["id"])
        yield pa.RecordBatch.from_arrays([ids, tokens, pc.list_value_length(tokens)], schema=SCHEMA)
