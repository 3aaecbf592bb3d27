"""Language identification: the labels, the checksum, what is read of a document, and what is null."""

from __future__ import annotations

import fasttext
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters import language as module
from filters.language import LanguageSettings, ModelError, beginnings, identify, language, parse_label

SENTENCES = {
    "en": "The committee will publish its report on the quality of drinking water before the end of May.",
    "de": "Der Ausschuss wird seinen Bericht über die Qualität des Trinkwassers im Mai vorlegen.",
    "fr": "La commission publiera son rapport sur la qualité de l'eau potable avant la fin de l'année.",
    "es": "La comisión publicará su informe sobre la calidad del agua potable antes de que termine el año.",
    "ru": "Комиссия опубликует свой доклад о качестве питьевой воды до конца этого года.",
    "ja": "委員会は年末までに飲料水の水質に関する報告書を公表する予定です。",
    "zh": "委员会将在年底之前公布关于饮用水质量的报告，并且征求公众的意见。",
    "ar": "ستنشر اللجنة تقريرها عن جودة مياه الشرب قبل نهاية هذا العام.",
}


def documents(*texts: str | None, type_: pa.DataType | None = None) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, type_ or pa.large_string())})


def test_known_sentences_are_identified_with_a_probability():
    names, scores = identify(list(SENTENCES.values()))
    assert names.to_pylist() == list(SENTENCES)
    assert all(0.6 < score <= 1.0 for score in scores.to_pylist())


def test_the_measure_declares_its_columns_and_gives_them():
    measured = language()
    assert [(c.name, c.type) for c in measured.columns] == [
        ("language", pa.string()),
        ("language_score", pa.float32()),
    ]
    columns = measured(documents(*SENTENCES.values()), None)
    assert columns["language"].to_pylist() == list(SENTENCES)


@pytest.mark.parametrize("text", ["", " ", "\n\n\t", " \n", "</s>", None])
def test_a_document_without_text_has_no_language(text):
    columns = language()(documents(text, SENTENCES["fr"]), None)
    assert columns["language"].to_pylist() == [None, "fr"]
    assert columns["language_score"].to_pylist()[0] is None


def test_an_empty_chunk_gives_empty_columns():
    columns = language()(documents(), None)
    assert len(columns["language"]) == len(columns["language_score"]) == 0


def test_no_score_is_above_one():
    # The quantised softmax of lid.176.ftz gives 1.00004 for texts like this one.
    _, scores = identify(["こんにちは、これは日本語の文章です。" * 20, SENTENCES["ja"]])
    assert max(scores.to_pylist()) <= 1.0


def test_only_the_first_characters_are_read():
    text = SENTENCES["de"] + " " + SENTENCES["en"] * 50
    assert language(LanguageSettings(characters=90))(documents(text), None)["language"].to_pylist() == ["de"]
    assert language()(documents(text), None)["language"].to_pylist() == ["en"]


def test_newlines_and_the_end_of_sentence_token_do_not_end_the_text():
    names, _ = identify(["</s>\n" + SENTENCES["de"].replace(" ", "\n")])
    assert names.to_pylist() == ["de"]


@pytest.mark.parametrize("type_", [pa.string(), pa.large_string()])
def test_beginnings_cut_by_characters_not_by_bytes(type_):
    array = pa.array(["x", "añb中😀cd", None, "", "中" * 10], type_)
    assert beginnings(array, 5) == ["x", "añb中😀", "", "", "中" * 5]
    assert beginnings(array.slice(1, 2), 2) == ["añ", ""]


def test_malformed_utf8_is_replaced():
    offsets, data = pa.array([0, 4], pa.int64()).buffers()[1], pa.py_buffer(b"a\xff\xc3b")
    broken = pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, data])
    assert beginnings(broken, 10) == ["a\ufffd\ufffdb"]
    assert len(language()(pa.record_batch({"text": broken}), None)["language"]) == 1


@pytest.mark.parametrize(
    ("label", "code"),
    [
        ("__label__de", "de"),
        ("__label__ceb", "ceb"),
        ("__label__als", "als"),  # lid.176: Alemannic
        ("__label__als_Latn", "sq"),  # ISO 639-3: Tosk Albanian
        ("__label__deu_Latn", "de"),
        ("__label__eng_Latn", "en"),
        ("__label__cmn_Hani", "zh"),
        ("__label__arb_Arab", "ar"),
        ("__label__nob_Latn", "no"),
        ("__label__yue_Hant", "yue"),
    ],
)
def test_labels_of_all_model_families_name_one_code(label, code):
    assert parse_label(label) == code


@pytest.mark.parametrize("label", ["__label__cc_low", "__label__positive", "en", "__label__"])
def test_a_label_that_names_no_language_is_refused(label):
    with pytest.raises(ModelError, match="names no language"):
        parse_label(label)


def test_every_label_of_the_vendored_model_parses():
    labels = module._model(None, None).get_labels()
    assert len({parse_label(label) for label in labels}) == len(labels) == 176


def test_a_changed_model_is_refused(monkeypatch):
    module._model.cache_clear()
    monkeypatch.setattr(module, "DEFAULT_SHA256", "0" * 64)
    with pytest.raises(ModelError, match="expected 0000"):
        identify(["some text"])


def test_a_model_by_path_and_by_url_answers_the_same(tmp_path):
    copy = tmp_path / "other.ftz"
    copy.write_bytes((module._DATA / module.DEFAULT_MODEL).read_bytes())
    texts = list(SENTENCES.values())
    expected = identify(texts)
    for model in (str(copy), f"file://{copy}"):
        assert identify(texts, LanguageSettings(model=model, sha256=module.DEFAULT_SHA256)) == expected
    with pytest.raises(ModelError, match="expected ffff"):
        identify(texts, LanguageSettings(model=str(copy), sha256="f" * 64))


def test_a_missing_or_foreign_model_says_so(tmp_path):
    with pytest.raises(ModelError, match="there is no such file"):
        identify(["text"], LanguageSettings(model=str(tmp_path / "absent.bin")))
    with pytest.raises(ModelError, match="cannot be read"):
        identify(["text"], LanguageSettings(model=f"file://{tmp_path}/absent.bin"))
    other = tmp_path / "other.bin"
    other.write_bytes(b"not a model, though long enough to have a header")
    with pytest.raises(ModelError, match="not a fastText model"):
        identify(["text"], LanguageSettings(model=str(other)))


@given(st.lists(st.text(max_size=60), max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_text_has_a_language_exactly_if_it_is_not_blank(texts):
    names, scores = identify(texts)
    for text, name, score in zip(texts, names.to_pylist(), scores.to_pylist(), strict=True):
        blank = not text.replace("</s>", "").strip()
        assert (name is None) == blank
        assert score is None if blank else 0.0 <= score <= 1.0


@pytest.mark.parametrize(
    "labels",
    [("__label__en", "__label__de"), ("__label__eng_Latn", "__label__deu_Latn")],
    ids=["lid.176", "GlotLID"],
)
def test_models_of_both_label_forms_answer_the_same_codes(tmp_path, labels):
    sentences = [(labels[0], SENTENCES["en"]), (labels[1], SENTENCES["de"])] * 30
    (tmp_path / "train.txt").write_text("".join(f"{label} {text}\n" for label, text in sentences))
    made = fasttext.train_supervised(
        str(tmp_path / "train.txt"), dim=8, bucket=1000, minn=2, maxn=3, lr=0.5, epoch=20, thread=1, verbose=0
    )
    made.save_model(str(tmp_path / "lid.bin"))
    chosen = LanguageSettings(model=f"file://{tmp_path}/lid.bin")
    columns = language(chosen)(documents(SENTENCES["de"], "", SENTENCES["en"]), None)
    assert columns["language"].to_pylist() == ["de", None, "en"]
    assert min(score for score in columns["language_score"].to_pylist() if score is not None) > 0.9


def test_a_classifier_of_something_else_is_refused(tmp_path):
    (tmp_path / "train.txt").write_text("__label__spam buy now\n__label__ham good day\n" * 20)
    made = fasttext.train_supervised(str(tmp_path / "train.txt"), dim=4, bucket=100, thread=1, verbose=0)
    made.save_model(str(tmp_path / "spam.bin"))
    with pytest.raises(ModelError, match="names no language"):
        identify(["buy"], LanguageSettings(model=str(tmp_path / "spam.bin")))


def test_a_chunk_is_one_call_and_only_beginnings_are_passed(monkeypatch):
    calls = []

    class Model:
        def predict(self, texts):
            calls.append(texts)
            return [["__label__en"]] * len(texts), [[0.9]] * len(texts)

    monkeypatch.setattr(module, "_model", lambda _path, _sha256: Model())
    language()(documents("a" * 5000, "", "b c", None), None)
    assert calls == [["a" * 2000, "b c"]]
