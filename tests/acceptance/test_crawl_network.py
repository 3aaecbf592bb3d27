"""A loopback network of 200 hosts and 5,000 pages, crawled whole and with `kill -9` in the middle, judged by the server."""

from __future__ import annotations

import glob
import itertools
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest
import yaml
from fastwarc.warc import ArchiveIterator, WarcRecordType

from tests.pipeline.crawl.site import Hit, Reply, Server, page, reply, serving

HOSTS, PAGES, DELAY = 200, 25, 0.05
ALLOWED = PAGES - 3
ROOT = Path(__file__).resolve().parents[2]


def handler(hit: Hit) -> Reply:
    """Every host: a front page, 24 pages below it in two steps, three of them forbidden, one link to the next host."""
    if hit.path == "/robots.txt":
        return reply(
            "User-agent: *\nDisallow: /closed/\n\nUser-agent: GPTBot\nDisallow: /no-training\n",
            type="text/plain",
        )
    if hit.path == "/":
        links = [f"/page/{n}" for n in range(11)] + ["/closed/1", "/no-training"]
        return reply(page(*links, f"http://h{(int(hit.host[1:4]) + 1) % HOSTS:03d}.net/", text="front"))
    if hit.path.startswith("/page/"):
        number = int(hit.path.rpartition("/")[2])
        below = (
            [f"/page/{number + 11}"] if number < 10 else ["/closed/2"] if number == 10 else ["/", "/page/3"]
        )
        return reply(page(*below, text=f"{hit.host} {hit.path} " * 20))
    if hit.path.startswith(("/closed", "/no-training")):
        return reply(page(text="nobody should see this"))
    return reply("not here", 404)


def start(server: Server, folder: Path) -> subprocess.Popen[bytes]:
    """The crawl as a process group of its own."""
    config = folder / "crawl.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "connect_to": {"*": f"127.0.0.1:{server.port}"},
                "shards": 2,
                "politeness": {"delay": DELAY, "delay_factor": 0, "ip_delay": 0},
            }
        )
    )
    seeds = folder / "seeds.txt"
    seeds.write_text("\n".join(f"http://h{n:03d}.net/" for n in range(HOSTS)))
    command = [sys.executable, "-c", "from jobs.crawl import crawl; crawl()"]
    options = ["--seeds", str(seeds), "--config", str(config), "--output", str(folder / "out")]
    return subprocess.Popen(
        [*command, *options, "--contact", "ops@example.org", "--allow-private", "--workers", "2"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


def archived(folder: Path) -> Counter[str]:
    """URLs of the responses in the WARC files."""
    found: Counter[str] = Counter()
    for path in sorted(glob.glob(str(folder / "out" / "warc" / "*"))):
        assert path.endswith(".warc.gz")
        with open(path, "rb") as file:
            for record in ArchiveIterator(file, record_types=WarcRecordType.response):
                found[record.headers["WARC-Target-URI"]] += 1
    return found


def expected() -> set[str]:
    paths = ["/", *(f"/page/{n}" for n in range(ALLOWED - 1))]
    return {f"http://h{n:03d}.net{path}" for n in range(HOSTS) for path in paths}


def check(server: Server, folder: Path, output: str) -> Counter[tuple[str, str]]:
    """What must hold however often the crawl was killed; how often the server was asked for each page."""
    assert f"= {HOSTS * ALLOWED:,} fetched + {HOSTS * 3:,} disallowed + 0 failed" in output
    assert "0 in the frontier" in output
    found = archived(folder)
    assert set(found) == expected()
    assert set(found.values()) == {1}
    asked = Counter((hit.host, hit.path) for hit in server.hits)
    assert not [path for _, path in asked if path.startswith(("/closed", "/no-training"))]
    by_host = defaultdict(list)
    for hit in server.hits:
        by_host[hit.host].append(hit.at)
    gaps = [b - a for times in by_host.values() for a, b in itertools.pairwise(times)]
    assert len(by_host) == HOSTS
    assert min(gaps) >= DELAY
    return asked


def test_every_allowed_page_is_fetched_once_and_no_other(tmp_path: Path) -> None:
    with serving(handler) as server:
        process = start(server, tmp_path)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0
        asked = check(server, tmp_path, output.decode())
        assert set(asked.values()) == {1}
        assert len({hit.connection for hit in server.hits}) <= 10 * HOSTS


@pytest.mark.parametrize("hits", [900, 3000])
def test_nothing_is_lost_or_kept_twice_when_the_crawl_is_killed(tmp_path: Path, hits: int) -> None:
    with serving(handler) as server:
        process = start(server, tmp_path)
        while len(server.hits) < hits:
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process = start(server, tmp_path)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0
        asked = check(server, tmp_path, output.decode())
        # Only the request that was under way at the kill can have been made twice: one of a host, and its last before.
        assert max(asked.values()) <= 2
        twice = [pair for pair, count in asked.items() if count > 1]
        assert len(twice) == len({host for host, _ in twice})
        for host, path in twice:
            paths = server.paths(host)
            assert paths[paths.index(path) + 1] == path
