"""The `corpusmill` command: one sub-command per job.

Exit codes: 0 done; 1 the run ended but its result must not be trusted (the books do not balance, too many failures);
2 wrong usage, configuration or input; 130 interrupted (run the same command again to go on).
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

import click

from pipeline.errors import UserError, did_you_mean

PASS_THROUGH = {"ignore_unknown_options": True, "allow_extra_args": True, "max_content_width": 110}


def reported(function: Callable[..., Any]) -> Callable[..., Any]:
    """Print a user's mistake as a message, without a traceback, and exit with its code."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except UserError as error:
            click.echo(f"{_program()}: {error}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo(f"{_program()}: interrupted; the same command goes on where it was.", err=True)
            sys.exit(130)

    return wrapped


def _program() -> str:
    """The name of the program that the user has called."""
    return click.get_current_context().find_root().command.name or "corpusmill"


def run_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that every job shares."""
    for option in reversed(
        [
            click.option(
                "--input", "inputs", multiple=True, metavar="GLOB", help="Input files; may be repeated."
            ),
            click.option("--output", metavar="DIR", help="Folder of the result."),
            click.option("--config", metavar="FILE", help="YAML over the job's own; see --print-config."),
            click.option(
                "--benchmarks", metavar="FILE", help="Registry of the benchmarks to decontaminate against."
            ),
            click.option("--benchmark-root", metavar="DIR", help="Folder of the benchmark files."),
            click.option(
                "--allow-missing",
                is_flag=True,
                help="Go on without benchmarks that have no file; the report lists them.",
            ),
            click.option(
                "--workers",
                type=click.IntRange(0),
                help="Worker processes (0: this process); default: one per core.",
            ),
            click.option(
                "--runner", default="local", show_default=True, help="local, or a Beam runner's name."
            ),
            click.option("--overwrite", is_flag=True, help="Replace a result of another configuration."),
            click.option(
                "--keep-measures",
                is_flag=True,
                help="Measure all documents fully and keep the harvest, so that other rules take seconds.",
            ),
            click.option("--explain", is_flag=True, help="Print the resolved plan; run nothing."),
            click.option(
                "--print-config", is_flag=True, help="Print the job's own YAML, to be copied and changed."
            ),
        ]
    ):
        function = option(function)
    return function


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

    print_outcome(job.run(os.path.abspath(output), _workers(workers), overwrite=overwrite))


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


def _workers(given: int | None) -> int:
    return given if given is not None else os.cpu_count() or 1


def required(value: str | None, name: str) -> str:
    """The value of an option that must be given.

    Raises:
        UserError: when it was not.
    """
    if not value:
        raise UserError(f"{name} is missing; --help shows the options.")
    return value


def finish(plan: Any, context: click.Context, options: dict[str, Any]) -> None:
    """Explain or execute a plan, and print what came of it."""
    from jobs.printing import print_outcome, print_plan
    from pipeline.run import execute

    settings = runner_settings(options, context.args)
    if options["explain"]:
        print_plan(plan, settings)
        return
    print_outcome(execute(plan, settings, overwrite=options["overwrite"]))


def runner_settings(options: dict[str, Any], extra: list[str]) -> Any:
    """Where the job runs; options that this command does not know must be Beam's.

    Raises:
        UserError: for an option that Beam does not know either.
    """
    from pipeline.engine import RunnerSettings, unknown_options

    settings = RunnerSettings(
        runner=options["runner"], workers=_workers(options["workers"]), options=tuple(extra)
    )
    ours = [name for parameter in click.get_current_context().command.params for name in parameter.opts]
    for option in unknown_options(settings):
        raise UserError(f"there is no option {option}.{did_you_mean(option, ours)} --help shows the options.")
    return settings


def _add_commands() -> None:
    """The commands that live in modules of their own; these import this one for its options."""
    from jobs.robots import robots
    from jobs.tokenizer import tokenizer

    for command in (robots, tokenizer):
        main.add_command(command)


_add_commands()

if __name__ == "__main__":
    main()
