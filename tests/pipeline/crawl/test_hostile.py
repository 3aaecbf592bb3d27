"""Servers that misbehave on loopback, one test for each way; every one must end in the log, soon, in bounded memory."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import brotli
import pytest
import zstandard

from pipeline.crawl.addresses import is_public
from pipeline.crawl.config import LimitSettings
from pipeline.crawl.fetch import Answer, Fetcher, Request
from pipeline.crawl.urls import parse_url
from tests.pipeline.crawl.conftest import Crawl
from tests.pipeline.crawl.site import Handler, Hit, page, reply, serving, table

URL = "http://a.test/"
NO_ROBOTS = {"/robots.txt": reply("", 404)}
LIMITS = {
    "max_bytes": 50_000,
    "max_header_bytes": 8192,
    "slow_seconds": 1,
    "total_seconds": 3,
    "connect_seconds": 2,
}


def ask(fetcher: Fetcher, url: str) -> Answer:
    fetcher.start(Request(parse_url(url)))
    for _ in range(200):
        answers = fetcher.wait(0.1)
        if answers:
            return answers[0]
    raise AssertionError("no answer")


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.16.5.4",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",  # noqa: S104
        ),
        *(
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
        ),
        *(
            "::",
            "::1",
            "fe80::1",
            "fe80::1%eth0",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "fec0::1",
            "2001:db8::1",
        ),
        *(
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
        ),
        *("2002:a00:1::1", "::127.0.0.1", "2001::1", "", "name", "1.2.3"),
    ],
)
def test_addresses_that_are_nobodys_business(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "149.112.112.112",
        "2606:4700:4700::1111",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::1",
    ],
)
def test_addresses_of_the_public_internet(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "127.0.0.1.",
        "[::ffff:127.0.0.1]",
        "localhost",
    ],
)
def test_a_loopback_address_is_refused_in_every_spelling(host: str) -> None:
    with serving(lambda _: reply("inside")) as server:
        fetcher = Fetcher(LimitSettings(), "test")
        answer = ask(fetcher, f"http://{host}:{server.port}/")
        fetcher.close()
        assert (answer.status, answer.error) == (None, "address")
        assert not server.hits


def test_a_name_that_resolves_to_a_private_address_is_refused_when_it_is_connected_to() -> None:
    # connect_to stands in for the resolver, as a rebinding one would: the name is innocent, the address is not.
    with serving(lambda _: reply("inside")) as server:
        fetcher = Fetcher(
            LimitSettings(), "test", connect_to={"innocent.example": f"127.0.0.1:{server.port}"}
        )
        assert ask(fetcher, "http://innocent.example/").error == "address"
        fetcher.close()
        assert not server.hits


def test_a_crawl_fails_urls_of_private_addresses(crawl_site: Crawl) -> None:
    found = crawl_site(lambda _: reply(page()), allow_private=False)
    assert found.outcome(URL) == ("failed", "address")
    assert not found.server.hits


def test_a_redirect_inside_is_a_url_like_others(crawl_site: Crawl) -> None:
    inside = "http://169.254.169.254/latest/meta-data/"
    pages = {
        **NO_ROBOTS,
        "a.test/": reply("", 302, Location=inside),
        "169.254.169.254/latest/meta-data/": reply("keys"),
    }
    found = crawl_site(table(pages))  # scope by domain: it is not even queued
    assert found.outcome(URL) == ("skipped", "redirect:302")
    assert found.outcome(inside) == ("skipped", "scope:domain")
    assert "169.254.169.254" not in {hit.host for hit in found.server.hits}


@pytest.mark.parametrize(
    "scheme", ["file:///etc/passwd", "ftp://a.test/x", "gopher://a.test/", "javascript:alert(1)"]
)
def test_redirects_to_other_schemes_fail(crawl_site: Crawl, scheme: str) -> None:
    found = crawl_site(table({**NO_ROBOTS, "/": reply("", 301, Location=scheme)}))
    assert found.outcome(URL) == ("failed", "redirect:301:scheme")


def test_robots_are_asked_again_at_the_target_of_a_redirect(crawl_site: Crawl) -> None:
    pages = {
        **NO_ROBOTS,
        "b.a.test/robots.txt": reply("User-agent: *\nDisallow: /"),
        "a.test/": reply("", 301, Location="http://b.a.test/private"),
        "/private": reply(page()),
    }
    found = crawl_site(table(pages))
    assert found.outcome("http://b.a.test/private") == ("disallowed", "robots")
    assert found.server.paths("b.a.test") == ["/robots.txt"]


def test_endless_redirects_end(crawl_site: Crawl) -> None:
    def handler(hit: Hit) -> bytes:
        if hit.path == "/robots.txt":
            return reply("", 404)
        return reply("", 302, Location=f"/{int(hit.path[1:] or 0) + 1}")

    found = crawl_site(handler, limits={"max_redirects": 3})
    assert found.outcome("http://a.test/3") == ("failed", "redirect:many")
    assert found.books.stopped == "done"


def test_a_redirect_to_itself_fails(crawl_site: Crawl) -> None:
    found = crawl_site(table({**NO_ROBOTS, "/": reply("", 302, Location="/?utm_source=you")}))
    assert found.outcome(URL) == ("failed", "redirect:itself")


def long_header(hit: Hit) -> AsyncIterator[bytes]:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n"
        for number in range(100_000):
            yield b"X-%d: %s\r\n" % (number, b"y" * 200)

    return pieces()


def endless_body(hit: Hit) -> AsyncIterator[bytes]:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"
        while True:
            yield b"<p>more" * 1000

    return pieces()


def drip(hit: Hit) -> AsyncIterator[bytes]:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"
        while True:
            await asyncio.sleep(0.2)
            yield b"x"

    return pieces()


def slow_enough(hit: Hit) -> AsyncIterator[bytes]:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"
        while True:
            await asyncio.sleep(0.1)
            yield b"x" * 100

    return pieces()


def silent(hit: Hit) -> AsyncIterator[bytes]:
    async def pieces() -> AsyncIterator[bytes]:
        await asyncio.sleep(30)
        yield b""

    return pieces()


def cut(hit: Hit) -> AsyncIterator[bytes]:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\n<p>half"

    return pieces()


def garbage(hit: Hit) -> bytes:
    return b"\x00\x01SSH-2.0-whatever\r\n\r\n"


@pytest.mark.parametrize(
    ("handler", "outcome"),
    [
        (long_header, ("failed", "headers")),
        (drip, ("failed", "timeout")),
        (slow_enough, ("failed", "timeout")),
        (silent, ("failed", "timeout")),
        (cut, ("failed", "cut")),
        (garbage, ("failed", "protocol")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_answers_that_are_none(crawl_site: Crawl, handler: Handler, outcome: tuple[str, str]) -> None:
    found = crawl_site(table({**NO_ROBOTS, "/": handler}), limits=LIMITS, politeness={"max_attempts": 1})
    assert found.outcome(URL) == outcome


def test_an_endless_body_is_cut_and_marked(crawl_site: Crawl) -> None:
    found = crawl_site(table({**NO_ROBOTS, "/": endless_body}), limits=LIMITS)
    row = found.row(URL)
    assert (row["outcome"], row["truncated"], row["bytes"]) == ("fetched", "length", 50_000)


BOMB = b"<p>" + b"0" * (64 << 20)


@pytest.mark.parametrize(
    ("coding", "content"),
    [
        ("gzip", gzip.compress(BOMB)),
        ("br", brotli.compress(BOMB, quality=1)),
        ("zstd", zstandard.ZstdCompressor().compress(BOMB)),
        ("gzip, gzip", gzip.compress(gzip.compress(BOMB))),
    ],
    ids=["gzip", "br", "zstd", "twice"],
)
def test_bombs_are_not_unpacked(crawl_site: Crawl, coding: str, content: bytes) -> None:
    pages = {**NO_ROBOTS, "/": reply(content, Content_Encoding=coding)}
    found = crawl_site(table(pages), limits={"max_bytes": 1 << 20})
    assert found.outcome(URL) == ("failed", "body:too-large")


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", gzip.compress),
        ("br", brotli.compress),
        ("zstd", zstandard.ZstdCompressor().compress),
    ],
    ids=["gzip", "br", "zstd"],
)
def test_links_of_packed_pages_are_read(crawl_site: Crawl, coding: str, packed: object) -> None:
    content = packed(page("/next").encode())  # type: ignore[operator]
    found = crawl_site(
        table({**NO_ROBOTS, "/": reply(content, Content_Encoding=coding), "/next": reply(page())})
    )
    assert found.outcome("http://a.test/next") == ("fetched", "")


def test_a_coding_that_is_a_lie_fails(crawl_site: Crawl) -> None:
    found = crawl_site(table({**NO_ROBOTS, "/": reply(b"\x00\x01\x02" * 50, Content_Encoding="br")}))
    assert found.outcome(URL) == ("failed", "encoding")


def test_a_charset_that_is_a_lie_costs_no_page(crawl_site: Crawl) -> None:
    pages = {
        **NO_ROBOTS,
        "/": reply(page("/next"), type="text/html; charset=klingon"),
        "/next": reply(page()),
    }
    assert crawl_site(table(pages)).books.fetched == 2


def test_a_robots_txt_that_never_ends_is_read_to_its_limit(crawl_site: Crawl) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nUser-agent: *\nDisallow: /closed\n"
        while True:
            yield b"# and so on, and so on\n" * 1000

    pages = {"/robots.txt": lambda _: pieces(), "/": reply(page("/closed"))}
    found = crawl_site(table(pages))
    assert found.outcome(URL) == ("fetched", "")
    assert found.outcome("http://a.test/closed") == ("disallowed", "robots")


def test_a_robots_txt_that_drips_allows_nothing(crawl_site: Crawl) -> None:
    found = crawl_site(
        table({"/robots.txt": drip, "/": reply(page())}),
        limits=LIMITS,
        robots={"retry_seconds": 0.1},
        politeness={"max_attempts": 2},
    )
    assert found.outcome(URL) == ("disallowed", "unreachable:timeout")
    assert set(found.server.paths()) == {"/robots.txt"}


def test_a_sitemap_that_includes_itself_is_read_once(crawl_site: Crawl) -> None:
    index = '<sitemapindex xmlns="x"><sitemap><loc>http://a.test/map.xml</loc></sitemap>'
    index += "<sitemap><loc>http://a.test/leaf.xml</loc></sitemap></sitemapindex>"
    leaf = '<urlset xmlns="x"><url><loc>http://a.test/leaf</loc></url></urlset>'
    pages = {
        "/robots.txt": reply("Sitemap: http://a.test/map.xml"),
        "/map.xml": reply(index, type="text/xml"),
        "/leaf.xml": reply(leaf, type="text/xml"),
        "/": reply(page()),
        "/leaf": reply(page()),
    }
    found = crawl_site(table(pages))
    assert sorted(found.server.paths()) == ["/", "/leaf", "/leaf.xml", "/map.xml", "/robots.txt"]


def test_sitemaps_below_sitemaps_end(crawl_site: Crawl) -> None:
    def handler(hit: Hit) -> bytes:
        if hit.path == "/robots.txt":
            return reply("Sitemap: http://a.test/map0.xml")
        if hit.path.startswith("/map"):
            below = f"http://a.test/map{int(hit.path[4:-4]) + 1}.xml"
            return reply(
                f'<sitemapindex xmlns="x"><sitemap><loc>{below}</loc></sitemap></sitemapindex>',
                type="text/xml",
            )
        return reply(page())

    found = crawl_site(handler)
    assert found.outcome("http://a.test/map3.xml") == ("failed", "sitemap:depth")


def test_certificates_are_checked(crawl_site: Crawl, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subject = ["-subj", "/CN=a.test", "-addext", "subjectAltName=DNS:a.test"]
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            key,
            "-out",
            certificate,
            *subject,
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(lambda _: reply(page()), context) as server:
        to = {"*": f"127.0.0.1:{server.port}"}
        asked = [
            ("https://a.test/", str(certificate)),
            ("https://a.test/", None),
            ("https://b.test/", str(certificate)),
        ]
        answers = []
        for url, ca_file in asked:
            fetcher = Fetcher(LimitSettings(), "test", allow_private=True, connect_to=to, ca_file=ca_file)
            answers.append(ask(fetcher, url))
            fetcher.close()
    assert [(answer.status, answer.error) for answer in answers] == [
        (200, None),
        (None, "tls"),
        (None, "tls"),
    ]


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with serving(lambda _: reply("direct")) as server:
        fetcher = Fetcher(LimitSettings(), "test", allow_private=True)
        assert ask(fetcher, f"http://127.0.0.1:{server.port}/").status == 200
        fetcher.close()
