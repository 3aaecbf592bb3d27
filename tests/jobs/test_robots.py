"""`corpusmill robots`: explanations for a person, answers for a file of cases, and mistakes that are named."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from jobs import robots as job
from pipeline.crawl.robots_fetch import RobotsAnswer, RobotsVerdict, advance, first_request
from pipeline.crawl.urls import Url

FILE = "User-agent: *\nCrawl-delay: 4\nDisallow: /private\n\nUser-agent: GPTBot\nDisallow: /a\n<html>\n"


def run(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(job.robots, list(arguments), input=text)


def test_each_url_is_explained() -> None:
    got = run(
        "https://h.test/private/x", "HTTPS://H.test/a?b", "https://h.test/ok", "--robots", "-", text=FILE
    )
    assert got.exit_code == 0
    assert got.output.splitlines() == [
        "https://h.test/private/x",
        "  fetch  no   robots: Disallow: /private (group *), line 3",
        "  delay  4 s (Crawl-delay)",
        "  lines that say nothing to a crawler: 7",
        "https://h.test/a?b",
        "  fetch  no   robots:GPTBot: Disallow: /a (group GPTBot), line 6",
        "  use    no   robots:GPTBot: Disallow: /a (group GPTBot), line 6",
        "  delay  4 s (Crawl-delay)",
        "  lines that say nothing to a crawler: 7",
        "https://h.test/ok",
        "  fetch  yes  no rule forbids it",
        "  use    yes  as far as robots.txt says; headers and the page may say otherwise",
        "  delay  4 s (Crawl-delay)",
        "  lines that say nothing to a crawler: 7",
    ]


def test_policy_and_agent(tmp_path: Path) -> None:
    (tmp_path / "robots.txt").write_text(
        "User-agent: mybot\nAllow: /open\nDisallow: /\nUser-agent: GPTBot\nDisallow: /\n"
    )
    (tmp_path / "policy.yaml").write_text("training_tokens: []\n")
    got = run(
        "https://h.test/open", "https://h.test/x", "--agent", "MyBot",
        "--robots", str(tmp_path / "robots.txt"), "--policy", str(tmp_path / "policy.yaml"),
    )  # fmt: skip
    assert "fetch  yes  Allow: /open, line 2 (group mybot)" in got.output
    assert "fetch  no   robots: Disallow: / (group mybot), line 3" in got.output


def test_the_hook_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def source(url: Url) -> RobotsVerdict:
        verdict = advance(first_request(url.origin), RobotsAnswer(status=503), now=0)
        assert isinstance(verdict, RobotsVerdict)
        return verdict

    monkeypatch.setattr(job, "NETWORK", source)
    got = run("https://h.test/x")
    assert "fetch  no   unreachable:status 503: https://h.test/robots.txt" in got.output


def answers(tmp_path: Path, *cases: dict[str, Any]) -> list[dict[str, Any]]:
    path = tmp_path / "cases.jsonl"
    path.write_text("".join(json.dumps(case) + "\n" for case in cases))
    got = run("--cases", str(path))
    assert got.exit_code == 0, got.output
    return [json.loads(line) for line in got.output.splitlines()]


def test_cases_in_all_forms(tmp_path: Path) -> None:
    asked = {"user_agent": "bot", "url": "https://h.test/x"}
    body = "User-agent: *\nDisallow: /x\n"
    forms: list[dict[str, Any]] = [
        {"robots_txt": body},
        {"robots_txt": None, "robots_txt_b64": base64.b64encode(b"\xef\xbb\xbf" + body.encode()).decode()},
        {"robots_txt": None, "robots_txt_parts": [["# pad\n", 80_000], [body, 1], ["# pad\n", 10**12]]},
        {
            "robots_txt": None,
            "robots_txt_numbered": {"head": body, "line": "Disallow: /dir%05d/\n", "count": 20_000},
        },
    ]
    got = answers(tmp_path, *({"id": f"c{number}", **form, **asked} for number, form in enumerate(forms)))
    assert [each["line"] for each in got] == [2, 2, 80_002, 2]
    assert [each["id"] for each in got] == ["c0", "c1", "c2", "c3"]
    assert {(each["allowed"], each["rule"]) for each in got} == {(False, "Disallow: /x")}
    last = {"id": "n", **forms[3], "user_agent": "bot", "url": "/dir19999/y"}
    assert answers(tmp_path, last) == [
        {"id": "n", "allowed": False, "rule": "Disallow: /dir19999/", "line": 20_002}
    ]


def test_a_case_without_an_agent_is_judged_by_the_policy(tmp_path: Path) -> None:
    got = answers(
        tmp_path,
        {"id": "a", "robots_txt": "User-agent: GPTBot\nDisallow: /\n", "url": "https://h.test/x"},
        {"id": "b", "robots_txt": "User-agent: *\nDisallow: /\n", "url": "https://h.test/x"},
        {"id": "c", "robots_txt": "", "url": "https://h.test/x"},
    )
    assert [(each["crawl_allowed"], each["train_allowed"], each["line"]) for each in got] == [
        (True, False, 2),
        (False, False, 2),
        (True, True, None),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give one or more URLs"),
        (["https://h.test/"], "--robots FILE"),
        (["https://h.test/", "--robots", "no/such/file"], "no/such/file"),
        (["ftp://h.test/", "--robots", "-"], "ftp://h.test/: no URL that can be crawled (scheme)"),
        (["https://h.test/", "--robots", "-", "--agent", "My Bot"], "product_token"),
        (["--cases", "no/such/file"], "no/such/file"),
    ],
)
def test_mistakes_are_named(arguments: list[str], said: str) -> None:
    got = run(*arguments, text="")
    assert got.exit_code == 2
    assert said in got.output


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: not JSON"),
        ("[]", "line 2: a case is a JSON object"),
        ('{"url": "/"}', "line 2: it has no robots_txt"),
        ('{"robots_txt": ""}', 'line 2: the case has no "url"'),
        ('{"robots_txt_b64": "@", "url": "/"}', "line 2: its robots.txt cannot be made"),
        ('{"robots_txt_parts": [["x"]], "url": "/"}', "line 2: its robots.txt cannot be made"),
        (
            '{"robots_txt_numbered": {"head": "", "line": "%s %s", "count": 1}, "url": "/"}',
            "line 2: its robots.txt",
        ),
        ('{"robots_txt_numbered": {"line": "x"}, "url": "/"}', "line 2: its robots.txt cannot be made"),
    ],
)
def test_wrong_cases_are_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text('{"id": 1, "robots_txt": "", "url": "/", "user_agent": "a"}\n' + line + "\n")
    got = run("--cases", str(path))
    assert got.exit_code == 2
    assert said in got.output
