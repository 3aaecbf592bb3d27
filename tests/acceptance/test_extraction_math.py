"""Formulas on the real pages with mathematics: how many sources reach the text, whichever extractor reads it.

The sources are collected here a second time, from an lxml tree and by other code than the project's: annotations, alttext,
scripts, attributes, images, and delimiters in the text. `$`, `$$` count as delimiters where the page says so.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote_plus

import lxml.html
import pytest

from pipeline.extraction.math import insert_formulas, insert_in_page
from pipeline.extraction.math_markers import has_mark
from pipeline.sources.charset import decode_html

SHARED = Path(os.environ.get("CORPUSMILL_SHARED", Path(__file__).parents[3] / "shared"))
PAGES = SHARED / "data" / "math" / "html"

pytestmark = pytest.mark.skipif(not PAGES.is_dir(), reason=f"no pages with mathematics at {PAGES}")

RECALL = 0.96
ATTRIBUTES = ("data-latex", "data-math", "data-expr", "data-tex")
SERVICE = re.compile(r"(?:codecogs\.com/[a-z.]+\?|[?&]chl=|latex\.php\?(?:.*&)?latex=|mimetex\.cgi\?)([^&]+)")
ENVIRONMENT = r"\\begin\{(?P<name>(?:equation|align|gather|eqnarray|multline)\*?)\}.*?\\end\{(?P=name)\}"
BY_SCRIPT = re.compile(r"mathjax[^\"']*\.js|mathjax@|window\.MathJax|renderMathInElement|tex-chtml", re.I)


def page_names() -> list[str]:
    return sorted(path.name for path in PAGES.glob("*.html")) if PAGES.is_dir() else []


def read(name: str) -> str:
    return decode_html((PAGES / name).read_bytes(), None)[0]


def normal(source: str) -> str:
    """A source without what may differ: white space, outer display style, comments, its own delimiters."""
    source = re.sub(r"(?<!\\)%.*", "", source)
    source = re.sub(r"\s+|&nbsp;|\xa0", "", source)
    source = re.sub(r"^\{\\displaystyle(.*)\}$", r"\1", source)
    source = re.sub(r"^(?:\$\$?|\\\(|\\\[)(.*?)(?:\$\$?|\\\)|\\\])$", r"\1", source)
    return source.removeprefix("\\displaystyle").replace("$", "").rstrip("\\")


def sources(page: str) -> Counter[str]:
    """The formulas of a page by source; each formula once, by the best form that it has."""
    tree = lxml.html.document_fromstring(page.encode(), parser=lxml.html.HTMLParser(encoding="utf-8"))
    alive = list(tree.iter())  # lxml makes an element's object anew once nothing holds it, with another id
    found: Counter[str] = Counter()
    taken = set()
    for kind, element, source in _marked(tree):
        around = {id(each) for each in (element, *element.iterancestors())}
        if around & taken:
            continue
        taken.add(id(_whole(element) if kind != "image" else element))
        if normal(source):
            found[normal(source)] += 1
    found.update(normal(source) for source in _delimited(tree, page))
    assert alive
    return +found


def _whole(element: lxml.html.HtmlElement) -> lxml.html.HtmlElement:
    """The element of all forms of a formula."""
    names = ("katex", "mwe-math-element", "MathJax", "math-inline", "math-block", "hurmet-tex")
    for each in reversed([element, *element.iterancestors()]):
        if each.tag == "mjx-container" or any(name in (each.get("class") or "").split() for name in names):
            return each
    return element


def _marked(tree: lxml.html.HtmlElement) -> Iterator[tuple[str, lxml.html.HtmlElement, str]]:
    for each in tree.iter("annotation"):
        if "tex" in (each.get("encoding") or ""):
            yield "annotation", each.getparent().getparent(), each.text or ""
    for each in tree.iter("math"):
        if each.get("alttext"):
            yield "alttext", each, each.get("alttext")
    for each in tree.iter("script"):
        if (each.get("type") or "").startswith("math/tex"):
            yield "script", each, each.text or ""
    for name in ATTRIBUTES:
        for each in tree.xpath(f"//*[@{name}]"):
            yield "attribute", each, each.get(name)
    for each in tree.iter("img"):
        classes, source = (each.get("class") or "").split(), SERVICE.search(each.get("src") or "")
        if each.get("alt") and set(classes) & {"latex", "tex", "math", "mwe-math-fallback-image-inline"}:
            yield "image", each, each.get("alt")
        elif source is not None:
            yield (
                "image",
                each,
                each.get("alt") if "\\" in (each.get("alt") or "") else unquote_plus(source[1]),
            )


def _delimited(tree: lxml.html.HtmlElement, page: str) -> Iterator[str]:
    patterns = [r"\\\((.+?)\\\)", r"\\\[(.+?)\\\]", r"\$\$(.+?)\$\$", ENVIRONMENT]
    if re.search(r"""["']\$["']\s*,\s*(?:right:\s*)?["']\$["']""", page):
        patterns.insert(3, r"(?<![\\$])\$([^$]+?)(?<!\\)\$")
    if BY_SCRIPT.search(page) is None:
        return
    delimited = re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.S)
    for each in tree.iter("script", "style", "pre", "code", "textarea", "annotation", "noscript"):
        each.clear(keep_tail=True)
    for text in tree.xpath("//body//text()"):
        for match in delimited.finditer(text):
            groups = [group for group in match.groups() if group]
            yield match[0] if match[0].startswith("\\begin") else groups[0]


def resiliparse(page: str) -> str:
    from resiliparse.extract.html2text import extract_plain_text

    return str(extract_plain_text(page, main_content=True, preserve_formatting=True))


def trafilatura(page: str) -> str:
    from trafilatura import extract

    return extract(page, include_comments=True, include_tables=True, favor_recall=True) or ""


def ours(page: str) -> str:
    from pipeline.extraction.extract import extract_pages
    from pipeline.extraction.settings import ExtractionSettings

    return str(extract_pages([page], ExtractionSettings()).texts[0].as_py())


def whole(page: str) -> str:
    from resiliparse.extract.html2text import extract_plain_text

    return str(extract_plain_text(page, main_content=False, preserve_formatting=True))


def recalled(gold: Counter[str], text: str) -> int:
    """How many of the sources stand in the text between dollars, each as often as the page has it."""
    bare = re.sub(r"\s+|\xa0", "", text).replace("$$", "$")
    return sum(min(count, bare.count(f"${source}$")) for source, count in gold.items())


@pytest.mark.parametrize("extractor", [ours, whole, resiliparse, trafilatura])
def test_recall_of_formula_sources(extractor: Callable[[str], str]) -> None:
    kept = total = 0
    for name in page_names():
        page = read(name)
        gold = sources(page)
        found = recalled(gold, extractor(insert_in_page(page)[0]))
        if gold:
            print(f"{extractor.__name__:12} {found:5} of {gold.total():5}  {name}")
        kept, total = kept + found, total + gold.total()
    print(f"{extractor.__name__:12} recall {kept / total:.3f} of {total}")
    if extractor is not trafilatura:  # whose choice of the body is its own
        assert kept / total >= RECALL


SHOWN = """
//math | //mjx-container | //script[starts-with(@type, "math/")] | //*[@data-latex or @data-tex or @data-math or @data-expr]
| //*[contains(concat(" ", @class, " "), " katex ")] | //*[contains(@class, "mwe-math")] | //*[@class="ql-formula"]
| //img[contains(@class, "latex") or contains(@class, "tex") or contains(@src, "latex") or contains(@src, "tex")]
"""


def shows_formulas(page: str) -> bool:
    """Whether the page has any element that could show a formula, or delimiters that a script would typeset."""
    tree = lxml.html.document_fromstring(page.encode(), parser=lxml.html.HTMLParser(encoding="utf-8"))
    if tree.xpath(SHOWN):
        return True
    for each in tree.iter("script", "style", "pre", "code"):
        each.clear(keep_tail=True)
    text = "".join(tree.xpath("//body//text()"))
    typeset = BY_SCRIPT.search(page) is not None or "tex2jax" in page
    return typeset and re.search(r"\\[(\[]|\\begin\{|\$\\(?:begin|end)group\$", text) is not None


def dev_pages() -> Iterator[tuple[str, str]]:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    for path in sorted((SHARED / "data" / "pages").glob("dev-*.warc.gz")):
        with path.open("rb") as file:
            for record in ArchiveIterator(file, record_types=WarcRecordType.response, parse_http=True):
                yield (
                    record.headers["WARC-Target-URI"],
                    decode_html(record.reader.read(), record.http_charset)[0],
                )


@pytest.mark.skipif(
    not (SHARED / "data" / "pages").is_dir(), reason="no ordinary pages beside those with mathematics"
)
def test_pages_without_mathematics_are_untouched() -> None:
    pages = marked = changed = formulas = 0
    invented = []
    for url, page in dev_pages():
        pages += 1
        (made,), counts = insert_formulas([page])
        formulas += counts[0].as_py()
        if not has_mark(page):
            assert made is page
            continue
        marked, changed = marked + 1, changed + (made != page)
        if made != page and not shows_formulas(page):
            invented.append(url)
    print(f"{pages} pages, {marked} with a mark, {changed} changed, {formulas} formulas")
    assert not invented
    assert changed < 0.02 * pages


def test_no_formula_comes_twice_or_from_nowhere() -> None:
    for name in page_names():
        page = read(name)
        made, count = insert_in_page(page)
        gold = sources(page)
        tree = lxml.html.document_fromstring(page.encode(), parser=lxml.html.HTMLParser(encoding="utf-8"))
        converted = len(tree.xpath("//math[not(.//annotation) and not(@alttext)]"))
        assert count <= gold.total() + converted, name
        assert insert_in_page(made)[0] == made, name
        if name.startswith("neg__"):
            assert made is page
        for source, number in gold.items():
            if len(source) > 12:  # shorter ones are parts of longer ones
                assert re.sub(r"\s", "", whole(made)).count(f"${source}$") <= number, (name, source)
