"""The bytes of a page -> its text, the way browsers decide (WHATWG HTML, 13.2.3.2).

In this order: a byte order mark; the charset of the Content-Type header; a `<meta>` (or XML declaration)
near the beginning; UTF-8 where the bytes are valid UTF-8; detection by resiliparse. Labels and their
meaning are those of the WHATWG Encoding Standard (so `iso-8859-1` is windows-1252 and `gb2312` is gbk),
decoded by Python's codecs, with what these lack filled in.
"""

from __future__ import annotations

import codecs
import re

from resiliparse.parse.encoding import detect_encoding

_PRESCAN_BYTES = 16 << 10
"""Where a `<meta charset>` is looked for. The standard prescans 1024; its parser heeds later ones too."""

_DETECT_BYTES = 128 << 10
"""How much of a page detection reads."""

# Name, Python codec, labels (the name itself is one too), from the table of the Encoding Standard.
_ENCODINGS = """
utf-8          utf-8          unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf8 x-unicode20utf8
ibm866         cp866          866 cp866 csibm866
iso-8859-2     iso8859-2      csisolatin2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2
                              latin2
iso-8859-3     iso8859-3      csisolatin3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3
                              latin3
iso-8859-4     iso8859-4      csisolatin4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4
                              latin4
iso-8859-5     iso8859-5      csisolatincyrillic cyrillic iso-ir-144 iso8859-5 iso88595 iso_8859-5
                              iso_8859-5:1988
iso-8859-6     iso8859-6      arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114
                              iso-8859-6-e iso-8859-6-i iso-ir-127 iso8859-6 iso88596 iso_8859-6
                              iso_8859-6:1987
iso-8859-7     iso8859-7      csisolatingreek ecma-118 elot_928 greek greek8 iso-ir-126 iso8859-7
                              iso88597 iso_8859-7 iso_8859-7:1987 sun_eu_greek
iso-8859-8     iso8859-8      csiso88598e csisolatinhebrew hebrew iso-8859-8-e iso-ir-138 iso8859-8
                              iso88598 iso_8859-8 iso_8859-8:1988 visual
iso-8859-8-i   iso8859-8      csiso88598i logical
iso-8859-10    iso8859-10     csisolatin6 iso-ir-157 iso8859-10 iso885910 l6 latin6
iso-8859-13    iso8859-13     iso8859-13 iso885913
iso-8859-14    iso8859-14     iso8859-14 iso885914
iso-8859-15    iso8859-15     csisolatin9 iso8859-15 iso885915 iso_8859-15 l9
iso-8859-16    iso8859-16
koi8-r         koi8-r         cskoi8r koi koi8 koi8_r
koi8-u         koi8-u         koi8-ru
macintosh      mac-roman      csmacintosh mac x-mac-roman
windows-874    cp874          dos-874 iso-8859-11 iso8859-11 iso885911 tis-620
windows-1250   cp1250         cp1250 x-cp1250
windows-1251   cp1251         cp1251 x-cp1251
windows-1252   cp1252         ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100
                              iso8859-1 iso88591 iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii x-cp1252
windows-1253   cp1253         cp1253 x-cp1253
windows-1254   cp1254         cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9
                              iso_8859-9:1989 l5 latin5 x-cp1254
windows-1255   cp1255         cp1255 x-cp1255
windows-1256   cp1256         cp1256 x-cp1256
windows-1257   cp1257         cp1257 x-cp1257
windows-1258   cp1258         cp1258 x-cp1258
x-mac-cyrillic mac-cyrillic   x-mac-ukrainian
gbk            gb18030        chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 iso-ir-58 x-gbk
gb18030        gb18030
big5           big5hkscs      big5-hkscs cn-big5 csbig5 x-x-big5
euc-jp         euc_jp         cseucpkdfmtjapanese x-euc-jp
iso-2022-jp    iso2022_jp_ext csiso2022jp
shift_jis      cp932          csshiftjis ms932 ms_kanji shift-jis sjis windows-31j x-sjis
euc-kr         cp949          cseuckr csksc56011987 iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989
                              ksc5601 ksc_5601 windows-949
replacement    replacement    csiso2022kr hz-gb-2312 iso-2022-cn iso-2022-cn-ext iso-2022-kr
utf-16be       utf-16-be      unicodefffe
utf-16le       utf-16-le      csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16
x-user-defined ascii
"""
_ROWS = [line.split() for line in re.sub(r"\n +", " ", _ENCODINGS.strip()).splitlines()]
_CODECS = {name: codec for name, codec, *_ in _ROWS}
LABELS: dict[str, str] = {label: name for name, _, *labels in _ROWS for label in [name, *labels]}
"""Every label of the Encoding Standard, in lower case -> the name of its encoding."""

_NAME_OF_CODEC = {
    codecs.lookup(codec).name: name for name, codec in reversed(_CODECS.items()) if codec != "replacement"
}

_HIGH_BYTES = bytes(range(0x80, 0x100))
_BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xfe\xff", "utf-16be"), (b"\xff\xfe", "utf-16le"))

# Comments and tags are stepped over as wholes, so that a "<meta" in a comment or in a quoted attribute does
# not count.
_TAG = re.compile(
    rb"<!--(?:-?>|.*?(?:--!?>|\Z))|<(?:(meta)(?=[\s/])|[/!?]?[a-z])((?:\"[^\"]*\"|'[^']*'|[^>\"']+)*)",
    re.I | re.S,
)
_ATTRIBUTE = re.compile(rb"([^\s/>=\"']+)\s*(?:=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>\"']+)))?")
_CONTENT_CHARSET = re.compile(rb"charset\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s;\"']+))", re.I)
_XML_ENCODING = re.compile(rb"\s*<\?xml\s[^>]*?\sencoding\s*=\s*[\"']([^\"']+)[\"']")


def encoding_of_label(label: str | None) -> str | None:
    """The encoding that a label names (WHATWG "get an encoding"); None for no label or an unknown one."""
    return LABELS.get(label.strip("\t\n\f\r ").lower()) if label else None


def decode_html(raw: bytes, header_charset: str | None) -> tuple[str, str]:
    """The text of a page, without its byte order mark, and the name of the encoding that was used.

    Never raises: bytes that mean nothing become U+FFFD, as in browsers. `header_charset` is any label, or
    None.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if raw.startswith(mark):
            return raw[len(mark) :].decode(_CODECS[encoding], "replace"), encoding
    name = encoding_of_label(header_charset) or meta_charset(raw)
    if name is None:
        name = _detected(raw)
    if name == "replacement":
        # The standard refuses these (they hide ASCII from filters): the whole input is one error.
        return "\ufffd" if raw else "", name
    return raw.decode(_CODECS[name], "replace" if name == "utf-8" else "corpusmill.whatwg"), name


def meta_charset(raw: bytes) -> str | None:
    """The encoding that a page declares of itself in a `<meta>` or its XML declaration, or None."""
    head = raw[:_PRESCAN_BYTES]
    lower = head.lower()
    name = None
    if b"charset" in lower:
        name = next(filter(None, map(_charset_of_tag, _TAG.finditer(head))), None)
    if name is None and (declared := _XML_ENCODING.match(head)):
        name = encoding_of_label(declared[1].decode("latin-1"))
    # A declaration that could be read as ASCII cannot stand in UTF-16.
    return {"utf-16be": "utf-8", "utf-16le": "utf-8", "x-user-defined": "windows-1252"}.get(name or "", name)


def _charset_of_tag(tag: re.Match[bytes]) -> str | None:
    if not tag[1]:
        return None
    attributes: dict[bytes, bytes] = {}
    for attribute in _ATTRIBUTE.finditer(tag[2]):
        attributes.setdefault(attribute[1].lower(), attribute[2] or attribute[3] or attribute[4] or b"")
    label: bytes | None = attributes.get(b"charset")
    if label is None and attributes.get(b"http-equiv", b"").lower() == b"content-type":
        found = _CONTENT_CHARSET.search(attributes.get(b"content", b""))
        label = next(filter(None, found.groups()), None) if found else None
    return encoding_of_label(label.decode("latin-1")) if label else None


def _detected(raw: bytes) -> str:
    if _mostly_utf8(raw):
        return "utf-8"
    # resiliparse's own mapping to HTML labels turns Korean into UTF-8, so its answer is mapped here.
    found = detect_encoding(raw, max_len=_DETECT_BYTES, html5_compatible=False)
    name = encoding_of_label(found)
    if name is None and found:
        try:
            name = _NAME_OF_CODEC.get(codecs.lookup(found).name)
        except LookupError:
            name = None
    return name or "windows-1252"


def _mostly_utf8(raw: bytes) -> bool:
    """Whether the bytes are UTF-8 up to damage: a page cut inside a character, a pasted foreign byte.

    Text in another encoding hardly ever makes valid multi-byte sequences; nine in ten must be valid here.
    """
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("utf-8", "replace")
        bad = text.count("\ufffd") - raw.count(b"\xef\xbf\xbd")
        good = len(text) - bad - len(raw.translate(None, _HIGH_BYTES))
        return good >= 9 * bad
    return True


def _what_browsers_do(error: UnicodeError) -> tuple[str, int]:
    """Codec error handler: characters of the standard's indexes that Python's codecs lack, else U+FFFD."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    byte, after = error.object[error.start], error.start + 1
    pair = error.object[error.start : error.start + 2]
    if error.encoding == "charmap" and 0x80 <= byte <= 0x9F:
        return chr(byte), after  # windows code pages: unassigned bytes are C1 controls
    if error.encoding == "ascii":
        return chr(0xF700 + byte), after  # x-user-defined
    if error.encoding == "gb18030" and byte == 0x80:
        return "€", after
    if error.encoding in ("euc_jp", "big5hkscs") and len(pair) == 2:
        found = _nec_or_ibm(pair) if error.encoding == "euc_jp" else pair.decode("cp950", "ignore")
        if len(found) == 1 and found > "\x7f":
            return found, error.start + 2
    return "\ufffd", max(error.end, after)


def _nec_or_ibm(pair: bytes) -> str:
    """A two-byte EUC-JP character by way of Shift_JIS: code page 932 has the vendors' rows (①, ㈱)."""
    row, cell = pair[0] - 0xA0, pair[1] - 0xA0
    if not (1 <= row <= 94 and 1 <= cell <= 94):
        return ""
    lead = (row + 1) // 2 + (0x80 if row <= 62 else 0xC0)
    trail = cell + (0x9E if row % 2 == 0 else 0x40 if cell >= 64 else 0x3F)
    return bytes((lead, trail)).decode("cp932", "ignore")


codecs.register_error("corpusmill.whatwg", _what_browsers_do)
