"""The output folder of a run: who may write there, what is resumed, what is refused.

    OUT/documents, rejected, failed, decisions, manifest.json, report.html, README.md     the result
    OUT/work/run.json         the identity of the run: everything that decides its bytes
    OUT/work/...              intermediate files; removed when the result is complete

The same command continues an interrupted run, or finds it complete. Another configuration or other inputs are refused with
what differs, unless the user says `--overwrite`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline import storage
from pipeline.errors import UserError

RESULTS = ("documents", "rejected", "failed", "decisions", "manifest.json", "report.html", "README.md")
MOST_DIFFERENCES = 12


class OutputFolder:
    """The folder of one run. `results` are the entries that it leaves; `replaceable` of them may be anybody's."""

    results: tuple[str, ...] = RESULTS
    replaceable: tuple[str, ...] = ()

    def __init__(self, path: str) -> None:
        self.path = path
        self.work = storage.join(path, "work")
        self.manifest_path = storage.join(path, "manifest.json")

    def within(self, *parts: str) -> str:
        """A path in the folder."""
        return storage.join(self.path, *parts)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder against a second run on this machine.

        Raises:
            UserError: when the folder cannot be created or written, or another run holds it.
        """
        if not storage.is_local(self.path):
            yield
            return
        try:
            storage.make_folder(self.work)
            lock = open(os.path.join(storage.local_path(self.path), "work", ".lock"), "w")  # noqa: SIM115
        except OSError as error:
            raise UserError(
                f"cannot write to the output folder {self.path}: {error.strerror or error}. "
                "Choose another --output, or mend its permissions."
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UserError(f"another run is writing to {self.path}; wait for it, or stop it.") from error
            yield

    def prepare(self, identity: Mapping[str, Any], *, overwrite: bool, keep: Sequence[str]) -> bool:
        """Make the folder ready for a run; whether its result is already complete.

        Args:
            identity: everything that decides the bytes of the result (JSON).
            overwrite: whether a result of another identity may be removed.
            keep: entries of `work` that survive overwriting, since their names say what they were made from.

        Raises:
            UserError: when the folder holds something else, or another identity without `overwrite`.
        """
        storage.remove_temporaries(self.path)
        found = self._identity()
        if found is None:
            self._check_ours(overwrite)
        elif found != dict(identity):
            if not overwrite:
                raise UserError(
                    f"{self.path} holds a run of another configuration or other inputs:\n"
                    + "\n".join(f"  {line}" for line in differences(found, identity))
                    + "\nUse another --output, or --overwrite to replace it."
                )
            self._clear(keep)
        elif storage.exists(self.manifest_path):
            return True
        storage.write_bytes(storage.join(self.work, "run.json"), _dumped(identity))
        return False

    def _identity(self) -> dict[str, Any] | None:
        running = storage.join(self.work, "run.json")
        if storage.exists(running):
            return json.loads(storage.read_bytes(running))  # type: ignore[no-any-return]
        if storage.exists(self.manifest_path):
            manifest = json.loads(storage.read_bytes(self.manifest_path))
            return manifest.get("identity")  # type: ignore[no-any-return]
        return None

    def _check_ours(self, overwrite: bool) -> None:
        for name in self.results:
            if name not in self.replaceable and storage.exists(self.within(name)) and not overwrite:
                raise UserError(
                    f"{self.path} already holds `{name}`, which no run of corpusmill is known to have left there. "
                    "Use another --output, or --overwrite to replace it."
                )
        self._remove_results()

    def _clear(self, keep: Sequence[str]) -> None:
        self._remove_results()
        self._remove_work(keep)

    def _remove_results(self) -> None:
        # The manifest goes first: without it nothing that is left can pass for a complete result.
        for name in reversed(self.results):
            storage.remove(self.within(name))

    def _remove_work(self, keep: Sequence[str]) -> None:
        fs, inner = storage.file_system(self.work)
        if not fs.exists(inner):
            return
        for entry in fs.ls(inner, detail=False):
            name = entry.rstrip("/").rsplit("/", 1)[-1]
            if name not in (*keep, ".lock", "run.json"):
                fs.rm(entry, recursive=True)

    def finish(self, manifest: Mapping[str, Any], keep: Sequence[str]) -> None:
        """Write the manifest, which makes the result complete, and remove intermediate files but `keep`."""
        storage.write_bytes(self.manifest_path, _dumped(manifest))
        self._remove_work(keep)
        if not keep and storage.is_local(self.work):
            storage.remove(self.work)


def _dumped(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def differences(before: Any, after: Any) -> list[str]:
    """What changed between two JSON values, a line each, as `path: old -> new`."""
    old, new = _flat("", before), _flat("", after)
    lines = [
        f"{path}: {_shown(old.get(path))} -> {_shown(new.get(path))}"
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    ]
    more = len(lines) - MOST_DIFFERENCES
    return [*lines[:MOST_DIFFERENCES], f"and {more} more"] if more > 0 else lines


def _flat(path: str, value: Any) -> dict[str, Any]:
    children: list[tuple[str, Any]] = []
    if isinstance(value, Mapping) and value:
        children = [(str(key), inner) for key, inner in value.items()]
    elif isinstance(value, list | tuple) and value:
        children = [(str(index), inner) for index, inner in enumerate(value)]
    if not children:
        return {path: value} if path else {}
    return {
        name: inner
        for key, child in children
        for name, inner in _flat(f"{path}.{key}" if path else key, child).items()
    }


def _shown(value: Any) -> str:
    return "(none)" if value is None else json.dumps(value, ensure_ascii=False)
