"""Making a block list from lists that others keep: hosts files, lists of domains and of URL prefixes.

An entry without a path blocks the host and all below it; one with a path blocks the URLs that begin so. What
a line may be:

    example.com   *.example.com   .example.com    a host
    0.0.0.0 example.com www.example.com           a hosts file
    ||example.com^                                an ad blocker's rule for a whole host
    example.com/path   https://example.com/a?b=1  a URL prefix
    # ! ; [                                       begin a comment

Entries that are public suffixes (`co.uk`, `github.io`: Mozilla's list, the copy inside tldextract, nothing is
fetched) would block strangers and are left out, and so is what is no host with a point in it. All that is left
out is counted, and the suffixes are named.
"""

from __future__ import annotations

import gzip
import io
import ipaddress
import json
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from filters import _blocklist_kernels as kernels
from filters.blocklist import (
    AMBIGUOUS,
    MAGIC,
    RULE,
    SURE,
    Hashes,
    hash_text,
    hashed_words,
    padded,
    split_url,
)
from filters.pii_candidates import text_bounds

ENTRIES: Final = 200_000
"""Entries that are hashed together."""

LOCAL_NAMES: Final = frozenset({"localhost", "localhost.localdomain", "local", "broadcasthost", "0.0.0.0"})  # noqa: S104
"""What hosts files name that is no site."""


@dataclass
class Built:
    """What a list was made of: counts of entries, and the public suffixes that were left out."""

    read: int = 0
    """Entries read, comments and local names apart."""
    hosts: int = 0
    """Different hosts kept."""
    urls: int = 0
    """Different URL prefixes kept."""
    duplicates: int = 0
    malformed: int = 0
    """Lines and entries that name no host."""
    suffixes: int = 0
    """Entries left out because they are public suffixes."""
    named: list[str] = field(default_factory=list)
    """Some of those."""


class ListError(ValueError):
    """A list cannot be read, or a path holds none. The message tells which."""


def build(
    entries: Iterable[str], points: dict[str, int] | None = None, parts: Iterable[str] = ()
) -> tuple[bytes, Built]:
    """The content of a block list file.

    Args:
        entries: lines of lists, see above.
        points: adult words (letters and digits, lower case) and their points.
        parts: strings that count wherever they are in a URL.
    """
    built = Built()
    hosts, urls = _hash_all(_parsed(entries, built), built)
    built.hosts, built.urls = len(hosts), len(urls)
    built.duplicates = built.read - built.malformed - built.suffixes - built.hosts - built.urls
    words, values = hashed_words(points or {})
    header = {
        "rule": RULE,
        "hosts": len(hosts),
        "urls": len(urls),
        "words": len(words),
        "parts": sorted(set(parts)),
        "left_out": {
            "duplicates": built.duplicates,
            "malformed": built.malformed,
            "suffixes": built.suffixes,
        },
    }
    encoded = json.dumps(header, sort_keys=True).encode()
    start = MAGIC + len(encoded).to_bytes(8, "little") + encoded
    columns = [column.astype("<u8").tobytes() for column in (hosts, urls, words)]
    content = start.ljust(padded(len(start)), b"\0") + b"".join(columns) + values.astype("<i4").tobytes()
    return content, built


# --- lines ---


def _parsed(lines: Iterable[str], built: Built) -> Iterator[str]:
    for line in lines:
        entries = parse_line(line)
        if entries is None:
            built.read += 1
            built.malformed += 1
        else:
            built.read += len(entries)
            yield from entries


def parse_line(line: str) -> list[str] | None:
    """The entries of a line: none in a comment, several in a hosts file; None where it cannot be understood."""
    line = line.strip()
    if not line or line[0] in "#!;[":
        return []
    if line.startswith("||"):
        host, mark, rest = line[2:].partition("^")
        return [host] if mark and (not rest or rest[0] in "$|") and "*" not in host else None
    parts = line.partition(" #")[0].partition("\t#")[0].split()
    if len(parts) > 1:
        return [name for name in parts[1:] if name not in LOCAL_NAMES] if _is_address(parts[0]) else None
    entry = parts[0].removeprefix("*").removeprefix(".")
    return None if "*" in entry or not entry else [entry]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


# --- hashes ---


def _hash_all(entries: Iterator[str], built: Built) -> tuple[Hashes, Hashes]:
    suffixes = _Suffixes()
    hosts: list[Hashes] = [np.zeros(0, np.uint64)]
    urls: list[Hashes] = [np.zeros(0, np.uint64)]
    while batch := list(islice(entries, ENTRIES)):
        host, above, url = hash_entries(batch)
        malformed = above == 0
        plain = ~malformed & (url == 0)
        public = plain & suffixes.among(host, above)
        built.malformed += int(malformed.sum())
        built.suffixes += int(public.sum())
        built.named += [
            batch[row] for row in np.flatnonzero(public)[: max(0, 20 - len(built.named))].tolist()
        ]
        hosts.append(np.unique(host[plain & ~public]))
        urls.append(np.unique(url[~malformed & (url != 0)]))
    return np.unique(np.concatenate(hosts)), np.unique(np.concatenate(urls))


def hash_entries(entries: list[str]) -> tuple[Hashes, Hashes, Hashes]:
    """The hashes of the hosts, of the domains above them, and of the URLs; 0 where there is none."""
    encoded = [entry.encode("utf-8", "replace").decode() for entry in entries]
    base, starts, ends = text_bounds(pa.array(encoded, pa.large_string()))
    states = np.zeros(len(entries), np.int8)
    host_hashes, above_hashes, url_hashes = (np.zeros(len(entries), np.uint64) for _ in range(3))
    hashes = (host_hashes, above_hashes, url_hashes)
    kernels.hash_entries(kernels.address(base), starts, ends, states, hashes)
    for row in np.flatnonzero(states == kernels.SLOW).tolist():
        host, rest = split_url(encoded[row])
        above = host.partition(".")[2]
        texts = (host, above, host + rest if rest else "")
        for column, text in zip(hashes, texts, strict=True):
            column[row] = hash_text(text) if text else 0
    return hashes


class _Suffixes:
    """The public suffixes, those of private registries (`github.io`) too."""

    def __init__(self) -> None:
        import tldextract

        rules = tldextract.TLDExtract(
            suffix_list_urls=(), cache_dir=None, include_psl_private_domains=True
        ).tlds
        self._plain = _hashes_of(rule for rule in rules if rule[0] not in "*!")
        # `*.ck`: every domain right below `ck` is a suffix, but for `!www.ck`.
        self._above = _hashes_of(rule[2:] for rule in rules if rule.startswith("*."))
        self._except = _hashes_of(rule[1:] for rule in rules if rule.startswith("!"))

    def among(self, hosts: Hashes, above: Hashes) -> npt.NDArray[np.bool_]:
        """Which hosts, with the domains right above them, are public suffixes."""
        wild = np.isin(above, self._above) & ~np.isin(hosts, self._except)
        found: npt.NDArray[np.bool_] = np.isin(hosts, self._plain) | wild
        return found


def _hashes_of(names: Iterable[str]) -> Hashes:
    return np.array([hash_text(split_url(name)[0]) for name in names], np.uint64)


# --- files ---


def read_list(path: Path) -> Iterator[str]:
    """The lines of a list, plain or gzip.

    Raises:
        ListError: it cannot be read.
    """
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            with gzip.GzipFile(fileobj=raw) if zipped else raw as stream:
                yield from io.TextIOWrapper(stream, "utf-8", errors="replace", newline="\n")
    except (OSError, EOFError) as error:
        raise ListError(f"{path} cannot be read: {error}") from None


@dataclass(frozen=True)
class Datatrove:
    """The lists inside the `datatrove` wheel (UT1-like; the wheel states no licence for them)."""

    path: Path

    def entries(self) -> Iterator[str]:
        """Domains, then URLs.

        Raises:
            ListError: the path has no such list, or it cannot be read.
        """
        with self._open("url_filterblacklistsv0_3_0.tar.gz") as file:
            try:
                with tarfile.open(fileobj=file, mode="r:gz") as archive:
                    for member in archive:
                        content = archive.extractfile(member) if member.isfile() else None
                        if content is not None and Path(member.name).name in ("domains", "urls"):
                            yield from io.TextIOWrapper(content, "utf-8", errors="replace", newline="\n")
            except (tarfile.TarError, EOFError, OSError) as error:
                raise ListError(f"the list inside {self.path} cannot be read: {error}") from None

    def points(self) -> dict[str, int]:
        """Its words and their points: 2 for a banned one, 1 for a soft one."""
        soft = dict.fromkeys(self._words("soft_banned_words.txt"), AMBIGUOUS)
        return {**soft, **dict.fromkeys(self._words("banned_words.txt"), SURE)}

    def parts(self) -> list[str]:
        """Its strings that are banned wherever they are."""
        return list(self._words("banned_subwords.txt"))

    def _words(self, name: str) -> Iterator[str]:
        with self._open(name) as file:
            for line in io.TextIOWrapper(file, "utf-8"):
                word = "".join(c for c in line.lower() if c.isascii() and c.isalnum())
                if word and not line.startswith("#"):
                    yield word

    def _open(self, name: str) -> IO[bytes]:
        """A file of the package's folder `assets`, from a wheel or an installed package.

        Raises:
            ListError: it is not there.
        """
        if self.path.is_file() and zipfile.is_zipfile(self.path):
            with zipfile.ZipFile(self.path) as wheel:
                inner = [member for member in wheel.namelist() if member.endswith(f"/assets/{name}")]
                if inner:
                    return io.BytesIO(wheel.read(inner[0]))
        for folder in ("", "assets", "datatrove/assets"):
            if (self.path / folder / name).is_file():
                return (self.path / folder / name).open("rb")
        raise ListError(
            f"{self.path} has no assets/{name}: give the datatrove wheel (.whl) or the folder of the installed package."
        )
