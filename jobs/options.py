"""What the commands share: options, messages for a user's mistakes, and running a plan."""

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


def count_workers(given: int | None) -> int:
    """The number of worker processes that an option asks for; one per core where it does not."""
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
        runner=options["runner"], workers=count_workers(options["workers"]), options=tuple(extra)
    )
    ours = [name for parameter in click.get_current_context().command.params for name in parameter.opts]
    for option in unknown_options(settings):
        raise UserError(f"there is no option {option}.{did_you_mean(option, ours)} --help shows the options.")
    return settings
