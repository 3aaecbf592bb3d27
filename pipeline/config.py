"""The configuration of a job: typed, read from YAML, checked before anything runs.

A configuration is a job's packaged YAML, the user's file over it (a top-level key replaces the packaged one as a whole, so
that no rule stays in force that the user's file does not show), and the command's options over both.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from decontam.settings import DecontaminationSettings
from filters.blocklist import BlocklistSettings
from filters.classifier import ClassifierSettings
from filters.language import LanguageSettings
from filters.ngram_lm import LanguageModelSettings
from filters.pii import PiiSettings
from filters.safety import SafetySettings
from pipeline.dedup.settings import DedupSettings
from pipeline.errors import UserError, did_you_mean
from pipeline.extract import ExtractionSettings
from pipeline.publish import PublishSettings
from pipeline.repeated import RepeatedLinesSettings
from pipeline.rules import Bound
from pipeline.sources import ReadSettings, TextColumns
from pipeline.stages import LineSettings, MinHashSettings, StageSettings

C = TypeVar("C", bound=BaseModel)

SOURCE_NAME = r"[a-z0-9][a-z0-9_-]{0,63}"


class SourceSettings(BaseModel, frozen=True, extra="forbid"):
    """One source of documents: its inputs (paths, globs, URLs that fsspec knows) and how they are read.

    `snapshot` names the crawl or release; by default a document has none.
    """

    input: tuple[str, ...] = Field(min_length=1)
    """Paths, globs, URLs that fsspec knows, or `@FILE` for a list of them."""
    format: Literal["auto", "warc", "jsonl", "parquet"] = "auto"
    """What the files hold; `auto` tells it from their names."""
    snapshot: str | None = None
    columns: TextColumns = TextColumns()


class ReadingSettings(BaseModel, frozen=True, extra="forbid"):
    """How inputs are cut into tasks and chunks, and the largest body that is loaded.

    32 MiB of compressed WARC is about a thousand pages: half a minute of work, so splits balance and little is lost when a
    run is killed. `split_bytes: 0` reads every file as one part.
    """

    split_bytes: int = Field(default=32 << 20, ge=0)
    chunk_rows: int = Field(default=1000, ge=1)
    """A chunk is closed at so many documents."""
    chunk_bytes: int = Field(default=32 << 20, ge=1)
    """A chunk is closed before so many bytes of bodies."""
    max_bytes: int = Field(default=20 << 20, ge=1)
    """A longer body is not loaded; `http.bytes` says how long it is, for a rule to reject."""


class JobConfig(BaseModel, frozen=True, extra="forbid"):
    """Everything that decides the bytes of a run's output. Where it runs, and with how many workers, is not in here."""

    sources: dict[str, SourceSettings] = Field(default_factory=dict)
    """Name -> source. `--input` stands for one source with the name of the job."""
    reading: ReadingSettings = ReadingSettings()
    urls: BlocklistSettings | None = None
    """Measures addresses: `url.blocked` by a list that `build blocklist` made, `url.adult_words` (docs/screens.md)."""
    extraction: ExtractionSettings | None = ExtractionSettings()
    language: LanguageSettings | None = LanguageSettings()
    safety: SafetySettings | None = SafetySettings()
    pii: PiiSettings | None = PiiSettings()
    lines: LineSettings | None = LineSettings()
    quality: bool = True
    """Whether the measures of Gopher, FineWeb and C4 are made."""
    classifier: ClassifierSettings | None = None
    """Scores documents with a quality model as `quality.score` (docs/models.md); bound it by a rule."""
    language_model: LanguageModelSettings | None = None
    """Measures perplexity under an n-gram model as `lm.perplexity` and `lm.bucket`."""
    repeated_lines: RepeatedLinesSettings | None = None
    minhash: MinHashSettings = MinHashSettings()
    dedup: DedupSettings | None = DedupSettings()
    against: tuple[str, ...] = ()
    """Shards of earlier runs (`earlier/documents/*.parquet`; paths, globs, URLs): what they hold is not published again."""
    decontamination: DecontaminationSettings = DecontaminationSettings()
    rules: dict[str, Bound] = Field(default_factory=dict)
    """Column -> bound, applied in the order of the stages."""
    publish: PublishSettings = PublishSettings()
    keep_measures: bool = False
    """Measure every document fully, also after it failed a rule, and keep the harvest in `work/`: other rules can then be
    tried without the input."""
    failure_limit: float = Field(default=0.2, ge=0, le=1)
    """Share of failed documents of a split, of at least a hundred, above which the run stops."""

    @model_validator(mode="after")
    def _bands_fit(self) -> JobConfig:
        if self.against and self.dedup is None:
            raise ValueError("against: earlier runs are compared by deduplication, which is turned off")
        if self.dedup is not None and self.dedup.fuzzy:
            needed = self.dedup.bands * self.dedup.rows
            if needed > self.minhash.permutations:
                raise ValueError(
                    f"dedup: {self.dedup.bands} bands of {self.dedup.rows} rows need {needed} hashes, "
                    f"and minhash.permutations is {self.minhash.permutations}"
                )
            if self.dedup.verify == "exact" and self.dedup.shingle_words != self.minhash.ngram:
                raise ValueError(
                    f"dedup.shingle_words ({self.dedup.shingle_words}) must equal minhash.ngram ({self.minhash.ngram}), "
                    "or candidates would be found by other shingles than they are compared by"
                )
        return self

    def read_settings(self, source: str) -> ReadSettings:
        """How a source's records are read."""
        settings, reading = self.sources[source], self.reading
        return ReadSettings(
            snapshot=settings.snapshot,
            columns=settings.columns,
            chunk_rows=reading.chunk_rows,
            chunk_bytes=reading.chunk_bytes,
            max_bytes=reading.max_bytes,
        )

    def stages(self, decontamination_index: str | None = None) -> StageSettings:
        """The settings of the chain."""
        return StageSettings(
            urls=self.urls,
            extraction=self.extraction,
            language=self.language,
            safety=self.safety,
            pii=self.pii,
            lines=self.lines,
            quality=self.quality,
            classifier=self.classifier,
            language_model=self.language_model,
            repeated_lines_min_words=self.repeated_lines.min_words if self.repeated_lines else None,
            minhash=self.minhash,
            dedup=self.dedup,
            decontamination=self.decontamination,
            decontamination_index=decontamination_index,
        )


def read_yaml(path: str) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        UserError: when the file cannot be read, is not YAML, or holds something other than a mapping.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = yaml.load(file, Loader=_Loader)  # noqa: S506 - a SafeLoader that refuses duplicate keys
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a mapping of settings, found {type(content).__name__}.")
    return content


class _Loader(yaml.SafeLoader):
    """YAML's safe loader; a key written twice is an error, since the first would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands here twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def validate(model: type[C], content: Mapping[str, Any], origin: str) -> C:
    """Check settings against their model.

    Raises:
        UserError: naming every wrong key with the nearest valid one, and every wrong value.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = [_problem(model, found) for found in error.errors()]
        raise UserError(f"{origin}:\n" + "\n".join(f"  {line}" for line in lines)) from error


def _problem(model: type[BaseModel], found: Any) -> str:
    where = ".".join(str(part) for part in found["loc"])
    if found["type"] == "extra_forbidden":
        known = _fields_at(model, found["loc"][:-1])
        return f"{where}: there is no such setting.{did_you_mean(str(found['loc'][-1]), known)}"
    message = found["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def _fields_at(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """The settings that exist where a path leads."""
    current: Any = model
    for part in path:
        fields = getattr(current, "model_fields", {})
        current = _model_in(fields[part].annotation) if part in fields else current
    return list(getattr(current, "model_fields", {}))


def _model_in(annotation: Any) -> Any:
    """The pydantic model inside `Model | None`, `dict[str, Model]` or `tuple[Model, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _model_in(inner)
        if found is not None:
            return found
    return None


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Layers of settings, later ones over earlier ones, by top-level key."""
    result: dict[str, Any] = {}
    for layer in layers:
        result.update(layer)
    return result


def absolute(path: str) -> str:
    """A local path made absolute; URLs as they are. `@FILE` names a list of inputs."""
    if path.startswith("@"):
        return "@" + absolute(path[1:])
    return path if "://" in path else os.path.abspath(os.path.expanduser(path))
