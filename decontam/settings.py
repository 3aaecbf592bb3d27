"""The settings of decontamination, as they stand in a job's YAML."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Part = Literal["prompt", "choices", "answer", "passage"]

PARTS: tuple[Part, ...] = ("prompt", "choices", "answer", "passage")
"""The parts of a benchmark item, in the order in which they are indexed."""

LONGEST_N = 32
"""No n-gram of an index is longer; the recipe stops at 13."""


class DecontaminationSettings(BaseModel):
    """Which benchmarks are kept out of the documents, and by which rule."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    benchmarks: str | None = Field(
        default=None,
        description="the registry, a YAML file (docs/decontamination.md); none: no removal",
    )
    benchmark_root: str | None = Field(
        default=None,
        description="the folder of the benchmark files; none: that of their YAML, or benchmarks/ in it",
    )
    rule: Literal["item"] = Field(default="item", description="one n for each item: its words, at most 13")
    threshold: int | Literal["auto"] = Field(
        default=1000,
        description="n-grams that this many documents hold are common usage (AFM report: 1000); "
        "auto: 1000 at 6.5 GB of text and above, in proportion below, never under 10",
    )
    min_words: int = Field(default=4, ge=1, description="shorter items are not matched (AFM report: 4)")
    max_words: int = Field(default=13, le=LONGEST_N, description="the longest n (AFM report: 13)")
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
