"""`decontam review OUT`: pages through the contaminated documents of a run, each match in its context."""

from __future__ import annotations

import io
import itertools
import sys
from collections.abc import Iterator
from typing import IO, Any

import click
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console
from rich.text import Text

from pipeline import storage
from pipeline.errors import UserError, did_you_mean
from pipeline.report.formats import plural
from pipeline.report.hostile import one_line, plain

COLUMNS = (
    "id",
    "url",
    "benchmark",
    "item",
    "part",
    "n",
    "words",
    "documents",
    "shared_by",
    "start",
    "end",
    "before",
    "match",
    "after",
)
"""`decisions/contaminated.parquet`: one row for each match; the rows of a document follow one another.

`documents` hold the n-gram, `shared_by` item parts have it; `start` and `end` are characters of the document's
text, `before` and `after` what surrounds them.
"""

CONTEXT = 200
"""Characters shown on each side of a match."""
LONGEST_MATCH = 600
"""Characters shown of a match: its beginning and its end."""

MATCH_STYLE = "bold red"


def review(output: str, *, benchmark: str | None = None, most: int | None = None) -> None:
    """Show the contaminated documents of a run, in a pager where there is a terminal.

    Args:
        output: the run's folder.
        benchmark: only the matches of this benchmark, or of all whose keys begin with it and a slash.
        most: documents shown; all where it is None.

    Raises:
        UserError: when the folder is not the result of a run with decontamination, or the benchmark is not in it.
    """
    path = storage.join(output, "decisions", "contaminated.parquet")
    if not storage.exists(path):
        raise UserError(
            f"{path} is not there: {output} is not the result of a finished run with decontamination."
        )
    with storage.open_read(path) as stored:
        file = _parquet(stored, path)
        pages = _pages(file, _wanted(_names(file, path), benchmark), most, colour=sys.stdout.isatty())
        if sys.stdout.isatty():
            click.echo_via_pager(pages)
        else:
            for page in pages:
                click.echo(page, nl=False)


def _parquet(stored: IO[bytes], path: str) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(stored)
    except pa.ArrowInvalid as error:
        raise UserError(
            f"{path} is not a Parquet file ({error}). Run the job again with --overwrite."
        ) from error
    missing = [name for name in COLUMNS if name not in file.schema_arrow.names]
    if missing:
        raise UserError(
            f"{path} has no column {', '.join(missing)}: another version or program wrote it. "
            "Run the job again with --overwrite."
        )
    return file


def _names(file: pq.ParquetFile, path: str) -> list[str]:
    """The benchmarks that have matches, ascending."""
    try:
        names = pc.unique(file.read(columns=["benchmark"])["benchmark"]).to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} cannot be read: {error}. Run the job again with --overwrite.") from error
    return sorted(name for name in names if name is not None)


def _wanted(names: list[str], benchmark: str | None) -> list[str]:
    if benchmark is None:
        return names
    wanted = [name for name in names if name == benchmark or name.startswith(f"{benchmark}/")]
    if not wanted and names:
        raise UserError(
            f'no document of this run has a match with a benchmark "{benchmark}".{did_you_mean(benchmark, names)} '
            f"There are matches with {plural(len(names), 'benchmark')}: {plain(', '.join(names), 400)}"
        )
    return wanted


def _pages(file: pq.ParquetFile, wanted: list[str], most: int | None, *, colour: bool) -> Iterator[str]:
    """A piece of output for each document, then one that counts them."""
    buffer = io.StringIO()
    console = Console(
        file=buffer, force_terminal=colour, no_color=not colour, highlight=False, soft_wrap=True, width=140
    )
    documents = matches = 0
    for _, group in itertools.groupby(_rows(file, wanted), key=lambda row: row["id"]):
        if documents == most:
            yield f"and more: decisions/contaminated.parquet has all; {plural(documents, 'document')} shown\n"
            return
        rows = list(group)
        documents, matches = documents + 1, matches + len(rows)
        for line in _document(documents, rows):
            console.print(line)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield f"{plural(documents, 'document')} with {plural(matches, 'match', 'matches')}\n"


def _rows(file: pq.ParquetFile, wanted: list[str]) -> Iterator[dict[str, Any]]:
    names = pa.array(wanted, pa.string())
    for batch in file.iter_batches(columns=list(COLUMNS)):
        chosen = pc.is_in(batch["benchmark"].cast(pa.string()), names)
        yield from batch.filter(chosen).to_pylist()


def _document(number: int, rows: list[dict[str, Any]]) -> Iterator[Text]:
    first = rows[0]
    head = Text(f"{number:,}  {plain(first['id'] or '')}", style="bold")
    yield head.append(f"  {plain(first['url'] or '', 1000)}", style="not bold")
    for row in rows:
        yield _facts(row)
        yield Text("      ") + _in_context(row)
    yield Text()


def _facts(row: dict[str, Any]) -> Text:
    about = [f"item {plain(row['item'] or '')}", plain(row["part"] or ""), f"{row['n']}-gram"]
    if row["documents"] is not None:
        about.append(f"in {plural(int(row['documents']), 'document')}")
    if row["shared_by"] is not None and int(row["shared_by"]) > 1:
        about.append(f"shared by {plural(int(row['shared_by']), 'item part')}")
    about.append(f"characters {row['start']} to {row['end']}")
    return (
        Text("   ")
        .append(plain(row["benchmark"]), style="cyan")
        .append(f"  {', '.join(filter(None, about))}")
    )


def _in_context(row: dict[str, Any]) -> Text:
    """The match between >> and <<, with what surrounds it, on one line."""
    before, match, after = row["before"] or "", row["match"] or row["words"] or "", row["after"] or ""
    shown = Text("..." if len(before) > CONTEXT else "")
    shown.append(one_line(before[-CONTEXT:]))
    shown.append(">>").append(one_line(_shortened(match)), style=MATCH_STYLE).append("<<")
    return shown.append(one_line(after[:CONTEXT])).append("..." if len(after) > CONTEXT else "")


def _shortened(match: str) -> str:
    half = LONGEST_MATCH // 2
    return match if len(match) <= LONGEST_MATCH else f"{match[:half]} ... {match[-half:]}"
