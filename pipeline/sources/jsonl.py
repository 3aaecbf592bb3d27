"""JSON lines: one document to a line; plain, gzip or Zstandard.

Lines end at the byte 0A and nowhere else (U+2028 and friends may stand inside JSON strings). A line belongs
to the split in whose byte range it begins; compressed files are read as one split. A line that gives no
document is a failure:

    json.invalid_utf8    the line is not UTF-8 (decoding it anyway would change the text unnoticed)
    json.invalid         the line is not JSON
    json.not_object      the line is JSON, but not an object
    json.no_text         there is no text field, or it is null
    json.text_not_string the text field is no string
    json.line_too_long   the line is longer than `max_line_bytes`
    json.damaged         the compressed file cannot be read further: what follows is lost
    input.empty          a compressed file that holds no bytes

The id of a document is that of its `id` field; without one, of its URL (and date, where there is one);
without that, of its text. A failed line has that of its bytes, or of its `id` or URL. `record` is
`shard@offset`, where a compressed file's offsets count the bytes of its content. Empty lines are counted as
`blank`; a byte order mark at the beginning is passed over.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline import storage
from pipeline.chunks import Split, document_id
from pipeline.errors import did_you_mean
from pipeline.sources import ReadSettings, Row, Tally, content_id, failure, lies_at, whole_text
from pipeline.sources.members import Archive, DamagedError, ReadError, Window, open_archive

_BLOCK = 1 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Line:
    """A line without its end; `content` is None where it is too long, and `digest` then that of the line."""

    offset: int
    content: bytes | None
    length: int
    digest: str = ""


class BadLineError(ReadError):
    """A line that gives no document; `found` is the object on it, if there is one."""

    def __init__(self, reason: str, message: str, found: dict[str, Any] | None = None) -> None:
        super().__init__(reason, message)
        self.found = found


def read_rows(split: Split, settings: ReadSettings, tally: Tally) -> Iterator[Row]:
    """The documents and failures of a split of a JSONL file, in the order of the file.

    Raises:
        OSError: when the file cannot be read.
    """
    with storage.open_read(split.path) as file:
        archive = open_archive(split.path, file)
        window = archive.window
        tally.end_offset = window.size
        if archive.compression != "plain":
            yield from _compressed_rows(split, settings, tally, archive)
            return
        begin = window.find(b"\n", split.start - 1) + 1 if split.start else 0
        tally.first_offset = begin = min(begin, window.size)
        for line in split_lines(_plain_blocks(window, begin), begin, settings.max_line_bytes):
            if line.offset >= split.stop:
                tally.end_offset = line.offset
                return
            yield from _row(line, split, settings, tally)


def _compressed_rows(split: Split, settings: ReadSettings, tally: Tally, archive: Archive) -> Iterator[Row]:
    """The rows of a compressed file: read by the split that begins at 0, should it have been split at all."""
    if split.start:
        tally.first_offset = tally.end_offset
        return
    if archive.window.size == 0:
        message = "the file holds no bytes: was it fetched whole?"
        nothing = Line(0, split.shard.encode(), 0)
        yield _failed(nothing, split, settings, BadLineError("input.empty", message))
    read = 0
    try:
        for line in split_lines(_decompressed_blocks(archive), 0, settings.max_line_bytes):
            read = line.offset + line.length
            yield from _row(line, split, settings, tally)
    except DamagedError as damage:
        lost = BadLineError("json.damaged", f"{damage}; all lines from byte {read:,} of the content are lost")
        yield _failed(Line(read, f"{split.shard} {read}".encode(), 0), split, settings, lost)


def _plain_blocks(window: Window, offset: int) -> Iterator[bytes]:
    while block := window.fetch(offset, _BLOCK):
        offset += len(block)
        yield block


def _decompressed_blocks(archive: Archive) -> Iterator[bytes]:
    offset = 0
    while offset < archive.window.size:
        member = archive.open(offset)
        while block := member.block():
            yield block
        offset = member.end


def split_lines(blocks: Iterator[bytes], offset: int, limit: int) -> Iterator[Line]:
    """Lines of a stream of blocks, ended by the byte 0A or the end; holds at most a block and `limit` bytes.

    A `DamagedError` of the blocks passes through, after all lines that ended before it.
    """
    parts: list[bytes] = []
    length, too_long = 0, hashlib.blake2b(digest_size=16)

    def line() -> Line:
        if length <= limit:
            return Line(offset, b"".join(parts), length)
        return Line(offset, None, length, too_long.hexdigest())

    for block in blocks:
        at = 0
        while at < len(block):
            end = block.find(b"\n", at)
            parts.append(block[at : end if end >= 0 else len(block)])
            length += len(parts[-1])
            if length > limit:
                for part in parts:
                    too_long.update(part)
                parts.clear()
            if end < 0:
                break
            yield line()
            offset += length + 1
            parts, length, too_long = [], 0, hashlib.blake2b(digest_size=16)
            at = end + 1
    if length:
        yield line()


def _row(line: Line, split: Split, settings: ReadSettings, tally: Tally) -> Iterator[Row]:
    if line.content is not None and not line.content.strip(b" \t\r"):
        tally.records["blank"] += 1
        return
    tally.records["document"] += 1
    try:
        yield document_row(parse_line(line, settings), line, split, settings)
    except BadLineError as bad:
        yield _failed(line, split, settings, bad)


def parse_line(line: Line, settings: ReadSettings) -> dict[str, Any]:
    """The object on a line.

    Raises:
        BadLineError: when there is none.
    """
    if line.content is None:
        limit = settings.max_line_bytes
        raise BadLineError("json.line_too_long", f"the line has {line.length:,} bytes, above {limit:,}")
    content = line.content.removeprefix(_BYTE_ORDER_MARK) if line.offset == 0 else line.content
    try:
        found = json.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        message = f"byte {error.start:,} of the line: {error.reason}"
        raise BadLineError("json.invalid_utf8", message) from error
    except RecursionError as error:
        raise BadLineError("json.invalid", "the JSON is nested too deeply") from error
    except ValueError as error:
        raise BadLineError("json.invalid", str(error)) from error
    if not isinstance(found, dict):
        raise BadLineError("json.not_object", f"the line holds a {type(found).__name__}, not an object")
    return found


def document_row(found: dict[str, Any], line: Line, split: Split, settings: ReadSettings) -> Row:
    """The row of a document.

    Raises:
        BadLineError: when it has no text.
    """
    columns = settings.columns
    text = _value(found, columns.text)
    if text is None:
        near = did_you_mean(columns.text, found)
        fields = ", ".join(map(repr, sorted(found)[:20])) or "none"
        message = f'no text in the field "{columns.text}". Fields there: {fields}.{near}'
        raise BadLineError("json.no_text", message[:2000], found)
    if not isinstance(text, str):
        message = f'the field "{columns.text}" holds a {type(text).__name__}, not a string'
        raise BadLineError("json.text_not_string", message, found)
    text = whole_text(text)
    return {
        **_about(found, line, split, settings, text),
        "text": text,
        "title": _string(found, columns.title),
    }


def _failed(line: Line, split: Split, settings: ReadSettings, bad: BadLineError) -> Row:
    about = _about(bad.found or {}, line, split, settings, None)
    return failure(split, settings, error=bad.reason, message=whole_text(str(bad)), **about)


def _about(found: dict[str, Any], line: Line, split: Split, settings: ReadSettings, text: str | None) -> Row:
    """The columns that say which document this is."""
    columns, source = settings.columns, split.source
    own, url, date = (_string(found, name) for name in (columns.id, columns.url, columns.date))
    if own:
        identity = document_id(source, own)
    elif url:
        identity = document_id(source, url, date) if date else document_id(source, url)
    elif text is not None:
        identity = text_id(source, text)
    else:
        identity = content_id(source, "line", line.digest or _digest(line.content or b""))
    return {
        "id": identity,
        "source": source,
        "snapshot": settings.snapshot,
        "url": url,
        "date": date,
        "record": lies_at(split, line.offset),
    }


def text_id(source: str, text: str) -> str:
    """The id of a document that has nothing but its text."""
    return content_id(source, "text", _digest(text.encode()))


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _value(found: dict[str, Any], name: str | None) -> Any:
    """The field of that name, or, for `a.b`, the field b of the object a."""
    if name is None or name in found:
        return found.get(name) if name else None
    value: Any = found
    for part in name.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def _string(found: dict[str, Any], name: str | None) -> str | None:
    """A string or number as a string; None for anything else, and for the empty string."""
    value = _value(found, name)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return whole_text(str(value)) or None
