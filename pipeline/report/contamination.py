"""What the report says of decontamination: the rule, its effect, each benchmark, and the matches in context.

Every field beyond the counts has a default that says nothing, so that a report can be made of what is known.
Counts are documents unless the name says otherwise; an item is a row of a benchmark.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from decontam.exposure import Exposure
from decontam.settings import RuleName, Unit
from pipeline.report.base import STRICT, Count, Example

Words = Annotated[int, Field(ge=1)]


class _Part(BaseModel):
    model_config = STRICT


class Match(_Part):
    """A document that collides with a benchmark: the item, the n-gram's length and its words.

    Attributes:
        document: the document; its text is not shown where the match has a context of its own.
        part: the part of the item: prompt, choices, answer, passage.
        words: the n-gram's words as the index spells them, joined by spaces.
        before, match, after: the matched text as it stands in the document, and what surrounds it.
        documents: documents of the corpus that hold the n-gram (usage table included).
        shared_by: the item parts, of all benchmarks, that have the n-gram.
    """

    document: Example
    item: str
    n: Words
    words: str
    part: str | None = None
    before: str = ""
    match: str = ""
    after: str = ""
    documents: Count | None = None
    shared_by: Count | None = None


class BenchmarkHits(_Part):
    """One benchmark's collisions. A document that collides with two benchmarks counts for both.

    Attributes:
        name: the benchmark's key.
        items: its items.
        matchable: items with an n-gram of the rule; None where it is not known, also below.
        too_short: items that are not matchable because no field has enough words.
        template: items that are not matchable because only text common to most items is long enough.
        items_found: items with an n-gram in the corpus that is not common usage.
        documents: documents that collide with it; under the unit `document` these are removed.
        template_texts: the most frequent texts left out as common to most items.
        columns_read: the columns that the text came from: "prompt from question".
        matches: some of the matches, for a person to judge.
        exposure: how much of it is in the published corpus.
    """

    name: str
    items: Count
    matchable: Count | None = None
    too_short: Count | None = None
    template: Count | None = None
    items_found: Count | None = None
    documents: Count
    template_texts: list[str] = []
    columns_read: str = ""
    matches: list[Match] = []
    exposure: Exposure | None = None


class NgramCount(_Part):
    """An n-gram that is common usage: its words, the documents that hold it, the first item that has it."""

    words: str
    count: Count
    benchmark: str | None = None
    item: str | None = None


class Effect(_Part):
    """What a rule with a threshold removes, or would: `documents` of those scanned."""

    rule: RuleName
    threshold: Count
    documents: Count


class UsageTable(_Part):
    """Counts measured on another corpus and added to this one's: the file, and the documents it counted."""

    path: str
    documents: Count | None = None


class ContaminationReport(_Part):
    """What decontamination did, benchmark by benchmark.

    Attributes:
        documents: documents scanned.
        removed: documents removed as a whole, each counted once.
        edited: documents published without their matches (units `section` and `span`).
        contaminated: documents with a match, whatever became of them; None for removed + edited.
        removed_characters: characters that the edited documents lost.
        shortest, longest: the lengths of n-gram compared, in words.
        rule, unit, parts: as in the settings; `forced` where --force applied `any` to a small corpus.
        common_usage: an n-gram that this many documents hold does not count; None where none is exempt.
        threshold_note: where that number comes from: "auto: 1000 x 653 MB / 6.5 GB", "the default".
        usage: counts of a bigger corpus that were added.
        effects: both rules by thresholds, the chosen one among them.
        ngrams: distinct n-grams of the index.
        exempted: how many n-grams common usage exempted; `common`: the most frequent of them.
        benchmarks: every benchmark that was compared.
        skipped, missing: benchmarks of the registry that were not compared: left out on request, and without
            a file.
    """

    documents: Count
    removed: Count
    edited: Count = 0
    contaminated: Count | None = None
    removed_characters: Count | None = None
    shortest: Words
    longest: Words
    rule: RuleName = "item"
    unit: Unit = "document"
    parts: tuple[str, ...] = ()
    forced: bool = False
    common_usage: Count | None = None
    threshold_note: str = ""
    usage: UsageTable | None = None
    effects: list[Effect] = []
    ngrams: Count | None = None
    exempted: Count = 0
    common: list[NgramCount] = []
    benchmarks: list[BenchmarkHits] = []
    skipped: list[str] = []
    missing: list[str] = []

    @property
    def with_match(self) -> int:
        """Documents with a match, whatever became of them."""
        return self.removed + self.edited if self.contaminated is None else self.contaminated
