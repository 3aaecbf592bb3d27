"""Spam, adult and malware sites, by the URL: block lists of hosts and URL prefixes, and adult words.

Columns (one value per document; missing without a URL):
    url.blocked       1 where the host, a domain above it, or the URL up to a slash is on the block list, else 0
    url.adult_words   points of the different adult words in the URL: 2 for a sure one, 1 for an ambiguous one

A block list is one file that `corpusmill build blocklist` makes (`filters.blocklist_build`): sorted 64-bit
hashes, mapped into memory and so shared by all workers. A list of a million hosts takes 8 MB; a host that is
not on it has the hash of one that is with a chance of 5 in 10^14.

What is compared is stated by `split_url` (rule `urls_v1`): lower case; no scheme, user, port, fragment, no
`www.`, no point or slash at the end; the host decoded and in its ASCII form (IDNA); and the mirrors of a blog
(`x.blogspot.de`, `x.blogspot.co.uk`) are its address `x.blogspot.com`.

Words are the runs of ASCII letters and digits of the URL. Two ambiguous ones are needed to weigh as much as a
sure one, so the rule `url.adult_words: {max: 1}` is datatrove's. The words are those of the block list, where
it was built with some, else `SURE_WORDS` and `AMBIGUOUS_WORDS`: short lists of ours, English.
"""

from __future__ import annotations

import functools
import json
import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from filters import _blocklist_kernels as kernels
from filters._simd import MOREMUR_FACTORS, MOREMUR_SHIFTS
from filters.measures import Column, Columns, Measure, measure
from filters.pii_candidates import text_bounds

if TYPE_CHECKING:
    from filters.words import WordIndex

MAGIC: Final = b"CMBLOCK1"
RULE: Final = "urls_v1"
"""The version of the rule of what is compared, and of the hash: lists of another version are refused."""

SURE, AMBIGUOUS = 2, 1

SURE_WORDS: Final = frozenset(
    """
    bdsm blowjob blowjobs bukkake camgirl camgirls camsex creampie cumshot cumshots deepthroat fuck fucked fucking
    gangbang handjob hentai milf milfs porn porno pornhub pornos pornstar pornstars porntube pussy rule34 sexcam
    sexcams sexchat sextube sexvideo sexvideos titfuck upskirt xhamster xnxx xvideo xvideos xxx xxxx youporn
    """.split()  # noqa: SIM905 - readable
)
AMBIGUOUS_WORDS: Final = frozenset(
    """
    adult adults amateur anal ass boobs busty cam cams erotic erotica escort escorts fetish hardcore hot hottest
    horny lingerie naked nude nudes nudity orgy pics playmate sex sexe sexo sexy slut strip stripper swinger teen
    teens tit tits topless tube webcam wet
    """.split()  # noqa: SIM905 - readable
)

Hashes = npt.NDArray[np.uint64]
Points = npt.NDArray[np.int32]


class BlocklistError(ValueError):
    """A file is no block list, is cut short, or was built under another rule."""


class BlocklistSettings(BaseModel, frozen=True, extra="forbid"):
    """Which URLs are blocked."""

    path: str | None = None
    """A file that `corpusmill build blocklist` has made, on this machine; None: no column `url.blocked`."""


@dataclass(frozen=True)
class Blocklist:
    """An opened list: `hosts`, `urls` and `words` are sorted hashes, mapped; `header` says what went in."""

    hosts: Hashes
    urls: Hashes
    words: Hashes
    points: Points
    parts: tuple[str, ...]
    """Lower-case strings that weigh as much as a sure word wherever they are in a URL."""
    header: dict[str, Any]

    def blocks(self, urls: pa.Array) -> pa.Array:
        """Whether each URL is blocked: boolean, missing where the URL is. No URL raises an error."""
        base, starts, ends = text_bounds(urls)
        blocked = np.zeros(len(urls), np.int8)
        kernels.look_up(kernels.address(base), starts, ends, self.hosts, self.urls, blocked)
        for row in np.flatnonzero(blocked < 0).tolist():
            blocked[row] = self._blocks_one(base[starts[row] : ends[row]].tobytes())
        return _with_nulls(blocked != 0, urls, pa.bool_())

    def _blocks_one(self, url: bytes) -> bool:
        host, rest = split_url(url.decode("utf-8", "replace"))
        labels = host.split(".")
        found = any(_has(self.hosts, hash_text(".".join(labels[i:]))) for i in range(len(labels)))
        return found or any(_has(self.urls, hash_text(prefix)) for prefix in url_prefixes(host, rest))

    def adult_points(self, urls: pa.Array) -> pa.Array:
        """Points of the adult words of each URL: int32, missing where the URL is."""
        base, starts, ends = text_bounds(urls)
        points = np.zeros(len(urls), np.int32)
        kernels.count_words(kernels.address(base), starts, ends, (self.words, self.points), points)
        if self.parts:
            points += SURE * _contains(urls, self.parts)
        return _with_nulls(points, urls, pa.int32())


def blocklist(settings: BlocklistSettings | None = None) -> Measure:
    """Make the measure of `url.adult_words` and, where there is a list, of `url.blocked`.

    The chunk needs a column `url`; the words of the text are not looked at.

    Raises (when measuring):
        BlocklistError, OSError: the list cannot be used.
    """
    path = (settings or BlocklistSettings()).path
    words = Column("url.adult_words", pa.int32(), "points of the different adult words in the URL")
    if path is None:

        @measure(words)
        def adult_words(docs: pa.RecordBatch, words: WordIndex) -> Columns:  # noqa: ARG001
            return {"url.adult_words": default_words().adult_points(docs["url"])}

        return adult_words

    @measure(Column("url.blocked", pa.int32(), "1 where host or URL is on the block list"), words)
    def listed(docs: pa.RecordBatch, words: WordIndex) -> Columns:  # noqa: ARG001
        opened = open_blocklist(path)
        return {
            "url.blocked": opened.blocks(docs["url"]),
            "url.adult_words": opened.adult_points(docs["url"]),
        }

    return listed


@functools.cache
def open_blocklist(path: str) -> Blocklist:
    """The list in a file, opened once per process.

    Raises:
        BlocklistError: see there.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        magic, length = file.read(len(MAGIC)), int.from_bytes(file.read(8), "little")
        size = Path(path).stat().st_size
        if magic != MAGIC or length > size:
            raise BlocklistError(f"{path} is no block list: corpusmill build blocklist makes one.")
        header = _parsed(file.read(length), path)
    if header["rule"] != RULE:
        raise BlocklistError(f"{path} was built under {header['rule']}; build it again under {RULE}.")
    counts = [header["hosts"], header["urls"], header["words"]]
    start = padded(len(MAGIC) + 8 + length)
    if size != start + 8 * sum(counts) + 4 * counts[2]:
        raise BlocklistError(f"{path} is cut short or damaged: build it again.")
    mapped = np.memmap(path, np.uint8, "r")
    hosts, urls, words = np.split(mapped[start : start + 8 * sum(counts)].view("<u8"), np.cumsum(counts)[:-1])
    points = np.array(mapped[start + 8 * sum(counts) :].view("<i4"), np.int32)
    opened = Blocklist(
        np.asarray(hosts), np.asarray(urls), np.asarray(words), points, tuple(header["parts"]), header
    )
    return _or_default_words(opened)


def _parsed(header: bytes, path: str) -> dict[str, Any]:
    try:
        parsed = json.loads(header)
        # All that is used of it, so that a damaged one fails here.
        _ = [parsed["rule"], parsed["parts"], *(8 * parsed[name] for name in ("hosts", "urls", "words"))]
    except (ValueError, KeyError, TypeError):
        raise BlocklistError(f"{path} is damaged: build it again.") from None
    return dict(parsed)


def _or_default_words(opened: Blocklist) -> Blocklist:
    if len(opened.words) or opened.parts:
        return opened
    usual = default_words()
    return Blocklist(opened.hosts, opened.urls, usual.words, usual.points, (), opened.header)


@functools.cache
def default_words() -> Blocklist:
    """A list of no hosts and our own words."""
    points = {**dict.fromkeys(AMBIGUOUS_WORDS, AMBIGUOUS), **dict.fromkeys(SURE_WORDS, SURE)}
    words, values = hashed_words(points)
    none = np.zeros(0, np.uint64)
    for array in (none, words):
        array.flags.writeable = False  # like mapped ones: kernels are compiled once
    return Blocklist(none, none, words, values, (), {})


def hashed_words(points: dict[str, int]) -> tuple[Hashes, Points]:
    """The sorted hashes of lower-case words, and the points of each."""
    by_hash = sorted((hash_text(word), value) for word, value in points.items())
    return (
        np.array([word for word, _ in by_hash], np.uint64),
        np.array([value for _, value in by_hash], np.int32),
    )


def padded(length: int) -> int:
    """The next multiple of 64: hashes begin there."""
    return -(-length // 64) * 64


# --- the rule in plain Python ---

_SCHEME = re.compile(r"(?:[a-z0-9+.-]+:)?//+")
_PORT = re.compile(r":[0-9]*\Z")
_BLOG = re.compile(r"(.*\.)blogspot\.(?:(?:com?\.)?[^.]{2}|[^.]{3})", re.DOTALL)


def split_url(url: str) -> tuple[str, str]:
    """Host and the rest (path and query) as they are compared, by the rule `urls_v1`; empty without a host.

    Any text is a URL here; what browsers do to a strange one is done (white space inside and backslashes).
    """
    url = url.strip("".join(map(chr, range(33))))
    url = url.replace("\t", "").replace("\n", "").replace("\r", "").replace("\\", "/")
    lowered = url.lower()
    scheme = _SCHEME.match(lowered)
    rest = lowered[scheme.end() if scheme else 0 :]
    cut = next((i for i, character in enumerate(rest) if character in "/?#"), len(rest))
    host = _tidy_host(rest[:cut])
    if not host:
        return "", ""
    path = rest[cut:].split("#", 1)[0]
    room = max(0, kernels.MAX_URL - len(host.encode("utf-8", "replace")))
    return host, path.encode("utf-8", "replace")[:room].decode("utf-8", "replace").rstrip("/")


def _tidy_host(authority: str) -> str:
    host = _PORT.sub("", authority.rpartition("@")[2])
    if not host.isascii() or "%" in host:
        host = _ascii_host(host)
    host = host.rstrip(".")
    if host.startswith("www.") and "." in host[4:]:
        host = host[4:]
    blog = _BLOG.fullmatch(host[-kernels.MAX_HOST :])
    return f"{blog[1]}blogspot.com" if blog else host[-kernels.MAX_HOST :]


def _ascii_host(host: str) -> str:
    """Escapes decoded, and each label in Punycode (IDNA 2003, as Python has it) where that is defined."""
    decoded = urllib.parse.unquote(host[-4 * kernels.MAX_HOST :]).lower().replace("\u3002", ".")
    labels: list[str] = []
    for label in decoded.split("."):
        try:
            labels.append(label.encode("idna").decode() if label else label)
        except UnicodeError:
            labels.append(label)
    return ".".join(labels)


def url_prefixes(host: str, rest: str) -> Iterator[str]:
    """The URL as it is compared, and its beginnings up to each slash, question mark and ampersand."""
    whole = host + rest
    yield whole
    borders = (i for i in range(len(host) + 1, len(whole)) if whole[i] in "/?&")
    for _, border in zip(range(kernels.MAX_PREFIXES), borders, strict=False):
        yield whole[:border]


def hash_text(text: str) -> int:
    """The 64-bit hash `bytes_v1` of the UTF-8 bytes of a text.

    The bytes are taken in pieces of eight, each a little-endian number; from a fixed start, `state =
    moremur(state ^ piece)` for each, and at last for their number.
    """
    encoded, state = text.encode("utf-8", "replace"), int(kernels.HASH_START)
    for start in range(0, len(encoded), 8):
        state = _moremur(state ^ int.from_bytes(encoded[start : start + 8], "little"))
    return _moremur(state ^ len(encoded))


def _moremur(value: int) -> int:
    for shift, factor in zip(MOREMUR_SHIFTS, MOREMUR_FACTORS, strict=False):
        value = ((value ^ value >> shift) * factor) & 0xFFFFFFFFFFFFFFFF
    return value ^ value >> MOREMUR_SHIFTS[-1]


def _has(listed: Hashes, value: int) -> bool:
    at = int(np.searchsorted(listed, np.uint64(value)))
    return at < len(listed) and int(listed[at]) == value


def _contains(urls: pa.Array, parts: tuple[str, ...]) -> npt.NDArray[Any]:
    """Whether each URL, signs between letters and digits left out, has one of the parts in it."""
    # As bytes, so that malformed text is searched too.
    data = urls.cast(pa.large_binary())
    bare = pc.replace_substring_regex(data, "[^A-Za-z0-9]+", "")
    pattern = "(?i)" + "|".join(re.escape(part) for part in parts)
    found = pc.fill_null(pc.match_substring_regex(bare, pattern), False)
    return np.asarray(found.to_numpy(zero_copy_only=False), np.int32)


def _with_nulls(values: npt.NDArray[Any], urls: pa.Array, kind: pa.DataType) -> pa.Array:
    return pa.array(values, kind, mask=np.asarray(urls.is_null()) if urls.null_count else None)
