"""What a character is: one table from code points to small classes, and the kinds that a class is of.

A kind is a set of characters that some published definition names; kinds overlap. Characters of the same
kinds share a class, so that one count per class in one pass gives the count of every kind.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

CodePoints = npt.NDArray[np.uint32]
CODE_POINTS = sys.maxunicode + 1
NEWLINE = 0x0A

_JAPANESE_PUNCTUATION = "、。，．・：；？！「」『』（）〔〕【】《》〈〉…‥―〜～ゝゞヽヾ"
# datatrove 0.10 utils/text.py, `PUNCTUATION`, with the sentence ends below.
_PUNCTUATION = "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»"
# The sentence ends of datatrove's `TERMINAL_PUNCTUATION` outside the scripts that Japanese text never holds.
_SENTENCE_ENDS = "!.?‼‽⁇⁈⁉⸮⸼⹓⹔。﹒﹖﹗！．？｡"
# BigScience's special characters as HojiChar 0.18 counts them; emoji by their blocks.
_SPECIAL = (
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ \t\n\r\x0b\x0c\u3000\xa0\ufffc’“”–▬…✦\ufffd£\u200b•€«»°·═×士"
    "＾˘⇓（）§″′´¿−±∈¢ø‚„½¼¾¹²³―⁃，ˌ¸‹›ʺˈʻ¦‐\u2800‰‑≤≥‖◆●■►▼▲▴∆▻¡★☆✱ːº。¯˜¥"
    "ɪ≈†：⁄♡✓⊕․．⋅÷１‟；،、¨◦˚゜ʼ≖¤℃√！？【】‿∞➤～☛₨➩☻๑٪♥《‘©﴿٬▷♫∟™ª₪®「—❖」﴾》"
)

KINDS: dict[str, tuple[tuple[int, int], ...]] = {
    "hiragana": ((0x3041, 0x3096),),
    "katakana": ((0x30A1, 0x30FA),),
    # Swallow's pattern also names pairs of surrogates, which a Python string never holds: kanji beyond the
    # first plane do not count there, and so not here.
    "kanji": ((0x3005, 0x3005), (0x3007, 0x3007), (0x303B, 0x303B), (0x3400, 0x9FFF), (0xF900, 0xFAFF)),
    "kuten": tuple((ord(mark), ord(mark)) for mark in "。．！？"),
    "toten": tuple((ord(mark), ord(mark)) for mark in "、，"),
    "maru": ((0x3002, 0x3002),),
    "stop": tuple((ord(mark), ord(mark)) for mark in "。．！？!?"),
    "trailing": tuple((ord(mark), ord(mark)) for mark in "・…"),
    "newline": ((NEWLINE, NEWLINE),),
    "hash": ((0x23, 0x23),),
    "ellipsis": ((0x2026, 0x2026),),
    "bullet": ((0x2D, 0x2D), (0x2022, 0x2022)),
    "sentence_end": tuple((ord(mark), ord(mark)) for mark in _SENTENCE_ENDS),
    "punctuation": (
        *((ord(mark), ord(mark)) for mark in _PUNCTUATION + _SENTENCE_ENDS),
        *((0x00, 0x08), (0x0B, 0x0C), (0x0D, 0x1F), (0x7F, 0x9F)),
    ),
    "special": (
        *((ord(mark), ord(mark)) for mark in _SPECIAL),
        *((0x2600, 0x27BF), (0x1F300, 0x1F64F), (0x1F680, 0x1F6FF), (0x1F900, 0x1FAFF)),
    ),
    "hiragana_block": ((0x3040, 0x309F),),  # Uzushio's hiragana: marks of voicing and repetition too
    "plain_kana": ((0x3041, 0x3093), (0x30A1, 0x30F3)),  # HojiChar's and llm-jp's [ぁ-んァ-ン]
    # The scripts as corpora are counted in.
    "hiragana_script": ((0x3041, 0x3096), (0x309F, 0x309F)),
    "katakana_script": (
        *((0x30A1, 0x30FA), (0x30FC, 0x30FC), (0x30FF, 0x30FF)),
        *((0x31F0, 0x31FF), (0xFF66, 0xFF9F)),
    ),
    "kanji_script": (
        *((0x3005, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF)),
        *((0xF900, 0xFAFF), (0x20000, 0x3FFFF)),
    ),
    "latin_script": (
        *((0x41, 0x5A), (0x61, 0x7A), (0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x24F)),
        *((0xFF21, 0xFF3A), (0xFF41, 0xFF5A)),
    ),
    "digit_script": ((0x30, 0x39), (0xFF10, 0xFF19)),
    "hangul_script": ((0x1100, 0x11FF), (0x3130, 0x318F), (0xAC00, 0xD7AF)),
    "japanese_punctuation": tuple((ord(mark), ord(mark)) for mark in _JAPANESE_PUNCTUATION),
    "replacement": ((0xFFFD, 0xFFFD),),
}
"""The kinds by their ranges of code points, ends included; `space` and `letter` are those of Python's
`str.isspace` and `str.isalpha`."""
BITS = {name: 1 << place for place, name in enumerate(("space", "letter", *KINDS))}
"""The bit of each kind."""


@dataclass(frozen=True)
class CharacterTable:
    """Code points to classes, classes to kinds."""

    classes: npt.NDArray[np.uint8]
    """(0x110000,) the class of each code point."""
    kinds: npt.NDArray[np.uint32]
    """(number of classes,) the kinds of each class, as bits."""
    members: npt.NDArray[np.int64]
    """(number of classes, number of kinds) 1 where the class is of the kind."""

    def kinds_of(self, points: CodePoints) -> npt.NDArray[np.uint32]:
        """(n,) the kinds of each character, as bits."""
        return self.kinds[self.classes[points]]

    def bits_of(self, names: tuple[str, ...]) -> npt.NDArray[np.uint32]:
        """(number of classes,) which of these kinds each class is of, the first as the lowest bit."""
        places = [list(BITS).index(name) for name in names]
        return (self.members[:, places] @ (1 << np.arange(len(names)))).astype(np.uint32)

    def count(self, counts: npt.NDArray[np.int64]) -> dict[str, int]:
        """How many characters are of each kind, from the count of each class."""
        return dict(zip(BITS, (counts @ self.members).tolist(), strict=True))


@cache
def character_table() -> CharacterTable:
    """The table, made once a process."""
    kinds = np.zeros(CODE_POINTS, dtype=np.uint32)
    for name, ranges in KINDS.items():
        for first, last in ranges:
            kinds[first : last + 1] |= np.uint32(BITS[name])
    spaces = [point for point in range(0x3001) if chr(point).isspace()]  # none lies beyond
    kinds[spaces] |= np.uint32(BITS["space"])
    every = np.arange(CODE_POINTS, dtype=np.uint32)
    every[0xD800:0xE000] = 0  # surrogates are no letters, and no text holds them
    kinds[np.char.isalpha(every.view("<U1"))] |= np.uint32(BITS["letter"])
    distinct, classes = np.unique(kinds, return_inverse=True)
    assert len(distinct) <= 256
    members = (distinct[:, None] >> np.arange(len(BITS), dtype=np.uint32)) & np.uint32(1)
    return CharacterTable(classes.astype(np.uint8), distinct, members.astype(np.int64))


def code_points(text: str) -> CodePoints:
    """(n,) the text's Unicode scalar values; a lone surrogate stands as U+FFFD."""
    try:
        encoded = text.encode("utf-32-le")
    except UnicodeEncodeError:
        encoded = text.encode("utf-32-le", "surrogatepass")
        points = np.frombuffer(encoded, dtype="<u4").copy()
        points[(points >= 0xD800) & (points < 0xE000)] = ord("\ufffd")
        points.flags.writeable = False  # as the other: kernels are compiled for one kind of array
        return points
    return np.frombuffer(encoded, dtype="<u4")
