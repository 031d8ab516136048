"""Wikitext to plain text, in one pass over its marks: linear in its length, however they nest.

Templates that carry words or numbers become them (wikitext_templates); the others say nothing. A link is its
label; a picture is left out, unless its caption is a sentence, which becomes a line. Of ruby its base text
stays, on request with the reading in brackets. Notes (`<ref>`), galleries and comments go. A table becomes
lines, its cells divided by tabs, because it holds the numbers. Sections that hold no prose (脚注, 関連項目,
外部リンク, …) are cut. Categories are collected.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tsuzuri.corpus.sources.config import Ruby
from tsuzuri.corpus.sources.wikitext_templates import Call, expand

CUT_SECTIONS = frozenset(
    {
        "脚注", "注釈", "注", "註", "注記", "註釈", "脚註", "出典", "出典・脚注", "脚注・出典", "注釈・出典",
        "参考文献", "関連文献", "文献", "参照", "参考", "参考資料", "参考サイト", "関連項目", "関連リンク",
        "外部リンク", "外部サイト", "関連書籍", "ギャラリー", "注釈と出典", "脚注および参考文献", "関連図書",
    }
)  # fmt: skip
MAX_GROUPED_DIGITS = 30
_DROPPED_TAGS = frozenset(
    {"ref", "gallery", "timeline", "imagemap", "score", "templatestyles", "hiero", "mapframe", "graph"}
)
_READING_TAGS = frozenset({"rt", "rp"})
_LITERAL_TAGS = frozenset({"nowiki", "pre", "math", "chem", "syntaxhighlight", "source"})
_TAGS_WITH_CONTENT = _DROPPED_TAGS | _READING_TAGS | _LITERAL_TAGS
_TAG = re.compile(r"<!--.*?(?:-->|\Z)|<(/?)([a-zA-Z][a-zA-Z0-9]*)\b[^<>]*?(/?)>", re.DOTALL)
_READING_END = re.compile(r"</r[tp]\s*>|(?=<r[tpb]\b|</ruby\b)", re.IGNORECASE)
_MARK = re.compile(r"\{\{|\}\}|\[\[|\]\]|\|")
_LITERAL = re.compile("\x00(\\d+)\x00")
_HEADING = re.compile(r"(={1,6})([^\n]+)\1")
_EXTERNAL_LINK = re.compile(r"\[(?:https?:|ftp:)?//[^\s\]]+(?:[ \t]+([^\]\n]*))?\]")
_BEHAVIOUR = re.compile(r"__[A-Z]+__")
_QUOTES = re.compile("'{2,5}")
_EMPTY_BRACKETS = re.compile(r"（[、,;；:：\s]*）|\([,;:\s]*\)")
_OPENING_COMMA = re.compile(r"（[、,;；\s]+")
_LIST_MARKS = re.compile(r"^[*#:;]+\s*")
_NAMED = re.compile(r"([^<>\[\]{}\n=]{1,40})=")
_FILE = re.compile(r"^(?:ファイル|画像|file|image|media|メディア)\s*:", re.IGNORECASE)
_CATEGORY = re.compile(r"^(?:カテゴリ|category)\s*:\s*", re.IGNORECASE)
_OTHER_WIKI = re.compile(r"^(?:[a-z]{2,3}|zh-[a-z-]+|simple|commons)\s*:")
_CELL_ATTRIBUTES = re.compile(r"^[^|\[\]{}=]{1,40}=[^|]*\|")
_CELLS, _HEADER_CELLS = re.compile(r"\|\|"), re.compile(r"\|\||!!")
_CAPTION_END = ("。", "。）", "」")


@dataclass(slots=True)
class Article:
    """What an article says."""

    text: str
    categories: list[str]
    dropped_templates: int
    """Uses of templates that no rule reads."""


@dataclass(slots=True)
class _Frame:
    """A template or link that is open: its parts between bars, each in pieces."""

    mark: str
    parts: list[list[str]] = field(default_factory=lambda: [[]])


def plain_text(source: str, *, title: str = "", ruby: Ruby = "base") -> Article:
    """The text, categories and count of unread templates of an article's wikitext."""
    literals: list[str] = []
    reader = _Reader(title, ruby)
    marked = reader.read(_without_tags(source.replace("\x00", ""), literals, ruby))
    text = "\n".join(_lines(marked))
    text = _LITERAL.sub(lambda match: literals[int(match.group(1))], html.unescape(text))
    return Article(text.strip("\n"), reader.categories, reader.dropped_templates)


def _without_tags(source: str, literals: list[str], ruby: Ruby) -> str:
    """The source without tags, comments and notes; what is literal stands as a number between NULs."""
    pieces: list[str] = []
    unclosed: set[str] = set()
    place = 0
    tags = _TAG.finditer(source)
    while match := next(tags, None):
        if match.start() < place:
            continue
        pieces.append(source[place : match.start()])
        place = match.end()
        closes, name, is_empty = match.group(1), (match.group(2) or "").lower(), match.group(3)
        if name == "br":
            pieces.append("\n")
        if closes or is_empty or name in unclosed or name not in _TAGS_WITH_CONTENT:
            continue
        closing = _READING_END if name in _READING_TAGS else re.compile(rf"</{name}\s*>", re.IGNORECASE)
        end = closing.search(source, place)
        if end is None:
            unclosed.add(name)  # only the tag goes, here and from here on
            continue
        if name in _LITERAL_TAGS:
            pieces.append(f"\x00{len(literals)}\x00")
            literals.append(html.unescape(source[place : end.start()]).strip("\n"))
        elif name == "rt" and ruby == "both":
            pieces.append(f"（{_TAG.sub('', source[place : end.start()])}）")
        place = end.end()
    pieces.append(source[place:])
    return "".join(pieces)


class _Reader:
    """Resolves templates and links from the inside out with a stack of its own."""

    def __init__(self, title: str, ruby: Ruby) -> None:
        self.title, self.ruby = title, ruby
        self.categories: list[str] = []
        self.dropped_templates = 0

    def read(self, source: str) -> str:
        """The source with its templates and links resolved; tables and line marks stay."""
        stack = [_Frame("")]
        opened = {"{{": 0, "[[": 0}
        place = 0
        for match in _MARK.finditer(source):
            mark = match.group()
            top = stack[-1]
            top.parts[-1].append(source[place : match.start()])
            place = match.end()
            if mark in opened:
                stack.append(_Frame(mark))
                opened[mark] += 1
            elif mark == "|":
                if top.mark:
                    top.parts.append([])
                else:
                    top.parts[-1].append(mark)
            else:
                opener = "{{" if mark == "}}" else "[["
                if opened[opener]:
                    _unwind(stack, opener, opened)
                    frame = stack.pop()
                    opened[opener] -= 1
                    parts = ["".join(part) for part in frame.parts]
                    stack[-1].parts[-1].append(self.template(parts) if opener == "{{" else self.link(parts))
                else:
                    top.parts[-1].append(mark)
        stack[-1].parts[-1].append(source[place:])
        _unwind(stack, "", opened)
        return "".join(stack[0].parts[0])

    def template(self, parts: list[str]) -> str:
        """What a template says in the text."""
        name, colon, value = parts[0].strip().partition(":")
        if colon and name.lower() == "formatnum":
            is_number = value.isascii() and value.isdecimal() and len(value) <= MAX_GROUPED_DIGITS
            return f"{int(value):,}" if is_number else value
        if colon and name.lower() in ("lc", "uc", "lcfirst", "ucfirst"):
            return value
        if name in ("PAGENAME", "FULLPAGENAME", "BASEPAGENAME"):
            return self.title
        args: list[str] = []
        named: dict[str, str] = {}
        for part in parts[1:]:
            content = part.strip()
            if match := _NAMED.match(content):
                named[match.group(1).strip()] = content[match.end() :].strip()
            else:
                args.append(content)
        said = expand(Call(parts[0].strip(), args, named, self.ruby))
        if said is None:
            self.dropped_templates += 1
        return said or ""

    def link(self, parts: list[str]) -> str:
        """What a link shows."""
        target = parts[0].strip()
        if category := _CATEGORY.match(target):
            self.categories.append(target[category.end() :].strip())
            return ""
        if _FILE.match(target):
            caption = parts[-1].strip() if len(parts) > 1 else ""
            return f"\n{caption}\n" if caption.endswith(_CAPTION_END) else ""
        if len(parts) > 1 and parts[-1].strip():
            return parts[-1].strip()
        if _OTHER_WIKI.match(target):
            return ""
        return target.lstrip(":").partition("#")[0] or target.lstrip("#")


def _unwind(stack: list[_Frame], opener: str, opened: dict[str, int]) -> None:
    """Turn what was opened above the last `opener` and never closed back into text."""
    place = len(stack) - 1
    while place and stack[place].mark != opener:
        place -= 1
    below = stack[place].parts[-1]
    for frame in stack[place + 1 :]:
        opened[frame.mark] -= 1
        below.append(frame.mark)
        for number, part in enumerate(frame.parts):
            below += ["|", *part] if number else part
    del stack[place + 1 :]


def _lines(marked: str) -> Iterator[str]:
    """The lines of an article whose templates and links are resolved."""
    cut_level = 0
    tables = _Tables()
    for line in marked.split("\n"):
        heading = _HEADING.fullmatch(line.strip()) if line.startswith("=") else None
        if heading:
            level, name = len(heading.group(1)), _tidy(heading.group(2))
            if not cut_level or level <= cut_level:
                cut_level = level if name in CUT_SECTIONS else 0
                yield from tables.end()
                yield from () if cut_level else ("", name)
        elif not cut_level:
            yield from tables.read(line)
    yield from tables.end()


class _Tables:
    """Turns the lines of tables, in each other or not, into a line a row; other lines pass through."""

    def __init__(self) -> None:
        self.depth = 0
        self.row: list[str] = []

    def read(self, line: str) -> Iterator[str]:
        """The lines that are complete now."""
        start = line.lstrip(" :*#")
        if start.startswith("{|"):
            yield from self.end_row()
            self.depth += 1
        elif self.depth and start.startswith(("|-", "|}", "|+")):
            yield from self.end_row()
            if start.startswith("|}"):
                self.depth -= 1
            elif start.startswith("|+") and (caption := _tidy(_cell(start[2:]))):
                yield caption
        elif self.depth and start.startswith(("|", "!")):
            marks = _HEADER_CELLS if start[0] == "!" else _CELLS
            self.row += [_tidy(_cell(cell)) for cell in marks.split(start[1:])]
        elif (text := _tidy(_LIST_MARKS.sub("", line))) and text.strip("-"):
            if self.row:
                self.row[-1] = f"{self.row[-1]} {text}".strip()
            else:
                yield text

    def end_row(self) -> Iterator[str]:
        """The row that was being read, if it says anything."""
        text = "\t".join(self.row).rstrip("\t")
        self.row = []
        if text.strip():
            yield text

    def end(self) -> Iterator[str]:
        """What is left when a section or the article ends, whether its tables do or not."""
        self.depth = 0
        return self.end_row()


def _cell(source: str) -> str:
    return _CELL_ATTRIBUTES.sub("", source)


def _tidy(line: str) -> str:
    line = _EXTERNAL_LINK.sub(lambda match: match.group(1) or "", line)
    line = _BEHAVIOUR.sub("", _QUOTES.sub("", line))
    return _OPENING_COMMA.sub("（", _EMPTY_BRACKETS.sub("", line)).strip()
