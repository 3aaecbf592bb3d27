"""How a tokenizer does on texts: bytes per token by source and language, beside other vocabularies, and its pieces.

found = make_report("tokenizer-out", {"web": ["documents/*.parquet"]}, against=["other.model"])
write_page(found, "report.html")
"""

from __future__ import annotations

import importlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.chunks import Split
from pipeline.errors import UserError
from pipeline.sources import ReadSettings, SplitReader, TextColumns
from pipeline.token_files import open_tokenizer
from pipeline.tokenizing import text_splits
from tokenizer import Tokenizer, proto

OURS: Final = "this one"
MOST_SPLITS: Final = 64
"""Parts of a source that a sample is taken from."""
SPLIT_BYTES: Final = 16 << 20

Lengths = npt.NDArray[np.int64]


@dataclass
class RowOfRates:
    """One group of texts: its size, and the tokens that each vocabulary makes of it."""

    label: str
    kind: str
    documents: int = 0
    text_bytes: int = 0
    tokens: dict[str, int] = field(default_factory=dict)

    @property
    def bytes_per_token(self) -> dict[str, float]:
        """By vocabulary; more is better."""
        return {name: self.text_bytes / count if count else 0.0 for name, count in self.tokens.items()}


@dataclass(frozen=True)
class PieceUse:
    """A piece and how often the texts use it."""

    id: int
    text: str
    uses: int
    kind: int

    @property
    def characters(self) -> int:
        """Characters that it stands for; a byte counts as one."""
        return len(self.text) if self.kind != proto.BYTE else 1


@dataclass(frozen=True)
class TokenizerReport:
    """What a page shows. `rows` are the whole, the sources, and the languages where texts name one."""

    tokenizer: str
    sha256: str
    vocabularies: dict[str, int]
    rows: tuple[RowOfRates, ...]
    pieces: tuple[PieceUse, ...]
    failed: int

    @property
    def learned(self) -> tuple[PieceUse, ...]:
        """The pieces that training found, in the order of their ids."""
        return tuple(piece for piece in self.pieces if piece.kind == proto.NORMAL)

    @property
    def unused(self) -> tuple[PieceUse, ...]:
        """Learned pieces that the texts never use, longest first."""
        return tuple(sorted((p for p in self.learned if not p.uses), key=lambda p: (-p.characters, p.id)))

    @property
    def longest(self) -> tuple[PieceUse, ...]:
        """Learned pieces, longest first, and of these the most used first."""
        return tuple(sorted(self.learned, key=lambda p: (-p.characters, -p.uses, p.id)))

    @property
    def most_used(self) -> tuple[PieceUse, ...]:
        """All pieces, the most used first."""
        return tuple(sorted(self.pieces, key=lambda p: (-p.uses, p.id)))


def make_report(
    tokenizer: str,
    sources: dict[str, Sequence[str]],
    *,
    against: Sequence[str] = (),
    text_column: str = "text",
    language_column: str = "language",
    sample_bytes: int = 50_000_000,
) -> TokenizerReport:
    """Encode a sample of each source with all vocabularies.

    Args:
        tokenizer: folder or model file.
        sources: Parquet and JSONL inputs, by name.
        against: other vocabularies: folders, .model files, tokenizer.json files.
        text_column, language_column: columns of the inputs; texts without a language are in their source only.
        sample_bytes: bytes of text read of each source, from parts spread over it.

    Raises:
        UserError: for inputs or vocabularies that are not there or cannot be read.
    """
    ours = open_tokenizer(tokenizer)
    others = [open_rival(path) for path in against]
    names = distinct_names(against)
    counters: dict[str, Callable[[pa.Array], Lengths]] = dict(
        zip(names, (other[0] for other in others), strict=True)
    )
    sizes = {OURS: ours.vocab_size, **dict(zip(names, (other[1] for other in others), strict=True))}
    # The reader has no column for a language, but keeps a title as it is.
    columns = TextColumns(text=text_column, id=None, url=None, date=None, title=language_column)
    rows: dict[tuple[str, str], RowOfRates] = {}
    uses = np.zeros(ours.vocab_size, np.int64)
    failed = 0
    for source, inputs in sources.items():
        for texts, languages, lost in sample(source, inputs, ReadSettings(columns=columns), sample_bytes):
            failed += lost
            encoded = ours.encode_column(texts)
            uses += np.bincount(encoded.values, minlength=len(uses))
            counts = {OURS: _lengths(encoded), **{name: count(texts) for name, count in counters.items()}}
            _add(rows, source, languages, texts, counts)
    if not rows:
        raise UserError("no text was found in the input.")
    order = {"all": 0, "source": 1, "language": 2}
    return TokenizerReport(
        tokenizer=tokenizer,
        sha256=ours.sha256,
        vocabularies=sizes,
        rows=tuple(sorted(rows.values(), key=lambda row: (order[row.kind], -row.text_bytes, row.label))),
        pieces=_uses(ours, uses),
        failed=failed,
    )


def _add(
    rows: dict[tuple[str, str], RowOfRates],
    source: str,
    languages: list[str | None],
    texts: pa.Array,
    counts: dict[str, Lengths],
) -> None:
    """Add a batch to the rows of its source, its languages and the whole."""
    sizes = np.asarray(pc.binary_length(texts), np.int64)
    groups: dict[tuple[str, str], Any] = {("all", "all"): slice(None), ("source", source): slice(None)}
    by_language = defaultdict(list)
    for index, language in enumerate(languages):
        if language:
            by_language[language].append(index)
    groups |= {("language", language): np.array(places) for language, places in by_language.items()}
    for (kind, label), chosen in groups.items():
        row = rows.setdefault((kind, label), RowOfRates(label, kind, tokens=dict.fromkeys(counts, 0)))
        row.documents += len(sizes[chosen])
        row.text_bytes += int(sizes[chosen].sum())
        for name, lengths in counts.items():
            row.tokens[name] += int(lengths[chosen].sum())


def _uses(tokenizer: Tokenizer, uses: npt.NDArray[np.int64]) -> tuple[PieceUse, ...]:
    pieces = tokenizer.facts.pieces
    return tuple(
        PieceUse(index, piece.text, count, piece.kind)
        for index, (piece, count) in enumerate(zip(pieces, uses.tolist(), strict=True))
    )


def _lengths(encoded: pa.ListArray) -> Lengths:
    return np.asarray(pc.list_value_length(encoded), np.int64)


# ---- texts


def sample(
    source: str, inputs: Sequence[str], reading: ReadSettings, limit: int
) -> Iterator[tuple[pa.Array, list[str | None], int]]:
    """Texts, their languages and the number of failed records, from parts spread evenly over a source.

    Each part gives its first documents, up to an equal share of the limit; at least one.
    """
    splits = text_splits(source, inputs, None, reading, SPLIT_BYTES)
    step = -(-len(splits) // MOST_SPLITS)
    chosen = splits[::step]
    for split in chosen:
        yield from _beginning(split, reading, limit // len(chosen))


def _beginning(
    split: Split, reading: ReadSettings, limit: int
) -> Iterator[tuple[pa.Array, list[str | None], int]]:
    left = limit
    for chunk in SplitReader(split, reading):
        batch = chunk.batch
        kept = batch.filter(batch["text"].is_valid())
        ends = np.cumsum(np.asarray(pc.binary_length(kept["text"]), np.int64))
        rows = min(len(ends), int(np.searchsorted(ends, left)) + 1)
        kept = kept.slice(0, rows)
        yield kept["text"], kept["title"].to_pylist(), batch.num_rows - batch["error"].null_count
        left -= int(ends[rows - 1]) if rows else 0
        if left <= 0:
            return


# ---- other vocabularies


def open_rival(path: str) -> tuple[Callable[[pa.Array], Lengths], int]:
    """What counts the tokens of texts with another vocabulary, and its size.

    Raises:
        UserError: when it is not there, or of a kind that cannot be read.
    """
    if not path.endswith(".json"):
        other = open_tokenizer(path)
        return lambda texts: _lengths(other.encode_column(texts)), other.vocab_size
    try:
        # Imported by name: it is optional, and absent where the types are checked.
        library = importlib.import_module("tokenizers")
    except ImportError as error:
        raise UserError(
            f"{path}: reading tokenizer.json needs the package `tokenizers`: pip install tokenizers"
        ) from error
    try:
        loaded = library.Tokenizer.from_str(storage.read_bytes(path).decode())
    except Exception as error:
        raise UserError(f"{path} cannot be read as tokenizer.json: {error}") from error
    loaded.no_truncation()

    def count(texts: pa.Array) -> Lengths:
        found = loaded.encode_batch(texts.to_pylist(), add_special_tokens=False)
        return np.array([len(each.ids) for each in found], np.int64)

    return count, int(loaded.get_vocab_size())


def distinct_names(paths: Sequence[str]) -> list[str]:
    """A short name for each path: its file's name, with as many folders before it as tell it from the others."""
    parts = [path.rstrip("/").split("/") for path in paths]
    names = [part[-1] for part in parts]
    for depth in range(2, max(map(len, parts), default=0) + 1):
        shared = {name for name in names if names.count(name) > 1}
        if not shared:
            break
        names = [
            "/".join(p[-depth:]) if name in shared else name for name, p in zip(names, parts, strict=True)
        ]
    return [name if names.count(name) == 1 else f"{name} ({index + 1})" for index, name in enumerate(names)]


def write_page(report: TokenizerReport, path: str) -> None:
    """Write the page of a report, atomically."""
    from pipeline.tokenizer_page import page

    if os.path.isdir(path):
        raise UserError(f"--output {path} is a folder; give the page a name, such as {path}/report.html.")
    storage.write_bytes(path, page(report).encode())
