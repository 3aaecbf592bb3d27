"""How the tables of the n-gram index are laid out: what the compiled steps of building and scanning agree on.

`decontam.ngrams` describes the file that holds them.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from decontam.settings import LONGEST_N, SHORTEST_N

U8: TypeAlias = npt.NDArray[np.uint8]
U32: TypeAlias = npt.NDArray[np.uint32]
U64: TypeAlias = npt.NDArray[np.uint64]
I64: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]
Number: TypeAlias = Any
"""A 64-bit unsigned number inside a kernel: a place, a row, a hash."""
Address: TypeAlias = Any
"""A 64-bit unsigned number that is the address of memory."""

IDS_PER_ROW = LONGEST_N - SHORTEST_N + 1
PADDING = LONGEST_N + 3
"""Zero codes at the end of a text, so that the words after any place can be read."""

# A row of the suffix array, in 64 bits: the place of its words in the text (32), the leading bits of the code
# of the fifth word (8), the number of words that it shares with the row before (4), and a bit for every n:
# whether the n-gram that begins in this row is one of the rule `item` (10), and whether it is permitted (10).
PLACE_SHIFT, NEXT_SHIFT, SHARED_SHIFT, ITEM_SHIFT = (np.uint64(bits) for bits in (32, 24, 20, 10))
NEXT_MASK, SHARED_MASK, N_MASK = np.uint64(0xFF), np.uint64(0xF), np.uint64((1 << IDS_PER_ROW) - 1)
CODE_TO_NEXT = np.uint64(24)

# A slot of the table of 4-grams: the lowest 31 bits of the hash, whether several rows have the 4-gram, and 1 +
# its row (or, of several, 1 + its number among the groups of rows). 0 is an empty slot.
PRINT_SHIFT, SEVERAL_SHIFT = np.uint64(33), np.uint64(32)
PRINT_MASK, SLOT_MASK = np.uint64(0x7FFFFFFF), np.uint64(0xFFFFFFFF)


class Tables(NamedTuple):
    """The arrays that the scan reads."""

    bloom: U64
    slots: U64
    groups: (
        U32  # [2 * groups] the rows of every 4-gram that several rows have: the first, and one after the last
    )
    rows: U64
    codes: U32

    def view(self) -> View:
        """Where the arrays lie. They must be kept as long as the view is used."""
        places = ((np.uint64(array.ctypes.data), np.uint64(len(array))) for array in self)
        return View(*(number for place in places for number in place))


class View(NamedTuple):
    """Addresses and lengths of the arrays of `Tables`: arrays are dear to pass from one kernel to another."""

    bloom: Number
    blocks: Number
    slots: Number
    slot_count: Number
    groups: Number
    group_numbers: Number
    rows: Number
    row_count: Number
    codes: Number
    code_count: Number


def _prefetch(_typing: Any, _address: Any) -> Any:

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
        signature = ir.FunctionType(ir.VoidType(), [pointer, i32, i32, i32])
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer], signature)
        read, keep, data = ir.Constant(i32, 0), ir.Constant(i32, 3), ir.Constant(i32, 1)
        builder.call(function, [builder.inttoptr(args[0], pointer), read, keep, data])
        return context.get_dummy_value()

    return types.void(types.uint64), generate


prefetch: Any = intrinsic(_prefetch)
"""Asks for the cache line at an address (uint64). Only a hint: any address is allowed."""
