"""Quality models in the web job: a column, a rule on it, and what a wrong path says."""

from __future__ import annotations

from pathlib import Path

import pyarrow.dataset as ds
import pytest
from click.testing import CliRunner

from filters.measures import Column
from jobs import web
from jobs.cli import main
from pipeline.engine import RunnerSettings
from pipeline.errors import UserError
from pipeline.stages import build_stages
from tests.jobs.corpus import write_jsonl

BARE = {"language": None, "safety": None, "pii": None, "lines": None, "rules": {}}


def test_documents_are_scored_and_a_rule_decides(tmp_path: Path) -> None:
    corpus = write_jsonl(tmp_path / "in.jsonl", 10)
    outputs = []
    for name, rules in (("all", {}), ("none", {"quality.score": {"min": 1.1}})):
        config = web.configure(None, [str(corpus)], overrides={**BARE, "classifier": {}, "rules": rules})
        web.run(config, str(tmp_path / name), RunnerSettings(workers=0))
        outputs.append(ds.dataset(tmp_path / name / "documents").to_table())
    scores = outputs[0]["quality.score"].to_pylist()
    assert scores
    assert all(0 <= score <= 1 for score in scores)
    assert outputs[1].num_rows == 0


@pytest.mark.parametrize(
    "settings", [{"classifier": {"model": "/no/such/model"}}, {"language_model": {"model": "/no/such/model"}}]
)
def test_a_model_that_is_not_there_is_said_before_anything_runs(tmp_path: Path, settings: dict) -> None:
    corpus = write_jsonl(tmp_path / "in.jsonl", 3)
    config = web.configure(None, [str(corpus)], overrides={**BARE, **settings})
    with pytest.raises(UserError, match="/no/such/model"):
        web.plan(config, str(tmp_path / "out"))


def test_the_language_model_s_columns_are_known_to_rules(tmp_path: Path) -> None:
    corpus = write_jsonl(tmp_path / "in.jsonl", 3)
    config = web.configure(
        None, [str(corpus)], overrides={**BARE, "language_model": {"model": "/no/such/model"}}
    )
    columns: list[Column] = [column for stage in build_stages(config.stages()) for column in stage.columns]
    assert {"lm.perplexity", "lm.bucket", "lm.unknown"} <= {column.name for column in columns}


def test_urls_are_measured_before_extraction_and_a_rule_decides(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_text("example.org\n")
    made = CliRunner().invoke(
        main, ["build", "blocklist", "--output", str(tmp_path / "bad.list"), str(tmp_path / "bad.txt")]
    )
    assert made.exit_code == 0, made.output
    corpus = write_jsonl(tmp_path / "in.jsonl", 6)
    config = web.configure(
        None,
        [str(corpus)],
        overrides={
            **BARE,
            "urls": {"path": str(tmp_path / "bad.list")},
            "rules": {"url.blocked": {"max": 0, "missing": "keep"}},
        },
    )
    outcome = web.run(config, str(tmp_path / "out"), RunnerSettings(workers=0))
    assert outcome.manifest["books"]["total"]["rejected"] == {"url.blocked": 6}


def test_a_block_list_that_is_not_there(tmp_path: Path) -> None:
    corpus = write_jsonl(tmp_path / "in.jsonl", 3)
    config = web.configure(None, [str(corpus)], overrides={**BARE, "urls": {"path": "/no/such.list"}})
    with pytest.raises(UserError, match=r"/no/such\.list"):
        web.plan(config, str(tmp_path / "out"))
