"""CDXJ, the index of an archive's captures, as pywb reads it. A line is `SURT timestamp {json}`; lines are sorted."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator

from pipeline import storage
from pipeline.crawl.urls import parse_url, surt


def cdx_line(
    url: str, date: str, *, status: int, mime: str, digest: str, filename: str, offset: int, length: int
) -> str:
    """The line of a capture.

    Args:
        url: in normal form.
        date: as in WARC-Date.
        status: of the answer.
        mime: its type; `warc/revisit` for a revisit.
        digest: of the payload, as in WARC-Payload-Digest.
        filename: of the WARC file, relative to its folder.
        offset: of the record's gzip member.
        length: of the member.
    """
    stamp = "".join(character for character in date if character.isdigit())
    fields = {
        "url": url,
        "mime": mime or "unk",
        "status": str(status),
        "digest": digest,
        "length": str(length),
        "offset": str(offset),
        "filename": filename,
    }
    return f"{surt(parse_url(url))} {stamp} {json.dumps(fields)}"


def merge_indexes(paths: Iterable[str], target: str) -> int:
    """Merge sorted indexes into one; the number of lines. Holds one line of each."""
    lines = 0
    with storage.write_atomically(target) as file:
        for line in heapq.merge(*(_lines(path) for path in paths)):
            file.write(line)
            lines += 1
    return lines


def _lines(path: str) -> Iterator[bytes]:
    with storage.open_read(path) as file:
        yield from file
