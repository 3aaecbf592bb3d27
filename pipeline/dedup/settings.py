"""Settings of global deduplication; every default with its source."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

Rule = Literal["quality", "longest", "newest", "oldest"]
"""Which copy is the better one. Documents without the value in question come last; ties go to the smaller id.
"""


class DedupSettings(BaseModel, frozen=True, extra="forbid"):
    """What counts as a duplicate, where duplicates are looked for, and which copy survives."""

    # Copies that a hash finds; they go first, since they cost one record a document instead of one a band.
    exact_text: bool = True
    exact_url: bool = True
    # Two captures of one URL with different texts: the newest is the page as its author left it.
    exact_url_survivor: Rule = "newest"

    # 14 bands of 8 rows: FineWeb (Penedo et al. 2024, section 3.4). A pair at Jaccard .70/.75/.80/.85 becomes
    # a candidate with probability .565/.772/.924/.988 (1-(1-s^8)^14).
    fuzzy: bool = True
    bands: int = Field(default=14, ge=1, le=256)
    rows: int = Field(default=8, ge=1, le=64)

    # How candidates are checked. FineWeb's transitive closure of unchecked candidates removed 758 documents
    # in 12,000 that no partner at Jaccard .7 had; with signature estimates >= .75 it was 7 in 10,441
    # (research/kernels.md, 3b). `exact` compares the documents' sets of shingles, at the price of reading the
    # candidates' text again.
    verify: Literal["signature", "exact", "none"] = "signature"
    # .75 is where the bands' curve is steepest (a candidate more likely found than not from .67 on). At .80
    # the noise of a 112-value estimate (standard error .038) loses four times as many true pairs as it does
    # at .75 (kernels.md, 3b).
    threshold: float = Field(default=0.75, gt=0.0, le=1.0)
    # Words of a shingle, for `verify: exact`; must be what the signatures were made of (filters/minhash.py,
    # FineWeb: 5).
    shingle_words: int = Field(default=5, ge=1)

    # The recipe deduplicates globally (AFM report, section 3.1.1). FineWeb found per-snapshot better for 96
    # snapshots.
    scope: Literal["global", "snapshot", "source"] = "global"
    keep: int = Field(default=1, ge=1)
    # Clusters of fewer documents (exact copies counted) are left alone. 2: no cluster is.
    min_cluster_size: int = Field(default=2, ge=2)
    # Which documents of a cluster survive; by default the best by `quality_column` where one is named, else
    # the longest.
    survivor: Rule | None = None
    quality_column: str | None = None

    # Union-find in one task, star steps over the engine, or by what union-find would need in memory.
    components: Literal["auto", "union_find", "stars"] = "auto"
    union_find_bytes: int = Field(default=4 << 30, ge=1)

    # What the arrays of a reduce task may take, signatures that it reads apart (those are read in batches of
    # as much again). research/engines.md, section 3: choose partitions so that one is <= 128 MB.
    partition_bytes: int = Field(default=128 << 20, ge=1)
    # Documents of one map task and of one file of signatures: 262,144 x 448 B = 117 MB.
    task_rows: int = Field(default=262_144, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if "quality" in (self.survivor, self.exact_url_survivor) and self.quality_column is None:
            raise ValueError("a survivor by quality needs `quality_column`, the name of a measured column")
        return self

    @property
    def rule(self) -> Rule:
        """The survivor rule in force."""
        if self.survivor is not None:
            return self.survivor
        return "longest" if self.quality_column is None else "quality"
