"""Decontamination within `decide`: counts of benchmark n-grams over the corpus, and what each chunk loses by them.

    count_chunk       packed (n-gram, documents of the chunk) of the documents that duplicates and rules have left
    sum_usage         those counts added up for a range of n-grams
    judge             a chunk's contaminated documents against the counts; their matches in context; the text that is
                      left where a section or a span goes and not the document
    published_chunk, union_chunk      which n-grams the published documents still hold, for the benchmarks' model cards

No text is read but that of contaminated documents.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from decontam import naming
from decontam.ngrams import NgramIndex
from decontam.rule import (
    ANY_BYTES_PER_USE,
    THRESHOLDS,
    U32,
    any_is_meant,
    blamed,
    count_hits,
    fewest_uses,
    flatten,
    resolve_threshold,
)
from decontam.scan import locate, scan
from decontam.settings import DecontaminationSettings, RuleName, Unit
from decontam.units import Cut, cut
from filters.measures import Column
from filters.words import WordIndex, index_words
from pipeline import storage
from pipeline.blocks import Block, Partition
from pipeline.chunks import HarvestedChunk
from pipeline.errors import UserError
from pipeline.harvest import rows_of

if TYPE_CHECKING:
    from pipeline.decide import Settled
    from pipeline.engine import Engine

HITS = "decontamination.hits"

REMOVED_CHARACTERS = Column(
    "decontamination.removed_characters",
    pa.int64(),
    "characters removed with benchmark text; the other measures are of the text before",
)

RULES: tuple[RuleName, ...] = ("item", "any")

NGRAMS_PER_PARTITION = 1 << 24
"""Ids of the range that one reduce task adds up: 64 MiB of uint32."""

INDEX_ENDING = ".arrow"
"""How the name of an n-gram index ends; a registry is YAML."""

CONTEXT = 120
"""Characters of text kept on each side of a match, so that a person can judge it."""

MATCHES = pa.schema(
    [
        ("row", pa.int64()),  # the row in the chunk; not published
        ("benchmark", pa.string()),  # the benchmark's key
        ("item", pa.string()),  # the item's id
        ("part", pa.string()),  # the part of the item: prompt, choices, answer or passage
        ("n", pa.uint8()),  # words of the n-gram at fault: of those that overlap here, the longest
        ("words", pa.string()),  # the n-gram, as the word rule folds it
        ("documents", pa.int64()),  # documents of the corpus (and of the usage table) that hold it
        ("shared_by", pa.uint32()),  # item parts that have it
        ("start", pa.int64()),  # first character of the match in the text, all overlapping n-grams together
        ("end", pa.int64()),  # the character behind it
        ("before", pa.string()),  # text before the match
        ("match", pa.string()),  # the match as it stands in the text
        ("after", pa.string()),  # text behind the match
    ]
)
"""The places at which a document holds benchmark n-grams that are not common usage."""

CUTS = pa.schema([("row", pa.int64()), ("text", pa.large_string()), ("removed_characters", pa.int64())])


class ContaminationPlan(BaseModel, frozen=True, extra="forbid"):
    """What decontamination decides by. `usage` is the file of counts that come from another corpus, if any."""

    folder: str
    index: str
    ids: int
    threshold: int
    rule: RuleName
    unit: Unit
    usage: str | None = None


def rule_name(rule: RuleName) -> str:
    """How the ledger names the rule."""
    return f"decontamination.{rule}"


@functools.lru_cache(maxsize=2)
def open_index(path: str) -> NgramIndex:
    """The index of a run, opened once in each process."""
    return NgramIndex.open(path)


def resolve(
    settings: DecontaminationSettings, index_path: str, folder: str, *, text_bytes: int
) -> ContaminationPlan:
    """The plan for a corpus of so many bytes of text; reads the usage table, if one is given.

    Raises:
        UserError: for the rule `any` on a corpus that is too small for it, and for a usage table that does not fit.
    """
    index = open_index(index_path)
    usage, usage_bytes = None, 0
    if settings.usage is not None:
        usage = storage.join(folder, "usage-table.arrow")
        usage_bytes = _place_usage(settings.usage, index, usage)
    threshold = resolve_threshold(settings.threshold, text_bytes + usage_bytes)
    if settings.rule == "any" and settings.usage is None and not settings.force:
        refuse_any(threshold, text_bytes)
    return ContaminationPlan(
        folder=folder,
        index=index_path,
        ids=index.id_limit,
        threshold=threshold,
        rule=settings.rule,
        unit=settings.unit,
        usage=usage,
    )


def refuse_any(threshold: int, text_bytes: int) -> None:
    """Refuse the rule `any` on a corpus in which ordinary 4-grams cannot reach the threshold.

    Raises:
        UserError: saying why, and what to do instead.
    """
    if any_is_meant(threshold, text_bytes):
        return
    raise UserError(
        f"rule any: this corpus has {text_bytes / 1e9:,.3g} GB of text, and {threshold} uses make an n-gram common. The "
        "rule takes every 4-gram of every benchmark, and on a corpus of this size few ordinary ones ('as soon as "
        "possible') reach that: measured, it removed 87 % of ordinary documents of 0.65 GB, and would remove 28 % of "
        f"0.65 TB. It is meant for {threshold * ANY_BYTES_PER_USE / 1e12:,.3g} TB and more. Use --rule item (the "
        "default: one n for each item), or give counts of a bigger corpus with --usage TABLE.parquet (`decontam usage` "
        "writes them), or --force to go on all the same."
    )


def _place_usage(path: str, index: NgramIndex, placed: str) -> int:
    """Write a usage table's counts for the n-grams of an index; the bytes of the corpus that it was measured on."""
    from decontam.errors import BenchmarkError
    from decontam.usage import read_usage

    try:
        with storage.open_read(path) as file:
            ids, counts, info = read_usage(path, file, index)
    except FileNotFoundError as error:
        raise UserError(f"there is no usage table {path}.") from error
    except BenchmarkError as error:
        raise UserError(str(error)) from error
    write_counts(placed, ids, counts)
    return info.text_bytes


def account(
    plan: ContaminationPlan, settings: DecontaminationSettings, settled: Sequence[Settled]
) -> dict[str, Any]:
    """What the manifest says of decontamination."""
    header = open_index(plan.index).header
    effect: dict[str, Any] = {rule: np.zeros(len(THRESHOLDS) + 1, np.int64) for rule in RULES}
    for each in settled:
        for rule, counts in each.effect.items():
            effect[rule] += counts
    names = [str(limit) for limit in THRESHOLDS] + ["chosen"]
    return {
        "rule": plan.rule,  # item or any
        "threshold": plan.threshold,  # documents that make an n-gram common usage
        "asked_threshold": settings.threshold,  # as configured: a number, or auto
        "unit": plan.unit,  # what is removed
        "usage": settings.usage,  # the usage table whose counts were added; null without one
        "index": header.digest,  # BLAKE2b of the benchmark index
        "ngrams": open_index(plan.index).size,  # distinct n-grams of the index
        # rule -> threshold -> documents that it would remove; `chosen` is the threshold that was used
        "effect": {rule: dict(zip(names, counts.tolist(), strict=True)) for rule, counts in effect.items()},
    }


# ---- counting


def count_chunk(key: str, plan: ContaminationPlan, hits: Any) -> list[Block]:
    """Count, per n-gram, the documents that hold it: packed (uint32 id, uint32 count) by range of ids."""
    ids, counts = count_hits(hits, plan.ids)
    packed = np.stack([ids, counts], axis=1).astype("<u4")
    return _write_by_range(storage.join(plan.folder, "hits", f"{key}.bin"), packed, ids)


def _write_by_range(path: str, packed: np.ndarray, ids: np.ndarray) -> list[Block]:
    blocks, offset = [], 0
    partitions = ids.astype(np.int64) // NGRAMS_PER_PARTITION
    edges = np.flatnonzero(np.diff(partitions, prepend=-1, append=-1))
    with storage.write_atomically(path) as file:
        for first, last in itertools.pairwise(edges.tolist()):
            here = packed[first:last].tobytes()
            file.write(here)
            blocks.append(Block(partition=int(partitions[first]), path=path, offset=offset, length=len(here)))
            offset += len(here)
    return blocks


class Counted(BaseModel):
    """Where the counts of a range of n-grams lie, and how many were found at all."""

    partition: int
    path: str
    found: int


def sum_usage(item: Partition, plan: ContaminationPlan) -> Counted:
    """Add up the document counts of a range of n-grams over all chunks."""
    first = item.index * NGRAMS_PER_PARTITION
    totals = np.zeros(min(NGRAMS_PER_PARTITION, plan.ids - first), np.uint32)
    for block in item.blocks:
        packed = np.frombuffer(_read(block), "<u4").reshape(-1, 2)
        totals[packed[:, 0] - first] += packed[:, 1]
    found = np.flatnonzero(totals)
    path = _usage_path(plan.folder, item.index)
    write_counts(path, (found + first).astype(np.uint32), totals[found])
    return Counted(partition=item.index, path=path, found=len(found))


def _read(block: Block) -> bytes:
    with storage.open_read(block.path) as file:
        file.seek(block.offset)
        return bytes(file.read(block.length))


def _usage_path(folder: str, partition: int) -> str:
    return storage.join(folder, "usage", f"{partition:05d}.arrow")


def write_counts(path: str, ids: U32, counts: np.ndarray) -> None:
    """Write ascending ids and their counts as an Arrow file, which `Usage` maps into memory."""
    batch = pa.record_batch({"id": pa.array(ids), "documents": pa.array(counts.astype(np.uint32))})
    with storage.write_atomically(path) as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


class Usage:
    """How many documents hold each n-gram: the counts of a corpus, one file per range of ids, mapped into memory.

    Counts from another corpus (a usage table) may lie over them.
    """

    def __init__(self, plan: ContaminationPlan) -> None:
        partitions = range(-(-plan.ids // NGRAMS_PER_PARTITION))
        self._parts = [_open_counts(_usage_path(plan.folder, each)) for each in partitions]
        self._more = _open_counts(plan.usage) if plan.usage is not None else _NOTHING

    def own(self) -> Iterator[tuple[U32, np.ndarray]]:
        """The n-grams of this corpus, ascending, and their documents in it, a range at a time."""
        for ids, counts in self._parts:
            yield ids, counts.astype(np.int64)

    def of(self, ids: U32) -> np.ndarray:
        """The documents that hold each of some n-grams (int64), in this corpus and in the table's."""
        uses = _look_up(self._more, ids)
        where = ids // NGRAMS_PER_PARTITION
        for partition in np.unique(where):
            here = np.flatnonzero(where == partition)
            uses[here] += _look_up(self._parts[partition], ids[here])
        return uses


_NOTHING = (np.zeros(0, np.uint32), np.zeros(0, np.uint32))


def _open_counts(path: str) -> tuple[np.ndarray, np.ndarray]:
    if not storage.exists(path):
        return _NOTHING
    if storage.is_local(path):
        source: Any = pa.memory_map(storage.local_path(path))
    else:
        source = pa.py_buffer(storage.read_bytes(path))
    batch = pa.ipc.open_file(source).get_batch(0)
    return tuple(batch[name].to_numpy(zero_copy_only=True) for name in ("id", "documents"))


def _look_up(part: tuple[np.ndarray, np.ndarray], ids: U32) -> np.ndarray:
    known, counts = part
    uses = np.zeros(len(ids), np.int64)
    if len(known):
        places = np.minimum(np.searchsorted(known, ids), len(known) - 1)
        hit = known[places] == ids
        uses[hit] = counts[places[hit]]
    return uses


@functools.lru_cache(maxsize=2)
def open_usage(plan: ContaminationPlan) -> Usage:
    """The counts of a run, opened once in each process."""
    return Usage(plan)


def write_usage_table(
    file: IO[bytes], plan: ContaminationPlan, chunks: Sequence[HarvestedChunk], ledgers: Sequence[str]
) -> int:
    """Write this corpus's counts as a usage table; the n-grams that it lists."""
    from decontam.usage import UsageInfo, write_usage
    from pipeline.decide import read_ledger

    documents = text_bytes = 0
    for chunk, ledger in zip(chunks, ledgers, strict=True):
        kept = pc.equal(read_ledger(ledger)["status"], "kept")
        documents += pc.sum(kept).as_py() or 0
        text_bytes += pc.sum(rows_of(chunk, ["text.bytes"])["text.bytes"].filter(kept)).as_py() or 0
    index = open_index(plan.index)
    return write_usage(file, index, open_usage(plan).own(), UsageInfo.of(index, documents, text_bytes))


# ---- judging


@dataclass(frozen=True)
class Judgement:
    """What becomes of a chunk.

    Attributes:
        rows: the contaminated documents that are rejected, and `uses` and `details` for the ledger.
        effect: rule -> documents that it takes out at each of `THRESHOLDS` and at the chosen threshold.
        benchmarks: benchmark -> contaminated documents that it has a part in.
        matches, cuts: as `MATCHES` and `CUTS`; cuts where the document stays without its benchmark text.
    """

    rows: list[int]
    uses: list[int]
    details: list[str]
    effect: dict[str, list[int]]
    benchmarks: dict[str, int]
    matches: pa.Table
    cuts: pa.Table


def judge(chunk: HarvestedChunk, plan: ContaminationPlan, kept: np.ndarray) -> Judgement:
    """Find what of a chunk is contaminated, among the documents that are still kept."""
    index = open_index(plan.index)
    hits = rows_of(chunk, [HITS])[HITS].combine_chunks()
    offsets, ids = flatten(hits)
    uses = open_usage(plan).of(ids)
    watched = {"item": index.is_item(ids), "any": np.ones(len(ids), bool)}
    effect: dict[str, list[int]] = {}
    for rule in RULES:
        fewest = fewest_uses(offsets, uses, watched[rule])[kept]
        effect[rule] = [int((fewest < limit).sum()) for limit in (*THRESHOLDS, plan.threshold)]
    at_fault = watched[plan.rule] & (uses < plan.threshold)
    named = blamed(offsets, ids, uses, index.lengths_of(ids), at_fault)
    dirty = np.flatnonzero((named >= 0) & kept)
    described = naming.describe(index, ids[named[dirty]], plan.rule).to_pylist()
    details = [
        f"{found['benchmark']} item {found['item']} ({found['part']}), {found['n']} words: {found['words']}"
        for found in described
    ]
    at_fault &= _within(offsets, dirty)
    matches, cuts, lost = _places(chunk, plan, dirty, (ids, uses), at_fault)
    gone = [at for at, row in enumerate(dirty.tolist()) if plan.unit == "document" or row in lost]
    return Judgement(
        rows=[int(dirty[at]) for at in gone],
        uses=[int(uses[named[dirty[at]]]) for at in gone],
        details=[details[at] for at in gone],
        effect=effect,
        benchmarks=_by_benchmark(index, plan.rule, offsets, ids, at_fault),
        matches=matches,
        cuts=cuts,
    )


def _within(offsets: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Which of the hits are of some documents."""
    chosen = np.zeros(len(offsets) - 1, bool)
    chosen[rows] = True
    return np.repeat(chosen, np.diff(offsets))


def _by_benchmark(
    index: NgramIndex, rule: RuleName, offsets: np.ndarray, ids: U32, at_fault: np.ndarray
) -> dict[str, int]:
    """How many documents hold an n-gram at fault of each benchmark."""
    documents = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[at_fault]
    distinct, place = np.unique(ids[at_fault], return_inverse=True)
    which, units = naming.units_of(index, distinct, rule)
    benchmarks = np.asarray(index.unit_benchmarks, np.int64)[units]
    pairs = np.unique(np.stack([which, benchmarks], axis=1), axis=0)
    first = np.searchsorted(pairs[:, 0], np.arange(len(distinct) + 1))
    counts = np.diff(first)[place]
    held = np.repeat(first[:-1][place], counts) + _ramp(counts)
    both = np.unique(np.stack([np.repeat(documents, counts), pairs[held, 1]], axis=1), axis=0)
    numbers, documents_of = np.unique(both[:, 1], return_counts=True)
    keys = [index.header.benchmarks[number].key for number in numbers.tolist()]
    return dict(zip(keys, documents_of.tolist(), strict=True))


def _ramp(counts: np.ndarray) -> np.ndarray:
    """0 .. count - 1 for each count, one after another."""
    ends = np.cumsum(counts)
    ramp: np.ndarray = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - counts, counts)
    return ramp


def _places(
    chunk: HarvestedChunk,
    plan: ContaminationPlan,
    dirty: np.ndarray,
    found: tuple[np.ndarray, np.ndarray],
    at_fault: np.ndarray,
) -> tuple[pa.Table, pa.Table, set[int]]:
    """Matches and cuts of the contaminated documents, and the rows of which no text worth keeping is left."""
    if not len(dirty):
        return MATCHES.empty_table(), CUTS.empty_table(), set()
    index = open_index(plan.index)
    ids, uses = found
    texts = rows_of(chunk, ["text"])["text"].combine_chunks().take(pa.array(dirty))
    words = index_words(texts)
    wanted, first = np.unique(ids[at_fault], return_index=True)
    used = uses[at_fault][first]
    spans = _spans(words, index, wanted, used)
    rows: list[tuple[int, str, int, int, int, int]] = []
    left: dict[int, Cut] = {}
    lost: set[int] = set()
    for number, (row, text) in enumerate(zip(dirty.tolist(), texts.to_pylist(), strict=True)):
        placed = _characters(text, spans[number])
        rows.extend((row, text, *each) for each in placed)
        if plan.unit in ("section", "span"):
            rest = cut(text, [(start, end) for start, end, _, _ in placed], plan.unit)
            if rest is None:
                lost.add(row)
            else:
                left[row] = rest
    lost |= _still_dirty(left, plan)
    cuts = [
        {"row": row, "text": rest.text, "removed_characters": rest.removed_characters}
        for row, rest in left.items()
        if row not in lost
    ]
    return _match_table(index, rows, plan.rule), pa.Table.from_pylist(cuts, CUTS), lost


def _still_dirty(left: dict[int, Cut], plan: ContaminationPlan) -> set[int]:
    """The documents whose rest holds benchmark text all the same: a cut can join words into an n-gram."""
    if not left:
        return set()
    index = open_index(plan.index)
    texts = pa.array([rest.text for rest in left.values()], pa.large_string())
    offsets, ids = flatten(scan(index_words(texts), index))
    at_fault = open_usage(plan).of(ids) < plan.threshold
    if plan.rule == "item":
        at_fault &= index.is_item(ids)
    documents = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[at_fault]
    rows = list(left)
    return {rows[number] for number in np.unique(documents).tolist()}


def _spans(
    words: WordIndex, index: NgramIndex, wanted: U32, uses: np.ndarray
) -> list[list[tuple[int, int, int, int]]]:
    """For each document its matches (first byte, last byte + 1, n-gram, uses); overlapping n-grams are one match.

    The n-gram that stands for a match is the longest, then the one with the fewest uses, then the lowest id.
    """
    located = locate(words, index, wanted)
    lengths = index.lengths_of(located.ids).astype(np.int64)
    starts = words.starts[located.firsts]
    ends = words.ends[located.firsts + lengths - 1]
    used = uses[np.searchsorted(wanted, located.ids)]
    spans: list[list[tuple[int, int, int, int]]] = [[] for _ in range(len(words.doc_starts))]
    best: tuple[int, int, int] = (0, 0, 0)
    order = np.lexsort((-lengths, located.firsts, located.documents))
    for at in order.tolist():
        document, ngram = int(located.documents[at]), int(located.ids[at])
        base = int(words.doc_starts[document])
        start, end = int(starts[at]) - base, int(ends[at]) - base
        rank = (-int(lengths[at]), int(used[at]), ngram)
        here = spans[document]
        if here and start < here[-1][1]:
            best = min(best, rank)
            here[-1] = (here[-1][0], max(here[-1][1], end), best[2], best[1])
        else:
            best = rank
            here.append((start, end, ngram, int(used[at])))
    return spans


def _characters(text: str, spans: Sequence[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """Spans with byte offsets turned into character offsets, in one pass over the text."""
    data = text.encode()
    placed, characters, last = [], 0, 0
    for start, end, ngram, uses in spans:
        characters += len(data[last:start].decode("utf-8", "replace"))
        length = len(data[start:end].decode("utf-8", "replace"))
        placed.append((characters, characters + length, ngram, uses))
        characters += length
        last = end
    return placed


def _match_table(
    index: NgramIndex, rows: Sequence[tuple[int, str, int, int, int, int]], rule: RuleName
) -> pa.Table:
    described = naming.describe(index, np.array([row[4] for row in rows], np.uint32), rule).to_pylist()
    return pa.Table.from_pylist(
        [
            {
                **about,
                "row": row,
                "documents": uses,
                "start": start,
                "end": end,
                "before": text[max(0, start - CONTEXT) : start],
                "match": text[start:end],
                "after": text[end : end + CONTEXT],
            }
            for (row, text, start, end, _, uses), about in zip(rows, described, strict=True)
        ],
        MATCHES,
    )


# ---- what is published


class PublishedItem(BaseModel, frozen=True):
    """A chunk, its final ledger, and its cuts."""

    key: str
    chunk: HarvestedChunk
    ledger: str
    cuts: str | None
    weight: int = 0


class PublishedBlocks(BaseModel):
    """Where the n-grams of a chunk's published documents lie."""

    blocks: list[Block] = []


def published_chunk(item: PublishedItem, plan: ContaminationPlan) -> PublishedBlocks:
    """The distinct n-grams of the documents that a chunk publishes; documents with cuts are scanned again."""
    from pipeline.decide import read_ledger

    kept = np.asarray(pc.equal(read_ledger(item.ledger)["status"], "kept"))
    cuts = read_ledger(item.cuts) if item.cuts is not None else CUTS.empty_table()
    kept[cuts["row"].to_numpy()] = False
    hits = rows_of(item.chunk, [HITS])[HITS].combine_chunks().filter(pa.array(kept))
    found = [flatten(hits)[1]]
    if cuts.num_rows:
        found.append(flatten(scan(index_words(cuts["text"].combine_chunks()), open_index(plan.index)))[1])
    ids = np.unique(np.concatenate(found)).astype("<u4")
    return PublishedBlocks(
        blocks=_write_by_range(storage.join(plan.folder, "published", f"{item.key}.bin"), ids, ids)
    )


def union_chunk(item: Partition, plan: ContaminationPlan) -> Counted:
    """The distinct n-grams of a range over all chunks."""
    first = item.index * NGRAMS_PER_PARTITION
    seen = np.zeros(min(NGRAMS_PER_PARTITION, plan.ids - first), bool)
    for block in item.blocks:
        seen[np.frombuffer(_read(block), "<u4") - first] = True
    ids = (np.flatnonzero(seen) + first).astype("<u4")
    path = storage.join(plan.folder, "published", f"{item.index:05d}.ids")
    storage.write_bytes(path, ids.tobytes())
    return Counted(partition=item.index, path=path, found=len(ids))


def published_ngrams(
    chunks: Sequence[HarvestedChunk], settled: Sequence[Settled], plan: ContaminationPlan, engine: Engine
) -> U32:
    """The n-grams that published documents hold, ascending."""
    items = [
        PublishedItem(key=chunk.key, chunk=chunk, ledger=each.path, cuts=each.cuts, weight=chunk.rows)
        for chunk, each in zip(chunks, settled, strict=True)
    ]
    counted = engine.shuffle("published", published_chunk, items, union_chunk, plan)
    parts = [np.frombuffer(storage.read_bytes(each.path), "<u4") for each in counted]
    return np.concatenate([np.zeros(0, np.uint32), *parts])
