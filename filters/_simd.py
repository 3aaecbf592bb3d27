"""The few machine operations that numba lacks, as LLVM instructions, and the one way to compile kernels.

Everything takes plain addresses (`uint64`) and touches exactly the bytes that its name says: the caller
proves that they lie inside a buffer. The 64-byte class masks are vector code that LLVM lowers to whatever the
machine has (AVX-512, AVX2, NEON).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

Function = TypeVar("Function", bound=Callable[..., Any])
Operation = Callable[..., Any]
Generator = Callable[[Any, Any, Any, Any], Any]

BLOCK = 64
"""Bytes that one class mask covers: one bit for each in a 64-bit word."""

MOREMUR_SHIFTS = (27, 33, 27)
MOREMUR_FACTORS = (0x3C79AC492BA7B653, 0x1C69B3F74AC4AE35)
"""Pelle Evensen's mixer `moremur` (2019): xor-shift, multiply, xor-shift, multiply, xor-shift."""

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_FALSE = ir.Constant(ir.IntType(1), 0)
_BYTES = ir.VectorType(_I8, BLOCK)
_U64 = types.uint64


def kernel(function: Function) -> Function:
    """Compile a function with numba: machine code cached on disk, the interpreter lock released meanwhile."""
    return cast(Function, _with_honest_cache(njit(cache=True, nogil=True)(function), function))


def inlined(function: Function) -> Function:
    """Compile a small function into its callers, where a call would cost more than its body."""
    compiled = njit(cache=True, nogil=True, forceinline=True)(function)
    return cast(Function, _with_honest_cache(compiled, function))


@cache
def sources_stamp(folder: Path) -> tuple[tuple[str, float, int], ...]:
    """Name, time and size of the kernel modules of `filters`, and of all modules of a kernel's own folder."""
    here = Path(__file__).parent
    modules = sorted({*here.glob("_*.py"), *(folder.glob("*.py") if folder != here else ())})
    return tuple((module.name, module.stat().st_mtime, module.stat().st_size) for module in modules)


def _with_honest_cache(dispatcher: Any, function: Callable[..., Any]) -> Any:
    """Let a change of any kernel module that it may call invalidate a kernel's machine code.

    numba looks only at the file of the function itself, and would go on using what it compiled from the
    former version of a function that is called from another module.
    """
    cache_file = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    stamp = getattr(cache_file, "_source_stamp", None)
    if cache_file is not None and stamp is not None:
        cache_file._source_stamp = (stamp, sources_stamp(Path(function.__code__.co_filename).parent))
    return dispatcher


def operation(arguments: int, generate: Generator, about: str) -> Operation:
    """Make an operation on 1, 2 or 5 64-bit numbers that gives one, from its LLVM instructions."""

    def one(_typing: Any, _a: Any) -> Any:
        return _U64(_U64), generate

    def two(_typing: Any, _a: Any, _b: Any) -> Any:
        return _U64(_U64, _U64), generate

    def five(_typing: Any, _a: Any, _b: Any, _c: Any, _d: Any, _e: Any) -> Any:
        return _U64(_U64, _U64, _U64, _U64, _U64), generate

    templates: dict[int, Operation] = {1: one, 2: two, 5: five}
    template = templates[arguments]
    template.__doc__ = about
    return cast(Operation, intrinsic(template))


def _load(width: Any) -> Generator:
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        value = builder.load(builder.inttoptr(args[0], width.as_pointer()), align=1)
        return value if width is _I64 else builder.zext(value, _I64)

    return generate


def _store(width: Any) -> Generator:
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        value = args[1] if width is _I64 else builder.trunc(args[1], width)
        builder.store(value, builder.inttoptr(args[0], width.as_pointer()), align=1)
        return args[1]

    return generate


def _trailing_zeros(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
    return builder.cttz(args[0], _FALSE)


def _count_ones(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
    return builder.ctpop(args[0])


def moremur_code(builder: Any, value: Any) -> Any:
    """The instructions of `moremur`, on a number or on a vector of numbers."""

    def constant(number: int) -> Any:
        lanes = getattr(value.type, "count", None)
        return ir.Constant(value.type, number if lanes is None else [number] * lanes)

    for shift, factor in zip(MOREMUR_SHIFTS, MOREMUR_FACTORS, strict=False):
        value = builder.mul(builder.xor(value, builder.lshr(value, constant(shift))), constant(factor))
    return builder.xor(value, builder.lshr(value, constant(MOREMUR_SHIFTS[-1])))


def _moremur(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
    return moremur_code(builder, args[0])


load_u8 = operation(1, _load(_I8), "The byte at an address.")
load_u16 = operation(1, _load(_I16), "The two bytes at an address, little-endian; no alignment needed.")
load_u32 = operation(1, _load(_I32), "The four bytes at an address, little-endian; no alignment needed.")
load_u64 = operation(1, _load(_I64), "The eight bytes at an address, little-endian; no alignment needed.")
store_u8 = operation(2, _store(_I8), "Write the lowest byte of a number to an address.")
store_u64 = operation(2, _store(_I64), "Write a number to an address, little-endian.")
trailing_zeros = operation(1, _trailing_zeros, "The position of the lowest set bit; 64 when there is none.")
count_ones = operation(1, _count_ones, "The number of set bits.")
moremur = operation(
    1, _moremur, "Mix 64 bits: every bit of the number changes half of the bits of the result."
)


def _splat(value: int) -> Any:
    return ir.Constant(_BYTES, [value] * BLOCK)


def _between(builder: Any, values: Any, low: int, count: int) -> Any:
    return builder.icmp_unsigned("<", builder.sub(values, _splat(low)), _splat(count))


def _is_word_byte(builder: Any, values: Any) -> Any:
    lower = builder.or_(values, _splat(0x20))
    return builder.or_(_between(builder, lower, ord("a"), 26), _between(builder, values, ord("0"), 10))


def _byte_mask(test: Callable[[Any, Any], Any], about: str) -> Operation:
    """Make an operation: the address of 64 readable bytes -> a bit for each one that passes `test`."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        values = builder.load(builder.inttoptr(args[0], _BYTES.as_pointer()), align=1)
        return builder.bitcast(test(builder, values), _I64)

    return operation(1, generate, about)


word_mask = _byte_mask(_is_word_byte, "ASCII letters and digits among 64 bytes.")
high_mask = _byte_mask(lambda b, values: b.icmp_signed("<", values, _splat(0)), "Bytes above 127 among 64.")
lead_mask = _byte_mask(lambda b, values: _between(b, values, 0xC0, 64), "First bytes of UTF-8 sequences.")
apostrophe_mask = _byte_mask(
    lambda b, values: _between(b, values, ord("'"), 1), "ASCII apostrophes among 64."
)
newline_mask = _byte_mask(lambda b, values: _between(b, values, ord("\n"), 1), "Newlines among 64 bytes.")
