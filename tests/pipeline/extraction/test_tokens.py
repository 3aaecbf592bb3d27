"""The tokenizer kernels against a plain-Python tokenizer, and the rules of raw text and comments one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings

from pipeline.extraction import tokens as kernels
from pipeline.extraction.hashing import name_hash
from tests.pipeline.extraction import reference
from tests.pipeline.extraction.reference import Token

KINDS = {
    kernels.START_TAG: "start",
    kernels.END_TAG: "end",
    kernels.COMMENT: "comment",
    kernels.CDATA: "cdata",
}


def kernel_tokens(html: bytes) -> list[tuple]:
    """The kernel's token stream, names as hashes."""
    data, end = np.frombuffer(html, np.uint8), len(html)
    found: list[tuple] = []
    text, position = b"", 0
    while position < end:
        start = kernels.find(data, position, end, kernels.LESS)
        text += html[position:start]
        if start >= end:
            break
        kind, name, position = kernels.open_token(data, start, end)
        if kind == kernels.LITERAL:
            text += html[start:position]
            continue
        if text:
            found.append(("text", text))
        text = b""
        if kind in (kernels.START_TAG, kernels.END_TAG):
            attributes, what = [], kernels.ATTRIBUTE
            while True:
                what, attribute, value, stop, position = kernels.next_attribute(data, position, end)
                if what != kernels.ATTRIBUTE:
                    break
                attributes.append((int(attribute), html[value:stop]))
            if what == kernels.CUT_OFF:
                break
            found.append((KINDS[kind], int(name), tuple(attributes), what == kernels.SELF_CLOSING))
        else:
            found.append((KINDS[kind],))
    return found + ([("text", text)] if text else [])


def hashed(token: Token) -> tuple:
    if token.kind == "text":
        return ("text", token.name)
    if token.kind in ("start", "end"):
        attributes = tuple((_hash(name), value) for name, value in token.attributes)
        return (token.kind, _hash(token.name), attributes, token.closing)
    return (token.kind,)


def _hash(name: bytes) -> int:
    return name_hash(name.decode("utf-8", "surrogateescape")) if _is_utf8(name) else _raw_hash(name)


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _raw_hash(name: bytes) -> int:
    state = 0xCBF29CE484222325
    for byte in name.lower():
        state = ((state ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return state


@given(reference.soups)
@example('<a b="')
@example("<a b=")
@example("<a b= >x")
@example("<a / b>x</a/>")
@example("<a b=c/>x")
@example("<p =x=y>")
@example("a < b <3 </ x> </")
@example("<!--a--!>b<!-->c<!--->d<!--e--->f<!--")
@settings(max_examples=300)
def test_tokens_agree_with_the_reference(soup):
    html = soup.encode("utf-8", "replace")
    assert kernel_tokens(html) == [hashed(token) for token in reference.tokens(html)]


@pytest.mark.parametrize(
    ("script", "end"),
    [
        ("a</script>", 1),
        ("a</SCRIPT >", 1),
        ("a</scripts></script>", 11),
        ("if(a<b)'</p>'</script>", 13),
        ("<!--<script>a</script>--></script>", 25),
        ("<!--a</script>", 5),
        ("<!--<script>--></script>", 15),
        ("<!--><script></script>", 13),
        ("never ends", 10),
        ("</script", 8),
    ],
)
def test_a_script_ends_where_browsers_end_it(script, end):
    data = np.frombuffer(script.encode(), np.uint8)
    name = np.uint64(name_hash("script"))
    assert kernels.raw_text_end(data, 0, len(data), name, True) == end


def test_other_raw_text_knows_no_escapes():
    data = np.frombuffer(b"<!--<style>a</style>-->", np.uint8)
    assert kernels.raw_text_end(data, 0, len(data), np.uint64(name_hash("style")), False) == 12
