"""HTML to the text that a reader would see, safe for Japanese.

Ruby gives its base text (`<rt>` and `<rp>` go), `<wbr>` never breaks a word, a line break in the source
between two Japanese characters is no space (CSS Text 3, segment breaks), and a `<br>` that only wraps a
long Japanese line is undone. Blocks become lines; what is no content (scripts, navigation, contents lists,
page furniture) is left out. The walk keeps its own stack; what nests deeper than the parser allows (2,048
levels) is refused, not cut short.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lxml import etree, html

DROPPED_TAGS = frozenset(
    [
        "script",
        "style",
        "noscript",
        "template",
        "nav",
        "footer",
        "aside",
        "rt",
        "rp",
        "rtc",
        "select",
        "button",
        "textarea",
        "input",
        "svg",
        "math",
        "iframe",
        "object",
        "canvas",
        "audio",
        "video",
        "map",
        "dialog",
        "datalist",
        "head",
        "title",
    ]
)
DROPPED_CLASSES = frozenset(
    [
        "navheader",
        "navfooter",
        "toc",
        "headerlink",
        "breadcrumb",
        "breadcrumbs",
        "nav_table",
        "nav",
        "navbar",
        "sidebar",
        "sphinxsidebar",
        "related",
        "pagination",
        "pager",
        "skip-link",
        "menu",
        "noprint",
        "mw-editsection",
        "printfooter",
        "catlinks",
        "howtoget",
        "relatedtopics",
        "debug",
    ]
)
DROPPED_IDS = frozenset(
    ["footer", "navigation", "sidebar", "toc", "tocframe", "highlighting-settings", "verifier_texinfo"]
)
BLOCK_TAGS = frozenset(
    [
        "address",
        "article",
        "blockquote",
        "body",
        "caption",
        "center",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "html",
        "legend",
        "li",
        "main",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
        "tfoot",
        "thead",
        "tr",
        "ul",
    ]
)
HEADINGS = frozenset(["h1", "h2", "h3", "h4", "h5", "h6"])
_IS_LAYOUT_CELL = etree.XPath(
    "boolean(.//h1 | .//h2 | .//h3 | .//h4 | .//table | .//pre | .//ul | .//ol | .//dl)"
)
WRAPPED_LINE_CHARACTERS = 20
_JAPANESE = "\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef"
_SOURCE_LINE_BREAK = re.compile(f"(?<=[{_JAPANESE}])[ \t]*\n[ \t\n]*(?=[{_JAPANESE}])")
_SPACES = re.compile("[ \t\n\r\f]+")
_WRAPPED = re.compile("(?<=[\u3041-\u30ff\u4e00-\u9fff、])\v(?=[\u3041-\u30ff\u4e00-\u9fff])")


@dataclass(frozen=True, slots=True)
class Page:
    """What an HTML file says: its title and its text."""

    title: str
    text: str


def html_to_text(source: str) -> Page | None:
    """The title and the readable text of an HTML document, both empty when there is none; None when it
    nests too deep."""
    parser = html.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    data = source.replace("\x00", "").encode("utf-8", errors="replace")
    try:
        root = html.document_fromstring(data, parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError):
        return Page("", "")
    if any(error.type == etree.ErrorTypes.ERR_RESOURCE_LIMIT for error in parser.error_log):
        return None
    title = _SPACES.sub(" ", root.findtext(".//title") or "").strip()
    writer = _Writer()
    main = _main_element(root)
    walk = etree.iterwalk(main, events=("start", "end"))
    for event, element in walk:
        if event == "start":
            if element is not main and _is_furniture(element):
                writer.skip(element)
                walk.skip_subtree()
            else:
                writer.open(element)
        else:
            writer.close(element, is_last=element is main)
    return Page(title, writer.finish())


def _main_element(root: html.HtmlElement) -> html.HtmlElement:
    found = root.xpath('//main | //*[@role="main"]') or root.xpath("//article")
    if len(found) == 1 and found[0].xpath("boolean(normalize-space(.))"):
        return found[0]
    return root.find("body") if root.find("body") is not None else root


def _is_furniture(element: html.HtmlElement) -> bool:
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
        self.lines: list[str] = []
        self.buffer: list[str] = []
        self.skipped: set[html.HtmlElement] = set()
        self.cells: list[bool] = []  # per open cell: whether blocks inside stay on its line
        self.pre_depth = 0

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
            if tag in HEADINGS and self.lines:
                self.lines.append("")
        elif tag == "br":
            self.buffer.append("\n" if self.pre_depth else "\v")
        if tag == "pre":
            self.pre_depth += 1
        self.write(element.text)

    def close(self, element: html.HtmlElement, *, is_last: bool) -> None:
        if element in self.skipped:
            self.skipped.remove(element)
        elif element.tag in ("td", "th"):
            self.cells.pop()
        elif element.tag in BLOCK_TAGS:
            self.end_line()
            if element.tag == "pre":
                self.pre_depth -= 1
        if not is_last:
            self.write(element.tail)

    def write(self, text: str | None) -> None:
        if text:
            self.buffer.append(text.replace("\r", "").replace("\v", " "))

    def end_line(self) -> None:
        if self.cells and self.cells[-1]:
            self.buffer.append(" ")
            return
        text = "".join(self.buffer)
        self.buffer.clear()
        if self.pre_depth:
            self.lines += text.strip("\n").replace("\r", "\t").split("\n")
        elif text.strip():
            self.lines += _flow(text)

    def finish(self) -> str:
        self.cells.clear()
        self.end_line()
        return "\n".join(self.lines)


def _flow(text: str) -> list[str]:
    """The lines of running text: white space collapsed, cells divided by tabs, wrapped lines joined."""
    text = (
        _SPACES.sub(" ", _SOURCE_LINE_BREAK.sub("", text.replace("\r", "\x00")))
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
