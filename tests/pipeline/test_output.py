"""The output folder: what is resumed, refused, replaced."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.output import OutputFolder, differences

IDENTITY = {"job": "web", "configuration": {"rules": {"language_score": {"min": 0.65}}}}
OTHER = {"job": "web", "configuration": {"rules": {"language_score": {"min": 0.7}}}}


def prepared(path: Path, identity: dict = IDENTITY, *, overwrite: bool = False, keep: tuple = ()) -> bool:
    folder = OutputFolder(str(path))
    with folder.locked():
        return folder.prepare(identity, overwrite=overwrite, keep=keep)


def test_a_new_folder_is_made(tmp_path: Path) -> None:
    assert prepared(tmp_path / "new" / "out") is False


def test_the_same_identity_continues(tmp_path: Path) -> None:
    prepared(tmp_path)
    (tmp_path / "work" / "harvest").mkdir()
    assert prepared(tmp_path) is False
    assert (tmp_path / "work" / "harvest").exists()


def test_a_complete_result_is_found_complete(tmp_path: Path) -> None:
    prepared(tmp_path)
    OutputFolder(str(tmp_path)).finish({"identity": IDENTITY}, [])
    assert not (tmp_path / "work").exists()
    assert prepared(tmp_path) is True


def test_another_identity_is_refused_with_what_changed(tmp_path: Path) -> None:
    prepared(tmp_path)
    with pytest.raises(UserError, match=r"configuration\.rules\.language_score\.min: 0\.65 -> 0\.7"):
        prepared(tmp_path, OTHER)


def test_overwrite_removes_the_old_result_but_what_is_kept(tmp_path: Path) -> None:
    prepared(tmp_path)
    OutputFolder(str(tmp_path)).finish({"identity": IDENTITY}, ["harvest-1"])
    for name in ("documents", "work/harvest-1", "work/decide"):
        (tmp_path / name).mkdir(parents=True)
    assert prepared(tmp_path, OTHER, overwrite=True, keep=("harvest-1",)) is False
    assert sorted(os.listdir(tmp_path)) == ["work"]
    assert sorted(os.listdir(tmp_path / "work")) == [".lock", "harvest-1", "run.json"]


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="documents"):
        prepared(tmp_path)
    assert (tmp_path / "documents" / "thesis.txt").read_text() == "years of work"


def test_half_written_files_are_removed(tmp_path: Path) -> None:
    prepared(tmp_path)
    half = tmp_path / "work" / ".corpusmill-1-1-x.parquet.tmp"
    half.write_bytes(b"PAR")
    prepared(tmp_path)
    assert not half.exists()


def test_a_second_run_is_refused(tmp_path: Path) -> None:
    with OutputFolder(str(tmp_path)).locked(), pytest.raises(UserError, match="another run"):
        prepared(tmp_path)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to the output folder"):
        prepared(tmp_path / "file" / "out")


def test_differences_are_bounded() -> None:
    lines = differences({str(i): i for i in range(40)}, {})
    assert len(lines) == 13
    assert lines[-1] == "and 28 more"
