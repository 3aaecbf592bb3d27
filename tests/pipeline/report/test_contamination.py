"""The contamination section: every figure is on the page, in order, and matches are marked and harmless."""

from __future__ import annotations

import re
from typing import Any

import pytest

from decontam.exposure import Exposure
from pipeline.report import hostile, write_card, write_report
from pipeline.report.advice import advise
from pipeline.report.contamination_view import (
    effect_table,
    exposed,
    exposure_shares,
    found_benchmarks,
    other_benchmarks,
    outcome_sentence,
    settings_of,
)
from pipeline.report.model import BenchmarkHits, ContaminationReport, Effect, Match, RunReport
from tests.pipeline.report.example import document, example_report
from tests.pipeline.report.test_html import Page, empty_report


def contamination(**fields: Any) -> ContaminationReport:
    given = {"documents": 1000, "removed": 0, "shortest": 4, "longest": 13} | fields
    return ContaminationReport(**given)


def report_of(**fields: Any) -> RunReport:
    return empty_report().model_copy(update={"contamination": contamination(**fields)})


def page_of(**fields: Any) -> Page:
    return Page(write_report(report_of(**fields)))


def benchmark(name: str, documents: int = 0, **fields: Any) -> BenchmarkHits:
    return BenchmarkHits(name=name, items=fields.pop("items", 100), documents=documents, **fields)


def exposure(name: str, dirty: int = 0, share: float | None = 0.0) -> Exposure:
    return Exposure(
        benchmark=name,
        items=100,
        gpt3_n=9,
        gpt3_measurable=80,
        gpt3_dirty=dirty,
        palm_measurable=70,
        palm_contaminated=7,
        llama2_measurable=60,
        llama2_clean=55,
        llama2_not_clean=5,
        llama2_not_dirty=57,
        llama2_dirty=3,
        llama3_measurable=50,
        llama3_above_half=2,
        llama3_mean_share=share,
    )


def test_a_report_without_the_new_figures_still_says_what_it_has() -> None:
    page = page_of(benchmarks=[benchmark("a", 3), benchmark("b")], removed=3)
    assert "1,000 documents compared with 2 benchmarks" in page.text
    assert "3 documents with a match (0.3%), 3 removed." in page.text
    assert "matchable" not in page.text
    assert "GPT-3" not in page.text
    assert "What each rule and threshold would remove" not in page.text


# ---- rule, unit, threshold


def test_the_settings_say_where_they_come_from() -> None:
    shown = {name: (value, remark) for name, value, remark in settings_of(example_report().contamination)}
    assert shown["Rule"] == ("item", "one n for each item: its words, at most 13")
    assert shown["Removed"] == ("document", "the whole document")
    assert shown["Common usage from"][0] == "10 documents"
    assert shown["Common usage from"][1].startswith("auto: 1000 at 6.5 GB")
    assert shown["Usage counted in"] == ("/data/usage/web-2026.parquet", "4,211,003 documents more")
    assert shown["Parts compared"] == ("prompt, choices", "")
    text = Page(write_report(example_report())).text
    for value, remark in shown.values():
        assert value in text
        assert remark in text


def test_a_forced_rule_is_said() -> None:
    forced = contamination(rule="any", forced=True, removed=900)
    assert ("Rule", "any", "every n from 4 to 13; forced: this corpus is too small for it") in settings_of(
        forced
    )
    assert "The rule any was forced on a small corpus" in {
        each.title for each in advise(report_of(**dict(forced)))
    }


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"unit": "document", "removed": 2}, "2 documents with a match (0.2%), 2 removed."),
        ({"unit": "none", "contaminated": 1}, "1 document with a match (0.1%), none removed."),
        (
            {"unit": "span", "removed": 1, "edited": 4, "removed_characters": 2012},
            "5 documents with a match (0.5%): 1 removed, 4 published, 2,012 characters shorter in all.",
        ),
        ({"unit": "section", "edited": 4}, "4 documents with a match (0.4%): 0 removed, 4 published."),
    ],
)
def test_what_became_of_the_documents(fields: dict[str, Any], sentence: str) -> None:
    assert outcome_sentence(contamination(**fields)) == sentence
    assert sentence in page_of(**fields).text


def test_published_contamination_is_warned_of() -> None:
    titles = {each.title for each in advise(report_of(unit="none", contaminated=1))}
    assert "Contaminated documents were published" in titles
    assert "Contaminated documents were published" not in {
        each.title for each in advise(report_of(unit="none"))
    }


# ---- effects


EFFECTS = [
    Effect(rule=rule, threshold=threshold, documents=documents)
    for rule, threshold, documents in (
        ("any", 100, 820),
        ("item", 1000, 46),
        ("item", 100, 13),
        ("any", 1000, 869),
        ("item", 10, 11),
    )
]


def test_rules_and_thresholds_stand_side_by_side() -> None:
    table = effect_table(contamination(effects=EFFECTS, rule="item", common_usage=1000))
    assert table.thresholds == [10, 100, 1000]
    assert [rule for rule, _ in table.rows] == ["item", "any"]
    counts = [[cell.effect and cell.effect.documents for cell in cells] for _, cells in table.rows]
    assert counts == [[11, 13, 46], [None, 820, 869]]
    assert [[cell.chosen for cell in cells] for _, cells in table.rows] == [[False, False, True], [False] * 3]


def test_the_chosen_effect_is_marked_once() -> None:
    page = page_of(effects=EFFECTS, rule="item", common_usage=1000)
    chosen = [attributes for attributes in page.all("td") if "chosen" in attributes.get("class", "")]
    assert len(chosen) == 1
    assert "46 (chosen)" in page.text
    assert "4.6%" in page.text
    assert "86.9%" in page.text


# ---- benchmarks


def test_benchmarks_by_documents_and_the_others_apart() -> None:
    benchmarks = [
        benchmark("quiet/b"),
        benchmark("few", 1),
        benchmark("many", 9),
        benchmark("found", 0, items_found=2),
        benchmark("published", 0, exposure=exposure("published", dirty=1)),
        benchmark("quiet/a", items_found=0),
    ]
    report = contamination(benchmarks=benchmarks)
    assert [each.name for each in found_benchmarks(report)] == ["many", "few", "found", "published"]
    assert [each.name for each in other_benchmarks(report)] == ["quiet/a", "quiet/b"]
    assert "2 benchmarks without a hit" in page_of(benchmarks=benchmarks).text


def test_every_figure_of_a_benchmark_is_on_the_page() -> None:
    hits = benchmark(
        "b",
        7,
        items=1234,
        matchable=1111,
        too_short=99,
        template=24,
        items_found=31,
        exposure=exposure("b", dirty=20, share=0.0625),
        template_texts=["answer the following question"],
        columns_read="prompt read from text",
    )
    page = page_of(benchmarks=[hits])
    cells = [attributes["data-label"] for attributes in page.all("td") if "data-label" in attributes]
    assert cells == [
        *("Items", "Matchable", "Too short", "Template", "Found", "Removed"),
        *("GPT-3", "PaLM", "Llama 2", "Llama 3"),
        *("GPT-3", "PaLM", "Llama 2", "Llama 3"),  # the counts behind them
    ]
    for figure in ("1,234", "1,111", "99", "24", "31", "25.0%", "10.0%", "5.0%", "6.2%"):
        assert re.search(rf"(?<![\d.,]){re.escape(figure)}", page.text), figure
    assert "N = 9: 20 of 80 items dirty" in page.text
    assert "of 60 items: 55 clean, 5 not clean, 57 not dirty, 3 dirty" in page.text
    assert "b100 items" in page.text
    assert "b: prompt read from text" in page.text
    assert "“answer the following question”" in page.text


def test_exposure_that_was_not_measured_is_a_dash() -> None:
    assert [share.text for share in exposure_shares(None)] == ["–"] * 4
    assert exposure_shares(exposure("b", share=None))[3].text == "–"
    page = page_of(benchmarks=[benchmark("a", 1, exposure=exposure("a")), benchmark("b", 1)])
    assert page.text.count("–") >= 4


def test_the_most_exposed_come_first() -> None:
    benchmarks = [
        benchmark("low", exposure=exposure("low", share=0.1)),
        benchmark("high", exposure=exposure("high", share=0.2)),
        benchmark("not measured"),
    ]
    assert [name for name, _ in exposed(benchmarks)] == ["high", "low"]


def test_every_benchmark_of_many_is_there() -> None:
    benchmarks = [benchmark(f"bench-{n:03}", n % 2, matchable=90) for n in range(811)]
    text = page_of(benchmarks=benchmarks).text
    assert all(each.name in text for each in benchmarks)
    assert "385 more benchmarks with hits" in text
    assert "406 benchmarks without a hit" in text


def test_what_was_not_compared_is_listed() -> None:
    text = page_of(skipped=["left/out"], missing=["no/file"]).text
    assert "1 benchmark not compared, left out on request: left/out" in text
    assert "1 benchmark not compared, without a file: no/file" in text
    many = page_of(missing=[f"no/file-{n}" for n in range(400)])
    assert "400 benchmarks not compared, without a file" in many.text
    assert "no/file-399" in many.text
    assert len(many.all("details")) == 1
    (warning,) = [each for each in advise(report_of(missing=["no/file"])) if "not compared" in each.title]
    assert warning.detail == "no/file"


def test_exempted_ngrams_name_their_item() -> None:
    text = Page(write_report(example_report())).text
    assert "The commonest exempt n-grams: 2 of 38" in text
    assert "as soon as possible" in text
    assert "bigbench/mult_data_wrangling 77" in text


# ---- matches


def match_of(**fields: Any) -> Match:
    given = {"document": document(3), "item": "test/1", "n": 5, "words": "a b c d e"} | fields
    return Match(**given)


def test_a_match_is_marked_in_its_context() -> None:
    match = match_of(
        before="before ", match="A b\nC d e", after=" after", part="passage", documents=2, shared_by=4
    )
    html = write_report(report_of(benchmarks=[benchmark("b", 1, matches=[match])]))
    assert '<bdi dir="auto">before <mark>A b <span class="nl">↵</span> C d e</mark> after</bdi>' in html
    text = Page(html).text
    for words in ("5-gram “a b c d e”", "item test/1, passage", "in 2 documents", "shared by 4 item parts"):
        assert words in text
    assert match.document.text[:30] not in text


def test_a_match_without_context_shows_the_document() -> None:
    html = write_report(report_of(benchmarks=[benchmark("b", 1, matches=[match_of()])]))
    assert "<mark>" not in html
    assert match_of().document.text[:30] in Page(html).text


def test_surroundings_are_cut_on_the_far_side() -> None:
    shown = str(hostile.passage("x" * 500, "m", "y" * 500, limit=100))
    assert f">…{'x' * 50}<mark>m</mark>{'y' * 50}…<" in shown


def test_a_long_match_is_cut_inside() -> None:
    shown = str(hostile.passage("", "a" + "b" * 1000 + "c", "", limit=100))
    assert f"<mark>a{'b' * 99} … " in shown
    assert "802 characters" in shown
    assert f" … {'b' * 99}c</mark>" in shown


@pytest.mark.parametrize("place", ["before", "match", "after"])
def test_nothing_in_a_context_acts(place: str) -> None:
    attack = {place: "</mark><script>alert(1)</script>\u202e\x1b[2J"}
    page = page_of(benchmarks=[benchmark("b", 1, matches=[match_of(**{"match": "m"} | attack)])])
    assert len(page.all("script")) == 1
    assert len(page.all("mark")) == 1
    assert "<script>alert(1)</script>" in page.text
    assert "U+202E" in page.text


# ---- the card


def test_the_card_shows_the_exposure() -> None:
    benchmarks = [benchmark("a/b", exposure=exposure("a/b", dirty=20, share=0.5)), benchmark("c")]
    card = write_card(report_of(benchmarks=benchmarks))
    assert "| `a/b` | 100 | 25.0% | 10.0% | 5.0% | 50.0% |" in card
    clean = exposure("c").model_copy(update={"palm_contaminated": 0, "llama2_not_clean": 0})
    card = write_card(report_of(benchmarks=[benchmark("c", exposure=clean)]))
    assert "None of the benchmarks compared is in the published documents" in card
    assert "GPT-3" not in write_card(report_of(benchmarks=[benchmark("c")]))


def test_the_card_names_what_was_not_compared() -> None:
    assert "Not compared: left/out, no/file." in write_card(
        report_of(skipped=["left/out"], missing=["no/file"])
    )


def test_a_long_list_of_exposed_benchmarks_is_cut() -> None:
    benchmarks = [benchmark(f"b{n:03}", exposure=exposure(f"b{n:03}", share=0.5)) for n in range(60)]
    card = write_card(report_of(benchmarks=benchmarks))
    assert "The 50 highest of 60;" in card
    assert "`b049`" in card
    assert "`b050`" not in card
