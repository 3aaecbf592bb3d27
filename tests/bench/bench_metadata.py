"""What pages say about themselves: ours and trafilatura's, on the labelled pages.

    python -m tests.bench.bench_metadata [PAGES]

Titles against the gold where there is one; dates by agreement (the day). User CPU of one process.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

from fastwarc.warc import ArchiveIterator, WarcRecordType

from pipeline.extraction.metadata import page_metadata
from pipeline.sources.charset import decode_html

SHARED = Path(os.environ.get("CORPUSMILL_SHARED", Path(__file__).parents[3] / "shared"))
PAGES = SHARED / "data" / "pages"


def read_pages(limit: int) -> dict[str, str]:
    pages: dict[str, str] = {}
    for path in sorted(PAGES.glob("dev-*.warc.gz")):
        with path.open("rb") as file:
            for record in ArchiveIterator(file, record_types=WarcRecordType.response, parse_http=True):
                if len(pages) < limit:
                    body = decode_html(record.reader.read(), record.http_charset)[0]
                    pages[record.headers["WARC-Target-URI"]] = body
    return pages


def theirs(pages: dict[str, str]) -> tuple[list[str | None], list[str | None], float]:
    from trafilatura.metadata import extract_metadata

    logging.disable(logging.CRITICAL)
    found = []
    started = os.times().user
    for url, page in pages.items():
        try:
            found.append(extract_metadata(page.replace("\x00", ""), default_url=url))
        except (ValueError, AssertionError):
            found.append(None)
    seconds = os.times().user - started
    return [each and each.title for each in found], [each and each.date for each in found], seconds


def bare(text: str | None) -> str:
    return "".join(character for character in (text or "").casefold() if character.isalnum())


def main() -> None:
    pages = read_pages(int(sys.argv[1]) if len(sys.argv) > 1 else 10**9)
    with (PAGES / "gold.dev.jsonl").open() as file:
        gold = {row["url"]: row.get("title") for row in map(json.loads, file)}
    html, urls = list(pages.values()), list(pages)
    page_metadata(html[:2], urls[:2])
    started = os.times().user
    made = page_metadata(html, urls)
    seconds = os.times().user - started
    titles, dates, their_seconds = theirs(pages)
    count = len(pages)
    print(
        f"pages {count}; ms per page ours {1e3 * seconds / count:.2f}, trafilatura {1e3 * their_seconds / count:.2f}"
    )
    print(f"  trafilatura / ours: {their_seconds / seconds:.1f}")
    labelled = [index for index, url in enumerate(urls) if gold.get(url)]
    for name, values in (("ours", made["title"].to_pylist()), ("trafilatura", titles)):
        right = sum(bare(values[index]) == bare(gold[urls[index]]) for index in labelled)
        print(
            f"titles {name:12} {right} of {len(labelled)} as labelled ({right / max(1, len(labelled)):.3f})"
        )
    ours = [date and date[:10] for date in made["page.date"].to_pylist()]
    both = sum(bool(a and b) for a, b in zip(ours, dates, strict=True))
    same = sum(bool(a) and a == b for a, b in zip(ours, dates, strict=True))
    print(
        f"dates: ours {sum(map(bool, ours))}, trafilatura {sum(map(bool, dates))}, both {both}, same day {same}"
    )
    if os.environ.get("SHOW"):
        for url, a, b in zip(urls, ours, dates, strict=True):
            if a and b and a != b:
                print(" ", a, b, url)


if __name__ == "__main__":
    main()
