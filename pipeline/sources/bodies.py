"""HTTP bodies: transfer and content codings (chunked, gzip, deflate, br, zstd) undone, in bounded memory.

Archives often keep the header of a coding that is already undone, so a body that is not in its coding, but could
be text, is taken as it is; one that could not fails as `http.bad_encoding`. What is left of a body whose coding
breaks off is kept, and marked as not complete. A body that grows above a limit (a decompression bomb) is not
held: decoding stops there, and only the length reached is told.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import brotli  # type: ignore[import-untyped]
import zstandard

from pipeline.sources.members import GZIP, INPUT_BYTES, OUTPUT_BYTES, ZSTD, BadRecordError, unzstded

_MAX_CODINGS = 4
_HEX = re.compile(rb"[0-9a-fA-F]{1,15}")
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
"""The "binary data bytes" of the WHATWG MIME Sniffing Standard: no text holds them."""


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


def codings_of(fields: Mapping[bytes, bytes]) -> list[str]:
    """The codings that an HTTP header names (its fields by lower-case name), in the order of application."""
    value = fields.get(b"content-encoding", b"") + b"," + fields.get(b"transfer-encoding", b"")
    names = (name.strip().lower() for name in value.decode("latin-1").split(","))
    return [name.removeprefix("x-") for name in names if name not in ("", "identity", "none")]


def _undo(coding: str, body: bytes, limit: int) -> tuple[bytes, bool] | None:
    """The body without one coding, and whether it was whole; None where it is not in this coding."""
    if coding == "chunked":
        return _collect(_chunks(body), limit)
    if coding == "gzip" and body.startswith(GZIP):
        return _collect(_inflated(body, zlib.MAX_WBITS | 16), limit)
    if coding == "deflate":  # should be zlib's format (RFC 9110, 8.4.1.2); many servers send bare deflate
        zlib_format = len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
        return _collect(_inflated(body, zlib.MAX_WBITS if zlib_format else -zlib.MAX_WBITS), limit)
    if coding == "br":
        return _collect(_unbrotlied(body), limit)
    if coding == "zstd" and body.startswith(ZSTD):
        return _collect(unzstded(body), limit)
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
        data = body[at : at + INPUT_BYTES]
        piece = inflate.decompress(data, OUTPUT_BYTES)
        at += len(data) - len(inflate.unconsumed_tail) - len(inflate.unused_data)
        yield piece
        if inflate.eof:
            if body[at : at + 3] != GZIP:
                return
            inflate = zlib.decompressobj(wbits)
        elif not data and not piece:
            raise EOFError


def _unbrotlied(body: bytes) -> Iterator[bytes]:
    at, decoder = 0, brotli.Decompressor()
    while not decoder.is_finished():
        data = body[at : at + INPUT_BYTES] if decoder.can_accept_more_data() else b""
        at += len(data)
        piece: bytes = decoder.process(data, output_buffer_limit=OUTPUT_BYTES)
        if not data and not piece:
            raise EOFError
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
