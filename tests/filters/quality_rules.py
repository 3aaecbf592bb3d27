"""The quality rules in plain Python: what `filters.gopher`, `c4`, `fineweb` and `dclm` must compute.

One short function per rule, written from the papers, datatrove's and DCLM's released code and
docs/quality.md, with strings and regular expressions and no thought of speed. Nothing here reads a WordIndex.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import cache

from filters import unicode_tables as tables

# datatrove's list (`TERMINAL_PUNCTUATION`, datatrove 0.10), after Unicode's property Sentence_Terminal.
TERMINAL_PUNCTUATION = frozenset(
    "!.?։؝؞؟۔܀܁܂߹࠷࠹࠽࠾।॥၊။።፧፨᙮᜵᜶។៕៖៙៚᠃᠉᥄᥅᪨᪩᪪᪫᭚᭛᭞᭟᭽᭾᰻᰼᱾᱿‼‽⁇⁈⁉⸮⸼⹓⹔。꓿꘎꘏꛳꛷꡶꡷꣎꣏꤯꧈꧉꩝꩞꩟꫰꫱꯫﹒﹖﹗！．？｡"
    "𐩖𐩗𐽕𐽖𐽗𐽘𐽙𐾆𐾇𐾈𐾉𑁇𑁈𑂾𑂿𑃀𑃁𑅁𑅂𑅃𑇅𑇆𑇍𑇞𑇟𑈸𑈹𑈻𑈼𑊩𑑋𑑌𑗂𑗃𑗉𑗊𑗋𑗌𑗍𑗎𑗏𑗐𑗑𑗒𑗓𑗔𑗕𑗖𑗗𑙁𑙂𑜼𑜽𑜾𑥄𑥆𑩂𑩃𑪛𑪜𑱁𑱂𑻷𑻸𑽃𑽄𖩮𖩯𖫵𖬷𖬸𖭄𖺘𛲟𝪈"
)
JOINERS = "-+/|\\~^@="
DASHES = "-–—~"
CONTRACTION = re.compile(r"(?<=.)(?:'|’)(?:s|t|d|m|ll|re|ve)$", re.IGNORECASE | re.ASCII | re.DOTALL)
CUT_BETWEEN = {
    ",": "LL",
    ":": "AL",
    "/": "AL",
    "<": "AL",
    ">": "AL",
    "=": "AL",
    "+": "NN",
    "*": "NN",
    "^": "NN",
}


@cache
def _entry(character: str) -> int:
    return tables.character_table().entry(character)


@cache
def _kind(character: str) -> int:
    return tables.character_table().kind(character)


def is_letter(character: str) -> bool:
    return bool(_entry(character) & tables.LETTER)


def is_number(character: str) -> bool:
    return bool(_entry(character) & tables.NUMBER)


def is_upper(character: str) -> bool:
    return bool(_entry(character) & tables.UPPER)


def is_lower(character: str) -> bool:
    return bool(_entry(character) & tables.LOWER)


def is_space(character: str) -> bool:
    return bool(_entry(character) & tables.SPACE)


def is_word(character: str) -> bool:
    return _kind(character) in (tables.WORD, tables.MARK, tables.CJK)


def is_mark(character: str) -> bool:
    """A mark that is cut off at the ends of a piece."""
    return not (
        is_space(character)
        or is_word(character)
        or _kind(character) == tables.IGNORED
        or character in JOINERS
    )


def pieces_of(text: str) -> list[str]:
    pieces = [""]
    for character in text:
        if is_space(character):
            pieces.append("")
        else:
            pieces[-1] += character
    return [piece for piece in pieces if piece]


def split_tokens(text: str) -> list[str]:
    """The tokens of a text, by the rule `tokens_v1`."""
    return [token for piece in pieces_of(text) for token in _cut_piece(piece)]


def _cut_piece(piece: str) -> list[str]:
    left: list[str] = []
    while piece and is_mark(piece[0]):
        mark = _leading_mark(piece)
        if mark == ".":
            break
        left.append(mark)
        piece = piece[len(mark) :]
    right = ""
    while piece and is_mark(piece[-1]):
        mark = piece[len(piece.rstrip(".")) :] or piece[-1]
        rest = piece[: -len(mark)]
        if mark == "." and (not rest or _ends_in_initial(rest)):
            break
        piece, right = rest, mark + right
    tokens = [*left, *_cut_core(piece)]
    while right:
        mark = _leading_mark(right)
        tokens.append(mark)
        right = right[len(mark) :]
    return tokens


def _ends_in_initial(text: str) -> bool:
    """J. and U.S. and p.m., not NATO. or b."""
    before, last = text[-2:-1], text[-1]
    return is_letter(last) if before == "." else is_upper(last) and not (before and is_upper(before))


def _leading_mark(text: str) -> str:
    return text[: len(text) - len(text.lstrip("."))] or text[0]


def _cut_core(core: str) -> list[str]:
    if not core:
        return []
    if "@" in core or "://" in core or (core[:4].lower() == "www." and len(core) > 4):
        return [core]
    tokens, start, position = [], 0, 1
    while position < len(core):
        after = _separator_end(core, position)
        if after:
            tokens += [core[start:position], core[position:after]]
            start = position = after
        position += 1
    last = core[start:]
    suffix = CONTRACTION.search(last)
    cut = suffix.start() if suffix else len(last)
    return [token for token in (*tokens, last[:cut], last[cut:]) if token]


def _separator_end(core: str, position: int) -> int:
    mark, before = core[position], core[position - 1]
    after = position + 1
    while mark in DASHES + "." and after < len(core) and core[after] == mark:
        after += 1
    following = core[after] if after < len(core) else ""
    if not following:
        return after if mark == "…" or (mark == "." and after > position + 1) else 0
    tests = {
        "L": is_letter,
        "N": is_number,
        "A": lambda character: is_letter(character) or is_number(character),
    }

    def between(kinds: str) -> bool:
        return tests[kinds[0]](before) and tests[kinds[1]](following)

    single = after == position + 1
    cut = (
        mark == "…"
        or (mark in DASHES and (between("AL") or (mark == "-" and single and between("NN"))))
        or (mark in CUT_BETWEEN and between(CUT_BETWEEN[mark]))
        or (mark == "." and (not single or (is_lower(before) and is_upper(following))))
    )
    return after if cut else 0


# Lines and paragraphs, as the word index has them.


def lines_of(text: str) -> list[str]:
    *whole, last = text.split("\n")
    lines = [line.removesuffix("\r") for line in whole]
    return [*lines, last] if last else lines


def is_blank(line: str) -> bool:
    return all(is_space(character) for character in line)


def filled_lines(text: str) -> list[str]:
    return [line for line in lines_of(text) if not is_blank(line)]


def paragraphs_of(text: str) -> list[str]:
    """Runs of lines that are not blank; here, a line of zero-width characters is blank too."""
    paragraphs: list[str] = []
    open_paragraph = ""
    *whole, last = text.split("\n")
    for raw, line in [*((raw, raw.removesuffix("\r")) for raw in whole), (last, last)]:
        if all(is_space(character) or _kind(character) == tables.IGNORED for character in line):
            open_paragraph = ""
        elif open_paragraph:
            paragraphs[-1] = open_paragraph + "\n" + line
            open_paragraph += "\n" + raw
        else:
            paragraphs.append(line)
            open_paragraph = raw
    return paragraphs


def strip_spaces(line: str) -> str:
    while line and is_space(line[0]):
        line = line[1:]
    while line and is_space(line[-1]):
        line = line[:-1]
    return line


def ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _repeated(items: list[str]) -> list[str]:
    seen: set[str] = set()
    return [item for item in items if item in seen or seen.add(item)]  # type: ignore[func-returns-value]


# Gopher: appendix A.1.1 and table A1, in datatrove's arithmetic.

STOP_WORDS = {"the", "be", "to", "of", "and", "that", "have", "with"}


def word_count(text: str) -> int:
    return len([token for token in split_tokens(text) if any(map(is_word, token))])


def mean_word_length(text: str) -> float | None:
    words = [token for token in split_tokens(text) if any(map(is_word, token))]
    return ratio(sum(map(len, words)), len(words))


def hash_ratio(text: str) -> float | None:
    return ratio(text.count("#"), len(split_tokens(text)))


def ellipsis_ratio(text: str) -> float | None:
    return ratio(text.count("...") + text.count("…"), len(split_tokens(text)))


def bullet_lines(text: str) -> float | None:
    lines = filled_lines(text)
    return ratio(sum(strip_spaces(line)[0] in "•-" for line in lines), len(lines))


def ellipsis_lines(text: str) -> float | None:
    lines = filled_lines(text)
    return ratio(sum(strip_spaces(line).endswith(("...", "…")) for line in lines), len(lines))


def alpha_words(text: str) -> float | None:
    tokens = split_tokens(text)
    return ratio(sum(any(map(is_letter, token)) for token in tokens), len(tokens))


def stop_words(text: str) -> int:
    return len(STOP_WORDS.intersection(split_tokens(text)))


def duplicate_lines(text: str) -> float | None:
    lines = filled_lines(text)
    return ratio(len(_repeated(lines)), len(lines))


def duplicate_paragraphs(text: str) -> float | None:
    paragraphs = paragraphs_of(text)
    return ratio(len(_repeated(paragraphs)), len(paragraphs))


def duplicate_line_chars(text: str) -> float | None:
    lines = filled_lines(text)
    return ratio(sum(map(len, _repeated(lines))), len(text) if lines else 0)


def duplicate_paragraph_chars(text: str) -> float | None:
    repeated = _repeated(paragraphs_of(text))
    return ratio(sum(map(len, repeated)), len(text) if filled_lines(text) else 0)


def top_ngram_chars(text: str, n: int) -> float | None:
    tokens = split_tokens(text)
    ngrams = [" ".join(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    best = max(ngrams, key=ngrams.count, default="")  # the first of several
    return ratio(len(best) * ngrams.count(best), len(text) if filled_lines(text) else 0)


def duplicate_ngram_chars(text: str, n: int) -> float | None:
    tokens = split_tokens(text)
    seen, repeated, position = set(), 0, 0
    while position + n <= len(tokens):
        ngram = tuple(tokens[position : position + n])
        if ngram in seen:
            repeated += len("".join(ngram))
            position += n
        else:
            seen.add(ngram)
            position += 1
    return ratio(repeated, len(text) if filled_lines(text) else 0)


# FineWeb, section 3.6.


def is_terminal(character: str) -> bool:
    return character in TERMINAL_PUNCTUATION


def line_punctuation(text: str) -> float | None:
    lines = filled_lines(text)
    return ratio(sum(is_terminal(line[-1]) for line in lines), len(lines))


def short_lines(text: str) -> float | None:
    lines = filled_lines(text)
    return ratio(sum(len(line) <= 30 for line in lines), len(lines))


def fineweb_duplicate_line_chars(text: str) -> float | None:
    lines = filled_lines(text)
    return ratio(sum(map(len, _repeated(lines))), sum(map(len, lines_of(text))) if lines else 0)


def newlines_per_word(text: str) -> float | None:
    return ratio(text.count("\n"), len(split_tokens(text)))


# C4: section 2.2 and the released code.

POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
CITATION = re.compile(r"\[[0-9]*\]|\[edit\]|\[citation needed\]")


def ascii_lower(text: str) -> str:
    return re.sub("[A-Z]+", lambda capitals: capitals[0].lower(), text)


def lorem_ipsum(text: str) -> int:
    return sum("lorem ipsum" in ascii_lower(line) for line in lines_of(text))


def curly_brackets(text: str) -> int:
    return text.count("{")


def sentences(text: str) -> int:
    count = 0
    for line in lines_of(text):
        begun = ended = False
        for token in split_tokens(line):
            if not begun or (ended and any(map(is_word, token))):
                count += 1
                begun, ended = True, False
            ended = ended or token in TERMINAL_PUNCTUATION
    return count


def c4_reason(line: str, *, terminal_punctuation: bool = False) -> str | None:
    """Why C4 removes a line."""
    words, lower = pieces_of(line), ascii_lower(line)
    visible = strip_spaces(CITATION.sub("", line))
    if any(len(word) > 1000 for word in words):
        return "c4.long_word_lines"
    if terminal_punctuation and (not visible.endswith((".", "?", "!", '"', "'")) or visible.endswith("...")):
        return "c4.unpunctuated_lines"
    if len(words) < 3:
        return "c4.short_lines"
    if "javascript" in lower:
        return "c4.javascript_lines"
    return "c4.policy_lines" if any(phrase in lower for phrase in POLICY) else None


# DCLM.

COUNTER = re.compile(
    r"[0-9][0-9,.]*[KkMmBb]?(\s+)"
    r"(likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes|downvotes|downloads|views|followers)"
)


def is_counter(line: str) -> bool:
    while line and not (is_letter(line[0]) or is_number(line[0]) or line[0] == "_"):
        line = line[1:]
    while line and not (is_letter(line[-1]) or is_number(line[-1]) or line[-1] == "_"):
        line = line[:-1]
    return COUNTER.fullmatch(ascii_lower(line)) is not None


def dclm_reason(line: str) -> str | None:
    """Why DCLM removes a line."""
    words, lower = pieces_of(line), ascii_lower(line)
    if sum(map(is_upper, line)) / len(line) > 0.5:
        return "dclm.uppercase_lines"
    if sum(map(is_number, line)) / len(line) > 0.999999:
        return "dclm.numeric_lines"
    if is_counter(line):
        return "dclm.counter_lines"
    if len(words) < 2:
        return "dclm.one_word_lines"
    phrases = ("items in cart", "read more...", "read more…", "sign in", "sign-in")
    return "dclm.phrase_lines" if len(words) <= 10 and any(phrase in lower for phrase in phrases) else None


Reason = Callable[[str], str | None]


def removed_lines(text: str, reason: Reason) -> dict[str, int]:
    """How many lines each reason removes."""
    return dict(Counter(why for line in filled_lines(text) if (why := reason(line))))


def removed_words(text: str, reason: Reason) -> float | None:
    gone = [len(pieces_of(line)) for line in filled_lines(text) if reason(line)]
    return ratio(sum(gone), len(pieces_of(text)))


def edited(text: str, reason: Reason, *, citation_marks: bool) -> str:
    """The text that is left: untouched where no line goes, else without second blank lines where one went."""
    take_out = (lambda kept: CITATION.sub("", kept)) if citation_marks else str
    if not removed_lines(text, reason):
        return take_out(text)
    kept: list[str] = []
    gap = False
    for line in lines_of(text):
        if is_blank(line):
            if not (gap and (not kept or is_blank(kept[-1]))):
                kept.append(line)
        elif reason(line):
            gap = True
        else:
            gap = False
            kept.append(line)
    return "\n".join(map(take_out, kept)).rstrip("\n")
