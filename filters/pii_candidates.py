"""Candidates for personal identifiers in a column of texts: the typed side of `filters._pii_kernels`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from filters import _pii_kernels as kernels
from filters._pii_kernels import CRYPTO, IBAN, IPV4, IPV6, RUN, SIGN

__all__ = ["CRYPTO", "IBAN", "IPV4", "IPV6", "RUN", "SIGN", "find_candidates", "text_bounds"]

Ints = npt.NDArray[np.int64]

_SPARE = 64
"""Candidates that there is room for at first, beside one per kilobyte."""


def find_candidates(text: pa.Array) -> Ints:
    """Where identifiers may be.

    Kinds: SIGN an `@` between two words; RUN seven digits or more with at most four separators between two;
    IPV4 four dotted groups; IPV6 hexadecimal groups and colons; IBAN whose check digits are right; CRYPTO a
    word of 26 to 62 characters that begins like an address.

    Args:
        text: string or large_string, sliced or not; a null has no candidates.

    Returns:
        `[candidate, (row, kind, start, end)]` in order of rows. Start and end are characters, counted from
        the start of the row's text; in a row of malformed UTF-8 they mean nothing.

    Raises:
        TypeError: for an array of another type.
        ValueError: for a damaged array, whose offsets do not ascend or lie outside its data.
    """
    data, starts, ends = text_bounds(text)
    base, limit = np.uint64(data.ctypes.data), np.uint64(len(data))
    room = int((ends - starts).sum()) // 1024 + _SPARE
    while True:
        found = np.empty((room, kernels.FIELDS), np.int64)
        count = int(kernels.scan(base, limit, starts, ends, found))
        if count <= room:
            return found[:count]
        room = count


def text_bounds(text: pa.Array) -> tuple[npt.NDArray[np.uint8], Ints, Ints]:
    """The bytes of a string column, and where each row begins and ends in them; a null is empty.

    Raises:
        TypeError: for an array of another type.
        ValueError: for a damaged array, whose offsets do not ascend or lie outside its data.
    """
    widths: dict[Any, Any] = {pa.string(): np.int32, pa.large_string(): np.int64}
    if text.type not in widths:
        raise TypeError(f"expected a string or large_string column, not one of {text.type}")
    _, offsets, data = text.buffers()
    content = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    if not len(text):
        return content, np.zeros(0, np.int64), np.zeros(0, np.int64)
    bounds = np.frombuffer(offsets, widths[text.type])[text.offset :][: len(text) + 1].astype(np.int64)
    if bounds[0] < 0 or bounds[-1] > len(content) or np.any(bounds[1:] < bounds[:-1]):
        raise ValueError(f"the offsets of the string column do not ascend within its {len(content)} bytes")
    starts, ends = bounds[:-1].copy(), bounds[1:].copy()
    if text.null_count:
        nulls = np.asarray(text.is_null())
        ends[nulls] = starts[nulls]
    return content, starts, ends
