"""URLs that a site makes without end, told by their shape: deep or repeating paths, calendars, heaps of parameters.

Every refusal is a word for the ledger: `trap:depth`, `trap:segment`, `trap:repeat`, `trap:parameters`, `trap:calendar`. What no
shape shows, budgets bound: `shape` names the family of a URL, whose members the engine may count.
"""

from __future__ import annotations

import re
from collections import Counter

from pipeline.crawl.policy import Reason
from pipeline.crawl.settings import TrapSettings
from pipeline.crawl.urls import Url

_DIGITS = re.compile(r"[0-9]+")
_HEX = re.compile(r"(?=[0-9a-f]*[0-9])[0-9a-f]{8,}", re.IGNORECASE)
_CALENDAR = re.compile(
    r"calend|kalend|agenda|event|archive|diary|schedul|termin|booking|tribe", re.IGNORECASE
)
_DATED_PARAMETER = re.compile(
    r"(?:^|[&_-])(?:year|yr|jahr|annee|ano|date|day|month|week|from|to|start|end|start_?date|end_?date|tribe-bar-date|d|ical)="
    r"(?P<year>[0-9]{4})(?![0-9])",
    re.IGNORECASE,
)
_DATED_PATH = re.compile(r"/(?P<year>[0-9]{4})(?:[/-][0-9]{1,2}){1,2}(?:/|$)|/(?P<alone>[0-9]{4})(?:/|$)")


class Traps:
    """The bounds of one crawl.

    Args:
        settings: the bounds.
        year: the crawl's own, which calendars are measured from. It comes from the run, not from a clock.
    """

    def __init__(self, settings: TrapSettings, year: int) -> None:
        self.settings = settings
        self._years = range(settings.first_year, year + settings.years_ahead + 1)

    def refuses(self, url: Url) -> Reason | None:
        """Why a URL looks like one of endlessly many; None where it does not."""
        settings = self.settings
        segments = [segment for segment in url.path.split("/") if segment]
        if len(segments) > settings.max_segments:
            return Reason("trap:depth", f"{len(segments)} segments")
        longest = max(map(len, segments), default=0)
        if longest > settings.max_segment_length:
            return Reason("trap:segment", f"a segment of {longest} characters")
        repeated = _repeats(segments, settings.max_repeats) or _frequent(segments, settings.max_same_segment)
        if repeated:
            return Reason("trap:repeat", repeated)
        if url.query is not None and url.query.count("&") >= settings.max_parameters:
            return Reason("trap:parameters", f"{url.query.count('&') + 1} parameters")
        year = _calendar_year(url)
        if year is not None and year not in self._years:
            return Reason("trap:calendar", str(year))
        return None


def shape(url: Url) -> str:
    """The family of a URL on its host: numbers as `0`, hexadecimal ids as `#`, parameters by name only.

    A calendar, a faceted search and a list in pages are one family each; so is a site whose articles are numbered, so a budget on
    families must be large (a site's share of the round), or look at how little text its members bring.
    """
    path = _DIGITS.sub("0", _HEX.sub("#", url.path))
    names = sorted({part.partition("=")[0] for part in (url.query or "").split("&")} - {""})
    return f"{path}?{'&'.join(names)}" if names else path


def _repeats(segments: list[str], most: int) -> str | None:
    """The run of one to four segments that follows itself more than `most` times: `/a/b/a/b/a/b`."""
    for length in range(1, min(4, len(segments) // (most + 1)) + 1):
        times = 1
        for at in range(length, len(segments)):
            # Counts segments that equal the one a run earlier; a whole run of them is one repetition.
            times = times + 1 if segments[at] == segments[at - length] else 1
            if times > most * length:
                return "/".join(segments[at - length + 1 : at + 1])
    return None


def _frequent(segments: list[str], most: int) -> str | None:
    """A segment that occurs more than `most` times."""
    segment, times = max(Counter(segments).items(), key=lambda item: item[1], default=("", 0))
    return segment if times > most else None


def _calendar_year(url: Url) -> int | None:
    """The year of a URL that is a page of a calendar; None where it is none."""
    found = _DATED_PARAMETER.search(url.query or "")
    if found is not None:
        return int(found["year"])
    path = _DATED_PATH.search(url.path)
    if path is not None and (_CALENDAR.search(url.path) or _CALENDAR.search(url.query or "")):
        return int(path["year"] or path["alone"])
    return None
