from __future__ import annotations

import re

import pytest
import yaml

from pipeline.report import write_card
from pipeline.report.card import code, escape, fenced, front_matter, size_category
from pipeline.report.model import Books, RunReport
from tests.pipeline.report.example import example_report
from tests.pipeline.report.test_html import ATTACK, empty_report, hostile_report

CARD = write_card(example_report())


def parts(card: str) -> tuple[dict[str, object], str]:
    match = re.fullmatch(r"---\n(.*?)\n---\n\n(.*)", card, re.DOTALL)
    assert match is not None
    front = yaml.safe_load(match.group(1))
    assert isinstance(front, dict)
    return front, match.group(2)


def test_the_front_matter_is_what_the_hub_reads() -> None:
    front, _ = parts(CARD)
    assert front == {
        "license": "other",
        "language": ["en"],
        "pretty_name": "English web, two crawls and three forums",
        "size_categories": ["n<1K"],
        "task_categories": ["text-generation"],
        "tags": ["corpusmill", "pretraining"],
        "configs": [
            {"config_name": "default", "data_files": [{"split": "train", "path": "documents/*.parquet"}]}
        ],
    }


def test_the_hub_library_reads_the_card() -> None:
    hub = pytest.importorskip("huggingface_hub")
    card = hub.DatasetCard(CARD)
    assert card.data.license == "other"
    assert card.data.language == ["en"]
    assert card.data.configs[0]["data_files"][0]["path"] == "documents/*.parquet"


def test_languages_that_yaml_mistakes_stay_languages() -> None:
    report = example_report().model_copy(
        update={"languages": {"en": 9, "no": 10, "zh-Hant": 1, "und!": 4, "": 2}}
    )
    front, _ = parts(write_card(report))
    assert front["language"] == ["no", "en", "zh-Hant"]


def test_a_stated_licence_is_kept() -> None:
    report = example_report().model_copy(update={"license": "odc-by"})
    front, body = parts(write_card(report))
    assert front["license"] == "odc-by"
    assert "licence of this data set is not stated" not in body
    assert "licence of this data set is not stated" in CARD


@pytest.mark.parametrize(
    ("documents", "name"),
    [
        (0, "n<1K"),
        (999, "n<1K"),
        (1000, "1K<n<10K"),
        (10**9 - 1, "100M<n<1B"),
        (10**9, "1B<n<10B"),
        (10**12, "n>1T"),
    ],
)
def test_size_categories(documents: int, name: str) -> None:
    assert size_category(documents) == name


def test_the_same_report_gives_the_same_card() -> None:
    again = RunReport.model_validate_json(example_report().model_dump_json())
    assert write_card(again) == CARD


@pytest.mark.parametrize(
    "report", [example_report(), empty_report(), hostile_report(ATTACK), hostile_report("a|b`c\nd")]
)
def test_tables_are_tables(report: RunReport) -> None:
    _, body = parts(write_card(report))
    body = re.sub(r"(?ms)^(`{3,}).*?^\1$", "", body)
    for table in re.findall(r"(?:^\|.*\n)+", body, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(widths) == 1, table


def test_paragraphs_are_one_blank_line_apart() -> None:
    for report in (example_report(), empty_report()):
        assert "\n\n\n" not in write_card(report)


def test_every_rule_stage_column_and_source_is_listed() -> None:
    report = example_report()
    for rule in report.rules:
        assert f"| `{rule.name}` | `{rule.bound}` | {rule.measured:,} | {rule.rejected:,} |" in CARD
    for stage in report.stages:
        assert f"| {stage.name} | {stage.entered:,} | {stage.removed:,} | {stage.remaining:,} |" in CARD
    assert "| `text` | `large_string` |" in CARD
    assert "| web/2026-30 | 410 |" in CARD


def test_hostile_text_does_nothing_in_markdown() -> None:
    _, body = parts(write_card(hostile_report(ATTACK)))
    outside = re.sub(r"(?ms)^(`{3,}).*?^\1$", "", body)
    outside = re.sub(r"`[^`\n]*`", "", outside)
    assert re.search(r"(?<!\\)<", outside) is None
    assert "\u202e" not in body
    assert "\x00" not in body


def test_a_title_cannot_end_the_front_matter() -> None:
    report = example_report().model_copy(update={"title": "a: b\n---\nlicense: mit # !!python/object"})
    front, body = parts(write_card(report))
    assert front["license"] == "other"
    assert front["pretty_name"] == "a: b --- license: mit # !!python/object"
    assert body.startswith("# a: b ")


def test_escapes() -> None:
    assert escape("*a* [b](c) <d> | e") == r"\*a\* \[b\](c) \<d\> \| e"
    assert "://" not in escape("https://example.org")
    assert code("a`b|c") == "`aˋb\\|c`"
    assert fenced("x\n````\ny").startswith("`````yaml\n")


def test_what_did_not_run_is_said() -> None:
    report = example_report().model_copy(update={"contamination": None, "duplicates": None})
    card = write_card(report)
    assert "**Decontamination did not run**" in card
    assert "**Deduplication did not run**" in card


def test_unbalanced_books_are_said() -> None:
    report = empty_report().model_copy(update={"books": {"a": Books(read=3, published=2)}})
    card = write_card(report)
    assert "**no**" in card
    assert "The books do not balance: a: 1 document unaccounted for" in card
    assert front_matter(report)["size_categories"] == ["n<1K"]
