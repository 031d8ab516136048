"""Escape sequences of roff (groff(7)) as plain characters."""

from __future__ import annotations

import re
from collections.abc import Mapping

SPECIAL = {
    "bu": "・", "em": "—", "en": "–", "hy": "-", "mi": "−", "aq": "'", "dq": '"', "lq": "“",
    "rq": "”", "oq": "‘", "cq": "’", "ga": "`", "aa": "´", "ha": "^", "ti": "~", "rs": "\\",
    "bv": "|", "ba": "|", "sl": "/", "ul": "_", "co": "©", "rg": "®", "tm": "™", "->": "→",
    "<-": "←", "<>": "↔", "ua": "↑", "da": "↓", "de": "°", "mu": "×", "+-": "±", "<=": "≤",
    ">=": "≥", "!=": "≠", "==": "≡", "~=": "≅", "pl": "+", "eq": "=", "**": "*", "ss": "ß",
    "Fo": "«", "Fc": "»", "fo": "‹", "fc": "›", "sq": "□", "ci": "○", "lB": "[", "rB": "]",
    "lC": "{", "rC": "}", "la": "⟨", "ra": "⟩", "at": "@", "sh": "#", "Do": "$", "Eu": "€",
    "14": "¼", "12": "½", "34": "¾", "S2": "²", "*a": "α", "*b": "β", "*p": "π", "*m": "μ",
    "*W": "Ω", "if": "∞", "sr": "√", "mc": "µ", "dg": "†", "dd": "‡", "sc": "§", "ps": "¶",
    "r!": "¡", "r?": "¿", "Po": "£", "Ye": "¥", "ct": "¢", "no": "¬", "di": "÷", "OK": "✓",
}  # fmt: skip
_ACCENTS = {
    "'": "\u0301",
    "`": "\u0300",
    "^": "\u0302",
    ":": "\u0308",
    "~": "\u0303",
    ",": "\u0327",
    "o": "\u030a",
}
_NAME = r"(?:\((?P<{0}two>..)|\[(?P<{0}long>[^\]\n]*)\]|(?P<{0}one>.))"
_ESCAPE = re.compile(
    r"\\(?:"
    r"[fFmMkYg]" + r"(?:\(..|\[[^\]\n]*\]|.)"
    r"|n[+-]?(?:\(..|\[[^\]\n]*\]|.)"
    r"|s(?:[+-]?\d|[+-]?\(..|\(?[+-]\d\d?|\[[^\]\n]*\]|'[^'\n]*')"
    r"|(?P<motion>[hvwlLDobZXRASBCHN])(?P<quote>['\"^/])(?P<inside>(?:(?!(?P=quote)).)*)(?P=quote)"
    r"|\*" + _NAME.format("string_") + r"|\((?P<two>..)|\[(?P<long>[^\]\n]*)\]"
    r"|(?P<single>.)"
    r"|$)",
)
_SINGLE = {
    "-": "-",
    "e": "\\",
    "\\": "\\",
    " ": " ",
    "~": " ",
    "0": " ",
    "t": "\t",
    "'": "´",
    "`": "`",
    "E": "\\",
    ".": ".",
    "_": "_",
}
_COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)\\[\"#].*")
STRINGS = {
    "lq": "“",
    "rq": "”",
    "Tm": "™",
    "R": "®",
    'L"': "“",
    'R"': "”",
    "C`": "",
    "C'": "",
    "Aq": "'",
    "--": "—",
    "(--": "—",
}
_MAX_DEPTH = 4


def without_comment(line: str) -> str:
    r"""A line without its `\"` comment."""
    return _COMMENT.sub(r"\1", line) if '\\"' in line or "\\#" in line else line


def plain(text: str, strings: Mapping[str, str] = STRINGS, depth: int = 0) -> str:
    """Text with every escape sequence replaced by what it prints."""
    if "\\" not in text:
        return text

    def replace(match: re.Match[str]) -> str:
        name = match["string_two"] or match["string_long"] or match["string_one"]
        if name is not None:
            return plain(strings.get(name, ""), strings, depth + 1) if depth < _MAX_DEPTH else ""
        special = match["two"] if match["two"] is not None else match["long"]
        if special is not None:
            return _special(special)
        if match["motion"]:
            return _motion(match["motion"], match["inside"])
        return _SINGLE.get(match["single"] or "", "")

    return _ESCAPE.sub(replace, text)


def _special(name: str) -> str:
    if name in SPECIAL:
        return SPECIAL[name]
    if re.fullmatch("u[0-9A-F]{4,6}(_[0-9A-F]{4,6})*", name):
        codes = [int(code, 16) for code in name[1:].split("_")]
        return "".join(chr(code) for code in codes if code <= 0x10FFFF and not 0xD800 <= code < 0xE000)
    if len(name) == 2 and name[0] in _ACCENTS and name[1].isalpha():
        return name[1] + _ACCENTS[name[0]]
    return ""


def _motion(kind: str, inside: str) -> str:
    if kind == "N" and inside.isdecimal() and int(inside) < 0x250:
        return chr(int(inside))
    if kind == "C":
        return _special(inside)
    if kind in "obZ":
        return plain(inside)
    return " " if kind == "h" and not inside.startswith(("-", "\\")) else ""
