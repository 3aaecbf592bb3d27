"""Settings of global deduplication; every default with its source."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

Rule = Literal["quality", "longest", "newest", "oldest"]
"""Which copy is the better one. Documents without the value in question come last; ties go to the smaller id.
"""


class DedupSettings(BaseModel, frozen=True, extra="forbid"):
    """What counts as a duplicate, where duplicates are looked for, and which copy survives."""

    # Whether documents with one text are copies. Exact copies go first: they cost one record a document
    # instead of one a band, and do not enter the fuzzy stage.
    exact_text: bool = True
    # Whether documents with one URL (without scheme and fragment) are copies, where their texts differ.
    exact_url: bool = True
    # Which of the documents of one URL stands for them; the newest capture is the page as its author left it.
    exact_url_survivor: Rule = "newest"

    # Whether near-duplicates are looked for, by MinHash signatures.
    fuzzy: bool = True
    # 14 bands of 8 rows: FineWeb (Penedo et al. 2024, section 3.4). A pair at Jaccard .70/.75/.80/.85 becomes
    # a candidate with probability .565/.772/.924/.988 (1-(1-s^8)^14).
    bands: int = Field(default=14, ge=1, le=256)
    # Values of a signature in a band; bands x rows is what a signature needs at least.
    rows: int = Field(default=8, ge=1, le=64)

    # How candidates are checked: by the share of equal values of their signatures, by their sets of shingles
    # (reads the candidates' texts again), or not at all, as FineWeb does. Unchecked, 9 in 100 removed
    # documents of a planted corpus have no partner at Jaccard .7; checked by signatures, 2 or 3 in 1,000; by
    # shingles, none (docs/dedup.md).
    verify: Literal["signature", "exact", "none"] = "signature"
    # Smallest similarity of a candidate that holds. With signatures of 112 values .76 means 86 of them: the
    # smallest number that keeps removed documents without a partner at Jaccard .7 well below .5 % (.17 to .29
    # % in three planted corpora; .44 to .54 % at .75), and it connects 99.0 to 99.4 % of the pairs at .8 or
    # more, of which 99.6 to 99.7 % are connected by unchecked candidates (docs/dedup.md).
    threshold: float = Field(default=0.76, gt=0.0, le=1.0)
    # Words of a shingle, for `verify: exact`; must be what the signatures were made of (filters/minhash.py:
    # 5).
    shingle_words: int = Field(default=5, ge=1)

    # Where duplicates are looked for. The recipe deduplicates globally (AFM report, section 3.1.1); FineWeb
    # found each snapshot by itself better for 96 snapshots.
    scope: Literal["global", "snapshot", "source"] = "global"
    # How many documents of a cluster survive.
    keep: int = Field(default=1, ge=1)
    # Clusters of fewer documents (exact copies counted) are left alone. 2: no cluster is.
    min_cluster_size: int = Field(default=2, ge=2)
    # Which documents of a cluster survive; by default the best by `quality_column` where one is named, else
    # the longest.
    survivor: Rule | None = None
    # The measured column that says how good a document is: larger is better.
    quality_column: str | None = None

    # How connected components are found: union-find in one task, star steps over the engine, or by what
    # union-find needs.
    components: Literal["auto", "union_find", "stars"] = "auto"
    # What union-find may take in memory before `auto` chooses star steps: 3/16 B a document, 8 B a document
    # with an edge.
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
