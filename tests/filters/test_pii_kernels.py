"""The scan for candidates against regular expressions that say the same, and on bytes that are no text."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.pii_candidates import CRYPTO, IBAN, IPV4, IPV6, RUN, SIGN, find_candidates

_SEPARATOR = "[ .()\\-/+\u00a0\u2010-\u2015]"
_RUN = re.compile(rf"\d(?:{_SEPARATOR}{{0,4}}+\d){{6,}}+")
_SIGN = re.compile(r"(?<=[A-Za-z0-9_\x80-\U0010ffff])@(?=[A-Za-z0-9_\x80-\U0010ffff])")
_IPV4 = re.compile(r"(?<![A-Za-z0-9_.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9])")
_IPV6 = re.compile(r"[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]*")
_IBAN = re.compile(r"(?<![A-Za-z0-9])(?=([A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]){0,30}))")
_CRYPTO = re.compile(r"(?<![A-Za-z0-9_])(?=[13]|0x|bc1)[A-Za-z0-9_]{26,62}(?![A-Za-z0-9_])", re.IGNORECASE)


def reference(text: str) -> list[tuple[int, int, int]]:
    found = [(SIGN, m.start(), m.end()) for m in _SIGN.finditer(text)]
    found += [(RUN, m.start(), m.end()) for m in _RUN.finditer(text)]
    found += [(IPV4, m.start(), m.end()) for m in _IPV4.finditer(text)]
    found += [(CRYPTO, m.start(), m.end()) for m in _CRYPTO.finditer(text)]
    for match in _IPV6.finditer(text):
        colons = match[0].count(":")
        if len(match[0]) <= 45 and (colons == 7 or ("::" in match[0] and colons <= 8)):
            found.append((IPV6, match.start(), match.end()))
    for match in _IBAN.finditer(text):
        for end in range(1, len(match[1]) + 1):
            compact = match[1][:end].replace(" ", "").replace("-", "").upper()
            following = text[match.start() + end : match.start() + end + 1]
            whole = match[1][end - 1].isalnum() and not (following.isascii() and following.isalnum())
            if whole and len(compact) >= 15 and mod_97(compact) == 1:
                found.append((IBAN, match.start(), match.start() + end))
    return sorted(found)


def mod_97(value: str) -> int:
    return int("".join(str(int(c, 36)) for c in value[4:] + value[:4])) % 97


def candidates(text: str) -> list[tuple[int, int, int]]:
    found = find_candidates(pa.array([text], pa.large_string()))
    assert set(found[:, 0].tolist()) <= {0}
    return sorted(map(tuple, found[:, 1:].tolist()))


PIECES = [
    *"0179@:.-_ /+()\n",
    "a",
    "f",
    "bc1",
    "3",
    "0x",
    "12345",
    "12 34",
    "1.2.3.4",
    "86.121.97.248",
    "2a00:1450:",
    "::",
    "dead:",
    "GB82",
    "WEST12345698765432",
    "GB82 WEST 1234 5698 7654 32",
    "XXXXXXXXXXXXXXX",
    "qqqqqqqqqqqqqqqqqqqqqqqqqq",
    "x@y",
    "é",
    "中",
    "٣",
    "٣٤٥٦٧٨٩",
    "７８９",
    "𝟘𝟙",
    "\u00a0",
    "\u2013",
    "😀",
    " " * 61,
    "word " * 13,
]
texts = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=30).map("".join)


@given(texts)
@settings(max_examples=600, deadline=None)
def test_the_scan_agrees_with_the_regular_expressions(text):
    assert candidates(text) == reference(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1234567",
        "123456",
        "1-2-3-4-5-6-7",
        "1234     567",
        "1234    567",
        "x@y",
        "@y",
        "x@",
        "1.2.3.4",
        "1.2.3.4.5",
        "1.2.3.1234",
        "a::1",
        "0:1:2:3:4:5:6:7",
        "12:30:45",
        "abcdef::1",
        "GB82WEST12345698765432",
        "XGB82WEST12345698765432",
        "GB82WEST123456987654321",
        "1" + "a" * 24,
        "1" + "a" * 25,
        "1" + "a" * 61,
        "1" + "a" * 62,
        "٣٤٥٦٧٨٩",
        "²²²²²²²",
    ],
)
@pytest.mark.parametrize("pad", [0, 50, 57, 63, 64, 128])
def test_borders_of_blocks_and_of_each_shape(text, pad):
    for padded in ("." * pad + " " + text, "é" * pad + " " + text + " end" * 20):
        assert candidates(padded) == reference(padded)


def test_what_is_found_of_each_kind():
    assert candidates("x@y") == [(SIGN, 1, 2)]
    assert candidates("1234567") == [(RUN, 0, 7)]
    assert candidates("1.2.3.4") == [(IPV4, 0, 7)]
    assert candidates("a::1") == [(IPV6, 0, 4)]
    assert (IBAN, 0, 22) in candidates("GB82WEST12345698765432")
    assert candidates("bc1" + "q" * 30) == [(CRYPTO, 0, 33)]
    assert candidates("123456") == []


@given(st.lists(st.one_of(st.none(), texts), max_size=6), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_rows_nulls_and_slices(documents, skipped):
    for kind in (pa.string(), pa.large_string()):
        array = pa.array(documents, kind).slice(min(skipped, len(documents)))
        expected = [
            (row, *candidate)
            for row, text in enumerate(array.to_pylist())
            for candidate in reference(text or "")
        ]
        assert sorted(map(tuple, find_candidates(array).tolist())) == expected


@given(st.lists(st.binary(max_size=90), max_size=4))
@settings(max_examples=200, deadline=None)
def test_bytes_that_are_no_text_are_scanned_within_bounds(documents):
    data = b"".join(documents)
    offsets = np.cumsum([0, *map(len, documents)]).astype(np.int64)
    array = pa.Array.from_buffers(
        pa.large_string(), len(documents), [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )
    found = find_candidates(array)
    sizes = np.array([len(document) for document in documents], np.int64)
    assert np.all(found[:, 2] <= found[:, 3])
    assert np.all(found[:, 2] >= 0)
    assert np.all(found[:, 3] <= sizes[found[:, 0]])


def test_more_candidates_than_there_was_room_for():
    text = "1.2.3.4 " * 5000
    assert len(find_candidates(pa.array(["x", text], pa.large_string()))) == len(reference(text))


def test_other_types_and_damaged_arrays_are_refused():
    with pytest.raises(TypeError, match="int64"):
        find_candidates(pa.array([1]))
    offsets = pa.py_buffer(np.array([0, 50, 5], np.int64))
    broken = pa.Array.from_buffers(pa.large_string(), 2, [None, offsets, pa.py_buffer(b"short")])
    with pytest.raises(ValueError, match="do not ascend within its 5 bytes"):
        find_candidates(broken)
