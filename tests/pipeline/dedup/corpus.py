"""Small harvested corpora for the tests: documents as sets of shingle hashes, with signatures made in plain
numpy.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from filters import minhash
from pipeline.chunks import HarvestedChunk
from pipeline.dedup.arrays import mixed

WIDTH = 112


class Sets:
    """Sets of 64-bit hashes in the form in which `filters.minhash` takes the words of documents."""

    def __init__(self, sets: Sequence[np.ndarray]) -> None:
        self.hashes = np.concatenate([np.empty(0, np.uint64), *sets]).astype(np.uint64)
        self.word_offsets = np.concatenate([[0], np.cumsum([len(each) for each in sets])]).astype(np.int64)

    def __len__(self) -> int:
        return len(self.word_offsets) - 1


def signatures(sets: Sequence[np.ndarray]) -> np.ndarray:
    """The signatures of sets of numbers (hashed here): uint32[documents, WIDTH]."""
    return minhash.signatures(Sets([mixed(each) for each in sets]), n=1, k=WIDTH)  # type: ignore[arg-type]


def shingles(count: int, seed: int) -> np.ndarray:
    """A document's distinct shingles, as numbers."""
    return np.random.default_rng(seed).choice(2**40, count, replace=False).astype(np.uint64)


def variant(base: np.ndarray, jaccard: float, seed: int) -> np.ndarray:
    """A set as large as `base` with that Jaccard similarity to it, as near as whole numbers allow."""
    shared = round(2 * len(base) * jaccard / (1 + jaccard))
    fresh = np.random.default_rng(seed).choice(2**40, len(base) - shared, replace=False).astype(np.uint64)
    return np.concatenate([base[:shared], fresh + np.uint64(2**41)])


def document(number: int, sets: np.ndarray | None = None, **columns: Any) -> dict[str, Any]:
    """A row of a chunk file; other columns as given."""
    row = {
        "id": f"{number:032x}",
        "source": "web",
        "snapshot": None,
        "url": f"https://example.org/{number}",
        "date": "2024-01-01T00:00:00Z",
        "status": "kept",
        "text_hash": 10_000 + number,
        "url_hash": 20_000 + number,
        "minhash": None,
        "gopher.word_count": 100,
    }
    if sets is not None:
        row["minhash"] = signatures([sets])[0].astype("<u4").tobytes()
    return {**row, **columns}


TYPES = {
    "text_hash": pa.uint64(),
    "url_hash": pa.uint64(),
    "minhash": pa.binary(4 * WIDTH),
    "gopher.word_count": pa.int32(),
    "quality": pa.float32(),
}


def write_chunks(
    folder: Path, rows: Sequence[dict[str, Any]], cuts: Sequence[int] = (), **types: pa.DataType
) -> list[HarvestedChunk]:
    """Chunk files of the rows, cut before the positions given."""
    folder.mkdir(parents=True, exist_ok=True)
    chunks, bounds = [], [0, *cuts, len(rows)]
    names = list(rows[0])
    for index, (start, stop) in enumerate(itertools.pairwise(bounds)):
        columns = {
            name: pa.array([row[name] for row in rows[start:stop]], {**TYPES, **types}.get(name, pa.string()))
            for name in names
        }
        path = folder / f"chunk-{index:04d}.parquet"
        pq.write_table(pa.table(columns), path)
        chunks.append(HarvestedChunk(key=f"chunk-{index:04d}", path=str(path), rows=stop - start, base=start))
    return chunks


def planted_pairs(jaccard: float, pairs: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Signatures of pairs of random sets of a size, and their Jaccard similarity (near the one asked for)."""
    random = np.random.default_rng(seed)
    shared = round(2 * size * jaccard / (1 + jaccard))
    sides = []
    common = random.integers(1, 2**63, (pairs, shared), dtype=np.uint64)
    for _ in range(2):
        own = random.integers(1, 2**63, (pairs, size - shared), dtype=np.uint64)
        sides.append(signatures(list(np.concatenate([common, own], axis=1))))
    return sides[0], sides[1], shared / (2 * size - shared)
