"""The data card of a run: a README.md in the Hugging Face form, written from the same model as the report.

The front matter is made by a YAML writer, never by a template, so that a language called `no` or a title with
a colon in it stays what it is. Everything in the body that comes from the run is escaped for Markdown.
"""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import Any

import jinja2
import yaml

from pipeline.report import contamination_view, formats, hostile
from pipeline.report.advice import all_warnings
from pipeline.report.html import verdict
from pipeline.report.model import RunReport

DATA_FILES = "documents/*.parquet"
MOST_EXPOSED = 50
"""Benchmarks whose exposure the card shows."""

_SIZES = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"),
    (10**9, "100M<n<1B"),
    (10**10, "1B<n<10B"),
    (10**11, "10B<n<100B"),
    (10**12, "100B<n<1T"),
)
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~$!&])")


def write_card(report: RunReport) -> str:
    """The README.md of the output, with YAML front matter. The same report gives the same card."""
    total = report.total
    body = (
        _environment()
        .get_template("card.md.j2")
        .render(
            report=report,
            total=total,
            verdict=verdict(report),
            warnings=[warning for warning in all_warnings(report) if warning.level != "note"],
            languages=sorted(report.languages.items(), key=lambda item: (-item[1], item[0])),
            text_bytes=next((s.bytes_out for s in reversed(report.stages) if s.bytes_out is not None), None),
            data_files=DATA_FILES,
        )
    )
    front = yaml.safe_dump(front_matter(report), sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{front}---\n\n{body.strip()}\n"


def front_matter(report: RunReport) -> dict[str, Any]:
    """The card's metadata in the form that the Hugging Face Hub reads; an unknown licence is `other`."""
    by_count = sorted(report.languages, key=lambda code: (-report.languages[code], code))
    languages = [code for code in by_count if _LANGUAGE.fullmatch(code)]
    return {
        "license": report.license or "other",
        **({"language": languages} if languages else {}),
        "pretty_name": hostile.plain(report.title),
        "size_categories": [size_category(report.total.published)],
        "task_categories": ["text-generation"],
        "tags": ["corpusmill", "pretraining"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": DATA_FILES}]}],
    }


def size_category(documents: int) -> str:
    """The Hub's size category of a number of documents."""
    return next((name for limit, name in _SIZES if documents < limit), "n>1T")


def escape(text: object, limit: int = hostile.LABEL) -> str:
    """A piece of text for Markdown, on one line: none of it is markup, HTML, a link or a cell's end."""
    shown = _MARKDOWN.sub(r"\\\1", hostile.plain(str(text), limit))
    # Bare addresses become links on the Hub; the data's are not ours to link.
    return shown.replace("://", ":&#8203;//").replace("www.", "www&#46;")


def code(text: object, limit: int = hostile.LABEL) -> str:
    """A piece of text as inline code, also inside a table."""
    shown = hostile.plain(str(text), limit).replace("`", "ˋ").replace("|", "\\|")
    return f"`{shown}`" if shown else ""


def fenced(text: str) -> str:
    """A text of many lines as a fenced block whose fence no line of it can close."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}yaml\n{hostile.lines(text)}\n{fence}"


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(
            lambda name: resources.files("pipeline.report").joinpath(name).read_text(encoding="utf-8")
        ),
        autoescape=False,  # noqa: S701 - Markdown, escaped by `escape`, `code` and `fenced`
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": formats.number,
        "size": formats.size,
        "escape": escape,
        "code": code,
        "fenced": fenced,
    }
    environment.globals |= {
        "percent": formats.percent,
        "plural": formats.plural,
        "outcome_sentence": contamination_view.outcome_sentence,
        "exposed": contamination_view.exposed,
        "exposure_shares": contamination_view.exposure_shares,
        "known": contamination_view.known,
        "DEFINITIONS": contamination_view.DEFINITIONS,
        "MOST_EXPOSED": MOST_EXPOSED,
    }
    return environment
