"""The web job on real pages, as a user runs it: the books balance, and workers and kills leave no trace in the bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

SHARED = Path(os.environ.get("CORPUSMILL_SHARED", Path(__file__).parents[2].parent / "shared"))
PAGES = SHARED / "data" / "pages"

pytestmark = pytest.mark.skipif(
    not PAGES.is_dir(), reason=f"the real pages are not at {PAGES} (CORPUSMILL_SHARED)"
)


def command(inputs: str, output: Path, workers: int) -> list[str]:
    arguments = ["web", "--input", str(PAGES / inputs), "--output", str(output), "--workers", str(workers)]
    return [sys.executable, "-m", "jobs.cli", *arguments]


def run(inputs: str, output: Path, workers: int) -> dict[str, Any]:
    done = subprocess.run(command(inputs, output, workers), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads((output / "manifest.json").read_text())


def contents(output: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(output)): path.read_bytes()
        for folder in ("documents", "rejected", "failed", "decisions")
        for path in sorted((output / folder).rglob("*.parquet"))
    }


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("one") / "out"
    run("dev-00000.warc.gz", output, 1)
    return output


def test_two_workers_give_the_same_bytes(one: Path, tmp_path: Path) -> None:
    run("dev-00000.warc.gz", tmp_path / "out", 2)
    assert contents(tmp_path / "out") == contents(one)


def test_a_killed_run_goes_on_to_the_same_bytes(one: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    process = subprocess.Popen(command("dev-00000.warc.gz", output, 2), stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 300
        while len(list(output.glob("work/harvest-*/*.parquet"))) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    finished = {path: path.stat().st_mtime_ns for path in output.glob("work/harvest-*/*.parquet")}
    assert not (output / "manifest.json").exists()
    run("dev-00000.warc.gz", output, 2)
    assert len(finished) >= 2
    assert contents(output) == contents(one)


def test_all_pages_are_accounted_for(tmp_path: Path) -> None:
    manifest = run("*.warc.gz", tmp_path / "out", 2)
    total = manifest["books"]["total"]
    assert total["read"] == 1228
    rejected, failed = sum(total["rejected"].values()), sum(total["failed"].values())
    assert total["published"] + rejected + failed == 1228
    assert failed == 0
    assert 500 < total["published"] < 800
    documents = ds.dataset(tmp_path / "out" / "documents").to_table()
    assert documents.num_rows == total["published"]
    assert len(set(documents["id"].to_pylist())) == documents.num_rows
    assert set(documents["language"].to_pylist()) == {"en"}
