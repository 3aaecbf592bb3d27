"""A loopback server of many hosts, which keeps its own log: what it was asked, when, and by whom."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Reply = bytes | AsyncIterator[bytes]


@dataclass(frozen=True)
class Hit:
    """A request as the server saw it."""

    at: float
    host: str
    path: str
    headers: Mapping[str, str]
    raw: bytes
    connection: int


Handler = Callable[[Hit], Reply]


def reply(body: bytes | str = b"", status: int = 200, type: str = "text/html", **headers: str) -> bytes:  # noqa: A002
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {type}", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


def page(*links: str, head: str = "", text: str = "") -> str:
    anchors = "".join(f'<a href="{link}">x</a>' for link in links)
    return f"<!doctype html><html><head>{head}</head><body><p>{text}</p>{anchors}</body></html>"


class Server:
    """Serves `handler` on a port of 127.0.0.1 until the block ends."""

    def __init__(self, handler: Handler, ssl: Any = None, host: str = "127.0.0.1") -> None:
        self.handler = handler
        self._host = host
        self.hits: list[Hit] = []
        self.port = 0
        self._ssl = ssl
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._connections = 0

    def paths(self, host: str | None = None) -> list[str]:
        return [hit.path for hit in self.hits if host is None or hit.host == host]

    def __enter__(self) -> Server:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connection, self._host, 0, ssl=self._ssl, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        number = self._connections
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                raw = await reader.readuntil(b"\r\n\r\n")
                lines = raw.decode("latin-1").split("\r\n")
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in lines[1:])
                }
                host = headers.get("host", "").partition(":")[0]
                hit = Hit(time.time(), host, lines[0].split(" ")[1], headers, raw, number)
                self.hits.append(hit)
                answer = self.handler(hit)
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                    continue
                async for piece in answer:  # and then the connection ends
                    writer.write(piece)
                    await writer.drain()
                break
        writer.close()


@contextlib.contextmanager
def serving(handler: Handler, ssl: Any = None) -> Iterator[Server]:
    with Server(handler, ssl) as server:
        yield server


def table(pages: Mapping[str, Reply | Callable[[Hit], Reply]]) -> Handler:
    """A handler from `host/path` (or `/path`, for every host) to answers; what is missing is 404."""

    def handler(hit: Hit) -> Reply:
        found = pages.get(hit.host + hit.path, pages.get(hit.path))
        if found is None:
            return reply("not here", 404)
        return found(hit) if callable(found) else found

    return handler
