"""Proves a built mixture from its files and the ids of its inputs.

    every shard     checksum, metadata, sequence lengths, boundaries, padding, end marks, documents whole (`check`)
    every document  it is in the inputs, passes the filters, is not held out; its appearances are 0, 1, ... without gaps,
                    floor or ceil of the epochs of its tier in number, and equally long
    every stratum   tokens in each shard within one document of the shard's target; documents in the shards where the keyed
                    hash puts them
    the books       tokens by component as the manifest says; held-out files as written

The inputs' texts are read to see whether there are any, but not encoded: that the tokens are those of the texts is shown by
the checksums only. Without the inputs the checks that need them are left out, and the result says so.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from pydantic import BaseModel

from pipeline import storage
from pipeline.dedup.arrays import (
    open_array,
    partitions_for,
)
from pipeline.engine import RunnerSettings, engines
from pipeline.errors import UserError
from pipeline.mixture.build import MixtureFolder, input_records
from pipeline.mixture.check import CLAIM
from pipeline.mixture.judge import (
    NOWHERE,
    Claimed,
    Judged,
    VerifyItem,
    VerifySettings,
    claim,
    judge,
    sums_shape,
)
from pipeline.mixture.plan import MixturePlan, targets
from pipeline.mixture.select import PARTITION_BYTES
from pipeline.mixture.sequences import ShardWritten
from pipeline.mixture.settings import MixtureSettings
from pipeline.mixture.tokens import TokenSplit, plan_tokens


class Verified(BaseModel):
    """What was checked, and what is wrong (nothing, if the mixture is sound)."""

    shards: int
    sequences: int
    documents: int
    """Appearances of documents."""
    inputs: int
    """Documents of the inputs that were looked at; 0 where they were left out."""
    findings: list[str]


def verify_mixture(
    output: str,
    runner: RunnerSettings,
    *,
    settings: MixtureSettings | None = None,
    with_inputs: bool = True,
    quiet: bool | None = None,
) -> Verified:
    """Check a built mixture; what is wrong is in `findings`.

    Args:
        output: the folder of the mixture.
        runner: where the tasks run.
        settings: if given, the mixture must have been built from these.
        with_inputs: whether the inputs are there to be read.
        quiet: whether no progress is shown.

    Raises:
        UserError: when there is no built mixture, or it is of other settings.
    """
    folder = MixtureFolder(output)
    if not storage.exists(folder.manifest_path):
        raise UserError(f"{output} holds no built mixture (no manifest.json). `mixture build` makes one.")
    manifest = json.loads(storage.read_bytes(folder.manifest_path))
    made_from = _settings_of(manifest, settings)
    plan = MixturePlan.model_validate(manifest["plan"])
    with folder.locked():
        work = storage.join(folder.work, "verify")
        storage.remove(work)  # results of an earlier check say nothing about the files as they are now
        try:
            return _verified(folder, work, manifest, made_from, plan, runner, with_inputs, quiet)
        finally:
            storage.remove(folder.work)


def _settings_of(manifest: dict[str, Any], settings: MixtureSettings | None) -> MixtureSettings:
    configuration = manifest["identity"]["configuration"]
    if settings is not None:
        given = settings.model_dump(mode="json", by_alias=True, exclude={"tokenizer"})
        if given != configuration:
            raise UserError(
                "the mixture was built from other settings than --config gives; leave --config out."
            )
    return MixtureSettings.model_validate({**configuration, "tokenizer": ""})


def _verified(
    folder: MixtureFolder,
    work: str,
    manifest: dict[str, Any],
    made_from: MixtureSettings,
    plan: MixturePlan,
    runner: RunnerSettings,
    with_inputs: bool,
    quiet: bool | None,
) -> Verified:
    shards = [ShardWritten.model_validate(shard) for shard in manifest["shards"]]
    findings = _check_manifest(folder, manifest, plan, shards)
    items = [VerifyItem(key=f"shard-{each.index:05d}", weight=each.bytes, shard=each) for each in shards]
    if with_inputs:
        splits = plan_tokens(made_from)
        findings += _changed_inputs(manifest, splits)
        items += [VerifyItem(key=each.key, weight=each.weight, split=each) for each in splits]
    records = sum(tier.documents * (tier.passes + 1) for _, tier in plan.strata)
    shared = VerifySettings(
        output=folder.path,
        folder=work,
        partitions=partitions_for(records, CLAIM.itemsize, PARTITION_BYTES),
        plan=plan,
        with_inputs=with_inputs,
    )
    with engines(runner, quiet) as engine_at:
        engine = engine_at(storage.join(work, "tasks"))
        judged: list[Judged] = engine.shuffle("verify", claim, items, judge, shared)
        claimed: list[Claimed] = engine.run("verify.map", claim, items, shared)  # already done: read again
    findings += [line for each in claimed for line in each.findings]
    findings += [line for each in judged for line in each.findings]
    if with_inputs:
        findings += _check_sums(judged, claimed, plan)
    by_key = dict(zip(sorted(item.key for item in items), claimed, strict=True))
    return Verified(
        shards=len(shards),
        sequences=sum(each.rows for each in shards),
        documents=sum(by_key[item.key].records for item in items if item.shard is not None),
        inputs=sum(by_key[item.key].records for item in items if item.split is not None),
        findings=findings,
    )


def _check_manifest(
    folder: MixtureFolder, manifest: dict[str, Any], plan: MixturePlan, shards: list[ShardWritten]
) -> list[str]:
    """What can be told without reading a shard."""
    findings = []
    if sorted(each.index for each in shards) != list(range(plan.shards)):
        findings.append(f"manifest.json: it lists {len(shards)} shards, and the plan has {plan.shards}")
    named = {folder.within(each.name) for each in shards}
    findings += [
        f"{path}: the manifest does not know this file"
        for path in storage.list_files(folder.within("sequences"))
        if path not in named
    ]
    if manifest["plan"].get("digest") != plan.digest:
        findings.append("manifest.json: the plan was changed (its digest differs)")
    for each in manifest["held_out"]:
        path = folder.within("held_out", f"{each['component']}.parquet")
        if not storage.exists(path):
            findings.append(f"{path}: the file is missing")
        elif hashlib.sha256(storage.read_bytes(path)).hexdigest() != each["sha256"]:
            findings.append(f"{path}: it was changed (its SHA-256 differs)")
    for at, component in enumerate(plan.components):
        got = sum(
            shard.strata[stratum].tokens
            for shard in shards
            for stratum, (source, _) in enumerate(plan.strata)
            if source == at
        )
        if manifest["components"][component.name]["tokens"] != got:
            findings.append(f"manifest.json: the tokens of {component.name} do not add up over the shards")
    return findings


def _changed_inputs(manifest: dict[str, Any], splits: list[TokenSplit]) -> list[str]:
    before = {each["path"]: each for each in manifest["identity"]["inputs"]}
    now = {each["path"]: each for each in input_records(splits)}
    return [
        f"{path}: the input was changed, added or removed since the mixture was built"
        for path in sorted(before.keys() | now.keys())
        if before.get(path) != now.get(path)
    ]


def _check_sums(judged: list[Judged], claimed: list[Claimed], plan: MixturePlan) -> list[str]:
    """Shares of every stratum in every shard, and the places of the shards' documents."""
    shape = sums_shape(plan)
    size = int(np.prod(shape))
    low, high = np.full(shape, NOWHERE), np.zeros(shape, np.uint64)
    tokens, longest = np.zeros(shape, np.uint64), np.zeros(shape[0], np.uint64)
    for each in judged:
        sums = open_array(each.path, np.uint64)
        low = np.minimum(low, sums[:size].reshape(shape))
        high = np.maximum(high, sums[size : 2 * size].reshape(shape))
        tokens += sums[2 * size : 3 * size].reshape(shape)
        longest = np.maximum(longest, sums[3 * size :])
    findings = _check_absent(judged, claimed, plan)
    wanted = np.array([targets(plan, shard) for shard in range(plan.shards)]).T
    for stratum, (source, _) in enumerate(plan.strata):
        name = plan.sources[source]
        got = tokens[stratum].sum(axis=0).astype(np.int64)
        off = np.abs(got - wanted[stratum])
        for shard in np.flatnonzero(off > int(longest[stratum])).tolist():
            findings.append(
                f"shard {shard}: {got[shard]:,} tokens of {name} (tier {stratum}), {wanted[stratum][shard]:,} are "
                f"its share: more than a document ({int(longest[stratum]):,}) off"
            )
        if abs(int((got - wanted[stratum]).sum())) > int(longest[stratum]):
            findings.append(
                f"{name} (tier {stratum}): {got.sum():,} tokens, {wanted[stratum].sum():,} are its share: more than a document off"
            )
        for epoch in range(shape[1]):
            full = np.flatnonzero(tokens[stratum, epoch])
            out = low[stratum, epoch][full[1:]] <= high[stratum, epoch][full[:-1]]
            findings.extend(
                f"shard {full[at + 1]}: documents of {name} (epoch {epoch}) are not where the seed puts them"
                for at in np.flatnonzero(out).tolist()
            )
    return findings


def _check_absent(judged: list[Judged], claimed: list[Claimed], plan: MixturePlan) -> list[str]:
    findings = []
    for component in plan.components:
        absent = sum(each.absent.get(component.name, 0) for each in judged)
        known_empty = sum(each.empty.get(component.name, 0) for each in claimed)
        allowed = component.left_out.get("empty", 0) - known_empty
        if absent > allowed:
            findings.append(
                f"{component.name}: {absent:,} documents that belong into the mixture do not appear in it"
            )
    return findings
