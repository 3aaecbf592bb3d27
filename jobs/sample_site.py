"""The sample site on a loopback server, for `corpusmill demo` to crawl: every host of `jobs/sample/site.yaml`, over plain HTTP.

Each host has a robots.txt that allows everything, and a front page, not archived (it says `noindex`), that links to the host's
pages. Their own links lead nowhere, so their header says `nofollow`. The site's addresses are `https`; the server knows no
certificates, so the crawl's are `http`.
"""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator
from html import escape
from typing import Any
from urllib.parse import urlsplit

from jobs.sample import Page, pages

FRONT = '<!doctype html><meta name="robots" content="noindex"><title>Contents</title>'
_ROBOTS = b"User-agent: *\nAllow: /\n"


def http_url(page: Page) -> str:
    """The address of a page on the server."""
    return "http" + page.url.removeprefix("https").removeprefix("http")


def seeds() -> list[str]:
    """The front page of every host."""
    return sorted({f"http://{urlsplit(page.url).netloc}/" for page in pages()})


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Serve the site until the block ends; yields `address:port`, for the crawl's `connect_to`."""
    server = _Server(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.pages: dict[tuple[str, str], Page] = {}
        for page in pages():
            split = urlsplit(page.url)
            target = split.path + (f"?{split.query}" if split.query else "")
            self.pages[split.netloc, target or "/"] = page

    def front(self, host: str) -> bytes:
        """The links to the pages of a host."""
        links = (
            f'<a href="{escape(path)}">{escape(path)}</a>'
            for name, path in self.pages
            if name == host and path != "/"
        )
        return (FRONT + "".join(links)).encode()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with a page of the site."""
        host = self.headers.get("Host", "")
        page = self.server.pages.get((host, self.path))
        if page is not None:
            self._answer(page.status, page.content_type, page.body)
        elif self.path == "/robots.txt":
            self._answer(200, "text/plain", _ROBOTS)
        elif self.path == "/":
            self._answer(200, "text/html; charset=utf-8", self.server.front(host))
        else:
            self._answer(404, "text/html; charset=utf-8", b"<!doctype html><title>Not found</title>")

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if self.path != "/":
            self.send_header("X-Robots-Tag", "nofollow")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
