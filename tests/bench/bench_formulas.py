"""The formula pass: its cost on ordinary pages and on pages with mathematics, against what a tree costs.

    python -m tests.bench.bench_formulas [--pages 600] [--runs 3]

User CPU of one process, median of the runs. A pass over a tree would have to parse the page and write it anew, before it
looks for a formula: that alone is what the trees are timed for here (resiliparse, lxml). Ours is timed whole.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import statistics
from collections.abc import Callable, Sequence

import lxml.html
from resiliparse.parse.html import HTMLTree

from pipeline.extraction.math import insert_formulas, insert_in_page
from pipeline.extraction.math_markers import show_mathematics
from tests.acceptance.test_extraction_math import dev_pages, page_names, read


def user_seconds(work: Callable[[], object], runs: int) -> float:
    """User CPU of a call, median of the runs."""
    spent = []
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        work()
        spent.append(resource.getrusage(resource.RUSAGE_SELF).ru_utime - before)
    return statistics.median(spent)


def rewritten_by_lxml(pages: Sequence[str]) -> None:
    for page in pages:
        tree = lxml.html.document_fromstring(page.encode(), parser=lxml.html.HTMLParser(encoding="utf-8"))
        lxml.html.tostring(tree, encoding="unicode")


def rewritten_by_resiliparse(pages: Sequence[str]) -> None:
    for page in pages:
        str(HTMLTree.parse(page))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=int, default=600)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    ordinary = [page.replace("\x00", "") for _, page in itertools.islice(dev_pages(), options.pages)]
    mathematical = [read(name) for name in page_names()]
    insert_formulas(mathematical[:1])
    marked = show_mathematics(ordinary)
    for name, pages in (("ordinary", ordinary), ("mathematical", mathematical)):
        print(f"{name}: {len(pages)} pages of {sum(map(len, pages)) / len(pages) / 1000:.0f} kB")
        rows = {
            "looking for marks": lambda pages=pages: show_mathematics(pages),
            "formula pass, whole": lambda pages=pages: insert_formulas(pages),
            "resiliparse: parse": lambda pages=pages: [HTMLTree.parse(page) for page in pages],
            "resiliparse: parse and write": lambda pages=pages: rewritten_by_resiliparse(pages),
            "lxml: parse and write": lambda pages=pages: rewritten_by_lxml(pages),
        }
        for row, work in rows.items():
            print(f"  {row:30} {1000 * user_seconds(work, options.runs) / len(pages):7.2f} ms per page")
    changed = sum(insert_in_page(ordinary[row])[0] != ordinary[row] for row in marked)
    print(f"ordinary pages with a mark {len(marked)}, changed {changed}, of {len(ordinary)}")


if __name__ == "__main__":
    main()
