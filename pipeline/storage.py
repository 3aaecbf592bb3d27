"""One layer over local and remote files (fsspec): whole files appear under their final name, or not at all.

Local files are written beside their place under a hidden temporary name and renamed. Object stores make an object visible
only when its upload ends, so there the final key is written directly. Everything that reads or writes a path of a run goes
through here, so that nothing else assumes a local disk.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import posixpath
from collections.abc import Iterator
from typing import IO, Any

import fsspec
from fsspec.core import url_to_fs

from pipeline.errors import UserError

_TEMPORARY = ".corpusmill-"
_counter = itertools.count()


def is_local(path: str) -> bool:
    """Whether the path is on this machine's own file system."""
    return "://" not in path or path.startswith("file://")


def local_path(path: str) -> str:
    """The path without a `file://` prefix."""
    return path.removeprefix("file://")


def join(folder: str, *parts: str) -> str:
    """Join with forward slashes, for local paths and URLs alike."""
    return posixpath.join(folder, *parts)


def file_system(path: str) -> tuple[Any, str]:
    """The fsspec file system of a path, and the path as that file system spells it.

    Raises:
        UserError: when the protocol needs a package that is not installed.
    """
    try:
        fs, inner = url_to_fs(path)
    except ImportError as error:
        raise UserError(f"{path}: {error}") from error
    return fs, inner


def exists(path: str) -> bool:
    """Whether a file or folder is there."""
    if is_local(path):
        return os.path.exists(local_path(path))
    fs, inner = file_system(path)
    return bool(fs.exists(inner))


def size(path: str) -> int:
    """The file's size in bytes.

    Raises:
        FileNotFoundError: when there is no such file.
    """
    if is_local(path):
        return os.path.getsize(local_path(path))
    fs, inner = file_system(path)
    return int(fs.size(inner))


def make_folder(path: str) -> None:
    """Create a folder and its parents; nothing happens where it exists, or on object stores."""
    if is_local(path):
        os.makedirs(local_path(path), exist_ok=True)


def open_read(path: str) -> IO[bytes]:
    """Open a file for reading, as bytes, exactly as stored (no decompression)."""
    if is_local(path):
        return open(local_path(path), "rb")
    return fsspec.open(path, "rb").open()  # type: ignore[no-any-return]


def read_bytes(path: str) -> bytes:
    """The whole content of a (small) file."""
    with open_read(path) as file:
        return file.read()


@contextlib.contextmanager
def write_atomically(path: str) -> Iterator[IO[bytes]]:
    """A binary file that takes its final name only when the block ends without an exception."""
    if not is_local(path):
        with fsspec.open(path, "wb") as file:
            yield file
        return
    final = local_path(path)
    folder, name = os.path.split(final)
    os.makedirs(folder or ".", exist_ok=True)
    temporary = os.path.join(folder, f"{_TEMPORARY}{os.getpid()}-{next(_counter)}-{name[-80:]}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, final)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def write_bytes(path: str, content: bytes) -> None:
    """Write a (small) file, atomically."""
    with write_atomically(path) as file:
        file.write(content)


def remove(path: str) -> None:
    """Remove a file or a folder with all that is in it; nothing happens where there is none."""
    fs, inner = file_system(path)
    if fs.exists(inner):
        fs.rm(inner, recursive=True)


def remove_temporaries(folder: str) -> None:
    """Remove what an interrupted run left half-written below a local folder."""
    if not is_local(folder):
        return
    for root, _, names in os.walk(local_path(folder)):
        for name in names:
            if name.startswith(_TEMPORARY):
                os.unlink(os.path.join(root, name))


def list_files(folder: str, suffix: str = "") -> list[str]:
    """The files directly in a folder whose names end in `suffix`, sorted; empty where there is no such folder."""
    if is_local(folder):
        if not os.path.isdir(local_path(folder)):
            return []
        names = (
            entry.name for entry in os.scandir(local_path(folder)) if entry.is_file(follow_symlinks=True)
        )
        return sorted(
            join(folder, name) for name in names if name.endswith(suffix) and not name.startswith(_TEMPORARY)
        )
    fs, inner = file_system(folder)
    if not fs.exists(inner):
        return []
    return sorted(fs.unstrip_protocol(path) for path in fs.ls(inner, detail=False) if path.endswith(suffix))
