"""A half-width copy of a text whose every character stands where it stood.

NFKC changes lengths (㈱ becomes three characters), so that an offset found in its result points nowhere. Here
one character becomes one: full-width ASCII and the ideographic space become ASCII, every hyphen and dash
becomes `-`, and so does the long-vowel mark ー between two digits.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

HYPHENS = "-‐‑–—―−－"
LONG_VOWEL = ord("ー")
_CODE_POINTS = 0x110000


def half_width(text: str) -> str:
    """`text` with half-width letters, digits and hyphens: the same number of characters."""
    if text.isascii():
        return text
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    folded = _table()[codes]
    marks = np.flatnonzero(codes == LONG_VOWEL)
    marks = marks[(marks > 0) & (marks < len(codes) - 1)]
    between = _is_digit(folded[marks - 1]) & _is_digit(folded[marks + 1])
    folded[marks[between]] = ord("-")
    return bytes(folded).decode("utf-32-le", "surrogatepass")


def _is_digit(codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    return (codes >= ord("0")) & (codes <= ord("9"))


@cache
def _table() -> npt.NDArray[np.uint32]:
    table = np.arange(_CODE_POINTS, dtype="<u4")
    table[0xFF01:0xFF5F] -= 0xFEE0
    table[0x3000] = ord(" ")
    table[[ord(hyphen) for hyphen in HYPHENS]] = ord("-")
    return table
