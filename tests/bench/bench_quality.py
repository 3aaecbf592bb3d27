"""Gopher's, C4's and FineWeb's measures against datatrove's four filters: user CPU on the same real texts,
in one run.

    python -m tests.bench.bench_quality [--documents 400] [--runs 3]

Needs datatrove with spaCy (docs/quality.md says how) and the real pages. Both sides get ready Python
strings or an Arrow column of them, and are warm: compiled, tokenizer loaded. datatrove's filters run one
after the other on each document, as in FineWeb, whatever the ones before said, and keep their memory of the
last words; each stops at the first of its rules that fails. Ours find the words, edit lines, find the words
of the rest again, and compute every column. Median of the runs, which take turns."""

from __future__ import annotations

import argparse
import json
import resource
import statistics
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from filters.c4 import C4LineEdits, c4, edit_lines
from filters.dclm import DclmLineEdits
from filters.dclm import edit_lines as edit_lines_dclm
from filters.fineweb import fineweb
from filters.gopher import gopher_quality, gopher_repetition
from filters.words import index_words
from tests.acceptance import quality_peer as peer

MEASURES = (gopher_quality, gopher_repetition, c4, fineweb)


def measure(text: pa.Array) -> None:
    """All columns, no edits."""
    words, batch = index_words(text), pa.record_batch({"text": text})
    for each in MEASURES:
        each(batch, words)


def edit_and_measure(text: pa.Array) -> None:
    """C4's line edits, and all columns of what they leave: the work of datatrove's four filters."""
    measure(edit_lines(text, index_words(text), C4LineEdits()).text)


def everything(text: pa.Array) -> None:
    """DCLM's line edits too."""
    edited = edit_lines(text, index_words(text), C4LineEdits()).text
    measure(edit_lines_dclm(edited, index_words(edited), DclmLineEdits()).text)


def datatrove(texts: list[str]) -> Callable[[pa.Array], None]:
    """The four filters as FineWeb runs them."""
    from datatrove.data import Document

    filters = [
        peer.peer_filter("GopherRepetition"),
        peer.peer_filter("GopherQuality"),
        peer.peer_filter("C4Quality", filter_no_terminal_punct=False),
        peer.peer_filter("FineWebQuality"),
    ]

    def run(_text: pa.Array) -> None:
        for text in texts:
            document = Document(text=text, id="")
            for each in filters:
                each.filter(document)

    return run


def user_seconds(run: Callable[[pa.Array], Any], text: pa.Array) -> float:
    """User CPU of one run in this process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    run(text)
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime - before


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--documents", type=int, default=400)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    texts = peer.real_texts()
    texts = texts[:: max(1, len(texts) // options.documents)][: options.documents]
    text = pa.array(texts, pa.large_string())
    size = sum(len(each.encode()) for each in texts)
    # A run of ours is too short for the clock of user CPU: it is done over and over on the same column.
    repeats = max(1, 40_000_000 // size)
    ours = {"measures": measure, "with C4 edits": edit_and_measure, "with C4 and DCLM edits": everything}
    theirs = datatrove(texts)
    for run in ours.values():
        run(text)
    theirs(text)
    seconds: dict[str, list[float]] = {name: [] for name in (*ours, "datatrove")}
    for _ in range(options.runs):
        seconds["datatrove"].append(user_seconds(theirs, text))
        for name, run in ours.items():
            seconds[name].append(
                user_seconds(lambda column, run=run: [run(column) for _ in range(repeats)], text) / repeats
            )
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    figures = {
        name: {
            "microseconds_per_document": round(value / len(texts) * 1e6, 1),
            "megabytes_per_second": round(size / value / 1e6, 2),
            "times_datatrove": round(medians["datatrove"] / value, 1),
        }
        for name, value in medians.items()
    }
    print(json.dumps({"documents": len(texts), "bytes": size, **figures}, indent=2))


if __name__ == "__main__":
    main()
