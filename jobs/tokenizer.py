"""`corpusmill tokenizer`: train a tokenizer on a whole corpus, encode with it, and see how it does.

corpusmill tokenizer train --input 'documents/*.parquet' --vocab-size 49k --output tokenizer-out
corpusmill tokenizer encode --tokenizer tokenizer-out --input 'documents/*.parquet' --output tokens-out
corpusmill tokenizer report --tokenizer tokenizer-out --input 'documents/*.parquet' --output report.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from jobs.options import PASS_THROUGH, reported, required, runner_settings
from pipeline.config import absolute, merged, read_yaml, validate
from pipeline.errors import UserError, did_you_mean
from tokenizer.settings import PRESETS

if TYPE_CHECKING:
    from pipeline.tokenizing import TrainConfig, Trained, TrainPlan

ONLY_SOURCE: Final = "text"
"""The source that `--input` stands for."""


def parse_source(given: str, text_column: str) -> tuple[str, dict[str, Any]]:
    """`NAME=GLOB` or `NAME=GLOB:WEIGHT` as a source's name and settings.

    Raises:
        UserError: when it is of another form.
    """
    name, equals, rest = given.partition("=")
    path, colon, weight = rest.rpartition(":")
    settings: dict[str, Any] = {"text_column": text_column}
    if colon and _is_number(weight):
        settings["weight"] = float(weight)
    else:
        path = rest
    if not equals or not name or not path:
        raise UserError(
            f"--source {given}: write NAME=GLOB or NAME=GLOB:WEIGHT, such as code='code/*.parquet:2'."
        )
    return name, {**settings, "input": [absolute(path)]}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def parse_sources(
    inputs: Sequence[str], sources: Sequence[str], text_column: str
) -> dict[str, dict[str, Any]]:
    """The sources that `--input` and `--source` name; a name given twice has both inputs.

    Raises:
        UserError: for a malformed source, or one given twice with two weights.
    """
    found: dict[str, dict[str, Any]] = {}
    if inputs:
        found[ONLY_SOURCE] = {"input": [absolute(path) for path in inputs], "text_column": text_column}
    for given in sources:
        name, settings = parse_source(given, text_column)
        before = found.setdefault(name, {**settings, "input": []})
        if before.get("weight") != settings.get("weight"):
            raise UserError(f"--source {name} is given twice, with different weights.")
        before["input"] = [*before["input"], *settings["input"]]
    return found


def parse_size(given: str) -> int:
    """A vocabulary size: a number, or the name of a preset.

    Raises:
        UserError: when it is neither.
    """
    if given in PRESETS:
        return PRESETS[given]
    number = given.replace(",", "").replace("_", "")
    if not number.isdigit():
        known = ", ".join(f"{name} ({size:,})" for name, size in PRESETS.items())
        raise UserError(
            f"--vocab-size {given}: give a number, or one of {known}.{did_you_mean(given, PRESETS)}"
        )
    return int(number)


def configure(options: dict[str, Any]) -> TrainConfig:
    """The configuration: the user's YAML, the command's options over it.

    Raises:
        UserError: for settings that do not exist or cannot be.
    """
    from pipeline.tokenizing import TrainConfig  # imports Beam, which takes seconds

    content = read_yaml(options["config"]) if options["config"] else {}
    overrides: dict[str, Any] = {}
    sources = parse_sources(options["inputs"], options["sources"], options["text_column"])
    if sources:
        overrides["sources"] = sources
    elif not content.get("sources"):
        raise UserError(
            "no input: give --input FILES or --source NAME=FILES, or name sources in the configuration."
        )
    settings = dict(content.get("tokenizer") or {})
    if options["vocab_size"]:
        settings["vocab_size"] = parse_size(options["vocab_size"])
    if options["allow_smaller"]:
        settings["allow_smaller"] = True
    if settings:
        overrides["tokenizer"] = settings
    if options["max_words"]:
        overrides["max_words"] = options["max_words"]
    return validate(TrainConfig, merged(content, overrides), options["config"] or "options")


def shared_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that all three commands have."""
    for option in reversed(
        [
            click.option(
                "--input",
                "inputs",
                multiple=True,
                metavar="GLOB",
                help="Parquet or JSONL files; may be repeated.",
            ),
            click.option(
                "--text-column", default="text", show_default=True, help="Column that holds the text."
            ),
        ]
    ):
        function = option(function)
    return function


def run_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of commands that run on Beam."""
    for option in reversed(
        [
            click.option("--output", metavar="DIR", help="Folder of the result."),
            click.option(
                "--workers",
                type=click.IntRange(0),
                help="Worker processes (0: this process); default: one per core.",
            ),
            click.option(
                "--runner", default="local", show_default=True, help="local, or a Beam runner's name."
            ),
            click.option("--overwrite", is_flag=True, help="Replace a result of another configuration."),
        ]
    ):
        function = option(function)
    return function


@click.group()
def tokenizer() -> None:
    """Train a tokenizer on the whole corpus, encode with it, report on it."""


@tokenizer.command(context_settings=PASS_THROUGH)
@shared_options
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="NAME=GLOB[:WEIGHT]",
    help="A source whose words count WEIGHT times; may be repeated.",
)
@click.option(
    "--config", metavar="FILE", help="YAML of all settings (docs/tokenizer.md); options go over it."
)
@click.option("--vocab-size", metavar="N", help="Pieces: a number, 32k, 49k or 100k. Default: 49k (49,152).")
@click.option("--max-words", type=click.IntRange(1), help="Different words trained on. Default: 5,000,000.")
@click.option(
    "--allow-smaller", is_flag=True, help="Take a smaller vocabulary where the text gives no larger."
)
@run_options
@click.option("--explain", is_flag=True, help="Print what would be read; run nothing.")
@click.pass_context
@reported
def train(context: click.Context, **options: Any) -> None:
    """Count the words of all inputs and train a SentencePiece BPE model on them."""
    from pipeline.tokenizing import plan_training, train_tokenizer

    plan = plan_training(configure(options), absolute(required(options["output"], "--output")))
    settings = runner_settings(options, context.args)
    if options["explain"]:
        explain(plan)
        return
    print_trained(train_tokenizer(plan, settings, overwrite=options["overwrite"]))


def explain(plan: TrainPlan) -> None:
    """What a plan would read and make."""
    config = plan.config
    for name, source in config.sources.items():
        mine = [item for item in plan.inputs if item["source"] == name]
        size = sum(item["bytes"] for item in mine) / 1e6
        click.echo(f"{name:<16} weight {source.weight:<8g} {len(mine):,} files, {size:,.1f} MB")
    click.echo(
        f"{len(plan.splits):,} tasks; vocabulary of {config.tokenizer.vocab_size:,} from at most "
        f"{config.max_words:,} different words\noutput {plan.output}"
    )


def print_trained(outcome: Trained) -> None:
    """The books of a training, and where the result is."""
    manifest = outcome.manifest
    if outcome.was_complete:
        click.echo(f"{outcome.output} is complete already; nothing was done.")
    for name, source in manifest["sources"].items():
        failed = sum(source["failed"].values())
        click.echo(
            f"{name:<16} weight {source['weight']:<8g} {source['documents']:,} documents, "
            f"{source['text_bytes'] / 1e6:,.1f} MB, {source['words']:,} words; {failed:,} records failed"
        )
    words = manifest["words"]
    whole = words["occurrences"] + words["occurrences_left_out"]
    share = words["occurrences_left_out"] / whole if whole else 0
    click.echo(
        f"\n{manifest['vocab_size']:,} pieces from {words['distinct']:,} different words; left out: "
        f"{words['distinct_left_out']:,} words, {share:.2%} of all occurrences"
    )
    if outcome.costs:
        click.echo(f"{sum(cost.cpu_seconds for cost in outcome.costs):,.1f} s of processor time")
    click.echo(f"tokenizer: {outcome.output}")


@tokenizer.command(context_settings=PASS_THROUGH)
@click.option("--tokenizer", "path", metavar="DIR", help="Folder of a tokenizer, or a .model file.")
@shared_options
@click.option(
    "--source", "sources", multiple=True, metavar="NAME=GLOB", help="Files counted apart; may be repeated."
)
@click.option("--id-column", default="id", show_default=True, help="Column that holds the documents' ids.")
@click.option(
    "--encoder",
    type=click.Choice(["auto", "words", "kitoken", "sentencepiece"]),
    default="auto",
    show_default=True,
    help="What encodes; the tokens are the same.",
)
@run_options
@click.pass_context
@reported
def encode(context: click.Context, **options: Any) -> None:
    """Encode texts to Parquet: id, tokens, n."""
    from pipeline.encoding import encode_files

    path = absolute(required(options["path"], "--tokenizer"))
    sources = parse_sources(options["inputs"], options["sources"], options["text_column"])
    if not sources:
        raise UserError("no input: give --input FILES or --source NAME=FILES.")
    made = encode_files(
        path,
        {name: source["input"] for name, source in sources.items()},
        absolute(required(options["output"], "--output")),
        runner_settings(options, context.args),
        text_column=options["text_column"],
        id_column=options["id_column"],
        encoder=options["encoder"],
        overwrite=options["overwrite"],
    )
    if made.was_complete:
        click.echo(f"{made.output} is complete already; nothing was done.")
    for name, source in made.manifest["sources"].items():
        rate = source["text_bytes"] / source["tokens"] if source["tokens"] else 0
        failed = sum(source["failed"].values())
        click.echo(
            f"{name:<16} {source['documents']:,} documents, {source['tokens']:,} tokens, "
            f"{rate:.3f} bytes per token; {failed:,} records failed"
        )
    click.echo(f"tokens: {made.output}/tokens")


@tokenizer.command()
@click.option("--tokenizer", "path", metavar="DIR", help="Folder of a tokenizer, or a .model file.")
@shared_options
@click.option(
    "--source", "sources", multiple=True, metavar="NAME=GLOB", help="Files shown apart; may be repeated."
)
@click.option(
    "--language-column", default="language", show_default=True, help="Shown apart where it is there."
)
@click.option(
    "--against",
    multiple=True,
    metavar="FILE",
    help="Another vocabulary: a tokenizer's folder, .model or tokenizer.json; may be repeated.",
)
@click.option(
    "--sample",
    type=click.FloatRange(0.1),
    default=50,
    show_default=True,
    help="Megabytes of text read of each source, spread over its files.",
)
@click.option("--output", metavar="FILE", help="The page, such as report.html.")
@reported
def report(**options: Any) -> None:
    """Write a page: bytes per token by source and language, other vocabularies, unused and longest pieces."""
    from pipeline.tokenizer_report import make_report, write_page

    sources = parse_sources(options["inputs"], options["sources"], options["text_column"])
    if not sources:
        raise UserError("no input: give --input FILES or --source NAME=FILES.")
    output = absolute(required(options["output"], "--output"))
    found = make_report(
        absolute(required(options["path"], "--tokenizer")),
        {name: source["input"] for name, source in sources.items()},
        against=[absolute(path) for path in options["against"]],
        text_column=options["text_column"],
        language_column=options["language_column"],
        sample_bytes=int(options["sample"] * 1e6),
    )
    write_page(found, output)
    for row in found.rows:
        rates = ", ".join(f"{name} {rate:.3f}" for name, rate in row.bytes_per_token.items())
        click.echo(f"{row.label:<24} {row.text_bytes / 1e6:>8,.1f} MB  bytes per token: {rates}")
    click.echo(f"report: {output}")
