"""Manual pages (man(7), mdoc(7), tbl(1)) to flowing text.

Not a typesetter: filled lines become one line per paragraph, Japanese joined without a space; headings
stand after an empty line; tags of lists stand before or above what they explain; table rows become lines
with tabs. Conditions are answered as for a terminal (`n` true, `t` false), definitions of macros are
skipped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tsuzuri.corpus.sources import mdoc, roff_escapes

_WIDE = "\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff01-\uff60“”‘’—…"
_ENDS_WIDE = re.compile(f"[{_WIDE}]$")
_STARTS_WIDE = re.compile(f"^[{_WIDE}]")
_REQUEST = re.compile(r"^[.'][ \t]*(\S*)[ \t]*(.*)$")
_ARGUMENT = re.compile(r'"((?:[^"]|"")*)"?|((?:\\ |[^ \t])+)')
_SPACES = re.compile("[ \t]+")
_CONDITION = re.compile(
    r"\s*(!?)(?:([nteo])(?=\s|\\|\.|$)|'[^']*'[^']*'|\"[^\"]*\"[^\"]*\"|\S+)\s*(.*)", re.DOTALL
)
ALTERNATING = frozenset(["BR", "BI", "IR", "RB", "RI", "IB"])
PARAGRAPHS = frozenset(
    ["PP", "LP", "P", "Pp", "sp", "Sp", "HP", "RS", "RE", "bp", "YS", "Re", "Rs", "El", "Bl", "Ek", "Bk"]
)
UNFILLED_ON = frozenset(["nf", "EX", "Vb", "Bd", "Ds", "DS", "CS"])
UNFILLED_OFF = frozenset(["fi", "EE", "Ve", "Ed", "De", "DE", "CE"])
HEADINGS = frozenset(["SH", "SS", "Sh", "Ss"])
IGNORED = frozenset(
    [
        "TH",
        "Dt",
        "Dd",
        "Os",
        "ad",
        "na",
        "hy",
        "nh",
        "ne",
        "ft",
        "ta",
        "PD",
        "UC",
        "IX",
        "nr",
        "rm",
        "rn",
        "tr",
        "lf",
        "so",
        "ti",
        "in",
        "ll",
        "pl",
        "ps",
        "vs",
        "ns",
        "rs",
        "fam",
        "ev",
        "mk",
        "rt",
        "cs",
        "bd",
        "ce",
        "ss",
        "cc",
        "c2",
        "ec",
        "eo",
        "UR",
        "UE",
        "MT",
        "ME",
        "EQ",
        "EN",
        "PS",
        "PE",
        "Id",
        "Sm",
        "AT",
        "DA",
        "SY",
        "hw",
        "hlm",
        "kern",
        "lc",
        "ex",
        "tm",
        "ab",
        "warn",
        "pc",
        "nop",
        "als",
        "aln",
        "do",
        "cflags",
        "lg",
        "uf",
        "ul",
        "cu",
        "nx",
        "pi",
        "it",
        "BS",
        "BE",
        "VS",
        "VE",
        "AS",
        "hc",
        "char",
        "color",
        "defcolor",
        "device",
        "fp",
        "ds1",
        "fl",
        "open",
        "opena",
        "close",
        "write",
        "sy",
        "shc",
        "special",
        "wh",
        "ch",
        "dt",
    ]
)
DROPPED_SECTIONS = re.compile("^(この文書について|COLOPHON|著作権|COPYRIGHT|翻訳者謝辞|ライセンス|LICENSE)")


@dataclass(frozen=True, slots=True)
class ManualPage:
    """The heading (`ls(1)`), the one-line summary and the text of a page; `alias_of` when it only points to
    another."""

    name: str
    summary: str
    text: str
    alias_of: str = ""


def man_to_text(source: str) -> ManualPage:
    """The text of a manual page's roff source."""
    reader = _Reader()
    reader.run(source.replace("\r\n", "\n").split("\n"))
    reader.end_paragraph()
    text = "\n".join(reader.lines).strip("\n")
    match = re.search(r"^\S.{0,200}? [-—–] (.+)$", text, re.MULTILINE)
    return ManualPage(reader.name, match.group(1) if match else "", text, reader.alias)


class _Reader:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.words: list[str] = []
        self.strings = dict(roff_escapes.STRINGS)
        self.name = ""
        self.alias = ""
        self.command = ""  # what mdoc's .Nm stands for
        self.filled = True
        self.dropping = False
        self.tag_next = False  # the next line of text is a list's tag
        self.heading_next = ""
        self.join_next = False  # the last line ended with \c
        self.else_holds = False
        self.pending: list[str] = []  # lines that wait to be read, the next one last

    def run(self, lines: Sequence[str]) -> None:
        self.pending = list(reversed(lines))
        while self.pending:
            line = self.pending.pop()
            if line.startswith((".", "'")):
                match = _REQUEST.match(roff_escapes.without_comment(line))
                if match and match.group(1):
                    self.request(match.group(1).rstrip("}").removesuffix("\\"), match.group(2).strip())
            elif not line.startswith(('\\"', "\\#")):
                self.text(self.plain(roff_escapes.without_comment(line)), is_joined=line.endswith("\\c"))

    def plain(self, text: str) -> str:
        return roff_escapes.plain(text, self.strings)

    def arguments(self, rest: str) -> list[str]:
        return [
            m.group(1).replace('""', '"') if m.group(1) is not None else m.group(2)
            for m in _ARGUMENT.finditer(rest)
        ]

    def request(self, name: str, rest: str) -> None:
        arguments = self.arguments(rest)
        if name in ("de", "ig", "am", "de1", "am1"):
            self.skip_until(
                "."
                + (
                    arguments[-1]
                    if name == "ig" and arguments
                    else "."
                    if len(arguments) < 2
                    else arguments[1]
                )
            )
        elif name in ("if", "ie", "el"):
            self.conditional(name, rest)
        elif name in ("ds", "as"):
            key, _, value = rest.partition(" ")
            self.strings[key] = (
                self.strings.get(key, "") if name == "as" else ""
            ) + value.strip().removeprefix('"')
        elif name in HEADINGS:
            self.heading(name, " ".join(arguments))
        elif name in UNFILLED_ON or name in UNFILLED_OFF:
            self.end_paragraph()
            self.filled = name in UNFILLED_OFF
        elif name == "TS":
            self.table()
        elif name in ("TP", "TQ", "Tp"):
            self.end_paragraph()
            self.tag_next = True
        elif name in ("IP", "It"):
            self.item(name, arguments)
        elif name in PARAGRAPHS or name == "br":
            self.end_paragraph()
        elif name in IGNORED:
            self.describe(name, arguments)
        else:
            self.text(self.macro_text(name, arguments), is_joined=rest.endswith("\\c"))

    def macro_text(self, name: str, arguments: list[str]) -> str:
        if name in mdoc.MACROS:
            if name == "Nm" and arguments and not self.command:
                self.command = self.plain(arguments[0])
            text = mdoc.line(name, arguments, self.command, self.plain)
            return f"— {text}" if name == "Nd" else text
        if name == "OP":
            return f"[{self.plain(' '.join(arguments))}]"
        return self.plain(("" if name in ALTERNATING else " ").join(arguments))

    def describe(self, name: str, arguments: list[str]) -> None:
        if name in ("TH", "Dt") and len(arguments) >= 2 and not self.name:
            self.name = f"{self.plain(arguments[0]).lower()}({self.plain(arguments[1])})"
        elif name == "so" and arguments and not self.lines:
            self.alias = arguments[0]

    def heading(self, name: str, title: str) -> None:
        self.end_paragraph()
        self.filled = True
        if not title:
            self.heading_next = name
            return
        title = _SPACES.sub(" ", self.plain(title)).strip()
        if name in ("SH", "Sh"):
            self.dropping = bool(DROPPED_SECTIONS.match(title))
        if not self.dropping:
            self.lines += ["", title]

    def item(self, name: str, arguments: list[str]) -> None:
        self.end_paragraph()
        tag = (
            mdoc.line("No", arguments, self.command, self.plain)
            if name == "It"
            else self.plain("".join(arguments[:1]))
        )
        if tag.strip():
            self.words.append(tag)
            if len(tag.strip()) > 3:  # longer than a bullet or number: a line of its own
                self.end_paragraph()

    def text(self, line: str, *, is_joined: bool) -> None:
        if self.heading_next:
            name, self.heading_next = self.heading_next, ""
            self.heading(name, line)
            return
        if not self.filled:
            if not self.dropping:
                self.lines.append(line.rstrip())
            return
        if not line.strip():
            self.end_paragraph()
            return
        if line[0] in " \t" and not self.tag_next:
            self.end_paragraph()
        if self.join_next and self.words:
            self.words[-1] += line
        else:
            self.words.append(line)
        self.join_next = is_joined
        if self.tag_next and not is_joined:
            self.tag_next = False
            self.end_paragraph()

    def end_paragraph(self) -> None:
        text = ""
        for word in self.words:
            word = _SPACES.sub(" ", word).strip()
            close = not text or (_ENDS_WIDE.search(text) and _STARTS_WIDE.match(word))
            text += word if close else " " + word
        self.words = []
        if text and not self.dropping:
            self.lines.append(text)

    def skip_until(self, end: str) -> None:
        while self.pending and self.pending.pop().replace(" ", "").rstrip() != end:
            pass

    def conditional(self, name: str, rest: str) -> None:
        if name == "el":
            holds = self.else_holds
        else:
            match = _CONDITION.match(rest)
            if not match:
                return
            holds = (match.group(2) == "n") != bool(match.group(1)) if match.group(2) in ("n", "t") else False
            self.else_holds = not holds
            rest = match.group(3)
        if not rest.startswith("\\{"):
            if holds and rest:
                self.pending.append(rest)
            return
        block = [rest.removeprefix("\\{").removeprefix("\\").lstrip()]
        depth = rest.count("\\{") - rest.count("\\}")
        while depth > 0 and self.pending:
            line = self.pending.pop()
            depth += line.count("\\{") - line.count("\\}")
            block.append(line)
        if holds:
            self.pending += reversed([line.replace("\\}", "") for line in block if line.strip("\\} .")])

    def table(self) -> None:
        self.end_paragraph()
        rows: list[str] = []
        while self.pending and not (row := self.pending.pop()).startswith(".TE"):
            rows.append(row)
        if not self.dropping:
            self.lines += table_lines(rows, self.plain)


def table_lines(rows: Sequence[str], plain: Callable[[str], str]) -> list[str]:
    """The data rows of a tbl(1) table, cells divided by tabs."""
    separator = "\t"
    index = 0
    if rows and rows[0].rstrip().endswith(";"):
        if match := re.search(r"tab ?\((.)\)", rows[0]):
            separator = match.group(1)
        index = 1
    while index < len(rows) and not rows[index].rstrip().endswith("."):
        index += 1
    text = "\n".join(row for row in rows[index + 1 :] if not row.startswith("."))
    text = re.sub(
        r"T\{\n(.*?)\nT\}",
        lambda match: match.group(1).replace("\n", " ").replace(separator, " "),
        text,
        flags=re.DOTALL,
    )
    lines = (
        [_SPACES.sub(" ", plain(cell)).strip() for cell in line.split(separator)] for line in text.split("\n")
    )
    return ["\t".join(cells).rstrip() for cells in lines if any(cell.strip("_=-") for cell in cells)]
