"""Requests per CPU second of the crawler, politeness off, beside Scrapy's on the same loopback site in the same run.

    uv venv /tmp/scrapy && uv pip install --python /tmp/scrapy/bin/python scrapy
    python -m tests.bench.bench_crawl --scrapy /tmp/scrapy/bin/python

Both read every page, take its links and follow them to the end of the site; ours also obeys the opt-outs beside robots.txt, judges,
writes WARC files, a log and an index. Each runs in a process of its own, whose user and system time from the first request to the
last is counted, imports left out; for ours that includes the Beam pipelines of all rounds. Agreement: both ask for every page once.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from tests.pipeline.crawl.site import Hit, Reply, Server, reply

HOSTS = 50

OURS = """
import json, os, sys, time, tempfile
from pipeline.crawl.config import CrawlSettings
from pipeline.crawl.crawl import crawl
from pipeline.engine import RunnerSettings
port, seeds, out = int(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
settings = CrawlSettings.model_validate({
    "contact": "ops@example.org", "allow_private": True, "shards": 1,
    "gzip_level": int(sys.argv[4]), "politeness": {"delay": 0, "delay_factor": 0, "ip_delay": 0},
})
before = time.process_time()
books = crawl(settings, seeds, out, RunnerSettings(workers=0))
print(json.dumps({"cpu": time.process_time() - before, "requests": books.requests, "pages": books.fetched}))
"""

SCRAPY = """
import json, sys, time
import scrapy
from scrapy.crawler import CrawlerProcess
from scrapy.linkextractors import LinkExtractor
port, seeds = int(sys.argv[1]), json.loads(sys.argv[2])
class Site(scrapy.Spider):
    name = "site"
    start_urls = seeds
    links = LinkExtractor()
    pages = 0
    def parse(self, response):
        Site.pages += 1
        for link in self.links.extract_links(response):
            yield scrapy.Request(link.url)
process = CrawlerProcess({
    "LOG_ENABLED": False, "ROBOTSTXT_OBEY": True, "CONCURRENT_REQUESTS": 64, "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
    "DOWNLOAD_DELAY": 0, "TELNETCONSOLE_ENABLED": False, "COOKIES_ENABLED": False,
})
process.crawl(Site)
before = time.process_time()
process.start()
stats = {"cpu": time.process_time() - before, "pages": Site.pages}
print(json.dumps({**stats, "requests": Site.pages + len({s.split("/")[2] for s in seeds})}))
"""


def handler_for(pages: int) -> Any:
    """Hosts 127.0.1.1 and up (so that neither crawler needs a resolver), of so many pages of about 14 KB with 40 links."""
    words = "the crawler reads what its publishers allow and nothing else " * 190

    def handler(hit: Hit) -> Reply:
        if hit.path == "/robots.txt":
            return reply("User-agent: *\nDisallow: /closed\n", type="text/plain")
        number = hit.path[1:] or "0"
        if not number.isdigit() or int(number) >= pages:
            return reply("", 404)
        links = "".join(
            f'<li><a href="/{(int(number) * 7 + n) % pages}">page {n}</a></li>' for n in range(1, 41)
        )
        return reply(f"<!doctype html><title>{number}</title><ul>{links}</ul><p>{hit.host} {words}")

    return handler


def serve(pages: int, ready: Any, counts: Any) -> None:
    """The server, in a process of its own; answers `counts` with what it was asked."""
    with Server(handler_for(pages), host="0.0.0.0") as server:  # noqa: S104
        ready.put(server.port)
        while counts.recv():
            found = Counter(
                (hit.host, hit.path) for hit in server.hits if hit.path[1:].isdigit() or hit.path == "/"
            )
            server.hits.clear()
            counts.send((len(found), max(found.values(), default=0)))


def main() -> None:
    """Run both, alternating, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scrapy", required=True, help="a Python with Scrapy")
    parser.add_argument("--pages", type=int, default=40, help="pages of a host")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--gzip-level", type=int, default=6)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    ready, (ours, theirs) = context.Queue(), context.Pipe()
    process = context.Process(target=serve, args=(options.pages, ready, theirs), daemon=True)
    process.start()
    port = ready.get(timeout=30)
    hosts = [f"127.0.1.{n + 1}" for n in range(HOSTS)]
    found: dict[str, list[float]] = {"corpusmill": [], "scrapy": []}
    for _ in range(options.runs):
        for name, python, code in (("corpusmill", sys.executable, OURS), ("scrapy", options.scrapy, SCRAPY)):
            with tempfile.TemporaryDirectory() as folder:
                seeds = json.dumps([f"http://{host}:{port}/" for host in hosts])
                arguments = [str(port), seeds, str(Path(folder) / "out"), str(options.gzip_level)]
                answer = subprocess.run(
                    [python, "-c", code, *arguments], check=True, capture_output=True, text=True
                )
            result = json.loads(answer.stdout.splitlines()[-1])
            ours.send(True)
            asked, most = ours.recv()
            rate = result["requests"] / result["cpu"]
            found[name].append(rate)
            print(
                f"{name:<11} {rate:8.0f} requests/CPU s  {result}  server: {asked} pages, at most {most} times each"
            )
    medians = {name: statistics.median(rates) for name, rates in found.items()}
    print(f"medians {medians}; ratio {medians['corpusmill'] / medians['scrapy']:.2f}")
    ours.send(False)
    process.join(5)


if __name__ == "__main__":
    main()
