"""robots.txt of one origin from the network, with the crawler's own guards: for people who ask what the crawler would do."""

from __future__ import annotations

from pipeline.crawl import robots_fetch
from pipeline.crawl.config import CrawlSettings
from pipeline.crawl.fetch import Fetcher, Request
from pipeline.crawl.robots import LIMIT
from pipeline.crawl.robots_fetch import RobotsVerdict
from pipeline.crawl.shard import robots_answer
from pipeline.crawl.urls import Url, parse_url


def fetch_verdict(url: Url, settings: CrawlSettings, user_agent: str) -> RobotsVerdict:
    """The verdict about a URL's origin, asked for now."""
    fetcher = Fetcher(
        settings.limits,
        user_agent,
        allow_private=settings.allow_private,
        connect_to=settings.connect_to,
        ca_file=settings.ca_file,
    )
    try:
        step: robots_fetch.RobotsRequest | RobotsVerdict = robots_fetch.first_request(url.origin)
        while isinstance(step, robots_fetch.RobotsRequest):
            fetcher.start(Request(parse_url(step.url), max_bytes=LIMIT + 1))
            answers = fetcher.wait(1.0)
            while not answers:
                answers = fetcher.wait(1.0)
            step = robots_fetch.advance(
                step, robots_answer(answers[0]), now=fetcher.now(), settings=settings.robots
            )
        return step
    finally:
        fetcher.close()
