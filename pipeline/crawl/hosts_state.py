"""What a crawl remembers of a host between rounds: its pace, its errors, and what its origins say in robots.txt and beside it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, Field

from pipeline import storage
from pipeline.crawl.opt_outs import TdmRules
from pipeline.crawl.robots import RobotsFile
from pipeline.crawl.robots_fetch import RobotsVerdict

SCHEMA = pa.schema(
    [
        pa.field("host", pa.string(), nullable=False),
        pa.field("pages", pa.int64(), nullable=False),
        pa.field("errors", pa.int32(), nullable=False),
        pa.field("next_at", pa.float64(), nullable=False),
        pa.field("ip", pa.string()),
        pa.field("state", pa.string(), nullable=False),
    ]
)


class OriginState(BaseModel, frozen=True, extra="forbid"):
    """What an origin says. Frozen: a new answer makes a new one."""

    verdict: RobotsVerdict
    silent: int = 0
    """How often in a row its robots.txt could not be had."""
    beside_at: float | None = None
    """When the two files below were asked for; they hold as long as robots.txt does."""
    tdm: str | None = None
    """`/.well-known/tdmrep.json`."""
    ai: str | None = None
    """`/ai.txt`."""

    @cached_property
    def tdm_rules(self) -> TdmRules | None:
        """The rules of tdmrep.json, if there is one."""
        return TdmRules.parse(self.tdm) if self.tdm is not None else None

    @cached_property
    def ai_rules(self) -> RobotsFile | None:
        """The rules of ai.txt, if there is one."""
        return RobotsFile.parse(self.ai) if self.ai is not None else None


class HostState(BaseModel, extra="forbid"):
    """A host. Times are seconds since 1970."""

    host: str
    next_at: float = 0.0
    """Not to be asked before."""
    last_end: float = 0.0
    """When its last answer ended."""
    last_seconds: float = 0.0
    """What that answer took."""
    errors: int = 0
    """Errors in a row."""
    pages: int = 0
    """Pages answered, in the whole crawl."""
    ip: str | None = None
    origins: dict[str, OriginState] = Field(default_factory=dict)


def write_hosts(path: str, hosts: Iterable[HostState]) -> None:
    """Write a file of host states, in the order of their names."""
    rows: list[dict[str, Any]] = [
        {
            "host": host.host,
            "pages": host.pages,
            "errors": host.errors,
            "next_at": host.next_at,
            "ip": host.ip,
            "state": host.model_dump_json(),
        }
        for host in sorted(hosts, key=lambda host: host.host)
    ]
    with storage.write_atomically(path) as file:
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), file, compression="zstd")


def read_hosts(path: str) -> dict[str, HostState]:
    """The states of a file, by host; none where there is no file."""
    if not storage.exists(path):
        return {}
    with storage.open_read(path) as file:
        states = pq.read_table(file, columns=["state"], use_threads=False).column("state").to_pylist()
    return {state.host: state for state in map(HostState.model_validate_json, states)}
