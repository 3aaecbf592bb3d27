"""Pace, retries, refusals, discovery, archive and resume of the engine, against a loopback server."""

from __future__ import annotations

import io
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastwarc.warc import ArchiveIterator

from pipeline import storage
from pipeline.crawl import frontier
from pipeline.crawl.config import CrawlSettings
from pipeline.crawl.crawl import Books, crawl
from pipeline.crawl.fetch import Fetcher
from pipeline.crawl.frontier import Item, make_item, shard_of
from pipeline.crawl.hosts_state import HostState, read_hosts, write_hosts
from pipeline.crawl.journal import Archive, Journal
from pipeline.crawl.settings import UrlSettings
from pipeline.crawl.shard import ShardRound
from pipeline.crawl.urls import parse_url
from pipeline.crawl.warc import Capture
from pipeline.engine import RunnerSettings
from pipeline.errors import UserError
from tests.pipeline.crawl.conftest import Crawl, settings_for
from tests.pipeline.crawl.site import Hit, page, reply, serving, table

URL = "http://a.test/"
NO_ROBOTS = {"/robots.txt": reply("", 404)}


def gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(times)]


# --- pace -------------------------------------------------------------------------------------------------------------


def test_requests_to_a_host_keep_the_delay_whatever_they_are_for(crawl_site: Crawl) -> None:
    pages = {
        **NO_ROBOTS,
        "/": reply(page("/a", "/b", "https://a.test/c", "http://a.test:8080/d")),
        "/a": reply(page()),
    }
    found = crawl_site(
        table(pages), politeness={"delay": 0.1}, policy={"tdm_reservation": True, "ai_txt": True}
    )
    assert {"/.well-known/tdmrep.json", "/ai.txt", "/a", "/d"} <= set(found.server.paths())
    assert min(gaps([hit.at for hit in found.server.hits])) >= 0.1


def test_a_crawl_delay_is_kept(crawl_site: Crawl) -> None:
    pages = {
        "/robots.txt": reply("User-agent: *\nCrawl-delay: 0.3"),
        "/": reply(page("/a")),
        "/a": reply(page()),
    }
    found = crawl_site(table(pages))
    assert min(gaps([hit.at for hit in found.server.hits])) >= 0.3


def test_a_crawl_delay_above_the_bound_is_not_undercut(crawl_site: Crawl) -> None:
    found = crawl_site(table({"/robots.txt": reply("User-agent: *\nCrawl-delay: 900"), "/": reply(page())}))
    assert found.outcome(URL) == ("skipped", "crawl-delay:900")
    assert found.server.paths() == ["/robots.txt"]


def test_a_slow_host_gets_a_longer_pause(crawl_site: Crawl) -> None:
    async def slowly(body: bytes) -> Any:
        import asyncio

        await asyncio.sleep(0.1)
        yield body

    pages = {**NO_ROBOTS, "/": lambda _: slowly(reply(page("/a"))), "/a": reply(page())}
    found = crawl_site(table(pages), politeness={"delay_factor": 4.0})
    at = {hit.path: hit.at for hit in found.server.hits}
    assert at["/a"] - at["/"] >= 0.5


def test_hosts_of_one_address_share_its_pace(crawl_site: Crawl) -> None:
    found = crawl_site(
        table({**NO_ROBOTS, "/": reply(page())}),
        "http://a.test/",
        "http://b.test/",
        politeness={"ip_delay": 0.1},
    )
    hits = found.server.hits
    # The first requests to each host are made before its address is known.
    assert min(gaps([hit.at for hit in hits][2:])) >= 0.1


def test_one_connection_is_enough_for_a_host(crawl_site: Crawl) -> None:
    pages = {
        **NO_ROBOTS,
        "/": reply(page(*(f"/{n}" for n in range(20)))),
        **{f"/{n}": reply(page()) for n in range(20)},
    }
    found = crawl_site(table(pages))
    assert found.books.fetched == 21
    # One for each round: a round begins with a new fetcher.
    assert len({hit.connection for hit in found.server.hits}) == 2


# --- retries ------------------------------------------------------------------------------------------------------------


def flaky(status: int, times: int, **headers: str) -> Any:
    def handler(hit: Hit) -> bytes:
        if hit.path == "/robots.txt":
            return reply("", 404)
        handler.asked += 1  # type: ignore[attr-defined]
        return reply("", status, **headers) if handler.asked <= times else reply(page())  # type: ignore[attr-defined]

    handler.asked = 0  # type: ignore[attr-defined]
    return handler


@pytest.mark.parametrize("status", [429, 503, 500, 408])
def test_passing_errors_are_tried_again_after_a_pause(crawl_site: Crawl, status: int) -> None:
    found = crawl_site(flaky(status, 2), politeness={"backoff": 0.1})
    assert found.outcome(URL) == ("fetched", "")
    pages = [hit.at for hit in found.server.hits if hit.path == "/"]
    assert gaps(pages)[0] >= 0.1
    assert gaps(pages)[1] >= 0.2


def test_a_page_that_fails_too_often_is_given_up_with_its_reason(crawl_site: Crawl) -> None:
    found = crawl_site(flaky(503, 99))
    assert found.outcome(URL) == ("failed", "status:503")
    assert found.server.paths().count("/") == 3


def test_retry_after_is_kept(crawl_site: Crawl) -> None:
    found = crawl_site(flaky(429, 1, Retry_After="1"))
    pages = [hit.at for hit in found.server.hits if hit.path == "/"]
    assert gaps(pages)[0] >= 1.0


def test_a_retry_after_beyond_patience_ends_the_page(crawl_site: Crawl) -> None:
    found = crawl_site(flaky(503, 99, Retry_After="86400"))
    assert found.outcome(URL) == ("failed", "retry-after:86400")
    assert found.server.paths().count("/") == 1


def test_an_ordinary_error_is_not_tried_again(crawl_site: Crawl) -> None:
    found = crawl_site(table({**NO_ROBOTS, "/": reply("", 410)}))
    assert found.outcome(URL) == ("failed", "status:410")
    assert found.server.paths().count("/") == 1


def test_a_host_that_only_fails_is_left_alone_and_then_given_up(crawl_site: Crawl) -> None:
    seeds = [f"http://a.test/{n}" for n in range(30)]
    found = crawl_site(
        flaky(500, 999), *seeds, politeness={"backoff": 0.01, "max_host_errors": 3, "max_attempts": 9}
    )
    assert found.books.failed == 30
    assert found.books.reasons["failed host:errors"] == 30
    assert len([path for path in found.server.paths() if path != "/robots.txt"]) == 6


def test_an_unreachable_robots_txt_is_asked_again_and_then_forbids(crawl_site: Crawl) -> None:
    found = crawl_site(
        lambda _: reply("", 503), robots={"retry_seconds": 0.1}, politeness={"max_attempts": 3}
    )
    assert found.outcome(URL) == ("disallowed", "unreachable:status 503")
    assert found.server.paths() == ["/robots.txt"] * 3


def test_a_robots_txt_on_another_host_is_followed(crawl_site: Crawl) -> None:
    pages = {
        "a.test/robots.txt": reply("", 301, Location="http://rules.test/robots.txt"),
        "rules.test/robots.txt": reply("User-agent: *\nDisallow: /no"),
        "a.test/": reply(page("/no", "/yes")),
        "/yes": reply(page()),
    }
    found = crawl_site(table(pages))
    assert found.outcome("http://a.test/no") == ("disallowed", "robots")
    assert found.outcome("http://a.test/yes") == ("fetched", "")
    assert found.row("http://a.test/no")["detail"].startswith("Disallow: /no")
    assert found.row("http://a.test/no")["line"] == 2


# --- opt-outs and discovery -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (reply(page(head='<meta name="robots" content="noai">')), "meta-robots:noai"),
        (reply(page(), X_Robots_Tag="noindex"), "x-robots-tag:noindex"),
        (reply(page(), tdm_reservation="1"), "tdm:header"),
        (reply(page(), Content_Signal="ai-train=no"), "content-signal:header"),
    ],
    ids=["meta", "header", "tdm", "signal"],
)
def test_what_may_not_be_used_is_not_kept(crawl_site: Crawl, answer: bytes, reason: str) -> None:
    found = crawl_site(table({**NO_ROBOTS, "/": answer}), policy={"tdm_reservation": True})
    assert found.outcome(URL) == ("disallowed", reason)
    assert not list((found.folder / "warc").iterdir())


def test_tdmrep_and_ai_txt_are_obeyed(crawl_site: Crawl) -> None:
    pages = {
        **NO_ROBOTS,
        "/.well-known/tdmrep.json": reply(
            '[{"location": "/art", "tdm-reservation": 1}]', type="application/json"
        ),
        "/ai.txt": reply("User-agent: *\nDisallow: /texts/"),
        **{path: reply(page()) for path in ("/art", "/texts/1", "/free")},
    }
    seeds = [f"http://a.test{path}" for path in ("/art", "/texts/1", "/free")]
    found = crawl_site(table(pages), *seeds, policy={"tdm_reservation": True, "ai_txt": True})
    assert [found.outcome(seed)[1] for seed in seeds] == ["tdm:file", "ai.txt", ""]


def test_links_are_followed_as_far_as_they_may_be(crawl_site: Crawl) -> None:
    links = '<a href="/a" rel="nofollow">n</a><a href="/b">b</a><a href="/b?utm_source=x">b</a><a href="/x.zip">z</a>'
    pages = {**NO_ROBOTS, "/": reply(page() + links), "/b": reply(page("/c"), X_Robots_Tag="nofollow")}
    found = crawl_site(table(pages))
    assert sorted(found.server.paths()) == ["/", "/b", "/robots.txt"]
    assert found.outcome("http://a.test/x.zip") == ("skipped", "scope:suffix")


def test_other_types_break_off_and_are_skipped(crawl_site: Crawl) -> None:
    found = crawl_site(table({**NO_ROBOTS, "/": reply(b"%PDF" + b"x" * 5_000_000, type="application/pdf")}))
    assert found.outcome(URL) == ("skipped", "type:application/pdf")
    assert found.row(URL)["bytes"] == 0


def test_budgets_of_a_host(crawl_site: Crawl) -> None:
    seeds = [f"http://a.test/{n}" for n in range(6)]
    found = crawl_site(
        lambda _: reply(page()), *seeds, budget={"pages_per_host_round": 2, "pages_per_host": 5}
    )
    assert (found.books.fetched, found.books.rounds) == (5, 3)
    assert found.books.reasons["skipped budget:host"] == 1


def test_budgets_of_a_domain(crawl_site: Crawl) -> None:
    seeds = [f"http://h{n}.a.org/" for n in range(4)]
    found = crawl_site(lambda _: reply(page()), *seeds, budget={"hosts_per_domain": 3})
    assert found.books.reasons["skipped budget:hosts"] == 1
    assert found.books.fetched == 3


def test_books_that_do_not_balance_are_an_error() -> None:
    Books(discovered=3, fetched=1, skipped=1, frontier=(1, 0)).check()
    with pytest.raises(UserError, match="do not balance") as caught:
        Books(discovered=3, fetched=1, skipped=1, frontier=(0, 0)).check()
    assert caught.value.exit_code == 1


# --- the archive ----------------------------------------------------------------------------------------------------------


def records(folder: Path) -> list[tuple[dict[str, str], bytes]]:
    found = []
    for path in sorted((folder / "warc").iterdir()):
        with open(path, "rb") as file:
            found += [
                (dict(record.headers), record.reader.read())
                for record in ArchiveIterator(file, parse_http=False, verify_digests=True)
            ]
    return found


def test_the_archive_holds_what_was_sent(crawl_site: Crawl) -> None:
    async def chunked() -> Any:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n"
        yield b"5\r\n<p>on\r\n3\r\ne, \r\n0\r\n\r\n"

    pages = {**NO_ROBOTS, "/": lambda _: chunked()}
    found = crawl_site(table(pages))
    kinds = [head["WARC-Type"] for head, _ in records(found.folder)]
    assert kinds == ["warcinfo", "request", "response", "metadata"]
    _, (_, request), (head, response), (_, metadata) = records(found.folder)
    assert request == next(hit.raw for hit in found.server.hits if hit.path == "/")
    assert response.endswith(b"X-Crawler-Transfer-Encoding: chunked\r\n\r\n<p>one, ")
    assert head["WARC-IP-Address"] == "127.0.0.1"
    assert b"robots: no rule forbids it" in metadata
    for path in (found.folder / "warc").iterdir():
        subprocess.run(
            [Path(sys.executable).parent / "warcio", "check", path], check=True, capture_output=True
        )


def test_the_index_leads_to_the_records(crawl_site: Crawl) -> None:
    found = crawl_site(lambda _: reply(page("/b", "/a")), part_bytes=1024)
    lines = (found.folder / "index.cdxj").read_text().splitlines()
    assert lines == sorted(lines)
    assert len(lines) == found.books.fetched == 3
    for line in lines:
        fields = json.loads(line.split(" ", 2)[2])
        with open(found.folder / "warc" / fields["filename"], "rb") as file:
            file.seek(int(fields["offset"]))
            member = file.read(int(fields["length"]))
        (record,) = ArchiveIterator(io.BytesIO(member))
        assert record.headers["WARC-Target-URI"] == fields["url"]
        assert record.headers["WARC-Payload-Digest"] == fields["digest"]


def test_unchanged_pages_leave_revisit_records(tmp_path: Path) -> None:
    def handler(hit: Hit) -> bytes:
        if hit.path == "/robots.txt":
            return reply("", 404)
        if hit.path == "/tagged":
            known = hit.headers.get("if-none-match") == '"1"'
            return reply("", 304) if known else reply(page(), ETag='"1"')
        return reply(page("/tagged", "/new") if hit.path == "/" else page(text=str(hit.at)))

    with serving(handler) as server:
        settings, out = settings_for(server.port), str(tmp_path / "out")
        crawl(settings, [URL], out, RunnerSettings(workers=0))
        books = crawl(settings, [URL], out, RunnerSettings(workers=0), again=True)
    assert (books.fetched, books.discovered) == (6, 6)
    assert books.reasons["fetched revisit:not-modified"] == books.reasons["fetched revisit:identical"] == 1
    found = records(tmp_path / "out")
    ids = {
        head["WARC-Record-ID"]: head["WARC-Target-URI"]
        for head, _ in found
        if head["WARC-Type"] == "response"
    }
    revisits = [head for head, _ in found if head["WARC-Type"] == "revisit"]
    assert {head["WARC-Target-URI"]: head["WARC-Profile"].rsplit("/", 1)[1] for head in revisits} == {
        "http://a.test/tagged": "server-not-modified",
        URL: "identical-payload-digest",
    }
    for head in revisits:
        assert ids[head["WARC-Refers-To"]] == head["WARC-Refers-To-Target-URI"] == head["WARC-Target-URI"]


# --- state ----------------------------------------------------------------------------------------------------------------


def test_items_and_hosts_survive_their_files(tmp_path: Path) -> None:
    item = make_item(parse_url("http://a.test/x"), UrlSettings(), depth=3, via="http://a.test/")
    frontier.write_items(str(tmp_path / "items.parquet"), [item])
    assert frontier.read_items(str(tmp_path / "items.parquet")) == [item]
    assert frontier.read_items(str(tmp_path / "none.parquet")) == []
    state = HostState(host="a.test", next_at=5.5, errors=2, ip="8.8.8.8")
    write_hosts(str(tmp_path / "hosts.parquet"), [state])
    assert read_hosts(str(tmp_path / "hosts.parquet")) == {"a.test": state}


def test_hosts_of_a_domain_share_a_shard() -> None:
    assert len({shard_of(f"h{n}.example.co.uk", 64) for n in range(50)}) == 1
    assert len({shard_of(f"example{n}.co.uk", 64) for n in range(500)}) == 64


CAPTURE = Capture("http://a.test/", "2026-01-01T00:00:00Z", None, b"GET", b"HTTP/1.1 200 OK\r\n\r\n", b"body")


def archive(folder: Path) -> Archive:
    return Archive(str(folder / "warc"), "p", {"software": "x"}, level=6, part_bytes=1 << 20)


def test_what_no_line_speaks_of_is_cut(tmp_path: Path) -> None:
    journal, written = Journal(str(tmp_path / "journal")), archive(tmp_path)
    written.write(CAPTURE)
    journal.append({"archive": [written.part, written.size]})
    kept = written.size
    written.write(CAPTURE)  # killed before the line
    (tmp_path / "journal").open("ab").write(b'{"archive": [0, 99999')  # a line that is half there
    resumed = archive(tmp_path)
    assert Journal(str(tmp_path / "journal")).recover(resumed) == [{"archive": [0, kept]}]
    assert (resumed.part, resumed.size) == (0, kept)
    resumed.write(CAPTURE)
    resumed.close()
    content = (tmp_path / "warc" / "p-00000.warc.gz").read_bytes()
    kinds = [record.headers["WARC-Type"] for record in ArchiveIterator(io.BytesIO(content))]
    assert kinds == ["warcinfo", *["request", "response", "metadata"] * 2]


def test_lines_about_what_is_not_there_are_not_believed(tmp_path: Path) -> None:
    journal, written = Journal(str(tmp_path / "journal")), archive(tmp_path)
    written.write(CAPTURE)
    journal.append({"archive": [0, written.size]})
    journal.append({"archive": [0, written.size + 500]})
    assert len(Journal(str(tmp_path / "journal")).recover(archive(tmp_path))) == 1
    storage.remove(str(tmp_path / "warc" / "p-00000.warc.gz.open"))
    assert Journal(str(tmp_path / "journal")).recover(archive(tmp_path)) == []


def test_a_host_that_was_being_asked_when_the_process_died_is_left_alone_first(tmp_path: Path) -> None:
    settings = CrawlSettings(contact="a@example.org", politeness={"delay": 7.0})  # type: ignore[arg-type]
    fetcher = Fetcher(settings.limits, "test")
    item = Item(b"k" * 16, URL, "a.test")
    work = ShardRound(settings, fetcher, Journal(str(tmp_path / "j")), archive(tmp_path), [item], {})
    now = fetcher.now()
    work.resume([{"start": "a.test", "at": now - 100}])
    fetcher.close()
    assert work.hosts["a.test"].state.last_end >= now
