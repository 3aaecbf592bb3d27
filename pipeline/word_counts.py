"""The words of a whole corpus and their counts: what the tokenizer is trained on.

Each split is counted on its own into a table of different words (`tokenizer.words`), which is written packed, in
partitions by hash; one task adds up a partition, and leaves its words in the order of their counts. The sums
are of whole numbers, so they are the same whatever the splits, workers and runner.

    count        split -> packed words by partition, and what was read
    words.reduce partition -> its words and counts, the most frequent first, and how many words have each count
    choose       the most frequent words that fit the limits, and what the others amount to
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from pipeline import progress, storage
from pipeline.blocks import Block, Partition
from pipeline.chunks import Split
from pipeline.dedup.arrays import write_blocks
from pipeline.sources import ReadSettings, SplitReader
from tokenizer.words import WordCounts, WordTable

if TYPE_CHECKING:
    from pipeline.engine import Engine

UNIT: Final = 1000
"""Weights are in thousandths, and counts are multiplied by them: sums of whole numbers do not depend on order."""
PARTITION_BYTES: Final = 512 << 20
"""Bytes of input, as stored, for each partition of the words: a few hundred MB in the task that adds it up."""
TABLE_BYTES: Final = 512 << 20
"""A split's table that is larger is written, and a new one begun."""

I64 = npt.NDArray[np.int64]


class CountPlan(BaseModel, frozen=True):
    """What counting needs. `weights` are in thousandths, by source."""

    folder: str
    reading: dict[str, ReadSettings]
    weights: dict[str, int]
    tab_runs: int
    partitions: int


class CountItem(BaseModel, frozen=True):
    """A split to count; `weight` is what the pool sorts tasks by."""

    key: str
    split: Split
    weight: int


class CountedSplit(BaseModel, frozen=True):
    """Receipt of `count_split`: where the packed words lie, and what was read.

    `text_bytes` are of the documents' texts, `words` are occurrences, `failed` documents by reason.
    """

    key: str
    source: str
    blocks: tuple[Block, ...]
    documents: int
    text_bytes: int
    words: int
    failed: dict[str, int]


class Packed(BaseModel):
    """The blocks of a split, for the shuffle."""

    blocks: list[Block]


class CountedPartition(BaseModel):
    """A partition's words: three flat files.

    PATH.counts    int64: the counts, in thousandths, descending; words of one count by hash
    PATH.lengths   uint32: the bytes of each word
    PATH.words     the words
    """

    path: str
    words: int


def count_split(item: CountItem, plan: CountPlan) -> CountedSplit:
    """Task: count the words of a split's documents."""
    split, table = item.split, WordTable(plan.tab_runs)
    documents = text_bytes = words = 0
    failed: Counter[str] = Counter()
    path = storage.join(plan.folder, "counted", f"{item.key}.bin")
    with write_blocks(path) as writer:

        def flush() -> int:
            counted = table.counts()
            for partition, part in enumerate(_parts(counted, plan.partitions)):
                writer.add(partition, *_packed(part, plan.weights[split.source]))
            return counted.occurrences

        for chunk in SplitReader(split, plan.reading[split.source]):
            text = chunk.batch["text"]
            failed.update(error for error in chunk.batch["error"].to_pylist() if error is not None)
            table.add_text(text)
            read, size = len(text) - text.null_count, _text_bytes(text)
            documents, text_bytes = documents + read, text_bytes + size
            progress.add(documents=read, bytes=size)
            if table.nbytes > TABLE_BYTES:
                words += flush()
                table = WordTable(plan.tab_runs)
        words += flush()
    progress.add(tasks=1)
    return CountedSplit(
        key=item.key,
        source=split.source,
        blocks=tuple(writer.blocks),
        documents=documents,
        text_bytes=text_bytes,
        words=words,
        failed=dict(sorted(failed.items())),
    )


def pack_split(item: CountedSplit, _plan: CountPlan) -> Packed:
    """Task: hand a split's blocks to the shuffle."""
    return Packed(blocks=list(item.blocks))


def add_partition(item: Partition, plan: CountPlan) -> CountedPartition:
    """Task: add up the counts of a partition's words."""
    table = WordTable(plan.tab_runs)
    for block in item.blocks:
        table.add(_unpacked(_read(block)))
    counted = table.counts()
    counted = counted.take(np.argsort(-counted.counts, kind="stable"))
    path = storage.join(plan.folder, "words", item.key)
    for name, column in (
        ("counts", counted.counts.astype("<i8")),
        ("lengths", np.diff(counted.ends).astype("<u4")),
        ("words", counted.data),
    ):
        storage.write_bytes(f"{path}.{name}", column.tobytes())
    progress.add(tasks=1)
    return CountedPartition(path=path, words=len(counted))


def count_words(
    splits: Sequence[Split], sizes: Sequence[int], plan: CountPlan, engine: Engine
) -> tuple[list[CountedSplit], list[CountedPartition]]:
    """Count the words of all splits; receipts in the order of their keys, partitions in the order of hashes."""
    items = [
        CountItem(key=split.key, split=split, weight=size) for split, size in zip(splits, sizes, strict=True)
    ]
    receipts: list[CountedSplit] = engine.run("count", count_split, items, plan)
    found: list[CountedPartition] = engine.shuffle("words", pack_split, receipts, add_partition, plan)
    return receipts, found


# ---- packed words


def _parts(words: WordCounts, partitions: int) -> Iterator[WordCounts]:
    """The words of each partition: equal ranges of the hash, which the words are sorted by."""
    lows = np.array([(1 << 64) * index // partitions for index in range(partitions)], np.uint64)
    bounds = [*np.searchsorted(words.hashes, lows).tolist(), len(words)]
    for low, high in itertools.pairwise(bounds):
        first = int(words.ends[low])
        yield WordCounts(
            words.hashes[low:high],
            words.counts[low:high],
            words.ends[low : high + 1] - first,
            words.data[first : int(words.ends[high])],
        )


def _packed(words: WordCounts, weight: int) -> tuple[npt.NDArray[np.uint8], ...]:
    """Words as bytes: their number, counts (times the weight), lengths, letters; nothing for no words."""
    if not len(words):
        return ()
    columns = (
        np.array([len(words)], "<i8"),
        (words.counts * weight).astype("<i8"),
        np.diff(words.ends).astype("<u4"),
        words.data,
    )
    return tuple(np.ascontiguousarray(column).view(np.uint8) for column in columns)


def _read(block: Block) -> bytes:
    with storage.open_read(block.path) as file:
        file.seek(block.offset)
        content = file.read(block.length)
    if len(content) != block.length:
        raise ValueError(f"{block.path} ends early: {block.length - len(content)} bytes are missing")
    return content


def _unpacked(content: bytes) -> WordCounts:
    """The words of a block; the hashes are left out, for the table makes them anew."""
    number = int(np.frombuffer(content, "<i8", 1)[0])
    counts = np.frombuffer(content, "<i8", number, 8).astype(np.int64)
    lengths = np.frombuffer(content, "<u4", number, 8 + 8 * number)
    ends = np.zeros(number + 1, np.int64)
    np.cumsum(lengths, out=ends[1:])
    data = np.frombuffer(content, np.uint8, int(ends[-1]), 8 + 12 * number)
    return WordCounts(np.zeros(0, np.uint64), counts, ends, data)


def _text_bytes(text: pa.Array) -> int:
    return int(pc.sum(pc.binary_length(text)).as_py() or 0)


# ---- which words are kept


@dataclass(frozen=True)
class Chosen:
    """The most frequent words that fit the limits.

    All words with a count above `least` are kept, and of those with that count, in the order of their hashes,
    the first `at_least`. `lost_words` and `lost_count` are what is left out; counts are in thousandths.
    """

    least: int
    at_least: int
    words: int
    count: int
    lost_words: int
    lost_count: int


def choose(partitions: Sequence[CountedPartition], most_words: int, most_bytes: int) -> Chosen:
    """The most frequent words, as many as fit: at most `most_words`, of at most `most_bytes` bytes together."""
    counts, words, sizes = _by_count(partitions)
    total_words, total_count = int(words.sum()), int((counts * words).sum())
    fits = (np.cumsum(words) <= most_words) & (np.cumsum(sizes) <= most_bytes)
    whole = int(np.argmin(fits)) if not fits.all() else len(counts)
    kept_words, kept_count = int(words[:whole].sum()), int((counts[:whole] * words[:whole]).sum())
    at_least = 0
    least = 0
    if whole < len(counts):
        least = int(counts[whole])
        room = most_bytes - int(sizes[:whole].sum())
        at_least = _how_many_fit(partitions, least, most_words - kept_words, room)
    kept_words, kept_count = kept_words + at_least, kept_count + at_least * least
    return Chosen(least, at_least, kept_words, kept_count, total_words - kept_words, total_count - kept_count)


def _by_count(partitions: Sequence[CountedPartition]) -> tuple[I64, I64, I64]:
    """Every count that words have, descending; how many words have it, and their bytes."""
    classes = []
    for each in partitions:
        counts, lengths = _counts(each), _lengths(each)
        starts = np.flatnonzero(np.diff(counts, prepend=-1))
        words = np.diff(starts, append=len(counts))
        sizes = np.add.reduceat(lengths, starts) if len(starts) else np.zeros(0, np.int64)
        classes.append((counts[starts], words, sizes))
    if not classes:
        return (np.zeros(0, np.int64),) * 3
    counts, words, sizes = (np.concatenate(column) for column in zip(*classes, strict=True))
    distinct, places = np.unique(-counts, return_inverse=True)
    both = []
    for column in (words, sizes):
        total = np.zeros(len(distinct), np.int64)
        np.add.at(total, places, column)
        both.append(total)
    return -distinct, both[0], both[1]


def _how_many_fit(partitions: Iterable[CountedPartition], count: int, words: int, size: int) -> int:
    """How many of the words with this count fit, in the order of their hashes."""
    fitting = 0
    for each in partitions:
        ends = np.cumsum(_lengths(each)[_counts(each) == count])
        here = min(words - fitting, int(np.searchsorted(ends, size, side="right")))
        fitting += here
        if here < len(ends):
            break
        size -= int(ends[-1]) if len(ends) else 0
    return fitting


def chosen_words(partitions: Iterable[CountedPartition], chosen: Chosen) -> Iterator[tuple[bytes, int]]:
    """The words that are kept, with their counts as whole numbers: at least 1, halves rounded up."""
    left = chosen.at_least
    for each in partitions:
        counts = _counts(each)
        above = int(np.searchsorted(-counts, -chosen.least, side="left"))
        upto = int(np.searchsorted(-counts, -chosen.least, side="right"))
        kept = above + min(left, upto - above) if chosen.least else len(counts)
        left -= kept - above if chosen.least else 0
        ends = np.cumsum(_lengths(each)).tolist()
        content, start = storage.read_bytes(f"{each.path}.words"), 0
        for count, end in zip(((counts[:kept] + UNIT // 2) // UNIT).tolist(), ends, strict=False):
            yield content[start:end], max(1, count)
            start = end


def _counts(partition: CountedPartition) -> I64:
    return np.frombuffer(storage.read_bytes(f"{partition.path}.counts"), "<i8").astype(np.int64)


def _lengths(partition: CountedPartition) -> I64:
    return np.frombuffer(storage.read_bytes(f"{partition.path}.lengths"), "<u4").astype(np.int64)
