"""What is left of a contaminated document: rule by rule, at the bounds, and against plain statements of the rules."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from decontam.units import GPT3, Cut, CutSettings, cut

ITEM = "what is the airspeed of an unladen swallow"
SMALL = CutSettings(margin=8, shortest_piece=6, most_pieces=3)


def prose(characters: int, word: str = "word") -> str:
    """Words and single spaces, of so many characters."""
    return (f"{word} " * characters)[:characters]


def spans_of(text: str, item: str = ITEM) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(re.escape(item), text)]


def cut_item(text: str, unit: str, settings: CutSettings = GPT3) -> Cut | None:
    return cut(text, spans_of(text), unit, settings)  # type: ignore[arg-type]


# ---- all units


@pytest.mark.parametrize("unit", ["document", "section", "span", "none"])
def test_a_text_without_a_match_stays(unit: str) -> None:
    assert cut(" a\n\n b ", [], unit) == Cut(" a\n\n b ", 0, 1)  # type: ignore[arg-type]


def test_a_document_goes_as_a_whole_or_stays() -> None:
    assert cut_item(f"{ITEM} {prose(5000)}", "document") is None
    assert cut_item(f"{ITEM} x", "none") == Cut(f"{ITEM} x", 0, 1)


@pytest.mark.parametrize("unit", ["section", "span"])
@pytest.mark.parametrize(
    "text", [ITEM, f"\n\n{ITEM}\n", f"{prose(150)}{ITEM} {prose(150)}", f"# {ITEM}\n\nshort"]
)
def test_nothing_worth_keeping(unit: str, text: str) -> None:
    assert cut_item(text, unit) is None


@pytest.mark.parametrize("span", [(-1, 2), (2, 2), (3, 2), (0, 6)])
def test_a_span_outside_of_the_text_is_refused(span: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="is not a stretch of a text of 5 characters"):
        cut("a b c", [(0, 1), span], "span")


def test_settings_are_checked() -> None:
    with pytest.raises(ValidationError):
        CutSettings(margin=-1)
    with pytest.raises(ValidationError):
        CutSettings(windows=3)  # type: ignore[call-arg]
    assert (GPT3.margin, GPT3.shortest_piece, GPT3.most_pieces) == (200, 200, 10)


# ---- span


def test_a_match_goes_with_200_characters_on_each_side() -> None:
    left, right = "l" * 99 + " ", " " + "r" * 99
    text = left * 5 + ITEM + right * 5
    found = cut_item(text, "span")
    assert found == Cut(
        text=(left * 3).rstrip() + "\n\n" + (right * 3).lstrip(), removed_characters=len(ITEM) + 402, pieces=2
    )


@pytest.mark.parametrize(("length", "kept"), [(199, False), (200, True)])
def test_the_shortest_piece(length: int, kept: bool) -> None:
    text = "a" * length + " " + "m" * 199 + ITEM + " " + prose(1000)
    found = cut_item(text, "span")
    assert found is not None
    assert (found.pieces, found.text.startswith("a")) == ((2, True) if kept else (1, False))


@pytest.mark.parametrize(("matches", "stays"), [(9, True), (10, False)])
def test_the_most_pieces(matches: int, stays: bool) -> None:
    text = prose(700) + (f" {ITEM} " + prose(700)) * matches
    assert (cut_item(text, "span") is not None) == stays


def test_short_pieces_count_among_the_pieces() -> None:
    text = prose(1000) + (f" {ITEM} " + prose(450)) * 10 + prose(1000)
    assert cut_item(text, "span") is None


def test_no_word_is_cut() -> None:
    text = prose(1001, "abcdefg") + ITEM + " hijklmn" * 125
    found = cut_item(text, "span")
    assert found is not None
    assert set(found.text.split()) == {"abcdefg", "hijklmn"}


def test_text_without_white_space_is_cut_between_signs() -> None:
    han = "語" * 600
    found = cut(han + "答" * 20 + han, [(600, 620)], "span")
    assert found == Cut("語" * 400 + "\n\n" + "語" * 400, 420, 2)


@pytest.mark.parametrize(
    "sign",
    [
        "e\u0301\u0308",
        "\U0001f469\u200d\U0001f52c",
        "\U0001f44d\U0001f3fd",
        "\U0001f1e9\U0001f1ea",
        "\u1112\u1161\u11ab",
    ],
    ids=["marks", "joined", "skin", "flag", "jamo"],
)
@pytest.mark.parametrize("shift", range(3))
def test_no_sign_is_torn(sign: str, shift: int) -> None:
    side = sign * 300
    text = side + "x" * (20 + shift) + side
    found = cut(text, [(len(side), len(side) + 20 + shift)], "span", CutSettings(margin=200 + shift))
    assert found is not None
    for piece in found.text.split("\n\n"):
        assert piece.replace(sign, "") == ""


def test_overlapping_spans_in_any_order_are_one() -> None:
    text = prose(2000)
    apart = [(1000, 1010), (900, 905), (1005, 1020), (1003, 1004)]
    assert cut(text, apart, "span") == cut(text, [(900, 1020)], "span")


# ---- section


BOOK = f"""# Title

Preface.

## One

{prose(300)}

### One, a

First.

### One, b

{ITEM}?

## Two

{prose(300, "two")}
"""


def test_the_innermost_section_goes_with_its_heading() -> None:
    found = cut_item(BOOK, "section")
    assert found is not None
    assert "One, b" not in found.text
    assert found.text == BOOK.replace(f"### One, b\n\n{ITEM}?\n\n", "")


def test_carriage_returns_make_no_difference() -> None:
    found, plain = cut_item(BOOK.replace("\n", "\r\n"), "section"), cut_item(BOOK, "section")
    assert found is not None
    assert plain is not None
    assert found.text.split() == plain.text.split()


def test_a_section_takes_its_subsections_with_it() -> None:
    text = BOOK.replace(f"{ITEM}?", "Second.").replace("## One\n", f"## One\n\n{ITEM}.\n")
    found = cut_item(text, "section")
    assert found is not None
    assert found.text.startswith("# Title\n\nPreface.\n\n## Two")


def test_a_match_over_two_sections_takes_both() -> None:
    text = f"## A\n\n{prose(300)}\n\n## B\n\nleft\n\n## C\n\nright\n\n## D\n\n{prose(300)}"
    found = cut(text, [(text.index("left"), text.index("right") + 5)], "section")
    assert found is not None
    assert "## B" not in found.text
    assert "## C" not in found.text
    assert found.pieces == 2


def test_a_title_divides_nothing() -> None:
    paragraphs = [prose(250, f"p{number}").strip() for number in range(8)]
    text = "# Title\n\n" + "\n\n".join([*paragraphs[:4], ITEM, *paragraphs[4:]])
    found = cut_item(text, "section")
    assert found is not None
    assert found.text == "# Title\n\n" + "\n\n".join(paragraphs[:3] + paragraphs[5:])


@pytest.mark.parametrize(
    ("heading", "is_heading"),
    [
        ("## B", True),
        ("   ## B ##", True),
        ("##", True),
        ("B\n---", True),
        ("B\n=====", True),
        ("##B", False),
        ("    ## B", False),
        ("####### B", False),
        ("B\n--", False),
        ("two lines\nB\n---", False),
        ("\n---", False),
        ("```\n## B\n```", False),
        ("~~~~ py\n## B\n~~~\n## C\n~~~~", False),
    ],
)
def test_what_a_heading_is(heading: str, is_heading: bool) -> None:
    text = f"## A\n\n{ITEM}\n\n{heading}\n\n{prose(400)}\n\n# Z\n\n{prose(300, 'end')}"
    found = cut_item(text, "section")
    assert found is not None
    assert ("word word" in found.text) == is_heading
    assert "end end" in found.text


def test_under_no_heading_whole_paragraphs_go() -> None:
    paragraphs = [prose(90, f"p{number}").strip() for number in range(12)]
    text = "\n\n".join([*paragraphs[:6], f"{ITEM}?", *paragraphs[6:]])
    found = cut_item(text, "section")
    assert found is not None
    # Three paragraphs of 89 characters and their blank lines are the first to reach 200.
    assert found.text == "\n\n".join(paragraphs[:3] + paragraphs[9:])


def test_without_blank_lines_lines_are_the_paragraphs() -> None:
    lines = [prose(90, f"p{number}").strip() for number in range(12)]
    found = cut_item("\n".join([*lines[:6], ITEM, *lines[6:]]), "section")
    assert found is not None
    assert found.text == "\n".join(lines[:3]) + "\n\n" + "\n".join(lines[9:])


def test_the_window_ends_at_a_heading() -> None:
    text = f"{prose(900)}\n\n{ITEM}\n\n## A\n\n{prose(300, 'after')}\n\n## B\n\n{prose(300, 'more')}"
    found = cut_item(text, "section")
    assert found is not None
    assert found.text.startswith("## A\n\nafter after")


def test_the_first_line_left_keeps_its_indentation() -> None:
    lines = [f"    {prose(90, f'p{number}').strip()}" for number in range(12)]
    found = cut_item("\n".join([*lines[:6], ITEM, *lines[6:]]), "section")
    assert found is not None
    assert found.text.split("\n\n")[1].startswith("    p9")


# ---- plain statements of the rules

ALPHABET = [
    "a",
    "bc",
    "def",
    " ",
    "  ",
    "\n",
    "\n\n",
    "# h\n",
    "## h\n",
    "\n# i\n\n",
    "\n---\n",
    "\n===\n",
    "```\n",
    "é",
    "語",
]
texts = st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=60).map("".join)


@st.composite
def texts_and_spans(draw: st.DrawFn) -> tuple[str, list[tuple[int, int]]]:
    text = draw(texts)
    places = st.integers(0, len(text))
    pairs = st.tuples(places, places).map(sorted).filter(lambda pair: pair[0] < pair[1])
    return text, [(start, end) for start, end in draw(st.lists(pairs, max_size=4))]


def plain_pieces(text: str, gone: list[bool]) -> list[str]:
    runs = itertools.groupby(range(len(text)), key=lambda place: gone[place])
    pieces = ["".join(text[place] for place in run) for is_gone, run in runs if not is_gone]
    return [piece for piece in pieces if piece.strip()]


def plain_span(text: str, spans: list[tuple[int, int]], settings: CutSettings) -> list[str]:
    """The rule `span` for texts in which no run without white space is long, character by character."""
    gone = [False] * len(text)
    for start, end in spans:
        first, last = max(0, start - settings.margin), min(len(text), end + settings.margin) - 1
        while first > 0 and not text[first].isspace() and not text[first - 1].isspace():
            first -= 1
        while last + 1 < len(text) and not text[last].isspace() and not text[last + 1].isspace():
            last += 1
        for place in range(first, last + 1):
            gone[place] = True
    pieces = [piece.split() for piece in plain_pieces(text, gone)]
    return [" ".join(piece) for piece in pieces]


@given(texts_and_spans())
def test_span_is_its_plain_statement(case: tuple[str, list[tuple[int, int]]]) -> None:
    text, spans = case
    settings = CutSettings(margin=3, shortest_piece=1, most_pieces=1000)
    found = cut(text, spans, "span", settings)
    if not spans:
        assert found == Cut(text, 0, 1)
        return
    expected = plain_span(text, spans, settings)
    if found is None:
        assert expected == []
    else:
        assert found.pieces == len(expected)
        assert found.text.split() == " ".join(expected).split()


def plain_heading_levels(lines: list[str]) -> list[int]:
    """The level of the heading that each line begins; 0 for none."""
    levels = [0] * len(lines)
    inside = False
    for number, line in enumerate(lines):
        if re.match(r" {0,3}```$", line):
            inside = not inside
        elif not inside and re.match(r" {0,3}#{1,6}( |$)", line):
            levels[number] = len(line.split()[0])
        elif not inside and number and re.match(r" {0,3}(---|===)$", line):
            above, before = lines[number - 1], lines[number - 2] if number > 1 else ""
            is_text = above.strip() and not levels[number - 1] and not re.match(r" {0,3}(---|===|```)", above)
            if is_text and (not before.strip() or re.match(r" {0,3}#{1,6}( |$)", before)):
                levels[number - 1] = 1 if "=" in line else 2
    return levels


def plain_section(text: str, spans: list[tuple[int, int]], margin: int) -> list[int]:
    """The numbers of the lines that stay under the rule `section`: every line asks whether it must go."""
    lines = text.split("\n")
    starts = [sum(len(line) + 1 for line in lines[:number]) for number in range(len(lines))]
    levels = plain_heading_levels(lines)
    top = next((number for number, line in enumerate(lines) if line.strip()), len(lines))

    def end_of(heading: int) -> int:
        later = (n for n in range(heading + 1, len(lines)) if 0 < levels[n] <= levels[heading])
        return next(later, len(lines))

    if top < len(lines) and levels[top] and end_of(top) == len(lines):
        levels[top] = 0
    free = next((number for number, level in enumerate(levels) if level), len(lines))
    gone: set[int] = set()
    for start, end in spans:
        touched = [n for n, line in enumerate(lines) if starts[n] < end and start < starts[n] + len(line) + 1]
        for number in touched:
            if number >= free:
                heading = max(n for n in range(number + 1) if levels[n])
                gone.update(range(heading, end_of(heading)))
        if touched[0] < free:
            stop = min(end, starts[free] if free < len(lines) else len(text))
            gone.update(plain_window(lines[:free], starts, start, stop, margin))
    return [number for number in range(len(lines)) if number not in gone]


def plain_window(lines: list[str], starts: list[int], start: int, end: int, margin: int) -> set[int]:
    """The lines of the blocks that lie in part between `start - margin` and `end + margin`."""
    full = [number for number, line in enumerate(lines) if line.strip()]
    opens = [number for number in full if number == 0 or not lines[number - 1].strip()]
    if len(opens) < 2:
        opens = full
    bounds = [0, *opens[1:], len(lines)]
    gone: set[int] = set()
    for first, last in itertools.pairwise(bounds):
        begins = starts[first]
        stops = starts[last] if last < len(starts) else starts[-1] + len(lines[-1]) + 1
        if begins < end + margin and stops > start - margin:
            gone.update(range(first, last))
    return gone


@given(texts_and_spans(), st.integers(0, 12))
def test_section_is_its_plain_statement(case: tuple[str, list[tuple[int, int]]], margin: int) -> None:
    text, spans = case
    found = cut(text, spans, "section", CutSettings(margin=margin, shortest_piece=1))
    if not spans:
        assert found == Cut(text, 0, 1)
        return
    lines = text.split("\n")
    kept = " ".join(lines[number] for number in plain_section(text, spans, margin)).split()
    assert ([] if found is None else found.text.split()) == kept


@given(texts_and_spans(), st.sampled_from(["section", "span"]))
def test_the_account_of_characters_and_pieces(case: tuple[str, list[tuple[int, int]]], unit: str) -> None:
    text, spans = case
    found = cut(text, spans, unit, SMALL)  # type: ignore[arg-type]
    if found is None or not spans:
        return
    joints = 2 * (found.pieces - 1)
    assert len(found.text) - joints + found.removed_characters == len(text)
    assert set(found.text.split()) <= set(text.split())
    touched = set()
    for start, end in spans:
        touched.update(range(start, end))
    assert found.removed_characters >= len(touched)


@given(
    st.lists(st.sampled_from([ITEM, prose(90), prose(301), "\n\n", "\n", "## h\n"]), min_size=1, max_size=40)
)
def test_no_match_survives(parts: list[str]) -> None:
    text = "\n".join(parts)
    for unit in ("section", "span"):
        found = cut_item(text, unit)
        assert found is None or ITEM not in found.text


def test_huge_numbers_of_spans_take_linear_time() -> None:
    text = "\n\n".join(["## h", prose(60), ITEM] * 20_000)
    spans = spans_of(text) * 3
    assert cut(text, spans, "span") is None
    assert cut(text + prose(1000), spans, "section") is None
    many = [(place, place + 3) for place in range(len(text) - 3)]
    assert cut(text, many, "span") is None
    signs = "e" + "\u0301" * 500_000
    assert cut(signs, [(250_000, 250_001)], "span") is not None
