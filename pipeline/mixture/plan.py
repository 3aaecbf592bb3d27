"""Tokens there and shares asked -> how many tokens of every component, and how often its documents are seen.

Everything is computed in whole numbers and fractions, so that the same counts give the same plan on every machine. A
component's tiers are apart in all that follows: a **stratum** is one tier of one component, with a quota of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from pydantic import BaseModel

from pipeline.errors import UserError
from pipeline.mixture.settings import Component, MixtureSettings
from pipeline.mixture.tokens import TierCount, TokenFile

SHARD_TOKENS = 1 << 27
"""Tokens of a shard by default: about 256 MB of Parquet."""

FORMAT = 1
"""Version of the rules by which documents are placed; another version gives other bytes."""


class TierPlan(BaseModel, frozen=True):
    """A stratum: what is there of it and what is taken."""

    min: float | None
    asked_epochs: float
    """The tier's epochs as the settings have them (proportions, where the component has a budget)."""
    documents: int
    tokens: int
    quota: int
    """Tokens that the mixture takes."""

    @property
    def epochs(self) -> float:
        """How often a document is seen on average."""
        return self.quota / self.tokens if self.tokens else 0.0

    @property
    def whole(self) -> int:
        """How often every document is seen at least."""
        return self.quota // self.tokens if self.tokens else 0

    @property
    def passes(self) -> int:
        """How often a document is seen at most."""
        return -(-self.quota // self.tokens) if self.tokens else 0


class ComponentPlan(BaseModel, frozen=True):
    """A component: the books of its inputs, what was asked of it and what it gives."""

    name: str
    read: int
    left_out: dict[str, int]
    held_out_documents: int
    held_out_tokens: int
    documents: int
    tokens: int
    asked: int
    """Tokens that the settings ask of it."""
    quota: int
    """Tokens that it gives: another number than `asked` only with `shortage: share`."""
    max_epochs: float
    tiers: tuple[TierPlan, ...]

    @property
    def epochs(self) -> float:
        """How often a document is seen on average."""
        return self.quota / self.tokens if self.tokens else 0.0


class MixturePlan(BaseModel, frozen=True):
    """A mixture as it will be built. Its `digest` names it in the files."""

    format: int = FORMAT
    tokenizer_sha256: str
    vocabulary: int
    eos_id: int | None
    bos_id: int | None
    pad_id: int
    seed: int
    sequence_length: int
    packing: str
    long_documents: str = "sentence"
    window_tokens: int
    held_out: float
    shards: int
    tokens: int
    components: tuple[ComponentPlan, ...]

    @property
    def digest(self) -> str:
        """16 hex digits of all that the plan says."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    @property
    def strata(self) -> list[tuple[int, TierPlan]]:
        """All tiers of all components, in order, each with the position of its component."""
        return [(at, tier) for at, each in enumerate(self.components) for tier in each.tiers]

    @property
    def sources(self) -> list[str]:
        """The components' names; a document's `source` is a position in this list."""
        return [each.name for each in self.components]


class Counted(BaseModel, frozen=True):
    """What there is of a component."""

    read: int
    left_out: dict[str, int]
    tiers: tuple[TierCount, ...]

    @property
    def tokens(self) -> int:
        """Tokens that can be used."""
        return sum(tier.tokens for tier in self.tiers)


def add_up(files: Iterable[TokenFile], components: Mapping[str, Component]) -> dict[str, Counted]:
    """The counts of token files by component.

    Raises:
        UserError: with exit code 1, when a component's books do not balance.
    """
    found = {}
    files = list(files)
    for name, component in components.items():
        mine = [file for file in files if file.component == name]
        left_out: dict[str, int] = {}
        for file in mine:
            for reason, count in file.left_out.items():
                left_out[reason] = left_out.get(reason, 0) + count
        tiers = [TierCount() for _ in component.steps]
        for file in mine:
            for total, part in zip(tiers, file.tiers, strict=True):
                total.documents += part.documents
                total.tokens += part.tokens
                total.held_out_documents += part.held_out_documents
                total.held_out_tokens += part.held_out_tokens
        read = sum(file.read for file in mine)
        used = sum(tier.documents + tier.held_out_documents for tier in tiers)
        if read != used + sum(left_out.values()):
            raise UserError(
                f"components.{name}: {read:,} documents read, {used:,} used, {sum(left_out.values()):,} left out: "
                "the books do not balance. This is a defect of corpusmill or a damaged disk.",
                exit_code=1,
            )
        found[name] = Counted(read=read, left_out=dict(sorted(left_out.items())), tiers=tuple(tiers))
    return found


def make_plan(
    settings: MixtureSettings,
    counted: Mapping[str, Counted],
    *,
    sha256: str,
    vocabulary: int,
    marks: tuple[int | None, int | None, int],
) -> MixturePlan:
    """Divide the mixture's tokens among components and tiers. `marks` are the ids (bos, eos, pad).

    Raises:
        UserError: when components cannot give what is asked of them.
    """
    asked = _asked(settings, counted)
    quotas = _given(settings, counted, asked)
    components = tuple(
        _component_plan(name, each, counted[name], asked[name], quotas[name])
        for name, each in settings.components.items()
    )
    total = sum(quotas.values())
    if total == 0:
        raise UserError("the components hold no token: there is nothing to mix.")
    return MixturePlan(
        tokenizer_sha256=sha256,
        vocabulary=vocabulary,
        bos_id=marks[0],
        eos_id=marks[1],
        pad_id=marks[2],
        seed=settings.seed,
        sequence_length=settings.sequence_length,
        packing=settings.packing,
        long_documents=settings.long_documents,
        window_tokens=settings.window_tokens,
        held_out=settings.held_out.share,
        shards=settings.shards or -(-total // SHARD_TOKENS),
        tokens=total,
        components=components,
    )


def _exact(value: float) -> Fraction:
    """The decimal number that was written: 0.1 is a tenth."""
    return Fraction(repr(value))


def _most(component: Component, counted: Counted) -> int:
    """The tokens that a component can give."""
    return int(counted.tokens * _exact(component.max_epochs))


def _asked(settings: MixtureSettings, counted: Mapping[str, Counted]) -> dict[str, int]:
    """What the settings ask of each component, in tokens."""
    components = settings.components
    asked = {
        name: sum(
            int(tier.tokens * _exact(step.epochs))
            for tier, step in zip(counted[name].tiers, each.steps, strict=True)
        )
        for name, each in components.items()
        if not each.has_budget
    }
    asked |= {name: each.tokens for name, each in components.items() if each.tokens is not None}
    weights = {name: _exact(each.weight) for name, each in components.items() if each.weight is not None}
    if weights:
        rest = (settings.tokens or 0) - sum(asked.values())
        if rest <= 0:
            raise UserError(
                f"the mixture has {settings.tokens:,} tokens, and components without a weight take "
                f"{sum(asked.values()):,} of them: nothing is left for {', '.join(weights)}."
            )
        asked |= dict(zip(weights, divide(rest, list(weights.values())), strict=True))
    return {name: asked[name] for name in components}


def _given(
    settings: MixtureSettings, counted: Mapping[str, Counted], asked: Mapping[str, int]
) -> dict[str, int]:
    """What each component gives: what was asked, or with `shortage: share` less of some and more of others."""
    most = {name: _most(each, counted[name]) for name, each in settings.components.items()}
    short = [name for name in asked if asked[name] > most[name]]
    if not short:
        return dict(asked)
    lines = "\n".join(f"  {_shortage(name, asked[name], most[name], settings, counted)}" for name in short)
    if settings.shortage == "fail":
        raise UserError(
            f"components are too small for what is asked of them:\n{lines}\n"
            "Raise their max_epochs, lower their weights or `tokens`, or say `shortage: share`."
        )
    given = dict(asked)
    while short:  # in each round at least one component reaches its most
        given.update({name: most[name] for name in short})
        lacking = sum(asked.values()) - sum(given.values())
        takers = {
            name: _exact(each.weight)
            for name, each in settings.components.items()
            if each.weight is not None and given[name] < most[name]
        }
        if not takers:
            raise UserError(
                f"all components together are {lacking:,} tokens short of {sum(asked.values()):,}:\n{lines}\n"
                f"Raise max_epochs, or ask for at most {sum(given.values()):,} tokens."
            )
        for name, more in zip(takers, divide(lacking, list(takers.values())), strict=True):
            given[name] += more
        short = [name for name in given if given[name] > most[name]]
    return given


def _shortage(
    name: str, asked: int, most: int, settings: MixtureSettings, counted: Mapping[str, Counted]
) -> str:
    there = counted[name].tokens
    if there == 0:
        return f"{name}: {asked:,} tokens asked, and it has none"
    return (
        f"{name}: {asked:,} tokens asked are {asked / there:.2f} epochs of its {there:,}; "
        f"max_epochs {settings.components[name].max_epochs:g} allows {most:,}"
    )


def divide(total: int, weights: Sequence[Fraction]) -> list[int]:
    """Whole numbers in proportion to weights that add up to `total` (largest remainder; ties to the first)."""
    sum_of_weights = sum(weights)
    exact = [total * weight / sum_of_weights for weight in weights]
    parts = [int(part) for part in exact]
    by_remainder = sorted(range(len(parts)), key=lambda at: (parts[at] - exact[at], at))
    for at in by_remainder[: total - sum(parts)]:
        parts[at] += 1
    return parts


def _component_plan(
    name: str, component: Component, counted: Counted, asked: int, quota: int
) -> ComponentPlan:
    quotas = tier_quotas(
        quota,
        [tier.tokens for tier in counted.tiers],
        [_exact(step.epochs) for step in component.steps],
        _exact(component.max_epochs),
    )
    tiers = tuple(
        TierPlan(
            min=step.min,
            asked_epochs=step.epochs,
            documents=tier.documents,
            tokens=tier.tokens,
            quota=part,
        )
        for step, tier, part in zip(component.steps, counted.tiers, quotas, strict=True)
    )
    return ComponentPlan(
        name=name,
        read=counted.read,
        left_out=counted.left_out,
        held_out_documents=sum(tier.held_out_documents for tier in counted.tiers),
        held_out_tokens=sum(tier.held_out_tokens for tier in counted.tiers),
        documents=sum(tier.documents for tier in counted.tiers),
        tokens=counted.tokens,
        asked=asked,
        quota=quota,
        max_epochs=component.max_epochs,
        tiers=tiers,
    )


def tier_quotas(quota: int, tokens: Sequence[int], epochs: Sequence[Fraction], most: Fraction) -> list[int]:
    """Divide a component's quota among its tiers: epochs scaled by one factor, none above `most`.

    The factor s solves sum(tokens * min(s * epochs, most)) = quota.

    Raises:
        ValueError: when the quota is more than all tiers give at `most` epochs.
    """
    limits = [int(each * most) for each in tokens]
    if quota > int(sum(tokens) * most):
        raise ValueError(f"{quota} tokens are more than {most} epochs of {sum(tokens)}")
    full: set[int] = set()
    while True:
        open_tiers = [at for at in range(len(tokens)) if at not in full]
        left = quota - sum(tokens[at] * most for at in full)
        weight = sum(tokens[at] * epochs[at] for at in open_tiers)
        scale = Fraction(left) / weight if weight else Fraction(0)
        over = {at for at in open_tiers if scale * epochs[at] > most}
        if not over:
            break
        full |= over
    exact = [tokens[at] * (most if at in full else scale * epochs[at]) for at in range(len(tokens))]
    return _rounded(quota, exact, limits)


def _rounded(total: int, exact: Sequence[Fraction], limits: Sequence[int]) -> list[int]:
    """Whole numbers near `exact` that add up to `total`; above its limit a part goes only where no other can."""
    parts = [int(part) for part in exact]
    order = sorted(range(len(parts)), key=lambda at: (parts[at] >= limits[at], parts[at] - exact[at], at))
    for at in order[: total - sum(parts)]:
        parts[at] += 1
    return parts


def targets(plan: MixturePlan, shard: int) -> list[int]:
    """The tokens of every stratum that a shard is to have; over all shards they add up to the quotas.

    A larger quota never gives a shard less, so that a shard of a larger mixture holds the documents of a smaller one's.
    """
    return [tier.quota // plan.shards + (shard < tier.quota % plan.shards) for _, tier in plan.strata]


def plan_json(plan: MixturePlan) -> dict[str, Any]:
    """The plan as `plan.json` has it: with the shares and epochs that follow from it."""
    content = plan.model_dump(mode="json")
    asked = sum(each.asked for each in plan.components)
    for row, each in zip(content["components"], plan.components, strict=True):
        row["share_asked"] = each.asked / asked
        row["share"] = each.quota / plan.tokens
        row["epochs"] = each.epochs
        for tier_row, tier in zip(row["tiers"], each.tiers, strict=True):
            tier_row["epochs"] = tier.epochs
    return {**content, "digest": plan.digest}
