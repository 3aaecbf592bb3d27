"""Unicode characters of MathML -> LaTeX commands, and the letters of the mathematical alphabets.

The commands are those of LaTeX with amsmath and amssymb, which KaTeX and MathJax know too. A character that is not
here stays as it is: Unicode is readable in LaTeX source.
"""

from __future__ import annotations

import unicodedata

_COMMANDS = """
α alpha β beta γ gamma δ delta ε varepsilon ϵ epsilon ζ zeta η eta θ theta ϑ vartheta ι iota κ kappa λ lambda
μ mu µ mu ν nu ξ xi π pi ϖ varpi ρ rho ϱ varrho σ sigma ς varsigma τ tau υ upsilon φ varphi ϕ phi χ chi ψ psi
ω omega Γ Gamma Δ Delta Θ Theta Λ Lambda Ξ Xi Π Pi Σ Sigma Υ Upsilon Φ Phi Ψ Psi Ω Omega ϰ varkappa ϝ digamma
± pm ∓ mp × times ÷ div · cdot ⋅ cdot ∗ ast ⋆ star ∘ circ ∙ bullet • bullet ⊕ oplus ⊖ ominus ⊗ otimes ⊘ oslash
⊙ odot ∩ cap ∪ cup ⊎ uplus ⊓ sqcap ⊔ sqcup ∧ wedge ∨ vee ∖ setminus ≀ wr ⋄ diamond † dagger ‡ ddagger ⨿ amalg
⋊ rtimes ⋉ ltimes ⋈ bowtie ⊠ boxtimes ⊞ boxplus
∑ sum ∏ prod ∐ coprod ∫ int ∬ iint ∭ iiint ∮ oint ⋂ bigcap ⋃ bigcup ⋀ bigwedge ⋁ bigvee ⨁ bigoplus ⨂ bigotimes
⨀ bigodot ⨆ bigsqcup ⨄ biguplus
≤ leq ⩽ leqslant ≥ geq ⩾ geqslant ≠ neq ≡ equiv ≈ approx ≃ simeq ∼ sim ≅ cong ≐ doteq ∝ propto ≪ ll ≫ gg ≺ prec
≻ succ ⪯ preceq ⪰ succeq ≼ preccurlyeq ≽ succcurlyeq ∤ nmid ∥ parallel ∦ nparallel ⊥ perp ⊢ vdash ⊣ dashv
⊨ models ≍ asymp ≜ triangleq ≲ lesssim ≳ gtrsim ⊲ triangleleft ⊳ triangleright ⊴ trianglelefteq ≢ not\\equiv
∈ in ∉ notin ∋ ni ⊂ subset ⊃ supset ⊆ subseteq ⊇ supseteq ⊊ subsetneq ⊋ supsetneq ⊄ not\\subset ⊈ nsubseteq
⊏ sqsubset ⊑ sqsubseteq ⊐ sqsupset ⊒ sqsupseteq ∅ emptyset
∀ forall ∃ exists ∄ nexists ¬ neg ⊤ top ∞ infty ∂ partial ∇ nabla ℏ hbar ℓ ell ℜ Re ℑ Im ℘ wp ℵ aleph ℶ beth
∠ angle ∡ measuredangle △ triangle □ square ◻ square ■ blacksquare ◊ lozenge √ surd ♯ sharp ♭ flat ♮ natural
∴ therefore ∵ because … ldots ⋯ cdots ⋮ vdots ⋱ ddots ′ prime ð eth ⋔ pitchfork
← leftarrow → rightarrow ↔ leftrightarrow ⇐ Leftarrow ⇒ Rightarrow ⇔ Leftrightarrow ↑ uparrow ↓ downarrow
↕ updownarrow ⇑ Uparrow ⇓ Downarrow ↦ mapsto ⟵ longleftarrow ⟶ longrightarrow ⟷ longleftrightarrow
⟸ Longleftarrow ⟹ Longrightarrow ⟺ Longleftrightarrow ⟼ longmapsto ↗ nearrow ↘ searrow ↙ swarrow ↖ nwarrow
↪ hookrightarrow ↩ hookleftarrow ⇀ rightharpoonup ⇁ rightharpoondown ↼ leftharpoonup ⇌ rightleftharpoons
↠ twoheadrightarrow ↣ rightarrowtail ⇝ rightsquigarrow ↛ nrightarrow ⊸ multimap
⟨ langle ⟩ rangle 〈 langle 〉 rangle ⌊ lfloor ⌋ rfloor ⌈ lceil ⌉ rceil ‖ | ∕ / ⟦ llbracket ⟧ rrbracket
"""

SYMBOLS: dict[str, str] = {
    **{
        character: ("\\" + command if command != "/" else command).replace("\\\\", "\\")
        for character, command in zip(_COMMANDS.split()[::2], _COMMANDS.split()[1::2], strict=True)
    },
    "−": "-",
    "–": "-",
    "∣": "|",
    "ˆ": "\\hat{}",
    "\u2009": "\\,",
    "\u2003": "\\quad",
    "\u205f": "\\:",
    **{character: "\\" + character for character in "{}%#&_$"},
    "\\": "\\backslash",
    "~": "\\sim",
    "^": "\\hat{}",
}
"""Character -> LaTeX. What is special in LaTeX is escaped."""

INVISIBLE = frozenset("\u2061\u2062\u2063\u2064\u200b\u200c\u200d\u2060\ufeff\u00ad")
"""Characters without ink: function application, invisible times, zero-width spaces."""

FUNCTIONS = frozenset(
    """arccos arcsin arctan arg cos cosh cot coth csc deg det dim exp gcd hom inf ker lg lim liminf limsup ln log
    max min Pr sec sin sinh sup tan tanh""".split()  # noqa: SIM905 - readable
)
"""Names that LaTeX has a command for."""

LIMITS = frozenset("∑∏∐⋂⋃⋀⋁⨁⨂⨀⨆⨄") | {
    "lim",
    "liminf",
    "limsup",
    "max",
    "min",
    "sup",
    "inf",
    "det",
    "gcd",
    "Pr",
}
"""Operators whose scripts stand below and above in a display: they are written with `_` and `^`."""

_OVER = """
^ hat ˆ hat \u0302 hat ~ tilde ˜ tilde ∼ tilde \u0303 tilde ¯ bar \u0304 bar ‾ overline \u0305 overline _ overline
― overline → vec \u20d7 vec ˙ dot \u0307 dot ¨ ddot \u0308 ddot \u20db dddot ˇ check ˘ breve ´ acute ` grave ˚ mathring
⏞ overbrace ︷ overbrace ← overleftarrow ↔ overleftrightarrow
"""
_UNDER = """
⏟ underbrace ︸ underbrace _ underline ¯ underline \u0332 underline ‾ underline ― underline → underrightarrow
← underleftarrow
"""

OVER_ACCENTS = dict(zip(_OVER.split()[::2], _OVER.split()[1::2], strict=True))
"""What stands over a base -> the accent's command."""

UNDER_ACCENTS = dict(zip(_UNDER.split()[::2], _UNDER.split()[1::2], strict=True))
"""What stands under a base -> the command."""

WIDE = {"hat": "widehat", "tilde": "widetilde", "bar": "overline", "vec": "overrightarrow"}
"""Accents over more than one letter."""

VARIANTS = {
    "normal": "mathrm",
    "bold": "mathbf",
    "bold-italic": "boldsymbol",
    "double-struck": "mathbb",
    "script": "mathcal",
    "bold-script": "mathcal",
    "fraktur": "mathfrak",
    "bold-fraktur": "mathfrak",
    "sans-serif": "mathsf",
    "bold-sans-serif": "mathsf",
    "sans-serif-italic": "mathsf",
    "monospace": "mathtt",
}
"""The `mathvariant` attribute -> the alphabet's command."""

_ALPHABETS = (
    ("DOUBLE-STRUCK", "mathbb"),
    ("FRAKTUR", "mathfrak"),
    ("BLACK-LETTER", "mathfrak"),
    ("SCRIPT", "mathcal"),
    ("SANS-SERIF", "mathsf"),
    ("MONOSPACE", "mathtt"),
    ("BOLD ITALIC", "boldsymbol"),
    ("BOLD", "mathbf"),
)


def plain_letter(character: str) -> tuple[str, str | None]:
    """A letter of a mathematical alphabet (U+1D400 and letterlike symbols) -> the plain letter and its command.

    Other characters come back as they are, without a command.
    """
    if character < "\u2102" or character in SYMBOLS:
        return character, None
    if not ("\u2102" <= character <= "\u2149" or "\U0001d400" <= character <= "\U0001d7ff"):
        return character, None
    plain = unicodedata.normalize("NFKC", character)
    if len(plain) != 1 or not plain.isalnum():
        return character, None
    name = unicodedata.name(character, "")
    return plain, next((command for words, command in _ALPHABETS if words in name), None)
