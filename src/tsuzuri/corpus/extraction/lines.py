"""The lines that a reader of an HTML page would see, each with what it is: the walk under every extractor.

A line break in the source between two Japanese characters is no space (CSS Text 3, segment breaks), and a
`<br>` that only wraps a long Japanese line is undone. Blocks become lines; what is no content (scripts,
navigation, contents lists, page furniture) is left out. The walk keeps its own stack.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lxml import etree, html


def words(text: str) -> frozenset[str]:
    """The words of a list."""
    return frozenset(text.split())


DROPPED_TAGS = words(
    """
    script style noscript template nav footer aside rt rp rtc select button textarea input svg math
    iframe object canvas audio video map dialog datalist head title
    """
)
DROPPED_CLASSES = words(
    """
    navheader navfooter toc headerlink breadcrumb breadcrumbs nav_table nav navbar sidebar sphinxsidebar
    related pagination pager skip-link menu noprint mw-editsection printfooter catlinks howtoget
    relatedtopics debug
    """
)
DROPPED_IDS = words("footer navigation sidebar toc tocframe highlighting-settings verifier_texinfo")
BLOCK_TAGS = words(
    """
    address article blockquote body caption center dd details div dl dt fieldset figcaption figure form
    h1 h2 h3 h4 h5 h6 header hr html legend li main ol p pre section summary table tbody tfoot thead tr
    ul
    """
)
HEADINGS = words("h1 h2 h3 h4 h5 h6")
_IS_LAYOUT_CELL = etree.XPath(
    "boolean(.//h1 | .//h2 | .//h3 | .//h4 | .//table | .//pre | .//ul | .//ol | .//dl) or count(.//p) > 2"
)
WRAPPED_LINE_CHARACTERS = 20
_JAPANESE = "\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef"
SOURCE_LINE_BREAK = re.compile(f"(?<=[{_JAPANESE}])[ \t]*\n[ \t\n]*(?=[{_JAPANESE}])")
_SPACES = re.compile("[ \t\n\r\f]+")
_WRAPPED = re.compile("(?<=[\u3041-\u30ff\u4e00-\u9fff、])\v(?=[\u3041-\u30ff\u4e00-\u9fff])")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text and what it is on its page."""

    text: str
    """Empty above a heading, where a page leaves space."""
    kind: str = "text"
    """text, heading, item (of a list), cell (a table's row) or code."""
    link_share: float = 0.0
    """Share of its characters that stand in links, from 0 to 1."""
    box: int = 0
    """The number of the element that its block is in: paragraphs of one text share it."""


def lines_of(top: html.HtmlElement, is_dropped: Callable[[html.HtmlElement], bool]) -> list[Line]:
    """The lines under `top` in order, less the elements that `is_dropped` names."""
    writer = _Writer()
    walk = etree.iterwalk(top, events=("start", "end"))
    for event, element in walk:
        if event == "start":
            if element is not top and is_dropped(element):
                writer.skip(element)
                walk.skip_subtree()
            else:
                writer.open(element)
        else:
            writer.close(element, is_last=element is top)
    return writer.finish()


def link_share_of(lines: Sequence[Line]) -> float:
    """The share of the characters of these lines that stand in links, from 0 to 1; 0 where there are none."""
    characters = sum(len(line.text) for line in lines)
    return sum(len(line.text) * line.link_share for line in lines) / characters if characters else 0.0


def is_furniture(element: html.HtmlElement) -> bool:
    """Whether an element of a manual or article is no content: scripts, navigation, what is hidden."""
    identity = element.get("id") or ""
    # LibreOffice's help hides every system's wording of a menu path and shows one by script: `default…` is
    # the text.
    if element.get("hidden") is not None and not identity.startswith("default"):
        return True
    if element.tag in DROPPED_TAGS or identity in DROPPED_IDS:
        return True
    if element.tag == "header":
        return element.find(".//h1") is None
    return not DROPPED_CLASSES.isdisjoint((element.get("class") or "").split())


class _Writer:
    """Lines of text from the events of a walk."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.buffer: list[str] = []
        self.skipped: set[html.HtmlElement] = set()
        self.cells: list[bool] = []  # per open cell: whether blocks inside stay on its line
        self.pre_depth = self.heading_depth = self.item_depth = self.link_depth = 0
        self.characters = self.link_characters = 0
        self.blocks = [0]  # the numbers of the open blocks
        self.last_block = 0

    def skip(self, element: html.HtmlElement) -> None:
        self.skipped.add(element)  # its end event still comes, for the text that follows it

    def open(self, element: html.HtmlElement) -> None:
        tag = element.tag
        if tag in ("td", "th"):
            if self.buffer:
                self.buffer.append("\r")
            self.cells.append(not _IS_LAYOUT_CELL(element))
        elif tag in BLOCK_TAGS:
            self.end_line()
            self.last_block += 1
            self.blocks.append(self.last_block)
            if tag in HEADINGS:
                self.heading_depth += 1
                if self.lines:
                    self.lines.append(Line(""))
            elif tag == "li":
                self.item_depth += 1
            elif tag == "pre":
                self.pre_depth += 1
        elif tag == "br":
            self.buffer.append("\n" if self.pre_depth else "\v")
        elif tag == "a" and element.get("href"):  # not an anchor, which old pages never close
            self.link_depth += 1
        self.write(element.text)

    def close(self, element: html.HtmlElement, *, is_last: bool) -> None:
        tag = element.tag
        if element in self.skipped:
            self.skipped.remove(element)
        elif tag in ("td", "th"):
            self.cells.pop()
        elif tag in BLOCK_TAGS:
            self.end_line()
            self.blocks.pop()
            if tag in HEADINGS:
                self.heading_depth -= 1
            elif tag == "li":
                self.item_depth -= 1
            elif tag == "pre":
                self.pre_depth -= 1
        elif tag == "a" and element.get("href"):
            self.link_depth -= 1
        if not is_last:
            self.write(element.tail)

    def write(self, text: str | None) -> None:
        if text:
            self.buffer.append(text.replace("\r", "").replace("\v", " "))
            characters = len(text.strip())
            self.characters += characters
            if self.link_depth > 0:
                self.link_characters += characters

    def end_line(self) -> None:
        if self.cells and self.cells[-1]:
            self.buffer.append(" ")
            return
        if not self.buffer:
            return
        text = "".join(self.buffer)
        link_share = self.link_characters / self.characters if self.characters else 0.0
        kind = self.kind(text)
        self.buffer.clear()
        self.characters = self.link_characters = 0
        if self.pre_depth:
            texts = text.strip("\n").replace("\r", "\t").split("\n")
        else:
            texts = _flow(text) if text.strip() else []
        box = self.blocks[-2] if len(self.blocks) > 1 else 0
        self.lines += [Line(line, kind, link_share, box) for line in texts]

    def kind(self, text: str) -> str:
        if self.pre_depth:
            return "code"
        if self.heading_depth:
            return "heading"
        if "\r" in text:
            return "cell"
        return "item" if self.item_depth else "text"

    def finish(self) -> list[Line]:
        self.cells.clear()
        self.end_line()
        return self.lines


def _flow(text: str) -> list[str]:
    """The lines of running text: white space collapsed, cells divided by tabs, wrapped lines joined."""
    text = (
        _SPACES.sub(" ", SOURCE_LINE_BREAK.sub("", text.replace("\r", "\x00")))
        .replace(" \v", "\v")
        .replace("\v ", "\v")
    )
    text = _WRAPPED.sub(lambda match: "" if _is_wrapped(text, match.start()) else "\v", text)
    lines = (
        "\t".join(cell.strip(" ") for cell in line.split("\x00")).strip("\t") for line in text.split("\v")
    )
    return [line for line in lines if line]


def _is_wrapped(text: str, place: int) -> bool:
    return place - (text.rfind("\v", 0, place) + 1) >= WRAPPED_LINE_CHARACTERS
