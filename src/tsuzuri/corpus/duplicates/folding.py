"""Texts as the code points of their folded forms, a hundred million characters a second.

The same as `exact.fold`, by a table: for nearly every character the folded form of a text is the characters'
folded forms in a row. Where it may not be (combining marks, half-width voicing marks, jamo), the whole text
is folded by `exact.fold`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tsuzuri.core.compiled import compiled
from tsuzuri.corpus.duplicates.exact import fold
from tsuzuri.corpus.duplicates.shingles import code_points

Codes = npt.NDArray[np.uint32]
Offsets = npt.NDArray[np.int64]

TABLED = 0x20000
"""Code points from here on fold to themselves, but for the compatibility ideographs."""
COMPATIBILITY = (0x2F800, 0x2FA20)
JAMO = (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))
DROPPED, NOT_ALONE, LONG = -1, -2, -3
"""What a table says: no character; ask `fold`; the characters of the long form numbered by `LONG - value`."""


class Table(NamedTuple):
    """What each character folds to."""

    forms: npt.NDArray[np.int32]
    """(TABLED,) a code point, or one of the negative values above."""
    long_codes: Codes
    """The forms of several characters, in a row."""
    long_offsets: Offsets
    """(long forms + 1,) where each begins."""


def folded_codes(texts: Sequence[str]) -> tuple[Codes, Offsets]:
    """The code points of all texts' folded forms in a row, and (texts + 1,) where each begins."""
    codes, offsets = code_points(texts)
    table = _table()
    lengths = _lengths(codes, offsets, *table)
    others = {
        number: code_points([fold(texts[number])])[0] for number in np.flatnonzero(lengths < 0).tolist()
    }
    for number, found in others.items():
        lengths[number] = len(found)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    folded = np.empty(starts[-1], np.uint32)
    is_other = np.zeros(len(texts), bool)
    is_other[list(others)] = True
    _fill(codes, offsets, *table, is_other, folded, starts)
    for number, found in others.items():
        folded[starts[number] : starts[number + 1]] = found
    return folded, starts


@cache
def _table() -> Table:
    seconds = {
        chr(int(parts[1], 16))
        for code in range(TABLED)
        if len(parts := unicodedata.decomposition(chr(code)).split()) == 2 and parts[0][0] != "<"
    }
    joining = seconds | set(map(chr, JAMO))
    forms = np.empty(TABLED, np.int32)
    long: list[str] = []
    for code in range(TABLED):
        compatible = unicodedata.normalize("NFKC", chr(code))
        folded = "".join(compatible.casefold().split())
        if compatible[0] in joining or unicodedata.combining(compatible[0]):
            forms[code] = NOT_ALONE
        elif len(folded) == 1:
            forms[code] = ord(folded)
        elif not folded:
            forms[code] = DROPPED
        else:
            forms[code] = LONG - len(long)
            long.append(folded)
    return Table(forms, *code_points(long))


@compiled
def _form(code: np.uint32, forms: npt.NDArray[np.int32]) -> np.int32:
    if code < TABLED:
        return np.int32(forms[code])
    return np.int32(NOT_ALONE if COMPATIBILITY[0] <= code < COMPATIBILITY[1] else code)


@compiled
def _lengths(
    codes: Codes,
    offsets: Offsets,
    forms: npt.NDArray[np.int32],
    long_codes: Codes,
    long_offsets: Offsets,
) -> Offsets:
    """(texts,) the length of each folded form, or -1 where `fold` must be asked."""
    lengths = np.zeros(len(offsets) - 1, np.int64)
    for text in range(len(lengths)):
        for place in range(offsets[text], offsets[text + 1]):
            form = _form(codes[place], forms)
            if form >= 0:
                lengths[text] += 1
            elif form <= LONG:
                lengths[text] += long_offsets[LONG - form + 1] - long_offsets[LONG - form]
            elif form == NOT_ALONE:
                lengths[text] = -1
                break
    return lengths


@compiled
def _fill(
    codes: Codes,
    offsets: Offsets,
    forms: npt.NDArray[np.int32],
    long_codes: Codes,
    long_offsets: Offsets,
    is_other: npt.NDArray[np.bool_],
    folded: Codes,
    starts: Offsets,
) -> None:
    for text in range(len(is_other)):
        if is_other[text]:
            continue
        to = starts[text]
        for place in range(offsets[text], offsets[text + 1]):
            form = _form(codes[place], forms)
            if form >= 0:
                folded[to] = form
                to += 1
            elif form <= LONG:
                for part in range(long_offsets[LONG - form], long_offsets[LONG - form + 1]):
                    folded[to] = long_codes[part]
                    to += 1
