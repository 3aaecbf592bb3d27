"""Where the files of a benchmark are on the network, and what went wrong when they could not be had.

The hub converts data sets to Parquet by itself (branch refs/convert/parquet, laid out CONFIG/SPLIT/*.parquet). Any other
address is an fsspec URL; http and https need no further package.
"""

from __future__ import annotations

import http.client
import socket
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
from fsspec.core import url_to_fs

from decontam.entries import HubSource
from decontam.items import nearest

_TIMEOUT = 60.0  # seconds without a byte


@dataclass(frozen=True)
class Part:
    """A file to be downloaded: its address, its size if known, and how to open it.

    A copy of a file that is there already carries the `origin` of that: the ledger's entries for its own parts.
    """

    url: str
    size: int | None
    open: Callable[[], Any]
    origin: tuple[dict[str, Any], ...] = ()


def url_part(url: str) -> Part:
    """A file at any address.

    Raises:
        ImportError: when the protocol needs a package that is not installed.
        OSError, or another of `errors()`: when there is no such file.
    """
    if urlsplit(url).scheme in ("http", "https"):
        return Part(url, None, lambda: _Response(url))
    fs, inner = url_to_fs(url)
    return Part(url, fs.size(inner), lambda: fs.open(inner, "rb"))


class _Response:
    """An HTTP answer that notices when it is cut off; http.client returns the short body without a word."""

    def __init__(self, url: str) -> None:
        self._response = urllib.request.urlopen(url, timeout=_TIMEOUT)  # noqa: S310 - http or https

    def __enter__(self) -> _Response:
        return self

    def __exit__(self, *_: object) -> None:
        self._response.close()

    def read(self, size: int) -> bytes:
        content: bytes = self._response.read(size)
        # What is left of the announced length; none where no length was announced.
        if not content and self._response.length:
            raise OSError(f"the answer is cut off: {self._response.length} bytes are missing")
        return content


def hub_parts(root: str, path: str, source: HubSource) -> list[Part]:
    """The Parquet files of a data set's configuration and splits, in order.

    Args:
        root: the folder of the data set's Parquet files, an fsspec URL.
        path: the id of the data set, for messages.
        source: names the configuration (none: `default`, or the only one) and splits (none: the only one).

    Raises:
        ImportError: when the hub's package is not installed.
        ValueError: when there is no such configuration or split, or the hub has converted only a part of it.
        OSError, or another of `errors()`: when the data set cannot be listed.
    """
    fs, inner = url_to_fs(root)
    configs = _tree(fs, inner)
    if not configs:
        raise FileNotFoundError(f"{path}: there are no Parquet files at {root}")
    config = source.config or ("default" if "default" in configs else None)
    if config is None and len(configs) == 1:
        (config,) = configs
    config = _among(config, configs, f"{path} has no configuration", "config")
    splits = configs[config]
    parts: list[Part] = []
    for split in source.splits or (next(iter(splits)) if len(splits) == 1 else None,):
        if f"partial-{split}" in splits:
            raise ValueError(
                f"the hub has converted only the beginning of {path} ({config}/{split}): download it by hand"
            )
        parts += splits[_among(split, splits, f"{path} ({config}) has no split", "split")]
    return parts


def _tree(fs: Any, root: str) -> dict[str, dict[str, list[Part]]]:
    """Configuration -> split -> Parquet files.

    One listing of everything: the hub allows 500 requests in five minutes to those without a token, and its client keeps
    the listing for the other benchmarks of the data set.
    """
    depth = root.rstrip("/").count("/") + 1
    tree: dict[str, dict[str, list[Part]]] = {}
    for file, details in sorted(fs.find(root, detail=True).items()):
        steps = file.split("/")[depth:]
        if len(steps) == 3 and steps[2].endswith(".parquet"):
            config, split, _ = steps
            part = Part(fs.unstrip_protocol(file), details["size"], partial(fs.open, file, "rb"))
            tree.setdefault(config, {}).setdefault(split, []).append(part)
    return tree


def _among(name: str | None, known: Iterable[str], problem: str, field: str) -> str:
    names = ", ".join(sorted(known))
    if name is None:
        raise ValueError(f"the entry must say which `{field}`: there are {names}")
    if name not in known:
        raise ValueError(f'{problem} "{name}" (it has {names}).{nearest(name, known)}')
    return name


# ---- what can go wrong


def errors() -> tuple[type[Exception], ...]:
    """What a download may raise, for whatever reason."""
    known: list[type[Exception]] = [OSError, EOFError, ValueError, NotImplementedError, pa.ArrowException]
    known.append(http.client.HTTPException)
    try:
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError:
        return tuple(known)
    # Its first base is the error of whichever HTTP library the hub's client is built on: a lost connection.
    return (*known, *HfHubHTTPError.__bases__)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from."""
    seen: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in seen:
        seen.append(link)
        yield link
        link = link.__cause__ or link.__context__


def is_unreachable(error: BaseException) -> bool:
    """Whether the host did not answer, so that whatever else is asked of it will fail too."""
    return any(isinstance(link, ConnectionError | TimeoutError | socket.gaierror) for link in _chain(error))


def explain(error: Exception, path: str) -> str:
    """What went wrong and what to do, for one benchmark."""
    if is_unreachable(error):
        return f"{path}: the host does not answer ({error}); check the network, then call fetch again"
    return _explain_hub(error, path) or (str(error) if path in str(error) else f"{path}: {error}")


def _explain_hub(error: Exception, path: str) -> str:
    """What an error of the hub means for the person; nothing where it is none."""
    try:
        from huggingface_hub import errors as hub
    except ImportError:
        return ""
    links = list(_chain(error))
    page = f"https://huggingface.co/datasets/{path}"
    if any(isinstance(link, hub.GatedRepoError) for link in links):
        return f"{path} is gated: accept its terms at {page}, log in (`hf auth login`, or HF_TOKEN), and call fetch again"
    if any(isinstance(link, hub.RepositoryNotFoundError) for link in links):
        return f"the hub has no data set {path}, or it is private"
    if any(isinstance(link, hub.RevisionNotFoundError | hub.EntryNotFoundError) for link in links):
        return (
            f"the hub has no Parquet conversion of {path}: download it from {page} and put it into the folder"
        )
    return ""
