"""Which copies of which documents go to which shard: keyed hashes and token counts, nothing else.

For every epoch the documents of a stratum are put in the order of a hash of (seed, component, id, epoch), and this line is
cut into as many pieces as there are shards, equal in tokens to within a document. A piece is where the documents *live*
in that epoch, whatever is taken of them: all of them in a whole epoch, and in the last, partial one as many from the
front of each piece as the shard's quota asks for. So

  - a document is seen floor or ceil of its stratum's epochs;
  - every shard holds its share of every stratum to within one document, and so do all shards together;
  - other weights or sizes with the same seed, shards and documents leave every copy in its shard and order, and a larger
    quota keeps the copies of a smaller one (but for at most one document of each stratum in a shard, at the edge).

The line is sorted in partitions (ranges of the hash), so that no task holds more than its part; the cuts are found from the
partitions' sums. Cuts of later epochs make up for the rounding of earlier ones, so that errors do not add up.
"""

from __future__ import annotations

import functools
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash
from pydantic import BaseModel

from pipeline import progress, storage
from pipeline.blocks import Block, Partition
from pipeline.dedup.arrays import (
    I64,
    U64,
    Blocks,
    mixed,
    open_array,
    partitions_for,
    read_blocks,
    write_array,
    write_blocks,
)
from pipeline.errors import UserError
from pipeline.mixture.plan import MixturePlan, targets
from pipeline.mixture.tokens import DOCUMENT, TokenFile

COPY = np.dtype(
    [
        ("hash", "<u8"),  # place in the line of its stratum and epoch
        ("id_hi", "<u8"),  # the id's 16 bytes as two big-endian numbers
        ("id_lo", "<u8"),
        ("offset", "<u8"),  # first token in its file
        ("tokens", "<u4"),
        ("file", "<u4"),  # position of the token file in the list of all
        ("stratum", "<u2"),
        ("source", "<u2"),
        ("epoch", "<u2"),
    ]
)
"""One appearance of a document."""

Copies = npt.NDArray[Any]

PARTITION_BYTES = 128 << 20
"""Copies that one task sorts."""

_ORDER = np.uint64(0x6D69_7874_7572_6531)
"""Makes the order inside a shard another one than the order of the places."""


def place_seed(seed: int, component: str) -> int:
    """The 64-bit key of a component's places: BLAKE2b of the mixture's seed and the component's name."""
    data = seed.to_bytes(8, "little") + component.encode()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8, person=b"mixture.place").digest(), "little")


def place_hashes(ids: bytes, epoch: int, seed: int) -> U64:
    """The places of documents in an epoch: XXH3-64 of id and epoch (4 bytes, little-endian) under a 64-bit key.

    Args:
        ids: the documents' ids, 16 bytes each, one after the other.
        epoch: which pass, from 0.
        seed: of `place_seed`.
    """
    end = epoch.to_bytes(4, "little")
    hashed = (xxhash.xxh3_64_intdigest(ids[at : at + 16] + end, seed) for at in range(0, len(ids), 16))
    return np.fromiter(hashed, np.uint64, len(ids) // 16)


def order_in_shard(copies: Copies) -> I64:
    """The positions of a shard's copies in the order in which they are packed: another hash of the same key."""
    order = mixed(copies["hash"] ^ _ORDER)
    return np.lexsort((copies["epoch"], copies["id_lo"], copies["id_hi"], copies["source"], order))


# ---- copies -> sorted partitions


class Scatter(BaseModel, frozen=True):
    """Item of `scatter`: a token file, its position among all, and its component's position."""

    key: str
    index: int
    documents_path: str
    source: int
    first_stratum: int
    weight: int


class OrderSettings(BaseModel, frozen=True):
    """What the order of copies depends on. `passes` holds per stratum the epochs in which it takes part."""

    folder: str
    partitions: int
    seeds: tuple[int, ...]
    names: tuple[str, ...]
    passes: tuple[int, ...]


class Run(BaseModel, frozen=True):
    """Neighbouring copies of one stratum and epoch in an ordered file."""

    stratum: int
    epoch: int
    start: int
    rows: int
    tokens: int


class Ordered(BaseModel):
    """Result of `order`: a range of the hash, sorted by stratum, epoch and hash."""

    index: int
    path: str
    runs: list[Run]


def scatter_items(files: Sequence[TokenFile], plan: MixturePlan) -> list[Scatter]:
    """The items of `scatter`."""
    first, firsts = 0, []
    for each in plan.components:
        firsts.append(first)
        first += len(each.tiers)
    return [
        Scatter(
            key=f"file-{index:06d}",
            index=index,
            documents_path=file.documents_path,
            source=plan.sources.index(file.component),
            first_stratum=firsts[plan.sources.index(file.component)],
            weight=sum(tier.documents for tier in file.tiers),
        )
        for index, file in enumerate(files)
    ]


def order_settings(plan: MixturePlan, folder: str) -> OrderSettings:
    """The settings of `scatter` and `order`."""
    copies = sum(tier.documents * tier.passes for _, tier in plan.strata)
    return OrderSettings(
        folder=folder,
        partitions=partitions_for(copies, COPY.itemsize, PARTITION_BYTES),
        seeds=tuple(place_seed(plan.seed, name) for name in plan.sources),
        names=tuple(plan.sources),
        passes=tuple(tier.passes for _, tier in plan.strata),
    )


def scatter(item: Scatter, shared: OrderSettings) -> Blocks:
    """Task: the copies of a token file's documents, packed by range of their hash."""
    documents = open_array(item.documents_path, DOCUMENT)
    copies = all_copies(documents, item, shared)
    with write_blocks(storage.join(shared.folder, f"copies-{item.key}.bin")) as writer:
        writer.add_spread(copies["hash"], shared.partitions, copies)
    progress.add(tasks=1)
    return Blocks(blocks=writer.blocks, counts={"copies": len(copies)})


def all_copies(documents: npt.NDArray[Any], item: Scatter, shared: OrderSettings) -> Copies:
    """Every appearance that the documents of a token file can have; held-out documents have none."""
    ends = np.cumsum(documents["tokens"], dtype=np.uint64)
    strata = documents["tier"].astype(np.int64) + item.first_stratum
    passes = np.array(shared.passes)[strata]
    passes[documents["held_out"] == 1] = 0
    parts = []
    for epoch in range(int(passes.max(initial=0))):
        rows = np.flatnonzero(passes > epoch)
        taken = documents[rows]
        copies = np.zeros(len(rows), COPY)
        ids = taken["id"].tobytes()
        halves = np.frombuffer(ids, ">u8").reshape(-1, 2)
        copies["id_hi"], copies["id_lo"] = halves[:, 0], halves[:, 1]
        copies["hash"] = place_hashes(ids, epoch, shared.seeds[item.source])
        copies["tokens"], copies["offset"] = taken["tokens"], ends[rows] - taken["tokens"]
        copies["stratum"], copies["epoch"] = strata[rows], epoch
        copies["source"], copies["file"] = item.source, item.index
        parts.append(copies)
    return np.concatenate(parts) if parts else np.empty(0, COPY)


def order(item: Partition, shared: OrderSettings) -> Ordered:
    """Task: sort the copies of a range of the hash by stratum, epoch and hash.

    Raises:
        UserError: when an id stands twice in a component.
    """
    copies = read_blocks(item.blocks, COPY)
    _check_unique(copies, shared)
    by = ("id_lo", "id_hi", "hash", "epoch", "stratum")
    copies = copies[np.lexsort(tuple(copies[name] for name in by))]
    path = storage.join(shared.folder, f"ordered-{item.key}.bin")
    write_array(path, copies)
    progress.add(tasks=1)
    return Ordered(index=item.index, path=path, runs=_runs(copies))


def _check_unique(copies: Copies, shared: OrderSettings) -> None:
    first = copies[copies["epoch"] == 0]
    by = ("id_lo", "id_hi", "source")
    first = first[np.lexsort(tuple(first[name] for name in by))]
    equal = functools.reduce(np.logical_and, (first[name][1:] == first[name][:-1] for name in by))
    if equal.any():
        found = first[1:][equal][0]
        raise UserError(
            f"components.{shared.names[found['source']]}: the id {found['id_hi']:016x}{found['id_lo']:016x} "
            f"(or what hashes to it) stands twice, and so do {int(equal.sum()) - 1:,} others of its part. "
            "Is a file or a document given twice? Ids must be unique in a component."
        )


def _runs(copies: Copies) -> list[Run]:
    keys = copies["stratum"].astype(np.int64) << 16 | copies["epoch"]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    stops = np.append(starts[1:], len(copies))
    return [
        Run(
            stratum=int(copies["stratum"][start]),
            epoch=int(copies["epoch"][start]),
            start=int(start),
            rows=int(stop - start),
            tokens=int(copies["tokens"][start:stop].sum(dtype=np.int64)),
        )
        for start, stop in zip(starts, stops, strict=True)
    ]


# ---- cuts


class Shard(BaseModel, frozen=True):
    """A shard to be packed: where its copies lie, per stratum how many epochs are taken as a whole, and how many tokens from
    the front of the next one.
    """

    key: str
    index: int
    blocks: tuple[Block, ...]
    whole: tuple[int, ...]
    partial: tuple[int, ...]
    weight: int


Line = Sequence[tuple[str, Run]]
"""The runs of one stratum and epoch in the order of the hash, each with its file."""


def cut(ordered: Iterable[Ordered], plan: MixturePlan) -> list[Shard]:
    """Cut the line of every stratum and epoch into the shards' pieces, and choose what is taken of the last one."""
    lines: dict[tuple[int, int], list[tuple[str, Run]]] = defaultdict(list)
    for part in sorted(ordered, key=lambda each: each.index):
        for run in part.runs:
            lines[run.stratum, run.epoch].append((part.path, run))
    wanted = [targets(plan, shard) for shard in range(plan.shards)]
    whole = tuple(tier.whole for _, tier in plan.strata)
    blocks: list[list[Block]] = [[] for _ in range(plan.shards)]
    partial = [[0] * len(whole) for _ in range(plan.shards)]
    given = {stratum: [0] * (plan.shards + 1) for stratum, _ in lines}  # tokens of all shards before each
    for stratum, epoch in sorted(lines):
        line, before = lines[stratum, epoch], given[stratum]
        cuts = _cut_line(line, epoch, before, blocks)
        if epoch == whole[stratum]:
            needed = [wanted[k][stratum] - (before[k + 1] - before[k]) for k in range(plan.shards)]
            for k, tokens in enumerate(_fronts(line, cuts, needed)):
                partial[k][stratum] = tokens
        given[stratum] = [old + new for old, new in zip(before, cuts, strict=True)]
    return [
        Shard(
            key=f"shard-{index:05d}",
            index=index,
            blocks=tuple(blocks[index]),
            whole=whole,
            partial=tuple(partial[index]),
            weight=sum(wanted[index]),
        )
        for index in range(plan.shards)
    ]


def _cut_line(line: Line, epoch: int, before: Sequence[int], blocks: list[list[Block]]) -> list[int]:
    """Cut one line; note the pieces as blocks; the tokens before each cut, from 0 to all.

    After epoch e the first k of S shards are to have k/S of e + 1 times the line: the nearest cut is taken. `before` has what
    they were given of earlier epochs.
    """
    shards = len(before) - 1
    total = sum(run.tokens for _, run in line)
    wanted = [k * (epoch + 1) * total // shards - before[k] for k in range(shards + 1)]
    cuts = [0]
    passed = 0  # tokens of the runs before
    for path, run in line:
        ends = _ends(path, run, passed)
        row = 0
        while row < run.rows:
            at = len(cuts) - 1  # the shard that is being filled
            stop = run.rows if at == shards - 1 else max(row, _nearest(ends, passed, wanted[at + 1]))
            if stop > row:
                start, length = (run.start + row) * COPY.itemsize, (stop - row) * COPY.itemsize
                blocks[at].append(Block(partition=at, path=path, offset=start, length=length))
                row = stop
            if row < run.rows:
                cuts.append(int(ends[row - 1]) if row else passed)
        passed = int(ends[-1])
    return cuts + [passed] * (shards + 1 - len(cuts))


def _ends(path: str, run: Run, passed: int) -> I64:
    """The running sum of the tokens of a run's copies, begun at `passed`."""
    rows = open_array(path, COPY)[run.start : run.start + run.rows]
    return np.asarray(passed + np.cumsum(rows["tokens"], dtype=np.int64))


def _nearest(ends: I64, start: int, wanted: int) -> int:
    """How many rows, whose running sums are given, come nearest to a sum (ties: fewer)."""
    rows = int(np.searchsorted(ends, wanted))  # the first `rows` stay below it
    if rows == len(ends):
        return rows
    below = int(ends[rows - 1]) if rows else start
    return rows + 1 if int(ends[rows]) - wanted < wanted - below else rows


def _fronts(line: Line, cuts: Sequence[int], needed: Sequence[int]) -> list[int]:
    """How many tokens from the front of each shard's piece of a line are taken: whole documents, each shard within one
    document of what it needs, and all together as near as the documents at the edges allow.

    Args:
        line: the last, partial epoch of a stratum.
        cuts: tokens before each piece, and of all.
        needed: tokens that each shard still needs; below 0, or more than its piece holds, where earlier rounding gave it more
            or less.
    """
    edges = [
        cut + min(max(need, 0), end - cut) for cut, end, need in zip(cuts, cuts[1:], needed, strict=False)
    ]
    low, high = list(edges), list(edges)  # the ends of the document that an edge lies in
    at, passed = 0, 0
    for path, run in line:
        ends = _ends(path, run, passed)
        while at < len(edges) and edges[at] < ends[-1]:
            row = int(np.searchsorted(ends, edges[at], side="right"))
            low[at] = int(ends[row - 1]) if row else passed
            if low[at] < edges[at]:
                high[at] = int(ends[row])
            at += 1
        passed = int(ends[-1])
    takes = [begin - cut for begin, cut in zip(low, cuts, strict=False)]
    lacking = sum(needed) - sum(takes)
    # Documents at the edges are taken, those that are covered most first, where that brings the sum nearer.
    covered = [
        (Fraction(edge - begin, end - begin), -k)
        for k, (edge, begin, end) in enumerate(zip(edges, low, high, strict=True))
        if end > begin
    ]
    for _, negative in sorted(covered, reverse=True):
        size = high[-negative] - low[-negative]
        if size < 2 * lacking:
            takes[-negative] += size
            lacking -= size
    return takes


# ---- the copies of a shard


def taken(copies: Copies, whole: Sequence[int], partial: Sequence[int]) -> Copies:
    """Of the copies that live in a shard, those that the mixture takes.

    Args:
        copies: sorted by stratum, epoch and hash.
        whole: per stratum how many epochs are taken as a whole.
        partial: per stratum how many tokens from the front of the next epoch.
    """
    keep = np.zeros(len(copies), np.bool_)
    for stratum in np.unique(copies["stratum"]).tolist():
        here = np.flatnonzero(copies["stratum"] == stratum)
        is_whole = copies["epoch"][here] < whole[stratum]
        last = here[~is_whole]
        ends = np.cumsum(copies["tokens"][last], dtype=np.int64)
        keep[here[is_whole]] = True
        keep[last[ends <= partial[stratum]]] = True
    return copies[keep]
