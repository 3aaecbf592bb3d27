"""A small server on the loopback interface that speaks the chat protocol, and misbehaves when told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "secret-key-1234"

Reply = tuple[int, Any, dict[str, str]]
"""Status, body (bytes as they are, else JSON), headers."""


def said(content: Any, **choice: Any) -> Reply:
    """An ordinary answer."""
    message = {"role": "assistant", "content": content}
    return 200, {"choices": [{"index": 0, "message": message, **choice}]}, {}


class Stub:
    """The server's side of a test: what it was asked, and how it answers the n-th request (from 0)."""

    def __init__(self, reply: Callable[[str, int], Reply]) -> None:
        self.reply = reply
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""
        self.lock = threading.Lock()

    @property
    def texts(self) -> list[str]:
        """What the requests said, one each."""
        return [request["messages"][0]["content"] for request in self.requests]


@contextmanager
def serving(reply: Callable[[str, int], Reply]) -> Iterator[Stub]:
    """Serve for as long as the block lasts."""
    stub = Stub(reply)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with stub.lock:
                number = len(stub.requests)
                stub.requests.append({"path": self.path, **body})
                stub.headers.append({name.lower(): value for name, value in self.headers.items()})
            status, content, headers = stub.reply(body["messages"][0]["content"], number)
            raw = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(raw)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that has given up is part of the tests."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
