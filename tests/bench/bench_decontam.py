"""The n-gram index and its scan, against the word index alone and the peers, on the same English pages.

    python -m tests.bench.bench_decontam [--rounds 5] [--sizes 2 11 53] [--datatrove-python PYTHON]

Benchmark text: items of the English benchmarks under CORPUSMILL_SHARED, as many as give the size; where they
do not suffice, all others; then paragraphs of the modules and documents of the Python standard library and
site-packages, which are named in the output. Every figure is user CPU of one process, medians over rounds in
which every contestant has its turn. Peers have the smallest size and fewer pages; datatrove runs in the
Python that --datatrove-python names, on the same pages and texts.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from decontam.build import Builder
from decontam.ngrams import NgramIndex
from decontam.registry import Benchmark, BenchmarkItems, Item, Registry, Source, read_items
from decontam.scan import scan
from decontam.settings import DecontaminationSettings
from filters.words import index_words, split_words
from tests.bench.bench_minhash import as_columns, sample

SHARED = Path(os.environ.get("CORPUSMILL_SHARED", Path(__file__).parents[2].parent / "shared"))
BENCHMARKS = SHARED / "data" / "benchmarks"
PAGES = SHARED / "data" / "pages" / "gold.dev.jsonl"
BARS = {2.0: 0.45, 11.0: 0.25, 53.0: 0.13}
"""The least share of the words-only speed, by megabytes of benchmark text."""
SHORTEST_RUN = 0.3
"""Seconds of CPU that one measurement takes at least; fast contestants repeat their work."""
PEER_PAGES = 60
WORDS = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
SETTINGS = DecontaminationSettings()
Loaded = tuple[Source, list[Item]]


def cpu() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


def text_bytes(items: Sequence[Item]) -> int:
    return sum(len(text.encode("utf-8", "replace")) for item in items for _, text in item.fields)


# ---- benchmark text


def benchmarks() -> Iterator[Loaded]:
    """The benchmarks, English ones first; then the filler."""
    lines = (BENCHMARKS / "index.tsv").read_text().split("\n")
    names = lines[0].split("\t")
    rows = [dict(zip(names, line.split("\t"), strict=True)) for line in lines[1:] if line]
    rows.sort(key=lambda row: not row.get("language", "en").startswith("en"))
    for row in rows:
        benchmark = Benchmark(key=row["key"], prompt=("text",))
        source = Source(benchmark, str(BENCHMARKS / f"{row['key'].replace('/', '__')}.jsonl.gz"))
        yield source, read_items(source, ("prompt",))[0]
    yield from filler()


def filler() -> Iterator[Loaded]:
    """Paragraphs of Python modules and documents, a benchmark of a thousand each."""
    folders = [Path(sysconfig.get_paths()[name]) for name in ("stdlib", "purelib")]
    files = sorted(
        path
        for folder in folders
        for ending in ("py", "rst", "md", "txt")
        for path in folder.rglob(f"*.{ending}")
    )
    items: list[Item] = []
    number = 0
    for path in files:
        for paragraph in path.read_text("utf-8", "replace").split("\n\n"):
            if len(paragraph) > 100:
                items.append(Item(str(len(items)), (("prompt", paragraph),)))
        if len(items) >= 1000:
            number += 1
            yield Source(Benchmark(key=f"python files {number}", prompt=("text",)), ""), items
            items = []


def take(size: float) -> list[Loaded]:
    """Benchmarks of about `size` megabytes together."""
    taken: list[Loaded] = []
    left = size * 1e6
    for source, items in benchmarks():
        if (needed := text_bytes(items)) > left:
            items = items[: int(len(items) * left / needed)]
        taken.append((source, items))
        left -= needed
        if left <= 0:
            return taken
    raise SystemExit(f"there is no benchmark text of {size} MB")


def build(loaded: Sequence[Loaded]) -> NgramIndex:
    builder = Builder(SETTINGS)
    for source, items in loaded:
        builder.add(source, BenchmarkItems(list(items), "", {"prompt": ("text",)}, len(items), False))
    return builder.finish(Registry(tuple(source for source, _ in loaded), (), ()))


# ---- contestants: from texts to how many n-grams each holds


def scan_all(columns: Sequence[pa.Array], index: NgramIndex) -> list[int]:
    found: list[int] = []
    for column in columns:
        found.extend(np.diff(np.asarray(scan(index_words(column), index).offsets)).tolist())
    return found


def regex_words(text: str) -> list[str]:
    return WORDS.findall(text.lower())


class PlainSets:
    """All n-grams of 4 to 13 words in one set of tuples."""

    def __init__(self, grams: set[tuple[str, ...]]) -> None:
        self.grams = grams

    def __call__(self, texts: Sequence[str], words_of: Callable[[str], list[str]] = regex_words) -> list[int]:
        counts = []
        for text in texts:
            words = words_of(text)
            found = set()
            for n in range(4, 14):
                found |= self.grams.intersection(zip(*(words[i:] for i in range(n)), strict=False))
            counts.append(len(found))
        return counts


class PrefixExtension(PlainSets):
    """The same set; longer n-grams are only looked for where the shorter one is a prefix in the benchmarks."""

    def __init__(self, grams: set[tuple[str, ...]]) -> None:
        super().__init__(grams)
        self.prefixes = {gram[:n] for gram in grams for n in range(4, len(gram) + 1)}

    def __call__(self, texts: Sequence[str], words_of: Callable[[str], list[str]] = regex_words) -> list[int]:
        counts = []
        for text in texts:
            words = words_of(text)
            found = set()
            for i, gram in enumerate(zip(*(words[k:] for k in range(4)), strict=False)):
                n = 4
                while gram in self.prefixes and len(gram) == n:
                    if gram in self.grams:
                        found.add(gram)
                    n += 1
                    if n > 13:
                        break
                    gram = tuple(words[i : i + n])
            counts.append(len(found))
        return counts


def all_grams(index: NgramIndex) -> set[tuple[str, ...]]:
    """What the index says that it holds; the tests compare this with the plain statement of the rule."""
    rows = index.tables.rows
    ids = np.flatnonzero(
        np.unpackbits((rows[:, None] & np.uint64(1023)).astype(">u2").view(np.uint8), axis=1)
    )
    bits = ids % 16
    ids = ids // 16 * 10 + (15 - bits)
    grams: set[tuple[str, ...]] = set()
    for chunk in index.describe(np.sort(ids).astype(np.uint32)).column("words").chunks:
        grams.update(tuple(words.split(" ")) for words in chunk.to_pylist())
    return grams


DATATROVE = """
import json, os, resource, sys, tempfile
import numpy as np
from datatrove.data import Document
from datatrove.pipeline.decont import NGramsDecontConfig, NGramsDecontFilter
from datatrove.utils.text import ngrams, simplify_text
pages, texts = json.load(open(sys.argv[1]))
config = NGramsDecontConfig(n_grams=13)
with tempfile.TemporaryDirectory() as folder:
    step = NGramsDecontFilter(folder, config)
    hashes = set()
    for text in texts:
        words = step.tokenizer.word_tokenize(simplify_text(text, config.norm_config))
        hashes.update(step.hash_func(" ".join(gram)) for gram in ngrams(words, 13))
    np.array(sorted(hashes), config.hash_config.np_descr).tofile(os.path.join(folder, "all.index.hashes"))
    documents = [Document(text=text, id=str(number)) for number, text in enumerate(pages)]
    step.filter(documents[0])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    kept = [step.filter(document) is True for document in documents]
    after = resource.getrusage(resource.RUSAGE_SELF).ru_utime
print(json.dumps([after - before, kept]))
"""


def datatrove(python: str, pages: Sequence[str], loaded: Sequence[Loaded]) -> tuple[float, list[bool]]:
    """User CPU seconds of datatrove's filter (n = 13 only) on the pages, and which of them it keeps."""
    texts = [
        text.encode("utf-8", "replace").decode()
        for _, items in loaded
        for item in items
        for _, text in item.fields
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts.json"
        path.write_text(json.dumps([list(pages), texts]))
        done = subprocess.run(
            [python, "-c", DATATROVE, str(path)], check=True, capture_output=True, text=True
        )
    seconds, kept = json.loads(done.stdout.strip().split("\n")[-1])
    return seconds, kept


# ---- measuring


def timed(run: Callable[[], Any]) -> float:
    before = cpu()
    run()
    return max(cpu() - before, 1e-9)


def race(runs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Medians of user CPU seconds of one run of each contestant."""
    repeats = {}
    for name, run in runs.items():
        run()  # compiles
        repeats[name] = max(1, round(SHORTEST_RUN / max(timed(run), 1e-4)))
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            taken[name].append(
                timed(lambda run=run, name=name: [run() for _ in range(repeats[name])]) / repeats[name]
            )
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


MEMORY = """
import json, sys
import pyarrow as pa
from decontam.ngrams import NgramIndex
from decontam.scan import scan
from filters.words import index_words
def private():
    lines = open("/proc/self/smaps_rollup").read().split("\\n")
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private")) / 1e3
path, small, pages = sys.argv[1:]
columns = [pa.array(json.load(open(pages))[:200], pa.large_string())]
def work(index):
    return [scan(index_words(column), index) for column in columns]
work(NgramIndex.open(small))
before = private()
index = NgramIndex.open(path)
hits = work(index)
print(private() - before)
"""


def private_memory(index: NgramIndex, pages: Sequence[str], small: NgramIndex) -> float:
    """Megabytes that opening and scanning adds in a second process, while the first has the file mapped."""
    with tempfile.TemporaryDirectory() as folder:
        for name, each in (("large", index), ("small", small)):
            with (Path(folder) / name).open("wb") as file:
                each.write(file)
        first = NgramIndex.open(str(Path(folder) / "large"))
        scan(index_words(pa.array(pages, pa.large_string())), first)
        (Path(folder) / "pages").write_text(json.dumps(list(pages)))
        names = [str(Path(folder) / name) for name in ("large", "small", "pages")]
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, *names], check=True, capture_output=True, text=True
        )
    return float(done.stdout)


def file_size(index: NgramIndex) -> int:
    sink = pa.BufferOutputStream()
    index.write(sink)
    return int(sink.getvalue().size)


def compare_sizes(sizes: Sequence[float], pages: list[str], rounds: int) -> None:
    columns = as_columns(pages)
    bytes_of_pages = sum(len(page.encode()) for page in pages)
    small = build(take(0.05))
    print(f"{len(pages)} pages, {bytes_of_pages / 1e6:.1f} MB, Python {sys.version.split()[0]}")
    print(
        f"{'benchmark text':>16} {'n-grams':>11} {'B each':>7} {'build MB/s':>11} {'words MB/s':>11} "
        f"{'scan MB/s':>10} {'share':>6} {'bar':>5} {'hit':>6} {'private MB':>11}"
    )
    for size in sizes:
        loaded = take(size)
        names = [source.benchmark.key for source, _ in loaded]
        held = sum(text_bytes(items) for _, items in loaded)
        index = build(loaded)
        building = statistics.median(timed(lambda loaded=loaded: build(loaded)) for _ in range(rounds))
        runs = {
            "words": lambda: [index_words(column) for column in columns],
            "scan": lambda index=index: scan_all(columns, index),
        }
        seconds = race(runs, rounds)
        print(
            f"{held / 1e6:13.1f} MB {index.size:11,} {file_size(index) / index.size:7.2f} {held / building / 1e6:11.1f} "
            f"{bytes_of_pages / seconds['words'] / 1e6:11.0f} {bytes_of_pages / seconds['scan'] / 1e6:10.0f} "
            f"{seconds['words'] / seconds['scan']:6.2f} {BARS.get(size, 0):5.2f} {share_hit(columns, index):6.1%} "
            f"{private_memory(index, pages, small):11.1f}"
        )
        print(
            f"{'':16} {len(names)} benchmarks, filler from Python files: {sum('python files' in name for name in names)}"
        )


def share_hit(columns: Sequence[pa.Array], index: NgramIndex) -> float:
    """The share of word places where a 4-gram of the benchmarks begins, near enough: distinct ones of each page."""
    four = sum(
        int((index.lengths_of(np.asarray(scan(index_words(column), index).values)) == 4).sum())
        for column in columns
    )
    return four / sum(len(index_words(column).hashes) for column in columns)


def compare_peers(size: float, pages: list[str], rounds: int, python: str | None) -> None:
    loaded = take(size)
    index = build(loaded)
    grams = all_grams(index)
    assert len(grams) == index.size
    pages = pages[:PEER_PAGES]
    columns = as_columns(pages * 20)  # ours is too fast for so few pages
    plain, extending = PlainSets(grams), PrefixExtension(grams)
    ours = scan_all(as_columns(pages), index)
    assert plain(pages, split_words) == ours
    assert extending(pages, split_words) == ours
    runs = {
        "ours": lambda: scan_all(columns, index),
        "Python, sets of tuples": lambda: plain(pages),
        "Python, prefixes": lambda: extending(pages),
    }
    seconds = race(runs, rounds)
    seconds["ours"] /= 20
    bytes_of_pages = sum(len(page.encode()) for page in pages)
    print(
        f"\n{len(pages)} pages, {bytes_of_pages / 1e6:.2f} MB; {size} MB of benchmark text; the counts agree"
    )
    if python is None:
        print("datatrove: left out, --datatrove-python names no Python that has it")
    else:
        seconds["datatrove (n = 13)"], kept = datatrove(python, pages, loaded)
        long = [
            bool((index.lengths_of(np.array(ids, np.uint32)) == 13).any())
            for column in as_columns(pages)
            for ids in scan(index_words(column), index).to_pylist()
        ]
        print(f"pages with a 13-gram: datatrove {len(kept) - sum(kept)}, ours {sum(long)}")
    for name, each in seconds.items():
        print(f"{name:24} {bytes_of_pages / each / 1e6:9.2f} MB/s   ours x {each / seconds['ours']:.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--input", type=Path, default=PAGES, help="Parquet or JSON Lines with a column `text`"
    )
    parser.add_argument("--megabytes", type=float, default=4.0, help="of pages")
    parser.add_argument(
        "--sizes", type=float, nargs="+", default=list(BARS), help="megabytes of benchmark text"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--datatrove-python", help="a Python interpreter that has datatrove and spacy")
    options = parser.parse_args()
    pages = sample(options.input, int(options.megabytes * 1e6))
    compare_sizes(options.sizes, pages, options.rounds)
    compare_peers(options.sizes[0], pages, options.rounds, options.datatrove_python)


if __name__ == "__main__":
    main()
