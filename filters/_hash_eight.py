"""Hashes and classes of eight words at once, of up to sixteen ASCII bytes each, as one LLVM vector operation.

It computes what `_word_hash.hash_word` does for one word, without branches: on machines with AVX-512 a lane
per word in one register, elsewhere in as many registers as it takes.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from filters._simd import moremur_code, operation

LANES = 8
REACH = 16
"""Bytes that are read from the start of each word."""
HASH_START = 0xE7037ED1A0B428DB

_I8, _I64 = ir.IntType(8), ir.IntType(64)
_LANE_BYTES, _LANES = ir.VectorType(_I8, LANES), ir.VectorType(_I64, LANES)


def _all(number: int, kind: Any = _LANES) -> Any:
    return ir.Constant(kind, [number] * LANES)


def _every_byte(byte: int) -> Any:
    return _all(byte * 0x0101010101010101)


def _load_lanes(builder: Any, address: Any) -> Any:
    return builder.load(builder.inttoptr(address, _LANES.as_pointer()), align=1)


def _pieces(builder: Any, base: Any, starts: Any, offset: int) -> Any:
    """Eight bytes of each word, `offset` bytes from its start."""
    pieces = ir.Constant(_LANES, ir.Undefined)
    for lane in range(LANES):
        index = ir.Constant(ir.IntType(32), lane)
        address = builder.add(base, builder.extract_element(starts, index))
        pointer = builder.inttoptr(builder.add(address, ir.Constant(_I64, offset)), _I64.as_pointer())
        pieces = builder.insert_element(pieces, builder.load(pointer, align=1), index)
    return pieces


def _lowest_bytes(builder: Any, count: Any) -> Any:
    """Masks of the lowest `count` bytes, of 1 to 8."""
    unused = builder.sub(_all(64), builder.shl(count, _all(3)))
    return builder.lshr(_all(0xFFFFFFFFFFFFFFFF), builder.and_(unused, _all(63)))


def _kinds_of_bytes(builder: Any, pieces: Any) -> Any:
    """In every byte: 0x80 if beyond ASCII, 0x40 for lower case, 0x20 for upper case, 0x10 for a digit."""
    letters = builder.and_(pieces, _every_byte(0x40))
    lower = builder.and_(letters, builder.shl(pieces, _all(1)))
    upper = builder.and_(builder.lshr(letters, _all(1)), builder.not_(pieces))
    not_letters = builder.not_(builder.lshr(letters, _all(2)))
    others = builder.and_(
        pieces, builder.or_(_every_byte(0x80), builder.and_(not_letters, _every_byte(0x10)))
    )
    return builder.or_(builder.or_(lower, upper), others)


def _united_bytes(builder: Any, values: Any) -> Any:
    """The bitwise or of the eight bytes of each lane."""
    for shift in (32, 16, 8):
        values = builder.or_(values, builder.lshr(values, _all(shift)))
    return builder.trunc(values, _LANE_BYTES)


def _generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
    base, starts_at, ends_at, hashes_at, classes_at = args
    starts = _load_lanes(builder, starts_at)
    sizes = builder.sub(_load_lanes(builder, ends_at), starts)
    is_long = builder.icmp_unsigned(">", sizes, _all(8))
    first_mask = _lowest_bytes(builder, builder.select(is_long, _all(8), sizes))
    is_longer = builder.icmp_unsigned(">", sizes, _all(REACH))
    second_mask = _lowest_bytes(builder, builder.sub(builder.select(is_longer, _all(REACH), sizes), _all(8)))
    second_mask = builder.select(is_long, second_mask, _all(0))
    first = builder.and_(_pieces(builder, base, starts, 0), first_mask)
    second = builder.and_(_pieces(builder, base, starts, 8), second_mask)

    lower = _every_byte(0x20)
    folded = builder.or_(first, builder.and_(first_mask, lower))
    one_piece = moremur_code(builder, builder.xor(folded, _all(HASH_START)))
    folded = builder.or_(second, builder.and_(second_mask, lower))
    two_pieces = moremur_code(builder, builder.xor(folded, one_piece))
    hashes = builder.select(is_long, two_pieces, one_piece)
    builder.store(hashes, builder.inttoptr(hashes_at, _LANES.as_pointer()), align=1)

    kinds = builder.or_(_kinds_of_bytes(builder, first), _kinds_of_bytes(builder, second))
    kinds = _united_bytes(builder, kinds)
    cases = builder.and_(builder.lshr(kinds, _all(3, _LANE_BYTES)), _all(0x0E, _LANE_BYTES))
    has_letter = builder.icmp_unsigned(
        "!=", builder.and_(kinds, _all(0x60, _LANE_BYTES)), _all(0, _LANE_BYTES)
    )
    classes = builder.or_(cases, builder.zext(has_letter, _LANE_BYTES))
    builder.store(classes, builder.inttoptr(classes_at, _LANE_BYTES.as_pointer()), align=1)

    beyond_ascii = builder.icmp_signed("<", kinds, _all(0, _LANE_BYTES))
    return builder.zext(builder.bitcast(builder.or_(beyond_ascii, is_longer), _I8), _I64)


hash_eight = operation(
    5,
    _generate,
    """Hash and classify eight words.

    Arguments are the addresses of the text and of the words' starts, ends, hashes and classes; REACH bytes
    from the start of each word must be readable. Returns a bit for each word that is left to do, because it
    is longer than REACH bytes or has a character beyond ASCII.
    """,
)
