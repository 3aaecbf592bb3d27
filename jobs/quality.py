"""`corpusmill quality`: train a quality model, score and compare with it, label a sample by a chat model, train an n-gram model."""

from __future__ import annotations

import importlib.resources
import os
import shutil
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from jobs.options import reported, required
from pipeline.config import absolute, validate
from pipeline.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.quality.comparing import Case, Comparison
    from pipeline.quality.training import Labelled

KEY_VARIABLE = "CORPUSMILL_API_KEY"

PROMPTS = {"yes-no": "yes_no.txt", "0-5": "score.txt"}
"""The packaged prompts."""

TEXT = click.option(
    "--text-column", default="text", show_default=True, help="Column or field that holds the text."
)
INPUT = click.option(
    "--input", "inputs", multiple=True, metavar="GLOB", help="Parquet or JSONL files; may be repeated."
)


@click.group("quality", context_settings={"max_content_width": 110})
def quality() -> None:
    """Quality by model: train, score, compare, and label by a chat model."""


@quality.command()
@click.option(
    "--good",
    multiple=True,
    metavar="GLOB",
    help="Good documents; NAME=GLOB names their source. May be repeated.",
)
@click.option("--bad", multiple=True, metavar="GLOB", help="Bad documents, likewise.")
@click.option(
    "--labels", metavar="FILE", help="labels.parquet of `quality label`, instead of --good and --bad."
)
@click.option(
    "--good-from",
    type=float,
    help="Score of --labels from which a document is good; default: 0.5, and 3 for 0-5.",
)
@click.option("--output", metavar="DIR", help="Folder of the model.")
@click.option(
    "--notes", metavar="FILE", help="Markdown for the model's card: what the data are, what it is for."
)
@click.option("--word-ngrams", type=click.IntRange(1, 5), help="Default: 2.")
@click.option("--dimensions", type=click.IntRange(1), help="Default: 48.")
@click.option("--epochs", type=click.IntRange(1), help="Default: 5.")
@click.option("--learning-rate", type=float, help="Default: 0.5.")
@click.option("--calibration", type=click.Choice(["platt", "isotonic"]), help="Default: platt.")
@click.option("--full", is_flag=True, help="Do not compress the model (.bin instead of .ftz).")
@click.option("--seed", type=int, help="Default: 1.")
@TEXT
@reported
def train(**options: Any) -> None:
    """Train a calibrated fastText classifier of good and bad documents, and write its card."""
    from pipeline.quality.card import number
    from pipeline.quality.training import CARD, TrainingSettings
    from pipeline.quality.training import train as fit

    output = absolute(required(options["output"], "--output"))
    names = ("word_ngrams", "dimensions", "epochs", "learning_rate", "calibration", "seed")
    given = {name: options[name] for name in names if options[name] is not None}
    settings = validate(TrainingSettings, given | {"quantize": not options["full"]}, "quality train")
    facts = fit(
        _labelled(options), output, settings, _read(options["notes"], "--notes") if options["notes"] else ""
    )
    test, used = facts["test"], facts["documents"]
    click.echo(
        f"{used['training']:,} documents to train, {used['calibration']:,} to calibrate, {used['test']:,} to test"
    )
    shown = (("F1", "f1"), ("precision", "precision"), ("recall", "recall"), ("AUC", "auc"))
    click.echo(", ".join(f"{name} {number(test[key])}" for name, key in shown))
    for name, row in facts["by_source"].items():
        click.echo(
            f"  {name:<30} {row['documents']:>8,}  AUC {number(row['auc'])}  called good {row['called_good']:.0%}"
        )
    click.echo(f"{output}: the model and its card, {CARD}")


def _labelled(options: dict[str, Any]) -> Labelled:
    from pipeline.quality.training import together

    if options["labels"]:
        if options["good"] or options["bad"]:
            raise UserError("give --labels, or --good and --bad, not both.")
        good, bad = _distilled(absolute(options["labels"]), options["good_from"])
        return together([("labels", good)], [("labels", bad)])
    for side in ("good", "bad"):
        required(options[side], f"--{side}")
    return together(*(_groups(options[side], options["text_column"]) for side in ("good", "bad")))


def _groups(inputs: tuple[str, ...], text_column: str) -> list[tuple[str, pa.Table]]:
    """The documents of `NAME=GLOB` or `GLOB`, by name."""
    from pipeline.quality.corpus import Corpus, described

    groups = []
    for given in inputs:
        name, equals, rest = given.partition("=")
        named = bool(equals) and "/" not in name and not os.path.exists(given)
        corpus = Corpus(name if named else os.path.basename(given), [rest if named else given], text_column)
        table = corpus.table()
        if corpus.failed:
            click.echo(f"{given}:{described(corpus.failed)}", err=True)
        groups.append((corpus.name, table))
    return groups


def _distilled(path: str, good_from: float | None) -> tuple[pa.Table, pa.Table]:
    from pipeline.quality.labelling import labels_form, read_labels

    if good_from is None:
        # FineWeb-Edu keeps 3 and more.
        good_from = 3.0 if labels_form(path) == "0-5" else 0.5
    return read_labels(path, good_from)


@quality.command()
@click.option(
    "--model",
    default="default",
    show_default=True,
    metavar="PATH",
    help="A model's folder, or a .bin or .ftz file.",
)
@click.option("--label", metavar="LABEL", help="The good label of a .bin or .ftz file, such as __label__hq.")
@INPUT
@click.option("--output", metavar="DIR", help="Folder of the scores: one Parquet file for each input.")
@TEXT
@reported
def score(**options: Any) -> None:
    """Score documents: id, URL, record and the model's columns; run again, it goes on where it was."""
    from pipeline.quality.corpus import Corpus
    from pipeline.quality.scoring import open_scorer, score_corpus

    required(options["inputs"], "--input")
    output = absolute(required(options["output"], "--output"))
    scorer = open_scorer(_model(options["model"]), options["label"])
    corpus = Corpus("input", options["inputs"], options["text_column"])
    lost = 0
    for path, rows, failed in score_corpus(corpus, scorer, output):
        lost += failed
        said = (
            "is there already"
            if rows < 0
            else f"{rows:,} documents" + (f", {failed:,} not read" if failed else "")
        )
        click.echo(f"{path}: {said}")
    if lost:
        raise UserError(
            f"{lost:,} records could not be read; the column `error` of the scores says why.", exit_code=1
        )


@quality.command("train-lm")
@INPUT
@click.option(
    "--reference",
    multiple=True,
    metavar="GLOB",
    help="Documents whose thirds are head, middle and tail; default: 1 in 20 of --input, which then are not trained on.",
)
@click.option("--output", metavar="DIR", help="Folder of the model.")
@click.option("--order", type=click.IntRange(1, 6), help="Longest n-grams; default: 3.")
@click.option("--min-words", type=click.IntRange(1), help="Occurrences of a known word; default: 2.")
@click.option(
    "--min-ngrams",
    type=click.IntRange(1),
    help="Occurrences of an n-gram of three words and more; default: 2.",
)
@TEXT
@reported
def train_lm(**options: Any) -> None:
    """Train a word n-gram model (modified Kneser-Ney) for perplexity."""
    from pipeline.quality.corpus import Corpus, described
    from pipeline.quality.language_model import LanguageModelTraining, train_and_write

    required(options["inputs"], "--input")
    output = absolute(required(options["output"], "--output"))
    given = {
        name: options[name] for name in ("order", "min_words", "min_ngrams") if options[name] is not None
    }
    settings = validate(LanguageModelTraining, given, "quality train-lm")
    corpus = Corpus("input", options["inputs"], options["text_column"])
    reference = (
        Corpus("reference", options["reference"], options["text_column"]) if options["reference"] else None
    )
    about = train_and_write(corpus, reference, output, settings)
    for read in filter(None, (corpus, reference)):
        if read.failed:
            click.echo(f"{read.name}:{described(read.failed)}", err=True)
    facts, judged = about.facts, about.facts["reference"]
    click.echo(f"{facts['tokens']:,} tokens, {facts['vocabulary']:,} words, {facts['entries']:,} n-grams")
    click.echo(
        f"reference: {judged['documents']:,} documents, perplexity {judged['perplexity']:.1f}; "
        f"head to {about.head:.1f}, tail from {about.tail:.1f}"
    )
    click.echo(output)


@quality.command()
@INPUT
@click.option(
    "--endpoint", metavar="URL", help="Of an OpenAI-compatible server, up to /v1: http://localhost:8000/v1."
)
@click.option("--model", metavar="NAME", help="The model, as the server calls it.")
@click.option(
    "--form", type=click.Choice(["yes-no", "0-5"]), default="yes-no", show_default=True, help="What is asked."
)
@click.option(
    "--prompt", metavar="FILE", help="The question, with {text} where the text goes; default: a packaged one."
)
@click.option("--sample", default=1000, show_default=True, type=click.IntRange(1), help="Documents to label.")
@click.option("--seed", default=1, show_default=True, help="Another seed draws another sample.")
@click.option(
    "--characters", type=click.IntRange(1), help="Beginning of a document that is shown; default: 3000."
)
@click.option("--max-tokens", type=click.IntRange(1), help="Longest answer; default: 200.")
@click.option("--temperature", type=float, help="Default: 0.")
@click.option(
    "--probabilities", is_flag=True, help="Ask for token probabilities, so that yes or no has degrees."
)
@click.option("--at-once", type=click.IntRange(1), help="Requests at the same time; default: 8.")
@click.option("--per-minute", type=float, help="Requests begun in a minute at most.")
@click.option("--attempts", type=click.IntRange(1), help="Requests for one document at most; default: 5.")
@click.option("--timeout", type=float, help="Seconds to wait for an answer; default: 120.")
@click.option(
    "--backoff",
    type=float,
    help="Seconds before the second attempt, doubled for each further one; default: 1.",
)
@click.option(
    "--key-variable",
    default=KEY_VARIABLE,
    show_default=True,
    metavar="NAME",
    help="Environment variable with the key.",
)
@click.option("--output", metavar="DIR", help="Local folder: labels.parquet, failed.jsonl, answers.sqlite.")
@TEXT
@reported
def label(**options: Any) -> None:
    """Label a sample by a chat model; run again, it asks only what has no answer yet."""
    from pipeline.quality.chat import ChatSettings
    from pipeline.quality.corpus import Corpus, described
    from pipeline.quality.labelling import label as ask
    from pipeline.quality.labelling import sample

    required(options["inputs"], "--input")
    output = absolute(required(options["output"], "--output"))
    content = {
        "endpoint": required(options["endpoint"], "--endpoint"),
        "model": required(options["model"], "--model"),
    }
    content |= {"form": options["form"], "prompt": _prompt(options["prompt"], options["form"])}
    names = (
        "characters",
        "max_tokens",
        "temperature",
        "at_once",
        "per_minute",
        "attempts",
        "timeout",
        "backoff",
    )
    given = {name: options[name] for name in names if options[name] is not None}
    settings = validate(
        ChatSettings, content | given | {"probabilities": options["probabilities"]}, "quality label"
    )
    corpus = Corpus("input", options["inputs"], options["text_column"])
    documents = sample(corpus, options["sample"], options["seed"])
    if corpus.failed:
        click.echo(f"input:{described(corpus.failed)}", err=True)
    if not documents:
        raise UserError("label: the inputs hold no documents with text.")
    done = ask(documents, output, settings, os.environ.get(options["key_variable"]) or None, _progress())
    click.echo(
        f"{done.documents:,} documents: {done.asked:,} questions asked, {done.cached:,} answered before"
    )
    click.echo(
        "scores: " + (", ".join(f"{name}: {count:,}" for name, count in done.scores.items()) or "none")
    )
    if done.failed:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in done.failed.items())
        raise UserError(
            f"without an answer: {reasons} (failed.jsonl). The same command asks about them again.",
            exit_code=1,
        )
    click.echo(f"{output}/labels.parquet: for `corpusmill quality train --labels`")


def _prompt(path: str | None, form: str) -> str:
    if path:
        return _read(path, "--prompt")
    return (importlib.resources.files("pipeline.quality") / "prompts" / PROMPTS[form]).read_text(
        encoding="utf-8"
    )


def _read(path: str, option: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{option} {path}: cannot be read ({error}).") from error


def _progress() -> Callable[[int, int], None]:
    """Shows on a terminal how far it is; elsewhere nothing."""
    if not sys.stderr.isatty():
        return lambda _done, _of: None
    return lambda done, of: click.echo(
        f"\r{done:,} of {of:,}" + ("\n" if done == of else ""), nl=False, err=True
    )


@quality.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@INPUT
@click.option("--label-a", metavar="LABEL", help="The good label, if A is a .bin or .ftz file.")
@click.option("--label-b", metavar="LABEL", help="The good label, if B is one.")
@click.option(
    "--most", default=10, show_default=True, type=click.IntRange(1), help="Documents shown on each side."
)
@click.option("--output", metavar="FILE", help="An HTML page to write.")
@TEXT
@reported
def compare(a: str, b: str, **options: Any) -> None:
    """Show where two scorers disagree most. A and B are models (as for `score`), or Parquet files of scores."""
    from pipeline.quality.comparing import compare as measure
    from pipeline.quality.comparing import write_page
    from pipeline.quality.corpus import Corpus

    required(options["inputs"], "--input")
    corpus = Corpus("input", options["inputs"], options["text_column"])
    found = measure(corpus, _scores(a, options["label_a"]), _scores(b, options["label_b"]), options["most"])
    _show(found, a, b)
    if options["output"]:
        write_page(absolute(options["output"]), found, a, b)
        click.echo(f"\n{options['output']}")


def _scores(path: str, label: str | None) -> Callable[[pa.RecordBatch], Any]:
    import numpy as np

    from pipeline.quality.scoring import open_scorer, stored_scores

    if not path.endswith(".parquet"):
        return open_scorer(_model(path), label).score
    by_id = stored_scores(absolute(path))
    return lambda docs: np.array([by_id.get(name, np.nan) for name in docs["id"].to_pylist()])


def _model(path: str) -> str:
    from pipeline.quality.scoring import PACKAGED

    return path if path == PACKAGED else absolute(path).rstrip("/")


def _show(found: Comparison, a: str, b: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(
        highlight=False, width=None if sys.stdout.isatty() else max(140, shutil.get_terminal_size().columns)
    )
    console.print(f"A {a}\nB {b}", markup=False)
    console.print(
        f"{found.documents:,} documents with both scores, {found.unscored:,} without; rank correlation {found.correlation:.3f}"
    )
    console.print(
        ", ".join(f"top {share:.0%}: {part:.0%} shared" for share, part in found.overlap.items()),
        markup=False,
    )
    table = Table("A ranks higher", "B ranks higher", show_lines=True, expand=True)
    for at in range(max(len(found.a_likes), len(found.b_likes))):
        table.add_row(
            *(_cell(side[at]) if at < len(side) else Text("") for side in (found.a_likes, found.b_likes))
        )
    console.print(table)


def _cell(case: Case) -> Any:
    from rich.text import Text

    from pipeline.report.hostile import plain

    head = f"A {case.rank_a:.0%} ({case.score_a:.4g})  B {case.rank_b:.0%} ({case.score_b:.4g})\n{plain(case.url or case.id)}\n"
    return Text(head + plain(case.text, 300))
