"""Questions about joined documents, and their check: pure functions on texts (see `long_context`)."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel

Kind = Literal["planted", "next", "number"]
KINDS: tuple[Kind, ...] = ("planted", "next", "number")

_ADJECTIVES = ("amber", "brisk", "cobalt", "dusty", "early", "frozen", "gentle", "hollow", "ivory", "jagged")
_NOUNS = (
    "anchor",
    "bridge",
    "canyon",
    "dynamo",
    "engine",
    "forest",
    "garden",
    "harbour",
    "island",
    "junction",
)
_PLANTED = "The access code of the {name} is {number}."
_SENTENCE = re.compile(r"[^\s.!?][^.!?\n]{20,300}[.!?](?=\s|$)")
_NUMBER = re.compile(r"(?<![\w.,-])\d{2,}(?![\w,-]|\.\d)")
_TRIES = 20
"""Sentences that are looked at before a kind of question is given up for a text."""


class Joined(BaseModel, frozen=True):
    """A joined text and where its documents stand in it (characters)."""

    text: str
    documents: tuple[tuple[str, int, int], ...]


def ask(
    documents: Sequence[tuple[str, str]], questions: int, rng: random.Random
) -> tuple[Joined, list[dict[str, Any]]]:
    """Join documents, plant sentences in them, and ask; kinds take turns, one that finds nothing is passed over."""
    planted = _plants(documents, -(-questions // len(KINDS)), rng)
    joined = join(
        [(name, _with_planted(text, planted.get(at, []))) for at, (name, text) in enumerate(documents)]
    )
    sentences = [
        [(found.start(), found.end()) for found in _SENTENCE.finditer(joined.text, start, end)]
        for _, start, end in joined.documents
    ]
    waiting = [sentence for each in planted.values() for _, sentence in each]
    items: list[dict[str, Any]] = []
    for turn in range(questions):
        kind = KINDS[turn % len(KINDS)]
        if kind == "planted":
            found = _planted_item(joined, waiting.pop()) if waiting else None
        else:
            found = _sentence_item(joined, sentences, kind, [each["question"] for each in items], rng)
        if found is not None:
            items.append(found)
    return joined, items


def join(documents: Sequence[tuple[str, str]]) -> Joined:
    """Documents one after the other under numbered headings."""
    parts: list[str] = []
    places = []
    at = 0
    for number, (name, text) in enumerate(documents, 1):
        heading = f"{'' if number == 1 else chr(10) * 2}Document {number}\n\n"
        at += len(heading)
        places.append((name, at, at + len(text)))
        at += len(text)
        parts += [heading, text]
    return Joined(text="".join(parts), documents=tuple(places))


def _plants(
    documents: Sequence[tuple[str, str]], count: int, rng: random.Random
) -> dict[int, list[tuple[int, str]]]:
    """Position of a document -> places in it (after a sentence) and the sentences to be put there."""
    planted: dict[int, list[tuple[int, str]]] = {}
    names = rng.sample([f"{adjective} {noun}" for adjective in _ADJECTIVES for noun in _NOUNS], count)
    everything = "\n".join(text for _, text in documents)
    for name in names:
        at = rng.randrange(len(documents))
        ends = [found.end() for found in _SENTENCE.finditer(documents[at][1])]
        sentence = _PLANTED.format(name=name, number=rng.randrange(10**6, 10**7))
        if ends and f"access code of the {name}" not in everything:
            planted.setdefault(at, []).append((rng.choice(ends), sentence))
    return planted


def _with_planted(text: str, plants: Sequence[tuple[int, str]]) -> str:
    for place, sentence in sorted(plants, reverse=True):
        text = f"{text[:place]} {sentence}{text[place:]}"
    return text


def _document_at(joined: Joined, place: int) -> tuple[int, str]:
    """Number (from 1) and id of the document at a place."""
    for number, (name, start, end) in enumerate(joined.documents, 1):
        if start <= place < end:
            return number, name
    raise ValueError(f"no document is at {place}")


def _planted_item(joined: Joined, sentence: str) -> dict[str, Any]:
    start = joined.text.index(sentence)
    subject, _, number = sentence.removesuffix(".").partition(" is ")
    return {
        "kind": "planted",
        "question": f"What is {subject[0].lower()}{subject[1:]}?",
        "answer": number,
        "document": _document_at(joined, start)[1],
        "start": start,
        "end": start + len(sentence),
    }


def _sentence_item(
    joined: Joined,
    sentences: Sequence[Sequence[tuple[int, int]]],
    kind: Kind,
    asked: Sequence[str],
    rng: random.Random,
) -> dict[str, Any] | None:
    """A question about a sentence, or two that follow each other, of a document; None where none was found."""
    for _ in range(_TRIES):
        number = rng.randrange(len(sentences))
        mine = sentences[number]
        if len(mine) < 2:
            continue
        at = rng.randrange(len(mine) - 1)
        (start, end), (next_start, next_end) = mine[at], mine[at + 1]
        sentence, following = joined.text[start:end], joined.text[next_start:next_end]
        # The planted sentence of another question must not be given away.
        if joined.text.count(sentence) != 1 or "access code of the" in sentence + following:
            continue
        if kind == "next":
            if joined.text[end:next_start].strip():
                continue  # something that is no sentence stands between the two
            question = f'In document {number + 1}, which sentence comes directly after this one? "{sentence}"'
            answer, end = following, next_end
        else:
            found = _NUMBER.search(sentence)
            if found is None:
                continue
            gap = f"{sentence[: found.start()]}____{sentence[found.end() :]}"
            question = f'In document {number + 1}, which number stands in the gap? "{gap}"'
            answer = found.group()
        if question not in asked:
            return {
                "kind": kind,
                "question": question,
                "answer": answer,
                "document": joined.documents[number][0],
                "start": start,
                "end": end,
            }
    return None


# ---- checking


def check_row(row: dict[str, Any], texts: dict[str, str]) -> list[str]:
    """What is wrong with a long document, given the texts of the documents that it is made of."""
    lines = [f"document {name} is in no input" for name in row["documents"] if name not in texts]
    # The questions come last, and none holds an empty line; documents may.
    body = row["text"].rsplit("\n\nQuestion: ", len(row["items"]))[0]
    for item in row["items"]:
        wrong = _wrong(item, row, body, texts)
        if wrong:
            lines.append(f"{item['kind']} question {item['question']!r}: {wrong}")
    return lines


def _wrong(item: dict[str, Any], row: dict[str, Any], body: str, texts: dict[str, str]) -> str | None:
    evidence = body[item["start"] : item["end"]]
    source = texts.get(item["document"], "")
    if f"\n\nQuestion: {item['question']}\nAnswer: {item['answer']}" not in row["text"]:
        return "it does not stand in the text"
    if item["document"] not in row["documents"]:
        return f"its document {item['document']} is not part of the text"
    if item["kind"] == "planted":
        name = item["question"].removeprefix("What is the access code of the ").removesuffix("?")
        sentence = _PLANTED.format(name=name, number=item["answer"])
        right = evidence == sentence and body.count(f"access code of the {name}") == 1
        return None if right and sentence not in source else "its sentence is not the only one of its kind"
    quoted = item["question"].split('"', 1)[1][:-1]
    if item["kind"] == "number":
        sentence = quoted.replace("____", item["answer"], 1)
        right = evidence == sentence
    else:
        sentence = quoted
        right = evidence.startswith(sentence) and evidence.endswith(item["answer"])
        right = right and not evidence[len(sentence) : -len(item["answer"])].strip()
    if not right or body.count(sentence) != 1:
        return "its sentence does not stand once where it should"
    return None if evidence in source else "its sentence is not in the document"
