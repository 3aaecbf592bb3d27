"""One spelling for one address: rules of the URL Standard at their boundaries, and what must hold for any text."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.crawl.hosts import HostError, normalise_host, registered_domain
from pipeline.crawl.settings import UrlSettings
from pipeline.crawl.urls import Url, UrlError, canonical, parse_url, surt, url_key

BASE = "http://h.test/a/b/c?d"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://EXAMPLE.com", "http://example.com/"),
        ("HTTPS://example.com:443/", "https://example.com/"),
        ("https://example.com:80/", "https://example.com:80/"),
        ("http://example.com:/", "http://example.com/"),
        ("http://example.com./", "http://example.com/"),
        ("  http://example.com/a\t\n b ", "http://example.com/a%20b"),
        ("http:\\\\example.com\\a\\b?c\\d", "http://example.com/a/b?c\\d"),
        ("http:example.com/x", "http://example.com/x"),
        ("http://example.com/a/./b/../c/%2e%2E/d/..", "http://example.com/a/"),
        ("http://example.com/../../a", "http://example.com/a"),
        ("http://example.com//a//b", "http://example.com//a//b"),
        ("http://example.com/%7euser/%3a%e9%2f", "http://example.com/~user/%3A%E9%2F"),
        ("http://example.com/100%", "http://example.com/100%25"),
        ("http://example.com/%%34%31", "http://example.com/%2541"),
        ("http://example.com/é?q=é#f", "http://example.com/%C3%A9?q=%C3%A9"),
        ('http://example.com/"<>^`{|}?"<>\'', "http://example.com/%22%3C%3E%5E%60%7B|%7D?%22%3C%3E%27"),
        ("http://example.com/?#x", "http://example.com/"),
        ("http://example.com/a?b?c", "http://example.com/a?b?c"),
        ("http://ümlaut.example/", "http://xn--mlaut-jva.example/"),
        ("http://xn--MLAUT-jva.example/", "http://xn--mlaut-jva.example/"),
        ("http://faß.de/", "http://xn--fa-hia.de/"),
        ("http://☃.net/", "http://xn--n3h.net/"),
        ("http://a。b．c/", "http://a.b.c/"),
        ("http://%65xample.com/", "http://example.com/"),
        ("http://my_host.test/", "http://my_host.test/"),
        ("http://127.1/", "http://127.0.0.1/"),
        ("http://0x7f.0.0.1/", "http://127.0.0.1/"),
        ("http://017700000001/", "http://127.0.0.1/"),
        ("http://2130706433/", "http://127.0.0.1/"),
        ("http://1.16777215/", "http://1.255.255.255/"),
        ("http://4294967295/", "http://255.255.255.255/"),
        ("http://[::FFFF:127.0.0.1]/", "http://[::ffff:7f00:1]/"),
        ("http://[1:0:0:2:0:0:0:3]/", "http://[1:0:0:2::3]/"),
        ("http://[0:0:0:0:0:0:0:0]:81/", "http://[::]:81/"),
        ("http://[1:2:3:4:5:6:7:8]/", "http://[1:2:3:4:5:6:7:8]/"),
    ],
)
def test_absolute(text: str, expected: str) -> None:
    assert parse_url(text).text == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "http://h.test/a/b/c?d"),
        ("#x", "http://h.test/a/b/c?d"),
        ("?", "http://h.test/a/b/c"),
        ("?e#?", "http://h.test/a/b/c?e"),
        ("x", "http://h.test/a/b/x"),
        ("./x/../y", "http://h.test/a/b/y"),
        ("../../../x", "http://h.test/x"),
        (".", "http://h.test/a/b/"),
        ("..", "http://h.test/a/"),
        ("/x", "http://h.test/x"),
        ("\\x", "http://h.test/x"),
        ("//other.test/x", "http://other.test/x"),
        ("///other.test", "http://other.test/"),
        ("/\\other.test/", "http://other.test/"),
        ("http:x", "http://h.test/a/b/x"),
        ("https:x", "https://x/"),
        ("x:y/../z?q", None),
        ("x%3Ay", "http://h.test/a/b/x%3Ay"),
    ],
)
def test_relative(text: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(UrlError):
            parse_url(text, BASE)
    else:
        assert parse_url(text, BASE).text == expected
        assert parse_url(text, parse_url(BASE)).text == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("example.com/x", "relative"),
        ("", "relative"),
        ("ftp://example.com/", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("java\nscript:alert(1)", "scheme"),
        ("mailto:a@b.c", "scheme"),
        ("data:text/html,x", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("http://user@example.com/", "userinfo"),
        ("http://user:pass@example.com/", "userinfo"),
        ("http://example.com@evil.test/", "userinfo"),
        ("http://", "host"),
        ("http:///", "host"),
        ("http://a..b/", "host"),
        ("http://a b/", "host"),
        ("http://a%00b/", "host"),
        ("http://a<b/", "host"),
        ("http://xn--9999999999/", "host"),
        ("http://256.1.1.1/", "host"),
        ("http://1.2.3.256/", "host"),
        ("http://1.16777216/", "host"),
        ("http://4294967296/", "host"),
        ("http://1.2.3.4.5/", "host"),
        ("http://1.2.3.08/", "host"),
        ("http://[::1/", "host"),
        ("http://[fe80::1%25eth0]/", "host"),
        ("http://" + "a" * 64 + ".test/", "host"),
        ("http://" + "a." * 127 + "test/", "host"),
        ("http://example.com:65536/", "port"),
        ("http://example.com:0/", "port"),
        ("http://example.com:8o/", "port"),
        ("http://example.com:٣/", "port"),
        ("http://example.com/" + "a" * 2083, "length"),
        ("http://example.com/" + "é" * 700, "length"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(UrlError) as caught:
        parse_url(text)
    assert caught.value.reason == reason


def test_the_length_limit_is_exact() -> None:
    text = "http://example.com/" + "a" * 45
    assert parse_url(text, max_length=64).text == text
    with pytest.raises(UrlError):
        parse_url(text + "a", max_length=64)


def test_queries_are_in_the_encoding_of_the_page() -> None:
    assert parse_url("?é", BASE, encoding="windows-1252").query == "%E9"
    assert parse_url("?é", BASE, encoding="iso-8859-5").query == "%C3%A9"  # has no é: as UTF-8
    assert parse_url("?é", BASE, encoding="no such").query == "%C3%A9"
    assert parse_url("/é", BASE, encoding="windows-1252").path == "/%C3%A9"


def test_parts() -> None:
    url = parse_url("https://www.example.co.uk:8443/a/b?c=d")
    assert (url.origin, url.authority, url.target) == (
        "https://www.example.co.uk:8443",
        "www.example.co.uk:8443",
        "/a/b?c=d",
    )
    assert surt(url) == "uk,co,example,www:8443)/a/b?c=d"
    assert surt(parse_url("http://10.0.0.1/A?B")) == "10.0.0.1)/A?B"


def test_the_key_is_fixed() -> None:
    # What is stored today is compared with what is computed next year.
    assert (
        url_key(parse_url("http://example.com/")).hex()
        == hashlib.blake2b(b"http://example.com/", digest_size=16, person=b"corpusmill.url.1").hexdigest()
    )
    assert url_key(parse_url("http://example.com/")) != url_key(parse_url("https://example.com/"))


# --- canonical ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/p?utm_source=x&id=1&UTM_Campaign=y&fbclid=z", "/p?id=1"),
        ("/p?gclid=1", "/p"),
        ("/p?b=2&a=1&b=1", "/p?b=2&a=1&b=1"),
        ("/p?a&&b=&", "/p?a&b="),
        ("/p?myutm_source=x", "/p?myutm_source=x"),
        ("/p;jsessionid=0123?x", "/p?x"),
        ("/p;v=1;JSESSIONID=A.b/q", "/p;v=1/q"),
        ("/.;jsessionid=1", "/"),
        ("/p?PHPSESSID=1&x", "/p?x"),
        ("/p?ASPSESSIONIDABCD=1", "/p"),
        ("/p?sid=0123456789abcdef", "/p"),
        ("/p?sid=42&s=shoes", "/p?sid=42&s=shoes"),
        ("/(S(abcdefghijklmnop12345678))/p.aspx", "/p.aspx"),
        ("/f(x)/p", "/f(x)/p"),
    ],
)
def test_canonical(text: str, expected: str) -> None:
    assert canonical(parse_url("http://h.test" + text)).target == expected


def test_canonical_by_other_settings() -> None:
    url = parse_url("http://h.test/p?ref=1&utm_source=2")
    assert canonical(url, UrlSettings(tracking_parameters=("re*",))).target == "/p?utm_source=2"


# --- hosts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "domain", "public"),
    [
        ("www.example.co.uk", "example.co.uk", "example.co.uk"),
        ("example.com", "example.com", "example.com"),
        ("a.b.alice.github.io", "alice.github.io", "github.io"),
        ("co.uk", "co.uk", "co.uk"),
        ("localhost", "localhost", "localhost"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("[::1]", "[::1]", "[::1]"),
        ("site-7.test", "site-7.test", "site-7.test"),
    ],
)
def test_registered_domains(host: str, domain: str, public: str) -> None:
    assert registered_domain(host) == domain
    assert registered_domain(host, private=False) == public


# --- what holds for any text -------------------------------------------------------------------------------------------

atoms = st.sampled_from(
    [
        "http:",
        "https:",
        "/",
        "//",
        "\\",
        "?",
        "#",
        ".",
        "..",
        "%2e",
        "%",
        "%41",
        "%2F",
        "%e9",
        "é",
        "ツ",
        "a",
        "B",
        "h.test",
        "H.TEST",
        "ß.de",
        "0x7f",
        "010",
        "1.2.3.4",
        "[::1]",
        ":80",
        ":",
        "&",
        "=",
        ";",
        "(",
        ")",
        "'",
        '"',
        "<",
        "^",
        "`",
        "utm_source=x",
        "jsessionid=1",
        "sid=0123456789abcdef",
        "。",
        "\xad",
        "@",
    ]
) | st.sampled_from([" ", "\t", "\ud800", "\x00"])
texts = st.one_of(
    st.lists(atoms, max_size=9).map("".join),
    st.lists(atoms, max_size=8).map(lambda rest: "http://h.test/" + "".join(rest)),
)


@settings(deadline=None, max_examples=600)
@given(texts, st.sampled_from([None, BASE, "https://[::1]:8080/x;y/?z"]))
def test_the_normal_form_is_its_own(text: str, base: str | None) -> None:
    try:
        url = parse_url(text, base)
    except UrlError:
        return
    assert parse_url(url.text) == url
    assert url.text.isascii()
    assert "#" not in url.text
    assert url.path.startswith("/")
    assert not {".", ".."} & set(url.path.split("/"))
    short = canonical(url)
    assert canonical(short) == short
    assert parse_url(short.text) == short


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.sampled_from(["a", "~", "é", "-", "%2F", "%25", "."]), min_size=1, max_size=8),
    st.lists(st.booleans(), min_size=8, max_size=8),
)
def test_spellings_of_one_address_are_equal(letters: list[str], escaped: list[bool]) -> None:
    def spell(letter: str, escape: bool) -> str:
        if letter.startswith("%"):
            return letter.lower() if escape else letter
        return "".join(f"%{octet:02x}" for octet in letter.encode()) if escape else letter

    plain = "/x" + "".join(letters)
    other = "/x" + "".join(spell(letter, escape) for letter, escape in zip(letters, escaped, strict=False))
    variants = [
        f"http://h.test{plain}",
        f"HTTP://H.Test:80{other}#part",
        f"http://h.test./y/..{other}",
        f"\thttp:\\\\h.test{other}\n",
    ]
    assert len({url_key(parse_url(text)) for text in variants}) == 1


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=30))
def test_hosts_stay_or_raise(text: str) -> None:
    try:
        host = normalise_host(text)
    except HostError:
        return
    assert normalise_host(host) == host
    registered_domain(host)


def test_a_url_is_small_and_comparable() -> None:
    assert parse_url("http://a.test/") == Url("http", "a.test", None, "/", None)
    assert len({parse_url("http://a.test/"), parse_url("http://A.test")}) == 1
