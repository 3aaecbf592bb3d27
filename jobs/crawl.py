"""`corpusmill crawl`: pages that their publishers allow to be used, as WARC files for `corpusmill web`."""

from __future__ import annotations

import importlib.resources
from collections.abc import Sequence
from typing import Any

import click

from jobs.options import PASS_THROUGH, reported, required
from pipeline import storage
from pipeline.config import absolute, read_yaml, validate
from pipeline.errors import UserError

DEFAULTS = str(importlib.resources.files("jobs") / "crawl.yaml")


def configure(config_path: str | None, overrides: dict[str, Any] | None = None) -> Any:
    """The crawl's settings: the packaged YAML, the user's over it (section by section), the command's options over both.

    Raises:
        UserError: for settings that do not exist or cannot be.
    """
    from pipeline.crawl.config import CrawlSettings

    content = read_yaml(DEFAULTS)
    for layer in (read_yaml(config_path) if config_path else {}, overrides or {}):
        for name, value in layer.items():
            both = isinstance(value, dict) and isinstance(content.get(name), dict)
            content[name] = {**content[name], **value} if both else value
    return validate(CrawlSettings, content, config_path or "configuration")


def read_seeds(urls: Sequence[str], files: Sequence[str]) -> list[str]:
    """Seeds in normal form, each once: URLs, and files with one on each line (`#` begins a comment).

    Raises:
        UserError: for a file that cannot be read, or a line that is no URL.
    """
    from pipeline.crawl.urls import UrlError, parse_url

    lines = [(url, "command line") for url in urls]
    for path in files:
        try:
            text = storage.read_bytes(path).decode("utf-8", "replace")
        except OSError as error:
            raise UserError(f"--seeds {path}: {error.strerror or error}") from error
        for number, line in enumerate(text.splitlines(), start=1):
            entry = line.strip()
            if entry and not entry.startswith("#"):
                lines.append((entry, f"{path}, line {number}"))
    seeds: dict[str, None] = {}
    for entry, where in lines:
        try:
            seeds[parse_url(entry).text] = None
        except UrlError as error:
            raise UserError(
                f'{where}: "{entry[:200]}" is no URL that can be crawled ({error.reason}). Give it as https://host/path.'
            ) from error
    return list(seeds)


@click.command(context_settings=PASS_THROUGH)
@click.argument("urls", nargs=-1, metavar="[URL]...")
@click.option(
    "--seeds",
    "seed_files",
    multiple=True,
    metavar="FILE",
    help="File of seeds, one on each line; may be repeated.",
)
@click.option(
    "--contact", metavar="ADDRESS", help="E-mail address or page where site owners reach you; required."
)
@click.option("--output", metavar="DIR", help="Folder of the result; run again, the crawl goes on.")
@click.option("--config", metavar="FILE", help="YAML over the crawl's own; see --print-config.")
@click.option("--rounds", type=click.IntRange(1), help="Rounds at most.")
@click.option("--max-pages", type=click.IntRange(1), help="Begin no round after so many pages.")
@click.option("--delay", type=click.FloatRange(0), help="Seconds between requests to a host.")
@click.option(
    "--allow-private", is_flag=True, help="Connect to private and loopback addresses too; for tests."
)
@click.option(
    "--workers", type=click.IntRange(0), help="Worker processes (0: this process); default: one per shard."
)
@click.option("--runner", default="local", show_default=True, help="local, or a Beam runner's name.")
@click.option(
    "--again",
    is_flag=True,
    help="Visit the pages of a finished crawl once more; unchanged ones leave revisit records.",
)
@click.option("--overwrite", is_flag=True, help="Replace a crawl of other seeds or settings.")
@click.option("--print-config", is_flag=True, help="Print the crawl's own YAML, to be copied and changed.")
@click.pass_context
def crawl(context: click.Context, /, **options: Any) -> None:
    """Crawl from seeds, as far as robots.txt and opt-outs allow, into WARC files."""
    reported(run)(context, options)


def run(context: click.Context, options: dict[str, Any]) -> None:
    """Crawl, and print the books.

    Raises:
        UserError: as `pipeline.crawl.crawl.crawl`.
    """
    from jobs.options import runner_settings
    from pipeline.crawl.crawl import crawl as do_crawl

    if options["print_config"]:
        with open(DEFAULTS, encoding="utf-8") as file:
            click.echo(file.read(), nl=False)
        return
    settings = configure(options["config"], _overrides(options))
    if options["workers"] is None:
        options["workers"] = settings.shards
    output = absolute(required(options["output"], "--output"))
    seeds = read_seeds(options["urls"], options["seed_files"])
    books = do_crawl(
        settings,
        seeds,
        output,
        runner_settings(options, context.args),
        overwrite=options["overwrite"],
        again=options["again"],
    )
    print_books(books, output)


def _overrides(options: dict[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if options["contact"] is not None:
        given["contact"] = options["contact"]
    if options["allow_private"]:
        given["allow_private"] = True
    if options["delay"] is not None:
        given["politeness"] = {"delay": options["delay"]}
    budget = {"max_rounds": options["rounds"], "max_pages": options["max_pages"]}
    budget = {name: value for name, value in budget.items() if value is not None}
    return {**given, **({"budget": budget} if budget else {})}


def print_books(books: Any, output: str) -> None:
    """The books, the reasons, and where to look."""
    click.echo(
        f"{books.discovered:,} URLs discovered = {books.fetched:,} fetched + {books.disallowed:,} disallowed + "
        f"{books.failed:,} failed + {books.skipped:,} skipped + {books.waiting:,} in the frontier; "
        f"{books.rounds} rounds, {books.requests:,} requests"
    )
    for reason, count in sorted(books.reasons.items(), key=lambda pair: (-pair[1], pair[0])):
        click.echo(f"  {count:>10,}  {reason}")
    why = {
        "done": "",
        "rounds": "The crawl ended at its last round; --rounds N goes on.",
        "pages": "The crawl has its pages; --max-pages N goes on.",
        "waiting": "What is left has to wait; the same command goes on.",
    }
    if why.get(books.stopped):
        click.echo(why[books.stopped])
    click.echo(f"next: corpusmill web --input '{output}/warc/*.warc.gz' --output OUT")
