"""The `corpusmill mixture` commands: plan, build and verify a mixture of token sequences, and export it.

    corpusmill mixture plan   --config mixture.yaml     what there is, what is asked, how often documents are seen
    corpusmill mixture build  --config mixture.yaml     the sequences
    corpusmill mixture verify --output DIR              the proof
    corpusmill mixture tune   --config mixture.yaml     other weights, tried with small models

The recipe's stages are presets: `--preset core`, `continued` or `context`.
"""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click
import yaml
from rich.console import Console
from rich.table import Table

from jobs.options import PASS_THROUGH, reported, required, runner_settings
from pipeline.config import absolute, merged, read_yaml, validate
from pipeline.errors import UserError, did_you_mean
from pipeline.mixture.plan import MixturePlan
from pipeline.mixture.settings import MixtureSettings, parse_count

if TYPE_CHECKING:
    from pipeline.mixture.tune_model import Tuned, TuneSettings

F = TypeVar("F", bound=Callable[..., Any])

PRESETS = ("core", "continued", "context")
DEFAULT_OUTPUT = "mixture-out"


def preset_path(name: str) -> str:
    """The packaged YAML of a preset.

    Raises:
        UserError: when there is none of this name.
    """
    if name not in PRESETS:
        raise UserError(
            f"--preset {name}: there is no such preset (known: {', '.join(PRESETS)}).{did_you_mean(name, PRESETS)}"
        )
    return str(importlib.resources.files("jobs") / "mixtures" / f"{name}.yaml")


def configure(
    config: str | None,
    preset: str | None = None,
    inputs: Sequence[str] = (),
    tokenizer: str | None = None,
    tokens: str | None = None,
    without: Sequence[str] = (),
) -> MixtureSettings:
    """The settings of a mixture: the preset, the user's YAML over it, the command's options over both.

    Args:
        config: the user's file.
        preset: the name of a packaged one.
        inputs: `NAME=GLOB`, the files of a component of the preset or file.
        tokenizer: folder or model file.
        tokens: size of the mixture.
        without: components to leave out.

    Raises:
        UserError: for settings that do not exist or cannot be.
    """
    if config is None and preset is None:
        raise UserError("--config FILE or --preset NAME is missing; --help shows the options.")
    content = read_yaml(preset_path(preset)) if preset is not None else {}
    if config is not None:
        content = merged(content, read_yaml(config))
    if tokenizer is not None:
        content["tokenizer"] = tokenizer
    if tokens is not None:
        content["tokens"] = tokens
    if content.get("tokenizer"):
        content["tokenizer"] = absolute(str(content["tokenizer"]))
    _leave_out(content, without)
    _set_inputs(content, inputs)
    return validate(MixtureSettings, content, config or f"preset {preset}")


def _leave_out(content: dict[str, Any], without: Sequence[str]) -> None:
    components = content.get("components")
    known = list(map(str, components)) if isinstance(components, Mapping) else []
    for name in without:
        if name not in known:
            raise UserError(f"--without {name}: there is no such component.{did_you_mean(name, known)}")
    if without:
        content["components"] = {name: each for name, each in components.items() if name not in without}  # type: ignore[union-attr]


def _set_inputs(content: dict[str, Any], inputs: Sequence[str]) -> None:
    """Put the inputs of the command line into their components, and make local paths absolute."""
    components = content.get("components")
    if not isinstance(components, Mapping):
        return  # the model says what is wrong with it
    given: dict[str, list[str]] = {}
    for each in inputs:
        name, equals, path = each.partition("=")
        if not equals or not path:
            raise UserError(f"--input {each}: write NAME=GLOB, with the name of a component.")
        if name not in components:
            raise UserError(
                f"--input {each}: there is no component {name!r}.{did_you_mean(name, map(str, components))}"
            )
        given.setdefault(name, []).append(path)
    found: dict[str, Any] = {}
    for name, component in components.items():
        if not isinstance(component, Mapping):
            found[name] = component
            continue
        paths: Any = given.get(name, component.get("input", []))
        paths = [paths] if isinstance(paths, str) else paths
        is_list = isinstance(paths, list) and all(isinstance(path, str) for path in paths)
        found[name] = {**component, "input": [absolute(path) for path in paths] if is_list else paths}
    content["components"] = found


def mixture_options(function: F) -> F:
    """The options of `plan` and `build`."""
    for option in reversed(
        [
            click.option("--config", metavar="FILE", help="YAML of the mixture; see docs/mixture.md."),
            click.option("--preset", metavar="NAME", help="A stage of the recipe: core, continued, context."),
            click.option(
                "--input",
                "inputs",
                multiple=True,
                metavar="NAME=GLOB",
                help="Files of a component; may be repeated.",
            ),
            click.option(
                "--without", multiple=True, metavar="NAME", help="Leave a component out; may be repeated."
            ),
            click.option("--tokenizer", metavar="DIR", help="Folder or model file of the tokenizer."),
            click.option("--tokens", metavar="N", help="Size of the mixture: 6.3T, 100B, 1e9."),
            click.option(
                "--token-files",
                metavar="DIR",
                help="Folder of encoded documents, which mixtures can share; default: the output's work/.",
            ),
            click.option(
                "--print-config", is_flag=True, help="Print the preset's YAML, to be copied and changed."
            ),
        ]
    ):
        function = option(function)
    return function


def where_options(output: str | None = DEFAULT_OUTPUT) -> Callable[[F], F]:
    """Where a command works: output (with a default, or to be given), workers, runner."""

    def decorate(function: F) -> F:
        for option in reversed(
            [
                click.option(
                    "--output",
                    default=output,
                    show_default=output is not None,
                    metavar="DIR",
                    help="Folder of the mixture." if output is not None else "Folder of the result.",
                ),
                click.option(
                    "--workers",
                    type=click.IntRange(0),
                    help="Worker processes (0: this process); default: one per core.",
                ),
                click.option(
                    "--runner", default="local", show_default=True, help="local, or a Beam runner's name."
                ),
            ]
        ):
            function = option(function)
        return function

    return decorate


@click.group()
def mixture() -> None:
    """Mix published documents into token sequences for training, in exact shares."""


@mixture.command(context_settings=PASS_THROUGH)
@mixture_options
@where_options()
@click.pass_context
@reported
def plan(context: click.Context, **options: Any) -> None:
    """Show what each component has and gives; writes plan.json and builds nothing."""
    if _printed(options):
        return
    from pipeline.mixture.build import plan_mixture

    made = plan_mixture(
        _configured(options),
        absolute(options["output"]),
        runner_settings(options, context.args),
        tokens=_token_files(options),
    )
    print_plan(made)


@mixture.command(context_settings=PASS_THROUGH)
@mixture_options
@where_options()
@click.option("--overwrite", is_flag=True, help="Replace a mixture of other settings.")
@click.pass_context
@reported
def build(context: click.Context, **options: Any) -> None:
    """Build the sequences, or go on with an interrupted build."""
    if _printed(options):
        return
    from pipeline.mixture.build import build_mixture

    outcome = build_mixture(
        _configured(options),
        absolute(options["output"]),
        runner_settings(options, context.args),
        tokens=_token_files(options),
        overwrite=options["overwrite"],
    )
    if outcome.was_complete:
        click.echo(f"{outcome.output} is complete already; nothing was done.")
    print_built(outcome.manifest)


@mixture.command(context_settings=PASS_THROUGH)
@click.option("--config", metavar="FILE", help="Check also that the mixture was built from these settings.")
@click.option("--without-inputs", is_flag=True, help="Leave out the checks that read the inputs.")
@where_options()
@click.pass_context
@reported
def verify(context: click.Context, **options: Any) -> None:
    """Prove a built mixture from its files and the ids of its inputs; exit code 1 when something is wrong."""
    from pipeline.mixture.verify import verify_mixture

    found = verify_mixture(
        absolute(options["output"]),
        runner_settings(options, context.args),
        settings=configure(options["config"]) if options["config"] else None,
        with_inputs=not options["without_inputs"],
    )
    inputs = f"{found.inputs:,} documents of the inputs" if found.inputs else "not the inputs"
    click.echo(
        f"looked at {found.shards:,} shards, {found.sequences:,} sequences, {found.documents:,} appearances of "
        f"documents, {inputs}"
    )
    if found.findings:
        raise UserError(_listed(found.findings), exit_code=1)
    click.echo("nothing is wrong")


@mixture.command(context_settings=PASS_THROUGH)
@click.option("--to", metavar="DIR", help="Folder of the exported files.")
@click.option(
    "--format", "form", type=click.Choice(["megatron", "olmo", "mds"]), required=True, help="What to write."
)
@where_options()
@click.pass_context
@reported
def export(context: click.Context, **options: Any) -> None:
    """Write a built mixture for Megatron-Core (.bin/.idx), OLMo-core (.npy) or MosaicML Streaming (.mds)."""
    from pipeline.mixture.export import export_mixture

    about = export_mixture(
        absolute(options["output"]),
        absolute(required(options["to"], "--to")),
        options["form"],
        runner_settings(options, context.args),
    )
    click.echo(f"{about['sequences']:,} sequences in {len(about['files']):,} files: {options['to']}")


@mixture.command(context_settings=PASS_THROUGH)
@click.option(
    "--input", "inputs", multiple=True, metavar="GLOB", help="Documents (Parquet); may be repeated."
)
@click.option("--tokenizer", metavar="DIR", help="Folder or model file of the tokenizer.")
@click.option(
    "--length", default=32768, show_default=True, help="Tokens of a text with its questions, at most."
)
@click.option("--questions", "count", default=6, show_default=True, help="Questions of a text.")
@click.option("--seed", default=0, show_default=True, help="Another seed joins and asks otherwise.")
@click.option("--check", is_flag=True, help="Check what was made against its sources; make nothing.")
@where_options(output=None)
@click.pass_context
@reported
def questions(context: click.Context, **options: Any) -> None:
    """Join documents to long ones with questions about facts in them: a component of the context stage."""
    from pipeline.mixture.long_context import LongContextSettings, check_questions, make_questions

    if not options["inputs"]:
        raise UserError("--input is missing; --help shows the options.")
    content = {
        "tokenizer": absolute(required(options["tokenizer"], "--tokenizer")),
        "input": [absolute(path) for path in options["inputs"]],
        "length": options["length"],
        "questions": options["count"],
        "seed": options["seed"],
    }
    settings = validate(LongContextSettings, content, "questions")
    output = absolute(required(options["output"], "--output"))
    if options["check"]:
        findings = check_questions(output, settings)
        if findings:
            raise UserError(_listed(findings), exit_code=1)
        click.echo("nothing is wrong")
        return
    made = make_questions(settings, output, runner_settings(options, context.args))
    click.echo(
        f"{sum(each.texts for each in made):,} texts, {sum(each.items for each in made):,} questions, "
        f"{sum(each.tokens for each in made):,} tokens; {sum(each.used for each in made):,} of "
        f"{sum(each.read for each in made):,} documents used: {output}/documents"
    )


@mixture.command(context_settings=PASS_THROUGH)
@click.option("--config", metavar="FILE", help="YAML of the mixture; see docs/mixture.md.")
@click.option("--preset", metavar="NAME", help="A stage of the recipe: core, continued, context.")
@click.option(
    "--input", "inputs", multiple=True, metavar="NAME=GLOB", help="Files of a component; may be repeated."
)
@click.option("--without", multiple=True, metavar="NAME", help="Leave a component out; may be repeated.")
@click.option("--tokenizer", metavar="DIR", help="Folder or model file of the tokenizer.")
@click.option("--token-files", metavar="DIR", help="Folder of encoded documents, which mixtures can share.")
@click.option(
    "--held-out", multiple=True, metavar="NAME=GLOB", help="Documents whose loss counts; repeatable."
)
@click.option(
    "--importance", multiple=True, metavar="NAME=N", help="Weight of a held-out set in the mean; default: 1."
)
@click.option("--candidates", metavar="FILE", help="YAML: a list of {component: weight}.")
@click.option("--search", type=click.IntRange(0), default=0, metavar="N", help="Draw N sets of weights.")
@click.option(
    "--bounds", multiple=True, metavar="NAME=LOW:HIGH", help="Least and greatest share of a component."
)
@click.option("--tokens", metavar="N", help="Tokens that a proxy is trained on; default: 2M.")
@click.option(
    "--held-out-tokens", metavar="N", default="200k", show_default=True, help="Tokens measured of each set."
)
@click.option(
    "--order", type=click.IntRange(1, 6), default=3, show_default=True, help="Tokens of the proxy's n-grams."
)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Optima of the fits to be measured.",
)
@click.option("--command", "line", metavar="CMD", help="Your own proxy, instead of the n-gram model.")
@click.option(
    "--command-timeout", type=float, default=3600, show_default=True, help="Seconds for a candidate."
)
@where_options(output=None)
@click.pass_context
@reported
def tune(context: click.Context, **options: Any) -> None:
    """Try other weights with small models, fit their losses, propose the best."""
    from pipeline.mixture.tune import tune_mixture

    settings = configure(
        options["config"],
        options["preset"],
        options["inputs"],
        options["tokenizer"],
        None,
        options["without"],
    )
    result = tune_mixture(
        settings,
        tune_settings(options),
        absolute(required(options["output"], "--output")),
        runner_settings(options, context.args),
        tokens=_token_files(options),
    )
    print_tuned(result)
    click.echo(f"{options['output']}: tune.json, tune.html, mixture.yaml")


def tune_settings(options: Mapping[str, Any]) -> TuneSettings:
    """The settings of `tune` from its options.

    Raises:
        UserError: for options that cannot be understood.
    """
    from pipeline.mixture.tune_model import TuneSettings

    held_out: dict[str, list[str]] = {}
    for name, value in _pairs(options["held_out"], "--held-out", "NAME=GLOB"):
        held_out.setdefault(name, []).append(absolute(value))
    if not held_out:
        raise UserError("--held-out NAME=GLOB is missing: the documents whose loss counts.")
    content: dict[str, Any] = {
        "held_out": held_out,
        "importance": dict(_pairs(options["importance"], "--importance", "NAME=N")),
        "bounds": {
            name: value.split(":") for name, value in _pairs(options["bounds"], "--bounds", "NAME=LOW:HIGH")
        },
        "search": options["search"],
        "tokens": _count("--tokens", options["tokens"]),
        "held_out_tokens": _count("--held-out-tokens", options["held_out_tokens"]),
        "order": options["order"],
        "rounds": options["rounds"],
        "candidates": read_candidates(options["candidates"]) if options["candidates"] else [],
    }
    if options["line"]:
        content["command"] = {"line": options["line"], "timeout": options["command_timeout"]}
    return validate(TuneSettings, content, "tune")


def read_candidates(path: str) -> list[Any]:
    """The sets of weights of a YAML file.

    Raises:
        UserError: when it is not there, or no list.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = yaml.safe_load(file)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"--candidates {path}: {error}") from error
    if not isinstance(content, list) or not content:
        raise UserError(f"--candidates {path}: write a list of weights, such as `- {{web: 0.7, math: 0.3}}`.")
    return content


def _pairs(given: Sequence[str], option: str, form: str) -> list[tuple[str, str]]:
    found = [each.partition("=") for each in given]
    for whole, (name, _, value) in zip(given, found, strict=True):
        if not name or not value:
            raise UserError(f"{option} {whole}: write {form}.")
    return [(name, value) for name, _, value in found]


def _count(option: str, given: str | None) -> Any:
    try:
        return parse_count(given)
    except ValueError as error:
        raise UserError(f"{option}: {error}") from error


MOST_FINDINGS = 30


def _listed(findings: Sequence[str]) -> str:
    more = len(findings) - MOST_FINDINGS
    lines = [*findings[:MOST_FINDINGS], *([f"and {more:,} more"] if more > 0 else [])]
    return f"it is not sound, {len(findings):,} findings:\n" + "\n".join(f"  {line}" for line in lines)


def _configured(options: Mapping[str, Any]) -> MixtureSettings:
    return configure(
        options["config"],
        options["preset"],
        options["inputs"],
        options["tokenizer"],
        options["tokens"],
        options["without"],
    )


def _printed(options: Mapping[str, Any]) -> bool:
    """Print a preset where that is asked for."""
    if not options["print_config"]:
        return False
    with open(preset_path(required(options["preset"], "--preset")), encoding="utf-8") as file:
        click.echo(file.read(), nl=False)
    return True


def _token_files(options: Mapping[str, Any]) -> str | None:
    return absolute(options["token_files"]) if options["token_files"] else None


# ---- tables


@functools.cache
def _console() -> Console:
    return Console(highlight=False, soft_wrap=True, width=None if Console().is_terminal else 140)


def _table(*columns: str) -> Table:
    table = Table(*columns, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def print_plan(made: MixturePlan) -> None:
    """The plan as a table: what is there, what is asked, how often documents are seen, what is given."""
    table = _table(
        "component", "documents", "tokens there", "asked", "share", "epochs", "tokens", "share got"
    )
    asked = sum(each.asked for each in made.components)
    for each in made.components:
        table.add_row(
            each.name,
            f"{each.documents:,}",
            f"{each.tokens:,}",
            f"{each.asked:,}",
            f"{each.asked / asked:.2%}",
            f"{each.epochs:.3f}",
            f"{each.quota:,}",
            f"{each.quota / made.tokens:.2%}",
        )
        if len(each.tiers) > 1 or each.tiers[0].min is not None:
            for tier in each.tiers:
                label = f"  from {tier.min:g}" if tier.min is not None else "  the rest"
                table.add_row(
                    label,
                    f"{tier.documents:,}",
                    f"{tier.tokens:,}",
                    "",
                    "",
                    f"{tier.epochs:.3f}",
                    f"{tier.quota:,}",
                    "",
                )
    console = _console()
    console.print(table)
    console.print(
        f"\n{made.tokens:,} tokens in {made.shards:,} shards, sequences of {made.sequence_length:,}, {made.packing}, "
        f"seed {made.seed}; plan {made.digest}",
        markup=False,
    )
    for each in made.components:
        left = ", ".join(f"{reason} {count:,}" for reason, count in each.left_out.items())
        held = f"{each.held_out_documents:,} held out" if each.held_out_documents else ""
        if left or held:
            parts = "; ".join(part for part in (held, f"left out: {left}" if left else "") if part)
            console.print(f"{each.name}: {each.read:,} read; {parts}", markup=False)


MOST_CANDIDATES = 12


def print_tuned(result: Tuned) -> None:
    """The best of what was tried, the optimum of the fits, and what is proposed."""
    names = list(result.bounds.names)
    sets = [each.name for each in result.held_out]
    table = _table("", *names, *sets, "mean loss")
    best = sorted(result.candidates, key=lambda each: each.mean)[:MOST_CANDIDATES]
    rows = [
        *((f"tried, {at}.", each) for at, each in enumerate(best, start=1)),
        ("fits predict", result.predicted),
        ("measured", result.checked),
        ("proposed", result.proposal),
    ]
    for label, each in rows:
        shares = [f"{each.weights[name]:.4f}" for name in names]
        table.add_row(label, *shares, *(f"{each.loss[name]:.4f}" for name in sets), f"{each.mean:.4f}")
    console = _console()
    console.print(table)
    console.print(
        f"\n{len(result.candidates):,} sets of weights tried, {result.proxy}, {result.tokens:,} tokens each; nats per token",
        markup=False,
    )
    for held in result.held_out:
        rank = held.fit.rank_correlation
        console.print(
            f"{held.name}: {held.documents:,} of {held.documents_there:,} documents measured; {held.fit.form} fit, error "
            f"{held.fit.left_out_error:.4f} where left out, rank correlation {'none' if rank is None else f'{rank:.3f}'}",
            markup=False,
        )
    for name, count in result.excluded.items():
        if count:
            console.print(
                f"{name}: {count:,} documents are held out too and were not trained on", markup=False
            )


def print_built(manifest: Mapping[str, Any]) -> None:
    """What a built mixture holds."""
    table = _table(
        "component", "planned", "tokens", "share", "epochs", "documents", "appearances", "held out"
    )
    for name, each in manifest["components"].items():
        table.add_row(
            name,
            f"{each['planned']:,}",
            f"{each['tokens']:,}",
            f"{each['share']:.2%}",
            f"{each['epochs']:.3f}",
            f"{each['documents']:,}",
            f"{each['appearances']:,}",
            f"{each['held_out']:,}",
        )
    _console().print(table)
    _console().print(
        f"\n{manifest['tokens']:,} tokens in {manifest['sequences']:,} sequences, {len(manifest['shards']):,} shards; "
        f"padding {manifest['padding_share']:.3%}; {manifest['cut_documents']:,} documents longer than a sequence or cut",
        markup=False,
    )
