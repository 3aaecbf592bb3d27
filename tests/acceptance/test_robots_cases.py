"""The collected cases of /work/shared/data/robots: every RFC case and every policy case; peers' answers beside ours.

Run with `-s` to see the table of the cases on which urllib or Protego differ from us.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.robotparser import RobotFileParser

import pytest

from jobs.robots import case_body
from pipeline.crawl.policy import Policy
from pipeline.crawl.robots import RobotsFile
from pipeline.crawl.settings import PolicySettings

SHARED = Path(os.environ.get("CORPUSMILL_SHARED", Path(__file__).parents[3] / "shared"))
DATA = SHARED / "data" / "robots"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no shared data at {DATA}: set CORPUSMILL_SHARED")

LENIENT = {"google": 31, "peer": 79}
"""Cases beyond the RFC that we answer as their authors do; the rest would make us fetch more, or need names that are no tokens."""

MORE_THAN_WISHED = 7
"""Of the cases beyond the RFC, those that we allow and their authors forbid."""


@cache
def cases() -> list[dict[str, Any]]:
    return read("robots_cases_dev.jsonl")


def read(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text("utf-8").splitlines() if line]


def ours(case: dict[str, Any]) -> bool:
    return RobotsFile.parse(case_body(case)).decide(case["user_agent"], case["url"]).allowed


def by_urllib(case: dict[str, Any]) -> bool:
    parser = RobotFileParser()
    parser.parse(case_body(case).decode("utf-8", "replace").splitlines())
    return parser.can_fetch(case["user_agent"], case["url"])


def by_protego(case: dict[str, Any]) -> bool:
    from protego import Protego

    return bool(
        Protego.parse(case_body(case).decode("utf-8", "replace")).can_fetch(case["url"], case["user_agent"])
    )


def test_every_rfc_case() -> None:
    wrong = [case["id"] for case in cases() if case["level"] == "rfc" and ours(case) is not case["allowed"]]
    assert wrong == []
    assert sum(case["level"] == "rfc" for case in cases()) >= 500  # that there were any


def test_leniencies_of_others_only_where_they_fetch_less() -> None:
    right: Counter[str] = Counter()
    more = []
    for case in cases():
        if case["level"] != "rfc":
            got = ours(case)
            right[case["level"]] += got is case["allowed"]
            if got and not case["allowed"]:
                more.append(case["id"])
    assert right["google"] >= LENIENT["google"]
    assert right["peer"] >= LENIENT["peer"]
    assert len(more) <= MORE_THAN_WISHED, more


def test_disputed_cases_follow_the_side_that_was_kept() -> None:
    for case in read("robots_cases_disputed.jsonl"):
        decision = RobotsFile.parse(case["robots"]).decide(case["ua"], case["url"])
        assert decision.allowed is case["kept"][-1] or urlsplit(case["url"]).path != "/robots.txt", case


def test_every_policy_case() -> None:
    named = {
        "product_token": "Applebot",
        "fallback_tokens": ["Googlebot"],
        "training_tokens": ["Applebot-Extended"],
        "require_training_tokens_to_fetch": False,
    }
    policy = Policy(PolicySettings.model_validate(named))
    wrong = []
    for case in read("robots_policy_cases.jsonl"):
        robots = RobotsFile.parse(case["robots_txt"])
        crawl = policy.fetch(robots, case["url"]).allowed
        train = crawl and not policy.use(case["url"], robots=robots, now=0)
        if (crawl, train) != (case["crawl_allowed"], case["train_allowed"]):
            wrong.append(case["id"])
    assert wrong == []


def test_peers_beside_us(capsys: pytest.CaptureFixture[str]) -> None:
    """Prints where they differ. They may change; what must hold is that we are right on more RFC cases than either."""
    pytest.importorskip("protego")
    peers: dict[str, Callable[[dict[str, Any]], bool]] = {"urllib": by_urllib, "Protego": by_protego}
    right: Counter[str] = Counter()
    rows = []
    for case in cases():
        if case["level"] != "rfc":
            continue
        got = {"ours": ours(case), **{name: peer(case) for name, peer in peers.items()}}
        right.update(name for name, allowed in got.items() if allowed is case["allowed"])
        if len(set(got.values())) > 1:
            rows.append((case["id"], case["topic"][:38], *got.values(), case["allowed"]))
    with capsys.disabled():
        if "-s" in sys.argv or os.environ.get("CORPUSMILL_SHOW"):
            print(f"\n{'case':<16}{'topic':<40}{'ours':>8}{'urllib':>8}{'Protego':>8}{'right':>8}")
            for identity, topic, *verdicts in rows:
                print(f"{identity:<16}{topic:<40}" + "".join(f"{'yes' if v else 'no':>8}" for v in verdicts))
            print(
                {name: right[name] for name in ("ours", *peers)},
                "of",
                sum(c["level"] == "rfc" for c in cases()),
            )
    assert right["ours"] > max(right[name] for name in peers)
