"""Small made-up corpora that a classifier can tell apart."""

from __future__ import annotations

import json
import random
from pathlib import Path

_GOOD = "tide rises because moon pulls water toward ocean turns slowly while earth spins under"
_BAD = "buy cheap now click here sale cart login cookies price offer deal free subscribe"
_SHARED = "this page is for you and a time of day"
GOOD_WORDS, BAD_WORDS, SHARED = _GOOD.split(), _BAD.split(), _SHARED.split()


def documents(words: list[str], count: int, seed: int) -> list[str]:
    """Texts of some words, and of words that both kinds have."""
    made = random.Random(seed)  # noqa: S311 - a test's data
    return [
        " ".join(made.choices(words + SHARED, k=made.randint(20, 60))).capitalize() + "."
        for _ in range(count)
    ]


def write_jsonl(path: Path, texts: list[str], prefix: str = "d") -> str:
    """The texts as JSON lines with ids; the path."""
    rows = (json.dumps({"id": f"{prefix}{i}", "text": text}) for i, text in enumerate(texts))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return str(path)
