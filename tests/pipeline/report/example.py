"""A made-up web run of 1,228 documents, decided rule by rule from drawn values, so that all figures agree."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from decontam.exposure import Exposure
from pipeline.report.histograms import choose_edges, count_values, limits_of
from pipeline.report.model import (
    BenchmarkHits,
    Books,
    Cluster,
    ColumnNote,
    ContaminationReport,
    DuplicateReport,
    Effect,
    Example,
    FailureGroup,
    Histogram,
    InputFile,
    Match,
    NgramCount,
    RuleReport,
    RunReport,
    RunWarning,
    StageCount,
    Timing,
    UsageTable,
    ValueCount,
)

READ = 1228
SOURCES = ("web/2026-30", "web/2026-34", "forums")

TEXTS = (
    "The lighthouse at Skerryvore was built between 1838 and 1844 by Alan Stevenson, on a reef "
    "twelve miles from the nearest land.\nEvery block of granite was dressed ashore and carried out "
    "by a small steamer when the sea allowed; in the first winter the barrack on the rock was swept "
    "away whole.\n\nStevenson wrote that of the 120 days of the season his men could land on 41.",
    "Sourdough needs three things: flour, water and patience. Begin with equal weights of flour and "
    "water, stir, cover loosely, and wait a day. Discard half, feed again, and by the fifth or sixth "
    "day the jar smells of yoghurt and apples.",
    "Home | Products | About us | Contact\nFree shipping on orders over $50!\nAdd to cart\nAdd to "
    "cart\nAdd to cart\nCustomers also bought\nAdd to cart\nSign in to see your price",
    "Q: My 2009 hatchback stalls at idle once warm, and restarts at once. No code is stored.\nA: "
    "Check the idle air control valve first. Clean the throttle body, then look for a split in the "
    "vacuum hose behind the airbox. Mine was cracked on the underside.",
    "Die Wanderung beginnt am Bahnhof und führt zunächst entlang des Baches bis zur alten Mühle. Von "
    "dort steigt der Weg steil durch den Buchenwald an; nach etwa einer Stunde erreicht man die "
    "Hütte.",
    "best cheap watches best cheap watches online best cheap watches sale best cheap watches 2026 "
    "best cheap watches replica best cheap watches shop best cheap watches discount",
    "Let f be continuous on [a, b] with f(a) < 0 < f(b). Then there is c in (a, b) with f(c) = 0. "
    "Proof. Let S be the set of x in [a, b] with f(x) < 0, and let c = sup S. If f(c) were negative, "
    "continuity would give a larger element of S…",
    "هذه المقالة عن تاريخ الملاحة في المحيط الهندي، من الرياح الموسمية إلى أولى الخرائط التي رسمها "
    "البحارة العرب.",
)
TITLES = (
    "Skerryvore: a lighthouse on a reef",
    "Sourdough in a week",
    "Shop — 404 deals",
    "Stalls at idle when warm [SOLVED]",
    "Rundweg zur alten Mühle",
    "Best cheap watches 2026",
    "The intermediate value theorem",
    "الملاحة في المحيط الهندي",
)
HOSTS = (
    "lights.example.org",
    "bread.example.com",
    "shop.example.net",
    "forum.example.com",
    "wandern.example.de",
)

RULES = (
    # stage, name, bound, how its values are drawn, note
    ("Language", "language", "in [en]", "language", "the recipe is English only"),
    ("Language", "language_score", "min 0.65", "score", "DCLM, Li et al. 2024"),
    ("Safety", "safety.score", "max 0.8", "unsafe", "lenient by intent: AFM report, 3.1.1"),
    ("Safety", "url.blocklist", "max 0", "never", "UT1 list"),
    ("Gopher quality", "gopher.word_count", "min 50, max 100000", "words", "Rae et al. 2021, A1.1"),
    ("Gopher quality", "gopher.mean_word_length", "min 3, max 10", "length", "Rae et al. 2021, A1.1"),
    ("Gopher quality", "gopher.symbol_ratio", "max 0.1", "symbols", "Rae et al. 2021, A1.1"),
    ("Gopher quality", "gopher.stop_words", "min 2", "stops", "Rae et al. 2021, A1.1"),
    (
        "Repetition",
        "fineweb.duplicate_line_chars",
        "max 0.01",
        "repeats",
        "FineWeb, table 2 (its text says 0.1)",
    ),
    ("Repetition", "gopher.top_2_gram", "max 0.2", "top", "Rae et al. 2021, A1.1"),
    ("Repetition", "fineweb.newline_ratio", "max 0.3", "newlines", "FineWeb, Penedo et al. 2024"),
    ("Classifier", "quality.score", "min 0.4", "quality", None),
)

CONFIG = """\
# The web recipe, shortened.
job: web
sources:
  web/2026-30: {paths: [crawl/2026-30/*.warc.gz]}
  web/2026-34: {paths: [crawl/2026-34/*.warc.gz]}
  forums:      {paths: [forums/*.jsonl.zst]}
rules:
  language:                     {in: [en]}
  language_score:               {min: 0.65}            # DCLM
  gopher.word_count:            {min: 50, max: 100000} # Rae et al. 2021, A1.1
  fineweb.duplicate_line_chars: {max: 0.01}            # table 2; the text's 0.1 is a slip
deduplication: {bands: 14, rows: 8, verify: 0.8}
decontamination: {ngrams: [4, 13], common_usage: 1000}
"""


@dataclass
class _Run:
    """Which documents are still alive, and what was written down about the others."""

    random: np.random.Generator
    alive: np.ndarray = field(default_factory=lambda: np.arange(READ))
    fate: dict[int, tuple[str, str]] = field(default_factory=dict)
    stages: list[StageCount] = field(default_factory=list)
    rules: list[RuleReport] = field(default_factory=list)

    def remove(self, documents: np.ndarray, kind: str, reason: str) -> None:
        self.fate |= {int(document): (kind, reason) for document in documents}
        self.alive = np.setdiff1d(self.alive, documents)

    def pick(self, count: int) -> np.ndarray:
        return self.random.choice(self.alive, count, replace=False)

    def stage(self, name: str, before: np.ndarray) -> None:
        gone = Counter(self.fate[int(document)][0] for document in np.setdiff1d(before, self.alive))
        self.stages.append(
            StageCount(
                name=name,
                entered=len(before),
                rejected=gone["rejected"],
                failed=gone["failed"],
                bytes_in=len(before) * 4127,
                bytes_out=len(self.alive) * 4127,
            )
        )


def draw(kind: str, count: int, random: np.random.Generator) -> np.ndarray:
    """Values of a column as the web has them: heaped at zero, skewed, or with a long tail."""
    zero_or = {
        "unsafe": (0.7, 0.9),
        "symbols": (0.6, 0.02),
        "repeats": (0.62, 0.05),
        "top": (0.05, 0.06),
        "newlines": (0.1, 0.08),
    }
    if kind in zero_or:
        zeros, mean = zero_or[kind]
        values = np.where(random.random(count) < zeros, 0.0, random.exponential(mean, count))
        return np.minimum(values, 37.0 if kind == "symbols" else 1.0).astype(np.float32)
    return {
        "language": lambda: random.choice(
            ["en", "de", "fr", "ru", "ja", "und"], count, p=[0.8, 0.07, 0.05, 0.04, 0.03, 0.01]
        ),
        "score": lambda: np.clip(random.beta(9, 1.2, count), 0, 1).astype(np.float32),
        "never": lambda: np.zeros(count, np.int32),
        "words": lambda: random.lognormal(6.1, 1.3, count).astype(np.int64),
        "length": lambda: np.where(random.random(count) < 0.01, 400.0, random.normal(4.8, 0.7, count)),
        "stops": lambda: random.binomial(8, 0.75, count),
        "quality": lambda: np.where(random.random(count) < 0.02, np.nan, random.beta(2.4, 2.2, count)),
    }[kind]()


def document(number: int, value: object = None) -> Example:
    """The made-up document of a number."""
    kind = number % len(TEXTS)
    host = HOSTS[number % len(HOSTS)]
    slug = TITLES[kind][:12].strip().lower().replace(" ", "-")
    return Example(
        id=f"{number * 2654435761 % 2**128:032x}",
        url=f"https://{host}/{2019 + number % 8}/{number:05d}/{slug}.html",
        title=TITLES[kind],
        source=SOURCES[number % 3],
        value=value,
        text=TEXTS[kind] * (1 + number % 3),
    )


def _decide(run: _Run, stage: str, name: str, bound: str, kind: str, note: str | None) -> None:
    values = draw(kind, len(run.alive), run.random)
    limits = limits_of(bound)
    if kind == "language":
        bad, distance = values != "en", np.zeros(len(values))
    else:
        bad = (values < (limits.minimum if limits.minimum is not None else -np.inf)) | (
            values > (limits.maximum if limits.maximum is not None else np.inf)
        )
        distance = np.abs(values - (limits.minimum if limits.minimum is not None else limits.maximum))
    reached = run.alive
    order = np.argsort(distance, kind="stable")
    dropped = [document(int(reached[i]), values[i].item()) for i in np.flatnonzero(bad)[:10]]
    kept = [document(int(reached[i]), values[i].item()) for i in order if not bad[i]][:10]
    run.rules.append(
        RuleReport(
            name=name,
            stage=stage,
            bound=bound,
            source_note=note,
            measured=len(values),
            rejected=int(bad.sum()),
            would_reject=int(bad.sum() * 1.3) if stage == "Repetition" else None,
            histogram=None if kind == "language" else _histogram(values, bound),
            values=_values(values) if kind == "language" else None,
            dropped=dropped,
            kept=kept,
        )
    )
    run.remove(reached[bad], "rejected", name)


def _values(values: np.ndarray) -> list[ValueCount]:
    return [
        ValueCount(value=v, count=n, rejected=v != "en") for v, n in Counter(values.tolist()).most_common()
    ]


def _histogram(values: np.ndarray, bound: str) -> Histogram:
    edges, scale = choose_edges(float(np.nanmin(values)), float(np.nanmax(values)), bound, dtype=values.dtype)
    tally = count_values(values, edges)
    return Histogram(
        edges=edges.tolist(),
        counts=tally.counts.tolist(),
        scale=scale,
        below=tally.below,
        above=tally.above,
        nulls=tally.nulls,
    )


def _books(run: _Run) -> dict[str, Books]:
    books = {}
    for index, source in enumerate(SOURCES):
        documents = range(index, READ, 3)
        fates = Counter(run.fate.get(number, ("published", "")) for number in documents)
        books[source] = Books(
            read=len(documents),
            published=fates["published", ""],
            rejected={reason: n for (kind, reason), n in fates.items() if kind == "rejected"},
            failed={reason: n for (kind, reason), n in fates.items() if kind == "failed"},
        )
    return books


def _duplicates(compared: int) -> DuplicateReport:
    clusters = [
        Cluster(
            size=size,
            kind=kind,
            survivor=document(100 + size),
            members=[document(101 + size + i, round(1 - 0.03 * i, 2)) for i in range(min(4, size - 1))],
        )
        for size, kind in ((14, "near"), (9, "near"), (6, "exact"), (4, "near"), (3, "near"))
    ]
    return DuplicateReport(
        documents=compared,
        removed={"exact": 19, "near": 44},
        sizes={2: 21, 3: 5, 4: 2, 6: 1, 9: 1, 14: 1},
        method="MinHash of word 5-grams, 14 bands of 8 rows, Jaccard 0.8 verified; across all sources",
        clusters=clusters,
    )


def _contamination(scanned: int) -> ContaminationReport:
    words = "which of the following best describes the function of the mitochondria"
    context = Match(
        document=document(6),
        item="test/17",
        n=11,
        words=words,
        part="prompt",
        before="A list of questions that students of the first year should be able to answer.\n\n17. ",
        match="Which of the following BEST describes\nthe function of the mitochondria",
        after="?\n(A) They make proteins. (B) They turn food into energy that the cell can use.",
        documents=2,
        shared_by=3,
    )
    plain = Match(document=document(14), item="test/18", n=13, words="a match without its context")
    hits = {
        "mmlu/high_school_biology": (310, 6, 9),
        "arc/challenge": (1172, 4, 6),
        "gsm8k": (1319, 2, 3),
        "bigbench/mult_data_wrangling": (1500, 0, 0),
    }
    exposures = {"mmlu/high_school_biology": _exposure("mmlu/high_school_biology", 310, 5)}
    exposures["bigbench/mult_data_wrangling"] = _exposure("bigbench/mult_data_wrangling", 1500, 220)
    return ContaminationReport(
        documents=scanned,
        removed=17,
        shortest=4,
        longest=13,
        parts=("prompt", "choices"),
        common_usage=10,
        threshold_note="auto: 1000 at 6.5 GB of text, in proportion for 3.1 MB, at least 10",
        usage=UsageTable(path="/data/usage/web-2026.parquet", documents=4_211_003),
        effects=[
            Effect(rule=rule, threshold=threshold, documents=documents)
            for rule, removed in (("item", (17, 21, 24, 24)), ("any", (102, 151, 188, 190)))
            for threshold, documents in zip((10, 100, 1000, 10_000), removed, strict=True)
        ],
        ngrams=23_429_663,
        exempted=38,
        common=[
            NgramCount(
                words="as soon as possible", count=4211, benchmark="bigbench/mult_data_wrangling", item="77"
            ),
            NgramCount(words="one of the most important", count=1933),
        ],
        benchmarks=[
            *(
                BenchmarkHits(
                    name=name,
                    items=items,
                    matchable=items - items // 9 - 2,
                    too_short=items // 9,
                    template=2,
                    items_found=found,
                    documents=documents,
                    matches=[context, plain] if "biology" in name else [],
                    exposure=exposures.get(name, _exposure(name, items, 0)),
                )
                for name, (items, found, documents) in hits.items()
            ),
            *(
                BenchmarkHits(
                    name=f"bbh/{task}",
                    items=250,
                    matchable=248,
                    too_short=0,
                    template=2,
                    items_found=0,
                    documents=0,
                    template_texts=["if you follow these instructions do you return to the starting point"],
                    columns_read="prompt read from text",
                    exposure=_exposure(f"bbh/{task}", 250, 0),
                )
                for task in ("navigate", "snarks")
            ),
        ],
        skipped=["agieval/jec_qa_kd"],
        missing=["gpqa/diamond", "hle"],
    )


def _exposure(benchmark: str, items: int, found: int) -> Exposure:
    """A benchmark of which some items are in the corpus, the rest not."""
    return Exposure(
        benchmark=benchmark,
        items=items,
        gpt3_n=13,
        gpt3_measurable=items * 3 // 4,
        gpt3_dirty=found,
        palm_measurable=items * 9 // 10,
        palm_contaminated=found,
        llama2_measurable=items * 4 // 5,
        llama2_clean=items * 4 // 5 - found,
        llama2_not_clean=found,
        llama2_not_dirty=items * 4 // 5 - found // 2,
        llama2_dirty=found // 2,
        llama3_measurable=items * 9 // 10,
        llama3_above_half=found,
        llama3_mean_share=0.8 * found / (items * 9 // 10),
    )


FAILURES = {"ExtractionError: no root element": 4, "UnicodeDecodeError: invalid start byte": 2}
TRACEBACK = """Traceback (most recent call last):
  File "/srv/corpusmill/pipeline/extract.py", line 88, in extract_page
    tree = HTMLTree.parse(page)
  File "resiliparse/parse/html.pyx", line 1002, in resiliparse.parse.html.HTMLTree.parse
ExtractionError: no root element
"""


@functools.cache
def example_report() -> RunReport:
    """The report of the made-up run; the same at every call."""
    run = _Run(np.random.default_rng(811))
    before = run.alive
    for reason, count in FAILURES.items():
        run.remove(run.pick(count), "failed", reason)
    run.remove(run.pick(31), "rejected", "extraction.empty")
    run.stage("Extract", before)
    for stage in dict.fromkeys(rule[0] for rule in RULES[:8]):
        before = run.alive
        for rule in RULES[:8]:
            if rule[0] == stage:
                _decide(run, *rule)
        run.stage(stage, before)
    before = run.alive
    run.remove(run.pick(63), "rejected", "duplicates")
    run.stage("Deduplicate", before)
    compared = len(before)
    for stage in dict.fromkeys(rule[0] for rule in RULES[8:]):
        before = run.alive
        for rule in RULES[8:]:
            if rule[0] == stage:
                _decide(run, *rule)
        run.stage(stage, before)
    before = run.alive
    run.remove(run.pick(17), "rejected", "decontamination")
    run.stage("Decontaminate", before)
    return RunReport(
        job="web",
        title="English web, two crawls and three forums",
        output="/data/runs/web-2026-11",
        created="2026-11-22 16:40 UTC",
        corpusmill_version="0.1.0",
        versions={"python": "3.11.7", "pyarrow": "25.0.1", "apache-beam": "2.77.0", "word rule": "words_v1"},
        inputs=[
            InputFile(path="crawl/2026-30/00012.warc.gz", bytes=14_211_874, documents=410),
            InputFile(path="crawl/2026-34/00003.warc.gz", bytes=13_008_112, documents=409),
            InputFile(path="forums/2026.jsonl.zst", bytes=2_310_447, documents=409),
        ],
        stages=run.stages,
        books=_books(run),
        rules=run.rules,
        duplicates=_duplicates(compared),
        contamination=_contamination(len(before)),
        failures=[
            FailureGroup(
                reason=reason,
                count=count,
                examples=[
                    document(700 + i).model_copy(update={"text": TRACEBACK, "value": None}) for i in range(2)
                ],
            )
            for reason, count in FAILURES.items()
        ],
        timings=[
            Timing(stage=stage.name, wall=0.05 + seconds, cpu=seconds, documents=stage.entered)
            for stage, seconds in zip(
                run.stages, (9.31, 1.12, 0.74, 0.58, 2.21, 0.61, 3.4, 0.92), strict=True
            )
        ],
        warnings=[
            RunWarning(
                title="One input was read twice as slowly as the others",
                detail="forums/2026.jsonl.zst: 41 documents/s; the median is 96.",
                advice="Nothing is wrong with the output; a larger zstd frame may help.",
                level="note",
            )
        ],
        config_yaml=CONFIG,
        elapsed=14.2,
        output_bytes=1_204_551,
        languages={"en": sum(books.published for books in _books(run).values())},
        columns=[
            ColumnNote(name="id", type="string", about="the document's identity: 32 hexadecimal digits"),
            ColumnNote(name="url", type="string", about="where it was found; null where it has no address"),
            ColumnNote(name="text", type="large_string", about="the body as extracted, UTF-8"),
            ColumnNote(
                name="gopher.word_count", type="int32", about="words (words_v1) | one value per document"
            ),
        ],
    )
