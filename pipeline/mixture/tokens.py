"""Documents -> token files: every text is encoded once, whatever weights, lengths and seeds are tried afterwards.

Of each split of a component's Parquet files there are, named after all that they come from:

    KEY.tokens      uint16 (uint32 from 65,537 pieces on): the tokens of its documents, one after the other
    KEY.documents   records of `DOCUMENT` in the same order

Documents that a filter, a missing tier or an empty text leaves out are counted by reason and are in neither.
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel

from pipeline import progress, storage
from pipeline.chunks import Split, with_columns
from pipeline.dedup.arrays import view_of
from pipeline.errors import UserError
from pipeline.mixture.documents import Reading, check_columns, choose
from pipeline.mixture.settings import Component, MixtureSettings
from pipeline.sources import ReadSettings, TextColumns
from pipeline.sources.discover import SourceConfig, plan_splits
from pipeline.sources.parquet import open_parquet
from tokenizer import Tokenizer, load
from tokenizer.errors import TokenizerError

DOCUMENT = np.dtype([("id", "u1", 16), ("tokens", "<u4"), ("tier", "u1"), ("held_out", "u1")])
"""A document: its id, its number of tokens (end marks included), the step of its tier, whether it is held out."""

BATCH_ROWS = 1000


@functools.lru_cache(maxsize=2)
def load_tokenizer(path: str) -> Tokenizer:
    """The tokenizer of a folder or model file; once per process.

    Raises:
        UserError: when there is none.
    """
    try:
        return load(path)
    except TokenizerError as error:
        raise UserError(f"tokenizer: {error}") from error


class TokenSplit(BaseModel, frozen=True):
    """Item of `tokenise`: row groups of a file, as they were when the run was planned."""

    key: str
    split: Split
    bytes: int
    changed: str
    reading: Reading

    @property
    def weight(self) -> int:
        """What the pool sorts tasks by."""
        return self.bytes * (self.split.stop - self.split.start)


class TokenSettings(BaseModel, frozen=True):
    """What all token files share. `pieces` is the tokenizer's vocabulary size."""

    folder: str
    tokenizer: str
    sha256: str
    pieces: int
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """How a token is stored."""
        return np.dtype("<u2" if self.pieces <= 1 << 16 else "<u4")


class TierCount(BaseModel):
    """Documents of one tier and their tokens, without and with held-out ones apart."""

    documents: int = 0
    tokens: int = 0
    held_out_documents: int = 0
    held_out_tokens: int = 0


class TokenFile(BaseModel):
    """Receipt of `tokenise`: where the tokens lie, and the books: read = left out + documents + held out, by tier."""

    key: str
    component: str
    tokens_path: str
    documents_path: str
    read: int
    left_out: dict[str, int]
    """Reason -> documents; a filter's reason is its column."""
    tiers: list[TierCount]


# ---- planning


def plan_tokens(settings: MixtureSettings, shared: TokenSettings | None = None) -> list[TokenSplit]:
    """The items of `tokenise`, in the order of components and inputs.

    Args:
        settings: the mixture.
        shared: what else decides the token files, and so their keys; None where none are made.

    Raises:
        UserError: files that are not there, or without the columns that the settings name.
    """
    items = []
    for name, component in settings.components.items():
        if not component.input:
            raise UserError(
                f"components.{name}: no input is given. Set its `input` (or --input {name}=GLOB), or leave it out "
                f"(--without {name})."
            )
        reading = _reading(name, component, settings)
        config = SourceConfig(
            name=name,
            inputs=component.input,
            format="parquet",
            reading=ReadSettings(columns=TextColumns(text=component.text)),
        )
        states: dict[str, tuple[int, str]] = {}
        for split in plan_splits(config, settings.split_bytes):
            if split.path not in states:
                states[split.path] = _state(split.path)
                check_columns(split.path, reading)
            size, changed = states[split.path]
            item = TokenSplit(key="", split=split, bytes=size, changed=changed, reading=reading)
            items.append(item.model_copy(update={"key": _key(item, shared)}))
    return items


def _reading(name: str, component: Component, settings: MixtureSettings) -> Reading:
    tiers = component.tiers
    return Reading(
        component=name,
        text=component.text,
        id=component.id,
        filters=component.filters,
        tier_column=tiers.column if tiers is not None else None,
        tier_mins=tuple(step.min for step in component.steps),
        held_out=settings.held_out.share,
    )


def _state(path: str) -> tuple[int, str]:
    """Size, and what tells that a file was changed."""
    fs, inner = storage.file_system(path)
    info = fs.info(inner)
    names = ("ETag", "etag", "md5Hash", "mtime", "LastModified")
    return int(info["size"]), str(next((info[name] for name in names if name in info), None))


def _key(item: TokenSplit, shared: TokenSettings | None) -> str:
    """A name that no other content has: other settings, inputs or tokenizers can share the folder."""
    encoded = shared.model_dump_json(exclude={"folder", "tokenizer"}) if shared is not None else ""
    made_of = item.model_dump_json() + encoded
    return f"{item.split.key}-{hashlib.blake2b(made_of.encode(), digest_size=8).hexdigest()}"


# ---- the task


def tokenise(item: TokenSplit, shared: TokenSettings) -> TokenFile:
    """Task: encode the texts of a split and write its token file.

    Raises:
        UserError: when the tokenizer is not the one of the plan, or a document has no id.
    """
    encoder = load_tokenizer(shared.tokenizer)
    if encoder.sha256 != shared.sha256:
        raise UserError(f"tokenizer: {shared.tokenizer} is no longer the one that the run was planned with.")
    made = _Writing(item, shared, encoder)
    tokens_path = storage.join(shared.folder, f"{item.key}.tokens")
    with storage.write_atomically(tokens_path) as file:
        for batch in read_batches(item):
            made.add(batch, file)
    documents_path = storage.join(shared.folder, f"{item.key}.documents")
    with storage.write_atomically(documents_path) as file:
        for records in made.records:
            file.write(view_of(records))
    progress.add(tasks=1)
    return TokenFile(
        key=item.key,
        component=item.reading.component,
        tokens_path=tokens_path,
        documents_path=documents_path,
        read=made.read,
        left_out=dict(sorted(made.left_out.items())),
        tiers=made.tiers,
    )


def read_batches(item: TokenSplit) -> Iterator[pa.RecordBatch]:
    """The rows of a split, of the columns that its component needs."""
    with storage.open_read(item.split.path) as file:
        parquet = open_parquet(item.split.path, file)
        groups = list(range(item.split.start, item.split.stop))
        reading = item.reading
        names = {name for name in (reading.text, reading.id, reading.tier_column, *reading.filters) if name}
        batches = parquet.iter_batches(
            BATCH_ROWS, row_groups=groups, columns=sorted(names), use_threads=False
        )
        for batch in batches:
            text = batch[reading.text]
            # Dictionaries and views are texts too.
            plain = text if text.type in (pa.string(), pa.large_string()) else text.cast(pa.large_string())
            yield with_columns(batch, {reading.text: plain})


class _Writing:
    """What a split's task has counted so far."""

    def __init__(self, item: TokenSplit, shared: TokenSettings, encoder: Tokenizer) -> None:
        self.item, self.shared, self.encoder = item, shared, encoder
        self.read = 0
        self.left_out: Counter[str] = Counter()
        self.tiers = [TierCount() for _ in item.reading.tier_mins]
        self.records: list[npt.NDArray[Any]] = []

    def add(self, batch: pa.RecordBatch, file: IO[bytes]) -> None:
        """Encode a batch's documents behind those that are written."""
        self.read += batch.num_rows
        chosen = choose(batch, self.item.reading, self.left_out)
        batch, tiers, ids = chosen.batch, chosen.tiers, chosen.ids
        try:
            texts = batch[self.item.reading.text].to_pylist()
        except UnicodeDecodeError as error:
            raise UserError(
                f"{self.item.split.path}: a text of column {self.item.reading.text} is no UTF-8 ({error.reason}). "
                "Run the file through a job first: that finds such documents and lists them in failed/."
            ) from error
        records = np.zeros(len(texts), DOCUMENT)
        pieces = []
        prefix, suffix = np.array(self.shared.prefix, np.int32), np.array(self.shared.suffix, np.int32)
        for row, found in enumerate(self.encoder.encode_batch(texts)):
            if len(found):
                whole = np.concatenate([prefix, found, suffix])
                records["tokens"][row] = len(whole)
                pieces.append(whole.astype(self.shared.dtype))
        records["id"] = np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 16)
        records["tier"], records["held_out"] = tiers, chosen.held_out
        file.writelines(view_of(piece) for piece in pieces)
        self._count(records[records["tokens"] > 0])
        if empty := int((records["tokens"] == 0).sum()):
            self.left_out["empty"] += empty
        progress.add(documents=len(texts), bytes=sum(map(len, texts)))

    def _count(self, records: npt.NDArray[Any]) -> None:
        self.records.append(records)
        for tier, count in enumerate(self.tiers):
            here = records[records["tier"] == tier]
            held = here["held_out"] == 1
            count.documents += int((~held).sum())
            count.tokens += int(here["tokens"][~held].sum())
            count.held_out_documents += int(held.sum())
            count.held_out_tokens += int(here["tokens"][held].sum())
