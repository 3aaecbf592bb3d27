"""The `extract` command: web pages in, their text and what they say about themselves out; no filter.

It is the web job with every other stage switched off, so it has the same sources, ledger, books, resume and report. Every
page is a row of `documents/`: one without a body has an empty text. What could not be read, or made the extractor fail, is a
row of `failed/`.
"""

from __future__ import annotations

from typing import Any

from pipeline.config import JobConfig, absolute, validate
from pipeline.errors import UserError
from pipeline.run import Plan, plan_run

SETTINGS = ("extractor", "structure", "comments", "tables", "formulas")
"""Options of the command that are settings of the extraction stage, by the same names."""


def configure(options: dict[str, Any]) -> JobConfig:
    """The configuration that the command's options stand for: `inputs`, `html_column` and `SETTINGS`.

    WARC files hold pages; in Parquet and JSONL the page is the column `html_column`, already decoded.

    Raises:
        UserError: for a missing or impossible option.
    """
    if not options["inputs"]:
        raise UserError("--input is missing; --help shows the options.")
    content = {
        "sources": {
            "input": {
                "input": [absolute(path) for path in options["inputs"]],
                "columns": {"text": options["html_column"]},
            }
        },
        "extraction": {"html_in_text": True, **{name: options[name] for name in SETTINGS}},
        "language": None,
        "safety": None,
        "pii": None,
        "lines": None,
        "quality": False,
        "dedup": None,
    }
    return validate(JobConfig, content, "extract")


def plan(options: dict[str, Any], output: str) -> Plan:
    """Resolve the job: inputs and splits. Reads no document."""
    return plan_run("extract", configure(options), absolute(output))
