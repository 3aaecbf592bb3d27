"""`corpusmill build`: make the files that a run reads, once.

corpusmill build blocklist hosts.txt urls.txt.gz --output blocklist.bin
corpusmill build blocklist --datatrove datatrove-0.10.1-py3-none-any.whl --output blocklist.bin
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from filters.blocklist import AMBIGUOUS, SURE
from filters.blocklist_build import Built, Datatrove, ListError, build, read_list
from jobs.options import reported, required
from pipeline import storage
from pipeline.errors import UserError


@click.group("build")
def build_group() -> None:
    """Make the files that a run reads."""


@build_group.command("blocklist")
@click.argument("lists", nargs=-1, metavar="[LIST]...")
@click.option("--datatrove", metavar="PATH", help="The datatrove wheel, or the folder of that package.")
@click.option("--words", multiple=True, metavar="FILE", help="Sure adult words, one a line: 2 points each.")
@click.option("--soft-words", multiple=True, metavar="FILE", help="Ambiguous ones: 1 point each.")
@click.option("--output", metavar="FILE", help="Where to write.")
@reported
def blocklist(
    lists: tuple[str, ...],
    datatrove: str | None,
    words: tuple[str, ...],
    soft_words: tuple[str, ...],
    output: str | None,
) -> None:
    """Make a block list of hosts and URL prefixes from lists: hosts files, domains, URLs; plain or gzip."""
    target = required(output, "--output")
    if not lists and datatrove is None:
        raise UserError("no list: give list files, or --datatrove WHEEL; --help shows the options.")
    package = Datatrove(Path(datatrove)) if datatrove is not None else None
    try:
        points = package.points() if package else {}
        points |= dict.fromkeys(_words(soft_words), AMBIGUOUS) | dict.fromkeys(_words(words), SURE)
        content, built = build(_entries(lists, package), points, package.parts() if package else ())
    except ListError as error:
        raise UserError(str(error)) from None
    if not built.hosts and not built.urls:
        raise UserError(
            f"the lists hold no host and no URL ({built.malformed:,} lines name none): nothing was written."
        )
    storage.write_bytes(target, content)
    _print(target, len(content), built, len(points))


def _entries(lists: tuple[str, ...], package: Datatrove | None) -> Iterator[str]:
    for path in lists:
        yield from read_list(Path(path))
    if package is not None:
        yield from package.entries()


def _words(paths: tuple[str, ...]) -> Iterator[str]:
    """The words of some files.

    Raises:
        UserError: a line has something else than ASCII letters and digits.
    """
    for path in paths:
        for number, line in enumerate(read_list(Path(path)), 1):
            word = line.strip().lower()
            if word and not word.startswith("#"):
                if not (word.isascii() and word.isalnum()):
                    raise UserError(
                        f"{path}, line {number}: {word!r} cannot be a word of a URL: write ASCII letters and digits."
                    )
                yield word


def _print(target: str, size: int, built: Built, words: int) -> None:
    click.echo(
        f"{built.read:,} entries: {built.hosts:,} hosts and {built.urls:,} URL prefixes kept; left out: "
        f"{built.duplicates:,} duplicates, {built.malformed:,} without a host, {built.suffixes:,} public suffixes"
    )
    if built.named:
        click.echo(
            f"public suffixes left out: {', '.join(built.named)}{' ...' if built.suffixes > 20 else ''}"
        )
    click.echo(f"{words:,} adult words" if words else "no adult words given: the built-in ones are used")
    click.echo(f"block list: {target} ({size / 1e6:.1f} MB)")
