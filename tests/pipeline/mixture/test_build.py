"""A mixture from Parquet documents to sequences: whole, exact, the same whatever the workers, resumed, refused."""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.engine import RunnerSettings
from pipeline.errors import UserError
from pipeline.mixture import build as module
from pipeline.mixture.build import build_mixture, plan_mixture
from pipeline.mixture.documents import id_bytes
from pipeline.mixture.layout import METADATA, SCHEMA
from pipeline.mixture.settings import MixtureSettings
from tests.pipeline.mixture import corpus
from tokenizer import load

HERE = RunnerSettings(workers=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mixture")


@pytest.fixture(scope="module")
def settings(folder: Path) -> MixtureSettings:
    return corpus.settings(folder, held_out={"share": 0.05})


@pytest.fixture(scope="module")
def built(folder: Path, settings: MixtureSettings) -> Path:
    build_mixture(settings, str(folder / "out"), HERE)
    return folder / "out"


def checksums(output: Path) -> dict[str, str]:
    return {
        str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(output.rglob("*"))
        if path.is_file() and "work" not in path.parts
    }


def sequences(output: Path) -> Iterator[dict[str, Any]]:
    for path in sorted((output / "sequences").iterdir()):
        yield from pq.read_table(path).to_pylist()


def copies(output: Path) -> dict[tuple[int, bytes, int], list[int]]:
    """Every appearance (source, id, epoch) with its tokens, its pieces put together."""
    pieces: dict[tuple[int, bytes, int], dict[int, list[int]]] = {}
    for row in sequences(output):
        at = 0
        for size, source, name, offset, epoch in zip(
            row["doc_lens"], row["source"], row["doc_id"], row["doc_offset"], row["epoch"], strict=False
        ):
            pieces.setdefault((source, name, epoch), {})[offset] = row["input_ids"][at : at + size]
            at += size
    return {
        key: [token for offset in sorted(found) for token in found[offset]] for key, found in pieces.items()
    }


def manifest(output: Path) -> dict[str, Any]:
    return json.loads((output / "manifest.json").read_text())


def test_documents_come_out_as_they_went_in(built: Path, settings: MixtureSettings) -> None:
    encoder = load(settings.tokenizer)
    texts = {
        id_bytes(row["id"]): row["text"]
        for name in ("web", "math", "code")
        for row in corpus.documents(name, 600, longest=40 if name == "math" else 12)
    }
    found = copies(built)
    assert len(found) > 300
    for (_, name, _), tokens in found.items():
        assert tokens[-1] == encoder.eos_id
        assert encoder.decode(tokens[:-1]) == texts[name]


def test_every_sequence_has_the_length_and_its_boundaries(built: Path) -> None:
    cut: Counter[Any] = Counter()
    for row in sequences(built):
        assert len(row["input_ids"]) == sum(row["doc_lens"]) == 128
        pieces = len(row["doc_lens"]) - (row["n_pad"] > 0)
        assert [len(row[name]) for name in ("source", "doc_id", "doc_offset", "epoch")] == [pieces] * 4
        assert row["input_ids"][128 - row["n_pad"] :] == [3] * row["n_pad"]
        cut.update(zip(row["source"], row["doc_id"], row["epoch"], strict=True))
    long = {key for key, count in cut.items() if count > 1}
    assert long
    assert long == {key for key, tokens in copies(built).items() if len(tokens) > 128}


@pytest.mark.parametrize("where", ["sentence", "token"])
def test_long_documents_are_cut_where_the_settings_say(
    folder: Path, settings: MixtureSettings, where: str
) -> None:
    output = folder / where
    made = settings.model_copy(update={"long_documents": where, "tokens": 30_000})
    build_mixture(made, str(output), HERE, tokens=str(folder / "tokens"))
    encoder = load(settings.tokenizer)
    last: list[str] = []
    for row in sequences(output):
        ends = itertools.accumulate(row["doc_lens"])
        last += [
            encoder.decode(row["input_ids"][end - 2 : end])
            for end in ends
            if end <= 128 - row["n_pad"] and row["input_ids"][end - 1] != encoder.eos_id
        ]
    assert len(last) > 20  # pieces that are not the last of their document
    at_ends = sum(text.rstrip(" ").endswith((".", "!", "?", "\n")) for text in last)
    assert at_ends == len(last) if where == "sentence" else at_ends < len(last) / 2


def test_filters_tiers_and_held_out_documents(built: Path) -> None:
    code = {id_bytes(row["id"]): row for row in corpus.documents("code", 120)}
    held = {
        name: {row["doc_id"] for row in pq.read_table(built / "held_out" / f"{name}.parquet").to_pylist()}
        for name in ("web", "code")
    }
    seen = Counter(name for source, name, _ in copies(built) if source == 2)
    wanted = {name for name, row in code.items() if row["language"] == "en" and row["score"] >= 0.3}
    assert set(seen) <= wanted - held["code"]
    assert held["code"] <= wanted
    assert {code[name]["score"] >= 0.8 for name, count in seen.items() if count >= 2} == {True}
    assert len(held["web"]) == manifest(built)["components"]["web"]["held_out"] > 0
    assert not {name for _, name, _ in copies(built)} & (held["web"] | held["code"])


def test_files_say_what_they_are(built: Path) -> None:
    path = built / "sequences" / "shard-00001-of-00003.parquet"
    file = pq.ParquetFile(path)
    about = json.loads(file.schema_arrow.metadata[METADATA.encode()])
    assert file.schema_arrow.equals(SCHEMA)
    assert about["plan"] == json.loads((built / "plan.json").read_text())["digest"]
    assert about["sources"] == ["web", "math", "code"]
    assert (about["shard"], about["sequence_length"], about["eos_id"], about["pad_id"]) == (1, 128, 2, 3)
    column = file.metadata.row_group(0).column(1)
    assert column.compression == "ZSTD"
    assert not any("DICTIONARY" in each for each in column.encodings)
    assert not (built / "work").exists()


def test_workers_do_not_matter(folder: Path, settings: MixtureSettings, built: Path) -> None:
    outcome = build_mixture(settings, str(folder / "two"), RunnerSettings(workers=2))
    assert checksums(folder / "two") == checksums(built)
    assert {cost.phase for cost in outcome.costs} == {
        "tokens",
        "order.map",
        "order.reduce",
        "pack",
        "held_out",
    }


def test_a_build_goes_on_where_it_was_killed(
    folder: Path, settings: MixtureSettings, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = folder / "killed"
    with monkeypatch.context() as patch:
        patch.setattr(module, "_write_held_out", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build_mixture(settings, str(output), HERE)
    shard = output / "sequences" / "shard-00000-of-00003.parquet"
    before = shard.stat().st_mtime_ns
    assert not (output / "manifest.json").exists()
    build_mixture(settings, str(output), HERE)
    assert shard.stat().st_mtime_ns == before
    assert checksums(output) == checksums(built)
    assert build_mixture(settings, str(output), HERE).was_complete


def test_another_mixture_does_not_go_over_a_built_one(
    folder: Path, settings: MixtureSettings, built: Path
) -> None:
    other = settings.model_copy(update={"seed": 8})
    before = checksums(built)
    with pytest.raises(UserError, match=r"configuration\.seed: 7 -> 8"):
        build_mixture(other, str(built), HERE)
    with pytest.raises(UserError, match="other settings or inputs"):
        plan_mixture(other, str(built), HERE)
    assert checksums(built) == before
    assert plan_mixture(settings, str(built), HERE).digest == manifest(built)["plan"]["digest"]


def test_overwriting_leaves_nothing_of_the_former(folder: Path, settings: MixtureSettings) -> None:
    output = folder / "overwritten"
    build_mixture(settings.model_copy(update={"shards": 5}), str(output), HERE)
    build_mixture(settings, str(output), HERE, overwrite=True)
    assert len(list((output / "sequences").iterdir())) == 3


def test_weights_are_changed_without_encoding_again(folder: Path, settings: MixtureSettings) -> None:
    shared, output = str(folder / "tokens"), str(folder / "planned")
    plan_mixture(settings, output, HERE, tokens=shared)
    before = {path.name: path.stat().st_mtime_ns for path in (folder / "tokens").glob("*.tokens")}
    assert before
    less = settings.model_copy(update={"tokens": 30_000, "seed": 3, "sequence_length": 64})
    assert plan_mixture(less, output, HERE, tokens=shared).tokens == 30_000
    after = {path.name: path.stat().st_mtime_ns for path in (folder / "tokens").glob("*.tokens")}
    assert after == before


def test_a_larger_mixture_keeps_the_places_of_a_smaller_one(folder: Path, settings: MixtureSettings) -> None:
    def places(tokens: int) -> dict[tuple[int, bytes, int], str]:
        output = folder / f"size-{tokens}"
        larger = settings.model_copy(update={"tokens": tokens})
        build_mixture(larger, str(output), HERE, tokens=str(folder / "tokens"))
        return {
            (source, name, epoch): path.name
            for path in sorted((output / "sequences").iterdir())
            for row in pq.read_table(path).to_pylist()
            for source, name, epoch in zip(row["source"], row["doc_id"], row["epoch"], strict=True)
        }

    small, large = places(30_000), places(41_000)
    assert len(small) < len(large)
    assert all(large[key] == place for key, place in small.items() if key in large)
    assert len(small.keys() - large.keys()) <= 3 * 4  # at the edges of three shards, four tiers


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"filters": {"langauge": {"in": ["en"]}}}, 'has no column "langauge". Did you mean "language"?'),
        ({"filters": {"language": {"min": 1}}}, 'the column "language" holds string, not numbers'),
        ({"tiers": {"column": "scores", "steps": [{"epochs": 1}]}}, 'Did you mean "score"?'),
        ({"id": "key"}, "`id: null` identifies documents by their text"),
        ({"text": "body"}, 'no column "body"'),
        ({"input": ["/nowhere/*.parquet"]}, "no file matches /nowhere"),
        ({"input": []}, "components.web: no input is given"),
    ],
    ids=["filter", "filter type", "tier", "id", "text", "input", "no input"],
)
def test_mistakes_are_found_before_anything_is_read(
    folder: Path, settings: MixtureSettings, changes: dict[str, Any], message: str
) -> None:
    web = settings.components["web"].model_dump(by_alias=True) | changes
    components = {"web": web, "math": settings.components["math"].model_dump(by_alias=True)}
    wrong = MixtureSettings.model_validate({**settings.model_dump(by_alias=True), "components": components})
    with pytest.raises(UserError) as caught:
        build_mixture(wrong, str(folder / "wrong"), HERE)
    assert message in str(caught.value)
    assert not (folder / "wrong" / "plan.json").exists()


def test_a_document_given_twice_is_refused(folder: Path, settings: MixtureSettings) -> None:
    rows = corpus.documents("web", 600)
    corpus.write(folder, "twice", [*rows, rows[0]])
    web = settings.components["web"].model_copy(update={"input": (str(folder / "twice" / "*.parquet"),)})
    wrong = settings.model_copy(update={"components": {**settings.components, "web": web}})
    with pytest.raises(UserError, match=r"components\.web: the id .* stands twice"):
        build_mixture(wrong, str(folder / "twice-out"), HERE)


def test_more_shards_than_documents_are_refused(folder: Path, settings: MixtureSettings) -> None:
    many = settings.model_copy(update={"shards": 2000})
    with pytest.raises(UserError, match="ask for fewer `shards`"):
        build_mixture(many, str(folder / "many"), HERE, tokens=str(folder / "tokens"))


def test_empty_texts_are_counted_and_left_out(folder: Path, settings: MixtureSettings) -> None:
    rows = corpus.documents("web", 600)
    rows[3]["text"], rows[5]["text"] = "", None
    glob = corpus.write(folder, "empty", rows)
    web = settings.components["web"].model_copy(update={"input": (glob,)})
    some = settings.model_copy(update={"components": {**settings.components, "web": web}})
    plan = plan_mixture(some, str(folder / "empty-out"), HERE)
    assert plan.components[0].left_out == {"empty": 1, "no text": 1}
    assert plan.components[0].read == 600


def test_tasks_import_no_beam() -> None:
    """Worker processes import the modules of tasks; Beam would cost each of them two seconds."""
    modules = ["tokens", "select", "sequences", "held_out", "judge", "export", "long_context", "reader"]
    code = (
        f"import sys, {', '.join(f'pipeline.mixture.{name}' for name in modules)}; "
        "sys.exit('apache_beam' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
