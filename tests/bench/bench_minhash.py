"""MinHash signatures: ours and the peers', interleaved in one process on the same English documents.

    python -m tests.bench.bench_minhash [--input pages.jsonl] [--megabytes 4] [--rounds 5]

Every contestant starts from the text of a document and ends with its signature of word 5-grams, K = 112
(datatrove and gaoya: 14 bands of 8; gaoya also inserts into its index). Ours goes through the public
functions, on Arrow columns of 1000 documents. Figures are medians over the rounds of user CPU seconds.
Peers that are not installed are named and left out.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from filters.minhash import shingle_hashes, signatures
from filters.words import index_words

K, BANDS, ROWS, N = 112, 14, 8, 5
CHUNK = 1000
SHARED = Path(os.environ.get("CORPUSMILL_SHARED", Path(__file__).parents[2].parent / "shared"))
GOLD = SHARED / "data" / "pages" / "gold.dev.jsonl"
WORDS = re.compile(r"\w+")
ENGLISH = frozenset(("the", "of", "and", "to", "in", "a", "is", "that", "for", "it"))
SHORTEST_RUN = 0.3
"""Seconds of CPU that one measurement takes at least; fast contestants repeat their work."""


def shingles(text: str) -> list[str]:
    """Word 5-grams the way users of the Python libraries make them; fewer words make one shingle."""
    words = WORDS.findall(text.lower())
    return [" ".join(words[i : i + N]) for i in range(max(len(words) - N + 1, min(len(words), 1)))]


def read_texts(path: Path) -> Iterator[str]:
    if path.suffix == ".parquet":
        for batch in pq.ParquetFile(path).iter_batches(columns=["text"]):
            yield from (text for text in batch.column(0).to_pylist() if text)
    else:
        with path.open() as lines:
            yield from (text for text in (json.loads(line).get("text") for line in lines) if text)


def is_english(text: str) -> bool:
    words = WORDS.findall(text.lower())
    return len(words) >= 50 and sum(word in ENGLISH for word in words) >= 0.12 * len(words)


def sample(path: Path, size: int) -> list[str]:
    """English documents of `size` bytes together; the file is repeated when it has less."""
    found = [text for text in read_texts(path) if is_english(text)]
    if not found:
        raise SystemExit(f"{path} has no English document of 50 words or more")
    texts: list[str] = []
    held = 0
    while held < size:
        for text in found:
            texts.append(text)
            held += len(text.encode())
            if held >= size:
                break
    return texts


Contestant = Callable[[list[str]], Any]


def ours(family: str) -> Contestant:
    def run(columns: list[Any]) -> Any:
        return np.concatenate(
            [signatures(index_words(column), n=N, k=K, family=family) for column in columns]
        )

    return run


def words_only(columns: list[Any]) -> None:
    for column in columns:
        index_words(column)


def datasketch() -> Contestant:
    from datasketch import MinHash

    first = MinHash(num_perm=K)

    def run(texts: list[str]) -> Any:
        values = []
        for text in texts:
            sketch = MinHash(num_perm=K, permutations=first.permutations, scheme=first.scheme)
            sketch.update_batch([shingle.encode() for shingle in shingles(text)])
            values.append(sketch.hashvalues)
        return np.array(values)

    return run


def datatrove() -> Contestant:
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature

    config = MinhashConfig(n_grams=N, num_buckets=BANDS, hashes_per_bucket=ROWS)
    step = MinhashDedupSignature(tempfile.mkdtemp(prefix="bench-"), config)

    def run(texts: list[str]) -> Any:
        return np.array([np.concatenate(step.get_signature(step.get_shingles(text))) for text in texts])

    return run


def rensa() -> Contestant:
    from rensa import RMinHash

    def run(texts: list[str]) -> Any:
        values = []
        for text in texts:
            sketch = RMinHash(num_perm=K, seed=42)
            sketch.update(shingles(text))
            values.append(sketch.digest())
        return np.array(values)

    return run


def gaoya() -> Contestant:
    from gaoya.minhash import MinHashStringIndex

    def run(texts: list[str]) -> Any:
        index = MinHashStringIndex(32, 0.75, BANDS, ROWS, None, "word", True, (N, N))
        for number, text in enumerate(texts):
            index.insert_document(number, text)
        return None

    return run


PEERS: dict[str, Callable[[], Contestant]] = {
    "datasketch": datasketch,
    "datatrove": datatrove,
    "rensa": rensa,
    "gaoya": gaoya,
}


def peers() -> tuple[dict[str, Contestant], list[str]]:
    found, missing = {}, []
    for name, make in PEERS.items():
        try:
            importlib.import_module(name)
        except ImportError:
            missing.append(name)
        else:
            found[name] = make()
    return found, missing


def cpu() -> tuple[float, float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime, used.ru_stime


def measure(run: Callable[[Any], Any], material: Any, repeats: int) -> tuple[float, float]:
    """User and system CPU seconds of one pass."""
    before = cpu()
    for _ in range(repeats):
        run(material)
    after = cpu()
    return (after[0] - before[0]) / repeats, (after[1] - before[1]) / repeats


HEADER = (
    f"{'':18} {'user s':>9} {'system s':>9} {'MB/s':>8} {'docs/s':>9} {'ours x':>8} {'RMSE':>7} {'bias':>7}"
)


def race(runs: dict[str, tuple[Contestant, Any]], rounds: int) -> dict[str, tuple[float, float]]:
    """Medians of user and system CPU seconds per contestant, all measured once in every round."""
    repeats = {}
    for name, (run, material) in runs.items():
        run(material)  # compiles, loads models
        repeats[name] = max(1, round(SHORTEST_RUN / max(sum(measure(run, material, 1)), 1e-4)))
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, (run, material) in runs.items():
            figures[name].append(measure(run, material, repeats[name]))
    return {
        name: (statistics.median(user for user, _ in taken), statistics.median(system for _, system in taken))
        for name, taken in figures.items()
    }


def planted(texts: list[str]) -> list[str]:
    """Near-copies with one word in so many replaced, so that similarities spread over 0..1."""
    generator = np.random.default_rng(7)
    copies = []
    for text in texts:
        words = text.split(" ")
        rate = generator.choice([0.003, 0.01, 0.02, 0.04, 0.08])
        hit = generator.random(len(words)) < rate
        copies.append(" ".join(f"w{number}" if hit[number] else word for number, word in enumerate(words)))
    return copies


def errors(runs: dict[str, tuple[Contestant, Any]], texts: list[str]) -> dict[str, tuple[float, float]]:
    """Root mean square and mean error of each contestant's estimates on planted near-copies."""
    copies = planted(texts)
    count = len(texts)
    sets = shingle_hashes(index_words(pa.array(texts + copies, pa.large_string())), N)
    truth = sets.jaccard(np.arange(count), np.arange(count) + count)
    result = {}
    for name, (run, material) in runs.items():
        both = as_columns(texts + copies) if isinstance(material[0], pa.Array) else texts + copies
        values = run(both)
        if values is not None and len(values) == 2 * count:
            estimate = np.mean(values[:count] == values[count:], axis=1)
            result[name] = float(np.sqrt(np.mean((estimate - truth) ** 2))), float(np.mean(estimate - truth))
    return result


def as_columns(texts: list[str]) -> list[pa.Array]:
    return [pa.array(texts[i : i + CHUNK], pa.large_string()) for i in range(0, len(texts), CHUNK)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", type=Path, default=GOLD, help="Parquet or JSON Lines with a column `text`")
    parser.add_argument("--megabytes", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    texts = sample(options.input, int(options.megabytes * 1e6))
    columns = as_columns(texts)
    found, missing = peers()
    runs: dict[str, tuple[Contestant, Any]] = {
        "ours: words only": (words_only, columns),
        "ours: fss_v1": (ours("fss_v1"), columns),
        "ours: affine_v1": (ours("affine_v1"), columns),
        **{name: (run, texts) for name, run in found.items()},
    }
    times, accuracy = race(runs, options.rounds), errors(runs, texts[:300])
    size, base = sum(len(text.encode()) for text in texts) / 1e6, times["ours: fss_v1"][0]
    print(f"{len(texts)} documents, {size:.1f} MB, Python {sys.version.split()[0]}")
    print(f"not installed: {', '.join(missing) or 'none'}")
    print(HEADER)
    for name, (user, system) in times.items():
        error = "{:7.4f} {:+7.4f}".format(*accuracy[name]) if name in accuracy else f"{'-':>7} {'-':>7}"
        rates = f"{size / user:8.1f} {len(texts) / user:9.0f} {user / base:8.2f}"
        print(f"{name:18} {user:9.4f} {system:9.4f} {rates} {error}")


if __name__ == "__main__":
    main()
