"""A mixture from its settings to its files: tokenise, plan, order, cut, pack, manifest.

    OUT/sequences/shard-00000-of-00008.parquet   the sequences (columns: `pipeline.mixture.sequences`)
    OUT/held_out/NAME.parquet                    documents that are in no sequence: doc_id, tokens
    OUT/plan.json                                quotas and epochs (also written by `plan`, which builds nothing)
    OUT/manifest.json                            identity, plan, shards with checksums, books
    OUT/work/                                    token files and task results; removed when the result is complete

Everything but `work` is the same, byte for byte, whatever the workers and the runner. A killed build goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import storage
from pipeline.engine import Engine, PhaseCost, RunnerSettings, engines
from pipeline.errors import UserError
from pipeline.mixture.held_out import Empty, HeldOutItem, HeldOutWritten, write_held_out
from pipeline.mixture.pieces import piece_classes
from pipeline.mixture.plan import MixturePlan, add_up, make_plan, plan_json
from pipeline.mixture.select import cut, order, order_settings, scatter, scatter_items
from pipeline.mixture.sequences import PackSettings, ShardWritten, pack_shard
from pipeline.mixture.settings import MixtureSettings
from pipeline.mixture.tokens import (
    TokenFile,
    TokenSettings,
    TokenSplit,
    load_tokenizer,
    plan_tokens,
    tokenise,
)
from pipeline.output import OutputFolder
from pipeline.run import version

RESULTS = ("sequences", "held_out", "plan.json", "manifest.json")


@dataclass(frozen=True)
class Outcome:
    """A built mixture: its manifest, what it cost, and whether it had been complete before."""

    manifest: dict[str, Any]
    output: str
    costs: tuple[PhaseCost, ...] = ()
    was_complete: bool = False


@dataclass(frozen=True)
class Prepared:
    """A planned mixture: its token files, the settings that they share, and the plan."""

    settings: MixtureSettings
    items: list[TokenSplit]
    shared: TokenSettings
    files: list[TokenFile]
    plan: MixturePlan


class MixtureFolder(OutputFolder):
    """The output folder of a mixture."""

    results = RESULTS
    replaceable = ("plan.json",)  # written before anything is built


def plan_mixture(
    settings: MixtureSettings,
    output: str,
    runner: RunnerSettings,
    *,
    tokens: str | None = None,
    quiet: bool | None = None,
) -> MixturePlan:
    """Count the tokens that are there and divide them; writes `plan.json` and keeps the token files for `build`.

    Args:
        settings: the mixture.
        output: the folder that the mixture will be built in.
        runner: where the tasks run.
        tokens: folder of token files, which several mixtures can share; by default in the output's `work`.
        quiet: whether no progress is shown; by default where there is no terminal.

    Raises:
        UserError: wrong inputs, components that are too small, a folder that holds a built mixture of other settings.
    """
    folder = MixtureFolder(output)
    with folder.locked():
        shared, items = mixture_items(settings, folder, tokens)
        if storage.exists(folder.manifest_path):
            manifest = json.loads(storage.read_bytes(folder.manifest_path))
            if manifest.get("identity") != identity(settings, shared, items):
                raise UserError(
                    f"{output} holds a built mixture of other settings or inputs. Plan in another --output."
                )
            return MixturePlan.model_validate(manifest["plan"])
        with engines(runner, quiet) as engine_at:
            prepared = _prepare(settings, shared, items, engine_at(token_tasks(shared)))
        storage.write_bytes(folder.within("plan.json"), _dumped(plan_json(prepared.plan)))
    return prepared.plan


def build_mixture(
    settings: MixtureSettings,
    output: str,
    runner: RunnerSettings,
    *,
    tokens: str | None = None,
    overwrite: bool = False,
    quiet: bool | None = None,
) -> Outcome:
    """Build a mixture, or go on with one that was interrupted.

    Args:
        settings, output, runner, tokens, quiet: as for `plan_mixture`.
        overwrite: whether a result of other settings may be replaced.

    Raises:
        UserError: as `plan_mixture`; with exit code 1 when the books of the result do not balance.
    """
    folder = MixtureFolder(output)
    with folder.locked():
        shared, items = mixture_items(settings, folder, tokens)
        made_of = identity(settings, shared, items)
        if folder.prepare(made_of, overwrite=overwrite, keep=["tokens"]):
            manifest = json.loads(storage.read_bytes(folder.manifest_path))
            return Outcome(manifest, output, was_complete=True)
        with engines(runner, quiet) as engine_at:
            encoding = engine_at(token_tasks(shared))
            prepared = _prepare(settings, shared, items, encoding)
            engine = engine_at(storage.join(folder.work, "tasks"))
            plan = prepared.plan
            storage.write_bytes(folder.within("plan.json"), _dumped(plan_json(plan)))
            shards = _pack(prepared, folder, engine)
            held_out = _write_held_out(prepared, folder, engine)
            manifest = make_manifest(prepared, shards, held_out, made_of)
            costs = (*encoding.costs, *engine.costs)
        folder.finish(manifest, [])
    return Outcome(manifest, output, costs)


def identity(settings: MixtureSettings, shared: TokenSettings, items: Sequence[TokenSplit]) -> dict[str, Any]:
    """Everything that decides the bytes of a mixture."""
    return {
        "job": "mixture",
        "version": version(),
        "configuration": settings.model_dump(mode="json", by_alias=True, exclude={"tokenizer"}),
        "tokenizer_sha256": shared.sha256,
        "inputs": input_records(items),
    }


def input_records(items: Sequence[TokenSplit]) -> list[dict[str, Any]]:
    """The input files with what tells that one has changed: size, and modification time or version."""
    found = {
        (item.reading.component, item.split.path): {"bytes": item.bytes, "changed": item.changed}
        for item in items
    }
    return [{"component": name, "path": path, **state} for (name, path), state in sorted(found.items())]


# ---- phases


def mixture_items(
    settings: MixtureSettings, folder: OutputFolder, tokens: str | None
) -> tuple[TokenSettings, list[TokenSplit]]:
    """What encoding a mixture's documents needs: the settings of all tasks, and a split for each.

    Raises:
        UserError: for a tokenizer that does not fit the settings, or inputs that are not there.
    """
    encoder = load_tokenizer(settings.tokenizer)
    if settings.eos and encoder.eos_id < 0:
        raise UserError("eos: the tokenizer has no end-of-sequence token; say `eos: false`.")
    if settings.bos and encoder.bos_id < 0:
        raise UserError("bos: the tokenizer has no begin-of-sequence token; say `bos: false`.")
    shared = TokenSettings(
        folder=tokens or storage.join(folder.work, "tokens"),
        tokenizer=settings.tokenizer,
        sha256=encoder.sha256,
        pieces=encoder.vocab_size,
        prefix=(encoder.bos_id,) if settings.bos else (),
        suffix=(encoder.eos_id,) if settings.eos else (),
    )
    return shared, plan_tokens(settings, shared)


def token_tasks(shared: TokenSettings) -> str:
    """Where results of `tokenise` are kept: beside the token files, whose names say what they come from, so that another
    mixture finds both.
    """
    return storage.join(shared.folder, "tasks")


def _prepare(
    settings: MixtureSettings, shared: TokenSettings, items: list[TokenSplit], engine: Engine
) -> Prepared:
    """Tokenise what is not tokenised yet, and plan."""
    files: list[TokenFile] = engine.run("tokens", tokenise, items, shared)
    encoder = load_tokenizer(settings.tokenizer)
    pad = next((mark for mark in (encoder.pad_id, encoder.eos_id) if mark >= 0), 0)
    plan = make_plan(
        settings,
        add_up(files, settings.components),
        sha256=encoder.sha256,
        vocabulary=encoder.vocab_size,
        marks=(
            encoder.bos_id if settings.bos else None,
            encoder.eos_id if settings.eos else None,
            pad,
        ),
    )
    return Prepared(settings, items, shared, files, plan)


def _pack(prepared: Prepared, folder: OutputFolder, engine: Engine) -> list[ShardWritten]:
    """Order the copies, cut them into shards, write the shards."""
    plan, files = prepared.plan, prepared.files
    work = storage.join(folder.work, f"order-{plan.digest}")
    ordered = engine.shuffle("order", scatter, scatter_items(files, plan), order, order_settings(plan, work))
    encoder = load_tokenizer(prepared.settings.tokenizer)
    settings = PackSettings(
        output=folder.path,
        files=_content_named(work, "files", json.dumps([file.tokens_path for file in files]).encode()),
        classes=_content_named(work, "classes", piece_classes(encoder.pieces).tobytes()),
        dtype=prepared.shared.dtype.str,
        plan=plan,
    )
    return engine.run("pack", pack_shard, cut(ordered, plan), settings)


def _content_named(folder: str, name: str, content: bytes) -> str:
    """Write a file under a name that says what is in it, so that tasks depend on its content."""
    path = storage.join(folder, f"{name}-{hashlib.blake2b(content, digest_size=8).hexdigest()}")
    if not storage.exists(path):
        storage.write_bytes(path, content)
    return path


def _write_held_out(prepared: Prepared, folder: OutputFolder, engine: Engine) -> list[HeldOutWritten]:
    items = [
        HeldOutItem(
            key=each.name,
            name=each.name,
            files=tuple(
                (file.tokens_path, file.documents_path)
                for file in prepared.files
                if file.component == each.name
            ),
            path=folder.within("held_out", f"{each.name}.parquet"),
            dtype=prepared.shared.dtype.str,
        )
        for each in prepared.plan.components
        if each.held_out_documents
    ]
    return engine.run("held_out", write_held_out, items, Empty())


# ---- the manifest


def make_manifest(
    prepared: Prepared,
    shards: Sequence[ShardWritten],
    held_out: Sequence[HeldOutWritten],
    made_of: Mapping[str, Any],
) -> dict[str, Any]:
    """What was built: plan, shards, and the books of every component.

    Raises:
        UserError: with exit code 1, when what was written is not what was planned.
    """
    plan = prepared.plan
    got = [sum(shard.strata[at].tokens for shard in shards) for at in range(len(plan.strata))]
    copies = [sum(shard.strata[at].copies for shard in shards) for at in range(len(plan.strata))]
    for (_, tier), seen, tokens in zip(plan.strata, copies, got, strict=True):
        if not tier.documents * tier.whole <= seen <= tier.documents * tier.passes:
            raise UserError(
                f"a tier of {tier.documents:,} documents and {tier.epochs:.4f} epochs was written as {seen:,} "
                f"documents and {tokens:,} tokens. This is a defect of corpusmill; do not use the output.",
                exit_code=1,
            )
    total = sum(got)
    return {
        "identity": dict(made_of),
        "plan": plan_json(plan),
        "sequences": sum(shard.rows for shard in shards),
        "tokens": total,
        "padding": sum(shard.padding for shard in shards),
        "padding_share": sum(shard.padding for shard in shards)
        / (plan.sequence_length * sum(shard.rows for shard in shards)),
        "cut_documents": sum(shard.cut_documents for shard in shards),
        "components": {
            each.name: {
                "asked": each.asked,
                "planned": each.quota,
                "tokens": sum(got[s] for s, (c, _) in enumerate(plan.strata) if c == at),
                "share": sum(got[s] for s, (c, _) in enumerate(plan.strata) if c == at) / total,
                "epochs": each.epochs,
                "documents": each.documents,
                "appearances": sum(copies[s] for s, (c, _) in enumerate(plan.strata) if c == at),
                "held_out": each.held_out_documents,
                "left_out": each.left_out,
            }
            for at, each in enumerate(plan.components)
        },
        "shards": [shard.model_dump() for shard in shards],
        "held_out": [each.model_dump() for each in held_out],
    }


def _dumped(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
