"""`decontam fetch`: the progress and the summary of a download, for a person."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from decontam.errors import BenchmarkError
from decontam.fetch import Fetched, fetch
from decontam.registry import resolve
from decontam.settings import DecontaminationSettings
from pipeline.errors import UserError


def fetch_benchmarks(benchmarks: str, folder: str, only: Sequence[str]) -> None:
    """Download what a registry names and say what became of it.

    Raises:
        UserError: for a wrong registry or folder; with exit code 1 when benchmarks could not be downloaded.
    """
    settings = DecontaminationSettings(benchmarks=resolve(benchmarks))
    try:
        summary = fetch(settings, folder, only=only, progress=_show if sys.stderr.isatty() else None)
    except BenchmarkError as error:
        raise UserError(str(error)) from error
    counts = ", ".join(f"{count:,} {state}" for state, count in sorted(summary.counts.items()))
    click.echo(f"{len(summary.results):,} benchmarks: {counts}; {folder}")
    if summary.failed:
        lines = "\n".join(f"  {failed.key}: {failed.message}" for failed in summary.failed)
        raise UserError(
            f"{len(summary.failed):,} benchmarks could not be downloaded:\n{lines}\n"
            "The same command tries these again; the others are there.",
            1,
        )


def _show(done: int, total: int, fetched: Fetched) -> None:
    click.echo(f"{done:,} of {total:,}  {fetched.state:<10} {fetched.key}", err=True)
