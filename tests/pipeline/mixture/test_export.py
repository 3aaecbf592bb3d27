"""Exports hold the same sequences, read back by the formats' specifications (the real libraries: tests/bench/check_exports)."""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.engine import RunnerSettings
from pipeline.errors import UserError
from pipeline.mixture import export as module
from pipeline.mixture.build import build_mixture
from pipeline.mixture.export import FORMATS, Format, export_mixture
from tests.pipeline.mixture import corpus

HERE = RunnerSettings(workers=0)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixture")
    build_mixture(corpus.settings(folder, shards=2), str(folder / "out"), HERE)
    return folder / "out"


def rows(built: Path, shard: int) -> list[dict[str, Any]]:
    return pq.read_table(built / f"sequences/shard-0000{shard}-of-00002.parquet").to_pylist()


def ids(built: Path, shard: int) -> np.ndarray:
    return np.array([row["input_ids"] for row in rows(built, shard)])


def exported(built: Path, to: Path, form: Format) -> Path:
    export_mixture(str(built), str(to), form, HERE)
    return to


def test_megatron(built: Path, tmp_path: Path) -> None:
    to = exported(built, tmp_path, "megatron")
    for shard in (0, 1):
        index = (to / f"shard-0000{shard}.idx").read_bytes()
        magic, version, code, sequences, documents = struct.unpack_from("<9sQBQQ", index)
        assert (magic, version, code) == (b"MMIDIDX\0\0", 1, 8)
        expected = ids(built, shard)
        assert (sequences, documents) == (len(expected), len(expected) + 1)
        at = 9 + 8 + 1 + 16
        lengths = np.frombuffer(index, "<i4", sequences, at)
        pointers = np.frombuffer(index, "<i8", sequences, at + 4 * sequences)
        firsts = np.frombuffer(index, "<i8", documents, at + 12 * sequences)
        assert len(index) == at + 12 * sequences + 8 * documents
        assert firsts.tolist() == list(range(documents))
        tokens = (to / f"shard-0000{shard}.bin").read_bytes()
        found = [
            np.frombuffer(tokens, "<u2", size, start)
            for size, start in zip(lengths, pointers.tolist(), strict=True)
        ]
        assert (np.array(found) == expected).all()


def test_olmo(built: Path, tmp_path: Path) -> None:
    to = exported(built, tmp_path, "olmo")
    for shard in (0, 1):
        flat = np.fromfile(to / f"shard-0000{shard}.npy", "<u2")
        assert (flat.reshape(-1, 128) == ids(built, shard)).all()
        with gzip.open(to / f"shard-0000{shard}.csv.gz", "rt") as file:
            found = list(csv.reader(file))
        expected = []
        for at, row in enumerate(rows(built, shard)):
            edges = at * 128 + np.cumsum([0, *row["doc_lens"]])
            for piece, name in enumerate(row["doc_id"]):
                source = ["web", "math", "code"][row["source"][piece]]
                expected.append([str(edges[piece]), str(edges[piece + 1]), name.hex(), source, str(at)])
        assert found == expected


@pytest.mark.parametrize("size", [1 << 26, 5000])
def test_mds(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(module, "MDS_BYTES", size)
    to = exported(built, tmp_path, "mds")
    index = json.loads((to / "index.json").read_text())
    found = []
    for entry in index["shards"]:
        content = (to / entry["raw_data"]["basename"]).read_bytes()
        assert len(content) == entry["raw_data"]["bytes"]
        assert len(content) < size + 2000
        (samples,) = struct.unpack_from("<I", content)
        assert samples == entry["samples"]
        ends = np.frombuffer(content, "<u4", samples + 1, 4).tolist()
        head = json.loads(content[8 + 4 * samples : ends[0]])
        assert head == {name: entry[name] for name in head}
        assert head["column_names"] == ["doc_lens", "input_ids", "seq_index"]
        for begin, end in itertools.pairwise(ends):
            (lens_bytes,) = struct.unpack_from("<I", content, begin)
            kind, count = content[begin + 4 : begin + 6]
            assert (kind, lens_bytes) == (4, 2 + 4 * count)
            lens = np.frombuffer(content, "<i4", count, begin + 6).tolist()
            tokens = np.frombuffer(content, "<i4", 128, begin + 4 + lens_bytes).tolist()
            found.append((struct.unpack_from("<q", content, end - 8)[0], lens, tokens))
            assert end - begin == 4 + lens_bytes + 4 * 128 + 8
    expected = [
        (row["seq_index"], row["doc_lens"], row["input_ids"])
        for shard in (0, 1)
        for row in rows(built, shard)
    ]
    assert found == expected


def test_many_documents_in_a_sequence_take_a_wider_count(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """300 lengths: their number takes two bytes, and the first byte says so."""
    import pyarrow as pa

    table = pa.table({"doc_lens": [[1] * 300], "seq_index": [0]})
    monkeypatch.setattr(module, "_groups", lambda *_: [(np.zeros((1, 300), np.int32), table)])
    (sample,) = module._samples(None, None)  # type: ignore[arg-type]
    assert sample[4:7] == bytes([5]) + (300).to_bytes(2, "little")
    assert struct.unpack_from("<I", sample) == (3 + 1200,)


@pytest.mark.parametrize("form", FORMATS)
def test_exports_are_the_same_every_time_and_say_what_they_are(
    built: Path, tmp_path: Path, form: Format
) -> None:
    one, two = exported(built, tmp_path / "one", form), exported(built, tmp_path / "two", form)
    contents = {path.name: path.read_bytes() for path in one.iterdir()}
    assert contents == {path.name: path.read_bytes() for path in two.iterdir()}
    about = json.loads(contents["mixture.json"])
    assert (about["exported_as"], about["pad_id"], about["sequence_length"]) == (form, 3, 128)


def test_another_export_is_not_gone_over(built: Path, tmp_path: Path) -> None:
    exported(built, tmp_path, "olmo")
    before = (tmp_path / "shard-00001.npy").stat().st_mtime_ns
    with pytest.raises(UserError, match="another mixture or format"):
        exported(built, tmp_path, "megatron")
    exported(built, tmp_path, "olmo")  # complete already
    assert (tmp_path / "shard-00001.npy").stat().st_mtime_ns == before


def test_nothing_built_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no built mixture"):
        exported(tmp_path, tmp_path / "to", "olmo")
