"""Reads a benchmark file into rows: Parquet, JSONL, CSV or TSV; plain, or with .gz, .zst, .bz2 or .xz."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

import fsspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import zstandard

COMPRESSIONS = (".gz", ".zst", ".bz2", ".xz")
FORMATS = tuple(
    name + compression
    for name in (".parquet", ".jsonl", ".csv", ".tsv")
    for compression in ("", *COMPRESSIONS)
)
"""The endings a benchmark file may have, in the order in which they are looked for."""

LARGEST_STORED = 4 << 30
"""Bytes of a benchmark file, which is held in memory while it is read. Of the 811, the largest (natural_questions, whose
Parquet carries whole web pages) is meant to fit; a file beyond this is a corpus, not a benchmark."""

LARGEST_CONTENT = 2 << 30
"""Bytes after decompression (of Parquet: of the columns that are read). The texts of a benchmark are megabytes, rarely
hundreds of them; a small file that unfolds to more is a decompression bomb or a mistake, and would take the memory of
the machine. Rows, which may be nearly empty, have the same bound divided by 16."""

_FEED = 4096  # bytes given to zstd at a time: a block of 4 bytes may unfold to 128 KB, so at most 128 MB come back

READ_ERRORS = (OSError, EOFError, ValueError, lzma.LZMAError, zstandard.ZstdError, pa.ArrowException)
"""What reading a damaged or missing file may raise."""


@dataclass(frozen=True)
class Rows:
    """The rows of a file, and the names of all its columns (of Parquet, only some columns are read)."""

    rows: list[dict[str, Any]]
    names: tuple[str, ...]


def read_stored(path: str) -> bytes:
    """The bytes of a file as stored.

    Raises:
        OSError: when the file cannot be read.
        ImportError: when the protocol of the path needs a package that is not installed.
        ValueError: when it is larger than `LARGEST_STORED`.
    """
    with fsspec.open(path, "rb") as file:
        stored: bytes = file.read(LARGEST_STORED + 1)
    if len(stored) > LARGEST_STORED:
        raise ValueError(f"it is larger than {LARGEST_STORED >> 30} GiB, the most that a benchmark may be")
    return stored


def read_rows(path: str, stored: bytes, columns: Sequence[str]) -> Rows:
    """The rows in the bytes of a file, whose format the path's ending says.

    Args:
        path: the file's name; only its ending counts.
        stored: its bytes.
        columns: what will be looked up in the rows. Parquet is not read beyond them.

    Raises:
        ValueError, or another of `READ_ERRORS`: when the bytes are not what the name says, are cut off, or unfold to
            more than `LARGEST_CONTENT`.
    """
    name = path
    for ending in COMPRESSIONS:
        name = name.removesuffix(ending)
    if not name.endswith((".parquet", ".jsonl", ".csv", ".tsv")):
        raise ValueError(
            "the name says no known format: .parquet, .jsonl, .csv or .tsv, plain or with "
            + ", ".join(COMPRESSIONS)
        )
    content = _decompress(path, stored)
    if name.endswith(".parquet"):
        return _parquet_rows(content, columns)
    if len(content) > LARGEST_CONTENT:
        raise ValueError(_TOO_MUCH)
    if name.endswith(".jsonl"):
        rows = list(_json_lines(content))
        return Rows(rows, tuple(sorted({name for row in rows for name in row})))
    return _table_rows(content, tabs=name.endswith(".tsv"))


_TOO_MUCH = f"it unfolds to more than {LARGEST_CONTENT >> 30} GiB, the most that is read of a benchmark"


# ---- compression


def _decompress(path: str, stored: bytes) -> bytes:
    if path.endswith(".zst"):
        return _unzstd(stored)
    opened: dict[str, Callable[[IO[bytes]], Any]] = {
        ".gz": lambda file: gzip.GzipFile(fileobj=file),
        ".bz2": bz2.BZ2File,
        ".xz": lzma.LZMAFile,
    }
    for ending, open_ in opened.items():
        if path.endswith(ending):
            with open_(io.BytesIO(stored)) as file:
                content: bytes = file.read(LARGEST_CONTENT + 1)
            if len(content) > LARGEST_CONTENT:
                raise ValueError(_TOO_MUCH)
            return content
    return stored


def _unzstd(stored: bytes) -> bytes:
    """The content of every frame. The library's stream reader takes a frame that is cut off for the end."""
    parts: list[bytes] = []
    size = 0
    rest = memoryview(stored)
    while rest:
        frame = zstandard.ZstdDecompressor().decompressobj()
        while rest and not frame.eof:
            parts.append(frame.decompress(bytes(rest[:_FEED])))
            rest = rest[_FEED:]
            size += len(parts[-1])
            if size > LARGEST_CONTENT:
                raise ValueError(_TOO_MUCH)
        if not frame.eof:
            raise EOFError("the file is cut off: its last zstd frame has no end")
        if frame.unused_data:
            rest = memoryview(stored)[len(stored) - len(rest) - len(frame.unused_data) :]
    return b"".join(parts)


# ---- formats


def _parquet_rows(content: bytes, columns: Sequence[str]) -> Rows:
    file = pa.parquet.ParquetFile(io.BytesIO(content))
    names: list[str] = file.schema_arrow.names
    if len(set(names)) < len(names):
        raise ValueError("two of its columns have the same name")
    if set(names) == {"id", "text", "fields"}:
        wanted = names
    else:
        heads = {"id", "fields", *columns, *(column.partition(".")[0] for column in columns)}
        wanted = [name for name in names if name in heads]
    paths = [path for name in wanted for path in _leaves(file.schema_arrow.field(name), columns)]
    _check_size(file.metadata, paths)
    table = file.read(columns=paths, use_threads=False)
    rows = (
        table.to_pylist(maps_as_pydicts="strict") if wanted else [{} for _ in range(file.metadata.num_rows)]
    )
    return Rows(rows, tuple(names))


def _leaves(field: pa.Field, columns: Sequence[str]) -> list[str]:
    """What to read of a column: all of it, or of a struct only what is looked up (a book's summary, not the book)."""
    inside = [
        column.removeprefix(f"{field.name}.") for column in columns if column.startswith(f"{field.name}.")
    ]
    if not pa.types.is_struct(field.type) or not inside or field.name in columns:
        return [field.name]
    known = {child.name: child for child in field.type}
    found = dict.fromkeys(
        head for column in inside for head in (column, column.partition(".")[0]) if head in known
    )
    paths = [f"{field.name}.{path}" for name in found for path in _leaves(known[name], inside)]
    return paths or [field.name]


def _check_size(metadata: Any, paths: Sequence[str]) -> None:
    size = 0
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            column = metadata.row_group(group).column(number)
            if any(
                column.path_in_schema == path or column.path_in_schema.startswith(f"{path}.")
                for path in paths
            ):
                size += column.total_uncompressed_size
    if size > LARGEST_CONTENT or metadata.num_rows > LARGEST_CONTENT >> 4:
        raise ValueError(_TOO_MUCH)


def _json_lines(content: bytes) -> Iterator[dict[str, Any]]:
    # Split on \n only: benchmark texts hold U+2028 and U+0085, at which str.splitlines would cut them.
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"line {number} is not valid JSON: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is not a JSON object")
        yield row


def _table_rows(content: bytes, tabs: bool) -> Rows:
    """CSV with quotes; TSV without, as its definition has it (a quote in it is a character like any other)."""
    lines = io.StringIO(content.decode("utf-8-sig"), newline="")
    header = lines.readline().rstrip("\r\n").split("\t") if tabs else next(csv.reader(lines), [])
    if len(set(header)) < len(header):
        raise ValueError("two of its columns have the same name")
    table = pa.csv.read_csv(
        io.BytesIO(content),
        # One block: a field may be longer than the default block, and hold newlines.
        read_options=pa.csv.ReadOptions(block_size=len(content) + 1, use_threads=False),
        parse_options=pa.csv.ParseOptions(
            delimiter="\t" if tabs else ",",
            quote_char=False if tabs else '"',
            newlines_in_values=not tabs,
        ),
        convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string())),
    )
    return Rows(table.to_pylist(), tuple(header))
