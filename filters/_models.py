"""Model files: found by path or URL, checked against their digest, and read by fastText."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fasttext
import fsspec

END_OF_SENTENCE = "</s>"
"""fastText ends a text at its end-of-sentence token, also where a document spells it out."""


class ModelError(ValueError):
    """A model that cannot be used: not there, of another kind, changed, or made for another purpose."""


def one_line(text: str) -> str:
    """A text as fastText's `predict` takes it: without newlines, and without its end-of-sentence token."""
    return text.replace("\n", " ").replace(END_OF_SENTENCE, " ").strip()


def load_fasttext(path: str, sha256: str | None, what: str) -> Any:
    """The fastText model at a path or URL (anything fsspec opens).

    Args:
        path: where it is; fastText reads only local files, so a remote one passes through a temporary file.
        sha256: what its digest must be; None accepts any file.
        what: how messages call it, e.g. `language model`.

    Raises:
        ModelError: it is not there, is not the file its checksum promises, or is not a fastText model.
    """
    with local_copy(path, what) as file:
        check_digest(file, sha256, f"{what} {path}")
        try:
            return fasttext.load_model(file)
        except ValueError as error:
            raise ModelError(f"{what} {path}: not a fastText model ({error})") from error


def check_digest(file: str, sha256: str | None, name: str) -> None:
    """Compare a local file with its promised digest; None promises nothing.

    Raises:
        ModelError: when it is another file.
    """
    if sha256 is None:
        return
    with open(file, "rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != sha256:
        raise ModelError(f"{name}: sha256 is {found}, expected {sha256}")


@contextmanager
def local_copy(path: str, what: str) -> Iterator[str]:
    """A local path of a file that may be remote, for as long as the block lasts.

    Raises:
        ModelError: when it is not there or cannot be read.
    """
    if "://" not in path:
        if not os.path.isfile(path):
            raise ModelError(f"{what} {path}: there is no such file")
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "model.bin")
        try:
            with fsspec.open(path, "rb") as source, open(copy, "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
        except (OSError, ImportError, ValueError) as error:
            raise ModelError(f"{what} {path}: cannot be read ({error})") from error
        yield copy
