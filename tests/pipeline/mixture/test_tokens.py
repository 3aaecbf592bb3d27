"""Token files: every text encoded once, every document accounted for, whatever the column's type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UserError
from pipeline.mixture.documents import held_out_hash, held_out_limit, id_bytes
from pipeline.mixture.settings import MixtureSettings
from pipeline.mixture.tokens import DOCUMENT, TokenFile, TokenSettings, plan_tokens, tokenise
from tests.pipeline.mixture import corpus
from tokenizer import load


def tokenised(
    folder: Path, table: pa.Table, marks: tuple[bool, bool] = (False, True), **component: Any
) -> list[TokenFile]:
    pq.write_table(table, folder / "in.parquet")
    web = {"input": [str(folder / "in.parquet")], "weight": 1, **component}
    settings = MixtureSettings.model_validate(
        {"tokenizer": corpus.tokenizer(folder), "tokens": 10, "components": {"web": web}}
    )
    encoder = load(settings.tokenizer)
    shared = TokenSettings(
        folder=str(folder / "tokens"),
        tokenizer=settings.tokenizer,
        sha256=encoder.sha256,
        pieces=encoder.vocab_size,
        prefix=(1,) if marks[0] else (),
        suffix=(2,) if marks[1] else (),
    )
    return [tokenise(item, shared) for item in plan_tokens(settings, shared)]


def content(file: TokenFile) -> list[tuple[bytes, list[int]]]:
    records = np.fromfile(file.documents_path, DOCUMENT)
    flat = np.fromfile(file.tokens_path, "<u2")
    ends = np.cumsum(records["tokens"]).tolist()
    assert ends[-1:] == [len(flat)]
    starts = [0, *ends[:-1]]
    return [(records["id"][at].tobytes(), flat[starts[at] : ends[at]].tolist()) for at in range(len(records))]


TEXTS = ["Amber basalt.", "", "Cedar delta ember!\nFjord", "12 ☃ \u2581 ünï", "last"]


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())],
    ids=str,
)
@pytest.mark.parametrize("marks", [(False, False), (True, True)], ids=str)
def test_texts_are_encoded_with_their_marks(
    tmp_path: Path, kind: pa.DataType, marks: tuple[bool, bool]
) -> None:
    table = pa.table({"id": list("abcde"), "text": pa.array(TEXTS).cast(kind)})
    (file,) = tokenised(tmp_path, table, marks)
    encoder = load(corpus.tokenizer(tmp_path))
    expected = [
        (id_bytes(name), [1] * marks[0] + encoder.encode(text) + [2] * marks[1])
        for name, text in zip("abcde", TEXTS, strict=True)
        if text
    ]
    assert content(file) == expected
    assert (file.read, file.left_out, file.tiers[0].documents) == (5, {"empty": 1}, 4)
    assert file.tiers[0].tokens == sum(len(tokens) for _, tokens in expected)


def test_what_is_left_out_is_counted_by_reason(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": list("abcdefg"),
            "text": ["one", None, "two", "three", "four", "five", "six"],
            "score": pa.array([0.9, 0.9, None, 0.5, 0.1, float("nan"), 0.7], pa.float32()),
            "language": pa.array(["en", "en", "en", "fr", "en", "en", None]).dictionary_encode(),
        }
    )
    (file,) = tokenised(
        tmp_path,
        table,
        filters={"language": {"in": ["en"]}},
        tiers={"column": "score", "steps": [{"min": 0.7, "epochs": 1}, {"min": 0.1, "epochs": 1}]},
    )
    assert file.left_out == {"filter language": 2, "no text": 1, "no tier": 2}
    assert [tier.documents for tier in file.tiers] == [1, 1]  # 0.1 is compared as the float32 that is stored


def test_the_rest_takes_missing_scores(tmp_path: Path) -> None:
    table = pa.table({"id": list("abc"), "text": list("abc"), "score": [0.9, None, float("nan")]})
    tiers = {"column": "score", "steps": [{"min": 0.5, "epochs": 1}, {"epochs": 1}]}
    (file,) = tokenised(tmp_path, table, tiers=tiers)
    assert [tier.documents for tier in file.tiers] == [1, 2]


def test_texts_can_be_their_own_ids(tmp_path: Path) -> None:
    (file,) = tokenised(tmp_path, pa.table({"text": ["one", "two"]}), id=None)
    assert [name for name, _ in content(file)] == [id_bytes("one"), id_bytes("two")]


def test_ids_of_numbers_are_their_digits(tmp_path: Path) -> None:
    (file,) = tokenised(tmp_path, pa.table({"id": [7, 8], "text": ["one", "two"]}))
    assert [name for name, _ in content(file)] == [id_bytes("7"), id_bytes("8")]


def test_a_document_without_id_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"components\.web: a document has no id"):
        tokenised(tmp_path, pa.table({"id": ["a", None], "text": ["one", "two"]}))


def test_a_text_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    text = pa.array([b"\xff\xfe"], pa.binary()).view(pa.string())
    with pytest.raises(UserError, match=r"in\.parquet: a text of column text is no UTF-8"):
        tokenised(tmp_path, pa.table({"id": ["a"], "text": text}))


def test_another_tokenizer_than_planned_is_refused(tmp_path: Path) -> None:
    table = pa.table({"id": ["a"], "text": ["one"]})
    pq.write_table(table, tmp_path / "in.parquet")
    web = {"input": [str(tmp_path / "in.parquet")], "weight": 1}
    path = corpus.tokenizer(tmp_path)
    settings = MixtureSettings.model_validate({"tokenizer": path, "tokens": 10, "components": {"web": web}})
    shared = TokenSettings(
        folder=str(tmp_path), tokenizer=path, sha256="other", pieces=10, prefix=(), suffix=()
    )
    with pytest.raises(UserError, match="no longer the one"):
        tokenise(plan_tokens(settings, shared)[0], shared)


def test_held_out_shares_are_nested_and_about_right() -> None:
    ids = [id_bytes(f"document {at}") for at in range(20_000)]
    small = {each for each in ids if held_out_hash(each) < held_out_limit(0.01)}
    large = {each for each in ids if held_out_hash(each) < held_out_limit(0.05)}
    assert small < large
    assert abs(len(small) - 200) < 60
    assert abs(len(large) - 1000) < 130
