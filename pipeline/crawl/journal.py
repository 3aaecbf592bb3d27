"""What a shard writes while it runs: an open WARC file and a journal, so that nothing is lost when it is killed.

Both only grow. A capture is written to the WARC file first, then its line to the journal; a line is the proof that the page is
done. A process that begins where another was killed reads the journal, cuts a half-written line from it, cuts from the WARC file
what no line speaks of, and goes on behind. The start of each request is a line too: from these the resumed process knows which
hosts were being asked when the other one died, and how long they are to be left alone.

A killed process leaves everything that it wrote to the operating system. A machine that loses power may not, so every some pages
the files are forced to the disk, the WARC file first; lines that speak of captures beyond the end of their file are not believed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

from pipeline import storage
from pipeline.crawl import warc

OPEN = ".open"
"""Ending of the name of a WARC file that is still being written."""


class Archive:
    """The WARC files of one shard and round: `PREFIX-00000.warc.gz` and so on; the last one is open."""

    def __init__(
        self, folder: str, prefix: str, info: dict[str, str], *, level: int, part_bytes: int
    ) -> None:
        self._folder, self._prefix, self._info = storage.local_path(folder), prefix, info
        self._level, self._part_bytes = level, part_bytes
        self._fd: int | None = None
        self._info_id = ""
        self.part = 0
        self.size = 0
        os.makedirs(self._folder, exist_ok=True)

    @property
    def name(self) -> str:
        """Of the part that is written next."""
        return f"{self._prefix}-{self.part:05d}.warc.gz"

    def resume(self, part: int, size: int) -> None:
        """Go on at a place that the journal vouches for; what lies behind it goes."""
        self.part, self.size = part, size
        path = os.path.join(self._folder, self.name)
        if os.path.exists(path):
            if os.path.getsize(path) > size:
                os.replace(path, path + OPEN)
            else:
                self.part, self.size = part + 1, 0
                path = os.path.join(self._folder, self.name)
        if os.path.exists(path + OPEN):
            if self.size:
                os.truncate(path + OPEN, self.size)
            else:
                os.unlink(path + OPEN)
        for later in (self.part + 1, self.part + 2):
            for ending in ("", OPEN):
                stray = os.path.join(self._folder, f"{self._prefix}-{later:05d}.warc.gz{ending}")
                if os.path.exists(stray):
                    os.unlink(stray)

    def has(self, part: int, size: int) -> bool:
        """Whether the file of a part is there with at least so many bytes."""
        path = os.path.join(self._folder, f"{self._prefix}-{part:05d}.warc.gz")
        return any(os.path.exists(at) and os.path.getsize(at) >= size for at in (path, path + OPEN))

    def write(self, found: warc.Capture, digest: str | None = None) -> tuple[warc.Written, str, int]:
        """Append the records of a capture; what was written, the file's name, and the offset of the response in it."""
        if self._fd is None:
            self._open(found.date)
        written = warc.capture(found, self._info_id, self._level, digest)
        name, offset = self.name, self.size + written.offset
        self._append(written.content)
        return written, name, offset

    def roll(self) -> None:
        """Close the part if it is long enough."""
        if self.size >= self._part_bytes:
            self.close()

    def sync(self) -> None:
        """Force what was written to the disk."""
        if self._fd is not None:
            os.fsync(self._fd)

    def close(self) -> None:
        """Give the open part its final name."""
        path = os.path.join(self._folder, self.name)
        if self._fd is None and not os.path.exists(path + OPEN):
            return
        if self._fd is not None:
            os.fsync(self._fd)
            os.close(self._fd)
            self._fd = None
        os.replace(path + OPEN, path)
        self.part, self.size = self.part + 1, 0

    def _open(self, date: str) -> None:
        path = os.path.join(self._folder, self.name + OPEN)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        content, self._info_id = warc.warcinfo(self.name, date, self._info, self._level)
        if not self.size:
            self._append(content)

    def _append(self, content: bytes) -> None:
        assert self._fd is not None  # noqa: S101 - opened by `write`
        _write(self._fd, content)
        self.size += len(content)


class Journal:
    """The lines of one shard and round, as JSON."""

    def __init__(self, path: str) -> None:
        self.path = storage.local_path(path)
        self._fd: int | None = None

    def recover(self, archive: Archive) -> list[dict[str, Any]]:
        """The lines that hold; the archive is set to go on behind the last of them."""
        lines, kept, part, size = [], 0, 0, 0
        for line, event in self._read():
            place = event.get("archive")
            if place is not None:
                if not archive.has(place[0], place[1]):
                    break
                part, size = place
            lines.append(event)
            kept += len(line)
        if os.path.exists(self.path):
            os.truncate(self.path, kept)
        archive.resume(part, size)
        return lines

    def append(self, event: dict[str, Any]) -> None:
        """Add a line."""
        if self._fd is None:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        _write(self._fd, json.dumps(event, separators=(",", ":")).encode() + b"\n")

    def sync(self) -> None:
        """Force what was written to the disk."""
        if self._fd is not None:
            os.fsync(self._fd)

    def close(self) -> None:
        """Close the file."""
        if self._fd is not None:
            os.fsync(self._fd)
            os.close(self._fd)
            self._fd = None

    def events(self) -> Iterator[dict[str, Any]]:
        """All whole lines."""
        return (event for _, event in self._read())

    def _read(self) -> Iterator[tuple[bytes, dict[str, Any]]]:
        if not os.path.exists(self.path):
            return
        with open(self.path, "rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    return
                try:
                    event = json.loads(line)
                except ValueError:
                    return
                yield line, event


def _write(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
