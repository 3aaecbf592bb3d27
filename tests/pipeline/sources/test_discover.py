from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.sources import ReadSettings, SplitReader
from pipeline.sources.discover import SourceConfig, format_of, plan_splits, resolve, shard_names


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'{"text": "a"}\n')


def found(folder: Path, *inputs: str, root: str = "") -> list[str]:
    paths = resolve(SourceConfig(name="s", inputs=inputs, root=root))
    return [str(Path(path).relative_to(folder)) for path in paths]


def test_globs_are_sorted_and_inputs_keep_their_order(tmp_path: Path) -> None:
    make(tmp_path, "b.jsonl", "a.jsonl", "sub/c.jsonl", "sub/deep/d.jsonl", "e.txt")
    assert found(tmp_path, f"{tmp_path}/*.jsonl") == ["a.jsonl", "b.jsonl"]
    assert found(tmp_path, f"{tmp_path}/sub/**/*.jsonl", f"{tmp_path}/b.jsonl") == [
        "sub/c.jsonl",
        "sub/deep/d.jsonl",
        "b.jsonl",
    ]


def test_a_file_that_two_inputs_mean_is_read_once(tmp_path: Path) -> None:
    make(tmp_path, "a.jsonl", "b.jsonl")
    assert found(tmp_path, f"{tmp_path}/b.jsonl", f"{tmp_path}/*.jsonl") == ["b.jsonl", "a.jsonl"]


def test_a_name_that_looks_like_a_glob(tmp_path: Path) -> None:
    make(tmp_path, "a[1].jsonl", "a1.jsonl")
    assert found(tmp_path, f"{tmp_path}/a[1].jsonl") == ["a[1].jsonl"]


@pytest.mark.parametrize("compressed", [False, True])
def test_lists_and_root(tmp_path: Path, compressed: bool) -> None:
    make(tmp_path, "in/a.jsonl", "in/b.jsonl", "c.jsonl")
    content = f"# a list\nb.jsonl\r\n\n{tmp_path}/c.jsonl\na.*\n".encode()
    (tmp_path / "paths").write_bytes(gzip.compress(content) if compressed else content)
    assert found(tmp_path, f"@{tmp_path}/paths", root=f"{tmp_path}/in") == [
        "in/b.jsonl",
        "c.jsonl",
        "in/a.jsonl",
    ]


@pytest.mark.parametrize(
    "content", [b"\x1f\x8b\x08 no gzip", gzip.compress(b"a" * 999, mtime=0)[:-9], b"\xff"]
)
def test_a_list_that_cannot_be_read_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "paths").write_bytes(content)
    with pytest.raises(UserError, match=r"the list .*paths cannot be read"):
        found(tmp_path, f"@{tmp_path}/paths")


@pytest.mark.parametrize(
    ("given_input", "message"),
    [
        ("no-such.jsonl", r"source s: there is no file no-such\.jsonl \(looked in /.*\)"),
        ("no-such/*.jsonl", r"source s: no file matches no-such/\*\.jsonl \(looked in /.*\)"),
        ("/no-such/a.jsonl", r"source s: there is no file /no-such/a\.jsonl\.$"),
        ("@no-such", r"source s: there is no list no-such"),
        ("memory://none/a.jsonl", r"source s: there is no file memory://none/a\.jsonl"),
        ("memory://none/*.jsonl", r"source s: no file matches memory://none/\*\.jsonl"),
        (".", r"is a folder.*for example"),
    ],
)
def test_what_is_not_found_is_an_error_that_says_what_was_looked_for(given_input: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        plan_splits(SourceConfig(name="s", inputs=(given_input,)), 0)
    assert raised.value.exit_code == 2


def test_one_missing_file_of_many_is_an_error(tmp_path: Path) -> None:
    make(tmp_path, "a.jsonl")
    with pytest.raises(UserError, match=r"b\.jsonl"):
        found(tmp_path, f"{tmp_path}/a.jsonl", f"{tmp_path}/b.jsonl")


def test_no_inputs_are_an_error() -> None:
    with pytest.raises(UserError, match="no inputs"):
        resolve(SourceConfig(name="s", inputs=()))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((f"A.WARC{end}", "warc") for end in ("", ".gz", ".zst")),
        *(
            (f"a{kind}{end}", "jsonl")
            for kind in (".jsonl", ".ndjson", ".json")
            for end in ("", ".gz", ".zst")
        ),
        ("a.b.parquet", "parquet"),
    ],
)
def test_formats_by_name(name: str, expected: str) -> None:
    assert format_of(f"s3://bucket/{name}") == expected


def test_a_name_that_tells_no_format_is_an_error_unless_it_is_set(tmp_path: Path) -> None:
    make(tmp_path, "a.txt")
    config = SourceConfig(name="s", inputs=(f"{tmp_path}/a.txt",))
    with pytest.raises(
        UserError, match=r"a\.txt: the name does not tell the format .*\.warc\.gz.*format: warc"
    ):
        plan_splits(config, 0)
    [split] = plan_splits(config.model_copy(update={"format": "jsonl"}), 0)
    assert (split.format, split.start, split.stop) == ("jsonl", 0, 14)


def test_shards_are_named_as_shortly_as_is_unique() -> None:
    paths = ["/x/1/a.jsonl", "/x/2/a.jsonl", "/y/2/a.jsonl", "s3://b/c.jsonl", "/x/1/d.jsonl"]
    assert shard_names(paths) == ["1/a.jsonl", "x/2/a.jsonl", "y/2/a.jsonl", "c.jsonl", "d.jsonl"]


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join), unique=True))
def test_shards_are_unique(paths: list[str]) -> None:
    names = shard_names(paths)
    assert len(set(names)) == len(paths)
    assert all(path.endswith(name) for path, name in zip(paths, names, strict=True))


def test_keys_are_unique(tmp_path: Path) -> None:
    make(tmp_path, "1/a.jsonl", "2/a.jsonl", "1_a.jsonl")
    splits = plan_splits(SourceConfig(name="s", inputs=(f"{tmp_path}/**/*.jsonl",)), 5)
    assert len(splits) == 9
    assert len({split.key for split in splits}) == 9


def test_ranges_meet_and_are_about_equal(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"{}\n" * 1000)
    splits = plan_splits(SourceConfig(name="s", inputs=(f"{tmp_path}/a.jsonl",)), 700)
    assert [split.index for split in splits] == list(range(5))
    assert (splits[0].start, splits[-1].stop) == (0, 3000)
    assert all(a.stop == b.start for a, b in itertools.pairwise(splits))
    assert {split.stop - split.start for split in splits} == {600}


def test_a_file_that_fits_is_one_split(tmp_path: Path) -> None:
    make(tmp_path, "a.jsonl")
    for split_bytes in (0, 14, 100):
        assert len(plan_splits(SourceConfig(name="s", inputs=(f"{tmp_path}/a.jsonl",)), split_bytes)) == 1


def test_any_file_system(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/in/a.jsonl", b'{"text": "a"}\n' * 9)
    table = pa.table({"text": ["p", "q"]})
    pq.write_table(table, tmp_path / "b.parquet", row_group_size=1)
    memory.pipe("/in/b.parquet", (tmp_path / "b.parquet").read_bytes())
    splits = plan_splits(SourceConfig(name="s", inputs=("memory://in/*",)), 30)
    assert [split.shard for split in splits] == ["a.jsonl"] * 5 + ["b.parquet"] * 2
    readers = [SplitReader(split, ReadSettings()) for split in splits]
    texts = [text for reader in readers for chunk in reader for text in chunk.batch["text"].to_pylist()]
    assert texts == ["a"] * 9 + ["p", "q"]
