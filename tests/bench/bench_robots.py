"""robots.txt: microseconds of user CPU per parse and per decision, beside Protego and urllib, in one run.

    python -m tests.bench.bench_robots [--runs 5]

The files are the distinct small ones of the shared RFC cases, one as large sites have it (300 rules, 30 groups), and one of 20,000
rules. All parsers get ready text; ours gets bytes, as the crawler has them. Decisions are asked of a parsed file that has
answered before (ours indexes a group when it is first asked). Median of the runs, which take turns. Agreement is counted on all RFC
cases: where a peer differs from the case's verdict, speed is not the question.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
from collections.abc import Callable
from typing import Any
from urllib.robotparser import RobotFileParser

from protego import Protego

from jobs.robots import case_body
from pipeline.crawl.robots import RobotsFile
from tests.acceptance.test_robots_cases import DATA, by_protego, by_urllib, ours


def user_seconds() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


def parse_urllib(body: bytes) -> RobotFileParser:
    parser = RobotFileParser()
    parser.parse(body.decode("utf-8", "replace").splitlines())
    return parser


PARSE: dict[str, Callable[[bytes], Any]] = {
    "ours": RobotsFile.parse,
    "Protego": lambda body: Protego.parse(body.decode("utf-8", "replace")),
    "urllib": parse_urllib,
}
DECIDE: dict[str, Callable[[Any, str, str], bool]] = {
    "ours": lambda parsed, agent, url: parsed.decide(agent, url).allowed,
    "Protego": lambda parsed, agent, url: parsed.can_fetch(url, agent),
    "urllib": lambda parsed, agent, url: parsed.can_fetch(agent, url),
}


def microseconds(work: Callable[[], int]) -> float:
    """User CPU per unit of work; the work is repeated until it is long enough to measure."""
    start, units = user_seconds(), 0
    while user_seconds() - start < 0.2:
        units += work()
    return (user_seconds() - start) / units * 1e6


def measure(files: list[bytes], urls: list[str], runs: int) -> dict[str, tuple[float, float]]:
    """Median microseconds per parse and per decision, by parser."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in PARSE}
    for _ in range(runs):
        for name, parse in PARSE.items():
            decide = DECIDE[name]

            def parsing(parse: Callable[[bytes], Any] = parse) -> int:
                for body in files:
                    parse(body)
                return len(files)

            parsed = [parse(body) for body in files]

            def deciding(parsed: list[Any] = parsed, decide: Callable[[Any, str, str], bool] = decide) -> int:
                for file in parsed:
                    for url in urls:
                        decide(file, "examplebot", url)
                return len(parsed) * len(urls)

            deciding()
            taken[name].append((microseconds(parsing), microseconds(deciding)))
    return {
        name: (statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs))
        for name, pairs in taken.items()
    }


def large_site() -> bytes:
    groups = [f"User-agent: bot{chr(97 + n)}\nDisallow: /\n" for n in range(26)]
    rules = [f"Disallow: /section{n}/private\nAllow: /section{n}/private/open\n" for n in range(120)]
    wild = [f"Disallow: /*?sort={n}\nDisallow: /*/print{n}$\n" for n in range(30)]
    return ("".join(groups) + "User-agent: *\nCrawl-delay: 1\n" + "".join(rules + wild)).encode()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    cases = [json.loads(line) for line in (DATA / "robots_cases_dev.jsonl").read_text("utf-8").splitlines()]
    cases = [case for case in cases if case["level"] == "rfc"]
    small = sorted({body for case in cases if len(body := case_body(case)) < 5000})
    many = b"User-agent: *\n" + b"".join(b"Disallow: /dir%05d/\n" % n for n in range(20_000))
    urls = [
        "https://example.com/",
        "https://example.com/section7/private/open/page.html",
        "https://example.com/a/b/c/page?id=1234&sort=9",
        "https://example.com/dir19999/x",
    ]
    print(f"{'files':<34}{'parser':<10}{'us/parse':>12}{'us/decision':>14}{'peer/ours':>20}")
    for label, files in (
        (f"{len(small)} of the cases", small),
        ("300 rules, 27 groups", [large_site()]),
        ("20,000 rules", [many]),
    ):
        times = measure(files, urls, runs)
        for name, (parse, decide) in times.items():
            ratio = f"{parse / times['ours'][0]:.2f}x {decide / times['ours'][1]:.2f}x"
            print(f"{label:<34}{name:<10}{parse:>12.1f}{decide:>14.2f}{ratio:>20}")
    for name, verdict in (("ours", ours), ("Protego", by_protego), ("urllib", by_urllib)):
        right = sum(verdict(case) is case["allowed"] for case in cases)
        print(f"agreement with the RFC cases: {name} {right} of {len(cases)}")


if __name__ == "__main__":
    main()
