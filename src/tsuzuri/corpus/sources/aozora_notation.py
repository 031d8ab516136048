"""The notation of Aozora Bunko's text files, turned into the text of the book.

Follows the bunko's own rules (注記一覧, アクセント分解): ruby 《》 with its ｜, notes ［＃…］, gaiji
※［＃…］ by JIS X 0213 plane-row-cell or U+ code, accent decomposition 〔e'〕, the two-character repeat mark
／＼. Notes on appearance vanish, what they mark stays; of ruby its base stays, on request with the reading in
brackets. Deviations: an acute accent is read on vowels only, so that French l'État keeps its apostrophe;
kunten and their okurigana go; a gaiji without a code becomes the geta mark 〓 and is counted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tsuzuri.corpus.sources.config import Ruby

GETA = "〓"
_NOTE_OPEN = "［＃"
_GAIJI_WITHOUT_MARK = re.compile("※［(?!＃)(?=[^［］\n]*］)")  # a slip of the typist that a few works have
_INNER_NOTE = re.compile("［＃[^［］]*］")
_RUBY_BASE = re.compile("｜([^｜《》\n]*)(?=《[^《》\n]*》)")
_RUBY = re.compile("《([^《》\n]*)》")
_BRACKETED = re.compile("〔([^〔〕\n]*)〕")
_ACCENT = re.compile("AE&|ae&|OE&|oe&|s&|[!?]@|[A-Za-z][`'^~:&,/_]")
_MEN_KU_TEN = re.compile(r"(?<![\d-])([12])-(\d{1,2})-(\d{1,2})(?![\d-])")
_CODE_POINT = re.compile(r"U\+([0-9A-Fa-f]{4,6})")
_MARKS = {
    "`": "\u0300",
    "'": "\u0301",
    "^": "\u0302",
    "~": "\u0303",
    ":": "\u0308",
    "&": "\u030a",
    "_": "\u0304",
    ",": "\u0327",
}
_ACCENTED = {"`": "AEINOUaeinou", "'": "AEIOUYaeiouy", "^": "ACEGHIJOSUWYaceghijosuwy", "~": "AINOUainou"}
_ACCENTED |= {":": "AEIOUYaeiouy", "&": "AUau", "_": "AEIOUaeiou", ",": "CSTcst"}
_LIGATURES = {"AE&": "Æ", "ae&": "æ", "OE&": "Œ", "oe&": "œ", "s&": "ß", "!@": "¡", "?@": "¿"}
_STROKES = {"D/": "Đ", "d/": "đ", "H/": "Ħ", "h/": "ħ", "L/": "Ł", "l/": "ł", "O/": "Ø", "o/": "ø", "i/": "ɨ"}
_FULL_TO_HALF = str.maketrans("０１２３４５６７８９－＋Ｕ", "0123456789-+U")
# Marks inside the text, where notes may be nested in notes: private-use characters never occur in Shift_JIS
# text.
_OPEN_DOUBLE, _CLOSE_DOUBLE = "\ue000", "\ue001"


@dataclass(slots=True)
class Body:
    """The text of a work, and how many of its gaiji have no code."""

    text: str
    unresolved_gaiji: int


def plain_text(marked: str, ruby: Ruby = "base") -> Body:
    """The text of a work's body without its notation."""
    text, unresolved = _replace_notes(_GAIJI_WITHOUT_MARK.sub("※［＃", marked))
    text = _RUBY.sub(_reading if ruby == "both" else "", _RUBY_BASE.sub(r"\1", text))
    text = _BRACKETED.sub(_compose_accents, text)
    text = text.replace("／″＼", "〴〵").replace("／＼", "〳〵")
    text = text.replace(_OPEN_DOUBLE, "《").replace(_CLOSE_DOUBLE, "》")
    return Body(text, unresolved)


def _reading(match: re.Match[str]) -> str:
    return f"（{match.group(1)}）" if match.group(1) else ""


def gaiji(note: str) -> str | None:
    """The character that a gaiji note names, or None when it gives no code."""
    note = _INNER_NOTE.sub("", note).translate(_FULL_TO_HALF)  # a part of the shape may be a gaiji itself
    for plane, row, cell in _MEN_KU_TEN.findall(note):
        if character := jis_x_0213(int(plane), int(row), int(cell)):
            return {"《": _OPEN_DOUBLE, "》": _CLOSE_DOUBLE}.get(character, character)
    if match := _CODE_POINT.search(note):
        code = int(match.group(1), 16)
        return chr(code) if code <= 0x10FFFF and not 0xD800 <= code < 0xE000 else None
    return None


def jis_x_0213(plane: int, row: int, cell: int) -> str | None:
    """The character (or base and mark) at a plane, row and cell of JIS X 0213, or None."""
    if not (1 <= row <= 94 and 1 <= cell <= 94):
        return None
    try:
        return (b"\x8f" * (plane - 1) + bytes([row + 0xA0, cell + 0xA0])).decode("euc_jis_2004")
    except UnicodeDecodeError:
        return None


def _replace_notes(text: str) -> tuple[str, int]:
    """The text with every gaiji note replaced and every other note gone; a line of notes alone goes whole."""
    unresolved = 0
    lines = []
    for line in text.split("\n"):
        if _NOTE_OPEN not in line:
            lines.append(line)
            continue
        line, missing = _replace_in_line(line)
        unresolved += missing
        if line.strip(" \u3000"):
            lines.append(line)
    return "\n".join(lines), unresolved


def _replace_in_line(line: str) -> tuple[str, int]:
    parts = []
    unresolved = 0
    at = 0
    while (start := line.find(_NOTE_OPEN, at)) >= 0:
        end = _note_end(line, start)
        note = line[start + len(_NOTE_OPEN) : end - 1]
        is_gaiji = line[start - 1 : start] == "※" and start > at
        parts.append(line[at : start - is_gaiji])
        if is_gaiji:
            character = gaiji(note)
            unresolved += character is None
            parts.append(character or GETA)
        elif note == "割り注":
            parts.append("（")
        elif note == "割り注終わり":
            parts.append("）")
        at = end
    parts.append(line[at:])
    return "".join(parts).replace("（（", "（").replace("））", "）") if "割り注" in line else "".join(
        parts
    ), unresolved


def _note_end(line: str, start: int) -> int:
    """The place after the bracket that closes the note opened at `start`; notes and brackets nest inside
    it."""
    depth = 0
    for place in range(start, len(line)):
        if line[place] == "［":
            depth += 1
        elif line[place] == "］":
            depth -= 1
            if depth == 0:
                return place + 1
    return start + len(_NOTE_OPEN)  # never closed: only the mark itself goes


def _compose_accents(match: re.Match[str]) -> str:
    inner = match.group(1)
    composed = _ACCENT.sub(_accented_letter, inner)
    return match.group() if composed == inner else composed


def _accented_letter(match: re.Match[str]) -> str:
    pair = match.group()
    if pair in _LIGATURES or pair in _STROKES:
        return _LIGATURES.get(pair) or _STROKES[pair]
    letter, mark = pair[0], pair[1]
    return letter + _MARKS[mark] if letter in _ACCENTED.get(mark, "") else pair
