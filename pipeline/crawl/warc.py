"""WARC 1.1 records (ISO 28500:2017), each a gzip member of its own: request, response or revisit, metadata.

Bodies are kept as the server sent them, content codings included; only the chunks of a chunked transfer are taken away, and the
field that announced them is renamed to `X-Crawler-Transfer-Encoding`, as Common Crawl does.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import re
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

IDENTICAL = "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"
NOT_MODIFIED = "http://netpreserve.org/warc/1.1/revisit/server-not-modified"

_CHUNKED = re.compile(rb"\n(transfer-encoding[ \t]*:)", re.IGNORECASE)


@dataclass(frozen=True)
class Capture:
    """A request and what came of it, as an archive keeps it."""

    url: str
    date: str
    """WARC-Date: seconds, UTC."""
    ip: str | None
    request: bytes
    head: bytes
    body: bytes
    truncated: str | None = None
    metadata: Mapping[str, str] | None = None
    """Fields of the metadata record."""
    profile: str | None = None
    """Of a revisit: what says that nothing changed. The body is then not kept."""
    refers_to: tuple[str, str, str] | None = None
    """Of a revisit: record id, URL and date of the earlier capture."""


@dataclass(frozen=True)
class Written:
    """The members of a capture, one after the other, and where among them the response (or revisit) lies."""

    content: bytes
    offset: int
    length: int
    record_id: str
    digest: str


def warc_date(seconds: float) -> str:
    """Seconds since 1970 as WARC writes a date."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def payload_digest(body: bytes) -> str:
    """The digest of a body as sent: SHA-256 in base 32."""
    return "sha256:" + base64.b32encode(hashlib.sha256(body).digest()).decode()


def warcinfo(name: str, date: str, fields: Mapping[str, str], level: int) -> tuple[bytes, str]:
    """The record that begins a file, and its id."""
    record_id = _record_id("warcinfo", name, "")  # of the name alone: a resumed file keeps it
    head = {"WARC-Filename": name, "Content-Type": "application/warc-fields"}
    return _member("warcinfo", record_id, date, head, _fields(fields), level), record_id


def capture(found: Capture, info: str, level: int, digest: str | None = None) -> Written:
    """The records of a capture: request, response (or revisit), metadata.

    Args:
        found: the capture.
        info: id of the file's warcinfo record.
        level: of gzip.
        digest: of the body; for a 304, of the body of the earlier capture.
    """
    digest = digest or payload_digest(found.body)
    kind = "response" if found.profile is None else "revisit"
    ids = {name: _record_id(name, found.url, found.date) for name in ("request", kind, "metadata")}
    common = {"WARC-Target-URI": found.url, "WARC-Warcinfo-ID": info}
    where = {"WARC-IP-Address": found.ip} if found.ip else {}
    request = {
        **common,
        **where,
        "WARC-Concurrent-To": ids[kind],
        "Content-Type": "application/http; msgtype=request",
    }
    before = _member("request", ids["request"], found.date, request, found.request, level)
    fields = {
        **common,
        **where,
        "WARC-Payload-Digest": digest,
        "Content-Type": "application/http; msgtype=response",
    }
    if found.truncated:
        fields["WARC-Truncated"] = found.truncated
    block = _CHUNKED.sub(rb"\nX-Crawler-\1", found.head)
    if found.profile is None:
        block += found.body
    else:
        fields["WARC-Profile"] = found.profile
        if found.refers_to is not None:
            names = ("WARC-Refers-To", "WARC-Refers-To-Target-URI", "WARC-Refers-To-Date")
            fields.update(zip(names, found.refers_to, strict=True))
    record = _member(kind, ids[kind], found.date, fields, block, level)
    about = {**common, "WARC-Concurrent-To": ids[kind], "Content-Type": "application/warc-fields"}
    after = _member("metadata", ids["metadata"], found.date, about, _fields(found.metadata or {}), level)
    return Written(before + record + after, len(before), len(record), ids[kind], digest)


def _member(
    kind: str, record_id: str, date: str, fields: Mapping[str, str], block: bytes, level: int
) -> bytes:
    lines = ["WARC/1.1", f"WARC-Type: {kind}", f"WARC-Record-ID: {record_id}", f"WARC-Date: {date}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    lines += [f"WARC-Block-Digest: {payload_digest(block)}", f"Content-Length: {len(block)}", "", ""]
    # Window bits of 16 + 15 ask for a gzip member, whose header then has no time in it.
    compressor = zlib.compressobj(level, zlib.DEFLATED, 31)
    record = b"".join(("\r\n".join(lines).encode("utf-8", "replace"), block, b"\r\n\r\n"))
    return compressor.compress(record) + compressor.flush()


def _fields(fields: Mapping[str, str]) -> bytes:
    clean = ((name, " ".join(value.split())) for name, value in fields.items())
    return "".join(f"{name}: {value}\r\n" for name, value in clean).encode("utf-8", "replace")


def _record_id(kind: str, name: str, date: str) -> str:
    return f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'corpusmill {kind} {date} {name}')}>"
