"""What the proxy models of `mixture tune` are trained on and measured with: lines of documents, and held-out texts.

A line is a component's tier in the order in which a mixture of one shard takes it in its first epoch (`select`): candidates
that give a component more take the documents of those that give it less, and some more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel

from pipeline import storage
from pipeline.dedup.arrays import I64, open_array
from pipeline.errors import UserError, did_you_mean
from pipeline.mixture.documents import id_bytes
from pipeline.mixture.plan import divide, tier_quotas
from pipeline.mixture.proxy import Line, Taken, Tokens
from pipeline.mixture.select import place_hashes, place_seed
from pipeline.mixture.settings import Component, MixtureSettings
from pipeline.mixture.tokens import DOCUMENT, TokenFile, TokenSettings, load_tokenizer
from pipeline.sources import ReadSettings
from pipeline.sources.discover import SourceConfig, resolve
from pipeline.sources.parquet import open_parquet

TEXT: Final = "text"
TOKENS: Final = "tokens"


# ---- held-out sets


@dataclass(frozen=True)
class HeldOutSet:
    """Held-out documents: their tokens (marks included), the bytes of their text, and all ids that name them."""

    name: str
    paths: tuple[str, ...]
    line: Line
    bytes: int
    documents_there: int
    """Documents in the files; fewer are measured where the limit is reached."""
    ids: npt.NDArray[Any]
    """The 16-byte ids of all documents in the files, by their id and by their text."""


class HeldOutRecord(BaseModel, frozen=True):
    """What `tune.json` says of a held-out set."""

    name: str
    importance: float
    paths: tuple[str, ...]
    documents_there: int
    documents: int
    tokens: int
    bytes: int


def held_out_paths(name: str, patterns: Sequence[str]) -> list[str]:
    """The Parquet files of a held-out set.

    Raises:
        UserError: when there are none.
    """
    return resolve(SourceConfig(name=name, inputs=tuple(patterns), format="parquet", reading=ReadSettings()))


def read_held_out(
    name: str, paths: Sequence[str], shared: TokenSettings, seed: int, limit: int
) -> HeldOutSet:
    """Read held-out documents: the column `text`, or the column `tokens` of a mixture's own `held_out/NAME.parquet`.

    Args:
        name: of the set.
        paths: its Parquet files.
        shared: tokenizer and marks of the mixture.
        seed: which documents are taken where there are more than the limit.
        limit: tokens that are measured, about: documents are taken in the order of a keyed hash until it is reached.

    Raises:
        UserError: for files without a text, or no text in them.
    """
    found: list[tuple[bytes, str | list[int]]] = []
    other_ids: list[bytes] = []
    for path in paths:
        for batch in _batches(name, path):
            given = _given_ids(batch)
            column = TEXT if TEXT in batch.schema.names else TOKENS
            for row, value in enumerate(batch[column].to_pylist()):
                if value:
                    own = id_bytes(value) if column == TEXT else b""
                    found.append((given[row] or own, value))
                    other_ids.extend(each for each in (given[row], own) if each)
    if not found or not all(each for each, _ in found):
        raise UserError(f"--held-out {name}: {', '.join(paths)} hold no texts, or documents without id.")
    places = place_hashes(b"".join(each for each, _ in found), 0, place_seed(seed, f"held out {name}"))
    tokens: list[npt.NDArray[np.int32]] = []
    measured = size = 0
    for at in np.argsort(places, kind="stable").tolist():
        if measured >= limit:
            break
        ids, size_of_text = _encoded(found[at][1], shared)
        tokens.append(ids)
        measured, size = measured + len(ids), size + size_of_text
    return HeldOutSet(
        name, tuple(paths), _line(tokens), size, len(found), np.unique(np.array(other_ids, "S16"))
    )


def _batches(name: str, path: str) -> Iterator[pa.RecordBatch]:
    with storage.open_read(path) as file:
        parquet = open_parquet(path, file)
        names = parquet.schema_arrow.names
        if TEXT not in names and not {TOKENS, "doc_id"} <= set(names):
            raise UserError(
                f'--held-out {name}: {path} has no column "{TEXT}".{did_you_mean(TEXT, names)} '
                "(The held_out files of a built mixture are understood too.)"
            )
        columns = [TEXT, "id"] if TEXT in names else [TOKENS, "doc_id"]
        yield from parquet.iter_batches(1000, columns=[each for each in columns if each in names])


def _given_ids(batch: pa.RecordBatch) -> list[bytes]:
    if "doc_id" in batch.schema.names:
        return [bytes(each) for each in batch["doc_id"].to_pylist()]
    if "id" in batch.schema.names:
        return [id_bytes(str(each)) if each is not None else b"" for each in batch["id"].to_pylist()]
    return [b""] * batch.num_rows


def _encoded(value: str | list[int], shared: TokenSettings) -> tuple[npt.NDArray[np.int32], int]:
    """Tokens with marks, and the bytes of the text without."""
    encoder = load_tokenizer(shared.tokenizer)
    if isinstance(value, str):
        ids = [*shared.prefix, *encoder.encode(value), *shared.suffix]
        return np.array(ids, np.int32), len(value.encode("utf-8", "surrogatepass"))
    if max(value) >= shared.pieces or min(value) < 0:
        raise UserError(f"--held-out: token {max(value)} is none of the {shared.pieces:,} of this tokenizer.")
    inner = value[len(shared.prefix) : len(value) - len(shared.suffix)]
    return np.array(value, np.int32), len(encoder.decode(inner).encode("utf-8", "surrogatepass"))


def _line(documents: Sequence[Tokens]) -> Line:
    starts = np.zeros(len(documents) + 1, np.int64)
    np.cumsum([len(each) for each in documents], out=starts[1:])
    tokens = np.concatenate(documents) if documents else np.zeros(0, np.int32)
    return Line(tokens, starts)


# ---- lines


@dataclass(frozen=True)
class Stratum:
    """A tier of a component, as the order of its documents: where each lies, and how long it is."""

    component: str
    tier: int
    files: npt.NDArray[np.int64]
    """Per document, the position of its token file."""
    offsets: I64
    """Per document, its first token in the file."""
    ends: I64
    """Running sum of the documents' tokens, from 0 on."""
    excluded: int
    """Documents that are also in a held-out set, and therefore in no sample."""

    @property
    def tokens(self) -> int:
        """Tokens that are there."""
        return int(self.ends[-1])

    def taken(self, quota: int) -> Taken:
        """Whole passes and the front that together are nearest to a number of tokens."""
        if not self.tokens:
            return Taken(0, 0)
        whole, rest = divmod(quota, self.tokens)
        middles = (self.ends[:-1] + self.ends[1:]) / 2
        return Taken(whole, int(np.searchsorted(middles, rest)))


def order_lines(
    settings: MixtureSettings, files: Sequence[TokenFile], held_out: npt.NDArray[Any]
) -> list[Stratum]:
    """The documents of every tier in a mixture's order, without those that are held out.

    Args:
        settings: the mixture.
        files: its token files.
        held_out: 16-byte ids.
    """
    found = []
    for name, component in settings.components.items():
        seed = place_seed(settings.seed, name)
        parts = [(at, _records(file)) for at, file in enumerate(files) if file.component == name]
        found += [_ordered(name, tier, parts, seed, held_out) for tier in range(len(component.steps))]
    return found


def _records(file: TokenFile) -> tuple[npt.NDArray[Any], I64]:
    records = np.asarray(open_array(file.documents_path, DOCUMENT))
    ends = np.cumsum(records["tokens"], dtype=np.int64)
    return records, ends - records["tokens"]


def _ordered(
    name: str,
    tier: int,
    parts: Sequence[tuple[int, tuple[npt.NDArray[Any], I64]]],
    seed: int,
    held_out: npt.NDArray[Any],
) -> Stratum:
    ids, sizes, files, offsets = [], [], [], []
    excluded = 0
    for at, (records, starts) in parts:
        rows = (records["tier"] == tier) & (records["held_out"] == 0) & (records["tokens"] > 0)
        own = np.ascontiguousarray(records["id"]).view("S16").reshape(-1)
        known = np.isin(own, held_out)
        excluded += int((rows & known).sum())
        rows &= ~known
        ids.append(own[rows].tobytes())
        sizes.append(records["tokens"][rows].astype(np.int64))
        files.append(np.full(int(rows.sum()), at, np.int64))
        offsets.append(starts[rows])
    flat = b"".join(ids)
    order = np.lexsort((np.arange(len(flat) // 16), place_hashes(flat, 0, seed)))
    ends = np.zeros(len(order) + 1, np.int64)
    if len(order):
        np.cumsum(np.concatenate(sizes)[order], out=ends[1:])
    empty = np.zeros(0, np.int64)
    return Stratum(
        component=name,
        tier=tier,
        files=np.concatenate(files)[order] if files else empty,
        offsets=np.concatenate(offsets)[order] if offsets else empty,
        ends=ends,
        excluded=excluded,
    )


def greatest_shares(settings: MixtureSettings, strata: Sequence[Stratum], total: int) -> list[float]:
    """The share of a mixture of `total` tokens that each component can give within its `max_epochs`."""
    return [
        min(1.0, sum(each.tokens for each in strata if each.component == name) * component.max_epochs / total)
        for name, component in settings.components.items()
    ]


def samples(
    settings: MixtureSettings, strata: Sequence[Stratum], weights: Sequence[float], tokens: int
) -> list[Taken]:
    """What a mixture of `tokens` tokens with other weights takes of each tier's line."""
    quotas = divide(tokens, [Fraction(repr(each)) for each in weights])
    found = []
    for (name, component), quota in zip(settings.components.items(), quotas, strict=True):
        mine = [each for each in strata if each.component == name]
        found += [
            stratum.taken(part)
            for stratum, part in zip(mine, _tier_quotas(component, mine, quota), strict=True)
        ]
    return found


def _tier_quotas(component: Component, strata: Sequence[Stratum], quota: int) -> list[int]:
    tokens, most = [each.tokens for each in strata], Fraction(repr(component.max_epochs))
    # A share at its limit can be some tokens above what there is, by rounding.
    possible = min(quota, int(sum(tokens) * most))
    return tier_quotas(possible, tokens, [Fraction(repr(step.epochs)) for step in component.steps], most)


def read_lines(
    strata: Sequence[Stratum],
    files: Sequence[TokenFile],
    dtype: np.dtype[Any],
    taken: Sequence[Sequence[Taken]],
) -> list[Line]:
    """The documents of each line that some candidate takes: all of it, or its longest front."""
    arrays: Mapping[int, Tokens] = {at: open_array(file.tokens_path, dtype) for at, file in enumerate(files)}
    lines = []
    for at, stratum in enumerate(strata):
        count = max((each[at].front for each in taken), default=0)
        if any(each[at].whole for each in taken):
            count = len(stratum.files)
        sizes = np.diff(stratum.ends[: count + 1])
        lines.append(
            _line(
                [
                    arrays[file][offset : offset + size]
                    for file, offset, size in zip(
                        stratum.files[:count].tolist(),
                        stratum.offsets[:count].tolist(),
                        sizes.tolist(),
                        strict=True,
                    )
                ]
            )
        )
    return lines
