"""A text's first characters as n-grams of characters, by their numbers. Imports no torch.

Characters and no words: Japanese words are found by a dictionary that is twenty times slower than all that is
done here. NFKC and one digit for all of them, because widths and years say little about a domain.
"""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import numpy.typing as npt

from tsuzuri.core.compiled import compiled

Codes = npt.NDArray[np.uint32]
Keys = npt.NDArray[np.uint64]

OPENING = 0x110000
"""Stands before every text: no character."""
DIGITS = re.compile(r"\d")

_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31 = np.uint64(30), np.uint64(27), np.uint64(31)
_ONE = np.uint64(1)


def prepared(text: str, characters: int) -> Codes:
    """The code points of a text's first characters in NFKC with all digits as 0, after `OPENING`.

    Takes as long as `characters` ask for, whatever comes after them; lone surrogates are characters too.
    """
    folded = DIGITS.sub("0", unicodedata.normalize("NFKC", text[:characters]))[:characters]
    codes = np.frombuffer(folded.encode("utf-32-le", "surrogatepass"), np.uint32)
    return np.concatenate([np.array([OPENING], np.uint32), codes])


@compiled
def gram_keys(codes: Codes, order: int, out: Keys) -> None:
    """out (characters,): the number of the n-gram of that order which ends at each place, 0 where a text
    does not reach so far back. Several texts may follow each other, each from its `OPENING` on."""
    since = 0
    for place in range(len(codes)):
        since = 0 if codes[place] == OPENING else since + 1
        out[place] = 0
        if since >= order - 1:
            value = np.uint64(order)
            for back in range(order):
                value = value * _BASE + np.uint64(codes[place - order + 1 + back]) + _ONE
            value = (value ^ (value >> _30)) * _MIX_1
            value = (value ^ (value >> _27)) * _MIX_2
            out[place] = value ^ (value >> _31)
