"""Names as numbers: a 64-bit hash of ASCII-lower-cased bytes, and hash tables that kernels can read.

The hash is FNV-1a (Fowler, Noll, Vo): one multiplication a byte, so a kernel computes it while it walks over
a name. A table is a pair of arrays of a power-of-two length with open addressing; key 0 is an empty place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from filters._simd import kernel

FNV_START = np.uint64(0xCBF29CE484222325)
FNV_FACTOR = np.uint64(0x100000001B3)
_THIRTY_TWO = np.uint64(32)

Keys = npt.NDArray[np.uint64]
Values = npt.NDArray[np.int64]


def name_hash(name: str) -> int:
    """The hash of a name, its ASCII letters in lower case."""
    state = int(FNV_START)
    for byte in name.encode():
        lower = byte | 0x20 if 0x41 <= byte <= 0x5A else byte
        state = ((state ^ lower) * int(FNV_FACTOR)) & 0xFFFFFFFFFFFFFFFF
    return state


def hash_table(values: Mapping[str, int]) -> tuple[Keys, Values]:
    """A table of the hashes of names, at most a quarter full.

    Raises:
        ValueError: when two names have the same hash.
    """
    size = 1 << max(4, (4 * len(values)).bit_length())
    keys, stored = np.zeros(size, np.uint64), np.zeros(size, np.int64)
    for name, value in values.items():
        key = name_hash(name)
        place = (key ^ key >> 32) & (size - 1)
        while keys[place]:
            if int(keys[place]) == key:
                raise ValueError(f"the name {name!r} has the hash of another name of its table")
            place = (place + 1) & (size - 1)
        keys[place], stored[place] = key, value
    return keys, stored


@kernel
def add_byte(state: np.uint64, byte: np.uint8) -> np.uint64:
    """The hash state after one more byte, taken as it is (lower-case it first)."""
    return (state ^ np.uint64(byte)) * FNV_FACTOR


@kernel
def look_up(keys: Keys, values: Values, key: np.uint64, missing: int) -> Any:
    """The value of a key, or `missing`."""
    mask = len(keys) - 1
    place = np.int64((key ^ key >> _THIRTY_TWO) & np.uint64(mask))
    while keys[place] != 0:
        if keys[place] == key:
            return values[place]
        place = (place + 1) & mask
    return missing
