"""Signatures against their plain-Python statement, exact Jaccard similarities, and datasketch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.minhash import (
    FAMILIES,
    Family,
    band_keys,
    band_shape,
    estimate_jaccard,
    shingle_hashes,
    signatures,
    valid_signatures,
)
from filters.words import index_words, split_words, word_hash

MASK32, MASK64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF
EMPTY = MASK32
GOLDEN: dict[Family, list[int]] = {
    "fss_v1": [423697770, 2017955206, 1005969226, 1431967407],
    "affine_v1": [26832841, 248478113, 62327751, 774735263],
}
vocabulary = [f"word{number}" for number in range(40)]
documents = st.lists(st.lists(st.sampled_from(vocabulary), max_size=60).map(" ".join), max_size=5)


def reference_shingles(text: str, n: int) -> list[int]:
    hashes = [word_hash(word) for word in split_words(text)]
    size = min(n, len(hashes))
    shingles = []
    for start in range(len(hashes) - size + 1 if hashes else 0):
        state = 0
        for value in hashes[start : start + size]:
            state = (state * 0x9E3779B97F4A7C15 + value) & MASK64
        shingles.append((state ^ state >> 32) * 0xD6E8FEB86659FD93 & MASK64)
    return shingles


def reference_round(index: int, shingle: int) -> tuple[int, int]:
    """The 32-bit hash of a shingle in a round of `fss_v1`, and its value."""
    mixed = ((shingle ^ index * 0x9E3779B1) & MASK32) * 0x85EBCA6B & MASK32
    mixed = (mixed ^ mixed >> 15) * 0xC2B2AE35 & MASK32
    mixed ^= mixed >> 16
    return mixed, (((mixed ^ index * 0x85EBCA77 + 1) & MASK32) * 0x27D4EB2F & MASK32) >> 1


def reference_fss(text: str, n: int, k: int) -> list[int]:
    shingles = [shingle >> 32 for shingle in reference_shingles(text, n)]
    bins = [EMPTY] * k
    if not shingles:
        return bins
    for index in range(k):
        still_empty = [value == EMPTY for value in bins]
        for shingle in shingles:
            mixed, value = reference_round(index, shingle)
            if still_empty[mixed * k >> 32]:
                bins[mixed * k >> 32] = min(bins[mixed * k >> 32], value)
    for number in range(k):
        if bins[number] == EMPTY:
            bins[number] = min(reference_round(k + number, shingle)[1] for shingle in shingles)
    return bins


def reference_affine(text: str, n: int, k: int) -> list[int]:
    state, numbers = 0x636F727075736D31, []
    for _ in range(2 * k):
        state = (state + 0x9E3779B97F4A7C15) & MASK64
        mixed = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & MASK64
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & MASK64
        numbers.append((mixed ^ mixed >> 31) >> 32)
    shingles = [shingle >> 32 for shingle in reference_shingles(text, n)]
    if not shingles:
        return [EMPTY] * k
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    return [min(EMPTY - 1, *(((a | 1) * x + b) & MASK32 for x in shingles)) for a, b in pairs]


REFERENCES = {"fss_v1": reference_fss, "affine_v1": reference_affine}


def sketch(texts: list[str], n: int = 5, k: int = 112, family: Family = "fss_v1") -> npt.NDArray[np.uint32]:
    return signatures(index_words(pa.array(texts, pa.large_string())), n=n, k=k, family=family)


@pytest.mark.parametrize("family", FAMILIES)
@settings(deadline=None, max_examples=60)
@given(documents, st.integers(1, 7), st.sampled_from([1, 5, 16, 31]))
def test_signatures_agree_with_the_statement(family: Family, texts: list[str], n: int, k: int) -> None:
    assert sketch(texts, n, k, family).tolist() == [REFERENCES[family](text, n, k) for text in texts]


def test_signatures_never_change() -> None:
    text = "the quick brown fox jumps over the lazy dog"
    for family, expected in GOLDEN.items():
        assert sketch([text], 5, 4, family).tolist() == [expected]


def test_the_words_of_a_document_are_what_counts() -> None:
    first, second, third = sketch(
        ["The quick, brown FOX jumps!", "the quick brown fox\njumps", "the quick brown jumps fox"]
    )
    assert (first == second).all()
    assert (first != third).mean() > 0.9


def test_short_documents_have_one_shingle_of_all_their_words() -> None:
    sets = shingle_hashes(index_words(pa.array(["one two three", "one two three", "one two", "", "..."])))
    assert np.diff(sets.offsets).tolist() == [1, 1, 1, 0, 0]
    assert sets.jaccard([0, 0, 0, 3], [1, 2, 3, 4]).tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("family", FAMILIES)
def test_documents_without_words_are_marked_and_like_nothing(family: Family) -> None:
    sketches = signatures(
        index_words(pa.array(["", "one", None, "?!", "one two three four five six"])), family=family
    )
    assert valid_signatures(sketches).tolist() == [False, True, False, False, True]
    assert (sketches[[0, 2, 3]] == EMPTY).all()
    assert (sketches[[1, 4]] != EMPTY).all()
    assert estimate_jaccard(sketches[0], sketches).tolist() == [0.0] * 5
    assert estimate_jaccard(sketches[1], sketches).tolist() == [0.0, 1.0, 0.0, 0.0, 0.0]


def test_no_documents() -> None:
    sketches = sketch([])
    assert sketches.shape == (0, 112)
    assert valid_signatures(sketches).shape == (0,)
    assert band_keys(sketches, 14, 8).shape == (0, 14)
    assert len(shingle_hashes(index_words(pa.array([], pa.string())))) == 0


def test_wrong_parameters_are_refused() -> None:
    words = index_words(pa.array(["some words"]))
    for call, message in (
        (lambda: signatures(words, n=0), "n=0"),
        (lambda: signatures(words, k=0), "k=0"),
        (lambda: signatures(words, family="sha1"), "sha1"),  # type: ignore[arg-type]
        (lambda: band_keys(signatures(words), 14, 9), "14 bands of 9 rows"),
        (lambda: band_keys(signatures(words), 0, 8), "0 bands"),
        (lambda: band_shape(1.5), "1.5"),
        (lambda: shingle_hashes(words, 0), "at least one word"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@settings(deadline=None, max_examples=60)
@given(documents, st.integers(1, 6))
def test_shingle_sets_and_exact_jaccard(texts: list[str], n: int) -> None:
    sets = shingle_hashes(index_words(pa.array(texts, pa.string())), n)
    expected = [set(reference_shingles(text, n)) for text in texts]
    assert [sets.hashes[a:b].tolist() for a, b in zip(sets.offsets, sets.offsets[1:], strict=False)] == [
        sorted(shingles) for shingles in expected
    ]
    for left, first in enumerate(expected):
        for right, second in enumerate(expected):
            union = first | second
            assert sets.jaccard(left, right)[0] == (len(first & second) / len(union) if union else 0)
    with pytest.raises(IndexError):
        sets.jaccard([len(texts)], [0])


def test_band_keys_are_equal_exactly_where_the_bands_are() -> None:
    generator = np.random.default_rng(3)
    sketches = generator.integers(0, 2**31, (50, 21), dtype=np.uint32)
    sketches[1], sketches[2, :3], sketches[3, 3:6] = sketches[0], sketches[0, :3], sketches[0, :3]
    keys = band_keys(sketches, 7, 3)
    assert keys.dtype == np.uint64
    assert (keys[0] == keys[1]).all()
    assert (keys[0] == keys[2]).tolist() == [True] + [False] * 6
    assert len(np.unique(keys)) == 49 * 7 - 1  # equal values in another band make another key
    swapped = sketches[:, [1, 0, *range(2, 21)]]
    assert (band_keys(swapped, 7, 3)[:, 0] != keys[:, 0]).all()
    assert (band_keys(sketches[:, ::1], 5, 3) == keys[:, :5]).all()


def test_band_shapes() -> None:
    from datasketch import MinHashLSH

    for threshold, k in ((0.5, 112), (0.7, 112), (0.8, 128), (0.95, 64)):
        oracle = MinHashLSH(threshold=threshold, num_perm=k)
        assert band_shape(threshold, k) == (oracle.b, oracle.r)
        assert oracle.b * oracle.r <= k


@pytest.fixture(scope="module")
def pairs() -> tuple[list[str], npt.NDArray[np.float64]]:
    """Documents, each followed at the same distance by a near-copy, and the pairs' exact similarities."""
    generator = np.random.default_rng(11)
    words = np.array([f"w{number}" for number in range(4000)])
    originals, copies = [], []
    for _ in range(900):
        own = generator.choice(words, generator.integers(60, 400))
        copy = own.copy()
        hit = generator.random(len(own)) < generator.choice([0.002, 0.005, 0.02, 0.04, 0.1, 0.2])
        copy[hit] = generator.choice(words, int(hit.sum()))
        originals.append(" ".join(own))
        copies.append(" ".join(copy))
    texts = originals + copies
    sets = shingle_hashes(index_words(pa.array(texts, pa.large_string())))
    return texts, sets.jaccard(np.arange(900), np.arange(900, 1800))


def found_by_bands(sketches: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    keys = band_keys(sketches, 14, 8)
    return (keys[:900] == keys[900:]).any(axis=1)


@pytest.mark.parametrize("family", FAMILIES)
def test_estimates_are_unbiased_and_as_exact_as_theory_says(
    family: Family, pairs: tuple[list[str], npt.NDArray[np.float64]]
) -> None:
    texts, truth = pairs
    sketches = sketch(texts, family=family)
    errors = estimate_jaccard(sketches[:900], sketches[900:]) - truth
    assert (
        np.sqrt(np.mean(errors**2)) <= 0.042
    )  # sqrt(J (1 - J) / 112) is at most .047, on these pairs about .035
    assert abs(errors.mean()) < 0.004


def test_tiny_sets_are_estimated_without_bias() -> None:
    # Few shingles need many rounds to reach all bins: the strict order of the rounds matters here.
    generator = np.random.default_rng(5)
    words = np.array([f"w{number}" for number in range(100000)])
    shared = [generator.choice(words, 12) for _ in range(600)]
    texts = [" ".join([*common, *generator.choice(words, 4)]) for _ in range(2) for common in shared]
    sets = shingle_hashes(index_words(pa.array(texts)), 1)
    sketches = sketch(texts, n=1)
    errors = estimate_jaccard(sketches[:600], sketches[600:]) - sets.jaccard(
        np.arange(600), np.arange(600, 1200)
    )
    assert abs(errors.mean()) < 0.006
    assert np.sqrt(np.mean(errors**2)) < 0.05


def test_recall_and_precision_equal_datasketch(pairs: tuple[list[str], npt.NDArray[np.float64]]) -> None:
    from datasketch import MinHash

    texts, truth = pairs
    shingles = []
    for text in texts:
        words = text.split()
        shingles.append([" ".join(words[i : i + 5]).encode() for i in range(len(words) - 4)])
    oracle = np.array([sketch.hashvalues for sketch in MinHash.generator(shingles, num_perm=112)]).astype(
        np.uint32
    )
    ours = {family: found_by_bands(sketch(texts, family=family)) for family in FAMILIES}
    theirs = found_by_bands(oracle)
    near, far = truth >= 0.8, truth < 0.5
    assert near.sum() > 150
    assert far.sum() > 150
    for found in ours.values():
        assert found[near].mean() >= theirs[near].mean() - 0.02
        assert found[far].mean() <= theirs[far].mean() + 0.03
        assert near[found].mean() >= near[theirs].mean() - 0.05
