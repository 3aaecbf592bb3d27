"""`mixture tune`: tries other weights of a mixture with small models, and proposes those with the least loss.

    OUT/tune.json           everything that was tried, the fits, the proposal
    OUT/tune.html           the same as a page
    OUT/mixture.yaml        the proposed weights, to be written into the mixture's file; components without a share are named
    OUT/candidates/KEY.json the losses of one candidate: an interrupted run goes on behind them

The proposal is trained and measured like every candidate. Where it turns out worse than the best of those, that one is
proposed: the result has always been measured. The n-gram proxy sees local statistics only; what it says about a large model
is a hint, and `--command` takes a better proxy.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from pipeline import storage
from pipeline.engine import RunnerSettings, engines
from pipeline.errors import UserError, did_you_mean
from pipeline.mixture.build import MixtureFolder, input_records, mixture_items, token_tasks
from pipeline.mixture.proxy import (
    HeldOutText,
    choose_concentrations,
    count_candidates,
    held_out_text,
    loss,
)
from pipeline.mixture.settings import MixtureSettings
from pipeline.mixture.tokens import TokenFile, TokenSettings, TokenSplit, tokenise
from pipeline.mixture.tune_command import run_command
from pipeline.mixture.tune_fit import Bounds, Fit, best_weights, design, fit, project, trust, weighted
from pipeline.mixture.tune_model import Candidate, HeldOutResult, Tuned, TuneSettings
from pipeline.mixture.tune_page import page
from pipeline.mixture.tune_sample import (
    HeldOutSet,
    Stratum,
    greatest_shares,
    held_out_paths,
    order_lines,
    read_held_out,
    read_lines,
    samples,
)
from pipeline.run import version

Weights = tuple[float, ...]

DEFAULT_TOKENS = 2_000_000
DIGITS = 9
"""Decimals of a loss."""


# ---- the run


@dataclass
class _Run:
    """What a run needs at every step."""

    settings: MixtureSettings
    tune: TuneSettings
    folder: MixtureFolder
    shared: TokenSettings
    files: list[TokenFile]
    sets: list[HeldOutSet]
    strata: list[Stratum]
    tokens: int
    identity: str
    concentrations: list[float]
    texts: list[HeldOutText]

    @property
    def names(self) -> list[str]:
        return list(self.settings.components)


def tune_mixture(
    settings: MixtureSettings,
    tune: TuneSettings,
    output: str,
    runner: RunnerSettings,
    *,
    tokens: str | None = None,
    quiet: bool | None = None,
) -> Tuned:
    """Try weights, fit their losses, propose the best; writes the files named above.

    Args:
        settings: the mixture; each component has a weight.
        tune: what is tried, and measured on what.
        output: the folder of the result.
        runner: where the documents are encoded.
        tokens: folder of token files, which mixtures can share.
        quiet: whether no progress is shown.

    Raises:
        UserError: settings that do not fit, missing files, a command that fails.
    """
    _check(settings, tune)
    folder = MixtureFolder(output)
    with folder.locked():
        _check_folder(folder)
        run, items = _prepare(settings, tune, folder, runner, tokens, quiet)
        bounds = _bounds(run)
        tried = _to_try(run, bounds)
        measured = _measure(run, tried)
        result = _concluded(run, items, bounds, tried, measured)
        _write(folder, result)
    return result


def _check(settings: MixtureSettings, tune: TuneSettings) -> None:
    without = [name for name, each in settings.components.items() if each.weight is None]
    if without:
        raise UserError(
            f"tune looks for weights, and {', '.join(without)} has none (but `tokens` or `tiers` alone). Give it a "
            "`weight`, or leave it out with --without."
        )
    if len(settings.components) < 2:
        raise UserError("tune needs two components or more.")
    if not tune.candidates and tune.search < 2:
        raise UserError("nothing is to be tried: give --candidates FILE, or --search N with N of 2 or more.")
    named: list[tuple[str, list[str], list[str]]] = [
        ("--bounds", list(tune.bounds), list(settings.components)),
        ("--importance", list(tune.importance), list(tune.held_out)),
        *(("--candidates", list(each), list(settings.components)) for each in tune.candidates),
    ]
    for what, given, known in named:
        for name in given:
            if name not in known:
                raise UserError(f"{what}: there is no {name!r}.{did_you_mean(name, known)}")
    for each in tune.candidates:
        if any(not (math.isfinite(value) and value >= 0) for value in each.values()) or not sum(
            each.values()
        ):
            raise UserError(f"--candidates: {each}: weights are numbers from 0 on, one of them above 0.")
    if any(not (math.isfinite(value) and value > 0) for value in tune.importance.values()):
        raise UserError("--importance: a held-out set's weight is a number above 0.")


def _check_folder(folder: MixtureFolder) -> None:
    if storage.exists(folder.manifest_path):
        raise UserError(f"{folder.path} holds a built mixture. Use another --output.")


def _prepare(
    settings: MixtureSettings,
    tune: TuneSettings,
    folder: MixtureFolder,
    runner: RunnerSettings,
    tokens: str | None,
    quiet: bool | None,
) -> tuple[_Run, list[TokenSplit]]:
    """Encode what is not encoded yet, and put the documents in their order."""
    total = settings.tokens or 0
    sample = tune.tokens or min(DEFAULT_TOKENS, total)
    if sample > total:
        raise UserError(f"--tokens {sample:,}: the mixture itself has {total:,} tokens.")
    paths = {name: held_out_paths(name, each) for name, each in tune.held_out.items()}
    shared, items = mixture_items(settings, folder, tokens)
    with engines(runner, quiet) as engine_at:
        files: list[TokenFile] = engine_at(token_tasks(shared)).run("tokens", tokenise, items, shared)
    sets = [
        read_held_out(name, each, shared, settings.seed, tune.held_out_tokens) for name, each in paths.items()
    ]
    strata = order_lines(settings, files, np.unique(np.concatenate([each.ids for each in sets])))
    run = _Run(settings, tune, folder, shared, files, sets, strata, sample, "", [], [])
    run.identity = _identity(run, items)
    return run, items


def _identity(run: _Run, items: Sequence[TokenSplit]) -> str:
    """Everything that decides a candidate's losses, as text; which candidates there are is not in it."""
    states = [
        [path, storage.size(path), hashlib.sha256(storage.read_bytes(path)).hexdigest()]
        for each in run.sets
        for path in each.paths
    ]
    return json.dumps(
        [
            version(),
            run.settings.model_dump(mode="json", by_alias=True, exclude={"tokenizer"}),
            run.tune.model_dump(
                mode="json", exclude={"candidates", "search", "bounds", "importance", "rounds"}
            ),
            run.shared.sha256,
            run.tokens,
            input_records(items),
            states,
        ]
    )


def _bounds(run: _Run) -> Bounds:
    """The user's bounds, and what the components have for the whole mixture within their epochs."""
    most = greatest_shares(run.settings, run.strata, run.settings.tokens or 1)
    given = [run.tune.bounds.get(name, (0.0, 1.0)) for name in run.names]
    bounds = Bounds(
        names=tuple(run.names),
        low=tuple(low for low, _ in given),
        high=tuple(min(high, limit) for (_, high), limit in zip(given, most, strict=True)),
    )
    bounds.check()
    return bounds


def _to_try(run: _Run, bounds: Bounds) -> list[Weights]:
    tried: list[Weights] = []
    for each in run.tune.candidates:
        whole = sum(each.values())
        weights = tuple(round(each.get(name, 0.0) / whole, 9) for name in run.names)
        for name, share, most in zip(run.names, weights, bounds.high, strict=True):
            if share > most + 1e-6:
                raise UserError(
                    f"--candidates: {each} gives {name} {share:.4g} of the mixture, and {most:.4g} is the most that its "
                    "documents, its max_epochs and --bounds allow."
                )
        tried.append(weights)
    configured = [each.weight or 0.0 for each in run.settings.components.values()]
    if run.tune.search:
        tried += design(configured, run.tune.search, run.settings.seed, bounds)
    return list(dict.fromkeys(tried))


# ---- losses


def _measure(run: _Run, tried: Sequence[Weights]) -> list[dict[str, float]]:
    """The losses of weights, by held-out set; those of an earlier run are read again."""
    missing = [each for each in tried if not storage.exists(_path(run, each))]
    if run.tune.command is not None:
        for each in missing:
            sets = {held.name: list(held.paths) for held in run.sets}
            folder = run.folder.within("candidates", _name(run, each))
            found = run_command(run.tune.command, run.settings, each, run.tokens, sets, folder)
            _keep(run, each, found)
    elif missing:
        for each, found in zip(missing, _ngram_losses(run, missing), strict=True):
            _keep(run, each, found)
    return [json.loads(storage.read_bytes(_path(run, each)))["loss"] for each in tried]


def _name(run: _Run, weights: Weights) -> str:
    return hashlib.blake2b(f"{run.identity}{weights}".encode(), digest_size=8).hexdigest()


def _path(run: _Run, weights: Weights) -> str:
    return run.folder.within("candidates", f"{_name(run, weights)}.json")


def _keep(run: _Run, weights: Weights, losses: Mapping[str, float]) -> None:
    content = {
        "weights": dict(zip(run.names, weights, strict=True)),
        "loss": {name: round(value, DIGITS) for name, value in losses.items()},
    }
    storage.write_bytes(_path(run, weights), _dumped(content))


def _ngram_losses(run: _Run, tried: Sequence[Weights]) -> list[dict[str, float]]:
    """Train and measure n-gram models, all in one pass over the documents for each held-out set."""
    _choose(run)
    taken = [samples(run.settings, run.strata, each, run.tokens) for each in tried]
    lines = read_lines(run.strata, run.files, run.shared.dtype, taken)
    losses: list[dict[str, float]] = [{} for _ in tried]
    for held, text in zip(run.sets, run.texts, strict=True):
        counts, totals = count_candidates(lines, taken, text)
        for at, each in enumerate(losses):
            nats = loss(text, counts[at], int(totals[at]), run.concentrations, run.shared.pieces)
            each[held.name] = nats / text.tokens
    return losses


def _choose(run: _Run) -> None:
    """Set the concentrations: those that suit the configured weights best. All candidates have the same."""
    if run.texts:
        return
    run.texts = [held_out_text(each.line, run.tune.order) for each in run.sets]
    configured = project([each.weight or 0.0 for each in run.settings.components.values()], _bounds(run))
    taken = [samples(run.settings, run.strata, configured, run.tokens)]
    lines = read_lines(run.strata, run.files, run.shared.dtype, taken)
    counted = [count_candidates(lines, taken, text) for text in run.texts]
    run.concentrations = choose_concentrations(
        run.texts, [counts[0] for counts, _ in counted], int(counted[0][1][0]), run.shared.pieces
    )


# ---- conclusion


def _concluded(
    run: _Run,
    items: Sequence[TokenSplit],
    bounds: Bounds,
    tried: Sequence[Weights],
    measured: Sequence[Mapping[str, float]],
) -> Tuned:
    importance = {each.name: run.tune.importance.get(each.name, 1.0) for each in run.sets}
    tried, measured = list(tried), list(measured)
    for left in reversed(range(run.tune.rounds)):
        fits = _fits(tried, measured, importance)
        best = best_weights(fits, importance, np.array(tried), bounds)
        found = _measure(run, [best])[0]
        if not left or best in tried:
            break
        tried.append(best)
        measured.append(found)
    guess = {name: round(float(each.predict(np.array([best]))[0]), DIGITS) for name, each in fits.items()}

    per_byte = {each.name: len(each.line.tokens) / each.bytes for each in run.sets}

    def candidate(weights: Weights, losses: Mapping[str, float]) -> Candidate:
        mean = weighted({name: np.array([losses[name]]) for name in importance}, importance)
        return Candidate(
            weights=dict(zip(run.names, weights, strict=True)),
            loss=dict(losses),
            loss_per_byte={name: round(losses[name] * per_byte[name], DIGITS) for name in importance},
            mean=round(float(mean[0]), DIGITS),
        )

    candidates = [candidate(weights, losses) for weights, losses in zip(tried, measured, strict=True)]
    checked = candidate(best, found)
    if run.tune.command is None:
        _choose(run)  # not yet done where all losses were there already
    return Tuned(
        version=version(),
        proxy="command" if run.tune.command is not None else f"{run.tune.order}-gram",
        mixture=run.settings.model_dump(mode="json", by_alias=True, exclude={"tokenizer"}),
        inputs=[
            {name: each[name] for name in ("component", "path", "bytes")} for each in input_records(items)
        ],
        tokens=run.tokens,
        seed=run.settings.seed,
        excluded={
            name: sum(each.excluded for each in run.strata if each.component == name) for name in run.names
        },
        concentrations=run.concentrations,
        bounds=bounds,
        held_out=[
            HeldOutResult(
                name=each.name,
                importance=importance[each.name],
                paths=each.paths,
                documents_there=each.documents_there,
                documents=each.line.documents,
                tokens=len(each.line.tokens),
                bytes=each.bytes,
                fit=fits[each.name],
            )
            for each in run.sets
        ],
        candidates=candidates,
        predicted=candidate(best, guess),
        checked=checked,
        proposal=min([checked, *candidates], key=lambda each: each.mean),
    )


def _fits(
    tried: Sequence[Weights], measured: Sequence[Mapping[str, float]], importance: Mapping[str, float]
) -> dict[str, Fit]:
    """The fit of each held-out set."""
    losses_of = {name: np.array([each[name] for each in measured]) for name in importance}
    trusted = trust(weighted(losses_of, importance))
    return {name: fit(np.array(tried), losses, trusted) for name, losses in losses_of.items()}


def _write(folder: MixtureFolder, result: Tuned) -> None:
    storage.write_bytes(folder.within("tune.json"), _dumped(result.model_dump(mode="json")))
    storage.write_bytes(folder.within("tune.html"), page(result).encode())
    proposed = {
        "components": {
            name: {"weight": share} for name, share in result.proposal.weights.items() if share > 0
        }
    }
    without = [f"# left out: {name}\n" for name, share in result.proposal.weights.items() if share <= 0]
    text = "".join(without) + yaml.safe_dump(proposed, sort_keys=False)
    storage.write_bytes(folder.within("mixture.yaml"), text.encode())


def _dumped(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
