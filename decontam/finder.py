"""Finds the file of a benchmark: its `file`, or its key or an alias, as folders or flat, with a usual ending."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from fsspec.core import url_to_fs

from decontam.entries import Benchmark, flat
from decontam.errors import BenchmarkError
from decontam.files import COMPRESSIONS, FORMATS

_MOST_LINES = 10


class Finder:
    """Finds benchmark files. Lists each folder once: asking a remote store name by name takes minutes."""

    def __init__(self) -> None:
        self._folders: dict[str, frozenset[str]] = {}

    def find(self, benchmark: Benchmark, roots: Sequence[str]) -> str | None:
        """The path of the benchmark's file under the first root that has one.

        Raises:
            BenchmarkError: when a root cannot be listed.
        """
        for root in roots:
            for name in _candidates(benchmark):
                # A folder that the root does not have is not listed: each costs a remote store a request or two.
                if not self._may_hold(root, name.partition("/")[0]):
                    continue
                path = posixpath.join(root, name)
                folder, base = posixpath.split(path)
                if base in self._names(folder):
                    return path
        return None

    def _may_hold(self, root: str, step: str) -> bool:
        return step in self._names(root) or step in ("", ".", "..")

    def _names(self, folder: str) -> frozenset[str]:
        if folder not in self._folders:
            try:
                fs, inner = url_to_fs(folder or ".")
                found = fs.ls(inner, detail=False) if fs.isdir(inner) else []
            except (OSError, ValueError, ImportError) as error:
                raise BenchmarkError(f"The folder {folder} cannot be listed: {error}") from error
            self._folders[folder] = frozenset(posixpath.basename(path.rstrip("/")) for path in found)
        return self._folders[folder]


def missing_message(missing: Sequence[tuple[Benchmark, Sequence[str]]], none_at_all: bool = False) -> str:
    """One error for all benchmarks without a file: which, where they were looked for, and what to do.

    Args:
        missing: the benchmarks and the folders in which they were looked for.
        none_at_all: files may be missing, but these are all the benchmarks there are.
    """
    if len(missing) > _MOST_LINES:
        keys = ", ".join(benchmark.key for benchmark, _ in missing)
        where = _places(dict.fromkeys(root for _, roots in missing for root in roots))
        lines = [
            f"{len(missing)} benchmarks have no file under {where}: {keys}.",
            f"Looked for the key or an alias of each, for example {_looked_for(missing[0][0])}.",
        ]
    else:
        lines = [
            f'benchmark "{benchmark.key}" has no file under {_places(roots)} (looked for {_looked_for(benchmark)}).'
            for benchmark, roots in missing
        ]
    one = len(missing) == 1
    them = "it" if one else "them"
    if none_at_all:
        lines.insert(0, "No benchmark has a file, so there is nothing to compare with.")
    lines.append(
        f"Put {them} there, download {them} with `decontam fetch`, point `--benchmark-root` at your copy, or drop "
        f"{'the entry' if one else 'an entry'} with `--skip {missing[0][0].key}`"
        f"{'' if one else ' (once for each)'}; skipped benchmarks are listed in the report."
    )
    if not none_at_all:
        lines.append("`--allow-missing` goes on without every benchmark that has no file.")
    return "\n".join(lines)


def _candidates(benchmark: Benchmark) -> list[str]:
    """What a benchmark's file may be called, in the order of preference."""
    if benchmark.file is not None:
        return [benchmark.file]
    stems = dict.fromkeys(stem for name in benchmark.names for stem in (name, flat(name)))
    return [stem + ending for stem in stems for ending in FORMATS]


def _looked_for(benchmark: Benchmark) -> str:
    if benchmark.file is not None:
        return benchmark.file
    plain = [ending for ending in FORMATS if not ending.endswith(COMPRESSIONS)]
    stems = list(dict.fromkeys(stem for name in benchmark.names for stem in (name, flat(name))))
    others = f"; also as {', '.join(stems[1:])}" if stems[1:] else ""
    return f"{stems[0]}{', '.join(plain)}, plain or with {', '.join(COMPRESSIONS)}{others}"


def _places(roots: Sequence[str] | dict[str, None]) -> str:
    return " or ".join(root or "." for root in roots)
