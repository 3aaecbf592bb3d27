"""Many requests at once in one thread: libcurl's multi interface on epoll, with a guard on every byte that a server may send.

One request, one answer: redirects are not followed (their targets are URLs like others, with robots.txt and a pace of their own).
Bodies arrive as sent, so that an archive can keep them; `answer.decoded` undoes their codings under a limit. A server can neither
lead a connection to a forbidden address (the check is on the address that the socket is opened for), nor speak another protocol
than HTTP, nor hold a request longer or fill it further than the limits say.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pycurl  # type: ignore[import-untyped]

from pipeline.crawl.addresses import is_public
from pipeline.crawl.config import LimitSettings
from pipeline.crawl.urls import Url
from pipeline.errors import UserError
from pipeline.sources.bodies import Body, codings_of, decode_body
from pipeline.sources.members import BadRecordError

ACCEPT = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.1"
ACCEPT_ENCODING = "gzip, br, zstd"
_EVENTS = 512

_ERRORS = {
    pycurl.E_COULDNT_RESOLVE_HOST: "dns",
    pycurl.E_COULDNT_CONNECT: "connect",
    pycurl.E_OPERATION_TIMEDOUT: "timeout",
    pycurl.E_SSL_CONNECT_ERROR: "tls",
    pycurl.E_PEER_FAILED_VERIFICATION: "tls",
    pycurl.E_SSL_CACERT_BADFILE: "tls",
    pycurl.E_GOT_NOTHING: "empty",
    pycurl.E_PARTIAL_FILE: "cut",
    pycurl.E_RECV_ERROR: "cut",
    pycurl.E_SEND_ERROR: "cut",
    8: "protocol",  # CURLE_WEIRD_SERVER_REPLY, which pycurl has under an FTP name
    pycurl.E_UNSUPPORTED_PROTOCOL: "protocol",
    pycurl.E_BAD_CONTENT_ENCODING: "protocol",
    100: "headers",  # CURLE_TOO_LARGE
}
_TRUNCATED = {"timeout": "time", "cut": "disconnect"}


@dataclass(frozen=True)
class Request:
    """A GET request."""

    url: Url
    headers: tuple[tuple[str, str], ...] = ()
    """Fields besides Host, User-Agent, Accept and Accept-Encoding."""
    max_bytes: int | None = None
    """Octets of the body that are read; the limits' own where None."""
    media_types: frozenset[str] = frozenset()
    """Types that are read; an answer of another breaks off behind its header. Empty: all."""
    tag: Any = None
    """Whatever the caller knows it by."""


@dataclass
class Answer:
    """What came of a request. Times are seconds since 1970."""

    request: Request
    started: float
    seconds: float
    status: int | None = None
    """None where no HTTP header arrived."""
    error: str | None = None
    """`dns`, `connect`, `address`, `timeout`, `tls`, `cut`, `empty`, `headers`, `protocol`, `curl:N`; `type` where the type was
    not wanted."""
    detail: str = ""
    head: bytes = b""
    """Status line and fields as sent, with the empty line."""
    body: bytes = b""
    """As sent, without the chunks of a chunked transfer."""
    truncated: str | None = None
    """Why the body is not whole, in the words of WARC-Truncated: `length`, `time`, `disconnect`."""
    ip: str | None = None

    @cached_property
    def headers(self) -> list[tuple[str, str]]:
        """Names in lower case, and values, as they came."""
        fields = []
        for line in self.head.split(b"\n")[1:]:
            name, colon, value = line.partition(b":")
            if colon:
                fields.append((name.strip().lower().decode("latin-1"), value.strip().decode("latin-1")))
        return fields

    def header(self, name: str) -> str | None:
        """The first value of a field; `name` in lower case."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def media_type(self) -> str:
        """The type alone, in lower case; empty where none is named."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()

    def decoded(self, limit: int) -> Body | None:
        """The body without its content codings; None where it is not in the codings that it claims."""
        coding = ",".join(value for name, value in self.headers if name == "content-encoding")
        if not coding:
            return Body(self.body, len(self.body))
        try:
            return decode_body(self.body, codings_of({b"content-encoding": coding.encode("latin-1")}), limit)
        except BadRecordError:
            return None


class _Slot:
    """A curl handle and the answer that it is filling."""

    def __init__(self, fetcher: Fetcher) -> None:
        self.fetcher = fetcher
        self.extra: tuple[tuple[str, str], ...] = ()
        self.curl = fetcher.new_handle(self)
        self.begin(None)

    def begin(self, request: Request | None) -> None:
        """Forget the last answer."""
        self.request = request
        self.lines: list[bytes] = []
        self.header_bytes = 0
        self.in_header = True
        self.pieces: list[bytes] = []
        self.left = 0
        self.stopped: str | None = None
        self.refused: str | None = None
        self.started = 0.0

    def on_header(self, line: bytes) -> int:
        """Take a line of the header; a return other than its length ends the transfer."""
        if not self.in_header:
            return len(line)  # a trailer
        if line[:5] == b"HTTP/":
            self.lines.clear()  # an interim answer (1xx) came before
        self.header_bytes += len(line)
        if self.header_bytes > self.fetcher.limits.max_header_bytes:
            self.stopped = "headers"
            return 0
        self.lines.append(line)
        if line in (b"\r\n", b"\n") and not self.lines[0][8:11].strip().startswith(b"1"):
            self.in_header = False
            assert self.request is not None  # noqa: S101 - a transfer has one
            if self.request.media_types and not self._is_wanted(self.request.media_types):
                self.stopped = "type"
                return 0
        return len(line)

    def _is_wanted(self, media_types: frozenset[str]) -> bool:
        if self.lines[0].split(b" ", 2)[1][:1] != b"2":
            return True  # pages of errors and redirects are judged by their status
        for line in self.lines:
            if line[:13].lower() == b"content-type:":
                named = line[13:].partition(b";")[0].strip().lower().decode("latin-1")
                return not named or named in media_types
        return True

    def on_body(self, piece: bytes) -> int:
        """Take a part of the body, up to the limit."""
        self.left -= len(piece)
        if self.left < 0:
            self.pieces.append(piece[: self.left])
            self.stopped = "length"
            return 0
        self.pieces.append(piece)
        return len(piece)

    def on_socket(self, _: int, address: Any) -> Any:
        """Open a socket, unless the address is not one of the public Internet."""
        family, kind, protocol, where = address
        if not self.fetcher.allow_private and not is_public(str(where[0])):
            self.refused = str(where[0])
            return pycurl.SOCKET_BAD
        return socket.socket(family, kind, protocol)


class Fetcher:
    """Requests under way. Not for several threads.

    Args:
        limits: bounds of each answer.
        user_agent: the header's value.
        allow_private: whether addresses outside the public Internet may be connected to.
        connect_to: host to `address:port`, where not the host's own; `*` for all.
        ca_file: certificates to trust instead of the system's.

    Raises:
        UserError: when no certificates are found.
    """

    def __init__(
        self,
        limits: LimitSettings,
        user_agent: str,
        *,
        allow_private: bool = False,
        connect_to: Mapping[str, str] | None = None,
        ca_file: str | None = None,
    ) -> None:
        self.limits = limits
        self.user_agent = user_agent
        self.allow_private = allow_private
        self._ca_file = ca_file or _system_certificates()
        self._connect_to = [
            f"{'' if host == '*' else host}::{address}" for host, address in (connect_to or {}).items()
        ]
        self._fixed = [
            f"User-Agent: {user_agent}",
            f"Accept: {ACCEPT}",
            f"Accept-Encoding: {ACCEPT_ENCODING}",
        ]
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)
        self._epoll = select.epoll()
        self._watched: set[int] = set()
        self._timer: float | None = None
        self._idle: list[_Slot] = []
        self._slots: dict[Any, _Slot] = {}
        self._offset = time.time() - time.monotonic()

    @property
    def active(self) -> int:
        """Requests under way."""
        return len(self._slots)

    def now(self) -> float:
        """Seconds since 1970, on a clock that is never set back."""
        return self._offset + time.monotonic()

    def request_head(self, request: Request) -> bytes:
        """The request as it is sent."""
        lines = [f"GET {request.url.target} HTTP/1.1", f"Host: {request.url.authority}", *self._fixed]
        lines += [f"{name}: {value}" for name, value in request.headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def start(self, request: Request) -> float:
        """Begin a request; its answer comes out of `wait`. Returns the time of its start."""
        slot = self._idle.pop() if self._idle else _Slot(self)
        slot.begin(request)
        slot.left = self.limits.max_bytes if request.max_bytes is None else request.max_bytes
        slot.curl.setopt(pycurl.URL, request.url.text)
        if request.headers != slot.extra:
            slot.extra = request.headers
            extra = [f"{name}: {value}" for name, value in request.headers]
            slot.curl.setopt(pycurl.HTTPHEADER, [*self._fixed, *extra])
        self._slots[slot.curl] = slot
        slot.started = self.now()
        self._multi.add_handle(slot.curl)
        return slot.started

    def wait(self, seconds: float) -> list[Answer]:
        """Drive the requests until something happens, at most so long; the answers that are there."""
        if self._timer is not None:
            seconds = min(seconds, self._timer - time.monotonic())
        multi = self._multi
        for fd, events in self._epoll.poll(max(seconds, 0.0), _EVENTS):
            mask = pycurl.CSELECT_IN if events & (select.EPOLLIN | select.EPOLLHUP) else 0
            mask |= pycurl.CSELECT_OUT if events & select.EPOLLOUT else 0
            mask |= pycurl.CSELECT_ERR if events & select.EPOLLERR else 0
            multi.socket_action(fd, mask)
        if self._timer is not None and self._timer <= time.monotonic():
            self._timer = None
            multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        return self._finished()

    def close(self) -> None:
        """End all requests and connections."""
        for slot in self._slots.values():
            self._multi.remove_handle(slot.curl)
            slot.curl.close()
        for slot in self._idle:
            slot.curl.close()
        self._multi.close()
        self._epoll.close()

    def _finished(self) -> list[Answer]:
        answers: list[Answer] = []
        left = 1
        while left:
            left, done, broken = self._multi.info_read()
            answers += [self._end(curl, None, "") for curl in done]
            answers += [self._end(curl, code, message) for curl, code, message in broken]
        return answers

    def _end(self, curl: Any, code: int | None, message: str) -> Answer:
        slot = self._slots.pop(curl)
        self._multi.remove_handle(curl)
        assert slot.request is not None  # noqa: S101 - it was started
        answer = Answer(slot.request, slot.started, max(self.now() - slot.started, 0.0), detail=message)
        answer.ip = curl.getinfo(pycurl.PRIMARY_IP) or None
        if not slot.in_header:
            answer.head = b"".join(slot.lines)
            answer.status = curl.getinfo(pycurl.RESPONSE_CODE) or None
            answer.body = b"".join(slot.pieces)
        if slot.stopped == "length":
            answer.truncated = "length"
        elif slot.stopped is not None:
            answer.error = slot.stopped
        elif code is not None:
            answer.error = "address" if slot.refused else _ERRORS.get(code, f"curl:{code}")
            answer.detail = f"{slot.refused} is no public address" if slot.refused else message
            answer.truncated = _TRUNCATED.get(answer.error, "unspecified") if answer.status else None
        slot.begin(None)
        self._idle.append(slot)
        return answer

    def new_handle(self, slot: _Slot) -> Any:
        """A curl handle with all that does not change between requests."""
        curl, limits = pycurl.Curl(), self.limits
        for option, value in (
            (pycurl.NOSIGNAL, 1),
            (pycurl.FOLLOWLOCATION, 0),
            (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
            (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
            (pycurl.PROXY, ""),
            (pycurl.NOPROXY, "*"),
            (pycurl.PATH_AS_IS, 1),
            (pycurl.SSL_VERIFYPEER, 1),
            (pycurl.SSL_VERIFYHOST, 2),
            (pycurl.CAINFO, self._ca_file),
            (pycurl.CONNECTTIMEOUT_MS, int(limits.connect_seconds * 1000)),
            (pycurl.TIMEOUT_MS, int(limits.total_seconds * 1000)),
            (pycurl.LOW_SPEED_LIMIT, limits.slow_bytes),
            (pycurl.LOW_SPEED_TIME, limits.slow_seconds),
            (pycurl.DNS_CACHE_TIMEOUT, 300),
            (pycurl.HTTPHEADER, self._fixed),
            (pycurl.HEADERFUNCTION, slot.on_header),
            (pycurl.WRITEFUNCTION, slot.on_body),
            (pycurl.OPENSOCKETFUNCTION, slot.on_socket),
        ):
            curl.setopt(option, value)
        if self._connect_to:
            curl.setopt(pycurl.CONNECT_TO, self._connect_to)
        return curl

    def _on_socket(self, what: int, fd: int, _multi: Any, _data: Any) -> None:
        if what == pycurl.POLL_REMOVE:
            self._watched.discard(fd)
            with contextlib.suppress(OSError):  # the socket may be closed already
                self._epoll.unregister(fd)
            return
        events = (select.EPOLLIN if what & pycurl.POLL_IN else 0) | (
            select.EPOLLOUT if what & pycurl.POLL_OUT else 0
        )
        if fd in self._watched:
            self._epoll.modify(fd, events)
        else:
            self._watched.add(fd)
            self._epoll.register(fd, events)

    def _on_timer(self, milliseconds: int) -> None:
        self._timer = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000


def _system_certificates() -> str:
    """The file of trusted certificates of this system, or of certifi."""
    paths = ssl.get_default_verify_paths()
    candidates: Sequence[str | None] = (paths.cafile, "/etc/ssl/certs/ca-certificates.crt")
    for path in candidates:
        if path and os.path.exists(path):
            return path
    try:
        import certifi
    except ImportError as error:
        raise UserError("no trusted certificates were found; name a file of them as ca_file.") from error
    return certifi.where()
