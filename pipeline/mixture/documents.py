"""Which documents of its files a component takes, and what identifies them."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from filters.measures import Column
from pipeline import storage
from pipeline.errors import UserError, did_you_mean
from pipeline.rules import Bound, Rule
from pipeline.sources.parquet import open_parquet

_NO_TIER = 255
_HEX = frozenset("0123456789abcdef")


class Reading(BaseModel, frozen=True):
    """What of a component decides which documents are taken, and as what."""

    component: str
    text: str
    id: str | None
    filters: dict[str, Bound]
    tier_column: str | None
    tier_mins: tuple[float | None, ...]
    held_out: float


# ---- identity


def id_bytes(text: str) -> bytes:
    """The 16 bytes that stand for a document's id: 32 hex digits as they are, anything else by BLAKE2b-128."""
    if len(text) == 32 and _HEX.issuperset(text):
        return bytes.fromhex(text)
    encoded = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(encoded, digest_size=16, person=b"corpusmill.mix.1").digest()


def held_out_limit(share: float) -> int:
    """Ids are held out when their `held_out_hash` is below this."""
    return int(share * 2**64)


def held_out_hash(document: bytes) -> int:
    """What decides whether an id is held out: 64 bits of BLAKE2b of the id, of no seed and no component."""
    return int.from_bytes(hashlib.blake2b(document, digest_size=8, person=b"held out").digest(), "little")


# ---- columns


def check_columns(path: str, reading: Reading) -> None:
    """Refuse a file that lacks a column, or holds other values than its use needs.

    Raises:
        UserError: naming the setting, the file and the nearest column.
    """
    with storage.open_read(path) as file:
        schema = open_parquet(path, file).schema_arrow
    wanted = dict.fromkeys(reading.filters, f"components.{reading.component}.filters")
    if reading.tier_column is not None:
        wanted[reading.tier_column] = f"components.{reading.component}.tiers.column"
    if reading.id is not None:
        wanted[reading.id] = f"components.{reading.component}.id"
    for name, where in wanted.items():
        if name not in schema.names:
            hint = " `id: null` identifies documents by their text." if name == reading.id else ""
            raise UserError(
                f'{where}: {path} has no column "{name}".{did_you_mean(name, schema.names)}{hint}'
            )
    numbers = [name for name, bound in reading.filters.items() if _is_range(bound)]
    if reading.tier_column is not None:
        numbers.append(reading.tier_column)
    for name in numbers:
        kind = schema.field(name).type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            raise UserError(f'{wanted[name]}: the column "{name}" holds {kind}, not numbers.')


def _is_range(bound: Bound) -> bool:
    return bound.min is not None or bound.max is not None


# ---- choice


@dataclass(frozen=True)
class Chosen:
    """The documents of a batch that the component takes: rows, tiers, ids and whether they are held out."""

    batch: pa.RecordBatch
    tiers: npt.NDArray[np.uint8]
    ids: list[bytes]
    held_out: npt.NDArray[np.bool_]


def choose(batch: pa.RecordBatch, reading: Reading, left_out: Counter[str]) -> Chosen:
    """Apply a component's filters and tiers to a batch; what is left out is counted by reason.

    Raises:
        UserError: for a document without id.
    """
    batch = _kept(batch, pc.is_valid(batch[reading.text]), "no text", left_out)
    for name, bound in reading.filters.items():
        values = batch[name]
        values = values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
        # A rule compares in the column's own type; its name plays no part here, and users' columns have any.
        rule = Rule(Column("column", values.type, ""), "filters", bound)
        batch = _kept(batch, pa.array(~rule.fails(values)), f"filter {name}", left_out)
    tiers = _tiers(batch, reading)
    batch = _kept(batch, pa.array(tiers != _NO_TIER), "no tier", left_out)
    ids = _ids(batch, reading)
    limit = held_out_limit(reading.held_out)
    held_out = [limit > 0 and held_out_hash(each) < limit for each in ids]
    return Chosen(batch, tiers[tiers != _NO_TIER], ids, np.array(held_out, np.bool_))


def _kept(batch: pa.RecordBatch, keep: pa.Array, reason: str, left_out: Counter[str]) -> pa.RecordBatch:
    kept = batch.filter(keep)
    if kept.num_rows < batch.num_rows:
        left_out[reason] += batch.num_rows - kept.num_rows
    return kept


def _tiers(batch: pa.RecordBatch, reading: Reading) -> npt.NDArray[np.uint8]:
    """The step of each document: the first whose minimum it reaches, compared in the column's own type."""
    tiers = np.full(batch.num_rows, _NO_TIER, np.uint8)
    for step, low in reversed(list(enumerate(reading.tier_mins))):
        if low is None:
            tiers[:] = step
            continue
        values = batch[reading.tier_column]
        rule = Rule(Column("column", values.type, ""), "tiers", Bound(min=low))
        tiers[~rule.fails(values)] = step
    return tiers


def _ids(batch: pa.RecordBatch, reading: Reading) -> list[bytes]:
    if reading.id is None:
        return [id_bytes(text) for text in batch[reading.text].to_pylist()]
    values = batch[reading.id]
    if values.null_count:
        raise UserError(
            f'components.{reading.component}: a document has no id (column "{reading.id}"). '
            "`id: null` identifies documents by their text."
        )
    return [id_bytes(str(value)) for value in values.to_pylist()]
