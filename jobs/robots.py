"""`corpusmill robots`: what the crawler would do with a URL, and which line of robots.txt decided.

Also answers files of test cases, one JSON line for each, in the forms of `../shared/data/robots/README.md`.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

from pipeline import storage
from pipeline.crawl.policy import Policy
from pipeline.crawl.robots import LIMIT, RobotsFile
from pipeline.crawl.robots_fetch import RobotsVerdict
from pipeline.crawl.settings import PolicySettings, read_policy
from pipeline.crawl.urls import Url, UrlError, parse_url
from pipeline.errors import UserError

RobotsSource = Callable[[Url], RobotsFile | RobotsVerdict]
"""Where the rules of a URL's origin come from."""

CONTACT = "CORPUSMILL_CONTACT"
"""The variable of the environment that holds the contact address without which nothing is fetched."""


def _from_network(url: Url) -> RobotsVerdict:
    """robots.txt of a URL's origin, fetched with all of the crawl engine's guards.

    Raises:
        UserError: without a contact address.
    """
    from jobs.crawl import configure
    from pipeline.crawl.robots_network import fetch_verdict
    from pipeline.crawl.rounds import version

    contact = os.environ.get(CONTACT, "")
    if not contact:
        raise UserError(
            "name the robots.txt to judge by: --robots FILE, or --robots - to read it from standard input. "
            f"To fetch it, set {CONTACT} to your e-mail address or page: site owners must know whom to ask."
        )
    settings = configure(None, {"contact": contact})
    return fetch_verdict(url, settings, settings.user_agent(version()))


NETWORK: RobotsSource | None = _from_network
"""Fetches /robots.txt of a URL's origin where `--robots` names none."""


def explain(url: str, policy: Policy, source: RobotsSource) -> Iterator[str]:
    """What would be done with a URL, in lines for a person.

    Raises:
        UserError: when it is no URL that can be crawled.
    """
    try:
        parsed = parse_url(url)
    except UrlError as error:
        raise UserError(
            f"{url}: no URL that can be crawled ({error.reason}). Give it as https://host/path."
        ) from error
    robots = source(parsed)
    decision = policy.fetch(robots, parsed.text)
    file = robots.robots if isinstance(robots, RobotsVerdict) else robots
    yield parsed.text
    if decision.reason is None:
        why = "no rule forbids it"
        if decision.decision.rule is not None:
            why = (
                f"{decision.decision.rule}{_where(decision.decision.line)} (group {decision.decision.group})"
            )
        yield f"  fetch  yes  {why}"
    else:
        yield f"  fetch  no   {decision.reason.name}: {decision.reason.detail}{_where(decision.reason.line)}"
    reasons = policy.use(parsed.text, robots=robots, now=0)
    if decision.reason is None and not reasons:
        yield "  use    yes  as far as robots.txt says; headers and the page may say otherwise"
    for reason in reasons:
        yield f"  use    no   {reason.name}: {reason.detail}{_where(reason.line)}"
    delay = policy.crawl_delay(file)
    if delay is not None:
        yield f"  delay  {delay:g} s (Crawl-delay)"
    if file.ignored:
        lines = ", ".join(str(line) for line, _ in file.ignored[:10])
        yield f"  lines that say nothing to a crawler: {lines}{' ...' if len(file.ignored) > 10 else ''}"


def answer(case: dict[str, Any], policy: Policy) -> dict[str, Any]:
    """The answer to a test case: `{id, allowed, rule, line}` by its `user_agent`, or by the policy where it has none.

    Raises:
        UserError: when the case lacks something.
    """
    robots = RobotsFile.parse(case_body(case))
    if not isinstance(case.get("url"), str):
        raise UserError('the case has no "url".')
    if "user_agent" in case:
        decision = robots.decide(str(case["user_agent"]), case["url"])
        return {
            "id": case.get("id"),
            "allowed": decision.allowed,
            "rule": decision.rule,
            "line": decision.line,
        }
    fetched = robots.decide(policy.tokens, case["url"])
    reasons = policy.use(case["url"], robots=robots, now=0)
    first = reasons[0] if fetched.allowed and reasons else None
    return {
        "id": case.get("id"),
        "crawl_allowed": fetched.allowed,
        "train_allowed": fetched.allowed and not reasons,
        "rule": first.detail if first else fetched.rule,
        "line": first.line if first else fetched.line,
    }


def case_body(case: dict[str, Any]) -> bytes:
    """The robots.txt of a case, in whichever of the four forms it stands; what lies beyond the limit is not made.

    Raises:
        UserError: when it has none of them, or one that cannot be read.
    """
    text = case.get("robots_txt")
    if isinstance(text, str):
        return text.encode("utf-8", "surrogatepass")
    try:
        if "robots_txt_b64" in case:
            return base64.b64decode(str(case["robots_txt_b64"]), validate=True)
        if "robots_txt_parts" in case:
            return b"".join(_repeated(part, int(count)) for part, count in case["robots_txt_parts"])
        if "robots_txt_numbered" in case:
            form = case["robots_txt_numbered"]
            lines = (form["line"] % number for number in range(int(form["count"])))
            return (str(form["head"]) + "".join(itertools.islice(lines, LIMIT + 1))).encode()
    except (binascii.Error, KeyError, TypeError, ValueError) as error:
        raise UserError(f"its robots.txt cannot be made: {error!r}.") from error
    raise UserError("it has no robots_txt, robots_txt_b64, robots_txt_parts or robots_txt_numbered.")


def _repeated(text: str, count: int) -> bytes:
    octets = text.encode("utf-8", "surrogatepass")
    return octets * min(count, LIMIT // max(len(octets), 1) + 2)


def _where(line: int | None) -> str:
    return "" if line is None else f", line {line}"


def _read_cases(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(_read(path).split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            case = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}, line {number}: not JSON ({error}).") from error
        if not isinstance(case, dict):
            raise UserError(f"{path}, line {number}: a case is a JSON object.")
        yield number, case


def _read(path: str) -> bytes:
    if path == "-":
        return sys.stdin.buffer.read()
    try:
        return storage.read_bytes(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error


def _source(robots_file: str | None) -> RobotsSource:
    if robots_file is not None:
        parsed = RobotsFile.parse(_read(robots_file))
        return lambda _: parsed
    if NETWORK is None:
        raise UserError(
            "name the robots.txt to judge by: --robots FILE, or --robots - to read it from standard input."
        )
    return NETWORK


@click.command()
@click.argument("urls", nargs=-1, metavar="URL...")
@click.option(
    "--robots", "robots_file", metavar="FILE", help="The robots.txt to judge by; - for standard input."
)
@click.option("--policy", "policy_file", metavar="FILE", help="YAML of whom to obey; see docs/robots.md.")
@click.option("--agent", metavar="TOKEN", help="Product token to judge for, instead of the policy's.")
@click.option("--cases", metavar="FILE", help="Answer the test cases of a JSONL file, a JSON line for each.")
def robots(**options: Any) -> None:
    """Explain what the crawler would do with each URL, and which line of robots.txt decided."""
    from jobs.options import reported  # here, so that jobs.cli can register this command

    reported(run)(**options)


def run(
    urls: tuple[str, ...],
    robots_file: str | None,
    policy_file: str | None,
    agent: str | None,
    cases: str | None,
) -> None:
    """Print the answers.

    Raises:
        UserError: when something cannot be answered.
    """
    from pipeline.config import validate  # here: it loads every filter

    settings = read_policy(policy_file) if policy_file else PolicySettings()
    if agent is not None:
        settings = validate(PolicySettings, {**settings.model_dump(), "product_token": agent}, "--agent")
    policy = Policy(settings)
    if cases is not None:
        for number, case in _read_cases(cases):
            try:
                click.echo(json.dumps(answer(case, policy)))
            except UserError as error:
                raise UserError(f"{cases}, line {number}: {error}") from error
        return
    if not urls:
        raise UserError("give one or more URLs, or --cases FILE; --help shows the options.")
    source = _source(robots_file)
    for url in urls:
        for line in explain(url, policy, source):
            click.echo(line)
