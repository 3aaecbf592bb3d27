"""`corpusmill inspect`: what a run decided, in the terminal."""

from __future__ import annotations

import difflib
import itertools

import pyarrow.parquet as pq
from rich.console import Console
from rich.text import Text

from pipeline import storage
from pipeline.errors import UserError

CONTEXT = 6
"""Equal words shown at each side of a difference."""

MEMBERS = 3
"""Copies shown per cluster."""


def show_duplicates(output: str, most: int, console: Console | None = None) -> None:
    """Print the largest clusters: what survives, and how each copy differs from it.

    Raises:
        UserError: when the folder is not the result of a run that looked for duplicates.
    """
    path = storage.join(output, "decisions", "clusters.parquet")
    if not storage.exists(path):
        raise UserError(
            f"{path} is not there: {output} is not the result of a finished run with deduplication."
        )
    console = console or Console(highlight=False, soft_wrap=True)
    with storage.open_read(path) as file:
        rows = pq.read_table(file).to_pylist()
    if not rows:
        console.print("No duplicates were found.")
    for _, group in itertools.islice(itertools.groupby(rows, key=lambda row: row["cluster"]), most):
        members = list(group)
        first = members[0]
        console.print(Text(f"{first['size']:,} documents", style="bold"))
        kept = f"in {first['surviving_run']}" if first["surviving_run"] else first["surviving_url"] or ""
        console.print(Text(f"  kept  {first['surviving_id']}  {kept}"))
        for member in members[:MEMBERS]:
            similarity = "" if member["similarity"] is None else f"  similarity {member['similarity']:.2f}"
            console.print(Text(f"  {member['kind']}  {member['id']}  {member['url'] or ''}{similarity}"))
            if member["surviving_run"]:
                continue  # the text of an earlier run's document is not here
            console.print(Text("    ") + difference(member["surviving_text"], member["text"]))
        if len(members) > MEMBERS:
            console.print(
                Text(f"  and more: decisions/duplicates.parquet has all {first['size'] - 1:,} copies")
            )
        console.print()


def difference(kept: str, copy: str) -> Text:
    """The words in which a copy differs from what is kept: `-removed-` and `+added+`, with their surroundings."""
    before, after = kept.split(), copy.split()
    shown = Text()
    matcher = difflib.SequenceMatcher(a=before, b=after, autojunk=False)
    for kind, start, stop, first, last in matcher.get_opcodes():
        if kind == "equal":
            shown.append(_shortened(before[start:stop]) + " ")
            continue
        if stop > start:
            shown.append(f"-{' '.join(before[start:stop])}- ", style="red")
        if last > first:
            shown.append(f"+{' '.join(after[first:last])}+ ", style="green")
    return shown


def _shortened(words: list[str]) -> str:
    if len(words) <= 2 * CONTEXT + 1:
        return " ".join(words)
    return f"{' '.join(words[:CONTEXT])} ... {' '.join(words[-CONTEXT:])}"
