"""Character n-grams as 64-bit numbers, the sets of them, and how alike two sets are.

An n-gram's number is a polynomial of its code points modulo 2^64, rolled along the text and then mixed
(splitmix64's finalizer), so that its high bits are as good as random. Two different n-grams of two texts
share a number by chance once in 2^64 pairs: a "set of n-grams" is below always the set of their numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tsuzuri.core.compiled import compiled

Hashes = npt.NDArray[np.uint64]

_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31 = np.uint64(30), np.uint64(27), np.uint64(31)


def code_points(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """The code points of all texts in a row, and (texts + 1,) where each begins."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32)
    return codes, np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])


@compiled
def mixed(value: np.uint64) -> np.uint64:
    """A bijection of 64-bit numbers after which every bit depends on every other (Steele et al. 2014)."""
    value = (value ^ (value >> _30)) * _MIX_1
    value = (value ^ (value >> _27)) * _MIX_2
    return value ^ (value >> _31)


@compiled
def ngram_hashes(codes: npt.NDArray[np.uint32], length: int, out: Hashes) -> int:
    """How many n-grams `codes` has; their numbers, in the order of the text, are written to `out`.

    A text shorter than `length` is one n-gram, an empty one none.
    """
    size = len(codes)
    if size == 0:
        return 0
    rolling = np.uint64(0)
    leaving = np.uint64(1)  # _BASE ** length, by which the oldest character has been multiplied
    for place in range(min(length, size)):
        rolling = rolling * _BASE + np.uint64(codes[place]) + np.uint64(1)
        leaving *= _BASE
    out[0] = mixed(rolling)
    for place in range(length, size):
        oldest = np.uint64(codes[place - length]) + np.uint64(1)
        rolling = rolling * _BASE + np.uint64(codes[place]) + np.uint64(1) - oldest * leaving
        out[place - length + 1] = mixed(rolling)
    return max(1, size - length + 1)


def ngram_set(codes: npt.NDArray[np.uint32], length: int) -> Hashes:
    """The sorted distinct numbers of a text's n-grams."""
    hashes = np.empty(max(1, len(codes)), np.uint64)
    hashes = hashes[: ngram_hashes(codes, length, hashes)]
    hashes.sort()
    is_first = np.ones(len(hashes), bool)
    is_first[1:] = hashes[1:] != hashes[:-1]
    return hashes[is_first]


@compiled
def jaccard(left: Hashes, right: Hashes) -> float:
    """|left ∩ right| / |left ∪ right| of two sorted sets."""
    shared = i = j = 0
    while i < len(left) and j < len(right):
        if left[i] == right[j]:
            shared += 1
            i += 1
            j += 1
        elif left[i] < right[j]:
            i += 1
        else:
            j += 1
    return shared / (len(left) + len(right) - shared)
