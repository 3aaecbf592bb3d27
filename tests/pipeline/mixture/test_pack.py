"""Packing against plain Python: where long documents are cut, which piece goes where, what lies in the sequences."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.mixture.pack import best_fit, fill, pack_best_fit, pack_concat, split_long
from pipeline.mixture.pieces import CLOSING, FULL_STOP, LINE_END, SENTENCE_END, SPACE, piece_classes

# ---- references


def reference_cut(classes: list[int], tokens: list[int], start: int, length: int) -> int:
    """The end of the piece of a longer document that begins at `start`."""

    def ends_sentence(end: int) -> bool:
        at = end - 1
        while at > start and classes[tokens[at]] & CLOSING:
            at -= 1
        before_space = bool(classes[tokens[end]] & SPACE)
        return bool(classes[tokens[at]] & FULL_STOP) or (
            bool(classes[tokens[at]] & SENTENCE_END) and before_space
        )

    # Only the second half counts: a piece has at least half a sequence.
    ends = [end for end in range(start + 1, start + length + 1) if 2 * (end - start) >= length]
    good = [end for end in ends if classes[tokens[end - 1]] & LINE_END or ends_sentence(end)]
    words = [end for end in ends if classes[tokens[end]] & SPACE]
    return max(good, default=max(words, default=start + length))


def reference_split(tokens: list[int], starts: list[int], classes: list[int], length: int) -> list[tuple]:
    pieces = []
    for document, (begin, stop) in enumerate(itertools.pairwise(starts)):
        at = begin
        while at < stop:
            end = stop if stop - at <= length else reference_cut(classes, tokens, at, length)
            pieces.append((document, at - begin, end - at))
            at = end
    return pieces


def reference_best_fit(sizes: list[int], length: int) -> list[int]:
    """Best-fit decreasing with a list of sequences: (space left, when it got there)."""
    spaces: list[tuple[int, int]] = []
    where = [0] * len(sizes)
    for step, piece in enumerate(sorted(range(len(sizes)), key=lambda at: (-sizes[at], at))):
        fits = [at for at, (space, _) in enumerate(spaces) if space >= sizes[piece]]
        if fits:
            at = min(fits, key=lambda at: (spaces[at][0], -spaces[at][1]))
        else:
            at = len(spaces)
            spaces.append((length, step))
        spaces[at] = (spaces[at][0] - sizes[piece], step)
        where[piece] = at
    return where


# ---- strategies

CLASSES = [0, LINE_END, SENTENCE_END, FULL_STOP, CLOSING, SPACE, SPACE | SENTENCE_END, CLOSING | SPACE, 0, 0]

documents = st.lists(st.lists(st.integers(0, len(CLASSES) - 1), max_size=60), max_size=12)
lengths = st.integers(1, 24)


def laid_out(docs: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    starts = np.concatenate([[0], np.cumsum([len(doc) for doc in docs])]).astype(np.int64)
    return np.array([token for doc in docs for token in doc], np.uint16), starts


# ---- long documents


@given(documents, lengths)
def test_long_documents_are_cut_as_the_reference_cuts(docs: list[list[int]], length: int) -> None:
    tokens, starts = laid_out(docs)
    found = split_long(tokens, starts, np.array(CLASSES, np.uint8), length)
    expected = reference_split(tokens.tolist(), starts.tolist(), CLASSES, length)
    assert list(zip(*(part.tolist() for part in found), strict=True)) == expected


def cut_text(pieces: list[str], length: int) -> list[str]:
    """A text in pieces, cut; the pieces of each part joined."""
    vocabulary = sorted(set(pieces))
    tokens = np.array([vocabulary.index(piece) for piece in pieces], np.uint16)
    classes = piece_classes(vocabulary)
    _, offsets, sizes = split_long(tokens, np.array([0, len(tokens)]), classes, length)
    return ["".join(pieces[at : at + n]) for at, n in zip(offsets.tolist(), sizes.tolist(), strict=True)]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["▁a", "▁b", ".", "▁c", "▁d", "▁e"], ["▁a▁b.", "▁c▁d▁e"]),
        (["▁a", "▁b", ".", ")", "▁d", "▁e"], ["▁a▁b.)", "▁d▁e"]),
        (["▁a", "▁b", "\n", "c", "▁d", "▁e"], ["▁a▁b\n", "c▁d▁e"]),
        (["▁a", "▁b", "<0x0A>", "c", "▁d", "▁e"], ["▁a▁b<0x0A>", "c▁d▁e"]),
        (["▁a", "b", "。", "c", "d", "e"], ["▁ab。", "cde"]),
        (["▁1", "2", ".", "5", "▁d", "e"], ["▁12.5", "▁de"]),  # no sentence ends here, but a word does
        (["▁a", ".", "▁b", "c", "d", "e", "f"], ["▁a.", "▁bcde", "f"]),
        (["a", "b", "c", "d", "e"], ["abcd", "e"]),
        (["▁a", "<0xA0>", "<0x85>", "d", "e"], ["▁a<0xA0><0x85>d", "e"]),  # halves of characters are no space
    ],
)
def test_cuts_lie_at_ends_of_lines_and_sentences(pieces: list[str], expected: list[str]) -> None:
    assert cut_text(pieces, 4) == expected


@pytest.mark.parametrize(
    ("tokens", "starts"), [([0, 99], [0, 2]), ([0], [0, 2]), ([0, 1], [0, 2, 1, 2]), ([0], [1, 1]), ([], [])]
)
def test_malformed_input_reaches_no_kernel(tokens: list[int], starts: list[int]) -> None:
    with pytest.raises(ValueError, match=r"document starts|outside the vocabulary"):
        split_long(np.array(tokens, np.uint16), np.array(starts, np.int64), np.array(CLASSES, np.uint8), 4)


# ---- best fit


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(1, n), max_size=60))))
def test_best_fit_agrees_with_the_reference(case: tuple[int, list[int]]) -> None:
    length, sizes = case
    sequence, made = best_fit(np.array(sizes, np.int64), length)
    assert sequence.tolist() == reference_best_fit(sizes, length)
    assert made == len(set(sequence.tolist()))


@pytest.mark.parametrize("size", [0, 9])
def test_pieces_that_fit_no_sequence_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="1 to 8 tokens"):
        best_fit(np.array([3, size]), 8)


@settings(max_examples=60)
@given(documents, lengths)
def test_packing_keeps_every_token_once_and_cuts_nothing_that_fits(
    docs: list[list[int]], length: int
) -> None:
    docs = [doc for doc in docs if doc]
    tokens, starts = laid_out(docs)
    keys = np.arange(len(docs), dtype=np.uint64) * 7919
    packed = pack_best_fit(tokens, starts, np.array(CLASSES, np.uint8), length, keys)
    rows = fill(tokens, starts, packed, length, pad_id=-1)
    found: list[list[int]] = [[] for _ in docs]
    pieces = [0] * len(docs)
    for document, offset, size in sorted(zip(packed.document, packed.offset, packed.length, strict=True)):
        assert offset == len(found[document])
        found[document] += docs[document][offset : offset + size]
        pieces[document] += 1
    assert found == docs
    assert all(count == 1 for doc, count in zip(docs, pieces, strict=True) if len(doc) <= length)
    for row in range(packed.sequences):
        mine = range(packed.starts[row], packed.starts[row + 1])
        laid = [
            token
            for at in mine
            for token in docs[packed.document[at]][packed.offset[at] : packed.offset[at] + packed.length[at]]
        ]
        assert rows[row].tolist() == laid + [-1] * (length - len(laid))
        assert list(packed.document[mine]) == sorted(packed.document[mine])


def test_padding_of_ordinary_documents_is_below_a_fifth_of_a_percent() -> None:
    rng = np.random.default_rng(5)
    sizes = np.minimum(np.exp(rng.normal(6.5, 1.1, 30_000)).astype(np.int64) + 1, 2048)
    _, made = best_fit(sizes, 2048)
    assert 1 - sizes.sum() / (made * 2048) < 0.002


# ---- concat


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=30), max_size=10), lengths)
def test_concat_is_one_line_cut_every_length(docs: list[list[int]], length: int) -> None:
    tokens, starts = laid_out(docs)
    packed = pack_concat(starts, length)
    rows = fill(tokens, starts, packed, length, pad_id=-1)
    assert packed.sequences == -(-len(tokens) // length)
    assert rows.ravel()[: len(tokens)].tolist() == tokens.tolist()
    assert set(rows.ravel()[len(tokens) :].tolist()) <= {-1}
    expected = [
        (document, position - begin)
        for document, (begin, end) in enumerate(itertools.pairwise(starts))
        for position in range(begin, end)
        if position == begin or position % length == 0
    ]
    assert list(zip(packed.document.tolist(), packed.offset.tolist(), strict=True)) == expected
