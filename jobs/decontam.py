"""The `decontam` command: remove the documents of any corpus that hold a benchmark's n-grams, and nothing else.

It is the web job without the other filters: the same sources, ledger, books, resume and report.
"""

from __future__ import annotations

from typing import Any

import click

from jobs.cli import PASS_THROUGH, finish, reported, required
from pipeline.config import JobConfig, absolute, validate
from pipeline.errors import UserError
from pipeline.run import plan_run


def configure(options: dict[str, Any]) -> JobConfig:
    """The configuration that the command's options stand for.

    Raises:
        UserError: for a missing or impossible option.
    """
    if not options["inputs"]:
        raise UserError("--input is missing; --help shows the options.")
    threshold = options["threshold"]
    if threshold != "auto" and not threshold.isdigit():
        raise UserError(f"--threshold {threshold}: give a number of documents, or auto.")
    settings = {
        "benchmarks": absolute(required(options["benchmarks"], "--benchmarks")),
        "benchmark_root": absolute(options["benchmark_root"]) if options["benchmark_root"] else None,
        "threshold": "auto" if threshold == "auto" else int(threshold),
        "skip": list(options["skip"]),
        "allow_missing": options["allow_missing"],
    }
    content = {
        "sources": {
            "input": {
                "input": [absolute(path) for path in options["inputs"]],
                "columns": {"text": options["text_column"]},
            }
        },
        "language": None,
        "safety": None,
        "pii": None,
        "lines": None,
        "quality": False,
        "dedup": None,
        "decontamination": settings,
    }
    return validate(JobConfig, content, "decontam")


@click.command(context_settings=PASS_THROUGH)
@click.option("--benchmarks", metavar="FILE", help="Registry of benchmarks (YAML).")
@click.option(
    "--benchmark-root", metavar="DIR", help="Folder of the benchmark files; default: the registry's own."
)
@click.option(
    "--input", "inputs", multiple=True, metavar="GLOB", help="Parquet, JSONL or WARC files; may be repeated."
)
@click.option("--text-column", default="text", show_default=True, help="Column that holds the text.")
@click.option("--output", metavar="DIR", help="Folder of the result.")
@click.option(
    "--threshold",
    default="1000",
    show_default=True,
    help="Documents that make an n-gram common usage, or auto.",
)
@click.option("--skip", multiple=True, metavar="KEY", help="Leave a benchmark out; may be repeated.")
@click.option(
    "--allow-missing", is_flag=True, help="Go on without benchmarks that have no file; the report lists them."
)
@click.option(
    "--workers", type=click.IntRange(0), help="Worker processes (0: this process); default: one per core."
)
@click.option("--runner", default="local", show_default=True, help="local, or a Beam runner's name.")
@click.option("--overwrite", is_flag=True, help="Replace a result of another configuration.")
@click.option("--explain", is_flag=True, help="Print the resolved plan; run nothing.")
@click.pass_context
@reported
def main(context: click.Context, **options: Any) -> None:
    """Remove documents that hold n-grams of evaluation benchmarks."""
    plan = plan_run("decontam", configure(options), absolute(required(options["output"], "--output")))
    finish(plan, context, options)


if __name__ == "__main__":
    main()
