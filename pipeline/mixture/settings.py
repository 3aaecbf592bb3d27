"""What a mixture is made of: the YAML of `corpusmill mixture`, typed and checked before anything is read.

    tokenizer: tokenizer-out
    tokens: 100B
    sequence_length: 4096
    components:
      web:  {input: [web-out/documents/*.parquet], weight: 0.8}
      math: {input: [math-out/documents/*.parquet], weight: 0.2, max_epochs: 4}

A component gets its budget in one of three ways: `weight` (a share of what the others leave of `tokens`), `tokens` (a number
of its own), or `tiers` alone (their epochs times the tokens that are there).
"""

from __future__ import annotations

import itertools
import re
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from pipeline.config import SOURCE_NAME
from pipeline.rules import Bound

MAX_EPOCHS = 255
"""Epochs are stored in one byte."""

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}
_COUNT = re.compile(r"([0-9][0-9_]*(?:\.[0-9]+)?(?:e[0-9]+)?)([kmbgt]?)")


def parse_count(value: Any) -> Any:
    """A number of tokens as people write it (`6.3T`, `100B`, `1e9`, `4_000_000`), exactly; other values as they are."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, str):
        return value
    found = _COUNT.fullmatch(value.strip().lower())
    if found is None:
        raise ValueError(f"{value!r} is no number of tokens; write 100000, 1e9, 6.3T or 100B")
    exact = Fraction(found[1].replace("_", "")) * _UNITS[found[2]]
    if exact.denominator != 1:
        raise ValueError(f"{value!r} is not a whole number of tokens")
    return int(exact)


Tokens = Annotated[int, BeforeValidator(parse_count), Field(ge=1)]
"""A number of tokens; units k, M, B (or G) and T are understood."""


class Tier(BaseModel, frozen=True, extra="forbid"):
    """A step of a component: documents whose tier column is at least `min` (and below the step above) get `epochs`.

    A step without `min` takes the rest, missing values included; without such a step the rest is left out (and counted).
    """

    min: float | None = None
    epochs: float = Field(gt=0, le=MAX_EPOCHS, allow_inf_nan=False)


class Tiers(BaseModel, frozen=True, extra="forbid"):
    """Upsampling by quality: a column decides how often a document is seen.

    With a budget (`weight`, `tokens`) the epochs are proportions: all are scaled by one factor until the budget is met, none
    above the component's `max_epochs`. Without a budget they are taken as they stand.
    """

    column: str
    steps: tuple[Tier, ...] = Field(min_length=1, max_length=100)
    """From the best to the rest."""

    @model_validator(mode="after")
    def _ordered(self) -> Tiers:
        mins = [step.min for step in self.steps]
        if None in mins[:-1]:
            raise ValueError("only the last step may be without `min`: it takes the rest")
        known = [value for value in mins if value is not None]
        if any(low >= high for high, low in itertools.pairwise(known)):
            raise ValueError("steps go from the highest `min` to the lowest, each once")
        return self


class Component(BaseModel, frozen=True, extra="forbid"):
    """One source of the mixture: Parquet files, which of their documents, and how many tokens of them."""

    input: tuple[str, ...] = ()
    """Parquet files: paths, globs, URLs that fsspec knows, or `@FILE` for a list of them."""
    text: str = "text"
    """Column of the text."""
    id: str | None = "id"
    """Column of the document's id, unique in the component; null identifies a document by its text."""
    filters: dict[str, Bound] = Field(default_factory=dict)
    """Column -> bound, as in a job's rules: documents that fail one are left out (and counted)."""
    weight: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Share, relative to the other weights, of the tokens that components with `tokens` leave."""
    tokens: Tokens | None = None
    """A budget in tokens."""
    max_epochs: float = Field(default=1, gt=0, le=MAX_EPOCHS, allow_inf_nan=False)
    """How often a document may be seen at most. Up to 4 epochs, repeated data are about as good as new
    (Muennighoff et al. 2023); 1 repeats nothing unless asked."""
    tiers: Tiers | None = None

    @model_validator(mode="after")
    def _one_budget(self) -> Component:
        if self.weight is not None and self.tokens is not None:
            raise ValueError("give `weight` or `tokens`, not both")
        if self.weight is None and self.tokens is None and self.tiers is None:
            raise ValueError("give `weight`, `tokens`, or `tiers` with the epochs that are wanted")
        if self.has_budget or self.tiers is None:
            return self
        above = [step.epochs for step in self.tiers.steps if step.epochs > self.max_epochs]
        if above:
            raise ValueError(f"tiers ask for {above[0]:g} epochs, and max_epochs is {self.max_epochs:g}")
        return self

    @property
    def has_budget(self) -> bool:
        """Whether the number of tokens is set by something else than the tiers."""
        return self.weight is not None or self.tokens is not None

    @property
    def steps(self) -> tuple[Tier, ...]:
        """The tiers; a component without has one that takes everything."""
        return self.tiers.steps if self.tiers is not None else (Tier(epochs=1),)


class HeldOut(BaseModel, frozen=True, extra="forbid"):
    """Documents kept for measuring losses: chosen by a hash of the id alone.

    So every mixture, whatever its seed, holds out the same documents, and a larger share holds out those of a smaller one.
    """

    share: float = Field(default=0.0, ge=0, lt=1, allow_inf_nan=False)


class MixtureSettings(BaseModel, frozen=True, extra="forbid"):
    """Everything that decides the bytes of a mixture. Where and with how many workers it is built is not in here."""

    tokenizer: str
    """Folder or model file of the tokenizer."""
    components: dict[str, Component] = Field(min_length=1)
    """Name -> component."""
    tokens: Tokens | None = None
    """Tokens of the whole mixture; needed where a component has a weight."""
    shortage: Literal["fail", "share"] = "fail"
    """What happens when a component cannot give its budget within `max_epochs`: nothing is built, or the components with
    weights take over the rest in proportion."""
    sequence_length: int = Field(default=4096, ge=8, le=1 << 20)
    packing: Literal["best_fit", "concat"] = "best_fit"
    """`best_fit` cuts no document that fits a sequence (Ding et al. 2024, "Fewer Truncations Improve Language Modeling");
    `concat` joins documents and cuts every `sequence_length` tokens."""
    long_documents: Literal["sentence", "token"] = "sentence"
    """Where `best_fit` cuts documents that are longer than a sequence: at the last line or sentence end that fits, or at the
    last token. Sentences leave gaps that shorter documents must fill: where documents longer than a sequence hold 96% of
    all tokens, 0.54% of the sequences was padding at length 4096, with `token` 0.01% (docs/mixture.md)."""
    eos: bool = True
    """Whether every document ends with the end-of-sequence token (it counts as a token)."""
    bos: bool = False
    """Whether every document begins with the begin-of-sequence token (it counts as a token)."""
    seed: int = Field(default=0, ge=0, lt=1 << 63)
    held_out: HeldOut = HeldOut()
    shards: int | None = Field(default=None, ge=1, le=1 << 20)
    """Output files. By default one for each 128 Mi tokens: about 256 MB."""
    window_tokens: int = Field(default=1 << 25, ge=1 << 10, le=1 << 30)
    """Tokens that are packed together: decides a task's memory (about 16 bytes each)."""
    split_bytes: int = Field(default=32 << 20, ge=0)
    """Bytes of Parquet that one task tokenises, about."""

    @model_validator(mode="after")
    def _budgets_fit(self) -> MixtureSettings:
        for name in self.components:
            if re.fullmatch(SOURCE_NAME, name) is None:
                raise ValueError(f"components: the name {name!r} is not of the form {SOURCE_NAME}")
        weighted = [name for name, each in self.components.items() if each.weight is not None]
        if weighted and self.tokens is None:
            raise ValueError(f"`tokens`, the size of the mixture, is missing ({', '.join(weighted)}: weight)")
        if self.tokens is not None and not weighted:
            raise ValueError("`tokens` divides itself among weights, and no component has one; leave it out")
        fixed = sum(each.tokens or 0 for each in self.components.values())
        if self.tokens is not None and fixed >= self.tokens:
            raise ValueError(
                f"components ask for {fixed:,} tokens of their own, and the mixture has {self.tokens:,}"
            )
        return self
