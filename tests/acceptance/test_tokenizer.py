"""The tokenizer on real text: 50 MB trained twice, 999 pages and 100,000 random strings back without loss.

Pages are those of /work/shared/data; the 50 MB are this machine's documentation (/usr/share/doc, /usr/share/man),
since the pages are eight.
"""

from __future__ import annotations

import json
import os
import random
from functools import cache
from pathlib import Path

import pyarrow as pa
import pytest
import sentencepiece

from tests.bench.bench_tokenizer import DEFAULT, first, read_files
from tokenizer import Tokenizer
from tokenizer.export import tokenizer_json
from tokenizer.settings import TokenizerSettings
from tokenizer.training import train, vocabulary
from tokenizer.words import WordTable

SHARED = Path(os.environ.get("CORPUSMILL_SHARED", Path(__file__).parents[3] / "shared"))
PAGES = SHARED / "data" / "pages" / "gold.dev.jsonl"
MEGABYTES, RANDOM_STRINGS = 50, 100_000

needs_pages = pytest.mark.skipif(not PAGES.is_file(), reason=f"no pages at {PAGES}: set CORPUSMILL_SHARED")


def trained(texts: list[str], settings: TokenizerSettings) -> bytes:
    table = WordTable(settings.tab_runs)
    table.add_text(pa.array(texts, pa.large_string()))
    return train(table.counts().items(), settings, threads=2)


@cache
def pages() -> list[str]:
    lines = PAGES.read_text("utf-8").split("\n")
    return [text for text in (json.loads(line)["text"] for line in lines if line) if text]


@cache
def model() -> bytes:
    """8,000 pieces from every other page, so that half of the pages are new to it."""
    return trained(pages()[::2], TokenizerSettings(vocab_size=8000))


def test_counts_and_text_give_the_same_vocabulary_on_50_mb(tmp_path: Path) -> None:
    texts = first(read_files([root for root in DEFAULT if root.is_dir()]), MEGABYTES)
    if sum(map(len, texts)) < MEGABYTES * 1e6 * 0.9:
        pytest.skip("this machine has less than 50 MB of documentation")
    settings = TokenizerSettings(vocab_size=32_000)
    path = tmp_path / "text.txt"
    path.write_bytes("\n".join(texts).encode())
    sentencepiece.SentencePieceTrainer.train(
        input=str(path), model_prefix=str(tmp_path / "peer"), **settings.trainer_arguments(2)
    )
    assert vocabulary(trained(texts, settings)) == (tmp_path / "peer.vocab").read_bytes()


@needs_pages
def test_pages_come_back_and_all_encoders_agree() -> None:
    column = pa.array(pages(), pa.large_string())
    reference = Tokenizer(model(), "sentencepiece")
    ids = reference.encode_column(column)
    assert reference.decode_batch(ids.to_pylist()) == pages()
    for name in ("words", "kitoken"):
        assert Tokenizer(model(), name).encode_column(column).equals(ids), name


@needs_pages
def test_random_strings_come_back() -> None:
    chosen = random.Random(11)  # noqa: S311 - test data
    encoder = Tokenizer(model())
    reference = Tokenizer(model(), "sentencepiece")
    assert encoder.encoder == "words"
    often = [" ", "  ", "\n", "\t", "\r", "\u2581", "\u2585", "\x00", "<s>", "<|end|>", "<0x41>", "the", "é"]

    def character() -> str:
        kind = chosen.random()
        if kind < 0.3:
            return chosen.choice(often)
        if kind < 0.6:
            return chr(chosen.randrange(0x20, 0x7F))
        code = chosen.randrange(0x80, 0x110000 - 0x800) if kind < 0.8 else chosen.randrange(0x80, 0x3000)
        return chr(code if code < 0xD800 else code + 0x800)

    strings = ["".join(character() for _ in range(chosen.randrange(20))) for _ in range(RANDOM_STRINGS)]
    ids = encoder.encode_batch(strings)
    assert encoder.decode_batch(ids) == strings
    control = set(encoder.special.values()) | {encoder.unk_id}
    assert not any(control & set(each.tolist()) for each in ids)
    for ours, theirs in zip(ids[::10], reference.encode_batch(strings[::10]), strict=True):
        assert ours.tolist() == theirs.tolist()


@needs_pages
def test_tokenizer_json_gives_the_same_ids_on_pages() -> None:
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    theirs, ours = tokenizers.Tokenizer.from_str(tokenizer_json(model()).decode()), Tokenizer(model())
    texts = [text for text in pages() if "\u2581" not in text]
    for text, ids in zip(texts, ours.encode_batch(texts), strict=True):
        assert theirs.encode(text, add_special_tokens=False).ids == ids.tolist()
