"""The columns of the tables that kernels share: the parse state, the stack, elements and segments."""

from __future__ import annotations

from typing import Final

# The state of a parse: one number each.
OUT: Final = 0
"""Where the next byte of text is written."""
SEGMENT_START: Final = 1
DEPTH: Final = 2
"""Open elements on the stack."""
OVERFLOW: Final = 3
"""Open elements beyond the stack's end."""
HIDDEN_AT: Final = 4
"""Stack place of the element that hides what is read now; -1 for none."""
IN_PRE: Final = 5
IN_LINK: Final = 6
IN_BOLD: Final = 7
SPACE: Final = 8
"""White space was read and not yet written."""
LIST_ITEM: Final = 9
"""The marker of a list item whose text has not begun: -1 a bullet, 1... a number, 0 none."""
ELEMENTS: Final = 10
SEGMENTS: Final = 11
ELEMENT: Final = 12
"""The element of the segment that is being written."""
LINK_BYTES: Final = 13
BOLD_BYTES: Final = 14
LINKS: Final = 15
BREAKS: Final = 16
SEGMENT_HINTS: Final = 17
ELEMENT_LIMIT: Final = 18
TITLE_START: Final = 19
TITLE_END: Final = 20
WORK: Final = 21
"""Steps taken by loops over the stack: tests bound it."""
FOREIGN_DEPTH: Final = 22
SKIPPED: Final = 23
"""Bytes of text that were hidden."""
MARKER: Final = 24
"""The list marker of the segment that is being written."""
TYPES: Final = 25
"""Bits of the kinds of thing that JSON-LD and itemtype say the page is about."""
REVEAL: Final = 26
"""Set for a second pass that reads hidden elements and `<noscript>`, where the first found hardly any text."""
LINE_END: Final = 27
"""Where a line break was added inside `<pre>` for an element of its own; 0 for nowhere."""
SEGMENT_LIMIT: Final = 28
STATE_SIZE: Final = 29

# The stack: one row for each open element.
S_TAG: Final = 0
S_NAME: Final = 1
S_ELEMENT: Final = 2
S_COUNT: Final = 3
"""List items so far, of an ordered list."""
STACK_COLUMNS: Final = 4

MAX_DEPTH: Final = 512
"""Open elements that are told apart, as many as browsers allow. Deeper ones still give their text."""
MAX_ELEMENTS: Final = 1 << 17
"""Elements of one page that are kept apart; later ones count as their parent."""
MAX_SEGMENTS: Final = 1 << 17
"""Segments of one page that are told apart; what follows belongs to the last one."""

# Elements: one row each, in the order of their start tags.
E_PARENT: Final = 0
"""Row of the parent; -1 for none."""
E_TAG: Final = 1
E_HINTS: Final = 2
"""What the words of its class, id, role and itemprop hint at: a bit for each of `vocabulary.HINTS`."""
E_SIGNATURE: Final = 3
"""Hash of tag and class without digits: the same for the items of a list or the posts of a thread."""
E_SOURCE: Final = 4
"""Place of the start tag in the page's bytes."""
ELEMENT_COLUMNS: Final = 5

# Segments: the runs of text between block boundaries, one row each.
G_START: Final = 0
G_END: Final = 1
"""Bounds in the text bytes; one separating byte follows each segment."""
G_ELEMENT: Final = 2
G_LINK_BYTES: Final = 3
G_BOLD_BYTES: Final = 4
G_LINKS: Final = 5
G_BREAKS: Final = 6
"""Line breaks (`<br>`) inside."""
G_HINTS: Final = 7
"""Hints of the inline elements inside."""
G_MARKER: Final = 8
"""-1 for the first text of an item of an unordered list, its number for one of an ordered list, else 0."""
G_PRE: Final = 9
G_LIST_DEPTH: Final = 10
SEGMENT_COLUMNS: Final = 11
