"""The page of a tokenizer's report: one HTML file that asks for nothing from anywhere.

Its style is that of the run reports. Charts are inline SVG whose widths are percentages, so that they fill the
page; each says in words what it shows.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from typing import Final

import jinja2
from markupsafe import Markup

from pipeline.report import formats, hostile
from pipeline.tokenizer_report import OURS, PieceUse, RowOfRates, TokenizerReport
from tokenizer import proto

SHOWN: Final = 60
"""Pieces listed of each kind."""
MOST_ROWS: Final = 40
KINDS: Final = {
    proto.NORMAL: "learned",
    proto.BYTE: "bytes",
    proto.USER_DEFINED: "white space",
    proto.CONTROL: "control",
    proto.UNKNOWN: "unknown",
    proto.UNUSED: "unused",
}
COLOURS: Final = ("kept", "rejected", "failed", "mixed")
"""Style classes of the vocabularies, in their order; they begin again after the fourth."""
PLOT: Final = 180
"""Height of a plot in pixels."""


def page(report: TokenizerReport) -> str:
    """The page as text; the same report gives the same page."""
    style = resources.files("pipeline.report").joinpath("style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    text: str = _template().render(
        report=report,
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        style=Markup(style),  # noqa: S704 - our own file
        verdict=verdict(report),
        facts=_facts(report),
        rates=rate_chart(report.rows[:MOST_ROWS], list(report.vocabularies)),
        rows=report.rows[:MOST_ROWS],
        left_out=len(report.rows) - MOST_ROWS,
        names=list(report.vocabularies),
        keys=[(_colour(index), name) for index, name in enumerate(report.vocabularies)],
        coverage=coverage_chart(report),
        lengths=length_chart(report),
        kinds=_kinds(report),
        unused=report.unused[:SHOWN],
        longest=report.longest[:SHOWN],
        most_used=report.most_used[:SHOWN],
        tokens=report.rows[0].tokens[OURS],
    )
    return text


def verdict(report: TokenizerReport) -> str:
    """The tokenizer in one sentence."""
    whole = report.rows[0]
    unused, learned = len(report.unused), len(report.learned)
    return (
        f"{whole.bytes_per_token[OURS]:.3f} bytes per token over {formats.size(whole.text_bytes)} of text; "
        f"{formats.number(unused)} of {formats.number(learned)} learned pieces ({formats.percent(unused, learned)}) "
        "are not used in it."
    )


def _facts(report: TokenizerReport) -> list[tuple[str, str, str]]:
    whole = report.rows[0]
    sources = sum(row.kind == "source" for row in report.rows)
    return [
        ("Vocabulary", formats.number(report.vocabularies[OURS]), f"sha256 {report.sha256[:12]}"),
        ("Text", formats.size(whole.text_bytes), formats.plural(sources, "source")),
        ("Documents", formats.number(whole.documents), f"{formats.number(report.failed)} records failed"),
        ("Tokens", formats.number(whole.tokens[OURS]), ""),
    ]


def _kinds(report: TokenizerReport) -> list[tuple[str, int, int, int]]:
    """Kind, pieces, pieces used, tokens."""
    found = []
    for kind, name in KINDS.items():
        mine = [piece for piece in report.pieces if piece.kind == kind]
        if mine:
            found.append(
                (name, len(mine), sum(piece.uses > 0 for piece in mine), sum(piece.uses for piece in mine))
            )
    return found


def shown(piece: PieceUse) -> Markup:
    """A piece's text, with white space and whatever steers made visible."""
    text = piece.text.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return hostile.label(text, 80)


# ---- charts


def rate_chart(rows: Sequence[RowOfRates], names: Sequence[str]) -> Markup:
    """Bytes per token: a group of bars for each row, a bar for each vocabulary."""
    most = max((rate for row in rows for rate in row.bytes_per_token.values()), default=0) or 1
    group = 24 + 18 * len(names)
    pieces, told = [], []
    for index, row in enumerate(rows):
        top = index * group
        label = row.label if row.kind != "all" else "all texts"
        pieces.append(_text(0, top + 14, "start", hostile.plain(label, 42), "row-label"))
        for place, name in enumerate(names):
            rate, y = row.bytes_per_token[name], top + 20 + 18 * place
            pieces.append(_rect(0, y, 88 * rate / most, 12, _colour(place), f"{label}, {name}: {rate:.3f}"))
            pieces.append(_text(88 * rate / most + 1, y + 10, "start", f"{rate:.3f}", "figure"))
        told.append(f"{label}: " + ", ".join(f"{name} {row.bytes_per_token[name]:.3f}" for name in names))
    return _frame("rates", "Bytes per token", "; ".join(told), group * len(rows), pieces)


def coverage_chart(report: TokenizerReport) -> Markup:
    """The share of all tokens that the most used pieces make up, over the number of pieces (log scale)."""
    uses = [piece.uses for piece in report.most_used if piece.uses]
    total, last = sum(uses), len(uses)
    if not total:
        return Markup("")
    shares = list(itertools.accumulate(uses))
    end = math.log10(max(last, 10))
    places = sorted({min(last, round(10 ** (end * step / 120))) for step in range(121)})
    points = [(100 * math.log10(place) / end, 100 * shares[place - 1] / total) for place in places]
    pieces = [_grid_line(share) for share in (25, 50, 75, 100)]
    steps = itertools.pairwise(points)
    pieces += [
        Markup('<line class="threshold" x1="{:.3f}%" x2="{:.3f}%" y1="{:.1f}" y2="{:.1f}"/>').format(
            before[0], after[0], _height(before[1]), _height(after[1])
        )
        for before, after in steps
    ]
    for power in range(int(end) + 1):
        place = 100 * power / end
        anchor = "start" if place < 3 else "end" if place > 97 else "middle"
        pieces.append(_text(place, PLOT + 34, anchor, formats.axis(10.0**power), "tick"))
    half = next(index for index, share in enumerate(shares, start=1) if 2 * share >= total)
    told = f"The {formats.number(half)} most used pieces are half of all tokens; {formats.number(last)} are used at all."
    return _frame("coverage", "Share of tokens by the most used pieces", told, PLOT + 40, pieces)


def length_chart(report: TokenizerReport) -> Markup:
    """Pieces and tokens by the number of characters: what the vocabulary holds, and what the texts use."""
    in_vocabulary, in_texts = Counter[int](), Counter[int]()
    for piece in report.pieces:
        if piece.kind in (proto.CONTROL, proto.UNKNOWN):
            continue
        in_vocabulary[piece.characters] += 1
        in_texts[piece.characters] += piece.uses
    longest = max(in_vocabulary, default=1)
    all_pieces, all_tokens = in_vocabulary.total() or 1, in_texts.total() or 1
    most = max(
        max(in_vocabulary[length] / all_pieces, in_texts[length] / all_tokens)
        for length in range(1, longest + 1)
    )
    width = 100 / longest
    pieces, told = [_grid_line(100)], []
    for length in range(1, longest + 1):
        for part, (name, share) in enumerate(
            (("pieces", in_vocabulary[length] / all_pieces), ("tokens", in_texts[length] / all_tokens))
        ):
            height = PLOT * share / most
            left = width * (length - 1) + width * (0.1 + 0.4 * part)
            tip = f"{formats.plural(length, 'character')}: {share:.1%} of the {name}"
            if share:
                pieces.append(_rect(left, 20 + PLOT - height, 0.38 * width, height, _colour(1 - part), tip))
        pieces.append(_text(width * (length - 0.5), PLOT + 36, "middle", str(length), "tick"))
        told.append(
            f"{length}: {in_vocabulary[length] / all_pieces:.1%} and {in_texts[length] / all_tokens:.1%}"
        )
    axis = Markup('<line class="axis" x1="0" x2="100%" y1="{y}" y2="{y}"/>').format(y=20 + PLOT)
    pieces.append(axis)
    pieces.append(_text(0, 12, "start", f"top: {most:.0%}", "tick"))
    return _frame("lengths", "Pieces and tokens by characters", "; ".join(told), PLOT + 42, pieces)


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _height(share: float) -> float:
    return 20 + PLOT - PLOT * share / 100


def _grid_line(share: float) -> Markup:
    y = _height(share)
    line = Markup('<line class="grid" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>').format(y=y)
    return line + _text(0, y - 4, "start", f"{share:.0f}%", "tick") if share < 100 else line


def _rect(left: float, top: float, width: float, height: float, kind: str, tip: str) -> Markup:
    return Markup(
        '<rect class="{}" x="{:.3f}%" y="{:.4g}" width="{:.3f}%" height="{:.4g}"><title>{}</title></rect>'
    ).format(kind, left, top, max(width, 0.2), height, tip)


def _text(place: float, y: float, anchor: str, text: str, kind: str) -> Markup:
    return Markup('<text class="{}" x="{:.3f}%" y="{:.4g}" text-anchor="{}">{}</text>').format(
        kind, place, y, anchor, text
    )


def _frame(ident: str, title: str, told: str, height: int, pieces: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg class="chart" width="100%" height="{height}" role="img" aria-labelledby="{ident}-title {ident}-desc">'
        '<title id="{ident}-title">{title}</title><desc id="{ident}-desc">{told}</desc>{body}</svg>'
    ).format(height=height, ident=ident, title=title, told=told, body=Markup("").join(pieces))


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "number": formats.number,
        "size": formats.size,
        "label": hostile.label,
        "shown": shown,
    }
    environment.globals |= {"percent": formats.percent, "OURS": OURS}
    source = resources.files("pipeline").joinpath("tokenizer_report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source)
