"""Are exports what the real libraries read? A built mixture against its exports, each through its trainer's own reader.

    corpusmill mixture export --output OUT --format megatron --to X/megatron     (and olmo, mds)
    python tests/bench/check_exports.py OUT X

Runs in an environment of its own, since the libraries pull in PyTorch: `uv pip install pyarrow numpy mosaicml-streaming` and
`uv pip install --no-deps megatron-core ai2-olmo-core`. Needs nothing of this project. A library that is absent is named and
passed over; the exit code is 1 when one reads something else than the mixture holds.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

COLUMNS = ["input_ids", "doc_lens", "n_pad", "seq_index"]


def megatron(folder: Path, shards: list[list[dict]], about: dict) -> str:
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    for index, rows in enumerate(shards):
        data = IndexedDataset(str(folder / f"shard-{index:05d}"), mmap=True)
        assert len(data) == len(rows)
        assert data.document_indices.tolist() == list(range(len(rows) + 1))
        for at, row in enumerate(rows):
            assert data[at].tolist() == row["input_ids"]
    return "IndexedDataset"


def olmo(folder: Path, shards: list[list[dict]], about: dict) -> str:
    from olmo_core.data import NumpyFSLDataset
    from olmo_core.data.utils import iter_document_indices

    dtype = np.uint16 if about["vocabulary"] <= 1 << 16 else np.uint32
    paths = [folder / f"shard-{index:05d}.npy" for index in range(len(shards))]
    length = about["sequence_length"]
    data = NumpyFSLDataset(
        *paths,
        sequence_length=length,
        pad_token_id=about["pad_id"],
        eos_token_id=about["eos_id"],
        vocab_size=about["vocabulary"],
        dtype=dtype,
    )
    data.prepare()
    rows = [row for shard in shards for row in shard]
    assert len(data) == len(rows)
    for at, row in enumerate(rows):
        assert data[at]["input_ids"].tolist() == row["input_ids"]
    for path, shard in zip(paths, shards, strict=True):
        found = list(iter_document_indices(path, use_array_if_local=False))
        expected = []
        for at, row in enumerate(shard):
            pieces = len(row["doc_lens"]) - (row["n_pad"] > 0)
            edges = (at * length + np.cumsum([0, *row["doc_lens"]])).tolist()
            expected += list(itertools.pairwise(edges[: pieces + 1]))
        assert found == expected
    return "NumpyFSLDataset, iter_document_indices"


def mds(folder: Path, shards: list[list[dict]], about: dict) -> str:
    from streaming import StreamingDataset

    data = StreamingDataset(local=str(folder), shuffle=False, batch_size=1)
    rows = [row for shard in shards for row in shard]
    assert len(data) == len(rows)
    for at, row in enumerate(rows):
        sample = data[at]
        assert sample["input_ids"].tolist() == row["input_ids"]
        assert sample["doc_lens"].tolist() == row["doc_lens"]
        assert sample["seq_index"] == row["seq_index"]
    return "StreamingDataset"


PEERS: dict[str, tuple[str, Callable[[Path, list[list[dict]], dict], str]]] = {
    "megatron": ("megatron-core", megatron),
    "olmo": ("ai2-olmo-core", olmo),
    "mds": ("mosaicml-streaming", mds),
}


def main(output: str, exports: str) -> int:
    paths = sorted((Path(output) / "sequences").iterdir())
    shards = [pq.read_table(path, columns=COLUMNS).to_pylist() for path in paths]
    failed = 0
    for name, (package, check) in PEERS.items():
        folder = Path(exports) / name
        if not folder.exists():
            print(f"{name}: there is no export {folder}")
            continue
        about = json.loads((folder / "mixture.json").read_text())
        try:
            reader = check(folder, shards, about)
        except ModuleNotFoundError as error:
            print(f"{name}: not checked, {package} cannot be imported ({error})")
        except AssertionError as error:
            failed = 1
            print(f"{name}: {package} reads something else: {error}")
        else:
            print(f"{name}: {package} reads all {sum(map(len, shards)):,} sequences as they are ({reader})")
    return failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
