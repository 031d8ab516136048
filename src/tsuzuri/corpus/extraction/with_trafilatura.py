"""The main text of a web page by trafilatura (Barbaresi, 2021), made safe for Japanese.

trafilatura reads ruby as text, joins wrapped lines with spaces and guesses encodings; so it is given a tree
that is already decoded, without readings, its wrapped lines joined.
"""

from __future__ import annotations

import re
from typing import Any

from lxml import etree, html

from tsuzuri.core.errors import MissingExtraError
from tsuzuri.corpus.extraction.facts import title_of
from tsuzuri.corpus.extraction.lines import SOURCE_LINE_BREAK, WRAPPED_LINE_CHARACTERS
from tsuzuri.corpus.extraction.page import Page

_ENDS_OPEN = re.compile("[\u3041-\u30ff\u4e00-\u9fff、]\\s*$")
_BEGINS_JAPANESE = re.compile("^\\s*[\u3041-\u30ff\u4e00-\u9fff]")


def extractor() -> Any:
    """trafilatura's function; MissingExtraError without it."""
    try:
        from trafilatura import extract
    except ImportError as error:
        raise MissingExtraError("trafilatura", "web") from error
    return extract


def main_text(root: html.HtmlElement) -> Page:
    """The title and main text of a page, without its share of links; the text is empty where trafilatura
    finds none.

    `root` is changed.
    """
    extract = extractor()
    title = title_of(root)
    _join_source_lines(root)
    _join_wrapped_lines(root)
    text = extract(root, output_format="txt", include_comments=False, include_tables=True)
    return Page(title, text or "")


def _join_source_lines(root: html.HtmlElement) -> None:
    """Take out the line breaks of the source between Japanese characters, outside of `<pre>`."""
    for element in root.iter(etree.Element):
        if element.text and "\n" in element.text and not _is_in_pre(element):
            element.text = SOURCE_LINE_BREAK.sub("", element.text)
        if element.tail and "\n" in element.tail and not _is_in_pre(element.getparent()):
            element.tail = SOURCE_LINE_BREAK.sub("", element.tail)


def _is_in_pre(element: html.HtmlElement | None) -> bool:
    return element is not None and (
        element.tag == "pre" or next(element.iterancestors("pre"), None) is not None
    )


def _join_wrapped_lines(root: html.HtmlElement) -> None:
    """Take out each `<br>` that only wraps a long Japanese line."""
    for element in list(root.iter("br")):
        parent, previous = element.getparent(), element.getprevious()
        before = (previous.tail if previous is not None else parent.text) or ""
        is_long = len(before.strip()) >= WRAPPED_LINE_CHARACTERS
        if is_long and _ENDS_OPEN.search(before) and _BEGINS_JAPANESE.match(element.tail or ""):
            joined = before.rstrip() + (element.tail or "").lstrip()
            if previous is not None:
                previous.tail = joined
            else:
                parent.text = joined
            parent.remove(element)
