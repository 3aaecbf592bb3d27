"""The tasks of `verify`: claims of shards and inputs, brought together document by document.

A shard claims to hold copies of documents, an input claims to have documents (`check.CLAIM`). Claims go by a hash of the id to
partitions, and each partition is judged on its own.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
from pydantic import BaseModel

from pipeline import progress, storage
from pipeline.blocks import Block, Partition
from pipeline.dedup.arrays import U64, mixed, read_blocks, write_array, write_blocks
from pipeline.mixture.check import CLAIM, check_file, document_name
from pipeline.mixture.documents import choose
from pipeline.mixture.plan import MixturePlan
from pipeline.mixture.select import place_hashes, place_seed
from pipeline.mixture.sequences import ShardWritten
from pipeline.mixture.tokens import TokenSplit, read_batches

MOST_FINDINGS = 20
"""Findings of a partition that are listed."""
NOWHERE = np.uint64(2**64 - 1)
"""The lowest place of no document."""

Claims = npt.NDArray[Any]


class VerifyItem(BaseModel, frozen=True):
    """A shard to be checked, or a part of the inputs whose ids are to be read."""

    key: str
    weight: int
    shard: ShardWritten | None = None
    split: TokenSplit | None = None


class VerifySettings(BaseModel, frozen=True):
    """What all tasks share."""

    output: str
    folder: str
    partitions: int
    plan: MixturePlan
    with_inputs: bool


class Claimed(BaseModel):
    """Result of `claim`: where the records lie, and what is wrong."""

    blocks: list[Block] = []
    records: int = 0
    empty: dict[str, int] = {}
    findings: list[str] = []


class Judged(BaseModel):
    """Result of `judge`: where the sums of a partition lie, documents that are nowhere, and what is wrong."""

    path: str
    absent: dict[str, int]
    findings: list[str]


# ---- claims


def claim(item: VerifyItem, shared: VerifySettings) -> Claimed:
    """Task: check a shard's file, or read the ids of a part of the inputs; the records, packed by document."""
    result = Claimed()
    if item.shard is not None:
        path = storage.join(shared.output, item.shard.name)
        records, result.findings = check_file(path, item.shard, shared.plan)
        result.findings += _check_counts(records, item.shard, shared.plan)
    elif item.split is not None:
        records = _input_claims(item.split, shared.plan, result.empty)
    else:
        raise ValueError(f"{item.key} is neither a shard nor a part of the inputs")
    with write_blocks(storage.join(shared.folder, f"claims-{item.key}.bin")) as writer:
        writer.add_spread(mixed(records["id_lo"] ^ records["id_hi"]), shared.partitions, records)
    result.blocks, result.records = writer.blocks, len(records)
    progress.add(tasks=1)
    return result


def _check_counts(records: Claims, shard: ShardWritten, plan: MixturePlan) -> list[str]:
    """Whether the shard holds the tokens of every component that the manifest says."""
    findings = []
    for at, name in enumerate(plan.sources):
        said = sum(
            each.tokens for each, (source, _) in zip(shard.strata, plan.strata, strict=True) if source == at
        )
        there = int(records["tokens"][records["source"] == at].sum(dtype=np.int64))
        if there != said:
            findings.append(
                f"{shard.name}: it holds {there:,} tokens of {name}, and the manifest says {said:,}"
            )
    return findings


def _input_claims(split: TokenSplit, plan: MixturePlan, empty: dict[str, int]) -> Claims:
    reading = split.reading
    source = plan.sources.index(reading.component)
    first_stratum = next(at for at, (owner, _) in enumerate(plan.strata) if owner == source)
    parts = []
    for batch in read_batches(split):
        chosen = choose(batch, reading, Counter())
        has_text = pc.greater(pc.binary_length(chosen.batch[reading.text]), 0).to_numpy(zero_copy_only=False)
        empty[reading.component] = empty.get(reading.component, 0) + int((~has_text).sum())
        halves = np.frombuffer(b"".join(chosen.ids), ">u8").reshape(-1, 2)
        records = np.zeros(len(chosen.ids), CLAIM)
        records["id_hi"], records["id_lo"] = halves[:, 0], halves[:, 1]
        records["source"], records["stratum"] = source, chosen.tiers.astype(np.int64) + first_stratum
        records["held_out"], records["is_input"] = chosen.held_out, 1
        parts.append(records[has_text])
    return np.concatenate(parts) if parts else np.empty(0, CLAIM)


# ---- judgements


def judge(item: Partition, shared: VerifySettings) -> Judged:
    """Task: bring the copies of documents together with the inputs that they come from."""
    records = read_blocks(item.blocks, CLAIM)
    # The input comes before its copies, these by epoch.
    records = records[
        np.lexsort(
            (records["epoch"], 1 - records["is_input"], *(records[n] for n in ("id_lo", "id_hi", "source")))
        )
    ]
    firsts = np.ones(len(records), np.bool_)
    firsts[1:] = np.any([records[n][1:] != records[n][:-1] for n in ("source", "id_hi", "id_lo")], axis=0)
    starts = np.flatnonzero(firsts)
    group = np.cumsum(firsts) - 1
    lines: list[str] = []
    is_copy = records["is_input"] == 0
    inputs = np.add.reduceat(records["is_input"].astype(np.int64), starts)
    copies = np.add.reduceat(is_copy.astype(np.int64), starts)
    _check_appearances(records, starts, group, inputs, shared.plan, lines)
    absent: dict[str, int] = {}
    path = storage.join(shared.folder, f"sums-{item.key}.bin")
    if shared.with_inputs:
        absent = _check_against_inputs(records[starts], inputs, copies, shared.plan, lines)
        stratum = records["stratum"][starts][group]
        known = is_copy & (inputs[group] > 0) & (records["shard"] < shared.plan.shards)
        write_array(path, *_sums(records[known], stratum[known], shared.plan))
    progress.add(tasks=1)
    return Judged(path=path, absent=absent, findings=lines[:MOST_FINDINGS])


def _check_appearances(
    records: Claims,
    starts: npt.NDArray[np.int64],
    group: npt.NDArray[np.int64],
    inputs: npt.NDArray[np.int64],
    plan: MixturePlan,
    lines: list[str],
) -> None:
    """Appearances of a document are numbered 0, 1, ... and have equal lengths."""
    is_copy = records["is_input"] == 0
    number = np.arange(len(records)) - starts[group] - inputs[group]
    first_copy = np.minimum(starts + inputs, len(records) - 1)
    for wrong, what in (
        (is_copy & (records["epoch"] != number), "its appearances are not numbered 0, 1, ... once each"),
        (
            is_copy & (records["tokens"] != records["tokens"][first_copy][group]),
            "its appearances differ in length",
        ),
    ):
        lines.extend(f"{_where(record, plan)}: {what}" for record in records[wrong])


def _check_against_inputs(
    heads: Claims,
    inputs: npt.NDArray[np.int64],
    copies: npt.NDArray[np.int64],
    plan: MixturePlan,
    lines: list[str],
) -> dict[str, int]:
    """Each document is in the inputs once and appears as often as its tier says; by component, those that do not appear
    although they should (a document whose text encodes to nothing is one).
    """
    least = np.array([tier.whole for _, tier in plan.strata])[heads["stratum"]]
    most = np.array([tier.passes for _, tier in plan.strata])[heads["stratum"]]
    held_out = heads["held_out"] == 1
    for wrong, what in (
        (inputs == 0, "it is in no input, or is left out by filters or tiers"),
        (inputs > 1, "its id stands twice in the inputs"),
        ((inputs > 0) & held_out & (copies > 0), "it is held out and appears all the same"),
        ((inputs > 0) & ~held_out & (copies > most), "it appears more often than its epochs allow"),
        (
            (inputs > 0) & ~held_out & (copies > 0) & (copies < least),
            "it appears less often than its epochs ask",
        ),
    ):
        lines.extend(f"{_where(head, plan)}: {what}" for head in heads[wrong])
    nowhere = (inputs > 0) & ~held_out & (copies == 0) & (least > 0)
    counts = Counter(plan.sources[source] for source in heads["source"][nowhere].tolist())
    return dict(sorted(counts.items()))


def _where(record: Any, plan: MixturePlan) -> str:
    source = int(record["source"])
    name = plan.sources[source] if source < len(plan.sources) else f"source {source}"
    place = "" if record["is_input"] else f" (shard {int(record['shard'])})"
    return f"{name}, document {document_name(record)}{place}"


def sums_shape(plan: MixturePlan) -> tuple[int, int, int]:
    """Strata, epochs and shards of the sums."""
    return len(plan.strata), max(tier.passes for _, tier in plan.strata), plan.shards


def _sums(copies: Claims, stratum: npt.NDArray[np.uint16], plan: MixturePlan) -> tuple[U64, U64, U64, U64]:
    """Per stratum, epoch and shard the lowest and highest place, and the tokens; per stratum its longest document."""
    shape = sums_shape(plan)
    low, high = np.full(shape, NOWHERE), np.zeros(shape, np.uint64)
    tokens, longest = np.zeros(shape, np.uint64), np.zeros(shape[0], np.uint64)
    at = (stratum, np.minimum(copies["epoch"], shape[1] - 1), copies["shard"])
    places = _places(copies, plan)
    np.minimum.at(low, at, places)
    np.maximum.at(high, at, places)
    np.add.at(tokens, at, copies["tokens"].astype(np.uint64))
    np.maximum.at(longest, stratum, copies["tokens"].astype(np.uint64))
    return low, high, tokens, longest


def _places(copies: Claims, plan: MixturePlan) -> U64:
    places = np.zeros(len(copies), np.uint64)
    ids = np.stack([copies["id_hi"], copies["id_lo"]], axis=1).astype(">u8")
    for source, name in enumerate(plan.sources):
        seed = place_seed(plan.seed, name)
        for epoch in np.unique(copies["epoch"][copies["source"] == source]).tolist():
            here = (copies["source"] == source) & (copies["epoch"] == epoch)
            places[here] = place_hashes(ids[here].tobytes(), epoch, seed)
    return places
