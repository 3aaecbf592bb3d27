"""MinHash signatures of word n-grams, and the band keys by which near-duplicates find each other.

    sketches = signatures(index_words(batch["text"]))              # uint32 (documents, 112)
    keys = band_keys(sketches, bands=14, rows=8)                   # uint64 (documents, 14)
    keys = keys[valid_signatures(sketches)]                        # documents without words are in no group

Two families of hash functions, fixed by docs/words.md and by name; signatures of different families, or of
other `n` or `k`, cannot be compared:

    fss_v1      Fast Similarity Sketching (Dahlgaard, Knudsen, Thorup 2017), the default: its time hardly
                depends on `k`, and its error is smaller than that of `k` independent hashes.
    affine_v1   the classic form (Broder 1997): `k` independent affine permutations modulo 2^32.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from filters import _minhash_kernels as kernels
from filters.words import WordIndex

Family = Literal["fss_v1", "affine_v1"]
FAMILIES: Final = ("fss_v1", "affine_v1")

SHINGLE_WORDS: Final = 5
"""Words in a shingle, as in FineWeb."""
SIGNATURE_SIZE: Final = 112
"""Values in a signature: 14 bands of 8 rows, as in FineWeb."""

_AFFINE_SEED: Final = 0x636F7270_75736D31
_EMPTY: Final = kernels.EMPTY

Signatures = npt.NDArray[np.uint32]
Keys = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def signatures(
    words: WordIndex, *, n: int = SHINGLE_WORDS, k: int = SIGNATURE_SIZE, family: Family = "fss_v1"
) -> Signatures:
    """Sketch the set of word n-grams of every document.

    A document with fewer than `n` words has one shingle, of all its words. A document without words gets a
    row that `valid_signatures` tells from all others.

    Args:
        words: the word index of a chunk.
        n: words in a shingle.
        k: values in a signature.
        family: the hash family, `fss_v1` or `affine_v1`.

    Returns:
        uint32 (documents, k).

    Raises:
        ValueError: for a family that does not exist, or `n` or `k` below 1.
    """
    if n < 1 or k < 1:
        raise ValueError(f"a signature needs n >= 1 and k >= 1, not n={n}, k={k}")
    sketches = np.empty((len(words), k), np.uint32)
    if family == "fss_v1":
        kernels.fss_signatures(words.hashes, words.word_offsets, n, sketches)
    elif family == "affine_v1":
        slopes, shifts = _permutations(k)
        kernels.affine_signatures(words.hashes, words.word_offsets, n, slopes, shifts, sketches)
    else:
        raise ValueError(f"no hash family is called {family!r}; there are {', '.join(FAMILIES)}")
    return sketches


def valid_signatures(sketches: Signatures) -> npt.NDArray[np.bool_]:
    """Which documents have a signature at all; the others have no words and must not be grouped."""
    return np.not_equal(sketches[..., 0], _EMPTY)


def band_keys(sketches: Signatures, bands: int, rows: int) -> Keys:
    """One 64-bit key per band of `rows` values: documents that share a key (of the same band) are candidates.

    Documents without words share all keys; leave them out by `valid_signatures`.

    Returns:
        uint64 (documents, bands); band `b` is made of the values `b * rows : (b + 1) * rows`, and of `b`.

    Raises:
        ValueError: when the signatures have fewer than `bands * rows` values.
    """
    if bands < 1 or rows < 1 or bands * rows > sketches.shape[1]:
        raise ValueError(f"{bands} bands of {rows} rows do not fit signatures of {sketches.shape[1]} values")
    keys = np.empty((len(sketches), bands), np.uint64)
    kernels.write_band_keys(np.ascontiguousarray(sketches), rows, keys)
    return keys


def band_shape(threshold: float, k: int = SIGNATURE_SIZE) -> tuple[int, int]:
    """Bands and rows of at most `k` values that find pairs of a Jaccard similarity of `threshold` best.

    Uses datasketch's optimiser: false positives and false negatives, as areas below and above the curve
    `1 - (1 - s^rows)^bands` of being found, weigh the same.

    Raises:
        ValueError: for a threshold outside 0..1.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"a Jaccard threshold lies between 0 and 1, not at {threshold}")
    from datasketch import MinHashLSH  # here, because it loads scipy, which takes a second

    chosen = MinHashLSH(threshold=threshold, num_perm=k)
    return int(chosen.b), int(chosen.r)


def estimate_jaccard(left: Signatures, right: Signatures) -> Floats:
    """The estimated Jaccard similarity: the share of equal values; 0 where either document has no words.

    Shapes broadcast: (pairs, k) with (pairs, k) gives (pairs,), (k,) with (documents, k) gives (documents,).
    """
    shares = np.count_nonzero(np.equal(left, right), axis=-1) / left.shape[-1]
    return np.where(valid_signatures(left) & valid_signatures(right), shares, 0.0)


@dataclass(frozen=True, eq=False)
class ShingleSets:
    """The sets of shingle hashes of a chunk's documents.

    Set `d` is `hashes[offsets[d] : offsets[d + 1]]`, sorted, without repetitions.
    """

    offsets: Ints
    hashes: Keys

    def __len__(self) -> int:
        """The number of documents."""
        return len(self.offsets) - 1

    def jaccard(self, left: npt.ArrayLike, right: npt.ArrayLike) -> Floats:
        """The Jaccard similarity of the documents `left[i]` and `right[i]`; 0 for documents without words.

        Raises:
            IndexError: for a document number that is not in the chunk.
        """
        first, second = np.asarray(left, np.int64).reshape(-1), np.asarray(right, np.int64).reshape(-1)
        sizes = np.diff(self.offsets)
        total = sizes[first] + sizes[second]
        shared = np.empty(len(first), np.int64)
        kernels.count_shared(self.hashes, self.offsets, first % len(self), second % len(self), shared)
        return shared / np.maximum(total - shared, 1)


def shingle_hashes(words: WordIndex, n: int = SHINGLE_WORDS) -> ShingleSets:
    """The distinct 64-bit shingle hashes of every document: the sets that signatures estimate.

    Raises:
        ValueError: for `n` below 1.
    """
    if n < 1:
        raise ValueError(f"a shingle has at least one word, not {n}")
    offsets = np.zeros(len(words) + 1, np.int64)
    kernels.count_shingles(words.word_offsets, n, offsets)
    hashes = np.empty(int(offsets[-1]), np.uint64)
    kernels.write_shingle_sets(words.hashes, words.word_offsets, n, hashes, offsets)
    return ShingleSets(offsets, hashes[: int(offsets[-1])])


@cache
def _permutations(k: int) -> tuple[Signatures, Signatures]:
    """Slopes (odd) and shifts of `affine_v1`: upper halves of SplitMix64 from a fixed seed, `k` or more."""
    slopes: list[int] = []
    shifts: list[int] = []
    state = _AFFINE_SEED
    for _ in range(-(-k // 4) * 4):
        for values in (slopes, shifts):
            state = (state + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
            mixed = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
            mixed = ((mixed ^ mixed >> 27) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
            values.append((mixed ^ mixed >> 31) >> 32)
    return np.array(slopes, np.uint32) | np.uint32(1), np.array(shifts, np.uint32)
