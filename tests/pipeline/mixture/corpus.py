"""A small corpus for the mixture's tests: sources of Parquet documents, a tokenizer trained on them, settings over both."""

from __future__ import annotations

import functools
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import sentencepiece

from pipeline.mixture.settings import MixtureSettings

WORDS = [
    "amber",
    "basalt",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grain",
    "harbour",
    "islet",
    "juniper",
    "kelp",
    "lagoon",
]


def sentence(rng: random.Random) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(3, 12))).capitalize() + rng.choice(".!?")


def text(rng: random.Random, sentences: int) -> str:
    return "".join(sentence(rng) + rng.choice([" ", " ", "\n"]) for _ in range(sentences)).strip()


def documents(name: str, count: int, *, longest: int = 12, seed: int = 0) -> list[dict[str, Any]]:
    """Documents with an id, a text, a score in 0..1 and a language."""
    rng = random.Random(f"{name} {seed}")  # noqa: S311
    return [
        {
            "id": f"{name}-{index}",
            "text": text(rng, rng.randint(1, longest)),
            "score": rng.random(),
            "language": rng.choice(["en", "en", "fr"]),
        }
        for index in range(count)
    ]


def write(folder: Path, name: str, rows: list[dict[str, Any]], *, files: int = 2, group: int = 40) -> str:
    """Write documents as Parquet files; the glob that finds them."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    step = -(-len(rows) // files) or 1
    for index in range(files):
        part = rows[index * step : (index + 1) * step]
        schema = pa.schema(
            [("id", pa.string()), ("text", pa.string()), ("score", pa.float64()), ("language", pa.string())]
        )
        pq.write_table(
            pa.Table.from_pylist(part, schema), folder / name / f"{index}.parquet", row_group_size=group
        )
    return str(folder / name / "*.parquet")


@functools.cache
def _model() -> bytes:
    lines = [row["text"] for name in ("web", "math") for row in documents(name, 100)]
    lines = [line for each in lines for line in each.split("\n")]
    out = _Sink()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=out,
        vocab_size=400,
        model_type="bpe",
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        user_defined_symbols=["\n"],
        pad_id=3,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return bytes(out.data)


class _Sink:
    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        self.data += data


def tokenizer(folder: Path) -> str:
    """A folder with a small SentencePiece model."""
    (folder / "tokenizer").mkdir(exist_ok=True)
    (folder / "tokenizer" / "tokenizer.model").write_bytes(_model())
    return str(folder / "tokenizer")


def settings(folder: Path, **changes: Any) -> MixtureSettings:
    """Three components, one of them in tiers, some documents longer than a sequence."""
    content: dict[str, Any] = {
        "tokenizer": tokenizer(folder),
        "tokens": 40_000,
        "sequence_length": 128,
        "seed": 7,
        "shards": 3,
        "split_bytes": 4000,
        "window_tokens": 1 << 13,
        "components": {
            "web": {"input": [write(folder, "web", documents("web", 600))], "weight": 0.6},
            "math": {
                "input": [write(folder, "math", documents("math", 100, longest=40))],
                "weight": 0.3,
                "max_epochs": 4,
            },
            "code": {
                "input": [write(folder, "code", documents("code", 120))],
                "weight": 0.1,
                "max_epochs": 3,
                "filters": {"language": {"in": ["en"]}},
                "tiers": {
                    "column": "score",
                    "steps": [{"min": 0.8, "epochs": 3}, {"min": 0.3, "epochs": 1}],
                },
            },
        },
    }
    return MixtureSettings.model_validate({**content, **changes})
