"""Label a sample of documents by a chat model, so that `train` can distil it (Kong et al. 2024; FineWeb-Edu, Penedo et al. 2024).

What an answer depends on (model, prompt, beginning of the text, temperature) is hashed, and answers are kept under that
hash in `answers.sqlite`: the same question is asked once, a stopped run goes on where it was, and another prompt or
model begins anew beside it. Documents that got no answer are not kept, so the next run asks about them again.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel

from pipeline import storage
from pipeline.errors import UserError
from pipeline.quality.chat import Answer, Chat, ChatSettings, NoAnswerError, RefusedError
from pipeline.quality.corpus import Corpus, unit_hashes

ANSWERS = "answers.sqlite"
LABELS = "labels.parquet"
FAILED = "failed.jsonl"

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("record", pa.string()),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("label_score", pa.float32(), nullable=False),
        pa.field("answer", pa.string(), nullable=False),
    ]
)


class Labelling(BaseModel, frozen=True):
    """What came of it: documents of the sample, requests made in this run, answers found in the cache, failures by reason."""

    documents: int
    asked: int
    cached: int
    failed: dict[str, int]
    scores: dict[str, int]
    """Documents by rounded score."""


def sample(corpus: Corpus, size: int, seed: int) -> list[dict[str, Any]]:
    """Documents with text, drawn by a hash of their ids: the same ones whatever the order of the files; by id."""
    held: list[tuple[float, str, dict[str, Any]]] = []
    seen: set[str] = set()
    for batch in corpus.batches():
        ids = batch["id"].to_pylist()
        for row, (name, place) in enumerate(
            zip(ids, unit_hashes(ids, f"label {seed}").tolist(), strict=True)
        ):
            if name in seen or (len(held) == size and -place <= held[0][0]):
                continue
            document = {column: batch[column][row].as_py() for column in ("id", "url", "record", "text")}
            if not (document["text"] or "").strip():
                continue
            seen.add(name)
            heapq.heappush(held, (-place, name, document))
            if len(held) > size:
                seen.discard(heapq.heappop(held)[1])
    return sorted((document for _, _, document in held), key=lambda document: str(document["id"]))


def label(
    documents: list[dict[str, Any]],
    output: str,
    settings: ChatSettings,
    key: str | None,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Labelling:
    """Label documents and write `labels.parquet`, with `failed.jsonl` for those that got no answer.

    Args:
        documents: of the columns `id`, `url`, `record`, `text`.
        output: a local folder.
        settings: whom to ask and what.
        key: the server's key; it is sent, and neither stored nor shown.
        progress: called after each answer with how many questions are settled, and of how many.

    Raises:
        UserError: when the server refuses everything, or fails many documents in a row; answers so far are kept.
    """
    storage.make_folder(output)
    questions: dict[str, str] = {}
    keys = [question_key(settings, document["text"]) for document in documents]
    for name, document in zip(keys, documents, strict=True):
        questions.setdefault(name, document["text"])
    with _answers(storage.join(output, ANSWERS)) as store:
        open_questions = {name: text for name, text in questions.items() if store.get(name) is None}
        failed = asyncio.run(_ask_all(open_questions, store, settings, key, progress))
        answers = {name: store.get(name) for name in questions}
    rows = [
        document | {"label_score": answer.score, "answer": answer.text}
        for document, answer in (
            (document, answers[name]) for document, name in zip(documents, keys, strict=True)
        )
        if answer is not None
    ]
    lost = [
        {"id": document["id"], "reason": failed[name].reason, "message": str(failed[name])}
        for document, name in zip(documents, keys, strict=True)
        if answers[name] is None
    ]
    _write(output, rows, lost, settings)
    return Labelling(
        documents=len(documents),
        asked=len(open_questions),
        cached=len(questions) - len(open_questions),
        failed=dict(sorted(Counter(row["reason"] for row in lost).items())),
        scores=dict(sorted(Counter(f"{row['label_score']:.0f}" for row in rows).items())),
    )


def question_key(settings: ChatSettings, text: str) -> str:
    """The hash of all that an answer depends on; where the server is and how fast it is asked are not in it."""
    question = {"version": 1, "form": settings.form, **settings.request(text)}
    encoded = json.dumps(question, sort_keys=True).encode()
    return hashlib.blake2b(encoded, digest_size=16, person=b"corpusmill.label").hexdigest()


async def _ask_all(
    questions: dict[str, str],
    store: _Store,
    settings: ChatSettings,
    key: str | None,
    progress: Callable[[int, int], None],
) -> dict[str, NoAnswerError]:
    """Ask all questions, some at a time; the failures by question."""
    failed: dict[str, NoAnswerError] = {}
    waiting = iter(questions.items())
    in_a_row = done = 0

    async def worker(chat: Chat) -> None:
        nonlocal in_a_row, done
        for name, text in waiting:
            try:
                store.put(name, await chat.ask(text))
                in_a_row = 0
            except NoAnswerError as error:
                failed[name] = error
                in_a_row += 1
                if in_a_row >= settings.failures_in_a_row:
                    raise UserError(
                        f"labelling: {in_a_row} documents in a row got no answer; the last one: {error}. Answers so far are "
                        f"kept: mend the server ({settings.endpoint}), and run the same command again.",
                        exit_code=1,
                    ) from error
            done += 1
            progress(done, len(questions))

    limits = httpx.Limits(max_connections=settings.at_once)
    async with httpx.AsyncClient(timeout=settings.timeout, limits=limits, trust_env=False) as client:
        chat = Chat(client, settings, key)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(settings.at_once, len(questions))):
                    group.create_task(worker(chat))
        except ExceptionGroup as errors:
            first = errors.exceptions[0]
            if isinstance(first, RefusedError):
                raise UserError(f"labelling: {first}. Answers so far are kept.") from first
            raise first from errors
    return failed


class _Store:
    """Answers by the hash of their question, on disk as soon as they are there."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        with connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, score REAL, text TEXT)"
            )

    def get(self, key: str) -> Answer | None:
        row = self._connection.execute("SELECT score, text FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else Answer(score=row[0], text=row[1])

    def put(self, key: str, answer: Answer) -> None:
        with self._connection:
            self._connection.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (key, answer.score, answer.text)
            )


@contextmanager
def _answers(path: str) -> Iterator[_Store]:
    if not storage.is_local(path):
        raise UserError(f"{path}: answers are kept on a local disk; give a local --output.")
    try:
        with closing(sqlite3.connect(storage.local_path(path))) as connection:
            yield _Store(connection)
    except sqlite3.DatabaseError as error:
        raise UserError(
            f"{path}: not a usable file of answers ({error}). Move it away, and run again."
        ) from error


def _write(
    output: str, rows: list[dict[str, Any]], lost: Iterable[dict[str, Any]], settings: ChatSettings
) -> None:
    prompt = hashlib.sha256(settings.prompt.encode()).hexdigest()
    about = {"label.model": settings.model, "label.form": settings.form, "label.prompt_sha256": prompt}
    table = pa.Table.from_pylist([{name: row[name] for name in SCHEMA.names} for row in rows], schema=SCHEMA)
    with storage.write_atomically(storage.join(output, LABELS)) as file:
        pq.write_table(table.replace_schema_metadata(about), file, compression="zstd")
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in lost)
    storage.write_bytes(storage.join(output, FAILED), content.encode("utf-8", "backslashreplace"))


def read_labels(path: str, good_from: float) -> tuple[pa.Table, pa.Table]:
    """The good and the bad documents of labels: those of at least a score, and the others.

    Raises:
        UserError: when the file is not one of labels.
    """
    if not storage.exists(path):
        raise UserError(f"--labels {path}: there is no such file.")
    try:
        with storage.open_read(path) as file:
            table = pq.read_table(file)
    except pa.ArrowInvalid as error:
        raise UserError(f"--labels {path}: not a Parquet file ({error}).") from error
    missing = {"text", "label_score"} - set(table.column_names)
    if missing:
        raise UserError(
            f"--labels {path}: no column {', '.join(sorted(missing))}; `quality label` writes labels.parquet."
        )
    good = pc.greater_equal(table["label_score"], pa.scalar(good_from, pa.float32()))
    return table.filter(good), table.filter(pc.invert(good))


def labels_form(path: str) -> str | None:
    """The form of the question that a file of labels answers; None where it does not say."""
    if not storage.exists(path):
        raise UserError(f"--labels {path}: there is no such file.")
    try:
        with storage.open_read(path) as file:
            metadata = pq.read_schema(file).metadata or {}
    except pa.ArrowInvalid as error:
        raise UserError(f"--labels {path}: not a Parquet file ({error}).") from error
    form = metadata.get(b"label.form")
    return form.decode() if form else None
