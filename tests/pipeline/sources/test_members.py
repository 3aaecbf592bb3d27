"""Members: damage inside and between them, padding, dictionaries, compression told by the content, streams."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sources.members import Stream
from tests.pipeline.sources.archives import NOISE, WARCINFO, member, outcomes, page, read, readers, stored


def test_a_damaged_dictionary_fails_the_records(tmp_path: Path) -> None:
    head = b"\x5d\x2a\x4d\x18" + (9).to_bytes(4, "little") + b"\x28\xb5\x2f\xfd\xff\xff\xff\xff\xff"
    dictionary = zstandard.train_dictionary(2000, [page(str(n), b"alike") for n in range(300)])
    compressor = zstandard.ZstdCompressor(dict_data=dictionary)
    [row] = read(stored(tmp_path, head + compressor.compress(page("a")) * 2, "zstd"))
    assert row["error"] == "warc.bad_zstd"


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize("place", [0.3, 0.5, 0.9, -2])
def test_garbage_inside_a_member(tmp_path: Path, compression: str, place: float) -> None:
    members = [bytearray(member(page(name, NOISE), compression)) for name in "abc"]
    at = int(place if place < 0 else len(members[1]) * place)
    members[1][at] ^= 0x55
    rows = read(stored(tmp_path, b"".join(members), compression))
    assert outcomes(rows) == ["a", f"warc.bad_{compression}", "c"]


def test_bytes_lost_inside_a_member_do_not_take_the_next_one_along(tmp_path: Path) -> None:
    members = [member(page(name, NOISE), "gzip") for name in "abc"]
    members[1] = members[1][: len(members[1]) // 2]
    assert outcomes(read(stored(tmp_path, b"".join(members))))[::2] == ["a", "c"]


def test_a_skippable_frame_that_is_longer_than_the_file(tmp_path: Path) -> None:
    frame = b"\x50\x2a\x4d\x18"
    skipped = frame + (5).to_bytes(4, "little") + b"extra"
    content = b"".join(part + member(page(name), "zstd") for name, part in (("a", skipped), ("b", frame)))
    assert outcomes(read(stored(tmp_path, content, "zstd"))) == ["a", "warc.truncated_zstd", "b"]


def test_one_big_member_is_one_split_and_read_whole(tmp_path: Path) -> None:
    pages = [page(str(n), bytes([n]) * 5000) for n in range(50)]
    path = stored(tmp_path, gzip.compress(b"".join([WARCINFO, *pages]), 0))
    assert len(readers(path, split_bytes=1000)) == 1
    assert outcomes(read(path)) == [str(n) for n in range(50)]
    assert len({row["record"] for row in read(path)}) == 50


def test_a_damaged_big_member_gives_what_comes_before_the_damage(tmp_path: Path) -> None:
    content = gzip.compress(b"".join(page(str(n), bytes([n]) * 5000) for n in range(50)), 0)
    rows = read(stored(tmp_path, content[: len(content) // 2]))
    assert outcomes(rows) == [*(str(n) for n in range(24)), "warc.truncated_gzip"]


def test_a_file_of_many_records_a_member_is_split_by_nobody_but_read(tmp_path: Path) -> None:
    path = stored(tmp_path, b"".join(gzip.compress(page(a) + page(b)) for a, b in ("ab", "cd", "ef")))
    assert outcomes(read(path, split_bytes=100)) == list("abcdef")


def test_empty_members_and_blank_lines_are_padding(tmp_path: Path) -> None:
    padding = gzip.compress(b"") + gzip.compress(b"\r\n")
    content = padding.join(gzip.compress(page(name)) for name in "abc")
    path = stored(tmp_path, padding + content + padding)
    assert outcomes(read(path)) == outcomes(read(path, split_bytes=40)) == ["a", "b", "c"]


@pytest.mark.parametrize("compressed", [False, True])
def test_a_zstandard_dictionary_at_the_beginning(tmp_path: Path, compressed: bool) -> None:
    pages = [page(str(n), f"<p>{n} of many alike pages, number {n * 7}</p>".encode() * 9) for n in range(300)]
    dictionary = zstandard.train_dictionary(4000, pages)
    data = dictionary.as_bytes()
    data = zstandard.ZstdCompressor().compress(data) if compressed else data
    head = b"\x5d\x2a\x4d\x18" + len(data).to_bytes(4, "little") + data
    compressor = zstandard.ZstdCompressor(dict_data=dictionary)
    path = stored(tmp_path, head + b"".join(compressor.compress(content) for content in pages), "zstd")
    assert outcomes(read(path)) == [str(n) for n in range(300)]
    assert read(path, split_bytes=4000) == read(path)


def test_the_content_tells_the_compression_where_the_name_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    path.write_bytes(page("a") + page("b"))
    assert outcomes(read(path)) == ["a", "b"]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=40)),
    st.lists(st.tuples(st.sampled_from(["peek", "take", "skip", "unread"]), st.integers(0, 60))),
)
def test_a_stream_reads_like_a_file(blocks: list[bytes], steps: list[tuple[str, int]]) -> None:
    content, at = b"".join(blocks), 0
    remaining = iter(blocks)
    stream = Stream(lambda: next(remaining, b""))
    for step, count in steps:
        expected = content[at : at + count]
        if step == "peek":
            assert stream.peek(count) == expected
        elif step == "take":
            assert stream.take(count) == expected
            at += len(expected)
        elif step == "skip":
            assert stream.skip(count) == len(expected)
            at += len(expected)
        elif at >= count:
            stream.unread(content[at - count : at])
            at -= count
        assert stream.position == at
