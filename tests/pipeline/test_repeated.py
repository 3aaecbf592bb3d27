"""Lines that many documents share are removed by the whole job, and no others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from jobs import web
from pipeline import repeated
from pipeline.engine import RunnerSettings
from tests.jobs.corpus import article

NOTICE = "We and our 17 partners use small files to improve the site."


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    lines = []
    for number in range(12):
        notice = f"\n{NOTICE}" if number < 6 else ""
        lines.append(json.dumps({"url": f"https://example.org/{number}", "text": article(number) + notice}))
    path.write_text("\n".join(lines) + "\n")
    return path


def texts(output: Path, corpus: Path, **settings: Any) -> dict[str, tuple[str, int]]:
    config = web.configure(None, [str(corpus)], overrides={"reading": {"chunk_rows": 5}, **settings})
    web.run(config, str(output), RunnerSettings(workers=0))
    rows = ds.dataset(output / "documents").to_table().to_pylist()
    return {row["url"]: (row["text"], row.get("lines.repeated", -1)) for row in rows}


@pytest.mark.parametrize(("limit", "removed"), [(5, True), (6, False)])
def test_lines_above_the_limit_are_removed(
    tmp_path: Path, corpus: Path, limit: int, removed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeated, "PARTITION_BYTES", 2000)  # several partitions
    found = texts(tmp_path / "out", corpus, repeated_lines={"max_documents": limit, "min_words": 4})
    plain = texts(tmp_path / "plain", corpus)
    assert found.keys() == plain.keys()
    for number in range(12):
        text, count = found[f"https://example.org/{number}"]
        assert (NOTICE not in text) == (removed or number >= 6)
        assert count == (1 if removed and number < 6 else 0)
        assert text == plain[f"https://example.org/{number}"][0].replace(
            f"\n{NOTICE}", "" if removed else f"\n{NOTICE}"
        )
