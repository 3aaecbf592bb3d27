"""Blocks against a reference built on `html.parser` for balanced markup, and each rule of the parse by itself."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.extraction import layout as at
from pipeline.extraction.blocks import parse_pages
from tests.pipeline.extraction.reference import soups

BLOCK_TAGS = {"div", "p", "h2", "ul", "li", "section", "blockquote", "table", "tr", "td"}
SKIPPED_TAGS = {"script", "style", "template", "select", "svg", "noscript"}


def blocks_of(html: str) -> list[str]:
    parsed = parse_pages([html])
    return [parsed.block_text(block) for block in range(len(parsed.blocks) - 1)]


def segments_of(html: str) -> list[str]:
    """The text of all segments: table rows are not joined."""
    parsed = parse_pages([html])
    return [parsed.text[row[at.G_START] : row[at.G_END]].tobytes().decode("utf-8") for row in parsed.segments]


class Reference(HTMLParser):
    """Runs of text between block tags of balanced markup, white space collapsed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.text = ""
        self.hidden: list[str] = []

    def handle_starttag(self, tag, attrs):
        if self.hidden:
            self.hidden += [tag] if tag == self.hidden[0] else []
        elif tag in SKIPPED_TAGS or any(name == "hidden" for name, _ in attrs):
            self.close_block(tag)
            self.hidden = [tag]
        elif tag == "br":
            self.text += "\0"
        else:
            self.close_block(tag)

    def handle_endtag(self, tag):
        if self.hidden:
            self.hidden = self.hidden[1:] if tag == self.hidden[0] else self.hidden
            if not self.hidden:
                self.close_block(tag)
        else:
            self.close_block(tag)

    def handle_data(self, data):
        if not self.hidden:
            self.text += data.replace("\0", "")

    def close_block(self, tag: str = "div") -> None:
        if tag in BLOCK_TAGS | {"select", "template"}:
            lines = [" ".join(line.replace("\u00a0", " ").split(" ")) for line in self.text.split("\0")]
            self.found += split_paragraphs([" ".join(line.split()) for line in lines])
            self.text = ""


def split_paragraphs(lines: list[str]) -> list[str]:
    """Lines between line breaks; an empty one ends a paragraph."""
    found, current = [], []
    for line in lines:
        if line:
            current.append(line)
        elif current:
            found.append("\n".join(current))
            current = []
    return found + (["\n".join(current)] if current else [])


texts = st.sampled_from(
    ["some words", " spaced  out ", "&amp; &lt;b&gt;", "é漢字", "a", "\n", "x&nbsp;y", "1, 2."]
)
inline = st.recursive(
    texts | st.just("<br>"),
    lambda inner: st.builds(
        lambda tag, children: f"<{tag}>{''.join(children)}</{tag}>",
        st.sampled_from(["b", "span", "em", "code"]),
        st.lists(inner, max_size=3),
    ),
    max_leaves=4,
)
balanced = st.recursive(
    st.one_of(
        st.lists(inline, max_size=3).map("".join),
        st.sampled_from(
            [
                "<script>if(a<b)x</script>",
                "<style>p{}</style>",
                "<div hidden>no<div>no</div></div>",
                "<select><option>x</select>",
            ]
        ),
    ),
    lambda inner: st.builds(
        lambda tag, children: f"<{tag}>{''.join(children)}</{tag}>",
        st.sampled_from(["div", "section", "blockquote", "ul", "h2"]),
        st.lists(inner, max_size=4),
    ),
    max_leaves=12,
)


@given(balanced)
@settings(max_examples=200)
def test_blocks_of_balanced_markup_agree_with_the_reference(html):
    page = f"<body><p>{'enough text to show ' * 60}</p>{html}</body>"  # a bare page would reveal hidden text
    reference = Reference()
    reference.feed(page)
    reference.close()
    reference.close_block()
    assert segments_of(page) == reference.found


@pytest.mark.parametrize(
    ("html", "blocks"),
    [
        ("<p>one<p>two", ["one", "two"]),
        ("<ul><li>a<li>b<ul><li>c</ul><li>d</ul>", ["a", "b", "c", "d"]),
        ("<dl><dt>t<dd>d<dt>u</dl>", ["t", "d", "u"]),
        ("<p>a<b>b</p><p>c</b>d", ["ab", "cd"]),
        ("<p>a<table><tr><td>b</table>c", ["a", "b", "c"]),
        ("one<br>two<br><br>three<br> <br>four", ["one\ntwo", "three", "four"]),
        ("a<hr>b", ["a", "b"]),
        ("a</p>b", ["a", "b"]),
        ("<h2>a<h3>b</h2>c", ["a", "b", "c"]),
        ("<div>a</span>b</div>", ["ab"]),
        ("<a href=x>a<div>b</a>c</div>d", ["a", "bc", "d"]),
        ("<div>a<td>b</td></section>c</div>", ["a", "b", "c"]),
        ("a<!-- <p>x</p> -->b", ["ab"]),
        ("a<![CDATA[b]]>c", ["ac"]),
        ("x <math><![CDATA[<y>]]></math> z", ["x <y> z"]),
        ("a<svg><title>t</title><path/><g>u</g></svg>b", ["ab"]),
        ("<textarea>no</textarea>a<iframe><p>no</iframe>", ["a"]),
        ("a &lt;b&gt; &amp;amp; &#8364;", ["a <b> &amp; €"]),
        ("a\0b&#0;c&#1;d", ["ab\ufffdcd"]),
        ("1 < 2 <3", ["1 < 2 <3"]),
        ("<p title='a>b'>c</p>", ["c"]),
        ("<p>a<p title='never closed>b</p>", ["a"]),
        ("<plaintext><p>x</plaintext>", ["x"]),
        ("<button>a<button>b", ["a", "b"]),
        ("<custom-part>a</custom-part>b", ["ab"]),
        ("", []),
        ("   &nbsp; ", []),
    ],
)
def test_what_ends_a_block(html, blocks):
    assert blocks_of(html) == blocks


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<pre>\n  a\n\n    b </pre>", "  a\n\n    b "),
        ("<pre>a\n\n</pre>x", "a\n\n"),
        ("<pre>\r\na\r\nb\rc</pre>", "a\nb\nc"),
        ("<pre>\n\na</pre>", "\na"),
        ("<pre><code>x  = <b>1</b>\n\ty</code></pre>", "x  = 1\n\ty"),
        ("<pre><div>a</div><div> b</div></pre>", "a\n b"),
        ("<pre>a<br>b&lt;&nbsp;</pre>", "a\nb<\u00a0"),
    ],
)
def test_preformatted_text_keeps_its_bytes(html, text):
    assert blocks_of(html)[0] == text


FILLER = "<p>" + "shown text " * 120


@pytest.mark.parametrize(
    "hidden",
    [
        "<div hidden>X</div>",
        "<div style='color:red; DISPLAY : none'>X</div>",
        "<span aria-hidden=true>X <span>X</span> X</span>",
        "<noscript><p>X</p></noscript>",
        "<template><p>X</p></template>",
        "<dialog><p>X</p></dialog>",
        "<select><option>X</select>",
        "<video>X</video>",
        "<p hidden>X<p>",
        "<li hidden>X<li>",
        "<table><tr><td class=lineno>X</td><td></table>",
    ],
)
def test_hidden_things_are_left_out(hidden):
    (shown, after) = blocks_of(f"{FILLER}{hidden}<p>after")
    assert "X" not in shown + after
    assert after == "after"


@pytest.mark.parametrize(
    "shown", ["<body hidden>", "<main aria-hidden=true>", "<div hidden id=S:1>", "<dialog open>"]
)
def test_what_scripts_would_show_is_read(shown):
    assert blocks_of(f"{FILLER}{shown}text")[-1] == "text"


def test_a_bare_page_gives_its_hidden_text():
    assert blocks_of(f"<body>Loading<noscript><p>{'the text ' * 300}</noscript>")[0] == "Loading"
    assert len(blocks_of(f"<body>Loading<noscript><p>{'the text ' * 300}</noscript>")) == 2
    assert len(blocks_of(f"<body>Loading<div style=display:none>{'the text ' * 300}</div>")) == 2


def test_titles():
    parsed = parse_pages(["<title> A &amp;\n b </title><svg><title>no</title></svg><title>no</title>x", "x"])
    assert [parsed.text[a:b].tobytes() for a, b in parsed.titles] == [b"A & b", b""]


def test_list_markers():
    parsed = parse_pages(["<ol><li><p>a<p>b<li>c</ol><ul><li>d<ul><li>e</ul></ul>f"])
    assert list(parsed.segments[:, at.G_MARKER]) == [1, 0, 2, -1, -1, 0]
    assert list(parsed.segments[:, at.G_LIST_DEPTH]) == [1, 1, 1, 1, 2, 0]


def test_rows_of_data_tables_are_blocks():
    rows = "".join(f"<tr><td>name {i}</td><td>{i}</td></tr>" for i in range(3))
    parsed = parse_pages([f"<table>{rows}</table>"])
    assert [parsed.block_text(i) for i in range(3)] == ["name 0\n0", "name 1\n1", "name 2\n2"]
    assert parsed.rows.tolist() == [True] * 3


def test_layout_tables_are_read_as_paragraphs():
    page = f"<table><tr><td><table><tr><td>menu<td><p>{'words ' * 50}<p>more</table></table>"
    assert [block.split()[0] for block in blocks_of(page)] == ["menu", "words", "more"]
    assert blocks_of(f"<table><tr><td>menu<td>{'words ' * 100}</table>")[0] == "menu"


@given(st.lists(soups, max_size=4))
@settings(max_examples=150)
def test_any_soup_parses_alone_as_in_a_chunk(pages):
    together = parse_pages(pages)
    assert len(together) == len(pages)
    for number, page in enumerate(pages):
        alone = parse_pages([page])
        first, after = together.block_offsets[number], together.block_offsets[number + 1]
        assert [together.block_text(b) for b in range(first, after)] == blocks_of(page)
        assert alone.work <= 3 * at.MAX_DEPTH * (page.count("<") + 1)


@given(soups)
@settings(max_examples=150)
def test_text_is_made_of_the_page(soup):
    """No word that the page does not have, in its bytes or as a character reference."""
    import html

    known = set(html.unescape(soup)) | set(soup) | set(" \n\ufffd")
    for block in blocks_of(soup):
        assert set(block) <= known
        assert block.strip()


def test_columns_and_sequences_are_the_same():
    pages = ["<p>a", "", "<p>é"]
    column = pa.array(["skipped", *pages, None])
    sliced = parse_pages(column[1:])
    listed = parse_pages([*pages, ""])
    assert sliced.text.tobytes() == listed.text.tobytes()
    assert np.array_equal(sliced.segments, listed.segments)
    assert parse_pages(pa.chunked_array([column])).text.tobytes()[8:] == listed.text.tobytes()


def test_lone_surrogates_become_replacement_characters():
    assert blocks_of("a\ud800b") == ["a\ufffdb"]


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="binary"):
        parse_pages(pa.array([b"x"]))
