"""The search for weights: answers that are known, bounds, resuming, the command, files that are always the same."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.engine import RunnerSettings
from pipeline.errors import UserError
from pipeline.mixture import tune as tuning
from pipeline.mixture.settings import MixtureSettings
from pipeline.mixture.tune import tune_mixture
from pipeline.mixture.tune_command import Command, read_losses
from pipeline.mixture.tune_fit import Bounds, best_weights, design, fit, project
from pipeline.mixture.tune_model import Tuned, TuneSettings
from tests.pipeline.mixture import corpus

HERE = RunnerSettings(workers=0)
TOPICS = ("sea", "land")


def topic(name: str, count: int, seed: int) -> list[dict[str, Any]]:
    """Documents in the 400 words of a topic, common ones more often: what a small model cannot learn at once."""
    rng = random.Random(name)  # noqa: S311
    letters = {"sea": "aeioklmnpst", "land": "aeiubdfgrvz"}[name]
    words = ["".join(rng.choice(letters) for _ in range(rng.randint(3, 7))) for _ in range(400)]
    shares = [1 / (rank + 5) for rank in range(len(words))]
    rng = random.Random(f"{name} {seed}")  # noqa: S311
    return [
        {
            "id": f"{name}-{seed}-{index}",
            "text": " ".join(rng.choices(words, shares, k=12)),
            "score": 0.5,
            "language": "en",
        }
        for index in range(count)
    ]


def mixture(folder: Path, **changes: Any) -> MixtureSettings:
    content: dict[str, Any] = {
        "tokenizer": corpus.tokenizer(folder),
        "tokens": 15_000,
        "sequence_length": 128,
        "seed": 3,
        "split_bytes": 20_000,
        "components": {
            name: {"input": [corpus.write(folder, name, topic(name, 260, 0))], "weight": 0.5}
            for name in TOPICS
        },
    }
    return MixtureSettings.model_validate({**content, **changes})


def held_out(folder: Path, name: str, **counts: int) -> dict[str, tuple[str, ...]]:
    rows = [row for each, count in counts.items() for row in topic(each, count, 1)]
    return {name: (corpus.write(folder, f"held-{name}", rows),)}


def run(folder: Path, output: str = "out", **changes: Any) -> Tuned:
    options = {"search": 14, "tokens": 8000, "held_out_tokens": 20_000, **changes}
    settings = options.pop("settings", None) or mixture(folder)
    return tune_mixture(settings, TuneSettings(**options), str(folder / output), HERE, quiet=True)


# ---- answers that are known


def test_all_weight_goes_to_the_component_that_the_held_out_documents_come_from(tmp_path: Path) -> None:
    result = run(tmp_path, held_out=held_out(tmp_path, "sea", sea=40))
    assert result.proposal.weights["sea"] > 0.95
    assert result.candidates[0].weights == {"sea": 0.5, "land": 0.5}
    assert result.proposal.mean < result.candidates[0].mean
    assert result.held_out[0].fit.rank_correlation > 0.9  # type: ignore[operator]


@pytest.mark.parametrize(("sea", "land", "low", "high"), [(40, 40, 0.38, 0.62), (20, 60, 0.2, 0.45)])
def test_held_out_documents_of_both_have_an_optimum_near_their_mix(
    tmp_path: Path, sea: int, land: int, low: float, high: float
) -> None:
    """Between the mix and even shares: the first documents of a component teach more than its later ones."""
    result = run(tmp_path, held_out=held_out(tmp_path, "both", sea=sea, land=land))
    assert low <= result.proposal.weights["sea"] <= high
    assert low <= result.predicted.weights["sea"] <= high
    worst = max(each.mean for each in result.candidates)
    assert abs(result.predicted.mean - result.checked.mean) < 0.2 * (worst - result.proposal.mean)


def test_importance_moves_the_optimum(tmp_path: Path) -> None:
    sets = held_out(tmp_path, "sea", sea=40) | held_out(tmp_path, "land", land=40)
    even = run(tmp_path, held_out=sets)
    uneven = run(tmp_path, held_out=sets, importance={"sea": 4.0})
    assert even.proposal.weights["sea"] == pytest.approx(0.5, abs=0.12)
    assert uneven.proposal.weights["sea"] > even.proposal.weights["sea"] + 0.1
    loss = uneven.proposal.loss
    assert uneven.proposal.mean == pytest.approx((4 * loss["sea"] + loss["land"]) / 5)


# ---- samples


def test_documents_that_are_held_out_are_not_trained_on(tmp_path: Path) -> None:
    settings = mixture(tmp_path)
    leaked = {"leaked": (str(tmp_path / "sea" / "0.parquet"),)}
    result = run(tmp_path, settings=settings, held_out=leaked, held_out_tokens=1000)
    assert result.excluded == {"sea": 130, "land": 0}
    assert result.held_out[0].documents < result.held_out[0].documents_there == 130


def test_bounds_of_the_user_and_of_what_is_there(tmp_path: Path) -> None:
    content = mixture(tmp_path).model_dump(by_alias=True)
    sets = held_out(tmp_path, "sea", sea=20)
    there = run(tmp_path, "first", held_out=sets).bounds
    short = MixtureSettings.model_validate({**content, "tokens": 20_000})
    bounds = run(tmp_path, "second", held_out=sets, settings=short).bounds
    assert there.high == (1.0, 1.0)
    assert bounds.high[0] < 1
    held = run(tmp_path, "third", held_out=sets, bounds={"sea": (0.2, 0.7)})
    assert held.proposal.weights["sea"] <= 0.7
    assert all(0.2 <= each.weights["sea"] <= 0.7 for each in held.candidates)
    large = MixtureSettings.model_validate({**content, "tokens": 10_000_000})
    with pytest.raises(UserError, match="no weights that add up to 1"):
        run(tmp_path, "fourth", held_out=sets, settings=large)


def test_tiers_and_epochs_are_those_of_the_mixture(tmp_path: Path) -> None:
    content = mixture(tmp_path).model_dump(by_alias=True)
    content["components"]["sea"] |= {
        "max_epochs": 4,
        "tiers": {"column": "score", "steps": [{"min": 0.4, "epochs": 2}]},
    }
    result = run(
        tmp_path,
        settings=MixtureSettings.model_validate({**content, "tokens": 60_000}),
        tokens=60_000,
        held_out=held_out(tmp_path, "sea", sea=20),
    )
    assert result.bounds.high[0] == 1.0
    assert result.proposal.weights["sea"] > 0.9


# ---- runs


def test_same_inputs_give_the_same_bytes_and_nothing_is_measured_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = held_out(tmp_path, "sea", sea=20)
    settings = mixture(tmp_path)
    run(tmp_path, "one", held_out=sets, settings=settings)
    run(tmp_path, "two", held_out=sets, settings=settings)
    names = ("tune.json", "tune.html", "mixture.yaml")
    before = [(tmp_path / "one" / name).read_bytes() for name in names]
    assert before == [(tmp_path / "two" / name).read_bytes() for name in names]

    (tmp_path / "one" / "tune.json").unlink()
    asked: list[int] = []
    measure = tuning._ngram_losses
    monkeypatch.setattr(
        tuning, "_ngram_losses", lambda run, tried: asked.append(len(tried)) or measure(run, tried)
    )
    run(tmp_path, "one", held_out=sets, settings=settings)
    assert asked == []
    assert before == [(tmp_path / "one" / name).read_bytes() for name in names]
    next((tmp_path / "one" / "candidates").glob("*.json")).unlink()
    run(tmp_path, "one", held_out=sets, settings=settings)
    assert asked == [1]
    assert before == [(tmp_path / "one" / name).read_bytes() for name in names]


def test_files(tmp_path: Path) -> None:
    candidates = tuple({"sea": share, "land": 1 - share} for share in (0.0, 0.2, 0.5, 0.8, 1.0))
    result = run(
        tmp_path, search=0, rounds=1, candidates=candidates, held_out=held_out(tmp_path, "sea", sea=20)
    )
    written = json.loads((tmp_path / "out" / "tune.json").read_text())
    assert Tuned.model_validate(written) == result
    proposed = yaml.safe_load((tmp_path / "out" / "mixture.yaml").read_text())
    assert proposed["components"]["sea"]["weight"] == result.proposal.weights["sea"]
    page = (tmp_path / "out" / "tune.html").read_text()
    assert page.count("<circle") == 2 * (len(candidates) + 2) + len(candidates) + 1
    assert "http" not in page.replace("http-equiv", "")
    each = result.candidates[2]
    held = result.held_out[0]
    assert each.loss_per_byte["sea"] == pytest.approx(each.loss["sea"] * held.tokens / held.bytes)


# ---- the command


PROXY = """
import json, sys
about = json.load(open(sys.argv[-1]))
with open(sys.argv[1], "a") as log:
    log.write("x")
mixture = json.load(open(about["mixture"]))
assert set(mixture["components"]) == {name for name, share in about["weights"].items() if share}
print("training")
print(json.dumps({"loss": {name: 1 + (about["weights"]["sea"] - 0.3) ** 2 for name in about["held_out"]}}))
"""


def test_the_users_command_is_the_proxy(tmp_path: Path) -> None:
    (tmp_path / "proxy.py").write_text(PROXY)
    log = tmp_path / "log"
    command = Command(line=f"'{sys.executable}' '{tmp_path}/proxy.py' '{log}' {{}}", timeout=30)
    sets = held_out(tmp_path, "sea", sea=20)
    candidates = tuple({"sea": share, "land": 1 - share} for share in np.linspace(0, 1, 10).tolist())
    options: dict[str, Any] = {
        "settings": mixture(tmp_path),
        "search": 0,
        "candidates": candidates,
        "held_out": sets,
        "command": command,
        "rounds": 1,
    }
    result = run(tmp_path, **options)
    assert result.proxy == "command"
    assert result.proposal.weights["sea"] == pytest.approx(0.3, abs=0.1)
    assert len(log.read_text()) == len(candidates) + 1
    run(tmp_path, **options)
    assert len(log.read_text()) == len(candidates) + 1


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys; sys.exit('no GPU')", "ended with code 1:\nno GPU"),
        ("print('hello')", "not JSON: 'hello'"),
        ("print('{}')", 'has no "loss"'),
        ('print(\'{"loss": {"sea": NaN}}\')', 'no number for the held-out set "sea"'),
        ("import time; time.sleep(60)", "took more than 1 s"),
    ],
)
def test_a_command_that_fails_says_how(tmp_path: Path, code: str, message: str) -> None:
    (tmp_path / "proxy.py").write_text(code)
    command = Command(line=f"'{sys.executable}' '{tmp_path}/proxy.py'", timeout=1 if "sleep" in code else 30)
    with pytest.raises(UserError) as caught:
        run(tmp_path, held_out=held_out(tmp_path, "sea", sea=5), command=command)
    assert message in caught.value.message


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    command = Command(line="corpusmill-no-such-program")
    with pytest.raises(UserError, match="cannot be started"):
        run(tmp_path, held_out=held_out(tmp_path, "sea", sea=5), command=command)
    with pytest.raises(ValueError, match="quotation"):
        Command(line="open 'quote")
    assert read_losses('note\n{"loss": {"a": 1, "b": 2}}\n\n', ["a"], ["x"]) == {"a": 1.0}


# ---- mistakes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"search": 0}, "nothing is to be tried"),
        ({"search": 2}, "2 candidates are too few"),
        ({"bounds": {"see": (0, 1)}}, 'Did you mean "sea"'),
        ({"bounds": {"sea": (0.6, 0.4)}}, "no weights that add up"),
        ({"importance": {"sea": -1}}, "above 0"),
        ({"candidates": ({"sea": -1.0, "land": 1.0},)}, "weights are numbers"),
        ({"tokens": 30_000}, "--tokens 30,000"),
        ({"held_out": {"sea": ("/nowhere/*.parquet",)}}, "/nowhere"),
    ],
)
def test_mistakes(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    sets = held_out(tmp_path, "sea", sea=5)
    with pytest.raises(UserError) as caught:
        run(tmp_path, **{"held_out": sets, **changes})
    assert message in caught.value.message


# ---- design and fit


def test_the_design_is_within_the_bounds_and_adds_up() -> None:
    bounds = Bounds(names=("a", "b", "c"), low=(0.1, 0.0, 0.0), high=(0.9, 0.5, 1.0))
    points = design([0.5, 0.3, 0.2], 40, 1, bounds)
    assert points == design([0.5, 0.3, 0.2], 40, 1, bounds)
    assert points != design([0.5, 0.3, 0.2], 40, 2, bounds)
    assert points[0] == (0.5, 0.3, 0.2)
    assert len(set(points)) == len(points) == 40
    for point in points:
        assert sum(point) == pytest.approx(1, abs=1e-9)
        assert all(
            low - 2e-6 <= each <= high + 2e-6
            for each, low, high in zip(point, bounds.low, bounds.high, strict=True)
        )
    assert project([1, 1, 0], bounds) == pytest.approx((0.5, 0.5, 0), abs=1e-5)


def test_fits_predict_what_they_have_not_seen() -> None:
    bounds = Bounds(names=("a", "b", "c"), low=(0.0,) * 3, high=(1.0,) * 3)
    points = np.array(design([0.5, 0.3, 0.2], 40, 5, bounds))
    losses = 3 - 0.5 * np.log(points[:, 0] + 0.01) - 0.25 * np.log(points[:, 1] + 0.01)
    found = fit(points, losses, np.ones(len(points)))
    assert found.form.startswith(("logarithmic", "quadratic"))
    assert found.left_out_error < 1e-3
    best = best_weights({"x": found}, {"x": 1.0}, points, bounds)
    assert best == pytest.approx((2 / 3, 1 / 3, 0), abs=0.02)
    for row in (0, 7):
        rest = np.arange(len(points)) != row
        other = fit(points[rest], losses[rest], np.ones(len(points) - 1))
        if other.form == found.form:
            assert found.left_out[row] == pytest.approx(other.predict(points[row : row + 1])[0], abs=1e-3)
