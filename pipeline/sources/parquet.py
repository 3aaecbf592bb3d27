"""Parquet files: one document to a row, split by row groups.

The text column must hold strings; id, URL, date and title are taken where the file has them, under the
names that the settings give (`a.b` is the field b of a struct column a). Ids are made as for JSON lines. A
row without a text is a failure (`parquet.no_text`); so is a row group that cannot be read further
(`parquet.damaged`: one failure, whose message says how many rows are lost; they are counted in `records` as
`lost`). `record` is `shard@group+row`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.chunks import READ_SCHEMA, Split, document_id
from pipeline.errors import UserError, did_you_mean
from pipeline.sources import ReadSettings, Tally, content_id, failure, lies_at, row_bytes
from pipeline.sources.jsonl import text_id


def open_parquet(path: str, file: IO[bytes]) -> pq.ParquetFile:
    """A Parquet file, its footer read.

    Raises:
        UserError: when it is none.
    """
    try:
        return pq.ParquetFile(file)
    except pa.ArrowInvalid as error:
        raise UserError(f"{path} cannot be read as Parquet: {error}") from error


def check_text_column(path: str, schema: pa.Schema, column: str) -> None:
    """Refuse a file without the text column.

    Raises:
        UserError: naming the columns that are there, and the nearest name.
    """
    found = _type_of(schema, column)
    if found is None:
        columns = ", ".join(f'"{name}"' for name in schema.names)
        raise UserError(
            f'{path} has no column "{column}" to take the text from. Columns there: {columns}.'
            f"{did_you_mean(column, schema.names)} Set `columns: {{text: NAME}}` for this source."
        )
    value_type = found.value_type if pa.types.is_dictionary(found) else found
    if value_type not in (pa.string(), pa.large_string(), pa.string_view()):
        raise UserError(f'{path}: the column "{column}" holds {found}, not strings: it cannot be the text.')


def row_group_sizes(parquet: pq.ParquetFile) -> list[int]:
    """Bytes of each row group as stored."""
    groups = (parquet.metadata.row_group(index) for index in range(parquet.metadata.num_row_groups))
    return [
        sum(group.column(index).total_compressed_size for index in range(group.num_columns))
        for group in groups
    ]


def read_batches(split: Split, settings: ReadSettings, tally: Tally) -> Iterator[pa.RecordBatch]:
    """The documents and failures of a split of a Parquet file, in the order of the file.

    Raises:
        UserError: when the text column is not there.
        OSError: when the file cannot be read.
    """
    with storage.open_read(split.path) as file:
        parquet = open_parquet(split.path, file)
        check_text_column(split.path, parquet.schema_arrow, settings.columns.text)
        names = [name for name in _wanted(settings) if _type_of(parquet.schema_arrow, name) is not None]
        tally.end_offset = min(split.stop, parquet.metadata.num_row_groups)
        for group in range(split.start, tally.end_offset):
            yield from _group(parquet, group, names, split, settings, tally)


def _group(
    parquet: pq.ParquetFile, group: int, names: list[str], split: Split, settings: ReadSettings, tally: Tally
) -> Iterator[pa.RecordBatch]:
    row, rows = 0, parquet.metadata.row_group(group).num_rows
    try:
        batches = parquet.iter_batches(
            settings.chunk_rows, row_groups=[group], columns=names, use_threads=False
        )
        for batch in batches:
            tally.records["document"] += batch.num_rows
            place = [f"{group}+{row + index}" for index in range(batch.num_rows)]
            row += batch.num_rows
            yield from _sliced(_documents(batch, place, split, settings), settings)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
            raise  # the file system's trouble, not the file's: Arrow's own errors carry no number
        tally.records["lost"] += rows - row
        lost = failure(
            split,
            settings,
            error="parquet.damaged",
            message=f"row group {group}: {rows - row:,} of {rows:,} rows are lost, from {row:,} on: {error}",
            id=content_id(split.source, "row group", f"{split.shard} {group}"),
            record=lies_at(split, f"{group}+{row}"),
        )
        yield pa.RecordBatch.from_pylist([lost], schema=READ_SCHEMA)


def _documents(
    batch: pa.RecordBatch, places: list[str], split: Split, settings: ReadSettings
) -> pa.RecordBatch:
    """A batch of the file in the columns of `READ_SCHEMA`."""
    columns = settings.columns
    text, errors = _checked_text(_column(batch, columns.text))
    url, date = _strings(batch, columns.url), _strings(batch, columns.date)
    made = {
        "id": pa.array(_ids(split.source, _strings(batch, columns.id), url, date, text, places, split.shard)),
        "source": pa.repeat(split.source, batch.num_rows),
        "snapshot": pa.repeat(pa.scalar(settings.snapshot, pa.string()), batch.num_rows),
        "url": url,
        "date": date,
        "record": pa.array([lies_at(split, place) for place in places], pa.string()),
        "text": text,
        "title": _strings(batch, columns.title),
        "error": pa.array([error and error[0] for error in errors], pa.string()),
        "message": pa.array([error and error[1] for error in errors], pa.string()),
    }
    arrays = [made[f.name] if f.name in made else pa.nulls(batch.num_rows, f.type) for f in READ_SCHEMA]
    return pa.RecordBatch.from_arrays(arrays, schema=READ_SCHEMA)


def _checked_text(values: pa.Array) -> tuple[pa.Array, list[tuple[str, str] | None]]:
    """The texts as large strings, and why a row has none; what is not UTF-8 becomes null."""
    text = values.cast(pa.large_string())
    bad: dict[int, tuple[str, str]] = {}
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        raw = text.view(pa.large_binary()).to_pylist()
        for row, value in enumerate(raw):
            try:
                (value or b"").decode("utf-8")
            except UnicodeDecodeError as error:
                bad[row] = ("parquet.invalid_utf8", f"byte {error.start:,} of the text: {error.reason}")
                raw[row] = None
        text = pa.array(raw, pa.large_binary()).cast(pa.large_string())
    for row in np.flatnonzero(text.is_null().to_numpy(zero_copy_only=False)).tolist():
        bad.setdefault(row, ("parquet.no_text", "the text is null"))
    return text, [bad.get(row) for row in range(len(text))]


def _ids(
    source: str, own: pa.Array, url: pa.Array, date: pa.Array, text: pa.Array, places: list[str], shard: str
) -> list[str]:
    ids = []
    known = zip(own.to_pylist(), url.to_pylist(), date.to_pylist(), strict=True)
    for row, (name, address, day) in enumerate(known):
        if name:
            ids.append(document_id(source, name))
        elif address:
            ids.append(document_id(source, address, day) if day else document_id(source, address))
        elif text[row].is_valid:
            ids.append(text_id(source, text[row].as_py()))
        else:  # nothing in the row tells it from another one
            ids.append(content_id(source, "row", f"{shard} {places[row]}"))
    return ids


def _strings(batch: pa.RecordBatch, name: str | None) -> pa.Array:
    """A column as strings, times in ISO 8601; nulls where it is not there or holds no single values."""
    values = _column(batch, name) if name and _type_of(batch.schema, name) is not None else None
    if values is None or pa.types.is_nested(values.type) or pa.types.is_binary(values.type):
        return pa.nulls(batch.num_rows, pa.string())
    if pa.types.is_timestamp(values.type):
        utc = values.cast(pa.timestamp("s", values.type.tz), safe=False)
        return pc.strftime(utc, "%Y-%m-%dT%H:%M:%SZ" if values.type.tz == "UTC" else "%Y-%m-%dT%H:%M:%S")
    return values.cast(pa.string())


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    if name in batch.schema.names:
        values = batch.column(name)
    else:
        first, *rest = name.split(".")
        values = pc.struct_field(batch.column(first), rest)
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _type_of(schema: pa.Schema, name: str) -> pa.DataType | None:
    """The type of a column, or of a field in a struct column; None where there is none."""
    if name in schema.names:
        return schema.field(name).type
    first, *rest = name.split(".")
    found = schema.field(first).type if first in schema.names else None
    for part in rest:
        if found is None or not pa.types.is_struct(found) or found.get_field_index(part) < 0:
            return None
        found = found.field(part).type
    return found


def _wanted(settings: ReadSettings) -> list[str]:
    columns = settings.columns
    names = (columns.text, columns.id, columns.url, columns.date, columns.title)
    return list(dict.fromkeys(name for name in names if name))


def _sliced(batch: pa.RecordBatch, settings: ReadSettings) -> Iterator[pa.RecordBatch]:
    """The batch in pieces of at most `chunk_bytes`; a larger row stands alone."""
    sizes = pc.fill_null(pc.binary_length(batch["text"]), 0).to_numpy(zero_copy_only=False)
    ends = np.cumsum(sizes + row_bytes(0))
    start = 0
    while start < batch.num_rows:
        before = int(ends[start - 1]) if start else 0
        stop = int(np.searchsorted(ends, before + settings.chunk_bytes, side="right"))
        stop = max(stop, start + 1)
        yield batch.slice(start, stop - start)
        start = stop
