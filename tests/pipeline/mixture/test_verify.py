"""Verification passes what was built, and says what and where when a file was changed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.engine import RunnerSettings
from pipeline.errors import UserError
from pipeline.mixture.build import build_mixture
from pipeline.mixture.check import check_file
from pipeline.mixture.layout import SCHEMA
from pipeline.mixture.plan import MixturePlan
from pipeline.mixture.sequences import ShardWritten
from pipeline.mixture.settings import MixtureSettings
from pipeline.mixture.verify import verify_mixture
from tests.pipeline.mixture import corpus

HERE = RunnerSettings(workers=0)
SHARD = "sequences/shard-00001-of-00003.parquet"

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> MixtureSettings:
    folder = tmp_path_factory.mktemp("mixture")
    made = corpus.settings(folder, held_out={"share": 0.05}, tokens=60_000)
    web = made.components["web"].model_copy(update={"max_epochs": 2.0, "weight": 1.2})
    return made.model_copy(update={"components": {**made.components, "web": web}})


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, settings: MixtureSettings) -> Path:
    output = tmp_path_factory.mktemp("original") / "out"
    build_mixture(settings, str(output), HERE)
    return output


@pytest.fixture
def built(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "out"))


def findings(output: Path, **options: Any) -> list[str]:
    return verify_mixture(str(output), HERE, **options).findings


def change(output: Path, edit: Callable[[Rows], object], *, resign: bool = True) -> None:
    """Rewrite a shard; with `resign` the manifest is made to agree with the changed file."""
    path = output / SHARD
    before = pq.read_table(path)
    rows = before.to_pylist()
    edit(rows)
    pq.write_table(pa.Table.from_pylist(rows, before.schema), path)
    if not resign:
        return
    manifest = json.loads((output / "manifest.json").read_text())
    content = path.read_bytes()
    manifest["shards"][1].update(
        sha256=hashlib.sha256(content).hexdigest(), bytes=len(content), rows=len(rows)
    )
    (output / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("packing", ["best_fit", "concat"])
@pytest.mark.parametrize("marks", [(True, False), (True, True), (False, False)], ids=str)
def test_what_was_built_is_sound(
    tmp_path: Path, settings: MixtureSettings, packing: str, marks: tuple[bool, bool]
) -> None:
    made = settings.model_copy(update={"packing": packing, "eos": marks[0], "bos": marks[1]})
    outcome = build_mixture(made, str(tmp_path / "out"), HERE)
    found = verify_mixture(str(tmp_path / "out"), RunnerSettings(workers=0), settings=made)
    assert found.findings == []
    assert found.sequences == outcome.manifest["sequences"]
    assert found.documents == sum(each["appearances"] for each in outcome.manifest["components"].values())
    assert found.inputs > 700
    assert not (tmp_path / "out" / "work").exists()


def one_token(rows: Rows) -> None:
    rows[5]["input_ids"][3] ^= 1


def test_a_changed_token_is_found_by_the_checksum(built: Path) -> None:
    change(built, one_token, resign=False)
    (found, *_) = [line for line in findings(built) if "SHA-256" in line]
    assert found.startswith(f"{SHARD}: its SHA-256 is ")
    assert found.endswith("it was changed")


def test_a_single_flipped_bit_is_found(built: Path) -> None:
    content = bytearray((built / SHARD).read_bytes())
    content[len(content) // 2] ^= 1
    (built / SHARD).write_bytes(content)
    assert any(line.startswith(f"{SHARD}: its SHA-256") for line in findings(built))


def test_a_missing_and_a_stray_file_are_found(built: Path) -> None:
    shutil.move(built / SHARD, built / "sequences" / "shard-00009-of-00003.parquet")
    found = findings(built)
    assert f"{SHARD}: the file is missing" in found
    assert any("shard-00009-of-00003.parquet: the manifest does not know this file" in line for line in found)


def test_a_truncated_file_is_found(built: Path) -> None:
    (built / SHARD).write_bytes((built / SHARD).read_bytes()[:1000])
    assert any(line.startswith(f"{SHARD}: it cannot be read as Parquet") for line in findings(built))


def without_last(rows: Rows) -> None:
    rows.pop()


def duplicated(rows: Rows) -> None:
    rows[7] = {**rows[6], "seq_index": 7}


def stranger(rows: Rows) -> None:
    rows[4]["doc_id"][0] = b"x" * 16


def other_source(rows: Rows) -> None:
    rows[4]["source"][0] = (rows[4]["source"][0] + 1) % 3


def other_epoch(rows: Rows) -> None:
    rows[4]["epoch"][0] = 7


def moved_boundary(rows: Rows) -> None:
    row = next(row for row in rows if len(row["source"]) > 1)
    row["doc_lens"][0] -= 1
    row["doc_lens"][1] += 1


def short(rows: Rows) -> None:
    rows[2]["input_ids"].pop()


def uneven(rows: Rows) -> None:
    rows[2]["epoch"].append(0)


def wrong_sum(rows: Rows) -> None:
    rows[2]["doc_lens"][0] += 1


def wrong_offset(rows: Rows) -> None:
    rows[2]["doc_offset"][0] += 1


def unpadded(rows: Rows) -> None:
    next(row for row in rows if row["n_pad"])["input_ids"][-1] = 5


def outside(rows: Rows) -> None:
    rows[2]["input_ids"][0] = 100_000


def reordered(rows: Rows) -> None:
    rows[0], rows[1] = rows[1], rows[0]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (duplicated, "a document's pieces do not follow each other"),
        (moved_boundary, "the end of a document is not where its end mark is"),
        (short, "sequence 2: it does not have 128 tokens"),
        (uneven, "sequence 2: its lists have different numbers of pieces"),
        (wrong_sum, "sequence 2: doc_lens do not add up to 128"),
        (wrong_offset, "sequence 2, document "),
        (unpadded, "its padding holds other tokens"),
        (outside, "sequence 2: a token is not in the vocabulary"),
        (reordered, "sequence 0: seq_index is not its position"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_one_file_tells(built: Path, edit: Callable[[Rows], object], message: str) -> None:
    change(built, edit)
    manifest = json.loads((built / "manifest.json").read_text())
    written = ShardWritten.model_validate(manifest["shards"][1])
    _, found = check_file(str(built / SHARD), written, MixturePlan.model_validate(manifest["plan"]))
    assert found
    assert all(line.startswith(f"{SHARD}: ") for line in found)
    assert any(message in line for line in found), found
    assert not any("SHA-256" in line for line in found)


@pytest.mark.parametrize(
    ("edit", "messages"),
    [
        (without_last, ["and the manifest says"]),
        (stranger, ["it is in no input"]),
        (other_source, ["it is in no input", "and the manifest says"]),
        (other_epoch, ["its appearances are not numbered 0, 1, ... once each"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_changes_are_found_even_when_the_checksum_was_forged(
    built: Path, edit: Callable[[Rows], object], messages: list[str]
) -> None:
    change(built, edit)
    found = findings(built)
    for message in messages:
        assert any(message in line for line in found), found
    assert not any("SHA-256" in line for line in found)


def test_a_document_that_is_gone_is_found(built: Path) -> None:
    """Of a web document that appears once, although all appear at least once, the only appearance gets another name."""
    tables = [pq.read_table(path).to_pylist() for path in sorted((built / "sequences").iterdir())]
    ids = [name for rows in tables for row in rows for name in row["doc_id"]]

    def rename(rows: Rows) -> None:
        row, at = next(
            (row, at)
            for row in rows
            for at, name in enumerate(row["doc_id"])
            if row["source"][at] == 0 and ids.count(name) == 1
        )
        row["doc_id"][at] = b"x" * 16

    change(built, rename)
    found = findings(built)
    assert "web: 1 documents that belong into the mixture do not appear in it" in found


def test_a_held_out_document_is_found(built: Path) -> None:
    held = pq.read_table(built / "held_out" / "web.parquet")["doc_id"][0].as_py()

    def plant(rows: Rows) -> None:
        row = next(r for r in rows for at, s in enumerate(r["source"]) if s == 0 and at == 0)
        row["doc_id"][0], row["epoch"][0] = held, 0

    change(built, plant)
    assert any("it is held out and appears all the same" in line for line in findings(built))


def test_swapped_shards_are_found_by_their_places(built: Path, settings: MixtureSettings) -> None:
    """Two shards' contents exchanged, with all checksums, counts and metadata made to fit."""
    paths = [built / f"sequences/shard-0000{at}-of-00003.parquet" for at in (0, 2)]
    tables = [pq.read_table(path) for path in paths]
    manifest = json.loads((built / "manifest.json").read_text())
    for path, own, other, at in zip(paths, tables, reversed(tables), (0, 2), strict=True):
        pq.write_table(other.cast(SCHEMA).replace_schema_metadata(own.schema.metadata), path)
        content = path.read_bytes()
        manifest["shards"][at] |= {
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            "rows": other.num_rows,
        }
    first, last = manifest["shards"][0], manifest["shards"][2]
    first["strata"], last["strata"] = last["strata"], first["strata"]
    (built / "manifest.json").write_text(json.dumps(manifest))
    found = findings(built)
    assert found
    assert all("are not where the seed puts them" in line for line in found), found


def test_changed_inputs_are_found(tmp_path: Path) -> None:
    settings = corpus.settings(tmp_path)
    build_mixture(settings, str(tmp_path / "out"), HERE)
    corpus.write(tmp_path, "web", corpus.documents("web", 590))
    found = findings(tmp_path / "out")
    assert any("0.parquet: the input was changed" in line for line in found)
    assert findings(tmp_path / "out", with_inputs=False) == []


def test_a_changed_plan_is_found(built: Path) -> None:
    manifest = json.loads((built / "manifest.json").read_text())
    manifest["plan"]["components"][0]["tiers"][0]["quota"] += 5000
    (built / "manifest.json").write_text(json.dumps(manifest))
    found = findings(built)
    assert "manifest.json: the plan was changed (its digest differs)" in found
    assert any("its metadata are not those of this shard and plan" in line for line in found)


def test_a_changed_held_out_file_is_found(built: Path) -> None:
    path = built / "held_out" / "web.parquet"
    path.write_bytes(path.read_bytes() + b" ")
    assert findings(built) == [f"{path}: it was changed (its SHA-256 differs)"]


def test_other_settings_are_refused(built: Path, settings: MixtureSettings) -> None:
    with pytest.raises(UserError, match="built from other settings"):
        verify_mixture(str(built), HERE, settings=settings.model_copy(update={"seed": 9}))


def test_nothing_built_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no built mixture"):
        verify_mixture(str(tmp_path), HERE)
