"""The settings of decontamination, as they stand in a job's YAML."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Part = Literal["prompt", "choices", "answer", "passage"]

PARTS: tuple[Part, ...] = ("prompt", "choices", "answer", "passage")
"""The parts of a benchmark item, in the order in which they are indexed."""

SHORTEST_N, LONGEST_N = 4, 13
"""The n-grams of the recipe (AFM report, section 3.1.1), and of the index: no other n can be asked for."""

RuleName = Literal["item", "any"]
Unit = Literal["document", "section", "span", "none"]


class DecontaminationSettings(BaseModel):
    """Which benchmarks are kept out of the documents, and by which rule."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    benchmarks: str | None = Field(
        default=None,
        description="the registry, a YAML file (docs/decontamination.md), or an index that `decontam index` made; "
        "none: no removal",
    )
    benchmark_root: str | None = Field(
        default=None,
        description="the folder of the benchmark files; none: that of their YAML, or benchmarks/ in it",
    )
    rule: RuleName = Field(
        default="item",
        description="item: one n for each item, its words but at most max_words; any: every n (the recipe's words)",
    )
    threshold: int | Literal["auto"] = Field(
        default=1000,
        description="n-grams that this many documents hold are common usage (AFM report: 1000); "
        "auto: 1000 at 6.5 GB of text and above, in proportion below, never under 10",
    )
    usage: str | None = Field(
        default=None,
        description="counts measured on a bigger corpus (`decontam usage`), added to this one's",
    )
    force: bool = Field(
        default=False, description="apply `any` to a corpus that is too small for it, without usage"
    )
    unit: Unit = Field(
        default="document",
        description="what is removed: the document (AFM report), its section (the report's licensed data), the span "
        "with 200 characters on each side (GPT-3), or nothing",
    )
    min_words: int = Field(
        default=SHORTEST_N, ge=SHORTEST_N, description="shorter items are not matched (AFM report: 4)"
    )
    max_words: int = Field(default=LONGEST_N, le=LONGEST_N, description="the longest n (AFM report: 13)")
    parts: tuple[Part, ...] = Field(default=("prompt",), min_length=1, description="what is matched")
    skip: tuple[str, ...] = Field(default=(), description="keys (or aliases) of benchmarks to leave out")
    allow_missing: bool = Field(
        default=False, description="go on without the benchmarks that have no file; the report lists them"
    )

    @model_validator(mode="after")
    def _bounds(self) -> DecontaminationSettings:
        if self.max_words < self.min_words:
            raise ValueError(f"max_words ({self.max_words}) is below min_words ({self.min_words})")
        if self.threshold != "auto" and self.threshold < 1:
            raise ValueError(f"threshold ({self.threshold}) is a number of documents: at least 1, or auto")
        if len(set(self.parts)) != len(self.parts):
            raise ValueError(f"parts {self.parts} name a part twice")
        return self
