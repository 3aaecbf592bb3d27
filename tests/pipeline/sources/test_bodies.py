"""HTTP bodies: codings undone, bodies that break off, bombs; and the text of bodies (charsets)."""

from __future__ import annotations

import contextlib
import gzip
import tracemalloc
import zlib
from pathlib import Path

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sources.bodies import decode_body
from pipeline.sources.charset import LABELS, decode_html, encoding_of_label, meta_charset
from pipeline.sources.members import BadRecordError
from tests.pipeline.sources.archives import HTTP, archive, page, read, read_one, record, stored

# Bodies


def coded(codings: str, body: bytes, name: bytes = b"Content-Encoding") -> bytes:
    return page("x", body, b"HTTP/1.1 200 OK\r\n" + name + b": " + codings.encode() + b"\r\n\r\n")


def chunked(body: bytes, size: int = 7) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%X;ext=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def quick_brotli(body: bytes) -> bytes:
    return brotli.compress(body, quality=5)


def deflated(body: bytes, wbits: int) -> bytes:
    deflate = zlib.compressobj(wbits=wbits)
    return deflate.compress(body) + deflate.flush()


TEXT = "<p>A page, ünïcode and all</p>\n".encode() * 60
CODED = [
    ("gzip", gzip.compress(TEXT, mtime=0)),
    ("X-GZip", gzip.compress(TEXT, mtime=0)),
    ("gzip", gzip.compress(TEXT[:99], mtime=0) + gzip.compress(TEXT[99:], mtime=0)),
    ("gzip", gzip.compress(TEXT, mtime=0) + b"trailing bytes"),
    ("deflate", deflated(TEXT, 15)),
    ("deflate", deflated(TEXT, -15)),
    ("br", brotli.compress(TEXT)),
    ("zstd", zstandard.compress(TEXT)),
    ("gzip, br", brotli.compress(gzip.compress(TEXT, mtime=0))),
    ("identity", TEXT),
    ("utf-8", TEXT),
]


@pytest.mark.parametrize(("codings", "body"), CODED)
def test_content_codings_are_undone(tmp_path: Path, codings: str, body: bytes) -> None:
    row = read_one(tmp_path, coded(codings, body))
    assert (row["raw"], row["http.bytes"], row["warc.truncated"]) == (TEXT, len(TEXT), None)


def test_chunked_and_gzip_together(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    row = read_one(tmp_path, page("x", chunked(gzip.compress(TEXT)), head))
    assert (row["raw"], row["warc.truncated"]) == (TEXT, None)


@pytest.mark.parametrize("codings", ["gzip", "deflate", "br", "zstd", "gzip, br"])
def test_a_coding_that_the_archive_has_undone_already(tmp_path: Path, codings: str) -> None:
    assert read_one(tmp_path, coded(codings, TEXT))["raw"] == TEXT


@pytest.mark.parametrize("body", [b"plain", b"", b"add\nnot chunked", b"\r\n\r\n"])
def test_a_chunked_body_that_is_not(tmp_path: Path, body: bytes) -> None:
    row = read_one(tmp_path, coded("chunked", body, b"Transfer-Encoding"))
    assert (row["raw"], row["error"]) == (body, None)


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "compress", "deflate"])
def test_a_body_in_no_coding_that_is_no_text_fails(tmp_path: Path, coding: str) -> None:
    row = read_one(tmp_path, coded(coding, b"\x07\x00\x01\x02\xff\xfe" * 30))
    assert (row["error"], row["url"], row["http.status"]) == (
        "http.bad_encoding",
        "http://example.org/x",
        200,
    )


@pytest.mark.parametrize(
    ("codings", "body"), [("gzip", gzip.compress), ("br", quick_brotli), ("deflate", zlib.compress)]
)
def test_a_body_whose_coding_breaks_off_is_kept_and_marked(tmp_path: Path, codings: str, body) -> None:
    whole = b"".join(b"%d %x\n" % (n, n * n) for n in range(50_000))
    row = read_one(tmp_path, coded(codings, body(whole)[:-2000]))
    assert whole.startswith(row["raw"])
    assert len(row["raw"]) > len(whole) // 2
    assert row["warc.truncated"] == "decoding"


def test_a_chunked_body_that_breaks_off_is_kept_and_marked(tmp_path: Path) -> None:
    row = read_one(tmp_path, coded("chunked", chunked(TEXT)[:-900], b"Transfer-Encoding"))
    assert TEXT.startswith(row["raw"])
    assert row["warc.truncated"] == "decoding"


def repeated_gzip(size: int) -> bytes:
    deflate = zlib.compressobj(9, wbits=31)
    block = bytes(1 << 20)
    return b"".join(deflate.compress(block) for _ in range(size >> 20)) + deflate.flush()


BOMBS = {
    "gzip": repeated_gzip,
    "br": lambda size: brotli.compress(bytes(size), quality=5),
    "zstd": lambda size: zstandard.compress(bytes(size)),
}


@pytest.mark.parametrize("coding", BOMBS)
def test_a_decompression_bomb_is_not_held(tmp_path: Path, coding: str) -> None:
    path = archive(tmp_path, [coded(coding, BOMBS[coding](100 << 20)), page("b")])
    tracemalloc.start()
    rows = read(path, max_bytes=2 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(row["raw"], row["error"]) for row in rows] == [(None, None), (b"<p>page</p>", None)]
    assert 2 << 20 < rows[0]["http.bytes"] < 4 << 20
    assert peak < 16 << 20


def test_a_bomb_of_members_is_passed_over_in_bounded_memory(tmp_path: Path) -> None:
    block = HTTP + bytes(64 << 20)
    bomb = gzip.compress(record("http://example.org/bomb", block), 1)
    del block
    path = stored(tmp_path, bomb + gzip.compress(page("b")))
    tracemalloc.start()
    rows = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row["http.bytes"] for row in rows] == [64 << 20, 11]
    assert peak < 8 << 20


def test_too_many_codings() -> None:
    with pytest.raises(BadRecordError, match="5 content codings"):
        decode_body(b"x", ["gzip"] * 5, 100)


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=300),
    st.lists(st.sampled_from(["gzip", "br", "deflate", "zstd", "chunked"]), max_size=3),
)
def test_decoding_undoes_encoding(body: bytes, codings: list[str]) -> None:
    encode = {
        "gzip": gzip.compress,
        "br": brotli.compress,
        "deflate": zlib.compress,
        "zstd": zstandard.compress,
        "chunked": chunked,
    }
    encoded = body
    for coding in codings:
        encoded = encode[coding](encoded)
    decoded = decode_body(encoded, codings, 1000)
    assert (decoded.raw, decoded.length, decoded.complete) == (body, len(body), True)


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=300),
    st.lists(st.sampled_from(["gzip", "br", "deflate", "zstd", "chunked"]), max_size=3),
)
def test_decoding_survives_anything(body: bytes, codings: list[str]) -> None:
    with contextlib.suppress(BadRecordError):
        decoded = decode_body(body, codings, 100)
        assert decoded.raw is None or len(decoded.raw) == decoded.length <= 100


# Charsets (pipeline/sources/charset.py)


def test_all_labels_of_the_encoding_standard_are_known() -> None:
    assert len(LABELS) == 228
    assert len(set(LABELS.values())) == 40
    assert encoding_of_label(" Latin1\n") == "windows-1252"
    assert encoding_of_label("no-such") is encoding_of_label("") is encoding_of_label(None) is None


@pytest.mark.parametrize("label", sorted(LABELS))
def test_every_label_decodes_any_bytes(label: str) -> None:
    text, name = decode_html(b"<p>" + bytes(range(256)) + bytes(range(255, -1, -1)), label)
    assert name == LABELS[label]
    text.encode("utf-8")


@pytest.mark.parametrize(
    ("label", "raw", "text"),
    [
        ("iso-8859-1", b"\x80\x93\x81\xe9", "€“\x81é"),  # windows-1252, unassigned bytes as controls
        ("tis-620", b"\x80\xa1\xdb", "€ก\ufffd"),
        ("shift_jis", "①㈱日本".encode("cp932"), "①㈱日本"),
        ("euc-jp", b"\xad\xa1\xad\xea\xc6\xfc\xcb\xdc\xff", "①㈱日本\ufffd"),  # NEC's row 13
        ("gb2312", b"\x80\xd6\xd0", "€中"),
        ("big5", b"\xa4\xa4\xa3\xe1\x87\x40", "中€䏰"),  # the euro of code page 950, a character of HKSCS
        ("ks_c_5601-1987", "똠방각하".encode("cp949"), "똠방각하"),
        ("iso-2022-jp", "日本".encode("iso2022_jp"), "日本"),
        ("x-user-defined", b"a\x80\xff", "a\uf780\uf7ff"),
        ("hz-gb-2312", b"~{<:~}", "\ufffd"),
        ("hz-gb-2312", b"", ""),
        ("utf-16le", b"a\x00\x00\xd8b\x00", "a\ufffdb"),
        ("utf-8", b"a\xff\xc3\xa9\xe2\x82", "a\ufffdé\ufffd"),
        ("koi8-r", "Привет".encode("koi8-r"), "Привет"),
    ],
)
def test_labels_mean_what_browsers_take_them_for(label: str, raw: bytes, text: str) -> None:
    assert decode_html(raw, label)[0] == text


def test_the_order_is_mark_header_meta_detection() -> None:
    meta = b'<meta charset="koi8-r">'
    assert decode_html(b"\xef\xbb\xbf" + meta, "windows-1251") == (meta.decode(), "utf-8")
    assert decode_html(b"\xff\xfea\x00", "utf-8") == ("a", "utf-16le")
    assert decode_html(b"\xfe\xff\x00a", None) == ("a", "utf-16be")
    assert decode_html(meta, "windows-1251")[1] == "windows-1251"
    assert decode_html(meta, "nonsense")[1] == "koi8-r"
    assert decode_html(meta, None)[1] == "koi8-r"
    assert decode_html("é".encode(), None) == ("é", "utf-8")
    assert decode_html(b"", None) == ("", "utf-8")


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"<META CHARSET=big5>", "big5"),
        (b"<meta\ncharset = 'koi8-r' >", "koi8-r"),
        (b'<meta http-equiv="Content-Type" content="text/html; charset=windows-1251">', "windows-1251"),
        (b"<meta content='text/html;charset=\"gbk\"' http-equiv=content-type>", "gbk"),
        (b'<meta name="x" content="text/html; charset=windows-1251">', None),
        (b'<!-- <meta charset="koi8-r"> --><meta charset="big5">', "big5"),
        (b'<!-- <meta charset="koi8-r">', None),
        (b'<a title="<meta charset=koi8-r>"><meta charset="big5">', "big5"),
        (b'<meta charset="nonsense"><meta charset="big5">', "big5"),
        (b'<meta charset="utf-16">', "utf-8"),
        (b'<meta charset="x-user-defined">', "windows-1252"),
        (b"<metal charset=big5>", None),
        (b'<?xml version="1.0" encoding="koi8-r"?><html>', "koi8-r"),
        (b" " * 20_000 + b"<meta charset=big5>", None),
        (b"charset", None),
    ],
)
def test_declarations_in_the_page(head: bytes, expected: str | None) -> None:
    assert meta_charset(head) == expected


@pytest.mark.parametrize(
    ("text", "codec", "name"),
    [
        ("日本語のテキストはこのように書かれています。", "shift_jis", "shift_jis"),
        ("日本語のテキストはこのように書かれています。", "euc_jp", "euc-jp"),
        ("이것은 한국어 텍스트입니다. 인코딩을 감지합니다.", "euc_kr", "euc-kr"),
        ("這是一個繁體中文的測試文本，用於檢測編碼。", "big5", "big5"),
        ("Это русский текст для проверки кодировки.", "cp1251", "windows-1251"),
        ("Это русский текст для проверки кодировки.", "koi8_r", "koi8-r"),
    ],
)
def test_detection_without_any_declaration(text: str, codec: str, name: str) -> None:
    assert decode_html((text * 10).encode(codec), None) == (text * 10, name)


def test_damaged_utf8_is_still_utf8() -> None:
    whole = ("<p>Příliš žluťoučký kůň</p>" * 20).encode()
    for damaged in (whole[:-5], whole + b"\xff", b"caf\xe9 " + whole):
        text, name = decode_html(damaged, None)
        assert name == "utf-8"
        assert text.count("\ufffd") == 1


def test_invalid_utf8_in_a_page_that_claims_it(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    row = read_one(tmp_path, page("x", b"a\xff\xfeb\xed\xa0\x80", head))
    assert (row["raw"], row["http.charset"], row["error"]) == (b"a\xff\xfeb\xed\xa0\x80", "utf-8", None)
    assert decode_html(row["raw"], row["http.charset"])[0] == "a\ufffd\ufffdb\ufffd\ufffd\ufffd"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([None, "x", *sorted(LABELS)]))
def test_decoding_never_raises_and_gives_text_that_utf8_can_hold(raw: bytes, label: str | None) -> None:
    text, name = decode_html(raw, label)
    text.encode("utf-8")
    assert name in LABELS.values()


def test_a_hostile_head_is_scanned_in_linear_time() -> None:
    for piece in (b"<!--", b"<meta ", b'<a "', b"<a '\"", b"<meta charset=", b"charset " * 2):
        assert meta_charset(b"<meta charset" + piece * 4000) is None
