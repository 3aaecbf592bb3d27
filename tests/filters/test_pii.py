"""Personal identifiers: what is found, what is not, how it is replaced, and that nothing leaks or hangs."""

from __future__ import annotations

import logging
import socket
import traceback

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters import pii_recognisers
from filters.pii import (
    COLUMNS,
    PATTERN_TYPES,
    TYPES,
    PiiError,
    PiiSettings,
    Span,
    columns_of,
    find_spans,
    redact,
    redact_columns,
    replace,
)
from filters.pii_edit import same_value


def found(text: str) -> list[tuple[str, str]]:
    return [(span.type, text[span.start : span.end]) for span in find_spans(text)]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("write to jane.doe+news@mail.example.co.uk.", "email", "jane.doe+news@mail.example.co.uk"),
        ("Mail:o'brien@example.org;", "email", "o'brien@example.org"),
        ("https://example.com/?user=joe@example.com&x=1", "email", "joe@example.com"),
        ("write to joe@example.org.Then wait", "email", "joe@example.org"),
        ("联系邮箱joe@example.com联系", "email", "joe@example.com"),
        ("josé@example.com", "email", "josé@example.com"),
        ("reach me at (415) 863-2171 today", "phone", "(415) 863-2171"),
        ("reach me at 415.863.2171 today", "phone", "415.863.2171"),
        ("or +44 20 7946 0018.", "phone", "+44 20 7946 0018"),
        ("or 01904 373 069, in York", "phone", "01904 373 069"),
        ("on 609-567-0700, extension 1225.", "phone", "609-567-0700, extension 1225"),
        ("Phone: 4158632171", "phone", "4158632171"),
        ("Fax:\n467 3395", "phone", "467 3395"),
        ("782 2652 mobile", "phone", "782 2652"),
        ("4158632171 fax\n", "phone", "4158632171"),
        ("desk +41 (0)96 471 07 95", "phone", "+41 (0)96 471 07 95"),
        ("咨询电话：58792888", "phone", "58792888"),
        ("from 86.121.97.248 at noon", "ip", "86.121.97.248"),
        ("http://86.121.97.248/index.html", "ip", "86.121.97.248"),
        ("地址86.121.97.248是", "ip", "86.121.97.248"),
        ("use 8.8.8.8 instead", "ip", "8.8.8.8"),
        ("the server 5.9.1.2 is down", "ip", "5.9.1.2"),
        ("from 2a00:1450:4001:81b::200e at", "ip", "2a00:1450:4001:81b::200e"),
        ("card 4012-8888-8888-1881, valid", "credit_card", "4012-8888-8888-1881"),
        ("card 3782 822463 10005 04/25", "credit_card", "3782 822463 10005"),
        ("card 5555555555554444", "credit_card", "5555555555554444"),
        ("card 2223003122003222", "credit_card", "2223003122003222"),
        ("card 6759649826438453", "credit_card", "6759649826438453"),
        ("IBAN GB82 WEST 1234 5698 7654 32 is mine", "iban", "GB82 WEST 1234 5698 7654 32"),
        ("ES9121000418450200051332 from that bank", "iban", "ES9121000418450200051332"),
        ("my iban is gb82west12345698765432", "iban", "gb82west12345698765432"),
        ("his number is 536-90-4399.", "us_ssn", "536-90-4399"),
        ("SSN 536 90 4399", "us_ssn", "536 90 4399"),
        ("SSN: 536904399", "us_ssn", "536904399"),
        ("my bank account 1234567890 at", "bank_account", "1234567890"),
        ("Account No. 'HDFC012345678901',", "bank_account", "HDFC012345678901"),
        ("account number: 1243-5678-90", "bank_account", "1243-5678-90"),
        ("send to 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa.", "crypto", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
        (
            "or bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq,",
            "crypto",
            "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
        ),
        (
            "0x52908400098527886E0F7030069857D2E4169EE7",
            "crypto",
            "0x52908400098527886E0F7030069857D2E4169EE7",
        ),
    ],
)
def test_an_identifier_is_found_whole(text, kind, value):
    assert found(text) == [(kind, value)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no identifiers at all",
        "@everyone, follow @jane on 2x",
        "logo@2x.png and lodash@4.17.21",
        "git@github.com:owner/project.git",
        "backup@host.example.com:/var/backups",
        "joe@localhost",
        # Phone numbers that are none: each was found on a real page, or in its like.
        "ISBN 0-521-54228-6",
        "Penguin Books. ISBN\u00a00-14-014519-2.",
        "doi:10.1073/pnas.0605684103. PMC\u00a01697831. PMID\u00a017159",
        "Bug 1680796 - Ensure that",
        "#1682862 Member",
        "0.21629522817435006346 │ 5",
        "3.0822070014844882",
        "2022 2035 7 0 15 24",
        "22 23 24 25 26 27",
        "between 1642-1772 and 1989-1997",
        "Europeans 1642–1772. Auckland",
        "filed under 03/095/2018",
        "on 2018.04.05 and 2020-08-01 17:57:00",
        "versions 6.4.102...6.4.103",
        "https://example.com/photo-415-863-2171",
        "https://example.com/1166300/2609912",
        "routing number 061000104",
        "4158632171 mobile users",
        "unix time 1598918400 or 1598918400000",
        # Addresses that say nothing about anybody, and what only looks like one.
        "10.218.6.131, 127.0.0.1, 192.168.0.1, 169.254.0.0/16, 198.51.100.7",
        "section 13.10.2.14, version 86.121.97.24, Chrome/86.121.97.24",
        "see 3.1.2.4",
        "17.0.0.0/8",
        "at 12:30:45, std::vector<int>, dead::beef, ::1, fe80::1",
        # Check digits, issuers and ranges.
        "card 4012888888881882",
        "card 9012888888881881",
        "https://news.example.com/4012888888881881",
        "0.4012888888881881",
        "GB82WEST12345698765433",
        "987-65-4320 and 000-12-3456 and 666-12-3456 and 123-00-4567",
        "Suite 680 36 4022 Oakridge",
        "536904399 visitors",
        "your account 1234567 was opened",
        "account 1234567890123456789012",
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
        "0x0000000000000000000000000000000000000000",
        "commit 52908400098527886e0f7030069857d2e4169ee7",
        "0x52908400098527886E0F7030069857D2E4169EE7ab",
    ],
)
def test_what_is_no_identifier_is_left(text):
    assert found(text) == []


def test_the_stronger_type_wins():
    # Nine digits with hyphens are a phone number to phone number rules, and so are parts of a card's number.
    assert found("call 536-90-4399") == [("us_ssn", "536-90-4399")]
    assert found("call 4012 8888 8888 1881") == [("credit_card", "4012 8888 8888 1881")]
    assert found("blocked 86.231.85.193 now") == [("ip", "86.231.85.193")]


def test_numbers_in_a_row_are_found_each_and_tables_are_not_searched():
    row = " ".join(["415-863-2171"] * 20)
    assert found(row) == [("phone", "415-863-2171")] * 20
    assert found("phone: " + "415 863 2171 " * 20) == []


def test_placeholders_are_numbered_by_value():
    text = "a@example.com, B@example.com, A@EXAMPLE.COM; +44 20 7946 0018, +44 (20) 7946-0018, 415-863-2171"
    edited, _ = redact(pa.array([text]))
    assert edited.to_pylist() == ["<EMAIL_1>, <EMAIL_2>, <EMAIL_1>; <PHONE_1>, <PHONE_1>, <PHONE_2>"]


def test_numbers_start_anew_in_every_document():
    edited, _ = redact(pa.array(["x@example.com", "y@example.com"]))
    assert edited.to_pylist() == ["<EMAIL_1>", "<EMAIL_1>"]


def test_every_type_has_its_placeholder_and_its_column():
    text = (
        "a@example.com 415-863-2171 86.121.97.248 4012888888881881 GB82WEST12345698765432 536-90-4399 "
        "bank account 12345678 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"
    )
    text += " 0x52908400098527886E0F7030069857D2E4169EE7"
    edited, columns = redact(pa.array([text, "nothing"], pa.large_string()))
    assert edited.to_pylist()[0] == (
        "<EMAIL_1> <PHONE_1> <IP_1> <CREDIT_CARD_1> <IBAN_1> <US_SSN_1> bank account <BANK_ACCOUNT_1> "
        "<CRYPTO_1> <CRYPTO_2>"
    )
    assert {column.name: column.type for column in COLUMNS} == {k: v.type for k, v in columns.items()}
    once = [kind for kind in PATTERN_TYPES if columns[f"pii.{kind}"].to_pylist() == [1, 0]]
    assert [kind for kind in PATTERN_TYPES if kind not in once] == ["crypto"]
    assert columns["pii.crypto"].to_pylist() == [2, 0]


def test_columns_of_one_document_share_their_placeholders():
    text, title = pa.array(["a@x.org, b@x.org", None]), pa.array(["b@x.org and c@x.org", "b@x.org"])
    edited, columns = redact_columns([text, title])
    assert [column.to_pylist() for column in edited] == [
        ["<EMAIL_1>, <EMAIL_2>", None],
        ["<EMAIL_2> and <EMAIL_3>", "<EMAIL_1>"],
    ]
    assert columns["pii.email"].to_pylist() == [4, 1]
    assert columns["pii.density"].to_pylist() == [pytest.approx(4000 / 13), pytest.approx(1000 / 3)]


def test_names_add_their_columns():
    assert [column.name for column in columns_of(PiiSettings(person="keep"))][-2:] == [
        "pii.person",
        "pii.density",
    ]
    assert columns_of(PiiSettings()) == COLUMNS


def test_redacting_twice_changes_nothing():
    once, _ = redact(pa.array(["mail a@example.com or call (415) 863-2171"]))
    twice, columns = redact(once)
    assert twice == once
    assert columns["pii.density"].to_pylist() == [0.0]


def test_density_is_per_thousand_words():
    _, columns = redact(pa.array(["one two three joe@example.com", "no identifier", "", None]))
    # joe, example and com are three words.
    assert columns["pii.density"].to_pylist() == [pytest.approx(1000 / 6), 0.0, 0.0, 0.0]


def test_a_kept_type_is_counted_but_not_replaced():
    text = pa.array(["a@example.com 86.121.97.248"])
    edited, columns = redact(text, PiiSettings(email="keep"))
    assert edited.to_pylist() == ["a@example.com <IP_1>"]
    assert columns["pii.email"].to_pylist() == columns["pii.ip"].to_pylist() == [1]
    assert redact(text, PiiSettings(email="keep", ip="keep"))[0] == text


@pytest.mark.parametrize("type_", [pa.string(), pa.large_string()])
def test_type_order_nulls_and_slices_are_kept(type_):
    array = pa.array(["drop", "a@example.com", None, "", "plain", "b@example.com"], type_).slice(1)
    edited, columns = redact(array)
    assert edited.type == type_
    assert edited.to_pylist() == ["<EMAIL_1>", None, "", "plain", "<EMAIL_1>"]
    assert columns["pii.email"].to_pylist() == [1, 0, 0, 0, 1]
    assert len(redact(array.slice(0, 0))[0]) == 0


def test_malformed_utf8_is_searched():
    data = b"\xff joe@example.com \xc3"
    offsets = pa.array([0, len(data)], pa.int64()).buffers()[1]
    broken = pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, pa.py_buffer(data)])
    edited, _ = redact(broken)
    assert edited.to_pylist() == ["\ufffd <EMAIL_1> \ufffd"]


def test_regions_decide_which_national_numbers_are_known():
    text = "at 0931 12345678 or +41 44 668 18 00"
    assert ("phone", "+41 44 668 18 00") in found(text)
    swiss = find_spans("at 044 668 18 00 in Zürich", PiiSettings(regions=("CH",)))
    assert [span.type for span in swiss] == ["phone"]
    with pytest.raises(ValueError, match="pattern"):
        PiiSettings(regions=("us",))


def test_a_failing_recogniser_names_the_row_and_never_the_text(monkeypatch):
    def fail(text: str) -> list[object]:
        raise ValueError(f"cannot judge {text}")

    monkeypatch.setattr(pii_recognisers, "recognisers", lambda: dict.fromkeys(TYPES, fail))
    texts = pa.array(
        ["fine", "@".join(["secret", "example.com"])]
    )  # not whole in a line that a traceback shows
    with pytest.raises(PiiError, match="document 1 of the chunk: ValueError") as raised:
        redact(texts)
    assert "@example.com" not in "".join(traceback.format_exception(raised.value))
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


def test_nothing_is_logged(caplog):
    with caplog.at_level(logging.DEBUG):
        find_spans(
            "a@example.com 4012888888881881 GB82WEST12345698765433 gb82west12345698765432 415-863-2171"
        )
        logging.getLogger("presidio-analyzer").error("Failed to validate text %s", "GB82WEST")
    assert caplog.records == []


def test_nothing_is_fetched(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    pii_recognisers.recognisers.cache_clear()
    assert found("a@example.com") == [("email", "a@example.com")]


HOSTILE = {
    "digits": ("7", 10_000_000),
    "signs": ("@", 10_000_000),
    "letters": ("a", 10_000_000),
    "letters and signs": ("a@", 300_000),
    "an address of many": ("a@b.co", 60_000),
    "small numbers": ("1 2 3 ", 500_000),
    "points": ("1.1.1.1.", 500_000),
    "colons": ("a:", 500_000),
    "hexadecimal": ("abcd:", 500_000),
    "almost IBANs": ("AB12 3456 ", 100_000),
    "slashes": ("/1", 1_000_000),
    "pluses": ("+1 ", 1_000_000),
    "open brackets": ("(", 1_000_000),
    "dashes": ("1-", 1_000_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_judged_in_short_pieces(name, monkeypatch):
    """No piece given to a recogniser is long, and together they are a small multiple of the text.

    What is not counted are the scans for candidates: were one of them quadratic, this test would not end.
    """
    judged: list[int] = []
    recognisers, phone = pii_recognisers.recognisers(), pii_recognisers.phone_recogniser

    def count(recogniser):
        return lambda text: judged.append(len(text)) or recogniser(text)

    counting = {kind: count(recogniser) for kind, recogniser in recognisers.items()}
    monkeypatch.setattr(pii_recognisers, "recognisers", lambda: counting)
    monkeypatch.setattr(pii_recognisers, "phone_recogniser", lambda region: count(phone(region)))
    unit, length = HOSTILE[name]
    text = (unit * (length // len(unit) + 1))[:length]
    redact(pa.array([text]))
    assert max(judged, default=0) <= 400
    assert sum(judged) <= 8 * length


FRAGMENTS = [
    "a@example.com",
    "x@y",
    "@",
    "415-863-2171",
    "(415) 863 2171",
    "+44 20 7946 0018",
    "phone: ",
    "86.121.97.248",
    "10.0.0.1",
    "2a00:1450:4001:81b::200e",
    "::",
    "4012888888881881",
    "4012 8888 8888 1881",
    "GB82WEST12345698765432",
    "gb82 west 1234 5698 7654 32",
    "536-90-4399",
    "http://",
    "ISBN ",
    " ",
    "\n",
    "-",
    ".",
    "7",
    "word",
    "é",
    "中",
    "\u00a0",
    "٣",
    "😀",
]
texts = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=4)), max_size=12).map("".join)


@given(texts)
@settings(max_examples=250, deadline=None)
def test_spans_are_ordered_apart_and_inside_the_text(text):
    spans = find_spans(text)
    bounds = [bound for span in spans for bound in (span.start, span.end)]
    assert bounds == sorted(bounds)
    assert all(0 <= span.start < span.end <= len(text) and span.type in TYPES for span in spans)


@given(st.lists(st.one_of(st.none(), texts), max_size=5))
@settings(max_examples=150, deadline=None)
def test_a_chunk_is_its_documents_one_by_one(documents):
    """The vectorised scan misses no document in which the search finds something."""
    edited, columns = redact(pa.array(documents, pa.large_string()))
    for row, document in enumerate(documents):
        spans = find_spans(document or "")
        assert edited[row].as_py() == (None if document is None else replace(document, spans))
        for kind in PATTERN_TYPES:
            assert columns[f"pii.{kind}"][row].as_py() == sum(span.type == kind for span in spans)


def plain_replace(text: str, spans: list[Span]) -> str:
    """Character by character, from the back, with the numbers given in a first pass."""
    values: dict[str, list[str]] = {}
    for span in spans:
        value = same_value(text[span.start : span.end], span.type)
        if value not in values.setdefault(span.type, []):
            values[span.type].append(value)
    for span in reversed(spans):
        number = values[span.type].index(same_value(text[span.start : span.end], span.type)) + 1
        text = f"{text[: span.start]}<{span.type.upper()}_{number}>{text[span.end :]}"
    return text


@given(texts)
@settings(max_examples=100, deadline=None)
def test_replacing_agrees_with_the_plain_statement(text):
    spans = find_spans(text)
    assert replace(text, spans) == plain_replace(text, spans)
