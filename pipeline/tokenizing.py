"""Tokenizer runs: words counted over all sources, the vocabulary trained, files encoded.

    OUT/tokenizer.model          SentencePiece's model
    OUT/tokenizer.vocab          its pieces and scores, as text
    OUT/tokenizer.json           the same tokenizer for Hugging Face's `tokenizers`
    OUT/tokenizer_config.json    names of the special tokens, for transformers
    OUT/manifest.json            identity, counts by source, what was left out, checksums
    OUT/work/                    counts and task results; removed when the result is complete

The same configuration and inputs give the same bytes, whatever the workers and the runner. A killed run goes on
where it was.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel, Field, field_validator

from pipeline import storage
from pipeline.chunks import Format, Split
from pipeline.config import SOURCE_NAME
from pipeline.engine import PhaseCost, RunnerSettings, engines
from pipeline.errors import UserError
from pipeline.output import OutputFolder
from pipeline.run import version
from pipeline.sources import ReadSettings, TextColumns
from pipeline.sources.discover import SourceConfig, plan_splits
from pipeline.vocabulary import TrainedModel, TrainItem, TrainSettings, train_model
from pipeline.word_counts import (
    PARTITION_BYTES,
    UNIT,
    CountedPartition,
    CountedSplit,
    CountPlan,
    choose,
    count_words,
)
from tokenizer import export
from tokenizer.settings import TokenizerSettings
from tokenizer.training import vocabulary
from tokenizer.words import WORD_RULE

MODEL, VOCAB, JSON, CONFIG, MANIFEST = (
    "tokenizer.model",
    "tokenizer.vocab",
    "tokenizer.json",
    "tokenizer_config.json",
    "manifest.json",
)
RESULTS: Final = (MODEL, VOCAB, JSON, CONFIG, MANIFEST)


class TokenizerSource(BaseModel, frozen=True, extra="forbid"):
    """Texts to train on: inputs (Parquet or JSONL), and how often each of their words counts."""

    input: tuple[str, ...] = Field(min_length=1)
    """Paths, globs, URLs that fsspec knows, or `@FILE` for a list of them."""
    weight: float = Field(default=1, ge=0.001, le=1000)
    """Counts are multiplied by it, in thousandths: 2 trains as if the source were there twice."""
    text_column: str = "text"
    format: Literal["auto", "jsonl", "parquet"] = "auto"


class TrainConfig(BaseModel, frozen=True, extra="forbid"):
    """Everything that decides a tokenizer, beside the texts."""

    sources: dict[str, TokenizerSource] = Field(min_length=1)
    tokenizer: TokenizerSettings = TokenizerSettings()
    max_words: int = Field(default=5_000_000, ge=1)
    """Different words that are trained on, the most frequent ones. The trainer needs about 700 bytes for each;
    5 million are those of some GB of English."""
    max_word_bytes: int = Field(default=100_000_000, ge=1)
    """Bytes of these words together: a bound for scripts that write no spaces, where a word is a sentence."""
    split_bytes: int = Field(default=64 << 20, ge=0)
    """Bytes of input, as stored, for one task."""
    failure_limit: float = Field(default=0.2, ge=0, le=1)
    """Share of records without a readable text above which the run stops."""

    @field_validator("sources")
    @classmethod
    def _names_can_name_files(cls, sources: dict[str, TokenizerSource]) -> dict[str, TokenizerSource]:
        for name in sources:
            if re.fullmatch(SOURCE_NAME, name) is None:
                raise ValueError(f"the name {name!r} is not of the form {SOURCE_NAME}")
        return sources


@dataclass(frozen=True)
class TrainPlan:
    """A resolved training: what will be read. Making one reads no document."""

    config: TrainConfig
    output: str
    splits: list[Split]
    sizes: list[int]
    inputs: list[dict[str, Any]]

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides the bytes of the result."""
        return {
            "job": "tokenizer",
            "version": version(),
            "sentencepiece": importlib.metadata.version("sentencepiece"),
            "word_rule": WORD_RULE,
            "configuration": self.config.model_dump(mode="json"),
            "inputs": self.inputs,
        }


@dataclass(frozen=True)
class Trained:
    """A finished training: its manifest, what it cost, and whether it had been complete before."""

    manifest: dict[str, Any]
    output: str
    costs: tuple[PhaseCost, ...] = ()
    was_complete: bool = False


class TokenizerFolder(OutputFolder):
    """The output folder of a training."""

    results = RESULTS

    @property
    def was_begun(self) -> bool:
        """Whether a run of ours has worked here."""
        return storage.exists(storage.join(self.work, "run.json"))


def plan_training(config: TrainConfig, output: str) -> TrainPlan:
    """Find the inputs and cut them into splits.

    Raises:
        UserError: for inputs that are not there, without the text column, or neither Parquet nor JSONL.
    """
    splits = [split for name in config.sources for split in source_splits(name, config)]
    states: dict[str, dict[str, Any]] = {}
    for split in splits:
        if split.path not in states:
            states[split.path] = {"source": split.source, "path": split.path, **file_state(split.path)}
    shares = Counter(split.path for split in splits)
    sizes = [states[split.path]["bytes"] // shares[split.path] for split in splits]
    return TrainPlan(config, output, splits, sizes, [states[path] for path in sorted(states)])


def source_splits(name: str, config: TrainConfig) -> list[Split]:
    """The splits of a source."""
    source = config.sources[name]
    form = None if source.format == "auto" else source.format
    reading = ReadSettings(columns=_columns(source.text_column))
    return text_splits(name, source.input, form, reading, config.split_bytes)


def text_splits(
    name: str, inputs: Sequence[str], form: Format | None, reading: ReadSettings, split_bytes: int
) -> list[Split]:
    """The splits of Parquet and JSONL inputs.

    Raises:
        UserError: for inputs that are not there, or WARC files, whose text would have to be extracted first.
    """
    settings = SourceConfig(name=name, inputs=tuple(inputs), format=form, reading=reading)
    splits = plan_splits(settings, split_bytes)
    for split in splits:
        if split.format == "warc":
            raise UserError(
                f"source {name}: {split.path} holds web pages, not texts. "
                "Run `corpusmill web` first, and give the documents that it writes."
            )
    return splits


def _columns(text: str) -> TextColumns:
    return TextColumns(text=text, title=None)


def file_state(path: str) -> dict[str, Any]:
    """Size of a file, and what tells that it has changed."""
    fs, inner = storage.file_system(path)
    info = fs.info(inner)
    marks = ("ETag", "etag", "md5Hash", "mtime", "LastModified")
    changed = next((info[mark] for mark in marks if mark in info), None)
    return {"bytes": int(info["size"]), "changed": str(changed)}


def train_tokenizer(
    plan: TrainPlan, runner: RunnerSettings, *, overwrite: bool = False, quiet: bool | None = None
) -> Trained:
    """Count, train and write a tokenizer, or go on with a run that was interrupted.

    Raises:
        UserError: when the texts cannot give the vocabulary, or too many records cannot be read.
    """
    folder = TokenizerFolder(plan.output)
    with folder.locked():
        counting = count_plan(plan, folder)
        # A run that failed, because the vocabulary was too large, say, left no result that could be lost.
        overwrite = overwrite or (folder.was_begun and not storage.exists(folder.manifest_path))
        if folder.prepare(plan.identity, overwrite=overwrite, keep=[counting.folder.rsplit("/", 1)[-1]]):
            manifest = json.loads(storage.read_bytes(folder.manifest_path))
            return Trained(manifest, plan.output, was_complete=True)
        with engines(runner, quiet) as engine_at:
            counter = engine_at(storage.join(counting.folder, "tasks"))
            receipts, partitions = count_words(plan.splits, plan.sizes, counting, counter)
            check_failures(receipts, plan.config.failure_limit)
            item = choose_words(partitions, plan.config, folder)
            trainer = engine_at(storage.join(folder.work, "tasks"))
            settings = TrainSettings(settings=plan.config.tokenizer)
            (made,) = trainer.run("train", train_model, [item], settings)
            costs = (*counter.costs, *trainer.costs)
        files = write_files(storage.read_bytes(made.path), folder)
        manifest = make_manifest(plan, receipts, item, made, files)
        folder.finish(manifest, [])
    return Trained(manifest, plan.output, costs)


def count_plan(plan: TrainPlan, folder: OutputFolder) -> CountPlan:
    """What the tasks that count are told.

    Their folder is named after all that decides the counts, so that another vocabulary can be trained on them.
    """
    config = plan.config
    made = CountPlan(
        folder="",
        reading={
            name: ReadSettings(columns=_columns(source.text_column))
            for name, source in config.sources.items()
        },
        weights={name: round(source.weight * UNIT) for name, source in config.sources.items()},
        tab_runs=config.tokenizer.tab_runs,
        partitions=max(1, -(-sum(plan.sizes) // PARTITION_BYTES)),
    )
    decides = json.dumps(
        [made.model_dump(mode="json"), plan.inputs, config.split_bytes, version(), WORD_RULE]
    )
    digest = hashlib.blake2b(decides.encode(), digest_size=8).hexdigest()
    return made.model_copy(update={"folder": storage.join(folder.work, f"words-{digest}")})


def check_failures(receipts: Sequence[CountedSplit], limit: float) -> None:
    """Stop where too many records gave no text.

    Raises:
        UserError: naming the most frequent reason, by source.
    """
    for name in dict.fromkeys(receipt.source for receipt in receipts):
        mine = [receipt for receipt in receipts if receipt.source == name]
        failed = Counter[str]()
        for receipt in mine:
            failed.update(receipt.failed)
        documents, lost = sum(receipt.documents for receipt in mine), failed.total()
        if lost > limit * (documents + lost):
            reason, count = failed.most_common(1)[0]
            raise UserError(
                f"source {name}: {lost:,} of {documents + lost:,} records have no readable text "
                f"({reason}: {count:,}). Mend the input, or raise failure_limit ({limit}).",
                exit_code=1,
            )


def choose_words(
    partitions: Sequence[CountedPartition], config: TrainConfig, folder: OutputFolder
) -> TrainItem:
    """The most frequent words within the limits."""
    chosen = choose(partitions, config.max_words, config.max_word_bytes)
    return TrainItem(
        key="train",
        partitions=tuple(partitions),
        path=storage.join(folder.work, "model", MODEL),
        **chosen.__dict__,
    )


def write_files(model: bytes, folder: OutputFolder) -> dict[str, dict[str, Any]]:
    """Write the tokenizer in all its forms; size and checksum of each file."""
    contents = {
        MODEL: model,
        VOCAB: vocabulary(model),
        JSON: export.tokenizer_json(model),
        CONFIG: export.tokenizer_config(model),
    }
    for name, content in contents.items():
        storage.write_bytes(folder.within(name), content)
    return {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in contents.items()
    }


def make_manifest(
    plan: TrainPlan,
    receipts: Sequence[CountedSplit],
    item: TrainItem,
    made: TrainedModel,
    files: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """What the tokenizer was made of. Counts of words are weighted ones, in whole words."""
    sources = {}
    for name, source in plan.config.sources.items():
        mine = [receipt for receipt in receipts if receipt.source == name]
        failed = Counter[str]()
        for receipt in mine:
            failed.update(receipt.failed)
        sources[name] = {
            "weight": source.weight,
            "documents": sum(receipt.documents for receipt in mine),
            "failed": dict(sorted(failed.items())),
            "text_bytes": sum(receipt.text_bytes for receipt in mine),
            "words": sum(receipt.words for receipt in mine),
        }
    return {
        "corpusmill": version(),
        "job": "tokenizer",
        "identity": plan.identity,
        "vocab_size": made.pieces,
        "sha256": made.sha256,  # of tokenizer.model
        "sources": sources,
        "words": {
            "distinct": item.words,  # trained on
            "occurrences": item.count / UNIT,
            "distinct_left_out": item.lost_words,  # over max_words or max_word_bytes: the rarest
            "occurrences_left_out": item.lost_count / UNIT,
        },
        "files": files,
    }
