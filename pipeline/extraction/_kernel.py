"""How the kernels of this package are compiled: machine code cached on disk, the interpreter lock released."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile a function with numba; a change of any module of this package invalidates its cached code.

    numba looks only at the file of the function itself, but kernels here call kernels of other modules and
    take their tables as constants.
    """
    dispatcher: Any = njit(cache=True, nogil=True)(function)
    cache_file = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    stamp = getattr(cache_file, "_source_stamp", None)
    if cache_file is not None and stamp is not None:
        cache_file._source_stamp = (stamp, _sources_stamp())
    return cast(Function, dispatcher)


@cache
def _sources_stamp() -> tuple[tuple[str, float, int], ...]:
    """Name, time and size of all modules of this package."""
    modules = sorted(Path(__file__).parent.glob("*.py"))
    return tuple((module.name, module.stat().st_mtime, module.stat().st_size) for module in modules)
