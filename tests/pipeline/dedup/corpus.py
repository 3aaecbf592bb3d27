"""Small harvested corpora for the tests: documents as sets of shingle hashes, with signatures made in plain
numpy.
"""

from __future__ import annotations

import itertools
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.chunks import HarvestedChunk

WIDTH = 112


def signatures(sets: Sequence[np.ndarray], width: int = WIDTH, seed: int = 7) -> np.ndarray:
    """MinHash by multiply-shift: uint32[documents, width]."""
    random = np.random.default_rng(seed)
    a = random.integers(1, 2**63, width, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    b = random.integers(0, 2**63, width, dtype=np.uint64)
    out = np.empty((len(sets), width), np.uint32)
    with np.errstate(over="ignore"):
        for row, shingles in enumerate(sets):
            hashed = shingles.astype(np.uint64)[:, None] * a + b
            out[row] = ((hashed ^ (hashed >> np.uint64(29))) * a >> np.uint64(32)).min(axis=0)
    return out


def plain_band_keys(matrix: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """A stand-in for `filters.minhash.band_keys` in numpy: uint64[documents, bands]."""
    out = np.zeros((len(matrix), bands), np.uint64)
    with np.errstate(over="ignore"):
        for band in range(bands):
            key = np.full(len(matrix), band + 1, np.uint64)
            for row in range(band * rows, (band + 1) * rows):
                key = (key ^ matrix[:, row]) * np.uint64(0x9E3779B97F4A7C15)
                key ^= key >> np.uint64(32)
            out[:, band] = key
    return out


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Band keys without the signing kernel (and the time to compile it)."""
    module = types.ModuleType("filters.minhash")
    module.band_keys = plain_band_keys  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "filters.minhash", module)


def shingles(count: int, seed: int) -> np.ndarray:
    """A document's distinct shingle hashes."""
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
