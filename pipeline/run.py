"""A job's run from configuration to result: harvest, decide, publish, books, report.

What makes a run trustworthy is here: the identity that a resumed run must share, the proof that splits join, and the books.
Three counts that know nothing of each other must agree: rows harvested, decisions made, rows in the files written.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline import contamination, storage
from pipeline.chunks import HarvestedChunk, Split
from pipeline.config import JobConfig
from pipeline.contamination import ContaminationPlan
from pipeline.decide import DUPLICATE_RULES, DecidePlan, Settled, count_ngrams, decide, ledger_path, screen
from pipeline.dedup.earlier import EarlierFile, earlier_chunks, find_earlier
from pipeline.engine import Engine, RunnerSettings, engines
from pipeline.errors import UserError
from pipeline.harvest import (
    HarvestPlan,
    HarvestReceipt,
    HarvestSplit,
    check_failures,
    check_joined,
    harvest_split,
    in_order,
    join_splits,
)
from pipeline.output import OutputFolder
from pipeline.publish import PublishPlan, Written, publish
from pipeline.repeated import find_repeated_lines
from pipeline.rules import Rule, check_rules
from pipeline.sources.discover import SourceConfig, plan_splits
from pipeline.stages import StageSettings, build_stages
from pipeline.summary import ChunkSummary, ReportRule, SourceSummary, StageSummary, add_up

if TYPE_CHECKING:
    from decontam.ngrams import NgramIndex
    from decontam.settings import DecontaminationSettings

DEFERRED = ("lines", "quality")
"""Stages whose rules come after deduplication in the recipe."""

EXAMPLES = 10
"""Examples kept and dropped per rule in the report."""


@dataclass(frozen=True)
class Plan:
    """A resolved run: what will be read, measured, decided and written. Making one reads no document."""

    job: str
    config: JobConfig
    output: str
    splits: list[Split]
    rules: list[Rule]
    inputs: list[dict[str, Any]]
    against: list[EarlierFile] = field(default_factory=list)
    index: str | None = None
    """The digest of the benchmark index, once it is there."""

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides the bytes of the result."""
        return {
            "job": self.job,
            "version": version(),
            "configuration": self.config.model_dump(mode="json", by_alias=True),
            "inputs": self.inputs,
            "against": [{"path": each.path, **_state(each.path)} for each in self.against],
            **self._benchmarks,
        }

    @property
    def _benchmarks(self) -> dict[str, Any]:
        usage = self.config.decontamination.usage
        return {
            **({"index": self.index} if self.index is not None else {}),
            **({"usage": _state(usage)} if self.index is not None and usage is not None else {}),
        }


@dataclass(frozen=True)
class Outcome:
    """A finished run: its manifest, and whether it had been complete before."""

    manifest: dict[str, Any]
    output: str
    was_complete: bool = False


def version() -> str:
    """The version of this package."""
    return importlib.metadata.version("corpusmill")


def plan_run(job: str, config: JobConfig, output: str) -> Plan:
    """Resolve a run: find the inputs, cut them into splits, check the rules.

    Raises:
        UserError: no inputs, missing files, rules on unknown columns.
    """
    _check_models(config)
    stages = build_stages(config.stages())
    rules = check_rules(
        config.rules, {stage.name: stage.columns for stage in stages}, DUPLICATE_RULES.values()
    )
    if not config.sources:
        raise UserError("no input: give --input FILES, or name sources in the configuration.")
    splits = [
        split
        for name, source in config.sources.items()
        for split in plan_splits(
            SourceConfig(
                name=name,
                inputs=source.input,
                format=None if source.format == "auto" else source.format,
                reading=config.read_settings(name),
            ),
            config.reading.split_bytes,
        )
    ]
    return Plan(job, config, output, splits, rules, _inputs(splits), _earlier(config, output))


def _check_models(config: JobConfig) -> None:
    """Load models, lists and keys once before anything runs, so that a wrong path is not every document's failure."""
    from filters import blocklist, pii
    from filters._models import ModelError
    from filters.classifier import load_classifier
    from filters.ngram_lm import load_language_model

    try:
        if config.urls is not None and config.urls.path is not None:
            blocklist.open_blocklist(config.urls.path)
        if config.pii is not None:
            pii.check(config.pii)
        if config.classifier is not None:
            load_classifier(config.classifier)
        if config.language_model is not None:
            load_language_model(config.language_model.model)
    except FileNotFoundError as error:
        raise UserError(f"there is no {error.filename or error}.") from error
    except (ModelError, blocklist.BlocklistError, pii.PiiKeyError, pii.NameModelError) as error:
        raise UserError(str(error)) from error


def _earlier(config: JobConfig, output: str) -> list[EarlierFile]:
    """The published shards of earlier runs."""
    if config.dedup is None:
        return []
    minhash = config.minhash
    files = find_earlier(config.against, config.dedup, minhash.described, minhash.permutations)
    for file in files:
        if file.path.startswith(output.rstrip("/") + "/"):
            raise UserError(f"against: {file.path} lies in this run's own output.")
    return files


def _inputs(splits: Sequence[Split]) -> list[dict[str, Any]]:
    """The input files with what tells that one has changed: size, and modification time or version."""
    found = {}
    for split in splits:
        if split.path in found:
            continue
        found[split.path] = {"source": split.source, "path": split.path, **_state(split.path)}
    return [found[path] for path in sorted(found)]


def _state(path: str) -> dict[str, Any]:
    fs, inner = storage.file_system(path)
    info = fs.info(inner)
    changed = next(
        (info[key] for key in ("ETag", "etag", "md5Hash", "mtime", "LastModified") if key in info), None
    )
    return {"bytes": int(info["size"]), "changed": str(changed)}


def execute(
    plan: Plan, runner: RunnerSettings, *, overwrite: bool = False, quiet: bool | None = None
) -> Outcome:
    """Run a plan to its end, or continue one that was interrupted.

    Raises:
        UserError: with exit code 1 when the run ended but its books do not balance.
    """
    index = open_benchmarks(plan.config.decontamination)
    plan = dataclasses.replace(plan, index=index.header.digest if index is not None else None)
    folder = OutputFolder(plan.output)
    with folder.locked():
        index_path = _place_index(plan, folder, index)
        harvest_plan = _harvest_plan(plan, folder, index_path)
        keep = [path.rsplit("/", 1)[-1] for path in (harvest_plan.folder, index_path) if path is not None]
        if folder.prepare(plan.identity, overwrite=overwrite, keep=keep):
            return Outcome(
                json.loads(storage.read_bytes(folder.manifest_path)), plan.output, was_complete=True
            )
        with engines(runner, quiet) as make:
            engine = make(storage.join(folder.work, "tasks"))
            manifest = _Run(plan, folder, harvest_plan, engine).run()
        folder.finish(manifest, keep if plan.config.keep_measures else [])
    return Outcome(manifest, plan.output)


def count_usage(plan: Plan, target: str, runner: RunnerSettings, *, quiet: bool | None = None) -> int:
    """Write the usage table of a corpus (`decontam.usage`); `plan.output` is the folder for what it needs meanwhile.

    Raises:
        UserError: as `execute`.
    """
    index = open_benchmarks(plan.config.decontamination)
    if index is None:
        raise UserError("no benchmarks: give --benchmarks FILE.")
    plan = dataclasses.replace(plan, index=index.header.digest)
    folder = OutputFolder(plan.output)
    with folder.locked():
        index_path = _place_index(plan, folder, index)
        harvest_plan = _harvest_plan(plan, folder, index_path)
        folder.prepare(plan.identity, overwrite=True, keep=[])
        with engines(runner, quiet) as make:
            engine = make(storage.join(folder.work, "tasks"))
            found = _Run(plan, folder, harvest_plan, engine).count_usage(target)
    storage.remove(plan.output)
    return found


def open_benchmarks(settings: DecontaminationSettings) -> NgramIndex | None:
    """The index of the benchmarks that the settings name, built or opened; None without benchmarks.

    Raises:
        UserError: for whatever is wrong with them.
    """
    if settings.benchmarks is None:
        return None
    if settings.usage is not None and not storage.exists(settings.usage):
        raise UserError(f"there is no usage table {settings.usage}; `decontam usage` makes one.")
    from decontam.build import build_index
    from decontam.errors import BenchmarkError
    from decontam.ngrams import NgramIndex
    from decontam.registry import resolve

    path = resolve(settings.benchmarks)
    try:
        if not path.endswith(contamination.INDEX_ENDING):
            return build_index(settings.model_copy(update={"benchmarks": path}))
        index = NgramIndex.open(path)
    except FileNotFoundError as error:
        raise UserError(f"there is no benchmark index {settings.benchmarks}.") from error
    except BenchmarkError as error:
        raise UserError(str(error)) from error
    header = index.header
    for name in ("parts", "min_words", "max_words"):
        asked = getattr(settings, name)
        if name in settings.model_fields_set and asked != getattr(header, name):
            raise UserError(
                f"the index {settings.benchmarks} was made with {name} {getattr(header, name)}, not {asked}. "
                "Make one with `decontam index`, or leave that setting out."
            )
    return index


def _place_index(plan: Plan, folder: OutputFolder, index: NgramIndex | None) -> str | None:
    """Write the benchmark index under a name that says what is in it; one that the user made stays where it is."""
    given = plan.config.decontamination.benchmarks
    if index is None or given is None:
        return None
    if given.endswith(contamination.INDEX_ENDING):
        return given
    path = storage.join(folder.work, f"benchmarks-{index.header.digest[:16]}{contamination.INDEX_ENDING}")
    if not storage.exists(path):
        with storage.write_atomically(path) as file:
            index.write(file)
    return path


def _harvest_plan(plan: Plan, folder: OutputFolder, index_path: str | None) -> HarvestPlan:
    """The plan of the harvest, in a folder named after all that decides its bytes.

    Where all measures are kept, no rule is applied while harvesting, so that other rules can use the same harvest.
    """
    config = plan.config
    bounds = {rule.name: rule.bound for rule in plan.rules if rule.stage not in DEFERRED}
    made = HarvestPlan(
        folder="",
        reading={name: config.read_settings(name) for name in config.sources},
        stages=config.stages(index_path),
        rules={} if config.keep_measures else bounds,
        deferred=DEFERRED,
        keep_measures=config.keep_measures,
        failure_limit=config.failure_limit,
    )
    identity = json.dumps([made.model_dump(mode="json"), plan.inputs, config.reading.split_bytes, version()])
    digest = hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()
    return made.model_copy(update={"folder": storage.join(folder.work, f"harvest-{digest}")})


class _Run:
    """The phases of a run and what they leave for the next."""

    def __init__(self, plan: Plan, folder: OutputFolder, harvest_plan: HarvestPlan, engine: Engine) -> None:
        self.plan = plan
        self.folder = folder
        self.harvest_plan = harvest_plan
        self.engine = engine
        self.started = time.perf_counter()
        self.created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self.duplicates: Any = None
        self.contamination: ContaminationPlan | None = None
        self.published_ngrams: Any = None
        self.repeated_lines: int | None = None

    def run(self) -> dict[str, Any]:
        receipts, chunks = self.harvest()
        settled = self.decide(chunks)
        total = add_up((each.summary for each in settled), EXAMPLES)
        stages = self.harvest_plan.stages
        publish_plan = PublishPlan(
            output=self.plan.output,
            stages=stages,
            publish=self.plan.config.publish,
            repeated=self.find_repeated_lines(chunks, settled),
            repeated_lines=self.plan.config.repeated_lines,
        )
        documents, ledgers = publish(chunks, settled, publish_plan, self.engine)
        check_books(chunks, total, documents, ledgers)
        manifest = self.manifest(receipts, settled, total, documents, ledgers)
        self.report(chunks, settled, total, manifest)
        return manifest

    def harvest(self) -> tuple[list[HarvestReceipt], list[HarvestedChunk]]:
        items = [
            HarvestSplit(key=split.key, split=split, weight=_weight(split)) for split in self.plan.splits
        ]
        receipts: list[HarvestReceipt] = self.engine.run("harvest", harvest_split, items, self.harvest_plan)
        receipts = join_splits(receipts, self._harvest_again)
        check_joined(receipts)
        chunks = in_order(receipts)
        failed, rows = sum(each.failed for each in receipts), sum(chunk.rows for chunk in chunks)
        check_failures("all inputs", failed, rows, self.harvest_plan)
        return receipts, chunks

    def _harvest_again(self, items: list[HarvestSplit]) -> list[HarvestReceipt]:
        return self.engine.run("harvest.again", harvest_split, items, self.harvest_plan)

    def decide(self, chunks: list[HarvestedChunk]) -> list[Settled]:
        plan = self.decide_plan(chunks)
        settled = decide(chunks, plan, report_rules(self.plan), self.engine)
        if self.contamination is not None:
            self.published_ngrams = contamination.published_ngrams(
                chunks, settled, self.contamination, self.engine
            )
        return settled

    def count_usage(self, target: str) -> int:
        """Count benchmark n-grams, decide nothing, and write the usage table; the n-grams found."""
        _, chunks = self.harvest()
        plan = self.decide_plan(chunks)
        count_ngrams(chunks, plan, self.engine)
        assert self.contamination is not None  # noqa: S101 - the caller has checked
        with storage.write_atomically(target) as file:
            return contamination.write_usage_table(
                file, self.contamination, chunks, [ledger_path(plan.folder, chunk.key) for chunk in chunks]
            )

    def decide_plan(self, chunks: list[HarvestedChunk]) -> DecidePlan:
        """Everything that deciding a chunk needs; finds the duplicates."""
        config, stages = self.plan.config, self.harvest_plan.stages
        plan = DecidePlan(
            folder=storage.join(self.folder.work, "decide"),
            stages=stages,
            rules=config.rules,
            deferred=DEFERRED,
            keep_measures=config.keep_measures,
            examples=EXAMPLES if len(chunks) <= 200 else 1,
        )
        if stages.decontamination_index is not None:
            self.contamination = self._contamination(chunks, plan.folder)
        if config.dedup is not None:
            from pipeline.dedup.phase import find_duplicates

            candidates = screen(chunks, plan, self.engine) if config.keep_measures else chunks
            # The columns of the candidates depend on the harvest's folder and, where rules are applied afterwards, on those.
            against = self.plan.identity["against"]
            contents = json.dumps([self.harvest_plan.folder, plan.model_dump(mode="json"), against])
            end = max((chunk.base + chunk.rows for chunk in chunks), default=0)
            self.duplicates = find_duplicates(
                [*candidates, *earlier_chunks(self.plan.against, end)],
                config.dedup,
                self.engine,
                storage.join(self.folder.work, "dedup"),
                contents=contents,
            )
            plan = plan.model_copy(
                update={"removals": tuple(self.duplicates.removals), "earlier": self.duplicates.earlier}
            )
        return plan.model_copy(update={"contamination": self.contamination})

    def find_repeated_lines(self, chunks: list[HarvestedChunk], settled: list[Settled]) -> str | None:
        settings = self.plan.config.repeated_lines
        if settings is None:
            return None
        folder = storage.join(self.folder.work, "repeated")
        ledgers = [each.path for each in settled]
        path, self.repeated_lines = find_repeated_lines(chunks, ledgers, settings, self.engine, folder)
        return path

    def _contamination(self, chunks: Sequence[HarvestedChunk], folder: str) -> ContaminationPlan:
        path = self.harvest_plan.stages.decontamination_index
        assert path is not None  # noqa: S101 - the caller has asked
        return contamination.resolve(
            self.plan.config.decontamination,
            path,
            folder,
            text_bytes=sum(chunk.text_bytes for chunk in chunks),
        )

    def manifest(
        self,
        receipts: Sequence[HarvestReceipt],
        settled: Sequence[Settled],
        total: ChunkSummary,
        documents: Sequence[Written],
        ledgers: Sequence[Written],
    ) -> dict[str, Any]:
        records: dict[str, int] = {}
        seconds: dict[str, float] = {}
        for receipt in receipts:
            for kind, count in receipt.records.items():
                records[kind] = records.get(kind, 0) + count
            for stage, spent in receipt.stage_seconds.items():
                seconds[stage] = seconds.get(stage, 0.0) + spent
        return {
            "corpusmill": version(),  # the version of this package
            "job": self.plan.job,  # the job's name
            "created": self.created,  # when the run began, UTC
            "identity": self.plan.identity,
            "books": books(total),
            "funnel": funnel(self.plan, total),
            "rules": {  # in the order in which they apply
                rule.name: {
                    "stage": rule.stage,  # the stage that measures its column
                    "bound": rule.bound.text()
                    if rule.bound
                    else None,  # none for decisions that bound no column
                    # documents that were neither rejected nor failed before
                    "reached": total.rules[rule.name].reached if rule.name in total.rules else 0,
                    # documents that failed this rule first
                    "rejected": total.rules[rule.name].rejected if rule.name in total.rules else 0,
                }
                for rule in report_rules(self.plan)
            },
            "records": dict(sorted(records.items())),  # records read, by kind
            "bytes": {
                "input": sum(item["bytes"] for item in self.plan.inputs),  # input files as stored
                "bodies": total.raw_bytes,  # bodies of pages
                "extracted_text": total.extracted_bytes,  # text behind extraction
                "published_text": sum(
                    file.text_bytes for file in documents
                ),  # text of the published documents
                "documents": sum(file.bytes for file in documents),  # files of `documents/` as stored
            },
            "words": total.words,  # words of the published documents (`gopher.word_count`)
            # rule, threshold, unit, index, and documents removed by either rule at some thresholds; null where it did not run
            "decontamination": contamination.account(
                self.contamination, self.plan.config.decontamination, settled
            )
            if self.contamination is not None
            else None,
            "repeated_lines": self.repeated_lines,  # different lines that were removed everywhere; null where not asked for
            "languages": dict(sorted(total.languages.items())),  # published documents by language
            "outputs": [  # files of `documents/`, `rejected/` and `failed/`
                {**file.model_dump(), "path": os.path.relpath(file.path, self.plan.output)}
                for file in [*documents, *ledgers]
            ],
            "cost": {
                # of this command; an interrupted run's earlier time is not in it
                "wall_seconds": round(time.perf_counter() - self.started, 3),
                "cpu_seconds": round(sum(cost.cpu_seconds for cost in self.engine.costs), 3),  # of all tasks
                # bytes of the largest worker process
                "peak_rss": max((cost.peak_rss for cost in self.engine.costs), default=0),
                "workers": self.engine.runner.workers,  # local worker processes
                "runner": self.engine.runner.runner,  # where the tasks ran
                # seconds of processor time of the harvest's stages; a worker's first chunk loads models and kernels
                "stages": {stage: round(spent, 3) for stage, spent in seconds.items()},
                "phases": [cost.model_dump() for cost in self.engine.costs],
            },
            "versions": versions(),
        }

    def report(
        self,
        chunks: list[HarvestedChunk],
        settled: list[Settled],
        total: ChunkSummary,
        manifest: dict[str, Any],
    ) -> None:
        from pipeline.reporting import write_reports

        write_reports(
            self.plan,
            self.harvest_plan.stages,
            chunks,
            settled,
            total,
            manifest,
            self.duplicates,
            self.contamination,
            self.published_ngrams,
            self.engine,
        )


def _weight(split: Split) -> int:
    """Bytes of a split; row groups of Parquet weigh alike."""
    return split.stop - split.start


def report_rules(plan: Plan) -> list[ReportRule]:
    """All that can reject a document, in the order of the recipe."""
    import pyarrow as pa

    def of(rule: Rule) -> ReportRule:
        numeric = pa.types.is_floating(rule.column.type) or pa.types.is_integer(rule.column.type)
        listed = rule.bound.in_ is not None or rule.bound.not_in is not None
        return ReportRule(name=rule.name, stage=rule.stage, bound=rule.bound, numeric=numeric and not listed)

    first = [of(rule) for rule in plan.rules if rule.stage not in DEFERRED]
    later = [of(rule) for rule in plan.rules if rule.stage in DEFERRED]
    duplicates = []
    if plan.config.dedup is not None:
        duplicates = [ReportRule(name=name, stage="duplicates") for name in DUPLICATE_RULES.values()]
    last = []
    if plan.config.decontamination.benchmarks is not None:
        name = contamination.rule_name(plan.config.decontamination.rule)
        last = [ReportRule(name=name, stage="decontamination")]
    return [*first, *duplicates, *later, *last]


def stage_order(plan: Plan) -> list[str]:
    """The stages of a run as the funnel shows them."""
    names = [stage.name for stage in build_stages(plan.config.stages())]
    first = [name for name in names if name not in DEFERRED]
    duplicates = ["duplicates"] if plan.config.dedup is not None else []
    last = ["decontamination"] if plan.config.decontamination.benchmarks is not None else []
    return [*first, *duplicates, *(name for name in names if name in DEFERRED), *last]


def funnel(plan: Plan, total: ChunkSummary) -> list[dict[str, Any]]:
    """Per stage the documents that entered it, those that it took out, and the bytes of text behind it (as extracted)."""
    left, size, rows = total.documents, total.extracted_bytes, []
    for name in stage_order(plan):
        counts = total.stages.get(name, StageSummary())
        size -= counts.text_bytes
        row = {"stage": name, "entered": left, "rejected": counts.rejected, "failed": counts.failed}
        # Before extraction there is no text to count.
        rows.append({**row, "text_bytes": None if name == "read" else size})
        left -= counts.rejected + counts.failed
    return rows


def books(total: ChunkSummary) -> dict[str, Any]:
    """The account of every source, and of all together."""
    everything = SourceSummary()
    result = {}
    for name in sorted(total.sources):
        source = total.sources[name]
        result[name] = _account(source)
        everything.read, everything.published = (
            everything.read + source.read,
            everything.published + source.published,
        )
        for side in ("rejected", "failed"):
            for reason, count in getattr(source, side).items():
                getattr(everything, side)[reason] = getattr(everything, side).get(reason, 0) + count
    return {**result, "total": _account(everything)}


def _account(source: SourceSummary) -> dict[str, Any]:
    return {
        "read": source.read,
        "published": source.published,
        "rejected": dict(sorted(source.rejected.items())),
        "failed": dict(sorted(source.failed.items())),
    }


def check_books(
    chunks: Sequence[HarvestedChunk],
    total: ChunkSummary,
    documents: Sequence[Written],
    ledgers: Sequence[Written],
) -> None:
    """Check `read = published + rejected + failed` between what was harvested, decided and written.

    Raises:
        UserError: with exit code 1, saying which counts differ.
    """
    account = books(total)["total"]
    written = {
        "published": sum(file.rows for file in documents),
        "rejected": sum(file.rows for file in ledgers if "/rejected/" in file.path),
        "failed": sum(file.rows for file in ledgers if "/failed/" in file.path),
    }
    decided = {
        "published": account["published"],
        "rejected": sum(account["rejected"].values()),
        "failed": sum(account["failed"].values()),
    }
    read = sum(chunk.rows for chunk in chunks)
    wrong = [
        f"{name}: decided {decided[name]:,}, written {written[name]:,}"
        for name in written
        if written[name] != decided[name]
    ]
    if sum(decided.values()) != read:
        wrong.append(f"read {read:,}, accounted for {sum(decided.values()):,}")
    if wrong:
        raise UserError(
            "the books do not balance: "
            + "; ".join(wrong)
            + ". This is a defect of corpusmill or a damaged disk; "
            "do not use the output. Please report it with the files in work/.",
            1,
        )


def versions() -> dict[str, str]:
    """Versions of what decides the bytes of a result."""
    from filters.words import WORD_RULE

    names = (
        "apache-beam",
        "numba",
        "numpy",
        "pyarrow",
        "resiliparse",
        "trafilatura",
        "fasttext-community",
        "presidio-analyzer",
    )
    found = {name: importlib.metadata.version(name) for name in names}
    return {"python": platform.python_version(), **found, "word rule": WORD_RULE}


__all__ = ["Outcome", "Plan", "StageSettings", "execute", "plan_run"]
