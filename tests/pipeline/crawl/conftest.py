"""A small crawl against a loopback server, for the tests of the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.crawl.config import CrawlSettings
from pipeline.crawl.crawl import Books, crawl
from pipeline.crawl.log import read_log
from pipeline.engine import RunnerSettings
from tests.pipeline.crawl.site import Handler, Server

FAST = {"delay": 0.0, "delay_factor": 0.0, "ip_delay": 0.0, "backoff": 0.05}


@dataclass
class Crawled:
    """A finished crawl."""

    books: Books
    server: Server
    folder: Path

    @property
    def rows(self) -> list[dict[str, Any]]:
        return list(read_log(sorted(map(str, (self.folder / "log").glob("*.parquet")))))

    def row(self, url: str) -> dict[str, Any]:
        """The final row of a URL."""
        (found,) = [
            row for row in self.rows if row["url"] == url and row["key"] and row["outcome"] != "retry"
        ]
        return found

    def outcome(self, url: str) -> tuple[str, str]:
        row = self.row(url)
        return row["outcome"], row["reason"]


Crawl = Callable[..., Crawled]


def settings_for(port: int, **more: Any) -> CrawlSettings:
    """Settings without politeness; sections given are laid over it."""
    content: dict[str, Any] = {
        "contact": "ops@example.org",
        "connect_to": {"*": f"127.0.0.1:{port}"},
        "allow_private": True,
        "shards": 1,
        "budget": {"patience_seconds": 5},
        "politeness": FAST,
        "policy": {"tdm_reservation": False, "ai_txt": False},
    }
    for name, value in more.items():
        both = isinstance(value, dict) and isinstance(content.get(name), dict)
        content[name] = {**content[name], **value} if both else value
    return CrawlSettings.model_validate(content)


@pytest.fixture
def crawl_site(tmp_path: Path) -> Iterator[Crawl]:
    """`crawl_site(handler, *seeds, **settings)`: crawls what the handler serves."""
    servers: list[Server] = []

    def run(handler: Handler, *seeds: str, ssl: Any = None, folder: str = "out", **settings: Any) -> Crawled:
        server = Server(handler, ssl)
        server.__enter__()
        servers.append(server)
        out = tmp_path / folder
        books = crawl(
            settings_for(server.port, **settings),
            seeds or ("http://a.test/",),
            str(out),
            RunnerSettings(workers=0),
        )
        return Crawled(books, server, out)

    yield run
    for server in servers:
        server.__exit__()
