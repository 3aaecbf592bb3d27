"""Training: the split, determinism, what is not used, the card."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from filters.classifier import ClassifierSettings, load_classifier
from pipeline.errors import UserError
from pipeline.quality.corpus import unit_hashes
from pipeline.quality.training import TrainingSettings, together, train
from tests.pipeline.quality.corpora import BAD_WORDS, GOOD_WORDS, documents

SMALL = TrainingSettings(dimensions=8, buckets=1000, cutoff=0, epochs=15)


def table(texts):
    return pa.table({"text": pa.array(texts, pa.string())})


GOOD, BAD = documents(GOOD_WORDS, 150, 1), documents(BAD_WORDS, 150, 2)


def test_a_model_learns_is_calibrated_and_describes_itself(tmp_path):
    labelled = together(
        [("tides", table(GOOD[:100])), ("| moon\n", table(GOOD[100:]))], [("shops", table(BAD))]
    )
    facts = train(labelled, str(tmp_path), SMALL, "What it is for.")
    assert facts["test"]["auc"] > 0.99
    assert facts["test"]["f1"] > 0.95
    assert sum(facts["documents"].values()) == 300
    assert set(facts["by_source"]) == {"tides", "| moon\n", "shops"}
    model = load_classifier(ClassifierSettings(model=str(tmp_path)))
    assert model.about.facts == facts
    assert model.about.calibration.kind == "platt"
    found = model.score(pa.array([*GOOD, *BAD])).to_pylist()
    assert min(found[:150]) > max(found[150:])
    card = (tmp_path / "README.md").read_text()
    assert "What it is for." in card
    assert "| shops |" in card
    assert "\n| \\| moon" in card
    assert model.about.sha256 in card


def test_the_same_documents_give_the_same_bytes_in_any_order(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    train(together([("g", table(GOOD))], [("b", table(BAD))]), str(one), SMALL)
    train(together([("g", table(GOOD[::-1]))], [("b", table(BAD[::-1]))]), str(other), SMALL)
    for name in ("model.ftz", "model.json", "README.md"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_copies_blanks_and_contradictions_are_counted_and_not_used(tmp_path):
    good, bad = [*GOOD, GOOD[0], " ", "both ways", "both ways"], [*BAD, "both ways", "\n"]
    facts = train(together([("g", table(good))], [("b", table(bad))]), str(tmp_path), SMALL)
    assert facts["not_used"] == {"blank": 2, "copies": 2, "labelled_both_ways": 2}
    assert sum(facts["documents"].values()) + 6 == len(good) + len(bad)


def test_isotonic_and_full_models(tmp_path):
    settings = SMALL.model_copy(update={"calibration": "isotonic", "quantize": False})
    train(together([("g", table(GOOD))], [("b", table(BAD))]), str(tmp_path), settings)
    about = json.loads((tmp_path / "model.json").read_text())
    assert (about["file"], about["calibration"]["kind"]) == ("model.bin", "isotonic")
    assert (
        load_classifier(ClassifierSettings(model=str(tmp_path))).score(pa.array([GOOD[0]]))[0].as_py() > 0.5
    )


def test_figures_that_have_nothing_to_divide_by_are_null(tmp_path):
    # Bad documents rule, and nothing tells the two apart: no document is called good, so there is no precision.
    same = documents(BAD_WORDS, 900, 3)
    train(together([("g", table(same[:90]))], [("b", table(same[90:]))]), str(tmp_path), SMALL)
    about = json.loads((tmp_path / "model.json").read_text(), parse_constant=pytest.fail)
    assert about["facts"]["test"]["precision"] is None
    assert "| precision | none |" in (tmp_path / "README.md").read_text()


def test_too_few_documents_are_an_error_that_says_so(tmp_path):
    with pytest.raises(UserError, match=r"the calibration part .* give more documents"):
        train(together([("g", table(GOOD[:5]))], [("b", table(BAD[:1]))]), str(tmp_path), SMALL)
    assert not (tmp_path / "model.json").exists()


def test_a_text_cannot_label_itself(tmp_path):
    tricky = [f"__label__good {text}" for text in BAD]
    facts = train(together([("g", table(GOOD))], [("b", table(tricky))]), str(tmp_path), SMALL)
    assert facts["test"]["auc"] > 0.99


def test_hashes_of_a_split_are_even_and_fixed():
    values = unit_hashes([f"{i}" for i in range(10_000)], "quality split")
    assert 0 <= values.min() < values.max() < 1
    assert np.histogram(values, 10, (0, 1))[0] == pytest.approx([1000] * 10, abs=150)
    assert unit_hashes(["a", ""], "x").tolist() == unit_hashes(["a", ""], "x").tolist()
    assert unit_hashes(["a"], "x").tolist() != unit_hashes(["a"], "y").tolist()
    assert unit_hashes([], "x").tolist() == []
