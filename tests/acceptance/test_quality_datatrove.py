"""On the real pages, our quality columns with the published bounds decide as datatrove's filters do.

The word splitter differs (spaCy there, `tokens_v1` here), so each rule must decide at least 97% of the
documents alike. With our splitter put into datatrove, the differences that docs/quality.md names are left.
"""

from __future__ import annotations

import functools

import pyarrow as pa
import pytest

from tests.acceptance import quality_peer as peer
from tests.filters.quality_rules import sentences, split_tokens

pytest.importorskip("datatrove", reason="needs datatrove with spaCy: see docs/quality.md")
pytest.importorskip("spacy", reason="needs datatrove with spaCy: see docs/quality.md")
pytestmark = pytest.mark.skipif(not peer.PAGES.is_dir(), reason=f"needs the real pages under {peer.PAGES}")

AGREEMENT = 0.97


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return peer.real_texts()


@pytest.fixture(scope="module")
def columns(texts: list[str]) -> dict[str, pa.Array]:
    return peer.our_columns(texts)


def agreement(ours: dict[str, list[bool]], theirs: dict[str, list[bool]]) -> dict[str, float]:
    return {
        column: sum(map(bool.__eq__, decisions, theirs[column])) / len(decisions)
        for column, decisions in ours.items()
    }


def report(title: str, ours: dict[str, list[bool]], theirs: dict[str, list[bool]]) -> None:
    print(f"\n{title}: documents {len(next(iter(ours.values())))}")
    for column, share in agreement(ours, theirs).items():
        only_ours = sum(theirs[column][i] and not kept for i, kept in enumerate(ours[column]))
        only_theirs = sum(kept and not theirs[column][i] for i, kept in enumerate(ours[column]))
        dropped = theirs[column].count(False)
        print(
            f"{column:36} {share:8.2%}  datatrove drops {dropped:4}, only it {only_theirs:3}, only we {only_ours:3}"
        )


def test_each_rule_decides_as_datatrove_does(texts: list[str], columns: dict[str, pa.Array]) -> None:
    ours, theirs = peer.our_decisions(peer.RULES, columns), peer.peer_decisions(peer.RULES, texts)
    report("agreement", ours, theirs)
    assert {column: share for column, share in agreement(ours, theirs).items() if share < AGREEMENT} == {}


def test_with_our_splitter_in_datatrove_the_rules_are_the_same(
    texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from datatrove.pipeline import filters

    remembered = functools.lru_cache(maxsize=8)(split_tokens)
    for name in ("gopher_quality_filter", "gopher_repetition_filter", "fineweb_quality_filter"):
        monkeypatch.setattr(
            f"{filters.__name__}.{name}.split_into_words", lambda text, _language: remembered(text)
        )
    monkeypatch.setattr(
        f"{filters.__name__}.c4_filters.split_into_sentences",
        lambda text, _language: [""] * max(sentences(text), 1),
    )
    sample = texts[::4]
    ours, theirs = (
        peer.our_decisions(peer.RULES, peer.our_columns(sample)),
        peer.peer_decisions(peer.RULES, sample),
    )
    report("with our splitter", ours, theirs)
    assert {column: share for column, share in agreement(ours, theirs).items() if share < 0.995} == {}


def test_line_edits_leave_what_datatrove_leaves(texts: list[str], columns: dict[str, pa.Array]) -> None:
    ours = ["\n".join(map(str.strip, text.split("\n"))).strip() for text in columns["c4.text"].to_pylist()]
    theirs = ["\n".join(map(str.strip, text.split("\n"))).strip() for text in peer.released_edits(texts)]
    different = [i for i in range(len(texts)) if ours[i] != theirs[i]]
    print(f"\nline edits: {len(different)} of {len(texts)} texts differ")
    assert len(different) <= (1 - AGREEMENT) * len(texts)
