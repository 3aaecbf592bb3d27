"""Stages as PTransforms, and the coder of chunks."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that, equal_to

from pipeline.chunks import READ_SCHEMA, Chunk, ChunkKey, Split
from pipeline.errors import UserError
from pipeline.sources import ReadSettings
from pipeline.stages import StageSettings
from pipeline.transforms import ChunkCoder, ReadChunks, RunStage

SETTINGS = StageSettings(
    extraction=None, language=None, safety=None, pii=None, lines=None, quality=False, dedup=None
)


def chunk(rows: int) -> Chunk:
    records = [{"id": str(i), "source": "s", "record": f"r@{i}", "text": "word " * i} for i in range(rows)]
    return Chunk(ChunkKey("s", "shard", 1, 2), pa.RecordBatch.from_pylist(records, schema=READ_SCHEMA))


def test_a_chunk_comes_back_from_its_coder() -> None:
    coder, original = ChunkCoder(), chunk(5)
    found = coder.decode(coder.encode(original))
    assert found.key == original.key
    assert found.batch.equals(original.batch)


def test_a_slice_is_shipped_as_a_slice() -> None:
    whole = chunk(2000)
    part = Chunk(whole.key, whole.batch.slice(10, 10))
    assert len(ChunkCoder().encode(part)) < len(ChunkCoder().encode(whole)) / 50


def test_beam_knows_the_coder() -> None:
    assert isinstance(beam.coders.registry.get_coder(Chunk), ChunkCoder)


def test_read_and_run_a_stage_over_a_boundary(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "one two"}\n{"text": "three"}\n')
    size = path.stat().st_size
    split = Split(source="s", shard="in", path=str(path), format="jsonl", index=0, start=0, stop=size)
    with TestPipeline(runner="FnApiRunner") as pipeline:
        lengths = (
            pipeline
            | beam.Create([split])
            | ReadChunks(ReadSettings())
            | beam.Reshuffle()
            | RunStage("text", SETTINGS)
            | beam.FlatMap(lambda chunk: chunk.batch["text.characters"].to_pylist())
        )
        assert_that(lengths, equal_to([7, 5]))


def test_an_unknown_stage_is_refused_when_the_pipeline_is_built() -> None:
    with pytest.raises(UserError, match='Did you mean "quality"'):
        RunStage("qualty", SETTINGS)
