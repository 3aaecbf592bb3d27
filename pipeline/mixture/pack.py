"""Documents -> sequences of one length.

**Best fit** ("Fewer Truncations Improve Language Modeling", Ding et al. 2024): a document longer than a sequence is cut at
the last line or sentence end that fits; then pieces go, longest first, each into the open sequence that it fills best. No
document that fits a sequence is cut; what stays empty is padding. **Concat**: documents one after the other, cut every
`length` tokens; only the end of the last sequence is padding.

Both give **pieces**, in the order in which they lie in the sequences: which document, from which token on, how many tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline.dedup.arrays import I64, U8, mix64
from pipeline.mixture.pieces import CLOSING, FULL_STOP, LINE_END, SENTENCE_END, SPACE

I32 = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Packed:
    """Pieces in sequences: sequence s holds the pieces `starts[s]` to `starts[s + 1]`, in this order."""

    document: I64
    """Position of the piece's document."""
    offset: I64
    """Its first token in the document."""
    length: I64
    """Its tokens."""
    starts: I64
    """First piece of each sequence, and the end."""

    @property
    def sequences(self) -> int:
        """How many sequences there are."""
        return len(self.starts) - 1


# ---- long documents


@njit(cache=True, nogil=True)
def _cut_before(tokens: Any, classes: Any, start: int, limit: int) -> int:
    """Where a piece that begins at `start` and may end at `limit` ends: after the last line or sentence end, else before
    the last word, in its second half; else at the limit. Documents go on behind the limit.
    """
    lowest = start + (limit - start + 1) // 2
    word = 0
    for end in range(limit, lowest - 1, -1):
        before = classes[tokens[end - 1]]
        if before & LINE_END:
            return end
        next_is_space = classes[tokens[end]] & SPACE
        at = end - 1
        while at > start and classes[tokens[at]] & CLOSING:
            at -= 1
        mark = classes[tokens[at]]
        if mark & FULL_STOP or (mark & SENTENCE_END and next_is_space):
            return end
        if next_is_space and word == 0:
            word = end
    return word if word else limit


@njit(cache=True, nogil=True)
def _split(tokens: Any, starts: Any, classes: Any, length: int) -> Any:
    documents = len(starts) - 1
    room = 0
    for d in range(documents):
        # A cut lies in the second half, so a piece has at least half a sequence; the last one may be shorter.
        room += 2 * (starts[d + 1] - starts[d]) // length + 1
    document, offset, size = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64)
    made = 0
    for d in range(documents):
        at = starts[d]
        while at < starts[d + 1]:
            end = starts[d + 1]
            if end - at > length:
                end = _cut_before(tokens, classes, at, at + length)
            document[made], offset[made], size[made] = d, at - starts[d], end - at
            made += 1
            at = end
    return document[:made], offset[:made], size[:made]


def split_long(tokens: npt.NDArray[Any], starts: I64, classes: U8, length: int) -> tuple[I64, I64, I64]:
    """Cut documents that are longer than a sequence.

    Args:
        tokens: the documents' tokens, one document after the other; each below `len(classes)`.
        starts: first token of each document, and the end.
        classes: class bits of every piece of the vocabulary (`tokens.piece_classes`).
        length: the most tokens of a piece.

    Returns:
        Document, first token in the document, and tokens of each piece, in order.
    """
    _check(tokens, starts, classes)
    return _split(tokens, starts, classes, length)  # type: ignore[no-any-return]


def _check(tokens: npt.NDArray[Any], starts: I64, classes: U8) -> None:
    """Refuse what would let a kernel read outside its arrays."""
    if len(starts) == 0 or starts[0] != 0 or starts[-1] != len(tokens) or (np.diff(starts) < 0).any():
        raise ValueError("document starts do not fit the tokens")
    if len(tokens) and not 0 <= int(tokens.min()) <= int(tokens.max()) < len(classes):
        raise ValueError(f"tokens are outside the vocabulary of {len(classes)} pieces")


# ---- best fit


@njit(cache=True, nogil=True)
def _longest_first(sizes: Any, length: int) -> Any:
    """Positions by size, longest first, stably (a counting sort)."""
    starts = np.zeros(length + 2, np.int64)
    for size in sizes:
        starts[length - size + 1] += 1
    for at in range(length + 1):
        starts[at + 1] += starts[at]
    order = np.empty(len(sizes), np.int64)
    for piece in range(len(sizes)):
        slot = length - sizes[piece]
        order[starts[slot]] = piece
        starts[slot] += 1
    return order


@njit(cache=True, nogil=True)
def _mark(tree: Any, leaves: int, space: int, is_open: bool) -> None:
    """Note in the tree of open spaces (node n is true where a leaf below it is) that a space exists or not."""
    node = leaves + space
    tree[node] = is_open
    node >>= 1
    while node:
        tree[node] = tree[2 * node] or tree[2 * node + 1]
        node >>= 1


@njit(cache=True, nogil=True)
def _least(tree: Any, leaves: int, size: int) -> int:
    """The smallest open space of at least `size`, or -1."""
    node = leaves + size
    while not tree[node]:
        while node & 1:  # a right child: nothing to its right below the same parent
            node >>= 1
        if node == 0:
            return -1
        node += 1
    while node < leaves:
        node = 2 * node if tree[2 * node] else 2 * node + 1
    return node - leaves


@njit(cache=True, nogil=True)
def _best_fit(sizes: Any, length: int) -> Any:
    leaves = 1
    while leaves < length + 1:
        leaves *= 2
    tree = np.zeros(2 * leaves, np.bool_)
    tops = np.full(length + 1, -1, np.int64)  # by space left: the sequence that got there last
    below = np.empty(len(sizes), np.int64)  # the one that got there before
    sequence = np.empty(len(sizes), np.int64)
    made = 0
    for piece in _longest_first(sizes, length):
        space = _least(tree, leaves, sizes[piece])
        if space < 0:
            at, space = made, length
            made += 1
        else:
            at = tops[space]
            tops[space] = below[at]
            if tops[space] < 0:
                _mark(tree, leaves, space, False)
        sequence[piece] = at
        left = space - sizes[piece]
        if left:
            below[at] = tops[left]
            if tops[left] < 0:
                _mark(tree, leaves, left, True)
            tops[left] = at
    return sequence, made


def best_fit(sizes: I64, length: int) -> tuple[I64, int]:
    """Best-fit decreasing: the sequence of each piece, and the number of sequences.

    Pieces go longest first (equal ones in order) into the sequence with the least space that is enough; among several with
    that space, into the one that has had it for the shortest time.

    Raises:
        ValueError: for a piece of no token, or longer than a sequence.
    """
    if len(sizes) and (int(sizes.min()) < 1 or int(sizes.max()) > length):
        raise ValueError(f"pieces must have 1 to {length} tokens")
    return _best_fit(sizes, length)  # type: ignore[no-any-return]


@njit(cache=True, nogil=True)
def _mix_all(values: Any, offsets: Any) -> Any:
    out = np.empty(len(values), np.uint64)
    for i in range(len(values)):
        out[i] = mix64(np.uint64(values[i]) ^ mix64(np.uint64(offsets[i])))
    return out


def pack_best_fit(
    tokens: npt.NDArray[Any], starts: I64, classes: U8, length: int, keys: npt.NDArray[np.uint64]
) -> Packed:
    """Pack documents by best fit; sequences come in the order of a hash of their first piece.

    Args:
        tokens, starts, classes, length: as for `split_long`.
        keys: a number of each document, from which the order of the sequences is made.
    """
    document, offset, size = split_long(tokens, starts, classes, length)
    sequence, made = best_fit(size, length)
    # Inside a sequence the pieces keep the documents' order, which is random, rather than that of their sizes.
    first = np.full(made, len(size), np.int64)
    np.minimum.at(first, sequence, np.arange(len(size)))
    by_hash = np.lexsort((first, _mix_all(keys[document[first]], offset[first])))
    rank = np.empty(made, np.int64)
    rank[by_hash] = np.arange(made)
    order = np.argsort(rank[sequence], kind="stable")
    counts = np.bincount(rank[sequence], minlength=made)
    return Packed(document[order], offset[order], size[order], np.concatenate([[0], np.cumsum(counts)]))


# ---- concat


def pack_concat(starts: I64, length: int) -> Packed:
    """Lay documents one after the other and cut every `length` tokens."""
    total = int(starts[-1])
    edges = np.union1d(starts, np.arange(0, total, length))
    begins = edges[:-1].astype(np.int64) if total else np.empty(0, np.int64)
    sizes = np.diff(edges)
    document = np.searchsorted(starts, begins, side="right") - 1
    sequences = -(-total // length)
    counts = np.bincount(begins // length, minlength=sequences)
    return Packed(
        document, begins - starts[document], sizes, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    )


# ---- sequences


@njit(cache=True, nogil=True)
def _fill(tokens: Any, starts: Any, document: Any, offset: Any, size: Any, firsts: Any, out: Any) -> None:
    for s in range(len(firsts) - 1):
        at = 0
        for piece in range(firsts[s], firsts[s + 1]):
            begin = starts[document[piece]] + offset[piece]
            for i in range(size[piece]):
                out[s, at + i] = tokens[begin + i]
            at += size[piece]


def fill(tokens: npt.NDArray[Any], starts: I64, packed: Packed, length: int, pad_id: int) -> I32:
    """The sequences' tokens, a row each, padded at the end."""
    out = np.full((packed.sequences, length), pad_id, np.int32)
    _fill(tokens, starts, packed.document, packed.offset, packed.length, packed.starts, out)
    return out
