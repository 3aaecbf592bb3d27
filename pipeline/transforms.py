"""The stages as PTransforms over chunks, for people who compose their own Beam pipelines.

The jobs do not use these: they run the chain of a split inside one task, because a document that crosses a Beam boundary costs
three times the CPU (docs/architecture.md). Importing this module registers the coder of `Chunk`: Arrow IPC, which ships a slice as
a slice and pickles nothing.

    chunks = pipeline | beam.Create(splits) | ReadChunks(ReadSettings())
    measured = chunks | RunStage("extract", StageSettings()) | RunStage("language", StageSettings())
"""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Iterator

import apache_beam as beam
from pydantic import BaseModel

from pipeline.chunks import Chunk, ChunkKey, Split, decode_batch, encode_batch
from pipeline.errors import UserError, did_you_mean
from pipeline.sources import ReadSettings, read_split
from pipeline.stages import Stage, StageSettings, build_stages


class ChunkCoder(beam.coders.Coder):  # type: ignore[misc]
    """A chunk as its key (JSON, with its length before it) and one Arrow IPC stream."""

    def encode(self, value: Chunk) -> bytes:
        """Chunk to bytes."""
        key = json.dumps(dataclasses.asdict(value.key)).encode()
        return struct.pack("<I", len(key)) + key + encode_batch(value.batch)

    def decode(self, encoded: bytes) -> Chunk:
        """Bytes to chunk."""
        (length,) = struct.unpack_from("<I", encoded)
        key = ChunkKey(**json.loads(encoded[4 : 4 + length]))
        return Chunk(key, decode_batch(encoded[4 + length :]))

    def is_deterministic(self) -> bool:
        """Equal batches may lie in memory in different ways; chunks are values, never keys."""
        return False

    def to_type_hint(self) -> type[Chunk]:
        """The type that it encodes."""
        return Chunk


class SplitCoder(beam.coders.Coder):  # type: ignore[misc]
    """A split as JSON."""

    def encode(self, value: Split) -> bytes:
        """Split to bytes."""
        return value.model_dump_json().encode()

    def decode(self, encoded: bytes) -> Split:
        """Bytes to split."""
        return Split.model_validate_json(encoded)

    def is_deterministic(self) -> bool:
        """The fields have one order."""
        return True

    def to_type_hint(self) -> type[Split]:
        """The type that it encodes."""
        return Split


beam.coders.registry.register_coder(Chunk, ChunkCoder)
beam.coders.registry.register_coder(Split, SplitCoder)


class ReadChunks(beam.PTransform):  # type: ignore[misc]
    """Splits -> chunks; records that could not be read are rows with an `error`."""

    def __init__(self, settings: ReadSettings) -> None:
        super().__init__()
        self._settings = settings.model_dump_json()

    def expand(self, splits: beam.PCollection) -> beam.PCollection:
        """Read each split."""
        return splits | beam.FlatMap(_read, self._settings).with_output_types(Chunk)


def _read(split: Split, settings: str) -> Iterator[Chunk]:
    return read_split(split, ReadSettings.model_validate_json(settings))


class RunStage(beam.PTransform):  # type: ignore[misc]
    """Chunks -> chunks with the columns, or the edited text, of one stage.

    Raises:
        UserError: when the settings have no such stage; on the machine where the pipeline is built.
    """

    def __init__(self, stage: str, settings: StageSettings) -> None:
        super().__init__()
        names = [each.name for each in build_stages(settings)]
        if stage not in names:
            raise UserError(f"there is no stage {stage!r} in these settings.{did_you_mean(stage, names)}")
        self._stage = stage
        self._settings = settings

    def expand(self, chunks: beam.PCollection) -> beam.PCollection:
        """Run the stage on each chunk."""
        run = _RunStage(self._stage, self._settings)
        return chunks | f"{self._stage}" >> beam.ParDo(run).with_output_types(Chunk)


class _RunStage(beam.DoFn):  # type: ignore[misc]
    """Builds its stage on the worker, from settings that are plain data."""

    def __init__(self, stage: str, settings: BaseModel) -> None:
        self._name = stage
        self._json = settings.model_dump_json()
        self._stage: Stage | None = None

    def setup(self) -> None:
        """Build the stage once per worker: models and indexes are opened here."""
        stages = build_stages(StageSettings.model_validate_json(self._json))
        self._stage = next(each for each in stages if each.name == self._name)

    def process(self, chunk: Chunk) -> Iterator[Chunk]:
        """Run the stage on one chunk."""
        assert self._stage is not None  # noqa: S101 - Beam calls setup first
        yield Chunk(chunk.key, self._stage.run(chunk.batch))
