"""What identifiers are replaced by: numbers by value, and pseudonyms that only the key explains."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.pii import PiiKeyError, PiiSettings, Span, check, redact
from filters.pii_edit import Editor, pseudonym, same_value

KEY = "0123456789abcdef-secret"
TEXT = "a@example.com, B@example.com; A@Example.com or 415-863-2171"


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("CORPUSMILL_PII_KEY", KEY)
    return KEY


def test_a_pseudonym_is_the_same_in_all_documents_and_hides_value_and_key(key):
    first, _ = redact(pa.array([TEXT]), PiiSettings(email="pseudonym"))
    second, _ = redact(pa.array(["nothing", "b@example.com"]), PiiSettings(email="pseudonym"))
    of_a, of_b = (pseudonym("email", f"{name}@example.com", key.encode()) for name in "ab")
    assert first.to_pylist() == [f"<EMAIL_{of_a}>, <EMAIL_{of_b}>; <EMAIL_{of_a}> or <PHONE_1>"]
    assert second.to_pylist() == ["nothing", f"<EMAIL_{of_b}>"]
    assert len(of_a) == 16
    assert key not in first.to_pylist()[0]


def test_another_key_and_another_type_give_another_pseudonym():
    # Fixed by specification: what is stored today can be compared next year.
    assert pseudonym("email", "a@example.com", b"k" * 16) == "15f518977cba2924"
    assert pseudonym("email", "x", b"k" * 16) != pseudonym("email", "x", b"l" * 16)
    assert pseudonym("email", "x", b"k" * 16) != pseudonym("phone", "x", b"k" * 16)
    assert pseudonym("email", "x", b"k" * 65) != pseudonym("email", "x", b"k" * 66)


def test_the_key_may_be_in_a_file(tmp_path, monkeypatch):
    monkeypatch.delenv("CORPUSMILL_PII_KEY", raising=False)
    path = tmp_path / "key"
    path.write_text(KEY + "\n")
    settings = PiiSettings(phone="pseudonym", key_file=str(path))
    assert settings.read_key() == KEY.encode()
    edited, _ = redact(pa.array([TEXT]), settings)
    assert pseudonym("phone", "4158632171", KEY.encode()) in edited.to_pylist()[0]
    assert KEY not in settings.model_dump_json()


def test_no_key_no_pseudonyms(tmp_path, monkeypatch):
    monkeypatch.delenv("CORPUSMILL_PII_KEY", raising=False)
    with pytest.raises(PiiKeyError, match="CORPUSMILL_PII_KEY, which has 0; make one with: openssl rand"):
        redact(pa.array(["x"]), PiiSettings(email="pseudonym"))
    monkeypatch.setenv("CORPUSMILL_PII_KEY", "k" * 15)
    with pytest.raises(PiiKeyError, match=r"at least 16 bytes.* which has 15") as raised:
        check(PiiSettings(email="pseudonym"))
    assert "k" * 15 not in str(raised.value)
    with pytest.raises(PiiKeyError, match="cannot be read"):
        check(PiiSettings(email="pseudonym", key_file=str(tmp_path / "none")))
    check(PiiSettings())


@pytest.mark.parametrize(
    ("kind", "first", "second", "same"),
    [
        ("email", "Joe@Example.com", "joe@example.com", True),
        ("phone", "(415) 863-2171", "415.863.2171", True),
        ("phone", "٣٤٥٦٧٨٩", "3456789", True),
        ("iban", "GB82 WEST 1234", "gb82west1234", True),
        ("bank_account", "1234-5678", "12345678", True),
        ("crypto", "1aB", "1Ab", False),
        ("person", "Ada  Lovelace", "ada\nlovelace", True),
        ("ip", "2A00::1", "2a00::1", True),
        ("email", "a.b@x.org", "ab@x.org", False),
    ],
)
def test_which_spellings_are_one_value(kind, first, second, same):
    assert (same_value(first, kind) == same_value(second, kind)) is same


@given(st.lists(st.sampled_from("abc"), max_size=8))
def test_numbers_follow_first_appearance(letters):
    text = " ".join(f"{letter}@x" for letter in letters)
    spans = [Span(4 * i, 4 * i + 3, "email") for i in range(len(letters))]
    order = list(dict.fromkeys(letters))
    expected = " ".join(f"<EMAIL_{order.index(letter) + 1}>" for letter in letters)
    assert Editor(PiiSettings()).edit(text, spans) == expected
