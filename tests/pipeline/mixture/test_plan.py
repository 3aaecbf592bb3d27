"""Quotas and epochs from counts: exact, in the asked proportions, and refused where they cannot be."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.mixture.plan import Counted, MixturePlan, add_up, divide, make_plan, targets, tier_quotas
from pipeline.mixture.settings import MixtureSettings
from pipeline.mixture.tokens import TierCount, TokenFile


def counted(*tokens: int) -> Counted:
    tiers = tuple(TierCount(documents=max(1, each // 100), tokens=each) for each in tokens)
    return Counted(read=sum(tier.documents for tier in tiers), left_out={}, tiers=tiers)


def plan(components: dict[str, Any], there: dict[str, Counted], **changes: Any) -> MixturePlan:
    settings = MixtureSettings.model_validate(
        {"tokenizer": "t", "tokens": 1000, "shards": 3, "components": components, **changes}
    )
    return make_plan(settings, there, sha256="0", vocabulary=100, marks=(None, 2, 3))


def quotas(made: MixturePlan) -> dict[str, int]:
    return {each.name: each.quota for each in made.components}


def test_weights_divide_what_budgets_leave() -> None:
    made = plan(
        {"web": {"weight": 3}, "code": {"weight": 1}, "math": {"tokens": 200}},
        {"web": counted(5000), "code": counted(5000), "math": counted(5000)},
    )
    assert quotas(made) == {"web": 600, "code": 200, "math": 200}
    assert made.tokens == 1000


def test_tiers_alone_are_their_epochs() -> None:
    steps = {"column": "s", "steps": [{"min": 0.5, "epochs": 2.5}, {"epochs": 0.5}]}
    made = plan(
        {"web": {"weight": 1}, "hq": {"tiers": steps, "max_epochs": 3}},
        {"web": counted(5000), "hq": counted(100, 300)},
    )
    assert [tier.quota for tier in made.components[1].tiers] == [250, 150]
    assert quotas(made) == {"web": 600, "hq": 400}


def test_tiers_under_a_budget_keep_their_proportions_up_to_the_most_epochs() -> None:
    steps = {"column": "s", "steps": [{"min": 0.5, "epochs": 4}, {"epochs": 1}]}
    there = {"hq": counted(100, 1000)}
    below = plan({"hq": {"weight": 1, "tiers": steps, "max_epochs": 2}}, there, tokens=560)
    assert [tier.epochs for tier in below.components[0].tiers] == [1.6, 0.4]
    capped = plan({"hq": {"weight": 1, "tiers": steps, "max_epochs": 2}}, there, tokens=1000)
    assert [tier.epochs for tier in capped.components[0].tiers] == [2.0, 0.8]


def test_a_shortage_fails_and_says_how_much_is_missing() -> None:
    with pytest.raises(UserError) as caught:
        plan({"web": {"weight": 1}, "code": {"weight": 1}}, {"web": counted(5000), "code": counted(400)})
    assert "code: 500 tokens asked are 1.25 epochs of its 400; max_epochs 1 allows 400" in str(caught.value)
    assert "web" not in str(caught.value).split("Raise")[0]


def test_a_shortage_is_shared_in_proportion() -> None:
    made = plan(
        {"web": {"weight": 2}, "code": {"weight": 1}, "math": {"weight": 1}},
        {"web": counted(5000), "code": counted(5000), "math": counted(100)},
        shortage="share",
    )
    assert quotas(made) == {"web": 600, "code": 300, "math": 100}
    assert [each.asked for each in made.components] == [500, 250, 250]


def test_a_shortage_of_all_fails_even_when_shared() -> None:
    with pytest.raises(UserError, match="ask for at most 700 tokens"):
        plan(
            {"web": {"weight": 2}, "code": {"weight": 1}},
            {"web": counted(300), "code": counted(400)},
            shortage="share",
        )


def test_an_empty_component_is_a_shortage() -> None:
    with pytest.raises(UserError, match="math: 500 tokens asked, and it has none"):
        plan({"web": {"weight": 1}, "math": {"weight": 1}}, {"web": counted(9000), "math": counted(0)})


def test_epochs_floor_and_ceil() -> None:
    made = plan({"web": {"weight": 1, "max_epochs": 4}}, {"web": counted(400)})
    (_, tier), *_ = made.strata
    assert (tier.whole, tier.passes, tier.epochs) == (2, 3, 2.5)
    exact = plan({"web": {"weight": 1, "max_epochs": 4}}, {"web": counted(500)})
    assert (exact.strata[0][1].whole, exact.strata[0][1].passes) == (2, 2)


def test_books_that_do_not_balance_stop_the_run() -> None:
    settings = MixtureSettings.model_validate(
        {"tokenizer": "t", "tokens": 10, "components": {"web": {"weight": 1}}}
    )
    file = TokenFile(
        key="k",
        component="web",
        tokens_path="",
        documents_path="",
        read=10,
        left_out={"no text": 2},
        tiers=[TierCount(documents=7, tokens=70)],
    )
    with pytest.raises(UserError, match="10 documents read, 7 used, 2 left out") as caught:
        add_up([file], settings.components)
    assert caught.value.exit_code == 1


def test_a_plan_says_the_same_whatever_the_order_of_its_making() -> None:
    there = {"web": counted(5000), "code": counted(5000)}
    one = plan({"web": {"weight": 3}, "code": {"weight": 1}}, there)
    assert one.digest == plan({"web": {"weight": 3}, "code": {"weight": 1}}, there).digest
    assert one.digest != plan({"web": {"weight": 3}, "code": {"weight": 1}}, there, seed=1).digest


def test_targets_add_up_and_never_shrink() -> None:
    before = [0, 0, 0]
    for tokens in range(1, 50):
        made = plan({"web": {"weight": 1}}, {"web": counted(50)}, tokens=tokens)
        now = [targets(made, shard)[0] for shard in range(3)]
        assert sum(now) == tokens
        assert max(now) - min(now) <= 1
        assert all(old <= new for old, new in zip(before, now, strict=True))
        before = now


weights = st.lists(st.fractions(min_value=0, max_value=10, max_denominator=1000), min_size=1, max_size=8)


@given(st.integers(0, 10**15), weights.filter(any))
def test_division_is_exact_and_fair(total: int, parts: list[Fraction]) -> None:
    found = divide(total, parts)
    assert sum(found) == total
    for got, weight in zip(found, parts, strict=True):
        assert abs(got - total * weight / sum(parts)) < 1


@given(
    st.lists(
        st.tuples(st.integers(0, 10**9), st.fractions(min_value="0.1", max_value=20, max_denominator=100)),
        min_size=1,
        max_size=6,
    ),
    st.fractions(min_value="0.1", max_value=8, max_denominator=10),
    st.fractions(min_value=0, max_value=1, max_denominator=1000),
)
def test_tier_quotas_are_one_scale_below_the_most(
    tiers: list[tuple[int, Fraction]], most: Fraction, part: Fraction
) -> None:
    tokens, epochs = [t for t, _ in tiers], [e for _, e in tiers]
    quota = int(sum(tokens) * most * part)
    found = tier_quotas(quota, tokens, epochs, most)
    assert sum(found) == quota
    scales = []
    for got, there, each in zip(found, tokens, epochs, strict=True):
        assert got <= there * most + 1
        if there and got < there * most - 1:
            scales.append((Fraction(got - 1, there) / each, Fraction(got + 1, there) / each))
    # All tiers below the most have one scale, to within the rounding to whole tokens.
    assert not scales or max(low for low, _ in scales) <= min(high for _, high in scales)
