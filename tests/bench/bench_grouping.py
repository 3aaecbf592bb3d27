"""What deduplication costs: grouping and components by size, Beam's shuffle packed and not, the whole phase.

    python -m tests.bench.bench_grouping 1000000 10000000 100000000     # the kernels python -m
    tests.bench.bench_grouping --beam 200000                  # packed blocks against elements python -m
    tests.bench.bench_grouping --phase 1000000                # find_duplicates, files included python -m
    tests.bench.bench_grouping --quality 5 6 7                # what is removed rightly; the numbers are seeds

Seconds are of the processor, in this one process. Each size runs in a process of its own, so that its peak
memory is.

Kernels: clusters have Zipf sizes (exponent 2.2, at most 2 million documents); a document keeps its cluster's
key in a band with probability J^4, so that two of them share it with J^8, for J from .7 to 1. Keys are made
band by band and partition by partition; timed is what the tasks do with them: `pack_records` (map),
`candidate_edges` (reduce), `unite` and `flatten` (components). `--chains` adds the chains that verification
wants, and joins them all.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numba import njit

from filters.minhash import band_keys, shingle_hashes, signatures
from filters.words import index_words
from pipeline.chunks import HarvestedChunk
from pipeline.dedup.arrays import mix64, mixed, partitions_for, read_blocks, unpack, write_array
from pipeline.dedup.components import flatten, unite
from pipeline.dedup.group import WORKING_BYTES, candidate_edges, group_bands
from pipeline.dedup.keys import (
    DOCUMENT,
    BandGroup,
    BandSettings,
    GroupDocuments,
    format_ids,
    pack_records,
    scoped,
    write_bands,
)
from pipeline.dedup.phase import find_duplicates
from pipeline.dedup.settings import DedupSettings
from pipeline.engine import Engine, RunnerSettings

BANDS, ROWS, WIDTH = 14, 8, 112
PARTITION_BYTES = DedupSettings().partition_bytes
BATCH = 1 << 20
CHUNK_ROWS = 100_000


def clusters(documents: int, seed: int = 1) -> np.ndarray:
    """The cluster of each document."""
    random = np.random.default_rng(seed)
    sizes = np.minimum(random.zipf(2.2, documents), 2_000_000)
    count = int(np.searchsorted(np.cumsum(sizes), documents)) + 1
    cluster = np.repeat(np.arange(count, dtype=np.uint32), sizes[:count])[:documents]
    random.shuffle(cluster)
    return cluster


class Stopwatch:
    """Adds up processor seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def time(self, name, function, *arguments):  # noqa: ANN001, ANN201, RUF100
        start = time.process_time()
        result = function(*arguments)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - start
        return result


def peak_rss_gb() -> float:
    """The largest memory of this process so far, in GiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)


# ---- kernels


@njit(cache=True, nogil=True)
def make_keys(band, start, cluster, keeps, out):  # noqa: ANN001, ANN201, RUF100
    for i in range(len(cluster)):
        h = mix64(np.uint64(start + i) * np.uint64(256) + np.uint64(band))
        if np.float64(h >> np.uint64(40)) / 16777216.0 < keeps[i]:
            out[i, 0] = mix64((np.uint64(cluster[i]) * np.uint64(256) + np.uint64(band)) ^ np.uint64(1 << 63))
        else:
            out[i, 0] = mix64(h ^ np.uint64(0x5555555555555555))


def kernels(documents: int, chains: bool) -> dict[str, Any]:
    """All bands of so many documents, grouped and joined."""
    warm_up()
    watch = Stopwatch()
    cluster = clusters(documents)
    share = np.array([1.0, 0.95, 0.9, 0.85, 0.8, 0.7], np.float32) ** 4
    drawn = np.random.default_rng(2).choice(6, documents, p=[0.25, 0.15, 0.2, 0.15, 0.15, 0.1])
    keeps = drawn.astype(np.uint8)
    del drawn
    parents = np.arange(documents, dtype=np.uint32)
    edges = 0
    # As in the pipeline: partitions of a fixed size, whatever the number of documents; here they are made
    # band by band.
    partitions = partitions_for(documents, WORKING_BYTES, PARTITION_BYTES)
    for band in range(BANDS):
        pieces: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in range(partitions)]
        for start in range(0, documents, BATCH):
            here = slice(start, start + BATCH)
            keys = np.empty((len(cluster[here]), 1), np.uint64)
            watch.time("generate", make_keys, band, start, cluster[here], share[keeps[here]], keys)
            ordinals = np.arange(start, start + len(keys), dtype=np.uint32)
            k, o, starts = watch.time("pack", pack_records, keys, ordinals, partitions)
            for p in range(partitions):
                pieces[p].append((k[starts[p] : starts[p + 1]], o[starts[p] : starts[p + 1]]))
        for p in range(partitions):
            keys = np.concatenate([each[0] for each in pieces[p]])
            ordinals = np.concatenate([each[1] for each in pieces[p]])
            found = watch.time("group", candidate_edges, keys, ordinals, chains)
            edges += len(found)
            for at in range(0, len(found), BATCH):
                watch.time("components", lambda part: unite(parents, *unpack(part)), found[at : at + BATCH])
            pieces[p] = []
    watch.time("components", flatten, parents)
    timed = sum(seconds for name, seconds in watch.seconds.items() if name != "generate")
    return {
        "documents": documents,
        "bands": BANDS,
        "chains": chains,
        "partitions": BANDS * partitions,
        "edges": edges,
        "components": int((parents == np.arange(documents, dtype=np.uint32)).sum()),
        "cpu_seconds": round(timed, 2),
        "ns_per_document": round(timed / documents * 1e9, 1),
        "by_step": {name: round(seconds, 2) for name, seconds in watch.seconds.items()},
        "peak_rss_gb": peak_rss_gb(),
    }


def warm_up() -> None:
    """Compile, or load from the cache, before the clock starts."""
    keys = np.zeros((4, 1), np.uint64)
    make_keys(0, 0, np.zeros(4, np.uint32), np.ones(4, np.float32), keys)
    packed, ordinals, _ = pack_records(mixed(keys[:, 0]).reshape(-1, 1), np.arange(4, dtype=np.uint32), 1)
    parents = np.arange(4, dtype=np.uint32)
    unite(parents, *unpack(candidate_edges(packed, ordinals, True)))
    flatten(parents)


# ---- signatures of planted clusters


def planted_signatures(cluster: np.ndarray, seed: int) -> np.ndarray:
    """Signatures of which two of a cluster share each value with probability J a J b, J from .7 to 1."""
    random = np.random.default_rng(seed)
    keeps = random.choice([1.0, 0.98, 0.95, 0.9, 0.84], len(cluster), p=[0.25, 0.2, 0.2, 0.2, 0.15])
    out = random.integers(0, 2**32, (len(cluster), WIDTH), dtype=np.uint32)
    values = np.arange(WIDTH, dtype=np.uint64) + (cluster.astype(np.uint64) << np.uint64(8))[:, None]
    own = random.random((len(cluster), WIDTH), np.float32) < keeps[:, None].astype(np.float32)
    out[own] = mixed(values[own]).astype(np.uint32)
    return out


# ---- Beam


class PerBand(beam.DoFn):
    """The naive way: an element for every band of every document."""

    def __init__(self, path: str) -> None:
        self.path = path

    def process(self, block: tuple[int, int]) -> Iterator[tuple[int, int]]:
        stored = np.memmap(self.path, np.uint32, "r").reshape(-1, WIDTH)
        start, stop = block
        keys = scoped(band_keys(stored[start:stop], BANDS, ROWS), np.zeros(stop - start, np.uint64))
        for row, each in enumerate(keys.view(np.int64).tolist()):
            for key in each:
                yield key, start + row


class Stars(beam.DoFn):
    """A bucket's star, packed as the pipeline packs edges."""

    def process(self, group: tuple[int, Any]) -> Iterator[int]:
        first, *others = sorted(group[1])
        for other in others:
            yield first << 32 | other


def per_band(folder: Path, documents: int) -> tuple[float, int]:
    """Seconds and edges of the naive way."""
    start = time.process_time()
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        blocks = [(at, min(at + 10_000, documents)) for at in range(0, documents, 10_000)]
        (
            pipeline
            | beam.Create(blocks)
            | beam.ParDo(PerBand(str(folder / "signatures.bin"))).with_output_types(tuple[int, int])
            | beam.GroupByKey()
            | beam.ParDo(Stars())
            | beam.combiners.Count.Globally()
            | beam.Map(lambda count: (folder / "count").write_text(str(count)))
        )
    return time.process_time() - start, int((folder / "count").read_text())


def packed(folder: Path, sketches: np.ndarray) -> tuple[float, int]:
    """Seconds and edges of the same by packed blocks, over the engine (its files included)."""
    items = []
    for index, start in enumerate(range(0, len(sketches), 1 << 18)):
        here = sketches[start : start + (1 << 18)]
        group = GroupDocuments(
            key=f"group-{index:06d}",
            base=start,
            rows=len(here),
            folder=str(folder),
            documents=len(here),
            width=WIDTH,
        )
        write_array(group.path("signatures"), here)
        write_array(group.path("ordinals"), np.arange(start, start + len(here), dtype=np.uint32))
        write_array(group.path("documents"), np.zeros(len(here), DOCUMENT))
        write_array(group.path("levels"), np.zeros(len(here), np.uint8))
        items.append(BandGroup(key=group.key, group=group, levels=group.path("levels")))
    shared = BandSettings(
        folder=str(folder / "bands"),
        bands=BANDS,
        rows=ROWS,
        partitions=partitions_for(len(sketches) * BANDS, WORKING_BYTES, PARTITION_BYTES),
        edge_partitions=1,
        chains=False,
    )
    engine = Engine(str(folder / "engine"), RunnerSettings())
    start = time.process_time()
    found = engine.shuffle("bands", write_bands, items, group_bands, shared)
    seconds = time.process_time() - start
    return seconds, sum(len(read_blocks(each.blocks, np.uint64)) for each in found)


def shuffles(documents: int) -> dict[str, Any]:
    """Packed blocks against one element per band of a document, on Beam's in-process runner."""
    sketches = planted_signatures(clusters(documents), 3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        packed(folder / "warm", sketches[:1000])
        seconds, edges = packed(folder / "packed", sketches)
        write_array(str(folder / "signatures.bin"), sketches)
        naive, same = per_band(folder, documents)
    if same != edges:
        raise AssertionError(f"{edges} edges by blocks, {same} by elements")
    return {
        "documents": documents,
        "edges": edges,
        "packed_cpu_seconds": round(seconds, 2),
        "per_band_cpu_seconds": round(naive, 2),
        "packed_ns_per_record": round(seconds / documents / BANDS * 1e9, 1),
        "per_band_ns_per_record": round(naive / documents / BANDS * 1e9, 1),
        "ratio": round(naive / seconds, 1),
        "peak_rss_gb": peak_rss_gb(),
    }


# ---- the whole phase


def write_chunks(folder: Path, documents: int) -> list[HarvestedChunk]:
    """Chunk files of planted clusters; one document in twenty has the text of another."""
    cluster = clusters(documents)
    chunks = []
    for index, base in enumerate(range(0, documents, CHUNK_ROWS)):
        here = cluster[base : base + CHUNK_ROWS]
        rows, numbers = len(here), np.arange(base, base + len(here), dtype=np.uint64)
        texts = np.where(numbers % 20 == 19, numbers // 40, numbers)
        table = pa.table(
            {
                "id": format_ids(mixed(numbers), numbers),
                "status": pa.repeat("kept", rows),
                "date": pa.repeat("2024-01-01T00:00:00Z", rows),
                "text_hash": pa.array(mixed(texts)),
                "url_hash": pa.array(mixed(numbers)),
                "minhash": pa.FixedSizeBinaryArray.from_buffers(
                    pa.binary(4 * WIDTH), rows, [None, pa.py_buffer(planted_signatures(here, index))]
                ),
                "gopher.word_count": pa.array((mixed(numbers) % 5000).astype(np.int32)),
            }
        )
        path = str(folder / f"chunk-{index:06d}.parquet")
        pq.write_table(table, path, compression="zstd", use_dictionary=["status", "date"])
        chunks.append(HarvestedChunk(key=f"chunk-{index:06d}", path=path, rows=rows, base=base))
    return chunks


def phase(documents: int) -> dict[str, Any]:
    """`find_duplicates` over chunk files, in this process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part, size in (("warm", 1000), ("run", documents)):
            (folder / part).mkdir()
            chunks = write_chunks(folder / part, size)
            engine = Engine(str(folder / part / "engine"), RunnerSettings())
            start = time.process_time()
            report = find_duplicates(chunks, DedupSettings(), engine, str(folder / part / "work"))
            seconds = time.process_time() - start
        used = sum(path.stat().st_size for path in (folder / "run" / "work").rglob("*") if path.is_file())
    return {
        "documents": documents,
        "removed": report.removed,
        "candidates": report.candidates,
        "verified": report.verified,
        "largest_cluster": max(report.clusters_by_size),
        "cpu_seconds": round(seconds, 2),
        "us_per_document": round(seconds / documents * 1e6, 2),
        "by_step": {
            cost.phase: round(cost.cpu_seconds, 2) for cost in engine.costs if cost.cpu_seconds > 0.05
        },
        "work_bytes_per_document": round(used / documents),
        "peak_rss_gb": peak_rss_gb(),
    }


# ---- quality


def edited(base: np.ndarray, random: np.random.Generator, draw: Callable[[int], np.ndarray]) -> np.ndarray:
    """A copy with .2 to 30 % of its words replaced: scattered (at most 12 %), or in one block."""
    rate = random.uniform(0.005, 0.3) if random.random() < 0.5 else random.uniform(0.002, 0.06)
    copy = base.copy()
    if random.random() < 0.5:
        scattered = random.random(len(base)) < min(rate, 0.12)
        copy[scattered] = draw(int(scattered.sum()))
        return copy
    length = int(len(base) * rate)
    start = int(random.integers(0, len(base) - length + 1))
    copy[start : start + length] = draw(length)
    return copy


def families(count: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Documents as numbers of words (Zipf), of log-normal length, two in five with 0 to 7 copies; their
    families.
    """
    random = np.random.default_rng(seed)
    weights = 1 / np.arange(1, 20_001)
    weights /= weights.sum()

    def draw(words: int) -> np.ndarray:
        return random.choice(20_000, words, p=weights)

    documents, family = [], []
    for number in range(count):
        base = draw(int(np.clip(random.lognormal(5.9, 0.8), 60, 3000)))
        copies = int(random.integers(0, 8)) if random.random() < 0.6 else 0
        documents += [base, *(edited(base, random, draw) for _ in range(copies))]
        family += [number] * (copies + 1)
    order = random.permutation(len(documents))
    return [documents[i] for i in order], np.array(family)[order]


def quality(seed: int) -> list[dict[str, Any]]:
    """Removed documents against the exact Jaccard similarities in a planted corpus, for several settings."""
    documents, family = families(5000, seed)
    vocabulary = np.array([f"w{i}" for i in range(20_000)])
    texts = pa.array([" ".join(vocabulary[each]) for each in documents], pa.large_string())
    words = index_words(texts)
    order = np.argsort(family, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(family[order])) + 1)
    pairs = np.array([pair for each in members for pair in itertools.combinations(each.tolist(), 2)])
    jaccard = shingle_hashes(words).jaccard(pairs[:, 0], pairs[:, 1])
    partner = np.zeros(len(documents))
    for side in (0, 1):
        np.maximum.at(partner, pairs[:, side], jaccard)
    numbers = np.arange(len(documents), dtype=np.uint64)
    table = pa.table(
        {
            "id": format_ids(numbers * np.uint64(0), numbers),
            "status": pa.repeat("kept", len(documents)),
            "minhash": pa.array([each.tobytes() for each in signatures(words)], pa.binary(4 * WIDTH)),
            "gopher.word_count": pa.array([len(each) for each in documents], pa.int32()),
            "text": texts,
        }
    )
    with tempfile.TemporaryDirectory() as name:
        path = str(Path(name) / "chunk.parquet")
        pq.write_table(table, path)
        chunk = HarvestedChunk(key="chunk", path=path, rows=len(documents))
        return [
            {
                "seed": seed,
                "documents": len(documents),
                **chosen,
                **outcome(chunk, name, chosen, pairs, jaccard, partner),
            }
            for chosen in SETTINGS
        ]


SETTINGS: list[dict[str, Any]] = [
    {"verify": "none"},
    *({"verify": "signature", "threshold": each} for each in (0.7, 0.75, 0.76, 0.8)),
    *({"verify": "exact", "threshold": each} for each in (0.75, 0.8)),
]


def outcome(
    chunk: HarvestedChunk,
    folder: str,
    chosen: dict[str, Any],
    pairs: np.ndarray,
    jaccard: np.ndarray,
    partner: np.ndarray,
) -> dict[str, Any]:
    """How many documents were removed, which share without a partner, and which share of the pairs is
    connected.
    """
    settings = DedupSettings(exact_text=False, exact_url=False, **chosen)
    engine = Engine(f"{folder}/engine", RunnerSettings())
    found = find_duplicates([chunk], settings, engine, f"{folder}/work").removed_in(chunk)
    label = np.arange(chunk.rows)
    label[found["survivor"]] = found["cluster_lo"]
    label[found["ordinal"]] = found["cluster_lo"]
    alike = pairs[jaccard >= 0.8]
    return {
        "removed": len(found),
        "connected_of_pairs_from_.8": round(float((label[alike[:, 0]] == label[alike[:, 1]]).mean()), 4),
        **{
            f"without_partner_from_{bound:g}": round(float((partner[found["ordinal"]] < bound).mean()), 4)
            for bound in (0.8, 0.7, 0.5)
        },
    }


def main() -> None:
    """Print a line of JSON per size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("documents", type=int, nargs="+", help="numbers of documents, or seeds")
    parser.add_argument("--chains", action="store_true", help="chains beside stars, as before verification")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--beam", action="store_true", help="Beam's shuffle, packed and per band")
    what.add_argument("--phase", action="store_true", help="the whole of find_duplicates")
    what.add_argument("--quality", action="store_true", help="what is removed of planted corpora")
    given = parser.parse_args()
    if given.quality:
        for row in itertools.chain.from_iterable(map(quality, given.documents)):
            print(json.dumps(row), flush=True)
        return
    if len(given.documents) == 1:
        (size,) = given.documents
        result = shuffles(size) if given.beam else phase(size) if given.phase else kernels(size, given.chains)
        print(json.dumps(result))
        return
    flags = [f"--{name}" for name in ("chains", "beam", "phase") if getattr(given, name)]
    for size in given.documents:
        command = [sys.executable, "-m", "tests.bench.bench_grouping", *flags, str(size)]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip(), flush=True)


if __name__ == "__main__":
    main()
