"""The classifier measure: what a model reads, how scores are calibrated, which files are accepted."""

from __future__ import annotations

import hashlib
import json
import math

import fasttext
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.classifier import (
    DEFAULT_MODEL,
    Calibration,
    ClassifierSettings,
    ModelError,
    classifier,
    load_classifier,
    prepare,
)
from tests.pipeline.quality.corpora import BAD_WORDS, GOOD_WORDS, documents

GOOD, BAD = " ".join(GOOD_WORDS * 2), " ".join(BAD_WORDS * 2)


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A bare fastText file with the labels of DCLM's."""
    folder = tmp_path_factory.mktemp("bare")
    rows = [f"__label__hq {t}" for t in documents(GOOD_WORDS, 80, 1)]
    rows += [f"__label__cc {t}" for t in documents(BAD_WORDS, 80, 2)]
    (folder / "train.txt").write_text("\n".join(rows) + "\n")
    model = fasttext.train_supervised(
        str(folder / "train.txt"), dim=8, bucket=1000, wordNgrams=2, lr=0.5, epoch=10, thread=1, verbose=0
    )
    model.save_model(str(folder / "dclm.bin"))
    return folder / "dclm.bin"


def folder_of(bare, path, **changes):
    """A model's folder around the bare file."""
    path.mkdir()
    (path / "model.bin").write_bytes(bare.read_bytes())
    about = {
        "file": "model.bin",
        "sha256": hashlib.sha256(bare.read_bytes()).hexdigest(),
        "label": "__label__hq",
    }
    (path / "model.json").write_text(json.dumps(about | changes))
    return str(path)


def scores(chosen: ClassifierSettings, *texts: str | None, type_=None) -> list[float | None]:
    batch = pa.record_batch({"text": pa.array(texts, type_ or pa.large_string())})
    return classifier(chosen)(batch, None)["quality.score"].to_pylist()


def test_a_bare_file_scores_as_fasttext_does(bare):
    chosen = ClassifierSettings(model=str(bare), label="__label__hq")
    good, bad, mixed, *none = scores(chosen, GOOD, BAD, GOOD + "\n" + BAD, "", " \n", None)
    assert good > 0.9 > 0.1 > bad
    assert none == [None, None, None]
    names, values = fasttext.load_model(str(bare)).predict(GOOD + " " + BAD, k=2)
    expected = dict(zip(names, values, strict=True))["__label__hq"]
    assert mixed == pytest.approx(expected, abs=1e-4)


def test_the_measure_declares_its_column():
    assert [(c.name, c.type) for c in classifier().columns] == [("quality.score", pa.float32())]


@pytest.mark.parametrize("type_", [pa.string(), pa.large_string()])
def test_columns_of_both_string_types_and_slices(bare, type_):
    chosen = ClassifierSettings(model=str(bare), label="__label__hq")
    array = pa.array([BAD, GOOD, BAD], type_).slice(1, 1)
    assert classifier(chosen)(pa.record_batch({"text": array}), None)["quality.score"].to_pylist()[0] > 0.9


def test_a_folder_says_how_it_is_read(bare, tmp_path):
    calibration = {"kind": "platt", "slope": 0.5, "offset": -1.0}
    plain = folder_of(bare, tmp_path / "plain", form="plain", calibration=calibration)
    model = load_classifier(ClassifierSettings(model=plain))
    raw = model.log_odds([GOOD])[0]
    assert scores(ClassifierSettings(model=plain), GOOD)[0] == pytest.approx(
        1 / (1 + math.exp(1 - 0.5 * raw)), rel=1e-5
    )
    tokens = folder_of(bare, tmp_path / "tokens", form="tokens")
    upper, lower = scores(ClassifierSettings(model=tokens), GOOD.upper(), GOOD)
    assert upper == lower
    short = folder_of(bare, tmp_path / "short", characters=len(GOOD))
    assert scores(ClassifierSettings(model=short), GOOD + BAD * 9) == scores(
        ClassifierSettings(model=short), GOOD
    )


def test_a_folder_by_url(bare, tmp_path):
    folder = folder_of(bare, tmp_path / "m")
    assert scores(ClassifierSettings(model=f"file://{folder}"), GOOD) == scores(
        ClassifierSettings(model=folder), GOOD
    )


def test_what_a_model_reads():
    assert prepare("One, (TWO)\nthree.", "tokens").split() == ["one", ",", "(", "two", ")", "three", "."]
    assert prepare("One, TWO\nthree", "plain") == "One, TWO three"
    for form in ("plain", "tokens"):
        assert "__label__" not in prepare("a __label__hq b __LABEL__cc", form).lower() or form == "plain"
        assert "__label__hq" not in prepare("a __label__hq b", form)
        assert prepare("</s> \n", form) == ""


def test_an_end_of_sentence_in_a_text_ends_nothing(bare):
    chosen = ClassifierSettings(model=str(bare), label="__label__hq")
    assert scores(chosen, "</s> " + GOOD, GOOD)[0] == pytest.approx(scores(chosen, GOOD)[0], abs=0.01)


@given(st.lists(st.text(max_size=60), max_size=5))
@settings(max_examples=60, deadline=None)
def test_any_text_has_a_score_exactly_if_it_is_not_blank(bare, texts):
    found = scores(ClassifierSettings(model=str(bare), label="__label__hq", form="tokens"), *texts)
    for text, score in zip(texts, found, strict=True):
        assert (score is None) == (not prepare(text, "tokens"))
        assert score is None or 0 <= score <= 1


def test_malformed_utf8_is_survived(bare):
    offsets, data = pa.array([0, 4], pa.int64()).buffers()[1], pa.py_buffer(b"a\xff\xc3b")
    broken = pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, data])
    chosen = ClassifierSettings(model=str(bare), label="__label__hq")
    assert len(classifier(chosen)(pa.record_batch({"text": broken}), None)["quality.score"]) == 1


@given(st.floats(0.01, 5), st.floats(-5, 5), st.lists(st.floats(-12, 12), min_size=1, max_size=9))
@settings(max_examples=60, deadline=None)
def test_platt_is_the_sigmoid_and_keeps_the_order(slope, offset, values):
    found = Calibration(kind="platt", slope=slope, offset=offset).apply(np.array(sorted(values)))
    assert found == pytest.approx(
        [1 / (1 + math.exp(-(slope * v + offset))) for v in sorted(values)], rel=1e-9, abs=1e-12
    )
    assert np.all(np.diff(found) >= 0)


def test_isotonic_joins_its_points_and_keeps_missing_ones():
    found = Calibration(kind="isotonic", points=(-1, 1), values=(0.2, 0.6)).apply(
        np.array([-9, -1, 0, 1, 9, np.nan])
    )
    assert found[:5] == pytest.approx([0.2, 0.2, 0.4, 0.6, 0.6])
    assert np.isnan(found[5])


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "platt", "slope": 0},
        {"kind": "platt", "slope": float("nan")},
        {"kind": "isotonic"},
        {"kind": "isotonic", "points": (1, 1), "values": (0, 1)},
        {"kind": "isotonic", "points": (0, 1), "values": (1, 0)},
        {"kind": "isotonic", "points": (0, 1), "values": (0, 2)},
    ],
)
def test_a_calibration_that_is_no_ascending_function_is_refused(wrong):
    with pytest.raises(ValueError, match="must"):
        Calibration(**wrong)


def test_settings_that_do_not_fit_the_kind_of_model_are_refused():
    with pytest.raises(ValueError, match="must name its good label"):
        ClassifierSettings(model="x.bin")
    with pytest.raises(ValueError, match="says this itself"):
        ClassifierSettings(model="folder", form="plain")


def test_wrong_models_say_what_is_wrong(bare, tmp_path):
    def error(**values: str) -> str:
        with pytest.raises(ModelError) as caught:
            load_classifier(ClassifierSettings(**values))
        return str(caught.value)

    assert "there is no such file" in error(model=str(tmp_path / "absent"))
    assert "its labels are __label__" in error(model=str(bare), label="__label__positive")
    assert "expected ffff" in error(model=str(bare), label="__label__hq", sha256="f" * 64)
    assert "expected ffff" in error(model=folder_of(bare, tmp_path / "a"), sha256="f" * 64)
    assert "expected 0000" in error(model=folder_of(bare, tmp_path / "b", sha256="0" * 64))
    assert "name of a file" in error(model=folder_of(bare, tmp_path / "c", file="../model.bin"))
    assert "not written by" in error(model=folder_of(bare, tmp_path / "d", colour="red"))
    (tmp_path / "other.ftz").write_bytes(b"not a model, though long enough to have a header")
    assert "not a fastText model" in error(model=str(tmp_path / "other.ftz"), label="__label__hq")


def test_the_packaged_model_is_the_one_that_was_trained_and_tells_prose_from_a_menu():
    model = load_classifier(ClassifierSettings())
    assert model.about.characters >= 1000
    assert DEFAULT_MODEL == "quality_v1"
    prose = (
        "When warm air rises over the land in the afternoon, cooler air flows in from the sea to take its place. This is the "
        "sea breeze. At night the land cools faster than the water, and the wind turns around, which sailors have known for as "
        "long as there have been boats. The strength of the breeze depends on how much warmer the land is than the sea."
    )
    menu = "Home\nShop\nAbout us\nContact\nLogin\nRegister\nCart (0)\nPrivacy policy\nTerms\n© 2024 All rights reserved\nShare\n"
    found = scores(ClassifierSettings(), prose, menu * 3)
    assert found[0] > 0.5 > found[1]
