"""What a run's report is made from: plain counts, histograms and examples, as pydantic models.

The models hold nothing that must be measured again: they are filled from a run's receipts, kept in its
manifest as JSON, and turned into pages by `pipeline.report.html` and `pipeline.report.card`. Counts are
documents unless the name says otherwise, sizes are bytes, times are seconds.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import BaseModel, Field, model_validator

from pipeline.report.base import STRICT, Seconds
from pipeline.report.base import Count as Count
from pipeline.report.base import Example as Example
from pipeline.report.contamination import BenchmarkHits as BenchmarkHits
from pipeline.report.contamination import ContaminationReport as ContaminationReport
from pipeline.report.contamination import Effect as Effect
from pipeline.report.contamination import Match as Match
from pipeline.report.contamination import NgramCount as NgramCount
from pipeline.report.contamination import UsageTable as UsageTable
from pipeline.report.histograms import Limits, limits_of


class _Part(BaseModel):
    model_config = STRICT


class InputFile(_Part):
    """One input of the run: its size as stored and the documents read from it."""

    path: str
    bytes: Count
    documents: Count


class StageCount(_Part):
    """One stage: documents that enter it, those it rejects and fails; bytes of text before and after it."""

    name: str
    entered: Count
    rejected: Count
    failed: Count = 0
    bytes_in: Count | None = None
    bytes_out: Count | None = None

    @property
    def removed(self) -> int:
        """Documents that this stage took out, by a rule or by a failure."""
        return self.rejected + self.failed

    @property
    def remaining(self) -> int:
        """Documents that leave this stage."""
        return self.entered - self.removed


class Books(_Part):
    """The account of a source: every document is published, rejected by a rule, or failed for a reason."""

    read: Count
    published: Count
    rejected: dict[str, Count] = {}
    failed: dict[str, Count] = {}

    @property
    def rejected_total(self) -> int:
        """Documents rejected by any rule."""
        return sum(self.rejected.values())

    @property
    def failed_total(self) -> int:
        """Documents that failed for any reason."""
        return sum(self.failed.values())

    @property
    def missing(self) -> int:
        """Documents read and not accounted for; negative where more are accounted for than read."""
        return self.read - self.published - self.rejected_total - self.failed_total

    @property
    def balances(self) -> bool:
        """Whether every document is accounted for exactly once."""
        return self.missing == 0


class ValueCount(_Part):
    """How many documents have one value of a text or boolean column, and whether the rule rejects it."""

    value: str | None
    count: Count
    rejected: bool = False


class Histogram(_Part):
    """Documents per bin of a numeric column.

    Bin i holds values v with edges[i] <= v < edges[i+1] (the last bin includes its upper edge). `below` and
    `above` count values outside of the edges, `nulls` documents without a value. Edges come from
    `histograms.choose_edges`, so that a rule's limits are bin edges; `log` means spaced by log(1 + value).
    """

    edges: list[float] = Field(min_length=2)
    counts: list[Count]
    scale: Literal["linear", "log"] = "linear"
    below: Count = 0
    above: Count = 0
    nulls: Count = 0

    @model_validator(mode="after")
    def _check(self) -> Histogram:
        if len(self.counts) != len(self.edges) - 1:
            raise ValueError(
                f"{len(self.edges)} edges bound {len(self.edges) - 1} bins, not {len(self.counts)}"
            )
        if not all(low < high for low, high in pairwise(self.edges)):
            raise ValueError("histogram edges must rise")
        if self.scale == "log" and self.edges[0] < 0:
            raise ValueError("a log histogram cannot begin below zero")
        return self

    @property
    def documents(self) -> int:
        """Documents with a value, inside the edges or not."""
        return sum(self.counts) + self.below + self.above


class RuleReport(_Part):
    """One rule of the job's YAML and what it did.

    Attributes:
        bound: the bound as in the YAML: `min 0.65`, `max 0.3`, `min 50, max 100000`, `in [en]`.
        source_note: where the threshold comes from (the comment in the YAML).
        measured: documents that reached the rule.
        rejected: documents for which this was the first rule that failed.
        would_reject: documents that fail it whatever the other rules say; None where later values were not
            measured.
        histogram: a numeric column's values over the documents that reached the rule.
        values: a string column's most frequent values, largest first.
        dropped: documents rejected here.
        kept: documents that passed, nearest to the threshold first.
    """

    name: str
    stage: str
    bound: str
    source_note: str | None = None
    measured: Count
    rejected: Count
    would_reject: Count | None = None
    histogram: Histogram | None = None
    values: list[ValueCount] | None = None
    dropped: list[Example] = []
    kept: list[Example] = []

    @property
    def limits(self) -> Limits:
        """The numeric limits that `bound` states; none for a bound on a string column."""
        return limits_of(self.bound)


class Cluster(_Part):
    """A cluster of duplicates: `size` documents, survivor included; `kind` such as "exact" or "near".

    A member's `value` is its similarity to the survivor.
    """

    size: Count
    kind: str
    survivor: Example
    members: list[Example] = []


class DuplicateReport(_Part):
    """What deduplication found: `sizes` maps a cluster's size to the number of such clusters.

    `removed` counts the documents dropped by kind of duplicate; `method` is one line on what was compared.
    """

    documents: Count
    removed: dict[str, Count]
    sizes: dict[int, Count]
    method: str | None = None
    clusters: list[Cluster] = []

    @property
    def cluster_count(self) -> int:
        """Clusters of two documents or more."""
        return sum(self.sizes.values())


class FailureGroup(_Part):
    """Documents that failed for one reason; an example's `text` is its traceback."""

    reason: str
    count: Count
    examples: list[Example] = []


class Timing(_Part):
    """Wall and CPU seconds of one stage, summed over workers, and the documents that it handled."""

    stage: str
    wall: Seconds
    cpu: Seconds
    documents: Count


class RunWarning(_Part):
    """Something a person should look at: what it is, the figures, and what to do about it."""

    title: str
    detail: str
    advice: str
    level: Literal["error", "warning", "note"] = "warning"


class ColumnNote(_Part):
    """One column of the published documents, for the data card."""

    name: str
    type: str
    about: str


class RunReport(_Part):
    """Everything that the report and the data card of one run say.

    Attributes:
        job, title, output: the job's name, what to call the run, where its output lies.
        created: when the run was started, as given by the caller; None keeps the page free of any clock.
        versions: names and versions of what decides the output (python, pyarrow, word rule, ...).
        books: source -> its account.
        warnings: what the caller noticed; those that follow from the counts are added by `advice.advise`.
        config_yaml: the full configuration.
        elapsed: wall seconds of the whole run; None where only the stages were timed.
        output_bytes: size of the published shards as stored.
        languages: language code -> documents published.
        columns: the published columns.
        license: Hugging Face identifier of the data's licence; None where it is not known.
    """

    job: str
    title: str
    output: str
    created: str | None = None
    corpusmill_version: str
    versions: dict[str, str] = {}
    inputs: list[InputFile] = []
    stages: list[StageCount] = []
    books: dict[str, Books] = {}
    rules: list[RuleReport] = []
    duplicates: DuplicateReport | None = None
    contamination: ContaminationReport | None = None
    failures: list[FailureGroup] = []
    timings: list[Timing] = []
    warnings: list[RunWarning] = []
    config_yaml: str = ""
    elapsed: Seconds | None = None
    output_bytes: Count | None = None
    languages: dict[str, Count] = {}
    columns: list[ColumnNote] = []
    license: str | None = None

    @property
    def total(self) -> Books:
        """The account of all sources together."""
        rejected: dict[str, int] = {}
        failed: dict[str, int] = {}
        for books in self.books.values():
            for into, counts in ((rejected, books.rejected), (failed, books.failed)):
                for reason, count in counts.items():
                    into[reason] = into.get(reason, 0) + count
        return Books(
            read=sum(books.read for books in self.books.values()),
            published=sum(books.published for books in self.books.values()),
            rejected=rejected,
            failed=failed,
        )

    @property
    def balances(self) -> bool:
        """Whether the books of every source balance; a surplus in one never pays for a loss in another."""
        return all(books.balances for books in self.books.values())
