"""The word index against the plain-Python statement of its rule, and that against `unicodedata`."""

from __future__ import annotations

import ctypes
import mmap
import unicodedata
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from filters import unicode_tables, words
from filters.words import WordIndex, index_words, split_words, word_hash

HAS_UNICODE_OF_THE_RULE = unicodedata.unidata_version == unicode_tables.UNICODE_VERSION
GOLDEN = {
    "a": "0xa0f431cb62eca046",
    "the": "0x0b7fc9b7758b25c4",
    "don't": "0xa7bb08b958fc247e",
    "eightchr": "0xe68bbc1dfb3ea618",
    "ninechars": "0xc942757c4e00a3bf",
    "internationalisation": "0x475fddd6589a982d",
    "é": "0x8190e4c4f90e30f5",
    "中": "0x79c7fd87acbfe479",
}
PIECES = [
    *"aZ9 \n'-_.\t\r\0",
    *"éßİŉΣςǅªⅧ²½①٣Ⓐ",  # letters and numerals that fold, and those that do not
    *"\u2018\u2019\u201b\u02bc\uff07\u0060\u00b4",  # apostrophes, and what only looks like one
    *"\u200b\u200d\ufeff\u00ad\u034f\u3164\u115f",  # zero-width
    *"\u0301\u0323\u0345\u3099\ufe0f\u20e3",  # marks
    *"中々〇かガｶﾞーゟヿ\U00020000\U0003fffd한글\u1112\u1161",  # CJK and Hangul
    *"ＡｂⓇ™…—\u00a0\u3000\u2028\u0085😀\ue000\U000e0fff",
    "word",
    "Straße",
    "don't",
    "l’été",
    "\r\n",
    "\n\n",
    "the quick brown fox ",
    "x" * 61,
]
texts = st.one_of(
    st.text(max_size=80),
    st.lists(st.sampled_from(PIECES), max_size=60).map("".join),
    st.tuples(st.integers(0, 70), st.lists(st.sampled_from(PIECES), max_size=8).map("".join)).map(
        lambda parts: "a" * parts[0] + parts[1]
    ),
)
raw_bytes = st.one_of(
    st.binary(max_size=100),
    st.lists(
        st.sampled_from(
            [b"a", b" ", b"'", b"\n", b"\xe2\x80\x99", b"\xe2\x80", b"\xc3", b"\xf0\x9f", b"\xed\xa0\x80"]
        ),
        max_size=90,
    ).map(b"".join),
)


def hashes_of(index: WordIndex, document: int) -> list[int]:
    first, last = index.word_offsets[document : document + 2]
    return [int(value) for value in index.hashes[first:last]]


def hashes_by_the_statement(text: str) -> list[int]:
    return [word_hash(word) for word in split_words(text)]


def spans_of(index: WordIndex, document: int) -> list[str]:
    return [index.text(word) for word in range(*index.word_offsets[document : document + 2])]


def is_inside_words(character: str) -> bool:
    """Whether a word may begin or end with a character: not with an apostrophe or a zero-width one."""
    kinds = (unicode_tables.WORD, unicode_tables.MARK, unicode_tables.CJK)
    return unicode_tables.character_table().kind(character) in kinds


def strings(values: Sequence[bytes]) -> pa.Array:
    """A string array of arbitrary bytes, which Arrow itself would refuse to make."""
    array = pa.array(values, pa.large_binary())
    return pa.Array.from_buffers(pa.large_string(), len(array), array.buffers())


def test_the_rule_by_example() -> None:
    examples = {
        "Hello, World!": ["hello", "world"],
        "don't don’t DON‘T don＇t donʼt": ["don't"] * 5,
        "'quoted' rock 'n' roll dogs' a''b": ["quoted", "rock", "n", "roll", "dogs", "a", "b"],
        "well-known snake_case 3.14 1,000": ["well", "known", "snake", "case", "3", "14", "1", "000"],
        "ＦＵＬＬ ｗｉｄｔｈ　１２": ["full", "width", "12"],
        "soft\u00adhyphen zero\u200bwidth \ufeffmark": ["softhyphen", "zerowidth", "mark"],
        "Straße STRASSE ΣΊΣΥΦΟΣ σίσυφος": ["straße", "strasse", "σίσυφοσ", "σίσυφοσ"],
        "cafe\u0301 café ﬁne ①② m² ½": ["café", "café", "fine", "12", "m2", "½"],
        "我爱AI三千遍": ["我", "爱", "ai", "三", "千", "遍"],
        "かｶﾞ カ\u3099 中'文 a'中": ["か", "ガ", "ガ", "中", "文", "a", "中"],
        "한국어 वर्णमाला ไทย العربية": ["한국어", "वर्णमाला", "ไทย", "العربية"],
        "a\u0085b\u2028c…d—e😀f\ue000g": list("abcdefg"),
        "": [],
        " \n'’\u200b": [],
    }
    for text, expected in examples.items():
        # NFC once more, because this file may spell its examples either way.
        assert split_words(text) == [unicodedata.normalize("NFC", word) for word in expected], text
        assert hashes_of(index_words(pa.array([text])), 0) == hashes_by_the_statement(text), text


@pytest.mark.skipif(
    not HAS_UNICODE_OF_THE_RULE, reason="this Python has another Unicode version than words_v1"
)
def test_the_stored_table_is_the_one_unicode_gives() -> None:
    made, stored = unicode_tables.build_table(), unicode_tables.character_table()
    for name in ("pages", "entries", "expansions"):
        np.testing.assert_array_equal(getattr(made, name), getattr(stored, name))


def test_folding_is_stable_canonical_and_keeps_words_whole() -> None:
    table = unicode_tables.character_table()
    for code in [*range(0x20, 0xD800), *range(0xF900, 0x10000), *range(0x1D400, 0x1F300)]:
        character = chr(code)
        if is_inside_words(character):
            folded = table.fold(character)
            assert "".join(map(table.fold, folded)) == folded, hex(code)
            assert "".join(map(table.fold, unicodedata.normalize("NFD", character))) == folded, hex(code)
            assert len(split_words(folded)) == 1, hex(code)


@pytest.mark.skipif(
    not HAS_UNICODE_OF_THE_RULE, reason="this Python has another Unicode version than words_v1"
)
@settings(deadline=None, max_examples=150)
@given(texts)
def test_normalisation_forms_are_the_same_words(text: str) -> None:
    expected = split_words(text)
    for form in ("NFC", "NFD"):
        assert split_words(unicodedata.normalize(form, text)) == expected
    for word in expected:
        compatible = unicodedata.normalize("NFKC", word)
        if (
            len(split_words(compatible)) == 1 and "ŉ" not in word
        ):  # ½ has a fraction slash there, ŉ an apostrophe
            assert word_hash(compatible) == word_hash(word)
        if word.isascii():
            assert word == word.casefold()


@settings(deadline=None, max_examples=300)
@given(st.lists(texts, max_size=5))
@example(["word\u200b followed by ASCII", "中\u200b followed by ASCII", "word’\u200b followed by ASCII"])
def test_the_index_agrees_with_the_statement_on_any_text(documents: list[str]) -> None:
    documents = [
        text.encode("utf-8", "replace").decode() for text in documents
    ]  # Arrow has no lone surrogates
    index = index_words(pa.array(documents, pa.string()))
    for number, text in enumerate(documents):
        assert hashes_of(index, number) == hashes_by_the_statement(text)
        spans = spans_of(index, number)
        assert [split_words(span) for span in spans] == [[word] for word in split_words(text)]
        assert all(is_inside_words(span[0]) and is_inside_words(span[-1]) for span in spans)


@settings(deadline=None, max_examples=300)
@given(st.lists(raw_bytes, max_size=4))
def test_bytes_that_are_not_utf8_separate_words(documents: list[bytes]) -> None:
    index = index_words(strings(documents))
    for number, document in enumerate(documents):
        assert hashes_of(index, number) == hashes_by_the_statement(document.decode("utf-8", "replace"))


@pytest.mark.parametrize(
    "middle", ["a'b", "a’b", "é'b", "a'é", "'b", "a'", "a''b", "a\u200b'b", "\r\n", "中'", "a b"]
)
def test_every_position_in_a_block(middle: str) -> None:
    documents = [
        before + middle + after
        for size in range(135)
        for before in ("x" * size, " " * size)
        for after in ("", "c")
    ]
    index = index_words(pa.array(documents))
    for number, text in enumerate(documents):
        assert hashes_of(index, number) == hashes_by_the_statement(text)


def guarded(content: bytes) -> tuple[pa.Buffer, mmap.mmap]:
    """A buffer whose last byte is the last one before a page that cannot be read."""
    size = -(-len(content) // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, size + mmap.PAGESIZE)
    memory[size - len(content) : size] = content
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(start + size), ctypes.c_size_t(mmap.PAGESIZE), 0):
        raise OSError(ctypes.get_errno(), "mprotect")
    return pa.foreign_buffer(start + size - len(content), len(content), base=memory), memory


@pytest.mark.parametrize(
    "ending",
    [b"abc", b"abcdefghi", b"don't", b"a'", b"\xc3\xa9", b"caf\xc3", b"\xf0\x9f\x98", b"\n", b" \xe2"],
)
def test_nothing_is_read_beyond_the_buffer(ending: bytes) -> None:
    # A read beyond the buffer ends this process: the page behind it is protected.
    for size in [*range(70), 4000]:
        content = b"w o" * (size // 3) + b"." * (size % 3) + ending
        data, _memory = guarded(content)
        offsets = pa.py_buffer(np.array([0, size // 2, len(content)], np.int64).tobytes())
        index = index_words(pa.Array.from_buffers(pa.large_string(), 2, [None, offsets, data]))
        assert hashes_of(index, 1) == hashes_by_the_statement(content[size // 2 :].decode("utf-8", "replace"))
        assert len(index.lengths) == len(index.starts)


def test_slices_nulls_and_both_string_types() -> None:
    documents = ["skipped before", "one two", None, "", "three ’ four\n\nfive", "skipped after"]
    expected = [hashes_by_the_statement(text or "") for text in documents[1:5]]
    for kind in (pa.string(), pa.large_string()):
        index = index_words(pa.array(documents, kind).slice(1, 4))
        assert len(index) == 4
        assert [hashes_of(index, document) for document in range(4)] == expected
        assert spans_of(index, 3) == ["three", "four", "five"]


def test_a_null_with_bytes_behind_it_has_no_words() -> None:
    offsets = pa.py_buffer(np.array([0, 3, 7, 10], np.int32).tobytes())
    valid = pa.py_buffer(bytes([0b101]))
    array = pa.Array.from_buffers(pa.string(), 3, [valid, offsets, pa.py_buffer(b"onehid\nten")])
    index = index_words(array)
    assert [spans_of(index, document) for document in range(3)] == [["one"], [], ["ten"]]
    assert index.line_counts.tolist() == [1, 0, 1]


@pytest.mark.parametrize("documents", [[], [None], [""], ["", None, ""]])
def test_nothing_to_index(documents: list[str | None]) -> None:
    index = index_words(pa.array(documents, pa.string()))
    assert index.word_offsets.tolist() == [0] * (len(documents) + 1)
    assert (
        len(index.starts) == len(index.line_starts) == len(index.paragraph_starts) == len(index.lengths) == 0
    )
    assert index.line_words.tolist() == [0]


def test_other_types_and_damaged_arrays_are_refused() -> None:
    with pytest.raises(TypeError, match="int64"):
        index_words(pa.array([1]))
    for bounds in ([0, 3, 1, 4], [0, 9, 1, 4], [0, -3, 1, 4]):
        offsets = pa.py_buffer(np.array(bounds, np.int64).tobytes())
        damaged = pa.Array.from_buffers(pa.large_string(), 3, [None, offsets, pa.py_buffer(b"text")])
        with pytest.raises(ValueError, match="offsets"):
            index_words(damaged)


def reference_lines(text: str) -> list[str]:
    lines = text.split("\n")
    closed = [line.removesuffix("\r") for line in lines[:-1]]
    return [*closed, lines[-1]] if lines[-1] else closed


def reference_paragraphs(text: str) -> list[str]:
    table = unicode_tables.character_table()
    paragraphs: list[list[str]] = [[]]
    for line in reference_lines(text):
        if all(character.isspace() or table.kind(character) == unicode_tables.IGNORED for character in line):
            paragraphs.append([])
        else:
            paragraphs[-1].append(line)
    return ["\n".join(lines) for lines in paragraphs if lines]


@settings(deadline=None, max_examples=300)
@given(st.lists(st.one_of(texts, st.text("a \n\r\t\u00a0.'", max_size=90)), max_size=4))
def test_lines_and_paragraphs(documents: list[str]) -> None:
    documents = [text.encode("utf-8", "replace").decode() for text in documents]
    index = index_words(pa.array(documents, pa.string()))
    raw = index.data.tobytes()
    for number, text in enumerate(documents):
        first, last = index.line_offsets[number : number + 2]
        found = [raw[index.line_starts[line] : index.line_ends[line]].decode() for line in range(first, last)]
        assert found == reference_lines(text)
        for line in range(first, last):
            own = index.hashes[index.line_words[line] : index.line_words[line + 1]]
            assert own.tolist() == hashes_by_the_statement(found[line - first])
        first, last = index.paragraph_offsets[number : number + 2]
        found = [
            raw[index.paragraph_starts[i] : index.paragraph_ends[i]].decode() for i in range(first, last)
        ]
        assert [paragraph.replace("\r\n", "\n") for paragraph in found] == reference_paragraphs(text)


def reference_classes(word: str) -> int:
    table = unicode_tables.character_table()
    apart = (unicode_tables.APOSTROPHE, unicode_tables.IGNORED)
    categories = [unicodedata.category(character) for character in word if table.kind(character) not in apart]
    categories = ["Lo" if category == "Cn" else category for category in categories]  # ideographs yet to come
    return (
        words.ALPHABETIC * any(category[0] == "L" for category in categories)
        | words.DIGIT * any(category[0] == "N" for category in categories)
        | words.UPPER * any(category in ("Lu", "Lt") for category in categories)
        | words.LOWER * ("Ll" in categories)
        | words.CJK * any(table.kind(character) == unicode_tables.CJK for character in word)
        | words.NON_ASCII * (not word.isascii())
    )


@pytest.mark.skipif(
    not HAS_UNICODE_OF_THE_RULE, reason="this Python has another Unicode version than words_v1"
)
@settings(deadline=None, max_examples=200)
@given(texts)
def test_classes_and_lengths(text: str) -> None:
    index = index_words(pa.array([text.encode("utf-8", "replace").decode()]))
    ignored = unicode_tables.IGNORED
    kind = unicode_tables.character_table().kind
    for word, span in enumerate(spans_of(index, 0)):
        assert index.classes[word] == reference_classes(span), span
        assert index.lengths[word] == sum(kind(character) != ignored for character in span)


def test_numeric_and_upper_case_words() -> None:
    index = index_words(pa.array(["2024 A4 NASA Nasa nasa ٣ 中 ½ É"]))
    assert spans_of(index, 0) == ["2024", "A4", "NASA", "Nasa", "nasa", "٣", "中", "½", "É"]
    assert index.numeric.tolist() == [True, False, False, False, False, True, False, True, False]
    assert index.upper_case.tolist() == [False, True, True, False, False, False, False, False, True]


def test_hashes_never_change() -> None:
    # Stored hashes are compared with computed ones across years and machines: these values are the rule.
    assert {word: f"{word_hash(word):#018x}" for word in GOLDEN} == GOLDEN


def test_a_hash_is_of_one_word() -> None:
    assert word_hash("THE") == word_hash("the") == word_hash("ｔｈｅ")
    for text in ("", " ", "two words", "中文"):
        with pytest.raises(ValueError, match="words_v1"):
            word_hash(text)


def test_long_runs_of_marks_are_ordered() -> None:
    marks = "\u0301\u0323\u0345" * 50
    for text in (
        "a" + marks,
        marks,
        "a" + marks + "b" + marks,
        "é" + "\u0301" * 31 + "\u0323",
        "e" + "\u0301" * 64,
    ):
        assert hashes_of(index_words(pa.array([text])), 0) == hashes_by_the_statement(text)


def test_single_bits_change_half_of_the_hash() -> None:
    # Band keys, hash tables and partitions take parts of the hash: every part must depend on every letter.
    vocabulary = [first + second + "tion" for first in "abcdefghijklmnop" for second in "abcdefghijklmnop"]
    hashes = np.array([word_hash(word) for word in vocabulary], np.uint64)
    ones = [int(np.count_nonzero(hashes >> np.uint64(bit) & np.uint64(1))) for bit in range(64)]
    assert len(np.unique(hashes)) == len(vocabulary)
    assert min(ones) > 80
    assert max(ones) < 176


def test_the_index_is_small() -> None:
    index = index_words(pa.array(["The quick brown fox jumps over the lazy dog.\n" * 20] * 100))
    held = (
        index.starts,
        index.ends,
        index.hashes,
        index.classes,
        index.line_starts,
        index.line_ends,
        index.line_words,
    )
    assert sum(column.nbytes for column in held) < 32 * len(index.starts)


def test_a_change_of_any_kernel_module_invalidates_compiled_code() -> None:
    from filters import _word_kernels

    _, modules = _word_kernels.index_documents._cache._cache_file._source_stamp
    assert {"_hash_eight.py", "_simd.py", "_utf8.py", "_word_hash.py", "_word_scan.py"} <= {
        name for name, *_ in modules
    }
