"""Long documents with questions for the context stage, made without a model: documents of a corpus joined to a length, and
questions whose answers stand in them.

Three kinds, each of which can be checked against the text and the documents that it was made of:

    planted   a sentence that no document has ("The access code of the amber harbour is 4817203.") is put between two
              sentences of a document; asked is the number
    next      asked is the sentence that comes after a given one, in a document that is named
    number    a sentence of a document with its number left out; asked is the number

A sentence that is asked about stands once in the joined text, so there is one right answer. Everything follows from the seed
and the documents' ids: the same input gives the same output whatever the workers.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, Field

from pipeline import progress, storage
from pipeline.chunks import Split
from pipeline.errors import UserError, did_you_mean
from pipeline.mixture.questions import ask, check_row
from pipeline.mixture.tokens import load_tokenizer
from pipeline.sources import ReadSettings, TextColumns
from pipeline.sources.discover import SourceConfig, plan_splits
from pipeline.sources.parquet import open_parquet

if TYPE_CHECKING:
    from pipeline.engine import RunnerSettings

ITEM = pa.struct(
    [
        ("kind", pa.string()),
        ("question", pa.string()),
        ("answer", pa.string()),
        ("document", pa.string()),  # the id of the document that the evidence stands in
        ("start", pa.int64()),  # the evidence in the text, in characters
        ("end", pa.int64()),
    ]
)
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("tokens", pa.int32()),
        ("documents", pa.list_(pa.string())),
        ("items", pa.list_(ITEM)),
    ]
)


class LongContextSettings(BaseModel, frozen=True, extra="forbid"):
    """What the long documents are made of."""

    tokenizer: str
    input: tuple[str, ...] = Field(min_length=1)
    """Parquet files: paths, globs, URLs."""
    text: str = "text"
    id: str = "id"
    length: int = Field(default=32768, ge=256)
    """Tokens of a joined text with its questions, at most, the end mark included."""
    questions: int = Field(default=6, ge=1, le=100)
    """Questions of a text; the kinds take turns."""
    seed: int = Field(default=0, ge=0)
    split_bytes: int = Field(default=32 << 20, ge=0)


class QuestionSplit(BaseModel, frozen=True):
    """A part of the input."""

    key: str
    split: Split
    weight: int


class QuestionSettings(BaseModel, frozen=True):
    """What all tasks share."""

    settings: LongContextSettings
    tokenizer_sha256: str
    output: str


class QuestionsWritten(BaseModel):
    """A file of long documents; `unused` documents are left over, longer than the length, or without sentences to ask about."""

    path: str
    read: int
    used: int
    unused: int
    texts: int
    items: int
    tokens: int


def make_questions(
    settings: LongContextSettings, output: str, runner: RunnerSettings, *, quiet: bool | None = None
) -> list[QuestionsWritten]:
    """Write long documents with questions to `output/documents`, as a component of a mixture can read them.

    Raises:
        UserError: wrong inputs, or an output that holds something made with other settings.
    """
    encoder = load_tokenizer(settings.tokenizer)
    splits = _splits(settings)
    made_of = {**settings.model_dump(mode="json", exclude={"tokenizer"}), "tokenizer_sha256": encoder.sha256}
    path = storage.join(output, "questions.json")
    if storage.exists(path) and json.loads(storage.read_bytes(path)) != made_of:
        raise UserError(f"{output} holds questions of other settings. Use another --output.")
    storage.write_bytes(path, (json.dumps(made_of, indent=1) + "\n").encode())
    shared = QuestionSettings(settings=settings, tokenizer_sha256=encoder.sha256, output=output)
    items = [QuestionSplit(key=each.key, split=each, weight=each.stop - each.start) for each in splits]
    work = storage.join(output, "work")
    # Imported here: worker processes import this module for its task, and need no Beam.
    from pipeline.engine import engines

    with engines(runner, quiet) as engine_at:
        written: list[QuestionsWritten] = engine_at(work).run("questions", write_questions, items, shared)
    storage.remove(work)
    return written


def _splits(settings: LongContextSettings) -> list[Split]:
    config = SourceConfig(
        name="questions",
        inputs=settings.input,
        format="parquet",
        reading=ReadSettings(columns=TextColumns(text=settings.text)),
    )
    return plan_splits(config, settings.split_bytes)


def write_questions(item: QuestionSplit, shared: QuestionSettings) -> QuestionsWritten:
    """Task: join the documents of a split in the order of a keyed hash, ask, and write the file."""
    settings = shared.settings
    documents = _documents(item.split, settings)
    rows = list(long_documents(documents, settings))
    path = storage.join(shared.output, "documents", f"{item.key}.parquet")
    with storage.write_atomically(path) as file:
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), file, compression="zstd")
    used = sum(len(row["documents"]) for row in rows)
    progress.add(documents=len(documents), tasks=1)
    return QuestionsWritten(
        path=path,
        read=len(documents),
        used=used,
        unused=len(documents) - used,
        texts=len(rows),
        items=sum(len(row["items"]) for row in rows),
        tokens=sum(row["tokens"] for row in rows),
    )


def _documents(split: Split, settings: LongContextSettings) -> list[tuple[str, str]]:
    """Id and text of a split's documents, in the order of the keyed hash.

    Raises:
        UserError: when there is no such column.
    """
    found = []
    with storage.open_read(split.path) as file:
        parquet = open_parquet(split.path, file)
        if settings.id not in parquet.schema_arrow.names:
            known = did_you_mean(settings.id, parquet.schema_arrow.names)
            raise UserError(f'{split.path} has no column "{settings.id}" to take ids from.{known}')
        for group in range(split.start, split.stop):
            table = parquet.read_row_group(group, columns=[settings.id, settings.text], use_threads=False)
            names, texts = table[settings.id].to_pylist(), table[settings.text].to_pylist()
            found += [(str(name), text) for name, text in zip(names, texts, strict=True) if text]
    return sorted(found, key=lambda document: (_key(settings.seed, document[0]), document[0]))


def _key(seed: int, name: str) -> int:
    data = seed.to_bytes(8, "little") + name.encode()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8, person=b"long context").digest(), "little")


def long_documents(
    documents: Sequence[tuple[str, str]], settings: LongContextSettings
) -> Iterator[dict[str, Any]]:
    """Rows of `SCHEMA` from documents (id, text) in their order; what is left at the end is not used."""
    encoder = load_tokenizer(settings.tokenizer)
    held: list[tuple[str, str]] = []
    sizes: list[int] = []
    for document in documents:
        # Headings and joints take a few tokens; questions are added afterwards, and documents held back if they do not fit.
        size = len(encoder.encode_batch([document[1]])[0]) + 16
        if size > settings.length:
            continue
        if held and sum(sizes) + size > settings.length:
            row = _asked(held, settings)
            used = len(row["documents"]) if row is not None else len(held)
            held, sizes = held[used:], sizes[used:]
            if row is not None:
                yield row
        held.append(document)
        sizes.append(size)


def _asked(documents: list[tuple[str, str]], settings: LongContextSettings) -> dict[str, Any] | None:
    """The row of some documents, with as many of them as fit together with the questions; None where nothing fits."""
    encoder = load_tokenizer(settings.tokenizer)
    for count in range(len(documents), 0, -1):
        chosen = documents[:count]
        rng = random.Random(_key(settings.seed, chosen[0][0]))  # noqa: S311 - seeded, and not for secrets
        joined, items = ask(chosen, settings.questions, rng)
        text = joined.text + "".join(
            f"\n\nQuestion: {each['question']}\nAnswer: {each['answer']}" for each in items
        )
        tokens = len(encoder.encode_batch([text])[0])
        if items and tokens < settings.length:
            names = [name for name, _, _ in joined.documents]
            made_of = json.dumps([settings.seed, names]).encode()
            return {
                "id": hashlib.blake2b(made_of, digest_size=16, person=b"long context").hexdigest(),
                "text": text,
                "tokens": tokens,
                "documents": names,
                "items": items,
            }
    return None


# ---- checking


def check_questions(output: str, settings: LongContextSettings) -> list[str]:
    """Check every item of written long documents against its text and the input documents; what is wrong, a line each.

    Raises:
        UserError: when there is nothing to check.
    """
    paths = storage.list_files(storage.join(output, "documents"), ".parquet")
    if not paths:
        raise UserError(f"{output} holds no long documents.")
    texts = {name: text for split in _splits(settings) for name, text in _documents(split, settings)}
    findings = []
    for path in paths:
        with storage.open_read(path) as file:
            rows = pq.read_table(file).to_pylist()
        findings += [f"{path}: {row['id']}: {line}" for row in rows for line in check_row(row, texts)]
    return findings
