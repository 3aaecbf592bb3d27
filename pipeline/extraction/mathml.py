"""Presentation MathML -> LaTeX, for formulas whose page does not give their source (MathML 3, chapter 3).

Scripts, fractions, roots, fences, tables, accents and the mathematical alphabets are written with the commands of LaTeX
and amsmath; what has no command stays as the Unicode character that it is. Content MathML is not read.

The input is markup as pages have it: entities, unclosed elements, prefixes (`mml:mi`). It is read in one pass, with
bounds on depth and size, so hostile input costs what its length says.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pipeline.extraction.mathml_symbols import (
    FUNCTIONS,
    INVISIBLE,
    LIMITS,
    OVER_ACCENTS,
    SYMBOLS,
    UNDER_ACCENTS,
    VARIANTS,
    WIDE,
    plain_letter,
)
from pipeline.extraction.mathml_tree import LEAVES, SKIPPED, Node, core_of, inked, parse, plain_text

_ENDS_IN_COMMAND = re.compile(r"\\[A-Za-z]+\Z")
_LENGTH = re.compile(r"(-?(?:\d+\.?\d*|\.\d+))\s*(em|ex|px|pt|mu|cm|in)?")

_PRIMES = {"′": "'", "″": "''", "‴": "'''", "'": "'", "\u2032\u2032": "''"}
_FENCES = r"( ( [ [ { \{ | | ‖ \| ∥ \| ⟨ \langle 〈 \langle ⌊ \lfloor ⌈ \lceil".split()  # noqa: SIM905 - readable
_CLOSING = r") ) ] ] } \} | | ‖ \| ∥ \| ⟩ \rangle 〉 \rangle ⌋ \rfloor ⌉ \rceil".split()  # noqa: SIM905 - readable
_OPEN = {"": ".", **dict(zip(_FENCES[::2], _FENCES[1::2], strict=True))}
_CLOSE = {"": ".", **dict(zip(_CLOSING[::2], _CLOSING[1::2], strict=True))}
_MATRICES = {("(", ")"): "pmatrix", ("[", "]"): "bmatrix", ("|", "|"): "vmatrix", ("{", "}"): "Bmatrix"}
_MATRICES |= {("‖", "‖"): "Vmatrix", ("{", ""): "cases"}
_TALL = {"mfrac", "mtable", "munderover", "munder", "mover"}


def to_latex(markup: str) -> str | None:
    """The LaTeX of a `<math>` element; None where it is empty, too large or too deep."""
    root = parse(markup)
    if root is None:
        return None
    return _row(root).strip() or None


def join(parts: list[str]) -> str:
    """Pieces of LaTeX side by side, with a space between a command and the letter or digit behind it."""
    made: list[str] = []
    for part in parts:
        if not part:
            continue
        if made and part[0].isalnum() and _ENDS_IN_COMMAND.search(made[-1]):
            made.append(" ")
        made.append(part)
    return "".join(made)


def latex(node: Node) -> str:
    """The LaTeX of one element."""
    if node.name in SKIPPED:
        return ""
    return _WRITERS.get(node.name, _row)(node)


def _group(node: Node | None) -> str:
    """An element as an argument: always in braces."""
    return "{" + (latex(node).strip() if node is not None else "") + "}"


def _script(node: Node | None) -> str:
    """An element as a script: a single letter or digit stands without braces."""
    text = latex(node).strip() if node is not None else ""
    return text if len(text) == 1 and text.isalnum() else "{" + text + "}"


def _base(node: Node | None) -> str:
    """An element that carries scripts: braces where it is more than one symbol."""
    if node is None:
        return "{}"
    text = latex(node).strip()
    inner = core_of(node)
    if not text:
        return "{}"
    if inner.name in ("mi", "mn", "mo", "mtext", "mtable", "mover", "munder", "menclose", "msqrt", "mroot"):
        return text
    if inner.name == "mrow" and _fenced(inner.children):
        return text
    return "{" + text + "}"


def _child(node: Node, index: int) -> Node | None:
    return node.children[index] if index < len(node.children) else None


def _row(node: Node) -> str:
    children = node.children
    if node.name == "semantics":
        return latex(children[0]) if children else ""
    fence = _fenced(children)
    return fence if fence is not None else join([latex(child) for child in children])


def _fenced(children: list[Node]) -> str | None:
    """A row that is one fenced expression: matrices by their environment, tall content with growing fences."""
    solid = inked(children)
    if len(solid) < 2 or solid[0].name != "mo":
        return None
    first = solid[0].text.strip()
    last = solid[-1].text.strip() if solid[-1].name == "mo" else None
    inner = solid[1:-1] if last is not None else solid[1:]
    table = core_of(inner[0]) if len(inner) == 1 else None
    if table is not None and table.name == "mtable":
        environment = _MATRICES.get((first, last or ""))
        if environment is not None:
            return _environment(table, environment)
    if last is None or first not in _OPEN or last not in _CLOSE or len(solid) < 3:
        return None
    if not any(_is_tall(child) for child in inner) or _unbalanced(inner):
        return None
    content = join([latex(child) for child in inner])
    return f"\\left{_OPEN[first]} {content} \\right{_CLOSE[last]}"


def _unbalanced(inner: list[Node]) -> bool:
    """Whether the first fence is closed before the last: `(a)(b)` is not one fenced expression."""
    depth = 0
    for child in inner:
        if child.name == "mo":
            text = child.text.strip()
            depth += (text in "([{") - (text in ")]}") if text else 0
            if depth < 0:
                return True
    return depth != 0


def _is_tall(node: Node) -> bool:
    if node.name in _TALL and not (node.name in ("mover", "munder") and _accent(node)):
        return True
    return node.name in ("mrow", "mstyle", "mpadded") and any(_is_tall(child) for child in node.children)


def _identifier(node: Node) -> str:
    text = _token_text(node)
    if not text:
        return ""
    variant = node.attributes.get("mathvariant", "")
    if text in FUNCTIONS and variant in ("", "normal"):
        return "\\" + text
    letters = [_character(character) for character in text]
    plain, commands = "".join(letter for letter, _ in letters), {command for _, command in letters}
    command = commands.pop() if len(commands) == 1 else None
    if command is None and len(text) > 1 and all(character.isalnum() for character in text):
        command = VARIANTS.get(variant, "mathrm")
    elif command is None and not (variant == "normal" and plain.startswith("\\")):
        command = VARIANTS.get(variant)
    if command is None or not plain.strip("\\"):
        return plain
    return f"\\{command}{{{plain}}}"


def _character(character: str) -> tuple[str, str | None]:
    plain, command = plain_letter(character)
    return (SYMBOLS.get(plain, plain), command)


def _token_text(node: Node) -> str:
    text = " ".join(node.text.split())
    text += "".join(plain_text(child) for child in node.children)
    return "".join(character for character in text if character not in INVISIBLE)


def _number(node: Node) -> str:
    text = _token_text(node).replace(" ", "\\ ")
    plain = join([_character(character)[0] for character in text])
    command = VARIANTS.get(node.attributes.get("mathvariant", "normal"))
    command = None if command == "mathrm" else command
    return f"\\{command}{{{plain}}}" if command and plain else plain


def _operator(node: Node) -> str:
    text = _token_text(node)
    if text in FUNCTIONS:
        return "\\" + text
    if len(text) > 1 and text.isalpha() and text.isascii():
        return f"\\operatorname{{{text}}}"
    return join([_character(character)[0] for character in text])


def _text(node: Node) -> str:
    raw = node.text + "".join(plain_text(child) for child in node.children)
    raw = "".join(character for character in raw if character not in INVISIBLE)
    text = re.sub(r"\s+", " ", raw)
    if not text.strip():
        return "\\ " if text else ""
    if node.name == "ms":
        text = f'"{text}"'
    escaped = re.sub(r"([{}%#&_$])", r"\\\1", text.replace("\\", "\\textbackslash "))
    return f"\\text{{{escaped.replace('^', chr(92) + '^{}')}}}"


def _space(node: Node) -> str:
    if node.attributes.get("linebreak") == "newline":
        return " \\\\ "
    found = _LENGTH.match(node.attributes.get("width", ""))
    if found is None:
        return ""
    per_em = {"em": 1.0, None: 1.0, "ex": 0.45, "px": 1 / 16, "pt": 0.1, "mu": 1 / 18, "cm": 2.8, "in": 7.2}
    width = float(found[1][:12]) * per_em[found[2]]
    if width < 0:
        return "\\!"
    steps = ((1.8, "\\qquad "), (0.9, "\\quad "), (0.4, "\\ "), (0.25, "\\;"), (0.2, "\\:"), (0.1, "\\,"))
    return next((space for least, space in steps if width >= least), "")


def _fraction(node: Node) -> str:
    top, bottom = _group(_child(node, 0)), _group(_child(node, 1))
    thickness = _LENGTH.match(node.attributes.get("linethickness", ""))
    if thickness is not None and float(thickness[1][:12]) == 0:
        return f"{{{top[1:-1]} \\atop {bottom[1:-1]}}}"
    if node.attributes.get("bevelled") == "true":
        return f"{top}/{bottom}"
    return f"\\frac{top}{bottom}"


def _root(node: Node) -> str:
    if node.name == "mroot":
        return f"\\sqrt[{_group(_child(node, 1))[1:-1]}]{_group(_child(node, 0))}"
    return f"\\sqrt{{{_row(node).strip()}}}"


def _superscript(base: str, node: Node | None) -> str:
    text = "".join(_token_text(part) for part in _leaves(node)) if node is not None else ""
    if text in _PRIMES:
        return base + _PRIMES[text]
    if text and set(text) <= {"′", "'"}:
        return base + "'" * len(text)
    return f"{base}^{_script(node)}"


def _leaves(node: Node) -> list[Node]:
    core = core_of(node)
    return [core] if core.name in LEAVES else core.children if core.name == "mrow" else []


def _scripts(node: Node) -> str:
    base = _base(_child(node, 0))
    if node.name == "msup":
        return _superscript(base, _child(node, 1))
    base = f"{base}_{_script(_child(node, 1))}"
    return _superscript(base, _child(node, 2)) if node.name == "msubsup" else base


def _multiscripts(node: Node) -> str:
    """`<mmultiscripts>`: pairs of sub- and superscripts behind the base, and before it after `<mprescripts>`."""
    if not node.children:
        return ""
    base, behind, before = _base(node.children[0]), "", ""
    pairs: list[Node] = []
    prescripts = False
    for child in [*node.children[1:], Node("mprescripts")]:
        if child.name != "mprescripts":
            pairs.append(child)
            continue
        written = ""
        for position, script in enumerate(map(_script, pairs)):
            written += "^_"[position % 2 == 0] + script if script != "{}" else ""
        before, behind = (written, behind) if prescripts else (before, written)
        prescripts, pairs = True, []
    return ("{}" + before if before else "") + base + behind


def _accent(node: Node) -> str | None:
    """The command of an accent, where what stands over or under the base is one."""
    mark = _child(node, 1)
    core = core_of(mark) if mark is not None else None
    if core is None or core.name not in ("mo", "mi", "mtext"):
        return None
    text = core.text.strip()
    command = (UNDER_ACCENTS if node.name == "munder" else OVER_ACCENTS).get(text)
    base = _child(node, 0)
    if command in WIDE and base is not None and len(plain_text(core_of(base)).strip()) > 1:
        return WIDE[command]
    return command


def _over_under(node: Node) -> str:
    base = _child(node, 0)
    command = _accent(node) if node.name in ("mover", "munder") else None
    if command is not None:
        return f"\\{command}{_group(base)}"
    under = _child(node, 1) if node.name != "mover" else None
    over = _child(node, 1) if node.name == "mover" else _child(node, 2)
    core = core_of(base) if base is not None else None
    if core is not None and (core.text.strip() in LIMITS or _is_brace(core)):
        written = latex(base).strip()  # type: ignore[arg-type]
        written += f"_{_script(under)}" if under is not None else ""
        return written + (f"^{_script(over)}" if over is not None else "")
    if core is not None and core.name == "mo" and core.text.strip() in ("→", "⟶", "←", "⟵"):
        below = f"[{_group(under)[1:-1]}]" if under is not None else ""
        return f"\\x{'right' if core.text.strip() in '→⟶' else 'left'}arrow{below}{_group(over)}"
    written = _group(base)
    if over is not None:
        written = f"\\overset{_group(over)}{written}"
        return f"\\underset{_group(under)}{{{written}}}" if under is not None else written
    return f"\\underset{_group(under)}{written}"


def _is_brace(node: Node) -> bool:
    """Whether the base is an overbrace or underbrace, whose label is a script."""
    return node.name in ("mover", "munder") and (_accent(node) or "").endswith("brace")


def _enclosed(node: Node) -> str:
    content = "{" + _row(node).strip() + "}"
    notation = set(node.attributes.get("notation", "longdiv").split())
    for name, command in (
        ("box", "boxed"),
        ("roundedbox", "boxed"),
        ("radical", "sqrt"),
        ("top", "overline"),
        ("bottom", "underline"),
        ("updiagonalstrike", "cancel"),
        ("downdiagonalstrike", "bcancel"),
        ("horizontalstrike", "cancel"),
    ):
        if name in notation:
            return f"\\{command}{content}"
    return content[1:-1]


def _mfenced(node: Node) -> str:
    first, last = node.attributes.get("open", "("), node.attributes.get("close", ")")
    inner = core_of(node.children[0]) if len(node.children) == 1 else None
    if inner is not None and inner.name == "mtable" and (first, last) in _MATRICES:
        return _environment(inner, _MATRICES[first, last])
    separators = node.attributes.get("separators", ",").replace(" ", "")
    parts = []
    for index, child in enumerate(node.children):
        if index and separators:
            parts.append(separators[min(index - 1, len(separators) - 1)])
        parts.append(latex(child))
    content = join(parts)
    if any(_is_tall(child) for child in node.children):
        left, right = _OPEN.get(first, "."), _CLOSE.get(last, ".")
        return f"\\left{left.strip()} {content} \\right{right.strip()}"
    return join([_character(c)[0] for c in first] + [content] + [_character(c)[0] for c in last])


def _table(node: Node) -> str:
    rows = [row for row in node.children if row.name in ("mtr", "mlabeledtr")]
    if len(rows) == 1 and rows[0].name == "mlabeledtr" and len(rows[0].children) >= 2:
        return " ".join(latex(cell).strip() for cell in rows[0].children[1:]) + _label(rows[0])
    aligned = any(name in node.attributes for name in ("columnalign", "displaystyle"))
    alignment = set(node.attributes.get("columnalign", "").split())
    is_aligned = aligned and ("right" in alignment or node.attributes.get("displaystyle") == "true")
    return _environment(node, "aligned" if is_aligned else "matrix")


def _environment(table: Node, name: str) -> str:
    rows = []
    for row in table.children:
        if row.name not in ("mtr", "mlabeledtr"):
            continue
        cells = row.children[1:] if row.name == "mlabeledtr" else row.children
        tag = _label(row) if row.name == "mlabeledtr" and name == "aligned" else ""
        rows.append(" & ".join(latex(cell).strip() for cell in cells) + tag)
    return f"\\begin{{{name}}} " + " \\\\ ".join(rows) + f" \\end{{{name}}}"


def _label(row: Node) -> str:
    """The number of an equation: the first cell of a labelled row."""
    text = " ".join(plain_text(row.children[0]).split()) if row.children else ""
    text = text.removeprefix("(").removesuffix(")")
    escaped = "".join(SYMBOLS.get(c, c) if not c.isspace() else c for c in text)
    tag = f"${escaped}$" if "\\" in escaped else escaped
    return f" \\tag{{{tag}}}" if text else ""


def _phantom(node: Node) -> str:
    content = _row(node).strip()
    return f"\\phantom{{{content}}}" if content else ""


def _image(node: Node) -> str:
    return f"\\text{{{node.attributes['alt']}}}" if node.attributes.get("alt") else ""


_WRITERS: dict[str, Callable[[Node], str]] = {
    "mi": _identifier,
    "mn": _number,
    "mo": _operator,
    "mtext": _text,
    "ms": _text,
    "mspace": _space,
    "mglyph": _image,
    "mfrac": _fraction,
    "msqrt": _root,
    "mroot": _root,
    "msub": _scripts,
    "msup": _scripts,
    "msubsup": _scripts,
    "mmultiscripts": _multiscripts,
    "munder": _over_under,
    "mover": _over_under,
    "munderover": _over_under,
    "menclose": _enclosed,
    "mfenced": _mfenced,
    "mtable": _table,
    "mphantom": _phantom,
    "maction": lambda node: latex(node.children[0]) if node.children else "",
}
