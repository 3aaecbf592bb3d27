"""Personal identifiers in text: found, counted, and replaced by typed placeholders.

`redact` is the edit step of the jobs. Of each text it replaces e-mail addresses, phone numbers, public IP
addresses, payment card numbers, IBANs, US social security numbers, bank accounts and crypto addresses by
`<EMAIL_1>`, `<PHONE_2>` ...: numbered per distinct value within the document, so that a text still says which
of two people is meant. It also gives the columns

    pii.email, pii.phone, pii.ip, pii.credit_card, pii.iban,
    pii.us_ssn, pii.bank_account, pii.crypto                    identifiers in the document
    pii.person, pii.location                                    the same, where names are looked for
    pii.density                                                 identifiers per 1,000 words

How: a kernel finds candidates on the Arrow buffer (`filters._pii_kernels`); presidio's pattern recognisers
judge a short window around each (`pii_recognisers`), and what they accept has to pass named rules against
what was measured to be wrong on real pages (`pii_rules`). docs/screens.md has the figures.

Nothing here fetches anything, and no error or log line carries text of a document.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from filters.measures import Column
from filters.pii_candidates import Ints, find_candidates
from filters.pii_edit import Editor
from filters.pii_names import NameModelError, find_names, load_model
from filters.pii_search import search, without_overlaps
from filters.pii_settings import NAME_TYPES, PATTERN_TYPES, TYPES, Action, PiiKeyError, PiiSettings, Span
from filters.words import index_words

__all__ = [
    "COLUMNS",
    "NAME_TYPES",
    "PATTERN_TYPES",
    "TYPES",
    "Action",
    "NameModelError",
    "PiiError",
    "PiiKeyError",
    "PiiSettings",
    "Span",
    "check",
    "columns_of",
    "find_spans",
    "redact",
    "redact_columns",
    "replace",
    "spans_of",
    "storable",
]


def columns_of(settings: PiiSettings) -> tuple[Column, ...]:
    """The columns that `redact` makes under some settings: one for each type that is looked for, and density."""
    return (
        *(
            Column(f"pii.{kind}", pa.int32(), f"{kind} identifiers in the document")
            for kind in settings.types
        ),
        Column("pii.density", pa.float32(), "identifiers per 1,000 words"),
    )


COLUMNS = columns_of(PiiSettings())
"""The columns of the default settings."""


class PiiError(RuntimeError):
    """A recogniser failed. The message names the document's row and the kind of failure, never its text."""


def check(settings: PiiSettings) -> None:
    """See that what the settings need is there, before a run.

    Raises:
        PiiKeyError: pseudonyms are asked for, and their key is missing or too short.
        NameModelError: names are asked for, and the language model is not installed.
    """
    settings.read_key()
    if settings.names:
        load_model(settings.name_model)


def redact(text: pa.Array, settings: PiiSettings | None = None) -> tuple[pa.Array, dict[str, pa.Array]]:
    """Replace the identifiers of each document, and count them.

    Args:
        text: string or large_string; a null stays null and counts nothing. Malformed UTF-8 is replaced
            (U+FFFD) in a document that is searched.
        settings: what to replace; everything with a shape by default.

    Returns:
        The texts, of the same type and length, and the columns of `columns_of(settings)`.

    Raises:
        PiiError: a recogniser failed on a document. Only its row and the name of the exception are told.
        PiiKeyError, NameModelError: see `check`.
        TypeError: the array is of another type.
        ValueError: the array is damaged.
    """
    edited, columns = redact_columns([text], settings)
    return edited[0], columns


def redact_columns(
    texts: Sequence[pa.Array], settings: PiiSettings | None = None
) -> tuple[list[pa.Array], dict[str, pa.Array]]:
    """The same for several columns of the same documents, such as text and title.

    A value has the same placeholder in all columns of its document. Counts and density are those of all
    columns together. Raises what `redact` raises.
    """
    chosen = settings or PiiSettings()
    check(chosen)
    key, rows = chosen.read_key(), len(texts[0])
    counts = np.zeros((len(chosen.types), rows), dtype=np.int32)
    found = [spans_of(text, chosen) for text in texts]
    edits: list[dict[int, str]] = [{} for _ in texts]
    for row in sorted({row for column in found for row in column}):
        editor = Editor(chosen, key)
        for column, edit in zip(found, edits, strict=True):
            if row in column:
                document, spans = column[row]
                for span in spans:
                    counts[chosen.types.index(span.type), row] += 1
                edit[row] = editor.edit(document, spans)
    columns = {f"pii.{kind}": pa.array(counts[i], pa.int32()) for i, kind in enumerate(chosen.types)}
    columns["pii.density"] = _density(texts, counts.sum(axis=0))
    edited = [_with_rows(text, edit) for text, edit in zip(texts, edits, strict=True)]
    return edited, columns


def find_spans(text: str, settings: PiiSettings | None = None) -> list[Span]:
    """The identifiers of one text in order, none overlapping another, in time linear in its length.

    Raises:
        PiiError: see `redact`.
    """
    rows = spans_of(pa.array([storable(text)], pa.large_string()), settings or PiiSettings())
    return rows[0][1] if rows else []


def storable(text: str) -> str:
    """The text with a question mark for each surrogate, which UTF-8 cannot hold: positions stay the same."""
    return text.encode("utf-8", "replace").decode()


def replace(text: str, spans: Sequence[Span], settings: PiiSettings | None = None) -> str:
    """The text with each span replaced as the settings say."""
    chosen = settings or PiiSettings()
    return Editor(chosen, chosen.read_key()).edit(text, spans)


def spans_of(text: pa.Array, settings: PiiSettings) -> dict[int, tuple[str, list[Span]]]:
    """The rows in which there are identifiers, with their text and the spans in it, ordered and apart.

    Raises:
        PiiError, NameModelError, TypeError, ValueError: see `redact`.
    """
    candidates = find_candidates(text)
    borders = np.flatnonzero(np.diff(candidates[:, 0], prepend=-1))
    with_candidates = candidates[borders, 0]
    by_row = (
        dict(zip(with_candidates.tolist(), np.split(candidates, borders[1:]), strict=True))
        if len(borders)
        else {}
    )
    found: dict[int, tuple[str, list[Span]]] = {}
    for row in range(len(text)) if settings.names else by_row:
        searched = _search_row(text, row, by_row.get(row), settings)
        if searched[1]:
            found[row] = searched
    return found


def _search_row(
    text: pa.Array, row: int, candidates: Ints | None, settings: PiiSettings
) -> tuple[str, list[Span]]:
    """The text of a row and its spans; an exception may quote the text, and so gives way to `PiiError`."""
    failure = ""
    try:
        document, sound = _decode(text, row)
        if not sound:
            candidates = find_candidates(pa.array([document], pa.large_string()))
        spans = [] if candidates is None else search(document, candidates, settings)
        if settings.names:
            spans += find_names(document, settings.names, settings.name_model)
        return document, without_overlaps(spans)
    except NameModelError:
        raise
    except Exception as error:  # noqa: BLE001 - any exception may quote the text; PiiError does not
        failure = type(error).__name__
    # Outside the handler, so that the exception with the text is not chained to this one.
    raise PiiError(f"document {row} of the chunk: {failure} while looking for identifiers (text not shown)")


def _decode(text: pa.Array, row: int) -> tuple[str, bool]:
    """The text of a row, and whether it was well-formed."""
    if not text[row].is_valid:
        return "", True
    content: bytes = text[row].as_buffer().to_pybytes()
    try:
        return content.decode(), True
    except UnicodeDecodeError:
        return content.decode("utf-8", "replace"), False


def _with_rows(text: pa.Array, edited: dict[int, str]) -> pa.Array:
    """The array with some rows replaced; the rows between are copied as they are."""
    if not edited:
        return text
    pieces: list[pa.Array] = []
    position = 0
    for row, document in edited.items():
        pieces += [text.slice(position, row - position), pa.array([document], text.type)]
        position = row + 1
    return pa.concat_arrays([*pieces, text.slice(position)])


def _density(texts: Sequence[pa.Array], totals: npt.NDArray[Any]) -> pa.Array:
    """Identifiers per 1,000 words; 0 where there are none. Only the documents that have some are counted."""
    density = np.zeros(len(totals), dtype=np.float32)
    found = np.flatnonzero(totals)
    if len(found):
        rows = pa.array(found, pa.int64())
        words = sum(index_words(text.take(rows)).word_counts for text in texts)
        density[found] = 1000.0 * totals[found] / np.maximum(words, 1)
    return pa.array(density, pa.float32())
