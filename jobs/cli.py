"""The `corpusmill` command: one sub-command per job.

Exit codes: 0 done; 1 the run ended but its result must not be trusted (the books do not balance, too many failures);
2 wrong usage, configuration or input; 130 interrupted (run the same command again to go on).
"""

from __future__ import annotations

import os
from typing import Any

import click

from jobs.build import build_group
from jobs.crawl import crawl
from jobs.mixture import mixture
from jobs.options import PASS_THROUGH, count_workers, finish, reported, required, run_options
from jobs.pii import pii
from jobs.quality import quality
from jobs.robots import robots
from jobs.tokenizer import tokenizer


@click.group("corpusmill", context_settings={"max_content_width": 110})
@click.version_option(package_name="corpusmill")
def main() -> None:
    """Pretraining data for language models: every document accounted for."""


@main.command(context_settings=PASS_THROUGH)
@run_options
@click.option(
    "--against",
    multiple=True,
    metavar="GLOB",
    help="Shards of earlier runs (OUT/documents/*.parquet), not to be published again; may be repeated.",
)
@click.pass_context
@reported
def web(context: click.Context, **options: Any) -> None:
    """Web pages (WARC) or texts (JSONL, Parquet) to clean, deduplicated, decontaminated Parquet."""
    from jobs import web as job

    if options["print_config"]:
        with open(job.DEFAULTS, encoding="utf-8") as file:
            click.echo(file.read(), nl=False)
        return
    overrides = {"keep_measures": True} if options["keep_measures"] else {}
    config = job.configure(
        options["config"],
        options["inputs"],
        options["benchmarks"],
        options["benchmark_root"],
        options["allow_missing"],
        overrides,
        options["against"],
    )
    finish(job.plan(config, required(options["output"], "--output")), context, options)


@main.command("extract", context_settings=PASS_THROUGH)
@click.option(
    "--input", "inputs", multiple=True, metavar="GLOB", help="WARC, Parquet or JSONL files; may be repeated."
)
@click.option(
    "--html-column",
    default="html",
    show_default=True,
    metavar="NAME",
    help="Column of Parquet or JSONL that holds the pages.",
)
@click.option("--output", metavar="DIR", help="Folder of the result.")
@click.option(
    "--extractor",
    type=click.Choice(["combined", "model", "reader", "boilerpipe", "trafilatura"]),
    default="combined",
    show_default=True,
    help="What finds the body.",
)
@click.option(
    "--structure",
    type=click.Choice(["text", "markdown"]),
    default="text",
    show_default=True,
    help="Plain text, or Markdown with headings, lists, tables and code.",
)
@click.option("--comments/--no-comments", default=True, show_default=True, help="Keep readers' comments.")
@click.option("--tables/--no-tables", default=True, show_default=True, help="Keep tables.")
@click.option("--formulas/--no-formulas", default=True, show_default=True, help="Write formulas as LaTeX.")
@click.option(
    "--workers", type=click.IntRange(0), help="Worker processes (0: this process); default: one per core."
)
@click.option("--runner", default="local", show_default=True, help="local, or a Beam runner's name.")
@click.option("--overwrite", is_flag=True, help="Replace a result of another configuration.")
@click.option("--explain", is_flag=True, help="Print the resolved plan; run nothing.")
@click.pass_context
@reported
def extract(context: click.Context, **options: Any) -> None:
    """Extract the text of web pages, with title, date, author, language, licence; filter nothing."""
    from jobs import extract as job

    finish(job.plan(options, required(options["output"], "--output")), context, options)


@main.command()
@click.option(
    "--output", default="demo-out", show_default=True, metavar="DIR", help="Folder for input and result."
)
@click.option(
    "--workers", type=click.IntRange(0), help="Worker processes (0: this process); default: one per core."
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier result.")
@reported
def demo(output: str, workers: int | None, overwrite: bool) -> None:
    """Run the web job on a small sample site, and print where its report is."""
    from jobs import demo as job
    from jobs.printing import print_outcome

    print_outcome(job.run(os.path.abspath(output), count_workers(workers), overwrite=overwrite))


@main.group()
def inspect() -> None:
    """Look at what a run decided."""


@inspect.command("duplicates")
@click.argument("output", metavar="OUT")
@click.option("--most", default=10, show_default=True, type=click.IntRange(1), help="Clusters shown.")
@reported
def inspect_duplicates(output: str, most: int) -> None:
    """Show the largest clusters of duplicates of a run, with the words in which copies differ marked."""
    from jobs.inspection import show_duplicates

    show_duplicates(output, most)


@inspect.command("page")
@click.argument("target", metavar="FILE_OR_URL")
@click.option(
    "--input", "inputs", multiple=True, metavar="GLOB", help="WARC files that hold the URL; may be repeated."
)
@click.option(
    "--output",
    default="page.html",
    show_default=True,
    metavar="FILE",
    help="The page to write, for a browser.",
)
@reported
def inspect_page(target: str, inputs: tuple[str, ...], output: str) -> None:
    """Show which blocks of a web page were kept as its text, and why."""
    from pipeline.extraction import inspect as inspection

    click.echo(inspection.inspect_page(target, os.path.abspath(output), inputs=inputs))


for command in (crawl, robots, tokenizer, mixture, quality, pii, build_group):
    main.add_command(command)

if __name__ == "__main__":
    main()
