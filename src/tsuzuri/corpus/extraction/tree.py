"""The element tree of an HTML document, made safe for Japanese before any extractor sees it.

Ruby becomes its base text, or base（reading） if asked; `<wbr>` goes without a trace. Both are lost or
doubled by other extractors (resiliparse keeps only the reading, trafilatura joins base and reading).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree, html

from tsuzuri.corpus.sources.config import Ruby

_READING_TAGS = ("rt", "rp", "rtc")
# HTML lets an author leave out </rt> and </rp>; the parser would nest what follows, base text too.
_OPEN_READING = re.compile(r"<(rt|rp)\b([^>]*)>([^<]*)(?=<(?:rt|rb|rp|rtc|/ruby)\b)", re.IGNORECASE)


def parse(source: str, ruby: Ruby = "base") -> html.HtmlElement | None:
    """The root of a document, empty when there is none; None when it nests deeper than the parser allows
    (2,048 levels)."""
    if "<ruby" in source or "<RUBY" in source:
        source = _OPEN_READING.sub(r"<\1\2>\3</\1>", source)
    parser = html.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    data = source.replace("\x00", "").encode("utf-8", errors="replace")
    try:
        root = html.document_fromstring(data, parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError):
        return html.Element("html")
    if any(error.type == etree.ErrorTypes.ERR_RESOURCE_LIMIT for error in parser.error_log):
        return None
    if ruby == "both":
        for element in list(root.iter("ruby")):
            _append_reading(element)
    etree.strip_elements(root, *_READING_TAGS, with_tail=False)
    etree.strip_tags(root, "wbr")
    return root


def _append_reading(ruby: html.HtmlElement) -> None:
    reading = "".join(part for rt in ruby.iter("rt") for part in _own_text(rt)).strip()
    if reading:
        span = etree.SubElement(ruby, "span")
        span.text = f"（{reading}）"


def _own_text(rt: html.HtmlElement) -> Iterator[str]:
    """The text of a reading without that of readings and parentheses nested in it."""
    yield rt.text or ""
    for child in rt:
        if child.tag not in _READING_TAGS:
            yield child.text_content()
        yield child.tail or ""
