"""`corpusmill build blocklist`: from lists to a file, with the books of what was left out."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
from click.testing import CliRunner, Result

from filters.blocklist import open_blocklist
from jobs.build import build_group


def run(*arguments: object) -> Result:
    return CliRunner().invoke(build_group, ["blocklist", *map(str, arguments)])


def wheel(path: Path) -> Path:
    """A wheel with lists like datatrove's."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in (
            ("urls", b"c.org/x\n"),
            ("domains", b"bad.org\nx.blogspot.de\nx.blogspot.fr\n"),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("datatrove/assets/url_filterblacklistsv0_3_0.tar.gz", packed.getvalue())
        for name, words in (("banned", "foo"), ("soft_banned", "bar")):
            file.writestr(f"datatrove/assets/{name}_words.txt", words)
        file.writestr("datatrove/assets/banned_subwords.txt", "baz")
    return path


def test_lists_of_all_forms_and_the_wheel_become_one_file(tmp_path):
    (tmp_path / "hosts").write_text("# hosts\n0.0.0.0 localhost\n0.0.0.0 evil.org ads.net\nco.uk\nnonsense\n")
    with gzip.open(tmp_path / "urls.gz", "wt") as file:
        file.write("http://site.org/~joe/\n")
    (tmp_path / "words").write_text("# mine\nqux\n")
    output = tmp_path / "out" / "list.bin"
    result = run(
        tmp_path / "hosts",
        tmp_path / "urls.gz",
        "--datatrove",
        wheel(tmp_path / "d.whl"),
        "--words",
        tmp_path / "words",
        "--output",
        output,
    )
    assert result.exit_code == 0, result.output
    assert (
        "9 entries: 4 hosts and 2 URL prefixes kept; left out: 1 duplicates, 1 without a host, 1 public suffixes\n"
        "public suffixes left out: co.uk\n3 adult words\n"
    ) in result.output
    listed = open_blocklist(str(output))
    asked = [
        "evil.org",
        "a.ads.net",
        "site.org/~joe/1",
        "bad.org",
        "x.blogspot.com",
        "c.org/x",
        "c.org",
        "good.org",
    ]
    assert listed.blocks(pa.array(asked)).to_pylist() == [True] * 6 + [False] * 2
    words = ["a.org/foo", "a.org/bar", "a.org/qux", "a.org/xbazx"]
    assert listed.adult_points(pa.array(words)).to_pylist() == [2, 1, 2, 2]


def test_the_same_lists_give_the_same_bytes(tmp_path):
    (tmp_path / "a").write_text("evil.org\nbad.org\n")
    (tmp_path / "b").write_text("bad.org\nevil.org\n")
    for name in "ab":
        assert run(tmp_path / name, "--output", tmp_path / f"{name}.bin").exit_code == 0
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()


def refused(tmp_path: Path, message: str, *arguments: object) -> None:
    result = run(*arguments, "--output", tmp_path / "none.bin")
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "none.bin").exists()


def test_mistakes_are_told_and_nothing_is_written(tmp_path):
    (tmp_path / "junk").write_text("x y\n# nothing\n")
    (tmp_path / "words").write_text("fine\ntwo words\n")
    (tmp_path / "list").write_text("evil.org\n")
    refused(tmp_path, "no list: give list files, or --datatrove")
    refused(tmp_path, "cannot be read", tmp_path / "missing")
    refused(tmp_path, "hold no host and no URL (1 lines name none)", tmp_path / "junk")
    refused(
        tmp_path, "line 2: 'two words' cannot be a word", tmp_path / "list", "--words", tmp_path / "words"
    )
    refused(tmp_path, "give the datatrove wheel", "--datatrove", tmp_path)
    assert "--output is missing" in run(tmp_path / "list").output
