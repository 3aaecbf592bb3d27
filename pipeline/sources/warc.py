"""WARC files (ISO 28500): the HTTP responses of a crawl, as documents.

**Members.** A compressed WARC is a row of members (`members.py`); in a plain one every record is its own member
here. A member belongs to the split in whose byte range it begins.

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

**Bodies.** Their codings are undone (`bodies.py`); where one breaks off, `warc.truncated` is `decoding`.
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
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from pipeline import storage
from pipeline.chunks import Split, document_id
from pipeline.sources import ReadSettings, Row, Tally, content_id, failure, lies_at
from pipeline.sources.bodies import Body, codings_of, decode_body
from pipeline.sources.charset import encoding_of_label
from pipeline.sources.members import (
    RECORD_START,
    Archive,
    BadRecordError,
    DamagedError,
    ReadError,
    Stream,
    open_archive,
)

_EVIDENCE = 4096
"""Bytes of what cannot be read that make its id, where it has no name."""

_MAX_HEADER = 1 << 20

_TYPES = frozenset(
    ("warcinfo", "response", "resource", "request", "metadata", "revisit", "conversion", "continuation")
)
_VERSION_LINE = re.compile(rb"WARC/\d+\.\d+[ \t]*\r?\n")
_CUT_HEADER = re.compile(rb"\n[^:\r\n]*WARC/\d+\.\d+[ \t]*\r?\n")
_ONCE = re.compile(rb"\n(WARC-Type|WARC-Record-ID|WARC-Date|WARC-Target-URI|Content-Length)[ \t]*:", re.I)
"""Fields that a record has once (ISO 28500, 4): a second one is another record's, behind a cut header."""

_HEADER_END = re.compile(rb"\r?\n\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/\d(?:\.\d)?[ \t]+(\d{3})(?!\d)")
_CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([^\s;\"']+)", re.I)


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


def record_per_member(archive: Archive) -> bool:
    """Whether the first member holds one record, and so the file can be split; a damaged one can."""
    if archive.compression == "plain":
        return True
    try:
        stream = Stream(archive.open(archive.synchronise(0)).block)
        stream.skip_blank()
        stream.skip(_read_header(stream).length)
        return not stream.skip_to_content()
    except (DamagedError, BadRecordError):
        return True


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
                body = decode_body(body, codings_of(fields), self.settings.max_bytes)
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
            (m for m in RECORD_START.finditer(window) if window[m.start() - 1 : m.start()] == b"\n"), None
        )
        if found:
            stream.skip(found.start())
            return
        stream.skip(max(1, len(window) - 256))
