"""The extraction stage: which documents of a chunk are pages, and what becomes of the others."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pipeline.chunks import READ_SCHEMA
from pipeline.extract import ExtractionSettings, extract, page_columns
from tests.jobs.corpus import article, html

PAGE = html(article(1), "One | Site")


def chunk(*rows: dict) -> pa.RecordBatch:
    schema = READ_SCHEMA
    return pa.RecordBatch.from_pylist(
        [{name: row.get(name) for name in schema.names} for row in rows], schema=schema
    )


def test_pages_are_extracted_and_texts_are_left_alone() -> None:
    docs = chunk(
        {"id": "a", "raw": PAGE, "url": "http://a.example/"}, {"id": "b", "text": "as it is", "title": "T"}
    )
    found = extract(docs, ExtractionSettings())
    first, second = found["text"].to_pylist()
    assert article(1).split("\n")[0] in first
    assert second == "as it is"
    assert found["title"].to_pylist()[1] == "T"
    for column in page_columns():
        assert found[column.name].type == column.type
        assert found[column.name][1].as_py() is None


@pytest.mark.parametrize("rows", [[], [{"id": "a", "text": "only text"}], [{"id": "a"}]])
def test_chunks_without_a_page(rows: list[dict]) -> None:
    found = extract(chunk(*rows), ExtractionSettings())
    assert found["text"].to_pylist() == [row.get("text", "") for row in rows]
    assert [field.name for field in found.schema if field.name.startswith("page.")] == [
        column.name for column in page_columns()
    ]


def test_html_in_the_text_column() -> None:
    docs = chunk({"id": "a", "text": PAGE.decode()})
    found = extract(docs, ExtractionSettings(html_in_text=True))
    assert "<p>" not in found["text"][0].as_py()
    assert article(1).split("\n")[0] in found["text"][0].as_py()


def test_a_page_without_a_body_is_an_empty_text() -> None:
    found = extract(chunk({"id": "a", "raw": b""}, {"id": "b", "raw": b"\x00" * 50}), ExtractionSettings())
    assert found["text"].to_pylist() == ["", ""]
