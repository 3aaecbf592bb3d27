"""A small corpus for the tests of whole jobs: articles in generated, but readable, English."""

from __future__ import annotations

import json
import random
from pathlib import Path

NOUNS = """
harbour kitchen orchard library workshop railway glacier theatre bakery garden bridge window letter
market river teacher engine village winter summer morning evening country question answer machine
picture captain forest island ladder meadow mirror morning needle number office oven paper pencil
people pepper pocket potato prince rabbit reason recipe school season shadow shelter silver sister
spring square station stone street supper surface table teapot thread ticket timber tower train
travel uncle valley vessel violin voyage wagon water weather wheel whistle
""".split()  # noqa: SIM905 - readable
VERBS = """
opened closed changed carried followed repaired painted measured admired forgot remembered visited
crossed watched described collected counted cleaned delivered explained finished gathered improved
invited joined learned lifted noticed offered ordered planted prepared promised reached received
returned shared studied touched turned understood washed welcomed
""".split()  # noqa: SIM905 - readable
ADJECTIVES = """
old quiet narrow bright heavy gentle sudden distant wooden ordinary curious patient careful broken
early northern little famous simple strange golden hollow modern rural silent steady tiny warm wide
young
""".split()  # noqa: SIM905 - readable
LINKS = ("and then", "but", "because", "while", "so that", "although", "before", "after", "where", "until")


def article(seed: int, sentences: int = 30) -> str:
    """An article that no filter minds; equal seeds give equal articles."""
    chosen = random.Random(seed)  # noqa: S311 - test data
    pick = chosen.choice
    lines = []
    for number in range(sentences):
        lines.append(
            f"The {pick(ADJECTIVES)} {pick(NOUNS)} {pick(VERBS)} a {pick(NOUNS)} of the {pick(NOUNS)} {pick(LINKS)} "
            f"{pick(('my', 'her', 'their', 'our', 'his'))} {pick(ADJECTIVES)} {pick(NOUNS)} {pick(VERBS)} {pick(NOUNS)}s "
            f"with {pick(ADJECTIVES)} {pick(NOUNS)}s."
        )
        if number % 5 == 4:
            lines.append("\n")
    return " ".join(lines).replace(" \n ", "\n").removesuffix(" \n")


def html(text: str, title: str = "A title") -> bytes:
    """An article as a page."""
    paragraphs = "".join(f"<p>{part}</p>" for part in text.split("\n"))
    return (
        f"<html><head><title>{title}</title></head><body><nav><a href='/'>Home</a></nav>"
        f"<article><h1>{title}</h1>{paragraphs}</article><footer>Imprint</footer></body></html>"
    ).encode()


def write_jsonl(path: Path, count: int, start: int = 0) -> Path:
    """Articles as JSONL; every seventh is a copy of the one before, every ninth too short."""
    with path.open("w") as file:
        for number in range(start, start + count):
            seed = number - 1 if number % 7 == 6 else number
            text = "Too short." if number % 9 == 8 else article(seed)
            file.write(json.dumps({"url": f"https://example.org/{number}", "text": text}) + "\n")
    return path
