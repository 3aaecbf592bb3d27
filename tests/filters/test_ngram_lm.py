"""The n-gram model against its plain-Python statement, its buckets, its files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters import _ngram_kernels as kernels
from filters.ngram_lm import (
    LanguageModelSettings,
    ModelError,
    NgramModel,
    buckets,
    load_language_model,
    make_table,
    perplexity,
)
from filters.words import index_words, word_hash
from pipeline.quality.language_model import (
    LanguageModelTraining,
    discounts_of,
    judge_model,
    train_model,
    write_model,
)
from tests.filters.ngram_reference import BEGIN, ReferenceModel

WORDS = ("a", "b", "c", "d", "e")
TEXTS = st.lists(
    st.lists(st.lists(st.sampled_from(WORDS), max_size=7).map(" ".join), max_size=4).map("\n".join),
    max_size=6,
)


def column(*texts: str | None) -> pa.Array:
    return pa.array(texts, pa.large_string())


def model_of(texts: list[str], **values: int) -> NgramModel:
    return train_model(lambda: [column(*texts)], LanguageModelTraining(**values))


def measured(folder: Path, *texts: str | None) -> dict[str, list]:
    batch = pa.record_batch({"text": column(*texts)})
    found = perplexity(LanguageModelSettings(model=str(folder)))(batch, index_words(batch["text"]))
    return {name: values.to_pylist() for name, values in found.items()}


@given(TEXTS, TEXTS, st.integers(1, 5), st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=120, deadline=None)
def test_scores_are_those_of_the_plain_statement(train, test, order, min_words, min_ngrams):
    train = [*train, "a b a c\nb a"]
    model = model_of(train, order=order, min_words=min_words, min_ngrams=min_ngrams)
    reference = ReferenceModel(train, order, min_words, min_ngrams)
    test = [*test, "a b zebra c", "é\n\n b-a"]
    scores = model.score(index_words(column(*test)))
    for row, text in enumerate(test):
        total, tokens, unknown = reference.score(text)
        assert (scores.tokens[row], scores.unknown[row]) == (tokens, unknown)
        # Each stored logarithm is rounded to 2^-20, and a word adds up at most 2 * order of them.
        assert scores.totals[row] * 2.0**-20 == pytest.approx(total, abs=1e-6 * (2 * order * tokens + 1))


@given(TEXTS, st.integers(1, 4), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_probabilities_add_up_to_one_in_every_context(train, order, min_ngrams):
    reference = ReferenceModel([*train, "a b a c\nb a"], order, 1, min_ngrams)
    contexts = {gram[:-1] for gram in reference.kept} | {(BEGIN,), ("zebra", "a")}
    for context in contexts:
        total = sum(reference.probability(word, context) for word in reference.predicted)
        assert total == pytest.approx(1, abs=1e-9)


def test_discounts_are_those_of_the_paper_and_the_usual_ones_where_those_cannot_be():
    # n1 = 8, n2 = 4, n3 = 2, n4 = 1: Y = 1/2; D1 = 1 - 2Y n2/n1, D2 = 2 - 3Y n3/n2, D3 = 3 - 4Y n4/n3.
    counts = np.repeat([1, 2, 3, 4, 9], [8, 4, 2, 1, 5])
    assert discounts_of(counts) == pytest.approx((0.5, 1.25, 2.0))
    assert discounts_of(np.array([1, 1, 2])) == (0.5, 1.0, 1.5)
    assert discounts_of(np.repeat([1, 2, 3, 4], [10, 1, 9, 1])) == (0.5, 1.0, 1.5)


def test_a_model_expects_what_it_has_read():
    model = model_of(["the cat sat on the mat\nthe dog sat on the rug"] * 3, order=3)
    said, shuffled, foreign = model.score(
        index_words(column("the cat sat on the rug", "rug the on sat cat the", "x y z"))
    ).perplexity
    assert said < shuffled < foreign
    assert model.score(index_words(column("x cat y"))).unknown.tolist() == [2]


def test_a_document_scores_the_same_alone_and_among_others():
    model = model_of(["a b c d\nb c d e", "a c"] * 2, order=3)
    texts = ["a b\n\nc d e", "", "b", "\n", "zebra\na b c d"]
    together = model.score(index_words(column(*texts)))
    for row, text in enumerate(texts):
        alone = model.score(index_words(column(text)))
        assert (alone.totals[0], alone.tokens[0]) == (together.totals[row], together.tokens[row])


def test_line_ends_count_and_blank_lines_do_not():
    model = model_of(["a b", "b a"] * 2, order=2)
    assert model.score(index_words(column("a b\n\n \na", "a b a"))).tokens.tolist() == [5, 4]


def test_counting_in_batches_gives_the_same_bytes(monkeypatch, tmp_path):
    texts = ["a b c a b\nc c", "b c a", "e d a b c", "a b", "d e"] * 3
    whole = model_of(texts, order=3)
    monkeypatch.setattr("pipeline.quality.language_model._PENDING", 3)
    parts = train_model(lambda: [column(text) for text in reversed(texts)], LanguageModelTraining(order=3))
    assert np.array_equal(whole.table, parts.table)
    assert write_model(str(tmp_path / "x"), whole) == write_model(str(tmp_path / "y"), parts)
    assert (tmp_path / "x/ngrams.npy").read_bytes() == (tmp_path / "y/ngrams.npy").read_bytes()


def test_a_word_may_have_any_hash_even_one_that_chains_to_zero():
    # moremur(0) is 0, so the word whose hash is the start itself would get the key of an empty slot.
    assert int(kernels.step(kernels.START, kernels.START)) == 1
    keys = np.array([1, 2**64 - 1, 5], np.uint64)
    table = make_table(keys, np.log([0.5, 0.25, 0.125]), np.zeros(3))
    for key, value in zip(keys, (0.5, 0.25, 0.125), strict=True):
        found = kernels.log_probability(table[kernels.find(table, key), 1])
        assert math.exp(found * 2.0**-20) == pytest.approx(value, rel=1e-5)
    assert kernels.find(table, np.uint64(7)) == -1


def test_a_full_table_ends_the_search():
    full = np.arange(8, dtype=np.uint64).reshape(4, 2) | np.uint64(1)
    assert kernels.find(full, np.uint64(1 << 40)) == -1


def test_a_written_model_is_mapped_and_measures_the_same(tmp_path):
    model = model_of(["a b c", "c b a", "b b"] * 2, order=2)
    reference = ["a b c", "c", "b c a b", "a zebra"]
    scores, about = judge_model(model, [column(*reference)])
    write_model(str(tmp_path), NgramModel(about, model.table))
    assert isinstance(load_language_model(str(tmp_path)).table, np.memmap)
    columns = measured(tmp_path, *reference, "", None)
    assert columns["lm.perplexity"][:4] == pytest.approx(scores.perplexity.tolist(), rel=1e-6)
    assert (
        columns["lm.perplexity"][4:] == columns["lm.bucket"][4:] == columns["lm.unknown"][4:] == [None, None]
    )
    assert columns["lm.unknown"][:4] == [0, 0, 0, 0.5]
    assert set(columns["lm.bucket"][:4]) == {"head", "middle", "tail"}
    again = perplexity(LanguageModelSettings(model=f"file://{tmp_path}"))
    batch = pa.record_batch({"text": column(*reference)})
    assert (
        again(batch, index_words(batch["text"]))["lm.perplexity"].to_pylist() == columns["lm.perplexity"][:4]
    )


def test_cuts_are_met_from_below():
    assert buckets(np.array([1, 2, 2.1, 5, 5.1, np.nan]), 2, 5).to_pylist() == [
        "head",
        "head",
        "middle",
        "middle",
        "tail",
        None,
    ]
    assert buckets(np.array([1.0]), None, 5).to_pylist() == [None]


def test_settings_that_contradict_themselves_are_refused():
    with pytest.raises(ValueError, match="above tail"):
        LanguageModelSettings(model="x", head=5, tail=2)


def test_wrong_models_say_what_is_wrong(tmp_path):
    with pytest.raises(ModelError, match="there is no such file"):
        load_language_model(str(tmp_path / "absent"))
    write_model(str(tmp_path), model_of(["a b"] * 2, order=2))
    stored = (tmp_path / "ngrams.npy").read_bytes()
    (tmp_path / "ngrams.npy").write_bytes(stored[:-8])
    with pytest.raises(ModelError, match="sha256"):
        load_language_model(str(tmp_path))
    (tmp_path / "ngrams.npy").write_bytes(stored)
    about = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(about | {"words": "words_v0"}))
    with pytest.raises(ModelError, match="words_v0"):
        load_language_model(str(tmp_path))
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(ModelError, match="not written by `quality train-lm`"):
        load_language_model(str(tmp_path))


@pytest.mark.parametrize("shape", [(3, 2), (4, 1), (8,), (0, 2)])
def test_a_table_of_another_shape_is_refused(tmp_path, shape):
    import hashlib

    np.save(tmp_path / "ngrams.npy", np.zeros(shape, np.uint64))
    digest = hashlib.sha256((tmp_path / "ngrams.npy").read_bytes()).hexdigest()
    (tmp_path / "model.json").write_text(json.dumps({"order": 2, "sha256": digest}))
    with pytest.raises(ModelError, match="not a table"):
        load_language_model(str(tmp_path))


@given(st.lists(st.text(max_size=30), max_size=5), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_any_text_and_any_table_are_survived(texts, seed):
    table = np.random.default_rng(seed).integers(0, 2**63, (8, 2)).astype(np.uint64)
    about = model_of(["a b"], order=3, min_words=1).about
    scores = NgramModel(about, table).score(index_words(column(*texts)))
    assert np.all(scores.unknown <= scores.tokens)


def test_words_are_those_of_the_word_index():
    model = model_of(["Äpfel äpfel"], order=1)
    key = kernels.step(kernels.START, np.uint64(word_hash("ÄPFEL")))
    assert kernels.find(model.table, np.uint64(key)) >= 0
