"""Texts to token files: every Parquet or JSONL input encoded, one Parquet file of tokens for each split.

    OUT/tokens/KEY.parquet   `pipeline.token_files`
    OUT/manifest.json        identity, documents, tokens and text bytes by source, checksums

The same inputs and tokenizer give the same bytes, whatever the encoder, the workers and the runner.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipeline import storage
from pipeline.chunks import Split
from pipeline.engine import PhaseCost, RunnerSettings, engines
from pipeline.output import OutputFolder
from pipeline.run import version
from pipeline.sources import ReadSettings
from pipeline.token_files import (
    EncodeItem,
    EncodePlan,
    TokensWritten,
    encode_split,
    open_tokenizer,
    reading_for,
)
from pipeline.tokenizing import file_state, text_splits
from tokenizer.model import Encoder

RESULTS: Final = ("tokens", "manifest.json")
SPLIT_BYTES: Final = 64 << 20
"""Bytes of input, as stored, for one task and one file."""


@dataclass(frozen=True)
class Encoded:
    """A finished encoding."""

    manifest: dict[str, Any]
    output: str
    costs: tuple[PhaseCost, ...] = ()
    was_complete: bool = False


class TokensFolder(OutputFolder):
    """The output folder of an encoding."""

    results = RESULTS


def encode_files(
    tokenizer: str,
    sources: dict[str, Sequence[str]],
    output: str,
    runner: RunnerSettings,
    *,
    text_column: str = "text",
    id_column: str = "id",
    encoder: Encoder = "auto",
    overwrite: bool = False,
    quiet: bool | None = None,
) -> Encoded:
    """Encode all inputs, or go on with a run that was interrupted.

    Args:
        tokenizer: folder or model file.
        sources: inputs by the name of their source.
        output: the folder of the result.
        runner: where the tasks run.
        text_column, id_column: columns of the inputs.
        encoder: what encodes; the result is the same.
        overwrite: whether another result may be replaced.
        quiet: whether no progress is shown; by default where there is no terminal.

    Raises:
        UserError: for inputs that are not there or lack the text column, or a tokenizer that cannot be used.
    """
    reading = reading_for(text_column, id_column)
    splits = [
        split
        for name, inputs in sources.items()
        for split in text_splits(name, inputs, None, reading, SPLIT_BYTES)
    ]
    sha256 = open_tokenizer(tokenizer, encoder).sha256
    identity = _identity(splits, reading, sha256)
    folder = TokensFolder(output)
    with folder.locked():
        if folder.prepare(identity, overwrite=overwrite, keep=[]):
            return Encoded(json.loads(storage.read_bytes(folder.manifest_path)), output, was_complete=True)
        plan = EncodePlan(
            tokenizer=tokenizer,
            sha256=sha256,
            encoder=encoder,
            reading=reading,
            folder=folder.within("tokens"),
        )
        items = [EncodeItem(key=split.key, split=split, weight=split.stop - split.start) for split in splits]
        with engines(runner, quiet) as engine_at:
            engine = engine_at(storage.join(folder.work, "tasks"))
            written: list[TokensWritten] = engine.run("encode", encode_split, items, plan)
            costs = tuple(engine.costs)
        manifest = {"corpusmill": version(), "job": "tokens", "identity": identity, **_books(written)}
        folder.finish(manifest, [])
    return Encoded(manifest, output, costs)


def _identity(splits: Sequence[Split], reading: ReadSettings, sha256: str) -> dict[str, Any]:
    files = {
        split.path: {"source": split.source, "path": split.path, **file_state(split.path)} for split in splits
    }
    return {
        "job": "tokens",
        "version": version(),
        "tokenizer_sha256": sha256,
        "reading": reading.model_dump(mode="json"),
        "inputs": [files[path] for path in sorted(files)],
    }


def _books(written: Sequence[TokensWritten]) -> dict[str, Any]:
    sources: dict[str, dict[str, Any]] = {}
    for each in written:
        total = sources.setdefault(each.source, {"documents": 0, "tokens": 0, "text_bytes": 0, "failed": {}})
        for name in ("documents", "tokens", "text_bytes"):
            total[name] += getattr(each, name)
        for reason, count in each.failed.items():
            total["failed"][reason] = total["failed"].get(reason, 0) + count
    files = [each.model_dump(mode="json", exclude={"failed"}) for each in written]
    return {
        "sources": sources,
        "files": [{**each, "path": each["path"].rsplit("/", 1)[-1]} for each in files],
    }
