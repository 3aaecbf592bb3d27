"""Grouping and components on generated band keys with planted clusters: processor time per document, and peak
memory.

    python -m tests.bench.bench_grouping 1000000 10000000 100000000

Clusters have Zipf sizes (exponent 2.2, at most 2 million documents); a document keeps its cluster's key in a
band with probability J^4, so that two of them share it with J^8, for J from .7 to 1. Keys are made band by
band and partition by partition; what is timed is what the tasks do with them: `pack_records` (map),
`candidate_edges` (reduce), `unite` and `flatten` (components). One size runs per process, so that its peak
memory is its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
from numba import njit

from pipeline.dedup.arrays import mix64, mixed, unpack
from pipeline.dedup.components import flatten, unite
from pipeline.dedup.group import WORKING_BYTES, candidate_edges
from pipeline.dedup.keys import pack_records

BANDS = 14
PARTITION_BYTES = 128 << 20
BATCH = 1 << 20


def planted_clusters(documents: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The cluster of each document, and the probability that it keeps its cluster's key in a band."""
    random = np.random.default_rng(seed)
    sizes = np.minimum(random.zipf(2.2, documents), 2_000_000)
    clusters = int(np.searchsorted(np.cumsum(sizes), documents)) + 1
    cluster = np.repeat(np.arange(clusters, dtype=np.uint32), sizes[:clusters])[:documents]
    random.shuffle(cluster)
    keeps = np.array([1.0, 0.95, 0.9, 0.85, 0.8, 0.7], np.float32) ** 4
    chosen = random.choice(6, documents, p=[0.25, 0.15, 0.2, 0.15, 0.15, 0.1]).astype(np.uint8)
    return cluster, keeps[chosen]


@njit(cache=True, nogil=True)
def make_keys(band: int, start: int, cluster, keeps, out):
    for i in range(len(cluster)):
        h = mix64(np.uint64(start + i) * np.uint64(256) + np.uint64(band))
        if np.float64(h >> np.uint64(40)) / 16777216.0 < keeps[i]:
            out[i, 0] = mix64((np.uint64(cluster[i]) * np.uint64(256) + np.uint64(band)) ^ np.uint64(1 << 63))
        else:
            out[i, 0] = mix64(h ^ np.uint64(0x5555555555555555))


class Stopwatch:
    """Adds up processor seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def time(self, name, function, *arguments):
        start = time.process_time()
        result = function(*arguments)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - start
        return result


def group_and_join(documents: int, chains: bool) -> dict[str, object]:
    """All bands of so many documents; what it cost and what was found."""
    watch = Stopwatch()
    warm_up()
    cluster, keeps = planted_clusters(documents)
    parents = np.arange(documents, dtype=np.uint32)
    edges = 0
    # As the pipeline: partitions of a fixed size, whatever the number of documents; here they are made band
    # by band.
    partitions = max(1, -(-documents * WORKING_BYTES // PARTITION_BYTES))
    for band in range(BANDS):
        pieces: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in range(partitions)]
        for start in range(0, documents, BATCH):
            here = slice(start, start + BATCH)
            keys = np.empty((len(cluster[here]), 1), np.uint64)
            watch.time("generate", make_keys, band, start, cluster[here], keeps[here], keys)
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
        "edges": edges,
        "components": int((parents == np.arange(documents, dtype=np.uint32)).sum()),
        "cpu_seconds": round(timed, 2),
        "ns_per_document": round(timed / documents * 1e9, 1),
        "by_step": {name: round(seconds, 2) for name, seconds in watch.seconds.items()},
        "peak_rss_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def warm_up() -> None:
    """Compile, or load from the cache, before the clock starts."""
    keys = np.zeros((4, 1), np.uint64)
    make_keys(0, 0, np.zeros(4, np.uint32), np.ones(4, np.float32), keys)
    packed, ordinals, _ = pack_records(mixed(keys[:, 0]).reshape(-1, 1), np.arange(4, dtype=np.uint32), 1)
    parents = np.arange(4, dtype=np.uint32)
    unite(parents, *unpack(candidate_edges(packed, ordinals, True)))
    flatten(parents)


def main() -> None:
    """Print a line of JSON per size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("documents", type=int, nargs="+")
    parser.add_argument("--chains", action="store_true", help="chains beside stars, as before verification")
    arguments = parser.parse_args()
    if len(arguments.documents) == 1:
        print(json.dumps(group_and_join(arguments.documents[0], arguments.chains)))
        return
    for size in arguments.documents:
        command = [sys.executable, "-m", "tests.bench.bench_grouping", str(size)]
        command += ["--chains"] if arguments.chains else []
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip(), flush=True)


if __name__ == "__main__":
    main()
