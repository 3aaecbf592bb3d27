"""datatrove's filters, one rule at a time, and this project's columns with the bounds that say the same.

Used by the acceptance test and the benchmark. datatrove is not installed with this project: docs/quality.md
says how to get it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from filters.c4 import C4LineEdits, c4, edit_lines
from filters.fineweb import fineweb
from filters.gopher import gopher_quality, gopher_repetition
from filters.words import index_words

SHARED = Path(os.environ.get("CORPUSMILL_SHARED", Path(__file__).parents[2].parent / "shared"))
PAGES = SHARED / "data" / "pages"
RELEASED_C4 = C4LineEdits(keep_blank_lines=False)
"""C4's line edits as datatrove runs them for FineWeb."""


@dataclass(frozen=True)
class Rule:
    """A column with the published bound, and the settings with which datatrove has that rule alone."""

    column: str
    filter: str
    settings: dict[str, Any]
    min: float = -math.inf
    max: float = math.inf


RULES = (
    Rule("gopher.word_count", "GopherQuality", {"min_doc_words": 50, "max_doc_words": 100_000}, 50, 100_000),
    Rule(
        "gopher.mean_word_length",
        "GopherQuality",
        {"min_avg_word_length": 3, "max_avg_word_length": 10},
        3,
        10,
    ),
    Rule("gopher.hash_ratio", "GopherQuality", {"max_symbol_word_ratio": 0.1}, max=0.1),
    Rule("gopher.ellipsis_ratio", "GopherQuality", {"max_symbol_word_ratio": 0.1}, max=0.1),
    Rule("gopher.bullet_lines", "GopherQuality", {"max_bullet_lines_ratio": 0.9}, max=0.9),
    Rule("gopher.ellipsis_lines", "GopherQuality", {"max_ellipsis_lines_ratio": 0.3}, max=0.3),
    Rule("gopher.alpha_words", "GopherQuality", {"max_non_alpha_words_ratio": 0.8}, min=0.8),
    Rule("gopher.stop_words", "GopherQuality", {"min_stop_words": 2}, min=2),
    Rule("gopher.duplicate_lines", "GopherRepetition", {"dup_line_frac": 0.3}, max=0.3),
    Rule("gopher.duplicate_paragraphs", "GopherRepetition", {"dup_para_frac": 0.3}, max=0.3),
    Rule("gopher.duplicate_line_chars", "GopherRepetition", {"dup_line_char_frac": 0.2}, max=0.2),
    Rule("gopher.duplicate_paragraph_chars", "GopherRepetition", {"dup_para_char_frac": 0.2}, max=0.2),
    *(
        Rule(f"gopher.top_{n}gram_chars", "GopherRepetition", {"top_n_grams": ((n, bound),)}, max=bound)
        for n, bound in ((2, 0.2), (3, 0.18), (4, 0.16))
    ),
    *(
        Rule(f"gopher.duplicate_{n}gram_chars", "GopherRepetition", {"dup_n_grams": ((n, bound),)}, max=bound)
        for n, bound in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.1))
    ),
    Rule("fineweb.line_punctuation", "FineWebQuality", {"line_punct_thr": 0.12}, min=0.12),
    Rule("fineweb.short_lines", "FineWebQuality", {"short_line_thr": 0.67}, max=0.67),
    Rule("fineweb.duplicate_line_chars", "FineWebQuality", {"char_duplicates_ratio": 0.01}, max=0.01),
    Rule("fineweb.newlines_per_word", "FineWebQuality", {"new_line_ratio": 0.3}, max=0.3),
    Rule("c4.lorem_ipsum", "C4Quality", {"filter_lorem_ipsum": True}, max=0),
    Rule("c4.curly_brackets", "C4Quality", {"filter_curly_bracket": True}, max=0),
    Rule("c4.sentences", "C4Quality", {"min_num_sentences": 5}, min=5),
)
_OFF: dict[str, dict[str, Any]] = {
    "GopherQuality": dict.fromkeys(
        (
            "min_doc_words",
            "max_doc_words",
            "min_avg_word_length",
            "max_avg_word_length",
            "max_symbol_word_ratio",
            "max_bullet_lines_ratio",
            "max_ellipsis_lines_ratio",
            "max_non_alpha_words_ratio",
            "min_stop_words",
        )
    ),
    "GopherRepetition": {
        "dup_line_frac": None,
        "dup_para_frac": None,
        "dup_line_char_frac": None,
        "dup_para_char_frac": None,
        "top_n_grams": (),
        "dup_n_grams": (),
    },
    "FineWebQuality": {
        "line_punct_thr": 0,
        "short_line_thr": 1,
        "char_duplicates_ratio": 1,
        "new_line_ratio": math.inf,
    },
    "C4Quality": {
        "filter_no_terminal_punct": False,
        "filter_lorem_ipsum": False,
        "filter_curly_bracket": False,
        "min_num_sentences": -1,
    },
}


def real_texts() -> list[str]:
    """The main texts of the real pages: as people marked them, and as a fast extractor finds them."""
    gold = [json.loads(line)["text"] for line in (PAGES / "gold.dev.jsonl").read_text().split("\n") if line]
    return [text for text in (*gold, *_extracted()) if text and text.strip()]


def _extracted() -> Iterator[str]:
    from fastwarc.warc import ArchiveIterator, WarcRecordType
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import detect_encoding
    from resiliparse.parse.html import HTMLTree

    for path in sorted(PAGES.glob("*.warc.gz")):
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
                body = record.reader.read()
                tree = HTMLTree.parse_from_bytes(body, detect_encoding(body))
                yield extract_plain_text(tree, main_content=True)


def our_columns(texts: list[str]) -> dict[str, pa.Array]:
    """All columns: Gopher's and FineWeb's of the texts, C4's of what its line edits leave, `c4.text`."""
    text = pa.array(texts, pa.large_string())
    words = index_words(text)
    edited = edit_lines(text, words, RELEASED_C4).text
    batch, edited_batch = pa.record_batch({"text": text}), pa.record_batch({"text": edited})
    return {
        "c4.text": edited,
        **gopher_quality(batch, words),
        **gopher_repetition(batch, words),
        **fineweb(batch, words),
        **c4(edited_batch, index_words(edited)),
    }


def our_decisions(rules: Sequence[Rule], columns: dict[str, pa.Array]) -> dict[str, list[bool]]:
    """Whether bounds on the columns keep each text; as in rules, in the column's precision, and null fails."""
    decisions = {}
    for rule in rules:
        values = columns[rule.column].to_numpy(
            zero_copy_only=False
        )  # null becomes NaN, which no bound admits
        low, high = np.array([rule.min, rule.max]).astype(values.dtype if values.dtype.kind == "f" else float)
        decisions[rule.column] = ((values >= low) & (values <= high)).tolist()
    return decisions


def peer_filter(name: str, **settings: Any) -> Any:
    """One of datatrove's filters."""
    from datatrove.pipeline import filters

    return getattr(filters, f"{name}Filter")(**settings)


def decide(filter_: Any, text: str) -> tuple[bool, str | None, str]:
    """Whether datatrove keeps a text, its reason if it does not, and the text as the filter leaves it."""
    from datatrove.data import Document

    document = Document(text=text, id="")
    result = filter_.filter(document)
    kept, reason = result if isinstance(result, tuple) else (result, None)
    return kept, reason, document.text


def peer_decisions(rules: Sequence[Rule], texts: list[str]) -> dict[str, list[bool]]:
    """Whether datatrove keeps each text, by the column of the rule."""
    filters = [peer_filter(rule.filter, **_OFF[rule.filter] | rule.settings) for rule in rules]
    decisions: dict[str, list[bool]] = {rule.column: [] for rule in rules}
    for text in texts:  # all rules of one text in a row: datatrove remembers the words of its last five texts
        for rule, filter_ in zip(rules, filters, strict=True):
            kept, reason, _ = decide(filter_, text)
            if rule.column == "gopher.ellipsis_ratio" and reason == "gopher_too_many_hashes":
                # Both symbols have one bound, and "#" is asked first.
                kept = decide(filter_, text.replace("#", "x"))[0]
            if rule.column == "gopher.hash_ratio" and reason == "gopher_too_many_ellipsis":
                kept = True
            decisions[rule.column].append(kept)
    return decisions


def released_edits(texts: list[str]) -> list[str]:
    """The texts as datatrove's C4 filter leaves them, no document dropped."""
    filter_ = peer_filter("C4Quality", **_OFF["C4Quality"])
    return [decide(filter_, text)[2] for text in texts]
