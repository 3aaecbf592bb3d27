"""Made-up pages of the kinds that hold no text worth learning from: shops, lists, menus, notices, keyword pages.

Free collections of real ones do not exist, so these are written here: phrases of the trade around words that are drawn from
good texts, so that the words of a subject say nothing about quality and the phrases do.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path


def _phrases() -> dict[str, list[str]]:
    """The sections of quality_boilerplate.txt."""
    sections: dict[str, list[str]] = {}
    for line in Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            current = sections.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            current.append(line)
    return sections


_SECTIONS = _phrases()
MENU, NOTICES, SELLING = (_SECTIONS[name] for name in ("menu", "notices", "selling"))
SERVICES, KEYWORDS = (_SECTIONS[name] for name in ("services", "keywords"))

Draw = random.Random


def pages(words: Sequence[str], count: int, seed: int) -> list[tuple[str, str]]:
    """Made-up pages with the name of their kind; `words` are those of good texts."""
    draw = random.Random(seed)  # noqa: S311 - training data, not secrets
    kinds: list[tuple[str, Callable[[Draw, Sequence[str]], list[str]]]] = [
        ("shop", _shop),
        ("list", _list),
        ("menu", _menu),
        ("services", _services),
        ("keywords", _keywords),
        ("forum index", _forum),
    ]
    made = []
    for number in range(count):
        name, write = kinds[number % len(kinds)]
        lines = write(draw, words)
        separator = draw.choice(["\n", "\n", "\n\n", " | " if name == "menu" else "\n"])
        made.append((f"made-up {name}", separator.join(lines)))
    return made


def _fill(draw: Draw, words: Sequence[str], phrase: str) -> str:
    w, x, a = (draw.choice(words) for _ in range(3))
    name = w.capitalize() if draw.random() < 0.5 else w
    return phrase.format(
        w=name, x=x, a=a, n=draw.randint(2, 990), m=draw.randint(2, 9999), d=draw.randint(1, 9)
    )


def _some(draw: Draw, words: Sequence[str], phrases: Sequence[str], least: int, most: int) -> list[str]:
    return [_fill(draw, words, phrase) for phrase in draw.choices(phrases, k=draw.randint(least, most))]


def _title(draw: Draw, words: Sequence[str]) -> str:
    return " ".join(draw.choice(words).capitalize() for _ in range(draw.randint(2, 7)))


def _shop(draw: Draw, words: Sequence[str]) -> list[str]:
    body = [_title(draw, words), *_some(draw, words, SELLING, 6, 18)]
    return [*draw.sample(MENU, draw.randint(0, 10)), *body, *draw.sample(NOTICES, draw.randint(0, 4))]


def _list(draw: Draw, words: Sequence[str]) -> list[str]:
    lines = draw.sample(MENU, draw.randint(0, 12))
    for _ in range(draw.randint(6, 30)):
        lines.append(_title(draw, words))
        lines += (
            _some(draw, words, SELLING, 0, 2)
            if draw.random() < 0.6
            else [f"{draw.randint(1, 28)} May 20{draw.randint(10, 24)}"]
        )
        if draw.random() < 0.3:
            lines.append(
                draw.choice(
                    ["Read more", "Continue reading", "View details", "More info", "Read full article"]
                )
            )
    return lines


def _menu(draw: Draw, words: Sequence[str]) -> list[str]:
    own = [_title(draw, words) for _ in range(draw.randint(3, 25))]
    lines = [*draw.sample(MENU, draw.randint(15, 60)), *own]
    draw.shuffle(lines)
    return [*lines, *draw.sample(NOTICES, draw.randint(1, 6))]


def _services(draw: Draw, words: Sequence[str]) -> list[str]:
    body = _some(draw, words, SERVICES, 8, 24)
    return [*draw.sample(MENU, draw.randint(0, 12)), *body, *draw.sample(NOTICES, draw.randint(0, 3))]


def _keywords(draw: Draw, words: Sequence[str]) -> list[str]:
    few = draw.sample(words, 6)
    phrases = _some(draw, few, KEYWORDS, 25, 90)
    return [draw.choice([", ", " ", "; "]).join(phrases)]


def _forum(draw: Draw, words: Sequence[str]) -> list[str]:
    lines = draw.sample(MENU, draw.randint(5, 20))
    for _ in range(draw.randint(8, 30)):
        lines.append(_title(draw, words))
        lines.append(
            f"{draw.choice(words)}{draw.randint(1, 99)}, {draw.randint(1, 28)} Jan 20{draw.randint(5, 24)}"
        )
        lines.append(f"Replies: {draw.randint(0, 90)} Views: {draw.randint(10, 9999)}")
    return lines
