"""The `corpusmill mixture` commands: tables, files, exit codes and messages."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from jobs.mixture import PRESETS, configure, mixture
from pipeline.errors import UserError
from tests.pipeline.mixture import corpus


def command(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(mixture, list(arguments), catch_exceptions=False)
    return result.exit_code, result.output


@pytest.fixture
def config(tmp_path: Path) -> Path:
    settings = corpus.settings(tmp_path)
    path = tmp_path / "mixture.yaml"
    path.write_text(
        yaml.safe_dump(settings.model_dump(mode="json", by_alias=True, exclude_none=True), sort_keys=False)
    )
    return path


def test_plan_build_verify_and_tamper(config: Path, tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    code, text = command("plan", "--config", str(config), "--output", output, "--workers", "0")
    assert code == 0, text
    assert "share got" in text
    assert "60.00%" in text
    assert "code: 120 read; left out: filter language" in text
    assert json.loads((tmp_path / "out" / "plan.json").read_text())["components"][0]["quota"] == 24_000
    assert not (tmp_path / "out" / "sequences").exists()

    code, text = command("build", "--config", str(config), "--output", output, "--workers", "0")
    assert code == 0, text
    assert "3 shards" in text

    code, text = command("verify", "--config", str(config), "--output", output, "--workers", "0")
    assert (code, "nothing is wrong" in text) == (0, True), text

    code, text = command("build", "--config", str(config), "--output", output, "--workers", "0")
    assert "complete already" in text

    code, text = command(
        *("export", "--format", "megatron", "--to", str(tmp_path / "to")),
        *("--output", output, "--workers", "0"),
    )
    assert code == 0, text
    assert "in 6 files" in text

    shard = tmp_path / "out" / "sequences" / "shard-00001-of-00003.parquet"
    pq.write_table(pq.read_table(shard).slice(1), shard)
    code, text = command("verify", "--output", output, "--workers", "0", "--without-inputs")
    assert code == 1
    assert "shard-00001-of-00003.parquet: its SHA-256 is" in text
    assert "Traceback" not in text


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_the_recipes_stages(preset: str, tmp_path: Path) -> None:
    code, text = command("plan", "--preset", preset, "--print-config")
    assert code == 0
    names = list(yaml.safe_load(text)["components"])
    settings = configure(
        None, preset, [f"{name}=/data/{name}/*.parquet" for name in names], str(tmp_path), "100B"
    )
    assert settings.sequence_length == {"core": 4096, "continued": 8192, "context": 32768}[preset]
    assert settings.tokens == 10**11
    assert sum(each.weight or 0 for each in settings.components.values()) == pytest.approx(1)
    assert settings.components["web"].input == ("/data/web/*.parquet",)


def test_the_continued_stage_moves_towards_math_and_code() -> None:
    core, continued = (configure(None, name, tokenizer="t").components for name in ("core", "continued"))
    assert (continued["web"].weight or 0) < (core["web"].weight or 0)
    assert all((continued[name].weight or 0) > (core[name].weight or 0) for name in ("math", "code"))
    assert "licensed" in continued
    assert "licensed" not in core


def test_what_is_held_out_is_held_out_in_all_stages() -> None:
    shares = {configure(None, name, tokenizer="t").held_out.share for name in PRESETS}
    assert len(shares) == 1
    assert shares != {0}


def test_options_go_over_the_file(config: Path, tmp_path: Path) -> None:
    settings = configure(
        str(config), None, ["web=a.parquet", "web=b.parquet"], "elsewhere", "5k", without=["math"]
    )
    assert list(settings.components) == ["web", "code"]
    assert settings.components["web"].input == (
        str(Path.cwd() / "a.parquet"),
        str(Path.cwd() / "b.parquet"),
    )
    assert settings.tokens == 5000
    assert settings.tokenizer == str(Path.cwd() / "elsewhere")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--config FILE or --preset NAME is missing"),
        (["--preset", "cor"], 'Did you mean "core"?'),
        (["--preset", "core", "--input", "wbe=x"], "there is no component 'wbe'. Did you mean \"web\"?"),
        (["--preset", "core", "--input", "x.parquet"], "write NAME=GLOB"),
        (["--preset", "core", "--without", "cod"], 'Did you mean "code"?'),
        (["--preset", "core"], "tokenizer: Field required"),
        (["--preset", "core", "--tokenizer", "/nowhere"], "tokenizer: /nowhere"),
        (["--config", "/nowhere.yaml"], "/nowhere.yaml"),
        (["--print-config"], "--preset is missing"),
        (["--preset", "core", "--tokens", "lots", "--tokenizer", "t"], "'lots' is no number of tokens"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_messages(arguments: list[str], message: str, tmp_path: Path) -> None:
    code, text = command("plan", *arguments, "--output", str(tmp_path / "out"))
    assert code == 2
    assert message in text
    assert "Traceback" not in text


def test_a_config_that_is_no_mapping_of_components(tmp_path: Path) -> None:
    path = tmp_path / "mixture.yaml"
    path.write_text("tokenizer: t\ncomponents: [web]\n")
    with pytest.raises(UserError, match="components: Input should be a valid dictionary"):
        configure(str(path))


def test_questions_are_made_and_checked(config: Path, tmp_path: Path) -> None:
    arguments = (
        *("--input", str(tmp_path / "math" / "*.parquet"), "--tokenizer", str(tmp_path / "tokenizer")),
        *("--length", "1200", "--output", str(tmp_path / "questions"), "--workers", "0"),
    )
    code, text = command("questions", *arguments)
    assert code == 0, text
    assert "of 100 documents used" in text
    code, text = command("questions", *arguments, "--check")
    assert (code, text) == (0, "nothing is wrong\n")
    for given, missing in (
        (["--tokenizer", "t"], "--input"),
        (["--input", "x.parquet"], "--tokenizer"),
        (["--input", "x.parquet", "--tokenizer", "t"], "--output"),
    ):
        code, text = command("questions", *given)
        assert (code, f"{missing} is missing" in text) == (2, True)
