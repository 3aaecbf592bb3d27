"""WARC files (ISO 28500): the HTTP responses of a crawl, as documents; plain, gzip or Zstandard.

**Members.** A compressed WARC is a row of members (gzip members, Zstandard frames) that can each be read
alone; in a plain one every record is its own member here. A member belongs to the split in whose byte range
it begins. A reader that starts inside a file looks for the next place where a member begins and opens with
a WARC version line.

**Damage.** Whatever cannot be read becomes one failure, and reading goes on with the next member that can
be recognised, looked for from the byte after the damaged member's first: damage often hides the beginning
of the next one. Within a member of many records, reading goes on at the next version line. The reasons:

    input.empty              the file holds no bytes
    warc.garbage             bytes where a record should begin
    warc.bad_header          a record header without a type or a length, or cut by another record
    warc.header_too_large    a record header above 1 MiB
    warc.bad_length          Content-Length is not the length of the record
    warc.truncated           the (plain) file ends inside a record
    warc.truncated_gzip, warc.truncated_zstd    the file ends inside a member
    warc.bad_gzip, warc.bad_zstd                a member that does not decompress, or whose checksum is wrong
    warc.no_url              a response without WARC-Target-URI
    http.bad_header          a response that does not begin with an HTTP status line
    http.header_too_large    an HTTP header above 1 MiB
    http.bad_encoding        a body that is not in the content coding it claims, and is no text either

**Bodies.** Transfer and content codings (chunked, gzip, deflate, br, zstd) are undone; archives often keep
the header of a coding that is already undone, so a body that is not in its coding, but could be text, is
taken as it is. What is left of a body whose coding breaks off is kept, with `decoding` in `warc.truncated`.
A body above `max_bytes`, as stored or decoded, is not held: `raw` is null, and `http.bytes` is its length,
or, where decoding was stopped (a decompression bomb), the length reached, which is above `max_bytes`. So a
rule on `http.bytes` rejects both.

**Columns.** `record` is `shard@offset` of the member, `+n` for a record that begins at byte n of the
member's content. `http.content_type` is the media type alone, in lower case; `http.charset` is the encoding
that the header names, in its WHATWG name; `warc.truncated` is WARC-Truncated. Only `response` records of
`application/http` are documents; all records are counted by type.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Literal

import brotli  # type: ignore[import-untyped]
import zstandard

from pipeline import storage
from pipeline.chunks import Split, document_id
from pipeline.sources import ReadSettings, Row, Tally, content_id, failure, lies_at
from pipeline.sources.charset import encoding_of_label

Compression = Literal["plain", "gzip", "zstd"]

_BLOCK = 1 << 20
"""Bytes that are read from a file at a time."""

_INPUT = 16 << 10
"""Compressed bytes that are fed at a time; what a member leaves over is copied, so this is small."""

_OUTPUT = 1 << 20
"""Most bytes that one step of decompression may give."""

_EVIDENCE = 4096
"""Bytes of what cannot be read that make its id, where it has no name."""

_MAX_HEADER = 1 << 20
_MAX_CODINGS = 4
_MAX_DICTIONARY = 16 << 20
_MAX_WINDOW = 1 << 27
"""Largest Zstandard window, hence memory, that is accepted: what `zstd` accepts unless told otherwise."""

_GZIP = b"\x1f\x8b\x08"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
_ZSTD_DICTIONARY = b"\x5d\x2a\x4d\x18"

_TYPES = frozenset(
    ("warcinfo", "response", "resource", "request", "metadata", "revisit", "conversion", "continuation")
)
_RECORD_START = re.compile(rb"WARC/\d+\.\d+[ \t]*\r?\n(?:WARC|Content)-[A-Za-z-]+[ \t]*:", re.I)
_VERSION_LINE = re.compile(rb"WARC/\d+\.\d+[ \t]*\r?\n")
_CUT_HEADER = re.compile(rb"\n[^:\r\n]*WARC/\d+\.\d+[ \t]*\r?\n")
_ONCE = re.compile(rb"\n(WARC-Type|WARC-Record-ID|WARC-Date|WARC-Target-URI|Content-Length)[ \t]*:", re.I)
"""Fields that a record has once (ISO 28500, 4): a second one is another record's, behind a cut header."""

_HEADER_END = re.compile(rb"\r?\n\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/\d(?:\.\d)?[ \t]+(\d{3})(?!\d)")
_CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([^\s;\"']+)", re.I)
_HEX = re.compile(rb"[0-9a-fA-F]{1,15}")
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
"""The "binary data bytes" of the WHATWG MIME Sniffing Standard: no text holds them."""


class ReadError(Exception):
    """Something that cannot be read, with the reason that its failure is counted by.

    Messages never quote the content: failures are kept, and what they would quote is not redacted.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class DamagedError(ReadError):
    """A member cannot be read further."""


class BadRecordError(ReadError):
    """A record is not what its header says; the bytes behind it can still be read."""


class Window:
    """Random access to a file by blocks; cheap where reading goes forward."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.size = size
        self._file = file
        self._base = 0
        self._block = b""

    def fetch(self, offset: int, count: int) -> bytes:
        """The bytes from `offset`: `count` of them, or fewer at the end of the file."""
        self._load(offset, count)
        at = offset - self._base
        return self._block[at : at + count]

    def find(self, pattern: bytes, offset: int) -> int:
        """Where the pattern occurs next, at `offset` or behind it; the file's size where it does not."""
        while offset < self.size:
            self._load(offset, len(pattern))
            at = self._block.find(pattern, offset - self._base)
            if at >= 0:
                return self._base + at
            end = self._base + len(self._block)
            if end >= self.size or not self._block:
                break
            offset = end - len(pattern) + 1
        return self.size

    def _load(self, offset: int, count: int) -> None:
        end = min(offset + count, self.size)
        if offset < self._base or end > self._base + len(self._block):
            self._file.seek(offset)
            self._block = self._file.read(max(_BLOCK, count))
            self._base = offset


class Member:
    """A part of a file that can be read alone. `block` gives its content piece by piece, `b""` at its end.

    `end` is where the next member begins, once `block` has given `b""`.
    """

    def __init__(self, window: Window, offset: int) -> None:
        self.window = window
        self.end = offset

    def block(self) -> bytes:
        """The next bytes: here those of the file itself, to its end."""
        data = self.window.fetch(self.end, _INPUT)
        self.end += len(data)
        return data


class _GzipMember(Member):
    def __init__(self, window: Window, offset: int) -> None:
        super().__init__(window, offset)
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._limit = 4096  # the first piece is small: a damaged member should still tell its URL

    def block(self) -> bytes:
        while not self._inflate.eof:
            data = self._inflate.unconsumed_tail
            if not data:
                data = self.window.fetch(self.end, _INPUT)
                self.end += len(data)
                if not data:
                    raise DamagedError("warc.truncated_gzip", "the file ends inside this gzip member")
            try:
                piece = self._inflate.decompress(data, self._limit)
            except zlib.error as error:
                raise DamagedError("warc.bad_gzip", f"the member does not decompress: {error}") from error
            self._limit = _OUTPUT
            if self._inflate.eof:
                self.end -= len(self._inflate.unused_data)
            if piece:
                return piece
        return b""


class _ZstdMember(Member):
    """A Zstandard frame, fed block by block (RFC 8878, 3.1.1.2): no block gives more than 128 KiB."""

    def __init__(self, window: Window, offset: int, decompressor: zstandard.ZstdDecompressor) -> None:
        super().__init__(window, offset)
        head = window.fetch(offset, 18)
        self._last = self._skippable = bool(_ZSTD_SKIPPABLE.match(head))
        if self._skippable:
            self.end = offset + 8 + int.from_bytes(head[4:8], "little")
            if self.end > window.size:
                raise DamagedError("warc.truncated_zstd", "the file ends inside this skippable frame")
            return
        try:
            self._header = head[: zstandard.frame_header_size(head)]
            self._checksum = 4 if zstandard.get_frame_parameters(head).has_checksum else 0
        except zstandard.ZstdError as error:
            raise DamagedError("warc.bad_zstd", f"no Zstandard frame begins here: {error}") from error
        self._decoder = decompressor.decompressobj()
        self.end = offset + len(self._header)

    def block(self) -> bytes:
        while not self._last:
            header = int.from_bytes(self._take(3), "little")
            self._last = bool(header & 1)
            kind, size = header >> 1 & 3, header >> 3
            self.end -= 3
            stored = 3 + (1 if kind == 1 else size) + (self._checksum if self._last else 0)
            if size > 128 << 10:
                raise DamagedError("warc.bad_zstd", "a Zstandard block above 128 KiB")
            data = self._header + self._take(stored)
            self._header = b""
            try:
                piece: bytes = self._decoder.decompress(data)
            except zstandard.ZstdError as error:
                raise DamagedError("warc.bad_zstd", f"the frame does not decompress: {error}") from error
            if piece:
                return piece
        return b""

    def _take(self, count: int) -> bytes:
        data = self.window.fetch(self.end, count)
        if len(data) < count:
            raise DamagedError("warc.truncated_zstd", "the file ends inside this Zstandard frame")
        self.end += count
        return data


class Stream:
    """The content of a member with look-ahead; holds what was asked for, and a block more."""

    def __init__(self, next_block: Callable[[], bytes]) -> None:
        self.position = 0
        self._next_block = next_block
        self._buffer = b""
        self._at = 0

    def peek(self, count: int) -> bytes:
        """The next `count` bytes, or fewer at the end, without taking them."""
        have = len(self._buffer) - self._at
        if have < count:
            parts = [self._buffer[self._at :]]
            while have < count and (block := self._next_block()):
                parts.append(block)
                have += len(block)
            self._buffer, self._at = b"".join(parts), 0
        return self._buffer[self._at : self._at + count]

    def take(self, count: int) -> bytes:
        """The next `count` bytes, or fewer at the end."""
        data = self.peek(count)
        self._advance(len(data))
        return data

    def skip(self, count: int) -> int:
        """Pass over `count` bytes, or fewer at the end, holding one block at a time; how many there were."""
        left = count
        while left and self.peek(1):
            passed = min(left, len(self._buffer) - self._at)
            self._advance(passed)
            left -= passed
        return count - left

    def skip_blank(self) -> None:
        """Pass over line ends."""
        while (data := self.peek(64)) and data[0] in b"\r\n":
            self._advance(len(data) - len(data.lstrip(b"\r\n")))

    def skip_to_content(self) -> bool:
        """Pass over line ends; whether anything follows them."""
        self.skip_blank()
        return bool(self.peek(1))

    def unread(self, data: bytes) -> None:
        """Give back what was taken last."""
        self._buffer, self._at = data + self._buffer[self._at :], 0
        self.position -= len(data)

    def held(self, count: int) -> bytes:
        """The next bytes as far as they are already here; never reads."""
        return self._buffer[self._at : self._at + count]

    def _advance(self, count: int) -> None:
        self._at += count
        self.position += count


class Archive:
    """The members of a file, and how to find one from anywhere in it."""

    def __init__(self, window: Window, compression: Compression) -> None:
        self.window = window
        self.compression = compression
        self._magic = {"plain": b"WARC/", "gzip": _GZIP, "zstd": _ZSTD}[compression]
        self._decompressor = zstandard.ZstdDecompressor(
            dict_data=_dictionary(window) if compression == "zstd" else None, max_window_size=_MAX_WINDOW
        )

    def open(self, offset: int) -> Member:
        """The member that begins at an offset.

        Raises:
            DamagedError: there, or from its `block`, where the member cannot be read.
        """
        if self.compression == "gzip":
            return _GzipMember(self.window, offset)
        if self.compression == "zstd":
            return _ZstdMember(self.window, offset, self._decompressor)
        return Member(self.window, offset)

    def begins_record(self, offset: int) -> bool:
        """Whether a member that opens with a WARC version line begins at an offset."""
        if self.compression == "plain":
            before = self.window.fetch(offset - 1, 1) if offset else b"\n"
            return before == b"\n" and _RECORD_START.match(self.window.fetch(offset, 256)) is not None
        try:
            return Stream(self.open(offset).block).peek(64).lstrip(b"\r\n").startswith(b"WARC/")
        except DamagedError:
            return False

    def synchronise(self, offset: int) -> int:
        """Where the next member that opens with a WARC version line begins, or the end of the file."""
        offset = self.window.find(self._magic, offset)
        while offset < self.window.size and not self.begins_record(offset):
            offset = self.window.find(self._magic, offset + 1)
        return offset

    def record_per_member(self) -> bool:
        """Whether the first member holds one record, and so the file can be split; a damaged one can."""
        if self.compression == "plain":
            return True
        try:
            stream = Stream(self.open(self.synchronise(0)).block)
            stream.skip_blank()
            stream.skip(_read_header(stream).length)
            return not stream.skip_to_content()
        except (DamagedError, BadRecordError):
            return True


def _dictionary(window: Window) -> zstandard.ZstdCompressionDict | None:
    """The dictionary that a `.warc.zst` may begin with, in a skippable frame (IIPC's WARC-Zstandard)."""
    head = window.fetch(0, 8)
    if not head.startswith(_ZSTD_DICTIONARY):
        return None
    data = window.fetch(8, min(int.from_bytes(head[4:8], "little"), _MAX_DICTIONARY))
    if data.startswith(_ZSTD):
        found = _collect(_unzstded(data), _MAX_DICTIONARY)
        data = found[0] if found else b""  # without it, every record will say that it cannot be decompressed
    return zstandard.ZstdCompressionDict(data)


def compression_of(path: str, head: bytes) -> Compression:
    """How a file is compressed: by its first bytes, or by its name where they tell nothing."""
    if head.startswith(_GZIP):
        return "gzip"
    if head.startswith(_ZSTD) or _ZSTD_SKIPPABLE.match(head):
        return "zstd"
    if head.lstrip().startswith((b"WARC/", b"{")):
        return "plain"
    by_name: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd"}
    return next((found for suffix, found in by_name.items() if path.endswith(suffix)), "plain")


def open_archive(path: str, file: IO[bytes]) -> Archive:
    """The members of an open file."""
    window = Window(file, storage.size(path))
    return Archive(window, compression_of(path, window.fetch(0, 8)))


@dataclass(frozen=True)
class _Header:
    """What is needed of a record header."""

    type: str
    length: int
    url: str | None
    date: str | None
    http: bool
    truncated: str | None
    record_id: str | None

    @property
    def is_document(self) -> bool:
        return self.type == "response" and self.http

    @property
    def kind(self) -> str:
        """What the record is counted as."""
        if self.type == "response" and not self.http:
            return "response_other"
        return self.type if self.type in _TYPES else "unknown"


def _read_header(stream: Stream) -> _Header:
    """Take a record header.

    Raises:
        BadRecordError: when there is none, or it lacks what is needed to read on; nothing is taken then.
    """
    if not _VERSION_LINE.match(stream.peek(64)):
        raise BadRecordError("warc.garbage", "no WARC record begins here")
    block = _peek_header(stream, _MAX_HEADER)
    if block is None:
        message = f"the record header does not end within {_MAX_HEADER:,} bytes"
        raise BadRecordError("warc.header_too_large", message)
    once = [name.lower() for name in _ONCE.findall(block)]
    if len(once) > len(set(once)) or _CUT_HEADER.search(block):
        raise BadRecordError("warc.bad_header", "another record begins inside the record header")
    fields = _fields(block)
    length, kind = fields.get(b"content-length", b""), _text(fields, b"warc-type")
    if not kind or not length.isdigit() or len(length) > 18:
        raise BadRecordError("warc.bad_header", "the record header lacks WARC-Type or a valid Content-Length")
    content_type = (_text(fields, b"content-type") or "").lower()
    url = _text(fields, b"warc-target-uri")
    if url:  # wget wrote <URL>, as WARC 1.0's grammar said
        url = url.removeprefix("<").removesuffix(">")
    stream.skip(len(block))
    return _Header(
        type=kind.lower(),
        length=int(length),
        url=url,
        date=_text(fields, b"warc-date"),
        http=content_type.startswith("application/http")
        or (not content_type and (url or "").startswith("http")),
        truncated=_text(fields, b"warc-truncated"),
        record_id=_text(fields, b"warc-record-id"),
    )


def _peek_header(stream: Stream, limit: int) -> bytes | None:
    """A header with the empty line that ends it, or all there is where none does; None above 1 MiB."""
    size = 4096
    while True:
        block = stream.peek(min(size, limit))
        if found := _HEADER_END.search(block):
            return block[: found.end()]
        if len(block) < size:
            return block if len(block) < _MAX_HEADER else None
        size *= 4


def _fields(block: bytes) -> dict[bytes, bytes]:
    """Header fields by name in lower case, without the first line; the last of several counts."""
    fields: dict[bytes, bytes] = {}
    name = b""
    for line in block.split(b"\n")[1:]:
        if line[:1] in (b" ", b"\t") and name:
            fields[name] += b" " + line.strip()
            continue
        before, colon, value = line.partition(b":")
        name = before.strip().lower() if colon else b""
        if name:
            fields[name] = value.strip()
    return fields


def _text(fields: dict[bytes, bytes], name: bytes) -> str | None:
    return fields[name].decode("utf-8", "replace") or None if name in fields else None


def read_rows(split: Split, settings: ReadSettings, tally: Tally) -> Iterator[Row]:
    """The documents and failures of a split of a WARC file, in the order of the file.

    Raises:
        OSError: when the file cannot be read.
    """
    with storage.open_read(split.path) as file:
        yield from _SplitRows(split, settings, tally, open_archive(split.path, file)).rows()


class _SplitRows:
    """Reads the members of a split one after the other."""

    def __init__(self, split: Split, settings: ReadSettings, tally: Tally, archive: Archive) -> None:
        self.split, self.settings, self.tally, self.archive = split, settings, tally, archive

    def rows(self) -> Iterator[Row]:
        size = self.archive.window.size
        if size == 0:
            yield self._failure(
                None, "0", b"", "input.empty", "the file holds no bytes: was it fetched whole?"
            )
        at = self.archive.synchronise(self.split.start) if self.split.start else 0
        self.tally.first_offset = at
        # What is no record, but lies between the last record of this split and the first of the next, is
        # read (and fails) here: the next split begins by looking for a record, and passes over it.
        while at < size and not (at >= self.split.stop and self.archive.begins_record(at)):
            at = yield from self._member(at)
        self.tally.end_offset = at

    def _member(self, offset: int) -> Generator[Row, None, int]:
        """The rows of the member at `offset`; returns where the next one begins."""
        plain = self.archive.compression == "plain"
        stream, header, place = Stream(lambda: b""), None, str(offset)
        try:
            member = self.archive.open(offset)
            stream = Stream(member.block)
            while stream.skip_to_content():
                header, place = None, f"{offset}+{stream.position}" if stream.position else str(offset)
                try:
                    header = _read_header(stream)
                    row = self._record(header, stream, place)
                except BadRecordError as bad:
                    if plain:
                        return (yield from self._fail_member(offset, place, header, bad))
                    evidence = stream.held(_EVIDENCE)
                    yield self._failure(header, place, evidence, bad.reason, str(bad))
                    header = None
                    _pass_to_next_record(stream)
                    continue
                if row:
                    yield row
                if plain:
                    break
            return offset + stream.position if plain else member.end
        except DamagedError as damage:
            return (yield from self._fail_member(offset, place, header, damage))

    def _fail_member(
        self, offset: int, place: str, header: _Header | None, error: ReadError
    ) -> Generator[Row, None, int]:
        """The failure of what begins at `offset`; returns where the next record can be recognised."""
        after = self.archive.synchronise(offset + 1)
        evidence = self.archive.window.fetch(offset, min(_EVIDENCE, after - offset))
        message = f"{error} ({after - offset:,} bytes to the next record)"
        yield self._failure(header, place, evidence, error.reason, message)
        return after

    def _record(self, header: _Header, stream: Stream, place: str) -> Row | None:
        """Take a record; its row, if it is a response.

        Raises:
            BadRecordError: when the record does not end where its length says; a body that was taken is
            given back.
        """
        self.tally.records[header.kind] += 1
        if not header.is_document:
            self._skip(header, stream, header.length)
            return None
        head = _peek_header(stream, min(_MAX_HEADER, header.length))
        status = _STATUS_LINE.match(head or b"")
        if head is None or not status:
            evidence = stream.held(_EVIDENCE)
            self._skip(header, stream, header.length)
            return self._bad_http(header, place, evidence, too_large=head is None)
        length = header.length - len(head)
        stream.skip(len(head))
        if length > self.settings.max_bytes:
            self._skip(header, stream, length)
            return self._document(header, place, head, int(status[1]), Body(None, length))
        body = stream.take(length)
        try:
            self._end(header, stream, missing=length - len(body))
        except BadRecordError:
            stream.unread(body)
            raise
        return self._document(header, place, head, int(status[1]), body)

    def _skip(self, header: _Header, stream: Stream, count: int) -> None:
        """Pass over the rest of a record, in bounded memory."""
        self._end(header, stream, missing=count - stream.skip(count))

    def _end(self, header: _Header, stream: Stream, missing: int) -> None:
        """Take the line ends behind a record, and check that it ends where its length says."""
        if missing:
            # A compressed member ends where it should, so the length is wrong; a plain file may be cut.
            reason = "warc.truncated" if self.archive.compression == "plain" else "warc.bad_length"
            message = f"{missing:,} of the {header.length:,} bytes of the record are not there"
            raise BadRecordError(reason, message)
        empty_line = stream.peek(4).startswith((b"\r\n\r\n", b"\n\n"))
        stream.skip_blank()
        if not empty_line and stream.peek(5) not in (b"", b"WARC/"):
            raise BadRecordError("warc.bad_length", "the record goes on behind its Content-Length")

    def _bad_http(self, header: _Header, place: str, evidence: bytes, *, too_large: bool) -> Row:
        if too_large:
            message = f"the HTTP header does not end within {_MAX_HEADER:,} bytes"
            return self._failure(header, place, evidence, "http.header_too_large", message)
        message = "the response does not begin with an HTTP status line"
        return self._failure(header, place, evidence, "http.bad_header", message)

    def _document(self, header: _Header, place: str, head: bytes, status: int, body: bytes | Body) -> Row:
        fields = _fields(head)
        if header.url is None:
            return self._failure(header, place, head, "warc.no_url", "the response has no WARC-Target-URI")
        if isinstance(body, bytes):
            try:
                body = decode_body(body, _codings(fields), self.settings.max_bytes)
            except BadRecordError as broken:
                return self._failure(header, place, head, broken.reason, str(broken), status=status)
        content_type = fields.get(b"content-type", b"").decode("latin-1")
        charset = _CHARSET.search(content_type)
        return {
            "id": document_id(self.split.source, header.url, header.date or ""),
            "source": self.split.source,
            "snapshot": self.settings.snapshot,
            "url": header.url,
            "date": header.date,
            "record": lies_at(self.split, place),
            "raw": body.raw,
            "http.status": status,
            "http.content_type": content_type.partition(";")[0].strip().lower() or None,
            "http.charset": encoding_of_label(charset[1]) if charset else None,
            "http.bytes": body.length,
            "warc.truncated": header.truncated or (None if body.complete else "decoding"),
        }

    def _failure(
        self,
        header: _Header | None,
        place: str,
        evidence: bytes,
        error: str,
        message: str,
        status: int | None = None,
    ) -> Row:
        """A failure: with the id of the document it would have been, as far as that is known."""
        source = self.split.source
        if header and header.is_document and header.url:
            identity = document_id(source, header.url, header.date or "")
        elif header and header.record_id:
            identity = content_id(source, "warc-record", header.record_id)
        elif evidence:
            identity = content_id(source, "bytes", hashlib.blake2b(evidence, digest_size=16).hexdigest())
        else:
            identity = content_id(source, "input", self.split.shard)
        return failure(
            self.split,
            self.settings,
            error=error,
            message=message,
            id=identity,
            url=header.url if header else None,
            date=header.date if header else None,
            record=lies_at(self.split, place),
            **{"http.status": status},
        )


def _pass_to_next_record(stream: Stream) -> None:
    """Skip to the next version line at the beginning of a line, or to the end; holds one window of 64 KiB."""
    stream.skip(1)
    while window := stream.peek(64 << 10):
        found = next(
            (m for m in _RECORD_START.finditer(window) if window[m.start() - 1 : m.start()] == b"\n"), None
        )
        if found:
            stream.skip(found.start())
            return
        stream.skip(max(1, len(window) - 256))


@dataclass(frozen=True)
class Body:
    """A body without its codings.

    `raw` is None where it is above the limit; `length` is then its length, or the length reached when
    decoding stopped. `complete` is False where a coding broke off.
    """

    raw: bytes | None
    length: int
    complete: bool = True


def decode_body(body: bytes, codings: Sequence[str], limit: int) -> Body:
    """Undo the codings of a body, given in the order of application, holding little more than `limit` bytes.

    Raises:
        BadRecordError: `http.bad_encoding`, when a body is neither in the coding that it claims nor
        could be text.
    """
    if len(codings) > _MAX_CODINGS:
        raise BadRecordError("http.bad_encoding", f"{len(codings)} content codings on one body")
    complete = True
    for coding in reversed(codings):
        decoded = _undo(coding, body, limit)
        if decoded is None and coding != "chunked" and _BINARY.search(body, 0, 1024):
            raise BadRecordError(
                "http.bad_encoding", f"the body is not in the coding {coding[:40]!r} that its header names"
            )
        if decoded is None:
            continue
        body, whole = decoded
        complete = complete and whole
        if len(body) > limit:
            return Body(None, len(body))
    return Body(body, len(body), complete)


def _codings(fields: dict[bytes, bytes]) -> list[str]:
    """The codings of a body in the order in which they were applied."""
    value = fields.get(b"content-encoding", b"") + b"," + fields.get(b"transfer-encoding", b"")
    names = (name.strip().lower() for name in value.decode("latin-1").split(","))
    return [name.removeprefix("x-") for name in names if name not in ("", "identity", "none")]


def _undo(coding: str, body: bytes, limit: int) -> tuple[bytes, bool] | None:
    """The body without one coding, and whether it was whole; None where it is not in this coding."""
    if coding == "chunked":
        return _collect(_chunks(body), limit)
    if coding == "gzip" and body.startswith(_GZIP):
        return _collect(_inflated(body, zlib.MAX_WBITS | 16), limit)
    if coding == "deflate":  # should be zlib's format (RFC 9110, 8.4.1.2); many servers send bare deflate
        zlib_format = len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
        return _collect(_inflated(body, zlib.MAX_WBITS if zlib_format else -zlib.MAX_WBITS), limit)
    if coding == "br":
        return _collect(_unbrotlied(body), limit)
    if coding == "zstd" and body.startswith(_ZSTD):
        return _collect(_unzstded(body), limit)
    return None


def _collect(pieces: Iterator[bytes], limit: int) -> tuple[bytes, bool] | None:
    """The pieces to an error or above the limit, and whether all went well; None for an error at once."""
    parts: list[bytes] = []
    total = 0
    try:
        for piece in pieces:
            parts.append(piece)
            total += len(piece)
            if total > limit:
                break
    except (EOFError, zlib.error, brotli.error, zstandard.ZstdError):
        return (b"".join(parts), False) if total else None
    return b"".join(parts), True


def _inflated(body: bytes, wbits: int) -> Iterator[bytes]:
    at, inflate = 0, zlib.decompressobj(wbits)
    while True:
        data = body[at : at + _INPUT]
        piece = inflate.decompress(data, _OUTPUT)
        at += len(data) - len(inflate.unconsumed_tail) - len(inflate.unused_data)
        yield piece
        if inflate.eof:
            if body[at : at + 3] != _GZIP:
                return
            inflate = zlib.decompressobj(wbits)
        elif not data and not piece:
            raise EOFError


def _unbrotlied(body: bytes) -> Iterator[bytes]:
    at, decoder = 0, brotli.Decompressor()
    while not decoder.is_finished():
        data = body[at : at + _INPUT] if decoder.can_accept_more_data() else b""
        at += len(data)
        piece: bytes = decoder.process(data, output_buffer_limit=_OUTPUT)
        if not data and not piece:
            raise EOFError
        yield piece


def _unzstded(body: bytes) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
    with decompressor.stream_reader(body, read_across_frames=True) as reader:
        while piece := reader.read(_OUTPUT):
            yield piece


def _chunks(body: bytes) -> Iterator[bytes]:
    """The chunks of a chunked body (RFC 9112, 7.1)."""
    at = 0
    while True:
        end = body.find(b"\n", at, at + 4096)
        line = body[at:end].partition(b";")[0].strip() if end >= 0 else b""
        if not _HEX.fullmatch(line) or body[end - 1 : end] != b"\r":
            raise EOFError
        size = int(line, 16)
        if size == 0:
            return
        at = end + 1 + size
        yield body[end + 1 : at]
        if body[at : at + 2] == b"\r\n":
            at += 2
        elif body[at : at + 1] == b"\n":
            at += 1
        else:
            raise EOFError
