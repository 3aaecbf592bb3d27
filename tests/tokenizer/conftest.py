"""A small model, trained once for all tests, and the plain statement of how words are cut."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import strategies as st

from tests.jobs.corpus import article
from tokenizer.settings import TokenizerSettings
from tokenizer.training import train

SETTINGS = TokenizerSettings(vocab_size=1000)

CODE = """def area(radius):
\tif radius < 0:
\t\traise ValueError(f"a radius is never {radius}")
\treturn 3.14159 * radius**2


class  Circle:
    def __init__(self, radius=1.0):
        self.radius = radius
"""
ODD = (
    "Let ε > 0; ∀x ∈ ℝ ∃δ: |f(x)−f(a)| < ε.",
    "Größe, naïve, Ελλάδα, Москва, 中文字符没有空格, 日本語のテキスト",
    "carriage\r\nreturns\r and \x00 nul \x1f boundary \x07 bell",
    "a\u2581literal\u2581\u2581space \u2581 mark",
    "text that spells <s> </s> <unk> <0x0A> <|end|> and <|reserved_0|>x",
    "tabs\t\t\t\t\t\t\t\t\t\t\tmany \t one\t",
    "   spaces    before and after   ",
    "e\u0301 combining, 👩‍👩‍👧 joined, \U0010ffff last",
)


def corpus(documents: int = 60) -> list[str]:
    """Generated English with code and odd characters among it; always the same."""
    chosen = random.Random(4)  # noqa: S311 - test data
    texts = [article(seed, sentences=8) for seed in range(documents)]
    for index in range(0, documents, 3):
        texts[index] += "\n" + CODE + chosen.choice(ODD)
    return texts + list(ODD)


def reference_words(text: str, tab_runs: int = 8) -> list[str]:
    """The words of a text as the trainer sees them: the rule `spm_words_v1`, stated plainly."""
    words = []
    for line in text.split("\n"):
        plain = line.replace("\u2581", " ").replace("\u2585", "\x1f")
        plain = re.sub(f"\t{{1,{tab_runs}}}", "\x1f", plain)
        words += re.findall(r" *[^ ]+| +", plain)
    return words


def reference_counts(texts: Iterable[str], tab_runs: int = 8) -> Counter[bytes]:
    return Counter(word.encode() for text in texts for word in reference_words(text, tab_runs))


def texts(max_size: int = 60) -> st.SearchStrategy[str]:
    """Any Unicode, with what matters to a tokenizer in it more often than chance would have it."""
    often = st.sampled_from(
        [
            " ",
            "  ",
            "\n",
            "\n\n",
            "\t",
            "\t\t\t",
            "\r",
            "\r\n",
            "\u2581",
            "\u2585",
            "\u2580",
            "’",
            "\x1f",
            "\x00",
        ]
    )
    spelled = st.sampled_from(["<s>", "<|end|>", "<0x0A>", "the", " of", "ing", "12", "é", "中", "😀"])
    anything = st.text(st.characters(exclude_categories=("Cs",)), max_size=4)
    return st.lists(st.one_of(often, spelled, anything), max_size=max_size).map("".join)


@pytest.fixture(scope="session")
def model() -> bytes:
    """A model of 1000 pieces, trained on `corpus()`."""
    return train(reference_counts(corpus()).items(), SETTINGS)
