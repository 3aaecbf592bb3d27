"""The names that the tokenizer knows: elements and what they do, attributes, and words of class names.

Elements follow the HTML standard (WHATWG, 13.1.2 void elements, 13.2.5 raw text, 13.2.6 implied end tags).
The hint words are the usual names of page parts; Readability's and trafilatura's lists, and the landmark
roles of WAI-ARIA, are where most of them come from.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from pipeline.extraction.hashing import hash_table, name_hash

BLOCK: Final = 1
"""Begins and ends a run of text."""
RECORD: Final = 2
"""Kept as an element: features ask for it."""
VOID: Final = 4
"""Has no content and no end tag."""
RAW: Final = 8
"""Its content is not markup and not read."""
HIDE: Final = 16
"""Its content is markup, but not part of the page's text."""
CLOSES_P: Final = 32
"""Its start tag ends an open paragraph."""
HEADING: Final = 64
BARRIER: Final = 128
"""An end tag inside it does not reach elements outside (the standard's "scope")."""
TABLE_PART: Final = 256
BOLD: Final = 512
FOREIGN: Final = 1024
"""Its empty descendants end with `/>`."""

_B = BLOCK | RECORD
_ELEMENTS: Final[dict[str, int]] = {
    "": 0,  # an unknown element
    **dict.fromkeys(("html", "body", "head"), _B),
    **dict.fromkeys(("div", "section", "article", "main", "header", "footer", "nav", "aside"), _B | CLOSES_P),
    **dict.fromkeys(
        ("address", "center", "details", "dir", "fieldset", "figcaption", "figure"), _B | CLOSES_P
    ),
    **dict.fromkeys(("form", "hgroup", "menu", "summary", "ul", "ol", "dl", "blockquote"), _B | CLOSES_P),
    **dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), _B | CLOSES_P | HEADING),
    **dict.fromkeys(("p", "pre", "listing", "dialog", "search"), _B | CLOSES_P),
    **dict.fromkeys(("li", "dt", "dd", "legend", "optgroup", "option"), _B),
    "button": _B | BARRIER,
    "table": _B | CLOSES_P | BARRIER,
    **dict.fromkeys(("td", "th", "caption"), _B | BARRIER | TABLE_PART),
    **dict.fromkeys(("tr", "tbody", "thead", "tfoot", "colgroup"), _B | TABLE_PART),
    **dict.fromkeys(("area", "base", "col", "embed", "img", "input", "link", "meta"), VOID),
    **dict.fromkeys(("source", "track", "wbr", "param", "frame", "keygen", "basefont", "bgsound"), VOID),
    "br": VOID,
    "hr": VOID | BLOCK | CLOSES_P,
    **dict.fromkeys(("script", "style", "textarea", "title"), RAW),
    **dict.fromkeys(("xmp", "iframe", "noembed", "noframes", "noscript"), RAW),
    "plaintext": _B | CLOSES_P,
    **dict.fromkeys(("template", "object"), _B | HIDE | BARRIER),
    **dict.fromkeys(("select", "datalist", "audio", "video", "canvas", "applet", "marquee"), _B | HIDE),
    "svg": RECORD | HIDE | FOREIGN,
    "math": FOREIGN,
    **dict.fromkeys(("annotation", "annotation-xml"), HIDE),
    **dict.fromkeys(("b", "strong"), BOLD),
    **dict.fromkeys(
        ("a", "span", "i", "em", "font", "code", "u", "s", "tt", "small", "big", "sup", "sub"), 0
    ),
    **dict.fromkeys(("label", "cite", "q", "time", "abbr", "mark", "picture", "ins", "del", "kbd", "var"), 0),
}
TAGS: Final = tuple(_ELEMENTS)
"""Element names; a tag's number is its place here, and 0 stands for every other name."""
TAG: Final = {name: number for number, name in enumerate(TAGS)}
TAG_FLAGS: Final = np.array(list(_ELEMENTS.values()), np.int64)
TAG_KEYS, TAG_VALUES = hash_table({name: number for name, number in TAG.items() if name})

CLASS: Final = np.uint64(name_hash("class"))
ID: Final = np.uint64(name_hash("id"))
ROLE: Final = np.uint64(name_hash("role"))
ITEMPROP: Final = np.uint64(name_hash("itemprop"))
ITEMTYPE: Final = np.uint64(name_hash("itemtype"))
STYLE: Final = np.uint64(name_hash("style"))
HIDDEN: Final = np.uint64(name_hash("hidden"))
ARIA_HIDDEN: Final = np.uint64(name_hash("aria-hidden"))
HREF: Final = np.uint64(name_hash("href"))
OPEN: Final = np.uint64(name_hash("open"))

_HINTS: Final[dict[str, str]] = {
    "article": "article articles story articlebody articlecontent articletext storybody newsarticle arttext",
    "body": "body bodytext bodycopy bodycontent pagebody mainbody textbody",
    "content": "content contents maincontent pagecontent postcontent entrycontent contentarea contenttext cnt inhalt "
    "contenu contenido conteudo",
    "main": "main primary maincol maincolumn center middle mainarea",
    "post": "post posts entry hentry blog blogpost postbody entrybody posttext postmessage single",
    "text": "text txt paragraph paragraphs prose rte wysiwyg markdown richtext rich editor copy textcontent para "
    "cke typography",
    "title": "title titles headline heading hd pagetitle posttitle entrytitle topictitle",
    "lead": "subtitle subheading lead lede intro standfirst abstract dek deck summary excerpt teaser kicker chapo",
    "description": "description desc about overview details detail spec specs specification specifications feature "
    "features blurb",
    "comment": "comment comments commentlist disqus respond reply replies response responses discussion livefyre "
    "kommentar kommentare commentaires",
    "thread": "thread topic message messages msg forum viewtopic bbs showthread threadauthor postrow",
    "question": "question questions answer answers qa faq faqs accordion",
    "footer": "footer foot bottom colophon ft footnav pagefooter sitefooter footnote footnotes pied contentinfo",
    "header": "header head masthead topbar hdr siteheader pageheader top",
    "nav": "nav navigation navbar menu menus submenu menubar navi gnb lnb subnav mainnav topnav megamenu dropdown "
    "menuitem mainmenu globalnav navigationbar",
    "breadcrumb": "breadcrumb breadcrumbs crumb crumbs ariane pathway",
    "sidebar": "sidebar side aside rail secondary right left leftcol rightcol sidecol complementary sidenav column "
    "rightcolumn leftcolumn rightrail",
    "widget": "widget widgets module modules portlet gadget plugin",
    "share": "share sharing social socials facebook twitter addthis sharethis sharedaddy like likes follow pinterest "
    "whatsapp linkedin sns shares bookmark addtoany instagram",
    "related": "related recommend recommended recommendations recommendation similar popular trending latest recent "
    "further also suggested suggestions outbrain taboola zergnet yarpp readmore more morestories mostread upnext",
    "promo": "promo promos promotion promoted sponsor sponsored ad ads advert advertisement adsense dfp gpt commercial "
    "partner advertising adv adbox adslot adsbygoogle banner banners",
    "newsletter": "newsletter subscribe subscription signup optin mailing mailchimp paywall regwall subscriber",
    "cookie": "cookie cookies consent gdpr ccpa onetrust privacy",
    "popup": "popup modal overlay lightbox alert notification notice tooltip toast alertdialog popover banner",
    "meta": "meta metadata info infos byline postmeta entrymeta dateline information",
    "author": "author authors byline bio writer profile contributor vcard authorbox auteur autor",
    "date": "date time published timestamp updated datetime pubdate posted datum",
    "tags": "tag tags tagcloud category categories cat topics keyword keywords label labels taxonomy",
    "caption": "caption captions credit credits figcaption legend wp-caption",
    "media": "photo image img images media figure gallery slideshow slide slider carousel swiper slick thumbnail "
    "thumb picture video player audio",
    "form": "form login signin register input field fields filter filters sort facet facets password account "
    "checkbox fieldset",
    "search": "search searchbox searchform searchbar suche recherche",
    "pagination": "pagination pager paging prev next previous pagenav pagelinks paginator nextprev",
    "legal": "copyright legal disclaimer terms rights impressum imprint license",
    "list": "list lists items item grid results result listing listings card cards tile tiles feed archive loop",
    "product": "product products price prices cart shop sku buy basket checkout variant stock store woocommerce "
    "pricing addtocart purchase",
    "review": "review reviews testimonial testimonials rating ratings star stars feedback",
    "tools": "tools toolbar tool print printer utility util utilities actions action button btn buttons control "
    "controls cta download vote votes edit",
    "user": "signature sig avatar userinfo postprofile poster user users member members rank username reputation "
    "usercard signatures",
    "quote": "quote blockquote pullquote cite quotes",
    "toc": "toc tableofcontents outline onthispage jump anchor anchors",
    "skip": "skip hidden hide invisible sr visually visuallyhidden screenreader offscreen noprint noexcerpt "
    "screen sronly assistive a11y",
    "logo": "logo brand branding",
    "code": "code highlight syntax snippet gist hljs prettyprint codeblock sourcecode crayon highlighter",
    "gutter": "lineno linenos linenumber linenumbers gutter linenodiv blobnum hljsln",
    "wiki": "infobox navbox reference references reflist catlinks hatnote editsection thumbinner mw citation",
    "section": "hero section services team block row container wrapper inner region col panel tab tabs box",
    "tutorial": "step steps instruction instructions recipe ingredients ingredient directions method",
    "event": "event events location venue address map contact phone hours",
}
HINTS: Final = tuple(_HINTS)
"""The parts of a page that names of classes hint at; a hint's number is its place here and its bit."""
HINT: Final = {name: number for number, name in enumerate(HINTS)}


def _hint_words() -> dict[str, int]:
    words: dict[str, int] = {}
    for number, listed in enumerate(_HINTS.values()):
        for word in listed.split():
            words[word] = words.get(word, 0) | 1 << number
    return words


HINT_KEYS, HINT_VALUES = hash_table(_hint_words())
HINT_PREFIX: Final = 4
"""The shortest hint word that counts as the beginning of a longer word (`sidebar` in `sidebarwrap`)."""
