"""The mixture's YAML: what is taken, and what is said about mistakes."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config import validate
from pipeline.errors import UserError
from pipeline.mixture.settings import MixtureSettings, parse_count


def content(**changes: Any) -> dict[str, Any]:
    components = {"web": {"input": ["a.parquet"], "weight": 1}}
    return {"tokenizer": "t", "tokens": "1e6", "components": components, **changes}


def component(**changes: Any) -> dict[str, Any]:
    return content(components={"web": {"input": ["a.parquet"], "weight": 1, **changes}})


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("6.3T", 6_300_000_000_000),
        ("100B", 10**11),
        ("100g", 10**11),
        ("1e9", 10**9),
        ("4_000_000", 4_000_000),
        ("12k", 12_000),
        (1e6, 1_000_000),
        (5, 5),
    ],
)
def test_numbers_of_tokens_are_exact(written: Any, meant: int) -> None:
    assert validate(MixtureSettings, content(tokens=written), "test").tokens == meant


@pytest.mark.parametrize("written", ["many", "1.5", "-3", "1e9x", ""])
def test_what_is_no_number_of_tokens(written: str) -> None:
    with pytest.raises(ValueError, match=r"no number|not a whole"):
        parse_count(written)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            content(sequnce_length=5),
            'sequnce_length: there is no such setting. Did you mean "sequence_length"?',
        ),
        (component(wieght=1), 'components.web.wieght: there is no such setting. Did you mean "weight"?'),
        (component(tokens=5), "give `weight` or `tokens`, not both"),
        (component(weight=None), "give `weight`, `tokens`, or `tiers`"),
        (component(max_epochs=0), "components.web.max_epochs"),
        (component(max_epochs=256), "components.web.max_epochs"),
        (component(weight=float("inf")), "components.web.weight"),
        (component(filters={"score": {}}), "a rule needs min, max, in or not_in"),
        (
            component(tiers={"column": "s", "steps": [{"epochs": 1}, {"min": 1, "epochs": 2}]}),
            "only the last step may be without `min`",
        ),
        (
            component(tiers={"column": "s", "steps": [{"min": 1, "epochs": 1}, {"min": 1, "epochs": 2}]}),
            "steps go from the highest `min`",
        ),
        (
            component(weight=None, tiers={"column": "s", "steps": [{"epochs": 2}]}),
            "tiers ask for 2 epochs, and max_epochs is 1",
        ),
        (content(tokens=None), "`tokens`, the size of the mixture, is missing (web: weight)"),
        (
            content(components={"web": {"tokens": 5}}),
            "`tokens` divides itself among weights, and no component has one",
        ),
        (
            content(tokens=5, components={"web": {"weight": 1}, "code": {"tokens": 5}}),
            "components ask for 5 tokens of their own, and the mixture has 5",
        ),
        (content(components={"Web site": {"weight": 1}}), "the name 'Web site'"),
        (content(components={}), "components"),
        (content(packing="worst"), "packing"),
        (content(shortage="repeat"), "shortage"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mistakes_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        validate(MixtureSettings, given, "mixture.yaml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("mixture.yaml:\n")
