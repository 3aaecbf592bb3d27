"""Where the LaTeX source of one formula stands: annotations, alternative texts, attributes, scripts, image addresses.

Each function takes the tag or the markup of one formula and gives its LaTeX, ready to stand between dollars, or None.
"""

from __future__ import annotations

import html
import json
import re
from urllib.parse import unquote, unquote_plus

from pipeline.extraction.math_scan import attributes_of
from pipeline.extraction.mathml import to_latex

LONGEST_SOURCE = 1 << 15
"""Characters of the longest formula that is taken."""

SOURCE_ATTRIBUTES = (
    "data-latex",
    "data-tex",
    "data-math",
    "data-expr",
    "data-katex",
    "data-formula",
    "data-equation-content",
    "data-original-tex",
    "data-mathml-tex",
)
"""Attributes that hold the source of the formula that their element shows."""

IMAGE_CLASSES = {
    "latex",
    "latexdisplay",
    "tex",
    "math",
    "mathtex",
    "x-ck12-math",
    "equation_image",
    "wp-latex",
}
"""Classes of images whose `alt` is their source (WordPress, MediaWiki, Sphinx, CK-12, Canvas)."""

_IMAGE_ADDRESS = re.compile(
    r"""codecogs\.com/(?:[a-z0-9]+\.(?:latex|image|download)|eq\.latex)?\?(?P<codecogs>.+)
    | latex\.php\?(?:[^#]*?[&;])?latex=(?P<wordpress>[^&]+)
    | [?&]cht=tx[^#]*?[&;]chl=(?P<chart>[^&]+)
    | (?:mathtex|mimetex)(?:\.cgi|\.exe)?\?(?P<mimetex>.+)
    | /equation\?tex=(?P<zhihu>[^&]+)
    | /math\?formula=(?P<jianshu>[^&]+)
    | /render/math\?math=(?P<github>[^&]+)
    | (?:i\.upmath\.me|tex\.s2cms\.ru)/(?:svg|png)/(?P<upmath>[^?]+)
    """,
    re.X | re.I,
)
_CODECOGS_OPTIONS = re.compile(
    r"(?:\\(?:dpi\s*\{\d+\}|(?:bg|fg|color)_?\w*|inline|huge|large|small|tiny|LARGE|fn_\w+)(?![A-Za-z])\s*)+"
)
_ANNOTATION = re.compile(r"<(?:[\w-]+:)?annotation\b([^>]*+)>", re.I)
_ATTRIBUTE_SOURCE = re.compile(
    rf"\b(?:{'|'.join(SOURCE_ATTRIBUTES)})\s*=\s*(?:\"([^\"]*+)\"|'([^']*+)')", re.I
)
_MATHML_ATTRIBUTE = re.compile(r"\bdata-mathml\s*=\s*(?:\"([^\"]*+)\"|'([^']*+)')", re.I)
_MATH_TAG = re.compile(r"<(?:[\w-]+:)?math(?=[\s>/])([^>]*+)>", re.I)
_IMAGE_TAG = re.compile(r"<img\b([^>]*+)>", re.I)
_COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%.*")
_DISPLAYSTYLE = re.compile(r"\{\s*\\(?:displaystyle|textstyle)(?![A-Za-z])(.*)\}", re.S)
_LEADING_STYLE = re.compile(r"(?:\\(?:displaystyle|textstyle)(?![A-Za-z])\s*)+")
_ENGLISH = re.compile(r"(?<![\\A-Za-z{])[A-Za-z]{3,}\s+[A-Za-z]{2,}(?![A-Za-z}])")
_DOLLAR = re.compile(r"(?<!\\)((?:\\\\)*)\$")
_DELIMITERS = (("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"), ("$", "$"))


def clean(source: str) -> str | None:
    r"""A formula's source on one line, without its own delimiters and outer `\displaystyle`; None where nothing is left.

    Comments end at their line, so they go before the lines are joined. Dollars inside (`\text{if $x$}`) become `\(`
    and `\)`, which mean the same there, or the formula would end too early for its reader.
    """
    if len(source) > LONGEST_SOURCE:
        return None
    text = source.replace("% <![CDATA[", "").replace("<![CDATA[", "").replace("]]>", "")
    if "%" in text:
        text = "\n".join(_COMMENT.sub(r"\1", line) for line in text.splitlines())
    text = _undelimited(" ".join(text.split()))
    wrapped = _DISPLAYSTYLE.fullmatch(text)
    if wrapped is not None and _balanced(wrapped[1]):
        text = wrapped[1].strip()
    text = _LEADING_STYLE.sub("", text, count=1) if text.startswith("\\") else text
    if "$" in text:
        text = _without_dollars(text)
    text = text.strip()
    # A backslash at the end would take the closing delimiter for its argument.
    return text if text and (len(text) - len(text.rstrip("\\"))) % 2 == 0 else text[:-1].strip() or None


def _undelimited(text: str) -> str:
    for left, right in _DELIMITERS:
        if len(text) > len(left) + len(right) and text.startswith(left) and text.endswith(right):
            inner = text[len(left) : -len(right)]
            if right not in inner and not (right.startswith("$") and inner.endswith("\\")):
                return inner.strip()
    return text


def _balanced(text: str) -> bool:
    depth = 0
    for brace in re.finditer(r"\\.|[{}]", text):
        depth += (brace[0] == "{") - (brace[0] == "}")
        if depth < 0:
            return False
    return depth == 0


def _without_dollars(text: str) -> str:
    pieces = _DOLLAR.split(text)  # text, backslashes, text, backslashes, ...
    if len(pieces) // 2 % 2:
        return _DOLLAR.sub(r"\1", text)
    made = pieces[0]
    for number, at in enumerate(range(1, len(pieces), 2)):
        made += pieces[at] + ("\\)" if number % 2 else "\\(") + pieces[at + 1]
    return made


def looks_like_tex(text: str) -> bool:
    """Whether an alternative text is LaTeX, not a description in words ("a squared plus b", "formula")."""
    if not text.strip() or len(text) > LONGEST_SOURCE:
        return False
    if "\\" in text:
        return True
    if any("\u2e80" <= character <= "\ud7ff" for character in text):
        return False  # Chinese, Japanese or Korean words
    words = text.replace(",", " ").replace(".", " ").replace("-", " ").split()
    if all(word.isalpha() for word in words) and any(len(word) > 3 for word in words):
        return False
    return _ENGLISH.search(text) is None


def of_attributes(attributes: dict[str, str], classes: set[str]) -> str | None:
    """The source in an element's attributes (Gemini, Zhihu, Temml, Quill, Substack and others)."""
    for name in SOURCE_ATTRIBUTES:
        if attributes.get(name) and looks_like_tex(attributes[name]):
            return clean(attributes[name])
    if "hurmet-tex" in classes and attributes.get("data-entry"):
        return clean(attributes["data-entry"])
    if "ql-formula" in classes and attributes.get("data-value"):
        return clean(attributes["data-value"])
    if "latex-rendered" in classes and "persistentExpression" in attributes.get("data-attrs", ""):
        return _of_json(attributes["data-attrs"])
    return None


def _of_json(text: str) -> str | None:
    if len(text) > LONGEST_SOURCE:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    source = found.get("persistentExpression") if isinstance(found, dict) else None
    return clean(source) if isinstance(source, str) else None


def of_image(attributes: dict[str, str], classes: set[str]) -> str | None:
    """The source of an image of a formula: its alternative text, or the query of a rendering service."""
    alt = attributes.get("alt", "").strip()
    if attributes.get("data-equation-content"):
        return clean(attributes["data-equation-content"])
    if (classes & IMAGE_CLASSES or _is_wikipedia(classes)) and alt and looks_like_tex(alt):
        return clean(alt)
    address = attributes.get("src", "")
    if address.startswith("data:"):
        address = attributes.get("data-src", "") or attributes.get("data-lazy-src", "")
    found = _IMAGE_ADDRESS.search(address) if len(address) <= LONGEST_SOURCE else None
    if found is None or found.lastgroup is None:
        return None
    if "\\" in alt and looks_like_tex(alt):
        return clean(alt)
    query = found[found.lastgroup]
    if found.lastgroup == "codecogs":
        source = unquote(query).replace("&space;", " ").replace("&plus;", "+").lstrip()
        return clean(_CODECOGS_OPTIONS.sub("", source, count=1))
    return clean(unquote(query) if found.lastgroup == "upmath" else unquote_plus(query))


def _is_wikipedia(classes: set[str]) -> bool:
    return any(name.startswith("mwe-math-fallback-image") for name in classes)


def of_markup(markup: str) -> str | None:
    """The source of a rendered formula from all that it carries: annotation, alttext, attributes, MathML, image."""
    found = _of_annotation(markup)
    if found is None and (math := _MATH_TAG.search(markup)) is not None:
        alt = attributes_of(math[1]).get("alttext", "")
        found = clean(alt) if looks_like_tex(alt) else None
    if found is None and (attribute := _ATTRIBUTE_SOURCE.search(markup)) is not None:
        value = html.unescape(attribute[1] or attribute[2] or "")
        found = clean(value) if looks_like_tex(value) else None
    if found is None and (mathml := _MATHML_ATTRIBUTE.search(markup)) is not None:
        found = _converted(html.unescape(mathml[1] or mathml[2] or ""))
    if found is None and (math := _MATH_TAG.search(markup)) is not None:
        found = _converted(markup[math.start() :])
    if found is None and (image := _IMAGE_TAG.search(markup)) is not None:
        attributes = attributes_of(image[1])
        found = of_image(attributes, set(attributes.get("class", "").split()))
    return found


def _of_annotation(markup: str) -> str | None:
    """The TeX annotation of MathML; the first that says it is TeX."""
    for tag in _ANNOTATION.finditer(markup):
        if "tex" not in attributes_of(tag[1]).get("encoding", "").lower():
            continue
        end = markup.find("</", tag.end())
        return clean(html.unescape(markup[tag.end() : end])) if end >= 0 else None
    return None


def _converted(mathml: str) -> str | None:
    latex = to_latex(mathml)
    return clean(latex) if latex is not None else None


def is_display(markup: str) -> bool:
    """Whether a rendered formula stands on a line of its own."""
    return _SHOWN_AS_BLOCK.search(markup[:4000]) is not None


_SHOWN_AS_BLOCK = re.compile(
    r"""\bdisplay\s*=\s*["']?(?:block|true)\b
    | \bclass\s*=\s*["'][^"'>]*(?:katex-display|MathJax_(?:SVG_)?Display|MJXc-display
        | mwe-math-(?:element-block|mathml-display|fallback-image-display)|math-(?:block|display)|ltx_DisplayMath
        | latexdisplay)
    | \bdata-(?:katex-)?display\s*=\s*["']?true""",
    re.X,
)
