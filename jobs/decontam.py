"""The `decontam` command: remove from any corpus what holds a benchmark's n-grams, and nothing else.

It is the web job without the other filters: the same sources, ledger, books, resume and report. Without the name of a
sub-command it runs that job; the others fetch benchmarks, build an index, count n-grams, and page through matches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from jobs.options import PASS_THROUGH, finish, reported, required, runner_settings
from pipeline.config import JobConfig, absolute, validate
from pipeline.errors import UserError
from pipeline.run import count_usage, open_benchmarks, plan_run

Command = Callable[..., Any]

RUN = "run"


class _WithDefault(click.Group):
    """A group that runs a job where no sub-command is named: `decontam --benchmarks ...` is `decontam run ...`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "--version"):
            args = [RUN, *args]
        return super().parse_args(ctx, args)


def configure(options: dict[str, Any]) -> JobConfig:
    """The configuration that the command's options stand for.

    Raises:
        UserError: for a missing or impossible option.
    """
    if not options["inputs"]:
        raise UserError("--input is missing; --help shows the options.")
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
        "decontamination": benchmark_settings(options),
    }
    return validate(JobConfig, content, "decontam")


def benchmark_settings(options: dict[str, Any]) -> dict[str, Any]:
    """The `decontamination` settings that options stand for; what was not given keeps its default."""
    from decontam.registry import resolve

    given: dict[str, Any] = {
        "benchmarks": absolute(resolve(required(options["benchmarks"], "--benchmarks"))),
        "skip": list(options["skip"]),
        "allow_missing": options["allow_missing"],
    }
    for name in ("benchmark_root", "usage"):
        if options.get(name):
            given[name] = absolute(options[name])
    if options.get("parts"):
        given["parts"] = [part.strip() for part in options["parts"].split(",")]
    for name in ("rule", "unit", "force"):
        if options.get(name) is not None:
            given[name] = options[name]
    if options.get("threshold") is not None:
        given["threshold"] = _threshold(options["threshold"])
    return given


def _threshold(text: str) -> int | str:
    if text == "auto":
        return text
    if not text.isdigit():
        raise UserError(f"--threshold {text}: give a number of documents, or auto.")
    return int(text)


def _options(*options: Any) -> Callable[[Command], Command]:
    def add(function: Command) -> Command:
        for option in reversed(options):
            function = option(function)
        return function

    return add


BENCHMARKS = _options(
    click.option(
        "--benchmarks",
        metavar="FILE",
        help="Registry of benchmarks (YAML; 811.yaml is packaged), or an index made by `decontam index`.",
    ),
    click.option(
        "--benchmark-root", metavar="DIR", help="Folder of the benchmark files; default: the registry's own."
    ),
    click.option(
        "--parts",
        metavar="LIST",
        help="Parts of an item that are matched: prompt,choices,answer,passage; default: prompt.",
    ),
    click.option("--skip", multiple=True, metavar="KEY", help="Leave a benchmark out; may be repeated."),
    click.option(
        "--allow-missing",
        is_flag=True,
        help="Go on without benchmarks that have no file; the report lists them.",
    ),
)
CORPUS = _options(
    click.option(
        "--input",
        "inputs",
        multiple=True,
        metavar="GLOB",
        help="Parquet, JSONL or WARC files; may be repeated.",
    ),
    click.option("--text-column", default="text", show_default=True, help="Column that holds the text."),
)
RUNNING = _options(
    click.option(
        "--workers", type=click.IntRange(0), help="Worker processes (0: this process); default: one per core."
    ),
    click.option("--runner", default="local", show_default=True, help="local, or a Beam runner's name."),
)


@click.group("decontam", cls=_WithDefault, context_settings={"max_content_width": 110})
@click.version_option(package_name="corpusmill")
def main() -> None:
    """Remove documents that hold n-grams of evaluation benchmarks.

    Without a command: `decontam --benchmarks 811.yaml --benchmark-root DIR --input GLOB --output OUT` runs the
    job (`decontam run --help` shows its options).
    """


@main.command(RUN, context_settings=PASS_THROUGH)
@BENCHMARKS
@CORPUS
@click.option("--output", metavar="DIR", help="Folder of the result.")
@click.option(
    "--rule",
    type=click.Choice(["item", "any"]),
    help="One n for each item (default), or every n from 4 to 13.",
)
@click.option(
    "--threshold",
    default="1000",
    show_default=True,
    help="Documents that make an n-gram common usage, or auto.",
)
@click.option(
    "--usage", metavar="FILE", help="Counts of a bigger corpus (`decontam usage`), added to this one's."
)
@click.option(
    "--unit",
    type=click.Choice(["document", "section", "span", "none"]),
    help="What is removed; default: document; none only reports.",
)
@click.option("--force", is_flag=True, help="Apply --rule any to a corpus that is too small for it.")
@RUNNING
@click.option("--overwrite", is_flag=True, help="Replace a result of another configuration.")
@click.option("--explain", is_flag=True, help="Print the resolved plan; run nothing.")
@click.pass_context
@reported
def run(context: click.Context, **options: Any) -> None:
    """Remove what holds benchmark n-grams from a corpus (the command's default)."""
    plan = plan_run("decontam", configure(options), absolute(required(options["output"], "--output")))
    finish(plan, context, options)


@main.command()
@BENCHMARKS
@click.option("--output", metavar="FILE", help="The index to write; its name ends in .arrow.")
@reported
def index(**options: Any) -> None:
    """Build the n-gram index once, for many runs: give it to them as --benchmarks."""
    from decontam.settings import DecontaminationSettings
    from jobs.printing import print_index
    from pipeline import storage
    from pipeline.contamination import INDEX_ENDING

    target = absolute(required(options["output"], "--output"))
    if not target.endswith(INDEX_ENDING):
        raise UserError(f"--output {options['output']}: the name of an index ends in {INDEX_ENDING}.")
    settings = validate(DecontaminationSettings, benchmark_settings(options), "decontam index")
    made = open_benchmarks(settings)
    assert made is not None  # noqa: S101 - benchmarks are required
    with storage.write_atomically(target) as file:
        made.write(file)
    print_index(made, target)


@main.command(context_settings=PASS_THROUGH)
@BENCHMARKS
@CORPUS
@click.option("--output", metavar="FILE", help="The usage table to write (Parquet).")
@RUNNING
@click.pass_context
@reported
def usage(context: click.Context, **options: Any) -> None:
    """Count in how many documents of a corpus each benchmark n-gram occurs, for --usage of later runs."""
    target = absolute(required(options["output"], "--output"))
    plan = plan_run("usage", configure(options), f"{target}.work")
    found = count_usage(plan, target, runner_settings(options, context.args))
    click.echo(f"{found:,} n-grams found; {target}")


@main.command()
@click.option("--benchmarks", metavar="FILE", help="Registry of benchmarks (YAML; 811.yaml is packaged).")
@click.option("--output", metavar="DIR", help="Folder for the files: the --benchmark-root of later runs.")
@click.option("--only", multiple=True, metavar="KEY", help="Fetch this benchmark only; may be repeated.")
@reported
def fetch(**options: Any) -> None:
    """Download the benchmarks that a registry names, with checksums; run again, it goes on where it was."""
    from jobs.fetching import fetch_benchmarks

    fetch_benchmarks(
        required(options["benchmarks"], "--benchmarks"),
        absolute(required(options["output"], "--output")),
        options["only"],
    )


@main.command()
@click.argument("output", metavar="OUT")
@click.option("--benchmark", metavar="KEY", help="Only the matches of this benchmark.")
@click.option("--most", type=click.IntRange(1), help="Documents shown; default: all.")
@reported
def review(output: str, benchmark: str | None, most: int | None) -> None:
    """Page through the contaminated documents of a run, with the matched words in context."""
    from jobs.review import review as show

    show(output, benchmark=benchmark, most=most)


if __name__ == "__main__":
    main()
