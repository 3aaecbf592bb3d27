from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from decontam.settings import DecontaminationSettings


def test_the_defaults_are_the_recipe_s() -> None:
    settings = DecontaminationSettings()
    assert (settings.min_words, settings.max_words, settings.threshold) == (4, 13, 1000)
    assert (settings.rule, settings.parts) == ("item", ("prompt",))


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_words": 3},
        {"min_words": 14},
        {"max_words": 14},
        {"max_words": 3},
        {"threshold": 0},
        {"threshold": "automatic"},
        {"rule": "some"},
        {"unit": "page"},
        {"parts": ()},
        {"parts": ("question",)},
        {"parts": ("prompt", "prompt")},
        {"treshold": 10},
    ],
)
def test_settings_out_of_bounds_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DecontaminationSettings(**wrong)


def test_settings_survive_json() -> None:
    settings = DecontaminationSettings(benchmarks="b.yaml", threshold="auto", skip=("a",))
    assert DecontaminationSettings.model_validate_json(settings.model_dump_json()) == settings
