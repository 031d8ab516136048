"""Which script a character belongs to, so far as a tokenizer's boundaries depend on it.

Marks (the long vowel bar, the iteration mark 々, voicing and combining marks, variation selectors) belong to
the character before them, whatever its script.
"""

from __future__ import annotations

import re
import unicodedata
from enum import IntEnum

HIRAGANA = "\u3041-\u3096\u309d-\u309f\U0001b001-\U0001b11f"
KATAKANA = "\u30a1-\u30fa\u30fd-\u30ff\u31f0-\u31ff\uff66-\uff6f\uff71-\uff9d"
KANJI = "\u3006\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"
MARKS = (
    "\u3005\u303b\u30fc\uff70"  # 々 〻 ー ｰ
    "\u3099-\u309c\uff9e\uff9f"  # voicing marks, combining and spacing
    "\u0300-\u036f\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef"  # accents, joiner, variation selectors
)


class Script(IntEnum):
    """The classes between which a boundary may stand."""

    SINGLE = 0
    """Always a piece of its own: numbers (as `\\p{N}`) and the ends of lines."""
    REST = 1
    HIRAGANA = 2
    KATAKANA = 3
    KANJI = 4
    MARK = 5


_CLASS = re.compile(f"([{HIRAGANA}])|([{KATAKANA}])|([{KANJI}])|([{MARKS}])")
RUNS = re.compile(
    f"[{HIRAGANA}][{HIRAGANA}{MARKS}]*|[{KATAKANA}][{KATAKANA}{MARKS}]*|[{KANJI}][{KANJI}{MARKS}]*"
    f"|[^{HIRAGANA}{KATAKANA}{KANJI}]+"
)
"""Matches the longest runs within which a boundary between scripts never falls."""


def script_of(character: str) -> Script:
    """The script of one character."""
    if character in "\n\r" or unicodedata.category(character).startswith("N"):
        return Script.SINGLE
    match = _CLASS.match(character)
    if not match:
        return Script.REST
    return (Script.HIRAGANA, Script.KATAKANA, Script.KANJI, Script.MARK)[
        match.lastindex - 1 if match.lastindex else 0
    ]
