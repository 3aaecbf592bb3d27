"""The few machine operations that numba lacks, as LLVM instructions, and the one way kernels are compiled here.

Everything takes plain addresses (`uint64`) and touches exactly the bytes that its name says: the caller
proves that they lie inside a buffer. The 64-byte class masks are vector code that LLVM lowers to whatever the
machine has (AVX-512, AVX2, NEON).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

Function = TypeVar("Function", bound=Callable[..., Any])
Operation = Callable[..., Any]
Generator = Callable[[Any, Any, Any, Any], Any]

BLOCK = 64
"""Bytes that one class mask covers: one bit for each in a 64-bit word."""

_I8, _I16, _I32, _I64, _I128 = (ir.IntType(bits) for bits in (8, 16, 32, 64, 128))
_FALSE = ir.Constant(ir.IntType(1), 0)
_BYTES = ir.VectorType(_I8, BLOCK)
_U64 = types.uint64


def kernel(function: Function) -> Function:
    """Compile a function with numba: machine code cached on disk, the interpreter lock released meanwhile."""
    return cast(Function, njit(cache=True, nogil=True)(function))


def inlined(function: Function) -> Function:
    """Compile a small function into its callers, where a call would cost more than its body."""
    return cast(Function, njit(cache=True, nogil=True, forceinline=True)(function))


def _operation(arguments: int, generate: Generator, about: str) -> Operation:
    """Make an operation on `arguments` (1 or 2) 64-bit numbers that gives one, from its LLVM instructions."""

    def one(_typing: Any, _first: Any) -> Any:
        return _U64(_U64), generate

    def two(_typing: Any, _first: Any, _second: Any) -> Any:
        return _U64(_U64, _U64), generate

    template = one if arguments == 1 else two
    template.__doc__ = about
    return cast(Operation, intrinsic(template))


def _load(width: Any) -> Generator:
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        value = builder.load(builder.inttoptr(args[0], width.as_pointer()), align=1)
        return value if width is _I64 else builder.zext(value, _I64)

    return generate


def _store_u64(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
    builder.store(args[1], builder.inttoptr(args[0], _I64.as_pointer()), align=1)
    return args[1]


def _trailing_zeros(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
    return builder.cttz(args[0], _FALSE)


def _count_ones(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
    return builder.ctpop(args[0])


def _multiply_fold(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
    product = builder.mul(builder.zext(args[0], _I128), builder.zext(args[1], _I128))
    high = builder.lshr(product, ir.Constant(_I128, 64))
    return builder.xor(builder.trunc(product, _I64), builder.trunc(high, _I64))


load_u8 = _operation(1, _load(_I8), "The byte at an address.")
load_u16 = _operation(1, _load(_I16), "The two bytes at an address, little-endian; no alignment needed.")
load_u32 = _operation(1, _load(_I32), "The four bytes at an address, little-endian; no alignment needed.")
load_u64 = _operation(1, _load(_I64), "The eight bytes at an address, little-endian; no alignment needed.")
store_u64 = _operation(2, _store_u64, "Write eight bytes to an address; returns them.")
trailing_zeros = _operation(1, _trailing_zeros, "The position of the lowest set bit; 64 when there is none.")
count_ones = _operation(1, _count_ones, "The number of set bits.")
multiply_fold = _operation(
    2, _multiply_fold, "The two halves of the 128-bit product, combined by exclusive or (the step of wyhash)."
)


def _splat(value: int) -> Any:
    return ir.Constant(_BYTES, [value] * BLOCK)


def _between(builder: Any, values: Any, low: int, count: int) -> Any:
    return builder.icmp_unsigned("<", builder.sub(values, _splat(low)), _splat(count))


def _is_word_byte(builder: Any, values: Any) -> Any:
    lower = builder.or_(values, _splat(0x20))
    return builder.or_(_between(builder, lower, ord("a"), 26), _between(builder, values, ord("0"), 10))


def _byte_mask(test: Callable[[Any, Any], Any], about: str) -> Operation:
    """Make an operation: address of 64 readable bytes -> a bit for each byte that passes `test`, lowest first."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        values = builder.load(builder.inttoptr(args[0], _BYTES.as_pointer()), align=1)
        return builder.bitcast(test(builder, values), _I64)

    return _operation(1, generate, about)


word_mask = _byte_mask(_is_word_byte, "ASCII letters and digits among 64 bytes.")
high_mask = _byte_mask(lambda b, values: b.icmp_signed("<", values, _splat(0)), "Bytes above 127 among 64.")
lead_mask = _byte_mask(lambda b, values: _between(b, values, 0xC0, 64), "First bytes of UTF-8 sequences.")
apostrophe_mask = _byte_mask(
    lambda b, values: _between(b, values, ord("'"), 1), "ASCII apostrophes among 64."
)
newline_mask = _byte_mask(lambda b, values: _between(b, values, ord("\n"), 1), "Newlines among 64 bytes.")
