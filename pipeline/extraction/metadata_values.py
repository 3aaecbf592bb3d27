"""What pages write about themselves -> one form: dates, titles, names, languages, addresses.

Nothing here guesses: a value that cannot be read is None, and no rule looks at the clock.
"""

from __future__ import annotations

import datetime
import email.utils
import html
import re
from urllib.parse import urljoin, urlsplit

LONGEST_VALUE = 2000
"""Characters of the longest value that is taken."""

_ISO = re.compile(
    r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})"
    r"(?:[T\s,]\s*(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?\s*(Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?)?(?!\d)"
)
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:T?(\d{2})(\d{2})(\d{2})?(Z)?)?\Z")
_EPOCH = re.compile(r"(\d{10})(?:\d{3})?\Z")
_WRITTEN = re.compile(
    r"(?:(?P<month>[A-Za-z]{3,9})\.?\s+(?P<day>\d{1,2})(?:st|nd|rd|th)?"
    r"|(?P<day2>\d{1,2})(?:st|nd|rd|th)?\.?\s+(?P<month2>[A-Za-z]{3,9})\.?),?\s+(?P<year>\d{4})(?!\d)"
)
_SLASHED = re.compile(r"(\d{1,2})[/.](\d{1,2})[/.](\d{4})(?!\d)")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FULL_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december", "sept"),
)
_YEARS = range(1900, 2101)
_ZERO = datetime.date(1970, 1, 1)  # what programs write that have no date

_LANGUAGE = re.compile(
    r"([A-Za-z]{2,3})(?:[-_]([A-Za-z0-9]{2,8}))?(?:[-_]([A-Za-z0-9]{2,8}))?(?![A-Za-z0-9])"
)
_SEPARATORS = re.compile(r"\s+(?:[|–—·•»«:>~]|::|-|—|\|\|)\s+|\s*[|»]\s*|\s+/\s+")
_BY = re.compile(r"(?:by|von|par|por)\s+(?=[A-Z])", re.I)


def clean(value: str | None) -> str | None:
    """A value on one line with its character references read; None for nothing, and for what is far too long."""
    if value is None or len(value) > 4 * LONGEST_VALUE:
        return None
    text = html.unescape(value) if "&" in value else value
    if "&" in text and ";" in text:
        text = html.unescape(text)  # many pages escape twice
    text = " ".join(text.replace("\x00", "").split())
    return text if text and len(text) <= LONGEST_VALUE else None


def text_of(markup: str) -> str | None:
    """The text of a little markup: tags and comments out."""
    return clean(re.sub(r"<!--.*?-->|<[^>]*>", " ", markup))


def iso_date(value: str | None) -> str | None:
    """A date in ISO 8601: with the time and zone that the page gives, else the day alone.

    Read are ISO and its relatives (`2020/1/5`, `20200105T1200`), RFC 5322, seconds since 1970 (also in thousandths), and
    English dates with the month's name. `3/4/2020` could be two days and is none; `30/4/2020` is one.
    """
    text = clean(value)
    if text is None or len(text) > 100:
        return None
    if (found := _ISO.match(text)) is not None:
        return _moment(found[1], found[2], found[3], found[4], found[5], found[6], found[7])
    if (found := _COMPACT.match(text)) is not None:
        return _moment(*found.groups())
    if (found := _EPOCH.match(text)) is not None:
        moment = datetime.datetime.fromtimestamp(int(found[1]), datetime.UTC)
        return moment.isoformat() if moment.year in _YEARS and moment.date() != _ZERO else None
    return _by_name(text) or _slashed(text)


def _moment(
    year: str,
    month: str,
    day: str,
    hour: str | None = None,
    minute: str | None = None,
    second: str | None = None,
    zone: str | None = None,
) -> str | None:
    try:
        date = datetime.date(int(year), int(month), int(day))
    except ValueError:
        return None
    if date.year not in _YEARS or date == _ZERO:
        return None
    if hour is None or minute is None or int(hour) > 23 or int(minute) > 59 or int(second or 0) > 59:
        return date.isoformat()
    time = f"T{int(hour):02}:{minute}:{second or '00'}"
    return date.isoformat() + time + _zone(zone)


def _zone(zone: str | None) -> str:
    if not zone:
        return ""
    if zone in ("Z", "UTC", "GMT"):
        return "+00:00"
    digits = zone[1:].replace(":", "").ljust(4, "0")
    return f"{zone[0]}{digits[:2]}:{digits[2:]}" if int(digits[:2]) <= 14 and int(digits[2:]) < 60 else ""


def _by_name(text: str) -> str | None:
    if re.match(r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} \d", text):
        try:
            moment = email.utils.parsedate_to_datetime(text)
        except (ValueError, IndexError, OverflowError):
            return None
        return moment.replace(microsecond=0).isoformat() if moment.year in _YEARS else None
    found = _WRITTEN.search(text)
    if found is None:
        return None
    name = (found["month"] or found["month2"]).lower()
    if name not in _MONTHS and name not in _FULL_MONTHS:
        return None
    return _moment(found["year"], str(_MONTHS.index(name[:3]) + 1), found["day"] or found["day2"])


def _slashed(text: str) -> str | None:
    found = _SLASHED.match(text)
    if found is None:
        return None
    first, second = int(found[1]), int(found[2])
    if "." in found[0] or first > 12:  # dots: day first, wherever they are used
        return _moment(found[3], found[2], found[1])
    return _moment(found[3], found[1], found[2]) if second > 12 or first == second else None


def language_tag(value: str | None) -> str | None:
    """A language in the form of BCP 47: `en`, `pt-BR`, `zh-Hant-TW`; of a list the first."""
    found = _LANGUAGE.match((value or "").strip())
    if found is None or found[1].lower() in ("und", "mul", "xx", "mis", "zxx"):
        return None
    parts = [found[1].lower()]
    for part in found.groups()[1:]:
        if part:
            is_region = len(part) == 2 or (len(part) == 3 and part.isdigit())
            parts.append(part.upper() if is_region else part.title() if len(part) == 4 else part.lower())
    return "-".join(parts)


def web_address(value: str | None, base: str | None) -> str | None:
    """An absolute http(s) address without fragment, from what a page wrote; None for any other scheme or damage."""
    text = clean(value)
    if text is None or any(character in text for character in ' <>"{}|\\^`'):
        return None
    try:
        address = urljoin(base, text) if base else text
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host or ("." not in host and host != "localhost"):
        return None
    return address.split("#", 1)[0]


def author_names(values: list[str]) -> str | None:
    """Names of authors, `; ` between them, each once: no addresses, handles or "By"."""
    names: list[str] = []
    for value in values:
        text = clean(value)
        if text is None or len(text) > 200 or "://" in text or text.startswith(("@", "www.", "{")):
            continue
        name = _BY.sub("", text, count=1) if _BY.match(text) else text
        name = name.strip(" ,;|")
        if name and not name.isdigit() and name.lower() not in {known.lower() for known in names}:
            names.append(name)
    return "; ".join(names[:20]) or None


def _bare(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def without_site(title: str, site_names: list[str], host: str, headings: list[str]) -> str:
    """A title without the name of its site.

    The title is cut at `|`, ` - `, ` – `, ` » `, ` · ` and their like. Where what stands before or behind a cut is a heading
    (`<h1>`) of the page, that is the title. Else the last part goes where it is a name of the site (`og:site_name`, or its
    letters begin those of the host), or the first part in the same way; two parts may go, one always stays.
    """
    names = {_bare(name) for name in site_names if name} - {""}
    headed = {_bare(heading) for heading in headings} - {""} - names
    domain = _bare(host.removeprefix("www."))
    cuts = list(_SEPARATORS.finditer(title))[:20]
    for part in [title[: cut.start()] for cut in reversed(cuts)] + [title[cut.end() :] for cut in cuts]:
        if _bare(part) in headed:
            return part.strip()
    for _ in range(2):
        cuts = list(_SEPARATORS.finditer(title))
        if not cuts:
            break
        if _names_site(title[cuts[-1].end() :], names, domain):
            title = title[: cuts[-1].start()]
        elif _names_site(title[: cuts[0].start()], names, domain):
            title = title[cuts[0].end() :]
        else:
            break
    return title.strip()


def _names_site(part: str, names: set[str], domain: str) -> bool:
    bare = _bare(part)
    if not bare:
        return True
    return bare in names or (len(bare) >= 3 and domain.startswith(bare)) or bare == domain
