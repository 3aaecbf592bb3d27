"""Profanity and toxicity: the traps of word lists, weights, and the model against scikit-learn's answers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters import safety
from filters.safety import SafetySettings, probabilities, profanity, toxicity
from filters.words import index_words, split_words

FILLER = (
    "the weather is mild and the harbour lies quiet in the evening light while people walk home from work"
)


def documents(*texts: str | None, language: list[str | None] | None = None) -> pa.RecordBatch:
    columns = {"text": pa.array(texts, pa.large_string())}
    return pa.record_batch(columns | ({"language": pa.array(language)} if language else {}))


def measured(measure, docs: pa.RecordBatch) -> dict[str, list[float]]:
    columns = measure(docs, index_words(docs["text"]))
    return {name.removeprefix("safety."): array.to_pylist() for name, array in columns.items()}


def rate(text: str, language: str = "en") -> float:
    return measured(profanity(), documents(text, language=[language]))["profanity_rate"][0]


# --- word list ---


@pytest.mark.parametrize(
    "text",
    [
        "Scunthorpe United play in Lincolnshire; so do Penistone and Lightwater.",
        "Breast cancer screening is offered to women between 50 and 70.",
        "kill -9 $(pidof nginx) && killall -s KILL zombie",
        "Dick Van Dyke starred in Mary Poppins; Moby Dick and Charles Dickens are books.",
        "Sex education in schools: the penis, the vagina, sexual health, condom use and HIV.",
        "The rectum and anus are the last parts of the bowel; anal fissures bleed.",
        "Jesus rode on an ass; the cock crowed; the tit flew off; damn it",
        "Essex, Sussex and Middlesex; the assassin assesses the class; a shiitake dish; Hancock.",
        "magna cum laude, Pollock, Cummings, Yankees, Niger, niggardly, niggling, sniggers",
        "African American, Asian, gay, lesbian, Muslim, Jewish, Arab and gypsy families on welfare",
        "A chunky tinker, a stringer for the paper, spit and polish, a hobo, dumb luck, a loser.",
    ],
)
def test_decent_text_measures_nothing(text):
    assert measured(profanity(), documents(text)) == {"profanity_rate": [0.0], "profanity_words": [0]}


def test_the_rate_is_weighted_hits_per_thousand_words():
    words = ["word"] * 200
    words[10], words[20], words[30] = "fucking", "asshole", "ASSHOLE"
    columns = measured(profanity(), documents(" ".join(words)))
    assert columns["profanity_rate"] == [pytest.approx(1000 * (2 + 1 + 1) / 200)]
    assert columns["profanity_words"] == [2]


def test_ambiguous_words_count_in_company_only():
    # "dick" and "sex" weigh 0.5; company is two distinct words that count always.
    assert rate(f"dick sex {FILLER}") == 0.0
    alone = measured(profanity(), documents(f"dick sex asshole asshole {FILLER}"))
    assert alone["profanity_words"] == [1]
    together = measured(profanity(), documents(f"dick sex asshole bullshit {FILLER}"))
    assert together["profanity_words"] == [4]
    words = 4 + len(FILLER.split())
    assert together["profanity_rate"] == [pytest.approx(1000 * 3 / words)]
    assert alone["profanity_rate"] == [pytest.approx(1000 * 2 / words)]


def test_the_list_is_that_of_the_documents_language():
    spanish = "puta mierda gilipollas"
    assert rate(spanish, "es") == pytest.approx(1000.0)
    assert rate(spanish, "en") == rate(spanish, "fi") == 0.0
    # German: "dick" is fat, "hooker" a name; English words in a German text are not looked for.
    assert rate("asshole bullshit", "de") == 0.0
    assert measured(profanity(), documents("asshole", "asshole", language=[None, "en"]))[
        "profanity_words"
    ] == [1, 1]
    assert measured(profanity(), documents("asshole"))["profanity_words"] == [1]


def test_documents_do_not_see_each_other():
    columns = measured(profanity(), documents("asshole", "dick", "", None, "asshole bullshit dick"))
    assert columns["profanity_words"] == [1, 0, 0, 0, 3]
    assert columns["profanity_rate"] == [pytest.approx(r) for r in (1000, 0, 0, 0, 2500 / 3)]


def test_case_and_accents_are_the_word_rules(tmp_path):
    listed = tmp_path / "list.tsv"
    listed.write_text("word\tweight\tlanguage\tsource\ncafé\t1\ten\tmine\n", encoding="utf-8")
    chosen = profanity(SafetySettings(word_list=str(listed)))
    assert measured(chosen, documents("CAFÉ cafe\u0301", "asshole"))["profanity_words"] == [1, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("word;weight\nx;1\n", "expected the columns"),
        ("word\tweight\tlanguage\ntwo words\t1\ten\n", "'two words' is not one word"),
        ("word\tweight\tlanguage\nx\t-1\ten\n", "has the weight -1"),
    ],
)
def test_a_wrong_word_list_is_refused(tmp_path, content, message):
    listed = tmp_path / "list.tsv"
    listed.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        measured(profanity(SafetySettings(word_list=str(listed))), documents("x"))


def plain_rate(text: str) -> tuple[float, int]:
    """The word list in plain Python, for English."""
    rows = [line.split("\t") for line in (safety._DATA / "profanity.tsv").read_text("utf-8").splitlines()[1:]]
    weights = {split_words(word)[0]: float(weight) for word, weight, language, _ in rows if language == "en"}
    words = split_words(text)
    hits = [word for word in words if word in weights]
    sure = {word for word in hits if weights[word] >= 1}
    counted = hits if len(sure) >= safety.COMPANY else [word for word in hits if word in sure]
    return 1000 * sum(weights[word] for word in counted) / max(len(words), 1), len(set(counted))


vocabulary = st.sampled_from(
    ["fuck", "asshole", "Bullshit", "dick", "sex", "ass", "home", "light", "中", "don't"]
)
texts = st.lists(vocabulary, max_size=200).map(" ".join)


@given(st.lists(texts, max_size=4))
@settings(max_examples=50, deadline=None)
def test_profanity_agrees_with_the_plain_statement(chunk):
    columns = measured(profanity(), documents(*chunk))
    for i, text in enumerate(chunk):
        expected_rate, expected_words = plain_rate(text)
        assert columns["profanity_rate"][i] == pytest.approx(expected_rate, rel=1e-6)
        assert columns["profanity_words"][i] == expected_words


# --- model ---

# From scikit-learn 1.9.1: `filters/data/export_toxicity.py WHEEL --expected`.
EXPECTED = [
    ("you are a fucking idiot and I hope you die", 0.9999999994366618),
    ("The committee will publish its report before the end of the year.", 0.007523677890537614),
    ("Scunthorpe is a town in Lincolnshire with a football club.", 0.009851540525657617),
    ("Breast cancer screening is offered to women between 50 and 70.", 0.24467384881670395),
    ("kill -9 $(pidof nginx)", 0.946731563098411),
    ("Dick Van Dyke starred in Mary Poppins.", 0.9678411032945611),
    ("What a stupid, STUPID bitch she is!!!", 0.9999999941465301),
    ("don't you'll they're it's fucking 100 00 _x_", 0.9998693929908882),
    ("naïve café résumé straße", 0.036375752016469504),
    ("Sex education in schools reduces teenage pregnancy.", 0.045580286617607414),
    ("shut the fuck up you dumb piece of shit", 0.9999999999741911),
    ("nothing known zzzzqqqq", 0.011869303575713997),
    ("the of and", 0.036375752016469504),
]


def test_the_exported_model_answers_as_scikit_learn_does():
    answers = probabilities([text for text, _ in EXPECTED])
    np.testing.assert_allclose(answers, [value for _, value in EXPECTED], rtol=0, atol=1e-9)


def test_windows_read_the_words_of_the_model():
    """Our words and the model's tokens agree on plain English, contractions and possessives included."""
    plain = [text for text, _ in EXPECTED if text.isascii() and "_" not in text]
    columns = measured(toxicity(), documents(*plain))
    np.testing.assert_allclose(columns["toxic_max"], probabilities(plain), atol=1e-6)
    contracted = ["they'll don't isn't", "that shit's bad and we've seen it", "the dog's breakfast"]
    columns = measured(toxicity(), documents(*contracted))
    np.testing.assert_allclose(columns["toxic_max"], probabilities(contracted), atol=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "Scunthorpe is a town in Lincolnshire with a football club.",
        "Breast cancer screening is offered to women between 50 and 70.",
        "Sex education in schools reduces teenage pregnancy.",
        # The model errs on a bare line of these two; within the paragraph where they belong it does not.
        "To end a process that hangs, find its number with pidof and send it a signal: kill -9 ends it now, "
        "without giving it time to write its files, so try kill without an option first and wait some time "
        "before you do. The manual page of your system lists all signals, their numbers and default actions.",
        "The film was released in August 1964. Julie Andrews played the nanny and Dick Van Dyke the chimney "
        "sweep; the studio had bought the rights from the author after years of negotiation, and the songs "
        "were written by the Sherman brothers, who won two awards of the academy in the following spring.",
    ],
)
def test_decent_text_is_not_toxic(text):
    assert measured(toxicity(), documents(text))["toxic_max"][0] < 0.5


TOXIC = "you are a fucking idiot and a worthless piece of shit"


def test_one_window_does_not_drown_in_a_long_document():
    filler = " ".join([FILLER] * 30)
    columns = measured(toxicity(), documents(f"{filler} {TOXIC} {filler}"))
    assert columns["toxic_max"][0] > 0.9
    assert 0 < columns["toxic_share"][0] <= 0.1
    assert probabilities([f"{filler} {TOXIC} {filler}"])[0] < 0.5


def test_share_counts_windows_and_the_last_one_ends_with_the_document():
    filler = [f"quiet{i}" for i in range(100)]
    words = [*filler[:60], *TOXIC.split(), *filler[:1]]
    # 72 words: words 0 to 60, and 12 to 72, which holds the toxic ones.
    columns = measured(toxicity(), documents(" ".join(words), " ".join(words[:60]), " ".join(words[:61])))
    assert columns["toxic_share"] == [0.5, 0.0, 0.0]
    both = measured(toxicity(SafetySettings(window=11)), documents(f"{TOXIC} {TOXIC}"))
    assert both["toxic_share"] == [1.0]


def test_documents_without_words_or_in_other_languages_measure_nothing():
    columns = measured(
        toxicity(), documents("", None, "...", TOXIC, TOXIC, language=["en", "en", None, "de", None])
    )
    assert columns["toxic_max"][:4] == columns["toxic_share"][:4] == [0.0] * 4
    assert columns["toxic_max"][4] > 0.9
    assert measured(toxicity(), documents()) == {"toxic_max": [], "toxic_share": []}


def plain_windows(text: str, window: int) -> tuple[float, float]:
    words = split_words(text)
    starts = [max(0, min(start, len(words) - window)) for start in range(0, len(words), window)]
    scores = probabilities([" ".join(words[start : start + window]) for start in starts])
    return max(scores, default=0.0), float(np.mean(scores >= 0.5)) if len(scores) else 0.0


@given(st.lists(texts, max_size=3), st.integers(1, 70))
@settings(max_examples=50, deadline=None)
def test_toxicity_agrees_with_the_plain_statement(chunk, window):
    columns = measured(toxicity(SafetySettings(window=window)), documents(*chunk))
    for i, text in enumerate(chunk):
        highest, share = plain_windows(text, window)
        assert columns["toxic_max"][i] == pytest.approx(highest, abs=1e-6)
        assert columns["toxic_share"][i] == pytest.approx(share)


@given(st.lists(st.text(max_size=80), max_size=4))
@settings(max_examples=50, deadline=None)
def test_any_text_is_measured_within_bounds(chunk):
    columns = measured(toxicity(), documents(*chunk)) | measured(profanity(), documents(*chunk))
    assert all(0 <= value <= 1 for name in ("toxic_max", "toxic_share") for value in columns[name])
    assert all(0 <= value <= 2000 for value in columns["profanity_rate"])


# --- hash tables ---


@given(st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=50), st.integers(0, 2**64 - 1))
@settings(max_examples=50, deadline=None)
def test_tables_find_what_is_in_them_and_nothing_else(hashes, other):
    keys = np.array(hashes, dtype=np.uint64)
    table = safety._make_table(keys, np.arange(len(keys), dtype=np.int32))
    assert [safety._find(table, key) for key in keys] == list(range(len(keys)))
    if other not in hashes:
        assert safety._find(table, np.uint64(other)) == -1
