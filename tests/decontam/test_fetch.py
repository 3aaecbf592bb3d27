from __future__ import annotations

import hashlib
import http.server
import json
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml

from decontam import fetch as module
from decontam.errors import BenchmarkError
from decontam.fetch import FetchSummary, fetch
from decontam.registry import load_registry, read_items
from decontam.settings import DecontaminationSettings

TEXTS = ["Why is the sea salty?", "How tall is the tower?"]


class Hub:
    """A hub of files, laid out as the hub's Parquet branch: PATH/CONFIG/SPLIT/*.parquet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"file://{folder}/{{path}}"

    def add(self, place: str, *texts: str, **columns: list[Any]) -> Path:
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        pa.parquet.write_table(pa.table({"question": list(texts), **columns}), path)
        return path


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    return Hub(tmp_path / "hub")


Run = Callable[..., FetchSummary]


@pytest.fixture
def run(tmp_path: Path, hub: Hub) -> Run:
    def run(*entries: dict[str, Any], **options: Any) -> FetchSummary:
        path = tmp_path / "benchmarks.yaml"
        path.write_text(
            yaml.safe_dump({"benchmarks": [{"prompt": ["question"], **each} for each in entries]})
        )
        settings = DecontaminationSettings(benchmarks=str(path), skip=options.pop("skip", ()))
        return fetch(settings, options.pop("folder", str(tmp_path / "out")), **{"hub": hub.url, **options})

    return run


def entry(key: str, path: str = "org/name", **hf: Any) -> dict[str, Any]:
    return {"key": key, "hf": {"path": path, **hf}}


def states(summary: FetchSummary) -> dict[str, str]:
    return {result.key: result.state for result in summary.results}


def ledger(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "fetched.json").read_bytes())["benchmarks"]


# ---- the hub's layout


def test_a_split_is_downloaded_unchanged_and_found(tmp_path: Path, hub: Hub, run: Run) -> None:
    stored = hub.add("org/name/main/test/0000.parquet", *TEXTS).read_bytes()
    hub.add("org/name/main/train/0000.parquet", "not this")
    summary = run(entry("sea/salt", config="main", split="test"))
    assert (tmp_path / "out" / "sea__salt.parquet").read_bytes() == stored
    (result,) = summary.results
    assert (result.state, result.file, result.bytes) == ("downloaded", "sea__salt.parquet", len(stored))
    digest = hashlib.sha256(stored).hexdigest()
    url = f"file://{hub.folder}/org/name/main/test/0000.parquet"
    assert ledger(tmp_path / "out") == {
        "sea/salt": {
            "from": {"hf": {"path": "org/name", "config": "main", "split": ["test"]}},
            "file": "sea__salt.parquet",
            "bytes": len(stored),
            "sha256": digest,
            "parts": [{"url": url, "bytes": len(stored), "sha256": digest}],
        }
    }
    settings = DecontaminationSettings(
        benchmarks=str(tmp_path / "benchmarks.yaml"), benchmark_root=str(tmp_path / "out")
    )
    items, _ = read_items(load_registry(settings).sources[0], ("prompt",))
    assert [item.fields for item in items] == [(("prompt", text),) for text in TEXTS]


def test_parts_and_splits_are_joined_in_order(tmp_path: Path, hub: Hub, run: Run) -> None:
    hub.add("org/name/default/b/0001.parquet", "4")
    hub.add("org/name/default/b/0000.parquet", "2", "3")
    hub.add("org/name/default/a/0000.parquet", "1")
    run(entry("x", split=["a", "b"]))
    table = pa.parquet.read_table(tmp_path / "out" / "x.parquet")
    assert table["question"].to_pylist() == ["1", "2", "3", "4"]
    assert len(ledger(tmp_path / "out")["x"]["parts"]) == 3
    first = (tmp_path / "out" / "x.parquet").read_bytes()
    (tmp_path / "out" / "x.parquet").unlink()
    run(entry("x", split=["a", "b"]))
    assert (tmp_path / "out" / "x.parquet").read_bytes() == first


def test_without_a_config_it_is_the_default_or_the_only_one(hub: Hub, run: Run) -> None:
    hub.add("org/named/plain/test/0.parquet", "a")
    hub.add("org/many/default/test/0.parquet", "a")
    hub.add("org/many/other/test/0.parquet", "b")
    hub.add("org/unclear/one/test/0.parquet", "a")
    hub.add("org/unclear/two/test/0.parquet", "a")
    summary = run(entry("a", "org/named"), entry("b", "org/many"), entry("c", "org/unclear", split="test"))
    assert states(summary) == {"a": "downloaded", "b": "downloaded", "c": "failed"}
    assert "the entry must say which `config`: there are one, two" in summary.failed[0].message


@pytest.mark.parametrize(
    ("hf", "message"),
    [
        ({"config": "mian"}, 'org/name has no configuration "mian" (it has main). Did you mean "main"?'),
        (
            {"config": "main", "split": "tset"},
            'no split "tset" (it has partial-big, test). Did you mean "test"?',
        ),
        ({"config": "main"}, "must say which `split`"),
        ({"config": "main", "split": "big"}, "has converted only the beginning of org/name (main/big)"),
        ({"config": "main", "split": "empty"}, 'no split "empty"'),
        (
            {"path": "org/gone", "aliases": ["org/lost"], "split": "test"},
            "org/gone: there are no Parquet files at",
        ),
        (
            {"path": "org/gone", "aliases": ["org/lost"], "split": "test"},
            "org/lost: there are no Parquet files at",
        ),
    ],
)
def test_what_the_hub_lacks_is_said(hub: Hub, run: Run, hf: dict[str, Any], message: str) -> None:
    hub.add("org/name/main/test/0.parquet", "a")
    hub.add("org/name/main/partial-big/0.parquet", "a")
    hub.add("org/name/main/empty/0.parquet", "a").rename(hub.folder / "org/name/main/empty/readme.md")
    (failed,) = run({"key": "x", "hf": {"path": "org/name", **hf}}).failed
    assert message in failed.message


def test_aliases_are_tried_in_order(tmp_path: Path, hub: Hub, run: Run) -> None:
    hub.add("new/name/default/test/0.parquet", "right")
    hub.add("newer/name/default/test/0.parquet", "wrong")
    summary = run(entry("x", "old/name", aliases=["older/name", "new/name", "newer/name"], split="test"))
    assert states(summary) == {"x": "downloaded"}
    assert pa.parquet.read_table(tmp_path / "out" / "x.parquet")["question"].to_pylist() == ["right"]


def test_one_failure_does_not_stop_the_others(hub: Hub, run: Run) -> None:
    hub.add("org/name/default/test/0.parquet", "a")
    summary = run(*(entry(f"bad{number}", "org/gone") for number in range(5)), entry("good", split="test"))
    assert states(summary) == {**{f"bad{number}": "failed" for number in range(5)}, "good": "downloaded"}
    assert summary.counts == {"failed": 5, "downloaded": 1}


def test_parts_of_different_columns_are_an_error(tmp_path: Path, hub: Hub, run: Run) -> None:
    hub.add("org/name/default/test/0.parquet", "a")
    hub.add("org/name/default/test/1.parquet", "b", other=["c"])
    (failed,) = run(entry("x", split="test")).failed
    assert failed.key == "x"
    assert [path.name for path in (tmp_path / "out").iterdir()] == []


def test_what_is_not_parquet_is_not_laid_down(tmp_path: Path, hub: Hub, run: Run) -> None:
    hub.add("org/name/default/test/0.parquet", "a").write_text("<html>Try again later</html>")
    assert states(run(entry("x", split="test"))) == {"x": "failed"}
    assert [path.name for path in (tmp_path / "out").iterdir()] == []


def test_one_source_of_many_benchmarks_is_downloaded_once(
    tmp_path: Path, hub: Hub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("org/name/default/test/0.parquet", "a")
    calls: list[str] = []
    real = module.hub_parts
    monkeypatch.setattr(
        module, "hub_parts", lambda root, path, hf: calls.append(path) or real(root, path, hf)
    )
    same = [
        {**entry(key, split="test"), "row_filter": {"column": "question", "equals": key}} for key in "abc"
    ]
    assert states(run(*same)) == dict.fromkeys("abc", "downloaded")
    assert calls == ["org/name"]
    records = ledger(tmp_path / "out")
    assert records["c"]["parts"] == records["a"]["parts"]
    (tmp_path / "out" / "b.parquet").unlink()
    assert states(run(*same)) == {"a": "unchanged", "b": "downloaded", "c": "unchanged"}
    assert calls == ["org/name"]


# ---- a second call


def test_a_second_call_verifies_and_skips(tmp_path: Path, hub: Hub, run: Run) -> None:
    source = hub.add("org/name/default/test/0.parquet", "a")
    run(entry("x", split="test"))
    before = (tmp_path / "out" / "fetched.json").read_bytes()
    source.unlink()
    assert states(run(entry("x", split="test"))) == {"x": "unchanged"}
    assert (tmp_path / "out" / "fetched.json").read_bytes() == before


@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_file_is_downloaded_again(tmp_path: Path, hub: Hub, run: Run, damage: str) -> None:
    stored = hub.add("org/name/default/test/0.parquet", "a").read_bytes()
    run(entry("x", split="test"))
    path = tmp_path / "out" / "x.parquet"
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(stored[:-1] if damage == "cut" else stored[:-1] + b"?")
    assert states(run(entry("x", split="test"))) == {"x": "downloaded"}
    assert path.read_bytes() == stored


def test_another_source_in_the_registry_is_another_file(tmp_path: Path, hub: Hub, run: Run) -> None:
    hub.add("org/name/default/test/0.parquet", "a")
    hub.add("org/name/default/dev/0.parquet", "b")
    run(entry("x", split="test"))
    assert states(run(entry("x", split="dev"))) == {"x": "downloaded"}
    assert pa.parquet.read_table(tmp_path / "out" / "x.parquet")["question"].to_pylist() == ["b"]


def test_a_file_that_could_not_be_replaced_is_named(tmp_path: Path, hub: Hub, run: Run) -> None:
    """It is still there, so that an index would take it."""
    hub.add("org/name/default/test/0.parquet", "a")
    run(entry("x", split="test"))
    (failed,) = run(entry("x", "org/other", split="test")).failed
    assert failed.message.endswith(
        "x.parquet of an earlier call is there, damaged or from another source: do not use it"
    )
    (tmp_path / "out" / "x.parquet").unlink()
    (failed,) = run(entry("x", "org/other", split="test")).failed
    assert "earlier call" not in failed.message


@pytest.mark.parametrize("name", ["x.jsonl", "old/x.csv.gz", "x.parquet"])
def test_the_users_own_file_stays(tmp_path: Path, hub: Hub, run: Run, name: str) -> None:
    hub.add("org/name/default/test/0.parquet", "a")
    own = tmp_path / "out" / name
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    summary = run({**entry("x", split="test"), "aliases": ["old/x"]})
    assert [(result.state, result.file) for result in summary.results] == [("kept", name)]
    assert own.read_text() == "mine"


def test_a_call_that_was_killed_before_the_file_got_its_name_is_mended(
    tmp_path: Path, hub: Hub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("org/name/default/test/0.parquet", "a")
    put = module._Folder._put

    def killed(self: Any, path: str, name: str) -> None:
        if name.endswith(".parquet"):
            raise KeyboardInterrupt
        put(self, path, name)

    monkeypatch.setattr(module._Folder, "_put", killed)
    with pytest.raises(KeyboardInterrupt):
        run(entry("x", split="test"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["fetched.json"]
    monkeypatch.undo()
    assert states(run(entry("x", split="test"))) == {"x": "downloaded"}


@pytest.mark.parametrize("content", ["{", "[]", '{"benchmarks": {"x": {"file": "x.parquet"}}}', "\xff"])
def test_a_ledger_that_cannot_be_read_is_an_error(tmp_path: Path, hub: Hub, run: Run, content: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "fetched.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(BenchmarkError, match=r"fetched\.json cannot be read .*Remove it"):
        run(entry("x"))


# ---- which benchmarks


def test_only_names_keys_aliases_or_families(hub: Hub, run: Run) -> None:
    hub.add("org/name/default/test/0.parquet", "a")
    entries = [
        {**entry("he", split="test"), "family": "he", "aliases": ["humaneval"]},
        {**entry("he/plus", split="test"), "family": "he"},
        {**entry("m/a", split="test"), "family": "m"},
        {**entry("m/b", split="test"), "family": "m"},
    ]
    assert list(states(run(*entries, only=("humaneval",)))) == ["he"]
    assert list(states(run(*entries, only=("he",)))) == ["he"]
    assert list(states(run(*entries, only=("m", "he/plus")))) == ["he/plus", "m/a", "m/b"]
    assert list(states(run(*entries, only=("m",), skip=("m/a",)))) == ["m/b"]
    with pytest.raises(
        BenchmarkError, match=r'No benchmark of the registry is named "m/c".* Did you mean "m/'
    ):
        run(*entries, only=("m/c",))
    with pytest.raises(BenchmarkError, match='is named "m"'):
        run(*entries, skip=("m",))  # a family cannot be skipped: --skip names benchmarks


def test_an_entry_without_a_source_is_the_users(run: Run) -> None:
    summary = run({"key": "x", "file": "x.jsonl"})
    assert [(result.state, result.file) for result in summary.results] == [("local", "x.jsonl")]


def test_progress_is_told_after_each(hub: Hub, run: Run) -> None:
    hub.add("org/name/default/test/0.parquet", "a")
    told: list[tuple[int, int, str]] = []
    run(
        entry("a", split="test"),
        entry("b", "org/gone"),
        progress=lambda done, total, result: told.append((done, total, result.state)),
    )
    assert told == [(1, 2, "downloaded"), (2, 2, "failed")]


def test_without_a_registry_there_is_nothing_to_fetch(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="no registry"):
        fetch(DecontaminationSettings(), str(tmp_path))


def test_a_file_of_another_format_is_refused(hub: Hub, run: Run) -> None:
    hub.add("org/name/default/test/0.parquet", "a")
    (failed,) = run({**entry("x", split="test"), "file": "x.jsonl"}).failed
    assert "remove `file` from the entry" in failed.message
    assert states(run({**entry("x", split="test"), "file": "mine.parquet"})) == {"x": "downloaded"}


# ---- other folders and addresses


def test_the_folder_may_be_remote(hub: Hub, run: Run) -> None:
    stored = hub.add("org/name/default/test/0.parquet", "a").read_bytes()
    folder = "memory://decontam-test-fetch/files"
    fs = fsspec.filesystem("memory")
    try:
        assert states(run(entry("a/x", split="test"), folder=folder)) == {"a/x": "downloaded"}
        assert fs.cat_file(f"{folder}/a__x.parquet") == stored
        assert states(run(entry("a/x", split="test"), folder=folder)) == {"a/x": "unchanged"}
    finally:
        fs.rm("memory://decontam-test-fetch", recursive=True)


def test_a_url_of_any_file_system(tmp_path: Path, run: Run) -> None:
    (tmp_path / "far.jsonl").write_text('{"question": "a"}')
    url = f"file://{tmp_path}/far.jsonl"
    assert states(run({"key": "a/x", "url": url})) == {"a/x": "downloaded"}
    assert (tmp_path / "out" / "a__x.jsonl").read_text() == '{"question": "a"}'
    (failed,) = run({"key": "y", "url": f"file://{tmp_path}/far.pdf"}).failed
    assert "the url says no known format" in failed.message
    (failed,) = run({"key": "y", "url": f"file://{tmp_path}/gone.csv"}).failed
    assert "gone.csv" in failed.message


def test_a_protocol_without_its_package_is_an_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_package(root: str, path: str, hf: object) -> None:
        raise ImportError("Install huggingface_hub to access HfFileSystem")

    monkeypatch.setattr(module, "hub_parts", no_package)
    with pytest.raises(BenchmarkError, match=r"Install huggingface_hub.*`pip install corpusmill\[fetch\]`"):
        run(entry("x"))


class Handler(http.server.BaseHTTPRequestHandler):
    """A web server, and enough of the hub for its own client: repositories, trees and files with ranges."""

    FILES: dict[str, bytes] = {}  # noqa: RUF012 - set by the fixture
    GATED = "org/gated"

    def do_GET(self) -> None:
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).lstrip("/")
        if path == "cut.csv":
            self.answer(200, b"question\nhalf", length=100)
        elif path.startswith("api/datasets/"):
            self.hub(path.removeprefix("api/datasets/"))
        elif path.startswith("datasets/") and f"datasets/{self.GATED}/" in path:
            self.answer(403, b"{}", **{"X-Error-Code": "GatedRepo"})
        elif path.replace("/resolve/refs/convert/parquet", "") in self.FILES:
            self.ranged(self.FILES[path.replace("/resolve/refs/convert/parquet", "")])
        else:
            self.answer(404, b"nothing here")

    def do_HEAD(self) -> None:
        self.do_GET()

    def hub(self, path: str) -> None:
        name = "/".join(path.split("/")[:2])
        if name == "org/raw":
            self.answer(404, b"{}", **{"X-Error-Code": "RevisionNotFound"})
        elif not any(file.startswith(f"datasets/{name}/") for file in self.FILES):
            self.answer(404, b"{}", **{"X-Error-Code": "RepoNotFound"})
        elif "/tree/" in path:
            self.answer(200, json.dumps(self.tree(name)).encode())
        else:
            self.answer(200, json.dumps({"id": name, "sha": "0" * 40, "siblings": []}).encode())

    def tree(self, name: str) -> list[dict[str, Any]]:
        """Every file and folder of the data set: what the hub answers to a recursive listing."""
        root = f"datasets/{name}/"
        listed: dict[str, dict[str, Any]] = {}
        for file, content in self.FILES.items():
            if file.startswith(root):
                path = file.removeprefix(root)
                for folder in Path(path).parents:
                    listed[str(folder)] = {"type": "directory"}
                listed[path] = {"type": "file", "size": len(content)}
        listed.pop(".", None)
        return [{"path": path, "oid": "0" * 40, **details} for path, details in listed.items()]

    def ranged(self, content: bytes) -> None:
        wanted = self.headers.get("Range")
        if not wanted:
            self.answer(200, content)
            return
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        end = min(int(last or len(content) - 1), len(content) - 1)
        where = f"bytes {first}-{end}/{len(content)}"
        self.answer(206, content[int(first) : end + 1], **{"Content-Range": where})

    def answer(self, status: int, content: bytes, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Handler, "FILES", {})
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()


def test_a_web_address(tmp_path: Path, server: str, run: Run) -> None:
    Handler.FILES["files/a.csv.gz"] = b"any bytes"
    summary = run(
        {"key": "a", "url": f"{server}/files/a.csv.gz?download=1"},
        {"key": "b", "url": f"{server}/files/b.csv"},
        {"key": "c", "url": f"{server}/cut.csv"},
    )
    assert states(summary) == {"a": "downloaded", "b": "failed", "c": "failed"}
    assert (tmp_path / "out" / "a.csv.gz").read_bytes() == b"any bytes"
    assert f"{server}/files/b.csv" in summary.failed[0].message
    assert "404" in summary.failed[0].message
    assert "the answer is cut off: 87 bytes are missing" in summary.failed[1].message
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.csv.gz", "fetched.json"]


def test_a_host_that_does_not_answer_is_given_up_and_another_is_not(tmp_path: Path, run: Run) -> None:
    (tmp_path / "far.csv").write_text("question\na\n")
    gone = "http://127.0.0.1:9"  # the discard port: nothing listens
    entries = [{"key": f"x{number}", "url": f"{gone}/{number}.csv"} for number in range(5)]
    summary = run(*entries, {"key": "y", "url": f"file://{tmp_path}/far.csv"})
    messages = [result.message for result in summary.results]
    assert ["the host does not answer (" in message for message in messages] == [True] * 3 + [False] * 3
    assert messages[3:] == ["not tried, as the host does not answer"] * 2 + [""]


def test_the_hubs_own_client(tmp_path: Path, server: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address of the Parquet branch is one that huggingface_hub understands, and its errors are explained."""
    hub = pytest.importorskip("huggingface_hub")
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "ENDPOINT", server)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", server + "/{repo_id}/resolve/{revision}/{filename}"
    )
    hub.HfFileSystem.clear_instance_cache()
    source = pa.BufferOutputStream()
    pa.parquet.write_table(pa.table({"question": TEXTS}), source)
    content = source.getvalue().to_pybytes()
    Handler.FILES["datasets/new/name/main/test/0000.parquet"] = content
    Handler.FILES[f"datasets/{Handler.GATED}/main/test/0000.parquet"] = content
    summary = run(
        entry("a", "old/name", aliases=["new/name"], config="main", split="test"),
        entry("b", "org/gone"),
        entry("c", "org/raw"),
        entry("d", Handler.GATED, split="test"),
        hub=module.HUB,
    )
    hub.HfFileSystem.clear_instance_cache()
    assert [result.message for result in summary.results] == [
        "",
        "the hub has no data set org/gone, or it is private",
        "the hub has no Parquet conversion of org/raw: download it from https://huggingface.co/datasets/org/raw and put "
        "it into the folder",
        "org/gated is gated: accept its terms at https://huggingface.co/datasets/org/gated, log in (`hf auth login`, or "
        "HF_TOKEN), and call fetch again",
    ]
    assert (tmp_path / "out" / "a.parquet").read_bytes() == content
    (part,) = ledger(tmp_path / "out")["a"]["parts"]
    assert part["url"] == "hf://datasets/new/name@refs%2Fconvert%2Fparquet/main/test/0000.parquet"
