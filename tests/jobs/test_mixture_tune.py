"""`corpusmill mixture tune`: options, table, files and messages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from jobs.mixture import mixture
from tests.pipeline.mixture import corpus


def command(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(mixture, ["tune", *arguments], catch_exceptions=False)
    return result.exit_code, result.output


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    """A mixture of two components, and documents of one of them held out."""
    components = {
        name: {"input": [corpus.write(tmp_path, name, corpus.documents(name, 200))], "weight": weight}
        for name, weight in (("web", 0.6), ("math", 0.4))
    }
    content = {"tokenizer": corpus.tokenizer(tmp_path), "tokens": 5000, "components": components}
    path = tmp_path / "mixture.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    held = corpus.write(tmp_path, "held", corpus.documents("web", 20, seed=1))
    given = ["--config", str(path), "--output", str(tmp_path / "out"), "--workers", "0"]
    return [*given, "--held-out", f"web={held}"]


def test_search(options: list[str], tmp_path: Path) -> None:
    code, text = command(
        *options,
        "--search",
        "8",
        "--tokens",
        "2k",
        "--bounds",
        "web=0.2:0.9",
        "--importance",
        "web=2",
        "--rounds",
        "1",
    )
    assert code == 0, text
    assert "proposed" in text
    assert "8 sets of weights tried, 3-gram, 2,000 tokens each" in text
    assert "web: 20 of 20 documents measured" in text
    result = json.loads((tmp_path / "out" / "tune.json").read_text())
    assert result["held_out"][0]["importance"] == 2
    assert result["bounds"]["low"] == [0.2, 0.0]
    proposed = tmp_path / "out" / "mixture.yaml"
    assert sum(each["weight"] for each in yaml.safe_load(proposed.read_text())["components"].values()) == (
        pytest.approx(1)
    )
    assert (tmp_path / "out" / "tune.html").exists()


def test_candidates(options: list[str], tmp_path: Path) -> None:
    path = tmp_path / "candidates.yaml"
    path.write_text("[{web: 1, math: 1}, {web: 3, math: 1}, {web: 1, math: 3}]")
    code, text = command(*options, "--candidates", str(path), "--order", "2", "--rounds", "1")
    assert code == 0, text
    assert "3 sets of weights tried, 2-gram, 5,000 tokens each" in text


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "nothing is to be tried"),
        (["--search", "4", "--bounds", "web"], "--bounds web: write NAME=LOW:HIGH"),
        (["--search", "4", "--bounds", "web=1"], "bounds"),
        (["--search", "4", "--importance", "web=much"], "importance"),
        (["--search", "4", "--tokens", "many"], "--tokens: 'many' is no number of tokens"),
        (["--candidates", "/nowhere.yaml"], "--candidates /nowhere.yaml"),
        (["--search", "4", "--command", "'"], "command"),
        (["--search", "4", "--bounds", "wep=0:1"], 'Did you mean "web"'),
    ],
)
def test_mistakes(options: list[str], more: list[str], message: str) -> None:
    code, text = command(*options, *more)
    assert code == 2, text
    assert message in text
    assert "Traceback" not in text


def test_held_out_is_needed(options: list[str]) -> None:
    code, text = command(*options[:-2], "--search", "4")
    assert code == 2
    assert "--held-out NAME=GLOB is missing" in text


def test_candidates_are_a_list(options: list[str], tmp_path: Path) -> None:
    path = tmp_path / "candidates.yaml"
    path.write_text("web: 1")
    code, text = command(*options, "--candidates", str(path))
    assert code == 2
    assert "write a list of weights" in text


def test_held_out_documents_of_a_built_mixture(options: list[str], tmp_path: Path) -> None:
    path = tmp_path / "mixture.yaml"
    content = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**content, "held_out": {"share": 0.1}}))
    built = CliRunner().invoke(
        mixture, ["build", "--config", str(path), "--output", str(tmp_path / "built"), "--workers", "0"]
    )
    assert built.exit_code == 0, built.output
    held = tmp_path / "built" / "held_out" / "web.parquet"
    code, text = command(*options[:-2], "--held-out", f"web={held}", "--search", "6", "--tokens", "2k")
    assert code == 0, text
    assert "held out too" not in text
    result = json.loads((tmp_path / "out" / "tune.json").read_text())
    assert result["held_out"][0]["bytes"] > 0
