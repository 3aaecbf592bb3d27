"""Summaries: they add up in any order, and count what the ledger says."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.chunks import HarvestedChunk
from pipeline.rules import Bound
from pipeline.summary import (
    Candidate,
    ChunkSummary,
    ReportRule,
    RuleSummary,
    SourceSummary,
    StageSummary,
    add_up,
    summarise,
)

RULES = [
    ReportRule(name="language", stage="language", bound=Bound(in_=("en",))),
    ReportRule(name="language_score", stage="language", bound=Bound(min=0.5), numeric=True),
    ReportRule(name="duplicates.fuzzy", stage="duplicates"),
    ReportRule(name="gopher.word_count", stage="quality", bound=Bound(min=10), numeric=True),
]
# id, language, score, words, status, stage, rule
ROWS = [
    ("a", "en", 0.9, 50, "kept", None, None),
    ("b", "de", 0.4, None, "rejected", "language", "language"),
    ("c", "en", 0.2, None, "rejected", "language", "language_score"),
    ("d", "en", 0.8, 40, "rejected", "duplicates", "duplicates.fuzzy"),
    ("e", "en", 0.7, 5, "rejected", "quality", "gopher.word_count"),
    ("f", None, None, None, "failed", "read", "warc.bad_gzip"),
    ("g", "en", 0.6, None, "failed", "quality", "ValueError"),
]


@pytest.fixture
def summary(tmp_path: Path) -> ChunkSummary:
    columns = list(zip(*ROWS, strict=True))
    table = pa.table(
        {
            "id": columns[0],
            "source": ["web"] * len(ROWS),
            "language": pa.array(columns[1], pa.string()),
            "language_score": pa.array(columns[2], pa.float32()),
            "gopher.word_count": pa.array(columns[3], pa.int32()),
            "text.bytes": pa.array([100] * 5 + [None, 100], pa.int64()),
        }
    )
    pq.write_table(table, tmp_path / "c.parquet")
    ledger = pa.table(
        {
            "status": pa.array(columns[4], pa.string()),
            "stage": pa.array(columns[5], pa.string()),
            "rule": pa.array(columns[6], pa.string()),
        }
    )
    chunk = HarvestedChunk(key="c", path=str(tmp_path / "c.parquet"), rows=len(ROWS))
    return summarise(chunk, ledger, RULES, examples=10)


def test_books(summary: ChunkSummary) -> None:
    books = summary.sources["web"]
    assert (books.read, books.published) == (7, 1)
    assert books.rejected == dict.fromkeys(
        ["language", "language_score", "duplicates.fuzzy", "gopher.word_count"], 1
    )
    assert books.failed == {"warc.bad_gzip": 1, "ValueError": 1}


def test_stages_and_bytes(summary: ChunkSummary) -> None:
    assert summary.stages["language"] == StageSummary(rejected=2, failed=0, text_bytes=200)
    assert summary.stages["quality"] == StageSummary(rejected=1, failed=1, text_bytes=200)
    assert summary.published_bytes == 100


def test_rules_count_what_reached_them_and_what_fails_in_any_order(summary: ChunkSummary) -> None:
    found = {name: (rule.reached, rule.rejected, rule.failing) for name, rule in summary.rules.items()}
    # "b" fails both rules of its stage; it is counted under the first, and fails the second in any order.
    assert found == {
        "language": (6, 1, 1),
        "language_score": (5, 1, 2),
        "duplicates.fuzzy": (4, 1, 1),
        "gopher.word_count": (2, 1, 1),
    }


def test_examples_are_the_dropped_and_the_kept(summary: ChunkSummary) -> None:
    rule = summary.rules["gopher.word_count"]
    assert [(each.id, each.value) for each in rule.dropped] == [("e", 5.0)]
    assert [(each.id, each.rank) for each in rule.kept] == [("a", 40.0)]


counts = st.dictionaries(st.sampled_from("xyz"), st.integers(0, 5))
candidates = st.lists(
    st.builds(
        Candidate,
        chunk=st.sampled_from(["c1", "c2"]),
        row=st.integers(0, 9),
        id=st.text("ab", max_size=2),
        rank=st.integers(0, 3).map(float),
    ),
    max_size=4,
)
summaries = st.lists(
    st.builds(
        ChunkSummary,
        documents=st.integers(0, 9),
        published_bytes=st.integers(0, 9),
        sources=st.dictionaries(
            st.sampled_from("st"),
            st.builds(SourceSummary, read=st.integers(0, 5), rejected=counts, failed=counts),
        ),
        stages=st.dictionaries(st.sampled_from("pq"), st.builds(StageSummary, rejected=st.integers(0, 5))),
        rules=st.dictionaries(
            st.sampled_from("mn"),
            st.builds(
                RuleSummary,
                reached=st.integers(0, 5),
                minimum=st.none() | st.floats(-5, 5),
                values=counts,
                dropped=candidates,
            ),
        ),
        languages=counts,
    ),
    max_size=4,
)


@given(summaries, st.randoms(use_true_random=False))
def test_summaries_add_up_in_any_order(parts: list[ChunkSummary], shuffle: object) -> None:
    expected = add_up(parts, 3)
    mixed = list(parts)
    shuffle.shuffle(mixed)  # type: ignore[attr-defined]
    assert add_up(mixed, 3) == expected
    assert expected.documents == sum(part.documents for part in parts)
