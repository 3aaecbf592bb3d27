"""What `mixture tune` is asked, and what it finds: its settings, and the content of `tune.json`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from pipeline.mixture.tune_command import Command
from pipeline.mixture.tune_fit import Bounds, Fit
from pipeline.mixture.tune_sample import HeldOutRecord


class TuneSettings(BaseModel, frozen=True, extra="forbid"):
    """What decides the result of `tune`, beside the mixture."""

    held_out: dict[str, tuple[str, ...]] = Field(min_length=1)
    """Name -> Parquet files or globs of documents whose loss counts."""
    importance: dict[str, float] = Field(default_factory=dict)
    """Name of a held-out set -> its weight in the mean loss; 1 by default."""
    candidates: tuple[dict[str, float], ...] = ()
    """Weights to be tried, as component -> weight."""
    search: int = Field(default=0, ge=0, le=10_000)
    """Weights to be drawn around the configured ones, these included."""
    bounds: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """Component -> least and greatest share."""
    tokens: int | None = Field(default=None, ge=1000)
    """Tokens that a proxy is trained on; 2 M, or the mixture's size if that is less, by default."""
    held_out_tokens: int = Field(default=200_000, ge=100)
    """Tokens of each held-out set that are measured by the n-gram proxy, about."""
    order: int = Field(default=3, ge=1, le=6)
    """Tokens of an n-gram."""
    rounds: int = Field(default=5, ge=1, le=100)
    """Optima of the fits that are measured, each after a fit that knows those before it: a fit that promises too much where
    little was tried is put right by what it is found to be."""
    command: Command | None = None
    """The user's own proxy."""


class Candidate(BaseModel, frozen=True):
    """Weights and the losses measured with them, in nats per token by held-out set."""

    weights: dict[str, float]
    loss: dict[str, float]
    loss_per_byte: dict[str, float]
    """The same in nats per byte of text: comparable between tokenizers."""
    mean: float
    """The weighted mean of the losses."""


class HeldOutResult(HeldOutRecord, frozen=True):
    """A held-out set, and how its loss depends on the weights."""

    fit: Fit


class Tuned(BaseModel, frozen=True):
    """The result: `tune.json`."""

    version: str
    proxy: str
    mixture: dict[str, Any]
    inputs: list[dict[str, Any]]
    tokens: int
    seed: int
    excluded: dict[str, int]
    """Component -> documents that were left out of training because a held-out set has them too."""
    concentrations: list[float]
    bounds: Bounds
    held_out: list[HeldOutResult]
    candidates: list[Candidate]
    """In the order in which they were tried: those that were given, those drawn (the configured weights first), then the optima
    of all rounds but the last."""
    predicted: Candidate
    """The last round's optimum of the fits, with the losses that they predict."""
    checked: Candidate
    """The same weights, measured."""
    proposal: Candidate
    """The best of all that was measured."""
