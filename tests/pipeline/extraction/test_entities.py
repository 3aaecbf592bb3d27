"""Character references against `html.unescape`."""

from __future__ import annotations

import html
from html.entities import html5

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.extraction.entities import read_reference, write_character

pieces = st.one_of(
    st.sampled_from(
        [
            "&",
            "&amp",
            "&amp;",
            "&notit;",
            "&nGt;",
            "&#",
            "&#x",
            "&#39",
            "&#x80;",
            "&#0;",
            "&#xD800;",
            "&#99999999999;",
            ";",
        ]
    ),
    st.sampled_from(sorted(html5)).map("&{}".format),
    st.integers(0, 0x110010).map("&#{};".format),
    st.integers(0, 0x3000).map("&#x{:x}".format),
    st.text("abltgqmp;#xX&1 é<=", max_size=5),
)


def unescape(text: str) -> str:
    data, out = np.frombuffer(text.encode(), np.uint8), np.zeros(2 * len(text.encode()) + 16, np.uint8)
    position = written = 0
    while position < len(data):
        if data[position] == ord("&"):
            code, second, position = read_reference(data, position, len(data))
            if code >= 0:
                written = write_character(out, written, code)
            if second:
                written = write_character(out, written, second)
        else:
            out[written] = data[position]
            position, written = position + 1, written + 1
    return out[:written].tobytes().decode()


@given(st.lists(pieces, max_size=8).map("".join))
@example("&#11;&#12;&#13;&#127;&#128;&#129;&#xFFFE;&#x10FFFF;&#xFDD0;")
@example("&CounterClockwiseContourIntegral;&CounterClockwiseContourIntegrals;")
@settings(max_examples=300)
def test_references_read_as_html_unescape_reads_them(text):
    assert unescape(text) == html.unescape(text)


def test_every_named_reference():
    assert unescape("".join(f"&{name} " for name in html5)) == "".join(f"{text} " for text in html5.values())


@pytest.mark.parametrize("name", ["nGt;", "nvlt;"])
def test_the_text_never_outgrows_its_bound(name):
    """Two characters of three bytes from five bytes: the growth that the text buffer is allocated for."""
    assert len(html5[name].encode()) <= 1.25 * len(f"&{name}")


def test_no_reference_outgrows_the_bound():
    assert max(len(text.encode()) / (len(name) + 1) for name, text in html5.items()) <= 1.25
