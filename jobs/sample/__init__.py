"""The sample site: what `corpusmill demo` runs on. The pages are in `site/`, their list is `site.yaml`.

`write_warc` writes the site as a crawler would have: one WARC 1.1 file (ISO 28500:2017), gzip per record.
Nothing in it comes from the clock or from chance, so the same files always give the same bytes (under the
same zlib). One record is damaged, as disks do it: the run must record that in `failed/` and go on.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from urllib.parse import urlsplit

import yaml

from pipeline import storage

_FOLDER: Traversable = files(__name__)
_DATE = "2024-01-15T09:00:00Z"
_HTTP_DATE = "Mon, 15 Jan 2024 09:00:00 GMT"
_REASONS = {200: "OK", 404: "Not Found"}


@dataclass(frozen=True)
class Page:
    """A page of the site, as `site.yaml` lists it: its body is a file under `site/`, or in the list in base 64.

    `expect` is what becomes of it in the web job: `published`, or the rule that rejects it, or the error that
    it fails with.
    """

    url: str
    expect: str
    note: str
    copy_of: str | None = None
    file: str | None = None
    base64: str | None = None
    status: int = 200
    content_type: str = "text/html; charset=utf-8"
    damaged: bool = False

    @property
    def body(self) -> bytes:
        """The bytes that the server sent."""
        if self.file is not None:
            return (_FOLDER / "site" / self.file).read_bytes()
        return base64.b64decode(self.base64 or "")


def pages() -> list[Page]:
    """The pages in the order of the list."""
    content = yaml.safe_load((_FOLDER / "site.yaml").read_text(encoding="utf-8"))
    return [Page(**entry) for entry in content["pages"]]


def write_warc(path: str) -> None:
    """Write the site as a WARC file, whole or not at all; an existing file is replaced."""
    with storage.write_atomically(path) as file:
        for member in _members(pages()):
            file.write(member)


def _members(site: Sequence[Page]) -> Iterator[bytes]:
    """A warcinfo record, the request for the first page, and the response of each page, compressed."""
    about = b"software: corpusmill sample site\r\nformat: WARC File Format 1.1\r\n"
    info = _record_id("warcinfo", "sample.warc.gz")
    yield _compress(_record("warcinfo", info, about, {"Content-Type": "application/warc-fields"}))
    first = site[0]
    fields = {
        "WARC-Target-URI": first.url,
        "WARC-Concurrent-To": _record_id("response", first.url),
        "WARC-Warcinfo-ID": info,
        "Content-Type": "application/http; msgtype=request",
    }
    yield _compress(_record("request", _record_id("request", first.url), _request(first), fields))
    for page in site:
        body = page.body
        fields = {
            "WARC-Target-URI": page.url,
            "WARC-Warcinfo-ID": info,
            "WARC-Payload-Digest": _digest(body),
            "Content-Type": "application/http; msgtype=response",
        }
        record = _record("response", _record_id("response", page.url), _response(page, body), fields)
        member = _compress(record)
        yield _damaged(member) if page.damaged else member


def _request(page: Page) -> bytes:
    address = urlsplit(page.url)
    lines = [f"GET {address.path} HTTP/1.1", f"Host: {address.netloc}", "User-Agent: corpusmill-sample"]
    return "\r\n".join([*lines, "", ""]).encode()


def _response(page: Page, body: bytes) -> bytes:
    head = [
        f"HTTP/1.1 {page.status} {_REASONS[page.status]}",
        f"Date: {_HTTP_DATE}",
        f"Content-Type: {page.content_type}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


def _record(kind: str, record_id: str, block: bytes, fields: dict[str, str]) -> bytes:
    named = {
        "WARC-Type": kind,
        "WARC-Record-ID": record_id,
        "WARC-Date": _DATE,
        **fields,
        "WARC-Block-Digest": _digest(block),
        "Content-Length": str(len(block)),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return b"WARC/1.1\r\n" + head.encode() + b"\r\n" + block + b"\r\n\r\n"


def _record_id(kind: str, name: str) -> str:
    return f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{kind} {name}')}>"


def _digest(content: bytes) -> str:
    # SHA-1 in base 32, as crawlers write it: a checksum here, not a safeguard.
    return "sha1:" + base64.b32encode(hashlib.sha1(content, usedforsecurity=False).digest()).decode()


def _compress(record: bytes) -> bytes:
    # Window bits of 16 + 15 ask for a gzip member, whose header then has no time in it.
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    return compressor.compress(record) + compressor.flush()


def _damaged(member: bytes) -> bytes:
    # Deflate has no block whose type bits are both set, so a decompressor notices; or the checksum does.
    kept = len(member) * 3 // 4
    return member[:kept] + b"\xff" * (len(member) - kept)
