from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from pipeline.report import RunReport, verdict, write_report
from pipeline.report.html import _resource
from pipeline.report.model import (
    BenchmarkHits,
    Books,
    Cluster,
    ColumnNote,
    ContaminationReport,
    DuplicateReport,
    Example,
    FailureGroup,
    InputFile,
    Match,
    NgramCount,
    RuleReport,
    RunWarning,
    StageCount,
    Timing,
    UsageTable,
    ValueCount,
)
from tests.pipeline.report.example import example_report

VOID = {"meta", "br", "img", "link", "input", "hr"}
ATTACK = (
    "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202egnp.exe\x00\x1b[31m"
    "</style></title></pre>{{ 7*7 }}"
)


class Page(HTMLParser):
    """The page's elements in order, with the nesting checked."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    def all(self, *tags: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.elements if tag in tags]

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


def hostile_report(text: str) -> RunReport:
    """A report in which every string is the given text."""
    example = Example(id=text, url=text, title=text, source=text, value=text, text=text)
    link = Example(id="1", url=f"https://example.org/{text}", value=1.5)
    return RunReport(
        job=text,
        title=text,
        output=text,
        created=text,
        corpusmill_version=text,
        versions={text: text},
        inputs=[InputFile(path=text, bytes=1, documents=1)],
        stages=[StageCount(name=text, entered=2, rejected=1, failed=0, bytes_out=3)],
        books={text: Books(read=3, published=1, rejected={text: 1}, failed={text: 1})},
        rules=[
            RuleReport(
                name=text,
                stage=text,
                bound=text,
                source_note=text,
                measured=2,
                rejected=1,
                values=[ValueCount(value=text, count=2, rejected=True)],
                dropped=[example, link],
                kept=[example],
            )
        ],
        duplicates=DuplicateReport(
            documents=2,
            removed={text: 1},
            sizes={2: 1},
            method=text,
            clusters=[Cluster(size=3, kind=text, survivor=example, members=[example])],
        ),
        contamination=ContaminationReport(
            documents=2,
            removed=1,
            shortest=4,
            longest=13,
            common_usage=1000,
            parts=(text,),
            threshold_note=text,
            usage=UsageTable(path=text),
            common=[NgramCount(words=text, count=1, benchmark=text, item=text)],
            benchmarks=[
                BenchmarkHits(
                    name=text,
                    items=1,
                    documents=1,
                    matches=[
                        Match(document=example, item=text, n=4, words=text),
                        Match(
                            document=example,
                            item=text,
                            n=4,
                            words=text,
                            part=text,
                            before=text,
                            match=text,
                            after=text,
                        ),
                    ],
                ),
                BenchmarkHits(name=text, items=1, documents=0, template_texts=[text], columns_read=text),
            ],
            skipped=[text],
            missing=[text],
        ),
        failures=[FailureGroup(reason=text, count=1, examples=[example])],
        timings=[Timing(stage=text, wall=1, cpu=1, documents=2)],
        warnings=[RunWarning(title=text, detail=text, advice=text)],
        config_yaml=text,
        languages={text: 1},
        columns=[ColumnNote(name=text, type=text, about=text)],
        license=text,
    )


def empty_report() -> RunReport:
    return RunReport(job="web", title="Nothing", output="out", corpusmill_version="0")


REPORTS = {"example": example_report(), "empty": empty_report(), "hostile": hostile_report(ATTACK)}
PAGES = {name: write_report(report) for name, report in REPORTS.items()}
every_page = pytest.mark.parametrize("name", list(PAGES))


@every_page
def test_the_same_report_gives_the_same_page(name: str) -> None:
    again = RunReport.model_validate_json(REPORTS[name].model_dump_json())
    assert write_report(again) == PAGES[name]


@every_page
def test_the_page_loads_nothing_and_runs_nothing_foreign(name: str) -> None:
    page = Page(PAGES[name])
    for tag, attributes in page.elements:
        assert tag not in {
            "link",
            "img",
            "iframe",
            "object",
            "embed",
            "form",
            "base",
            "image",
            "use",
            "foreignobject",
        }
        assert not any(attribute.startswith("on") for attribute in attributes)
        assert not {"src", "srcset", "style", "xlink:href", "action"} & set(attributes)
    assert len(page.all("script")) == len(page.all("style")) == 1
    assert "url(" not in PAGES[name].replace("'url'", "")
    assert "@import" not in PAGES[name]


@every_page
def test_links_lead_inside_or_send_nothing_along(name: str) -> None:
    page = Page(PAGES[name])
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for attributes in page.all("a"):
        if attributes["href"].startswith("#"):
            assert attributes["href"][1:] in ids
        else:
            assert re.match("https?://", attributes["href"])
            assert attributes["rel"] == "noopener noreferrer nofollow"


@every_page
def test_the_policy_names_the_style_and_the_script_by_hash(name: str) -> None:
    text = PAGES[name]
    (policy,) = [meta["content"] for meta in Page(text).all("meta") if "http-equiv" in meta]
    assert policy.startswith("default-src 'none';")
    for tag in ("style", "script"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


@every_page
def test_headings_and_tables_have_their_markup(name: str) -> None:
    page = Page(PAGES[name])
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all("scope" in attributes for attributes in page.all("th"))
    assert [attributes["lang"] for attributes in page.all("html")] == ["en"]
    for attributes in page.all("svg"):
        assert attributes.get("aria-hidden") == "true" or attributes.get("role") == "img"


def test_hostile_text_is_shown_and_does_nothing() -> None:
    text = PAGES["hostile"]
    for gone in ("<script>alert", "<img", "\u202e", "\x00", "\x1b", "</pre>{{"):
        assert gone not in text
    page = Page(text)
    assert "<script>alert(1)</script>" in page.text
    assert "U+202E" in page.text
    assert "{{ 7*7 }}" in page.text
    assert not [link for link in page.all("a") if not link["href"].startswith("#")]


@pytest.mark.parametrize(
    "text", ["x" * 2**20, "\u202e" * 2**20, "<b>" * 350_000, "a\u0301\u0302\u0303\u0304\u0305" * 150_000]
)
def test_long_strings_are_cut(text: str) -> None:
    page = write_report(hostile_report(text).model_copy(update={"config_yaml": ""}))
    assert len(page) < 300_000
    Page(page)


def test_the_verdict_says_it_all() -> None:
    books = Books(read=1228, published=612, rejected={"a": 600, "b": 10}, failed={"c": 6})
    report = empty_report().model_copy(update={"books": {"web": books}})
    assert verdict(report) == (
        "1,228 documents read, 612 published (49.8%), 610 rejected, 6 failed; the books balance."
    )
    assert verdict(report).replace(" ", "") in Page(write_report(report)).text.replace("\xa0", "").replace(
        " ", ""
    )


def test_books_that_do_not_balance_are_loud() -> None:
    report = empty_report().model_copy(
        update={
            "books": {
                "a": Books(read=10, published=9),
                "b": Books(read=1, published=2),
                "c": Books(read=1, published=1),
            }
        }
    )
    assert verdict(report).endswith("the books of 2 sources do not balance.")
    text = Page(write_report(report)).text
    assert "✗ 1 missing" in text
    assert "✗ 1 too many" in text
    assert text.count("✓ balances") == 1  # source c; in the total loss and surplus cancel, and it says so
    assert "✗ see above" in text


def test_every_figure_of_the_rules_is_on_the_page() -> None:
    text = Page(PAGES["example"]).text
    for rule in REPORTS["example"].rules:
        assert f"{rule.rejected:,} of {rule.measured:,} rejected" in text
        assert rule.bound in text
    for stage in REPORTS["example"].stages:
        assert stage.name in text
        assert f"{stage.remaining:,}" in text
    assert "10 kept, nearest to the threshold" in text
    assert "# The web recipe, shortened." in text


def test_small_sources_share_a_column() -> None:
    books = {f"s{i:02}": Books(read=100 - i, published=90 - i, rejected={"r": 10}) for i in range(12)}
    page = Page(write_report(empty_report().model_copy(update={"books": books})))
    assert "4 others" in page.text
    assert "120" in page.text


def test_many_inputs_are_not_all_listed() -> None:
    inputs = [InputFile(path=f"file-{i:04}.warc.gz", bytes=1, documents=1) for i in range(1000)]
    text = Page(write_report(empty_report().model_copy(update={"inputs": inputs}))).text
    assert "file-0199" in text
    assert "file-0200" not in text
    assert "and 800 more" in text


def test_open_ended_lists_are_folded_or_cut() -> None:
    benchmarks = [BenchmarkHits(name=f"bench-{i:03}", items=9, documents=1 + i) for i in range(60)]
    found = ContaminationReport(documents=99, removed=60, shortest=4, longest=13, benchmarks=benchmarks)
    failures = [FailureGroup(reason=f"reason-{i:03}", count=1 + i) for i in range(60)]
    text = Page(
        write_report(empty_report().model_copy(update={"contamination": found, "failures": failures}))
    ).text
    assert "40 more benchmarks with hits" in text
    assert "bench-000" in text
    assert text.index("bench-059") < text.index("bench-058") < text.index("40 more benchmarks")
    assert "and 40 more reasons for 820 documents" in text
    assert "reason-040" in text
    assert "reason-039" not in text


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_told_apart(scheme: str) -> None:
    style = _resource("style.css")
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", blocks[0]))
    if scheme == "dark":
        colours |= dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", blocks[1]))
    for ink in ("ink", "muted", "link", "rejected-ink", "failed-ink", "good-ink", "warn-ink"):
        for ground in ("page", "panel"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    for ink, ground in (("ink", "shade"), ("muted", "shade"), ("rejected-ink", "shade"), ("ink", "sunk")):
        assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    for shape in ("kept", "rejected", "failed", "mixed"):
        assert contrast(colours[shape], colours["panel"]) >= 3, shape
