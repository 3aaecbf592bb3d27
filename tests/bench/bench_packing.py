"""What packing costs and gives: best fit against concat-and-chunk, the kernel against plain Python.

    python -m tests.bench.bench_packing                     # real texts of this machine, cut lengths of code and prose
    python -m tests.bench.bench_packing --folder DIR        # other texts

Texts are the Python sources and documents under the given folders; tokens are words and marks (one token for each), which is
near what a tokenizer of 32k gives on code and needs none here. The peer is best-fit decreasing with a sorted list and `bisect`,
in plain Python. Both pack the same pieces; the numbers of sequences must agree. Seconds are of the processor, medians of three.
"""

from __future__ import annotations

import argparse
import bisect
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.mixture.pack import best_fit, fill, pack_best_fit, pack_concat, split_long
from pipeline.mixture.pieces import piece_classes

LENGTHS = (2048, 4096, 8192, 32768)
MOST_BYTES = 200 << 20
PIECES = ["▁word", "▁word.", "\n", "word", ".", ")"]
WORD, SENTENCE, LINE = 0, 1, 2


def texts(folders: list[Path]) -> Iterator[bytes]:
    size = 0
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".py", ".txt", ".rst", ".md", ".html") and path.is_file():
                content = path.read_bytes()
                size += len(content)
                if size > MOST_BYTES:
                    return
                yield content


def tokens_of(text: bytes) -> np.ndarray:
    """A token for each word (one that ends a sentence apart) and for each line end."""
    found = [
        token
        for line in text.split(b"\n")
        for token in [*(SENTENCE if word[-1:] in b".!?" else WORD for word in line.split()), LINE]
    ]
    return np.array(found, np.uint16)


def plain_best_fit(sizes: list[int], length: int) -> int:
    """The number of sequences: best-fit decreasing over a sorted list of spaces."""
    spaces: list[int] = []
    made = 0
    for size in sorted(sizes, reverse=True):
        at = bisect.bisect_left(spaces, size)
        if at == len(spaces):
            made += 1
            space = length
        else:
            space = spaces.pop(at)
        if space > size:
            bisect.insort(spaces, space - size)
    return made


def median_seconds(function: Callable[[], Any], repeat: int = 3) -> tuple[float, Any]:
    seconds = []
    for _ in range(repeat):
        start = time.process_time()
        result = function()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds), result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, action="append")
    folders = parser.parse_args().folder or [
        Path("/usr/share/doc"),
        Path("/usr/lib/python3"),
        Path(np.__file__).parents[1],
    ]
    documents = [found for found in map(tokens_of, texts(folders)) if len(found)]
    random = np.random.default_rng(0)
    documents = [documents[at] for at in random.permutation(len(documents))]
    sizes = np.array([len(each) for each in documents])
    flat = np.concatenate(documents)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    classes, keys = piece_classes(PIECES), random.integers(0, 2**63, len(sizes)).astype(np.uint64)
    print(f"{len(sizes):,} documents, {len(flat) / 1e6:.1f} M tokens, median {int(np.median(sizes)):,}")
    split_long(flat[: sizes[0]], starts[:2], classes, 64)  # compile
    print(
        "length   concat: cut | best fit: cut  padding  sequences | kernel  plain Python  ratio | all, M tokens/s"
    )
    for length in LENGTHS:
        document, _, pieces = split_long(flat, starts, classes, length)
        best_fit(pieces, length)
        kernel, (_, made) = median_seconds(lambda pieces=pieces, length=length: best_fit(pieces, length))
        listed = pieces.tolist()
        plain, expected = median_seconds(lambda p=listed, length=length: plain_best_fit(p, length))
        assert made == expected
        fits = sizes <= length
        chunked = pack_concat(starts, length)
        cut = (np.bincount(chunked.document, minlength=len(sizes)) > 1) & fits
        assert not ((np.bincount(document, minlength=len(sizes)) > 1) & fits).any()

        def everything(length: int = length) -> None:
            fill(flat, starts, pack_best_fit(flat, starts, classes, length, keys), length, 0)

        everything()
        seconds, _ = median_seconds(everything)
        padding = 1 - len(flat) / (made * length)
        print(
            f"{length:>6}   {cut.sum() / fits.sum():>10.1%} | {0:>13} {padding:>8.3%} {made:>10,} | "
            f"{kernel:.4f} s {plain:>8.4f} s {plain / kernel:>6.1f} | {len(flat) / seconds / 1e6:>6.0f}"
        )


if __name__ == "__main__":
    main()
