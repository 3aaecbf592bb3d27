"""Tasks: named functions from JSON to JSON, each result kept in a file so that it is never computed twice.

A task is a module-level function `(item, shared) -> result` whose three types are pydantic models. It is called by name, so
a worker needs the package and two JSON strings. The result is written beside a fingerprint of all that it came from; a
rerun that finds an equal fingerprint takes the result as it is. The envelope also holds what the task cost.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import resource
import time
import typing
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from pipeline import storage

R = TypeVar("R", bound=BaseModel)

_attempt = 0


class Call(BaseModel, frozen=True):
    """One piece of work: the task's name, its JSON arguments, and where its result goes."""

    task: str
    key: str
    item: str
    shared: str
    result_path: str
    weight: int = 0

    @property
    def fingerprint(self) -> str:
        """A digest of everything that the result depends on."""
        digest = hashlib.blake2b(digest_size=16)
        for part in (self.task, self.item, self.shared):
            digest.update(len(part).to_bytes(8, "little") + part.encode())
        return digest.hexdigest()


class Done(BaseModel, Generic[R]):
    """A task's result and its cost."""

    key: str
    result: R
    cpu_seconds: float
    wall_seconds: float
    peak_rss: int


def task_name(function: Callable[..., Any]) -> str:
    """`module:function`, checked to lead back to the same function.

    Raises:
        ValueError: for lambdas, methods and functions of `__main__`, which a worker could not find.
    """
    name = f"{function.__module__}:{function.__qualname__}"
    if function.__module__ == "__main__" or resolve(name) is not function:
        raise ValueError(f"{name} is not a module-level function that a worker can import")
    return name


@functools.cache
def resolve(name: str) -> Callable[..., Any]:
    """The function of a task's name."""
    module, _, qualname = name.partition(":")
    found = getattr(importlib.import_module(module), qualname, None)
    if not callable(found):
        raise ValueError(f"there is no task {name}")
    return typing.cast("Callable[..., Any]", found)


@functools.cache
def signature(name: str) -> tuple[type[BaseModel], type[BaseModel], type[BaseModel]]:
    """The pydantic types (item, shared, result) of a task."""
    hints = typing.get_type_hints(resolve(name))
    result = hints.pop("return")
    item, shared = list(hints.values())[:2]
    return item, shared, result


@functools.lru_cache(maxsize=8)
def _shared(name: str, text: str) -> BaseModel:
    return signature(name)[1].model_validate_json(text)


def attempt() -> int:
    """How often the running task has already taken a worker process down (0 at first)."""
    return _attempt


def stored(call: Call) -> str | None:
    """The call's result envelope where an equal call has already left one, else None."""
    if not storage.exists(call.result_path):
        return None
    text = storage.read_bytes(call.result_path).decode()
    return text if json.loads(text).get("fingerprint") == call.fingerprint else None


def perform(call: Call, attempt: int = 0) -> str:
    """Do a call, or find it done; return its envelope (JSON)."""
    global _attempt
    found = stored(call)
    if found is not None:
        return found
    _attempt = attempt
    item_type, _, _ = signature(call.task)
    wall, cpu = time.perf_counter(), time.process_time()
    result = resolve(call.task)(item_type.model_validate_json(call.item), _shared(call.task, call.shared))
    envelope = {
        "key": call.key,
        "fingerprint": call.fingerprint,
        "cpu_seconds": round(time.process_time() - cpu, 6),
        "wall_seconds": round(time.perf_counter() - wall, 6),
        "peak_rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "result": result.model_dump(mode="json"),
    }
    text = json.dumps(envelope)
    storage.write_bytes(call.result_path, text.encode())
    return text


def parse(call_task: str, text: str) -> Done[Any]:
    """An envelope as a typed result."""
    envelope = json.loads(text)
    return Done[Any](
        key=envelope["key"],
        result=signature(call_task)[2].model_validate(envelope["result"]),
        cpu_seconds=envelope["cpu_seconds"],
        wall_seconds=envelope["wall_seconds"],
        peak_rss=envelope["peak_rss"],
    )
