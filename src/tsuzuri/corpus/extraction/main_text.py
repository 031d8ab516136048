"""The main text of a web page, by our own fast rules: the lines that are prose, and what stands among them.

After boilerpipe (Kohlschütter, Fankhauser & Nejdl, 2010: link density and text length) and jusText
(Pomikálek, 2011: stop words, and a second pass in which short lines follow their neighbours). Where those
count words, this counts characters; where jusText counts stop words, this counts hiragana, which Japanese
prose cannot do without and which menus, tags and headings mostly lack.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lxml import html

from tsuzuri.corpus.extraction.facts import title_of
from tsuzuri.corpus.extraction.lines import Line, is_furniture, lines_of, link_share_of, words
from tsuzuri.corpus.extraction.page import Page

MAX_LINK_SHARE = 0.33
"""Largest share of characters in links that a line of the main text has (jusText: 0.2, boilerpipe: 0.33)."""
PROSE_CHARACTERS = 30
"""A line of this length without an end of sentence is prose; with one, from `SENTENCE_CHARACTERS`."""
SENTENCE_CHARACTERS = 12
MIN_HIRAGANA_SHARE = 0.15
"""Smallest share of hiragana in prose (Swallow asks 0.20 of a whole text)."""
MAX_LINKED_SHARE = 0.7
"""The same for a sentence with its full stop, and for a table's row among prose."""
MAX_SHORT_LINK_SHARE = 0.25
"""The same for a short line between prose: a name, a date, a list of tags."""
MAX_SUBTITLE_LINES = 3
"""Lines that may stand between a heading and the first prose under it."""
MAX_DROPPED_LINES, FEW_DROPPED_LINES = 6, 3
"""Between two lines of prose, more lines of links than this (or more than half of all, and more than a few)
are a box that interrupts the text."""
FURNITURE_WORDS = words(
    """
    ad ads adsense advertisement affiliate author-box banner bread breadcrumb breadcrumbs byline category
    categories comment comments comment-list cookie copyright footer gnav globalnav header hatena linklist
    login menu meta nav navi navigation newsletter pager pagination pankuzu pickup popular profile ranking
    recommend recommended related rss search share sharing side sidebar sitemap sns snsbtn social
    subscribe tag tagcloud tags toc toolbar topicpath trackback tweet widget widgets
    """
)
_FURNITURE_LINE = re.compile(
    r"copyright|©|\(c\)|all rights reserved|無断転載|著作権|プライバシーポリシー|利用規約|"
    r"会員登録|ログイン|続きを読む|トップページ|この記事を(?:シェア|共有)|関連記事|クッキー|cookie",
    re.IGNORECASE,
)
_FURNITURE_LINE_CHARACTERS = 80
_NAME_PARTS = re.compile("[a-zA-Z]+")
_HIRAGANA = re.compile("[\u3041-\u309f]")
_SENTENCE_END = re.compile("[。！？!?][」』）)】]*$|。")
_MIN_MAIN_CHARACTERS = 200


def main_text(root: html.HtmlElement) -> Page:
    """The title and main text of a page; the text is empty where there is no prose."""
    top = root.find("body") if root.find("body") is not None else root
    kept = _select(lines_of(top, _is_web_furniture))
    if sum(len(line.text) for line in kept) < _MIN_MAIN_CHARACTERS:
        # a theme may name the very box of the text `sidebar-right`: what the names hid gets a second look
        again = _select(lines_of(top, is_furniture))
        kept = max(kept, again, key=lambda lines: sum(len(line.text) for line in lines))
    return Page(title_of(root), "\n".join(line.text for line in kept), link_share_of(kept))


def _is_web_furniture(element: html.HtmlElement) -> bool:
    if is_furniture(element):
        return True
    names = f"{element.get('class') or ''} {element.get('id') or ''}"
    if len(names) == 1 or element.tag in ("body", "article", "main"):
        return False
    if FURNITURE_WORDS.isdisjoint(_NAME_PARTS.findall(names.lower())):
        return False
    return element.find(".//h1") is None and element.find(".//article") is None


def _select(lines: Sequence[Line]) -> list[Line]:
    """The lines of prose and what stands among them: headings, items, short lines, cells, code."""
    kept: list[Line] = []
    last: int | None = None
    for number, line in enumerate(lines):
        if not _is_prose(line):
            continue
        if last is None:
            start = _heading_above(lines, number)
        else:
            belongs = line.box == lines[last].box or _belongs(lines[last + 1 : number])
            start = last + 1 if belongs else max(last + 1, _heading_above(lines, number))
            kept += _tail(lines[last + 1 : start], lines[last])
        kept += [between for between in lines[start:number] if _may_stay(between)]
        kept.append(line)
        last = number
    kept += _tail(lines[last + 1 :], lines[last]) if last is not None else []
    while kept and not kept[0].text:
        kept.pop(0)
    return kept


def _belongs(gap: Sequence[Line]) -> bool:
    """Whether what stands between two lines of prose is of their text, and not a box of links."""
    dropped = sum(not _may_stay(line) for line in gap)
    return dropped <= MAX_DROPPED_LINES and (dropped <= FEW_DROPPED_LINES or dropped * 2 <= len(gap))


def _tail(lines: Sequence[Line], last: Line) -> list[Line]:
    """What directly follows the `last` line of prose as its list, table, code, or in the same box."""
    end = 0
    while end < len(lines) and _may_stay(lines[end]):
        is_part = lines[end].kind in ("item", "cell", "code") or len(lines[end].text) >= PROSE_CHARACTERS
        if not is_part and lines[end].box != last.box:
            break
        end += 1
    return list(lines[:end])


def _is_prose(line: Line) -> bool:
    text = line.text
    if len(text) < SENTENCE_CHARACTERS or line.kind == "heading":
        return False
    is_sentence = _SENTENCE_END.search(text) is not None
    if line.link_share > (MAX_LINKED_SHARE if is_sentence else MAX_LINK_SHARE):
        return False
    if len(text) < PROSE_CHARACTERS and not is_sentence:
        return False
    if len(_HIRAGANA.findall(text)) < MIN_HIRAGANA_SHARE * len(text):
        return False
    return len(text) > _FURNITURE_LINE_CHARACTERS or not _FURNITURE_LINE.search(text)


def _may_stay(line: Line) -> bool:
    if line.kind in ("heading", "code"):
        return True
    if len(line.text) <= _FURNITURE_LINE_CHARACTERS and _FURNITURE_LINE.search(line.text):
        return False
    if line.kind == "cell":
        return line.link_share <= MAX_LINKED_SHARE
    return line.link_share <= (MAX_SHORT_LINK_SHARE if len(line.text) < PROSE_CHARACTERS else MAX_LINK_SHARE)


def _heading_above(lines: Sequence[Line], number: int) -> int:
    """Where the headings that lead to a line begin, or the line itself."""
    start = number
    while start and number - start < MAX_SUBTITLE_LINES and lines[start - 1].kind != "heading":
        start -= 1
        if lines[start].text and not _may_stay(lines[start]):
            return number
    if not start or lines[start - 1].kind != "heading":
        return number
    while start and (lines[start - 1].kind == "heading" or not lines[start - 1].text):
        start -= 1
    return start
