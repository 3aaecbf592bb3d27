"""Members: the parts of an archive that can each be read alone; plain, gzip or Zstandard.

    open_archive   an open file -> `Archive`: its members, and how to find one from anywhere in it
    Member         one of them, its content block by block
    Stream         the content of a member, with look-ahead
    Window         random access to the stored file, by blocks

A compressed archive is a row of gzip members or Zstandard frames (a `.warc.zst` may begin with a dictionary for
them); of a plain one, any offset can be opened, and the content goes on to the end of the file. A reader that
starts inside a file looks for the next place where a member begins and opens with a WARC version line
(`Archive.synchronise`).

What cannot be read raises a `ReadError`, whose `reason` is what failures are counted by. The reasons here:

    warc.truncated_gzip, warc.truncated_zstd    the file ends inside a member
    warc.bad_gzip, warc.bad_zstd                a member that does not decompress, or whose checksum is wrong

Nothing here depends on what the members hold, but for the version line: JSON lines are read through them too.
"""

from __future__ import annotations

import contextlib
import re
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Literal

import zstandard

from pipeline import storage

Compression = Literal["plain", "gzip", "zstd"]

_BLOCK = 1 << 20
"""Bytes that are read from a file at a time."""

INPUT_BYTES = 16 << 10
"""Compressed bytes that are fed at a time; what a member leaves over is copied, so this is small."""

OUTPUT_BYTES = 1 << 20
"""Most bytes that one step of decompression may give."""

_MAX_DICTIONARY = 16 << 20
_MAX_WINDOW = 1 << 27
"""Largest Zstandard window, hence memory, that is accepted: what `zstd` accepts unless told otherwise."""

GZIP = b"\x1f\x8b\x08"
"""How a gzip member begins."""

ZSTD = b"\x28\xb5\x2f\xfd"
"""How a Zstandard frame begins."""

_ZSTD_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
_ZSTD_DICTIONARY = b"\x5d\x2a\x4d\x18"

RECORD_START = re.compile(rb"WARC/\d+\.\d+[ \t]*\r?\n(?:WARC|Content)-[A-Za-z-]+[ \t]*:", re.I)
"""A version line and the beginning of the field behind it: how a record is recognised."""


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
        data = self.window.fetch(self.end, INPUT_BYTES)
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
                data = self.window.fetch(self.end, INPUT_BYTES)
                self.end += len(data)
                if not data:
                    raise DamagedError("warc.truncated_gzip", "the file ends inside this gzip member")
            try:
                piece = self._inflate.decompress(data, self._limit)
            except zlib.error as error:
                raise DamagedError("warc.bad_gzip", f"the member does not decompress: {error}") from error
            self._limit = OUTPUT_BYTES
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
        self._magic = {"plain": b"WARC/", "gzip": GZIP, "zstd": ZSTD}[compression]
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
            return before == b"\n" and RECORD_START.match(self.window.fetch(offset, 256)) is not None
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


def unzstded(content: bytes) -> Iterator[bytes]:
    """What Zstandard frames hold, in pieces of at most `OUTPUT_BYTES`.

    Raises:
        ZstdError: where the content cannot be decompressed further.
    """
    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
    with decompressor.stream_reader(content, read_across_frames=True) as reader:
        while piece := reader.read(OUTPUT_BYTES):
            yield piece


def _dictionary(window: Window) -> zstandard.ZstdCompressionDict | None:
    """The dictionary that a `.warc.zst` may begin with, in a skippable frame (IIPC's WARC-Zstandard)."""
    head = window.fetch(0, 8)
    if not head.startswith(_ZSTD_DICTIONARY):
        return None
    data = window.fetch(8, min(int.from_bytes(head[4:8], "little"), _MAX_DICTIONARY))
    if data.startswith(ZSTD):
        data = _decompressed_dictionary(data)
    return zstandard.ZstdCompressionDict(data)


def _decompressed_dictionary(data: bytes) -> bytes:
    """The dictionary as far as it can be read; without it, every record will say that it is damaged."""
    parts: list[bytes] = []
    with contextlib.suppress(zstandard.ZstdError):
        for piece in unzstded(data):
            parts.append(piece)
            if sum(map(len, parts)) > _MAX_DICTIONARY:
                break
    return b"".join(parts)


def compression_of(path: str, head: bytes) -> Compression:
    """How a file is compressed: by its first bytes, or by its name where they tell nothing."""
    if head.startswith(GZIP):
        return "gzip"
    if head.startswith(ZSTD) or _ZSTD_SKIPPABLE.match(head):
        return "zstd"
    if head.lstrip().startswith((b"WARC/", b"{")):
        return "plain"
    by_name: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd"}
    return next((found for suffix, found in by_name.items() if path.endswith(suffix)), "plain")


def open_archive(path: str, file: IO[bytes]) -> Archive:
    """The members of an open file."""
    window = Window(file, storage.size(path))
    return Archive(window, compression_of(path, window.fetch(0, 8)))
