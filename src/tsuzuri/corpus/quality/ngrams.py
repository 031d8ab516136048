"""Repetition of n-grams, 2 to 10, exactly: no two different n-grams are ever taken for one.

Names after Karp, Miller and Rosenberg (STOC 1972): an n-gram is the pair of its first n - 1 symbols, which
already have a number, and its last symbol. Such a pair fits a machine word whole, so the table compares
n-grams themselves and not their hashes. An n-gram whose first or last n - 1 symbols occur once occurs once
itself and needs no look-up: in natural text few positions are left after the 5-grams.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tsuzuri.core.compiled import compiled

WINDOW = 1 << 21
"""Symbols that are measured, from the start of a text: so many numbers fit a name, and memory is bounded."""
ORDERS = tuple(range(2, 11))
TYPES, REPEATED_TYPES, TOP_COUNT, TOP_CHARACTERS, REPEATED_CHARACTERS, TOTAL = range(6)
"""Columns of what `ngram_statistics` gives, one row an order."""
_SYMBOL_BITS = np.uint64(21)
_NUMBER_MASK = np.uint64((1 << 21) - 1)
_EMPTY = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_MULTIPLIER = np.uint64(0x9E37_79B9_7F4A_7C15)
_FREQUENT_ORDER = 5


@compiled
def ngram_statistics(
    symbols: npt.NDArray[np.uint32], offsets: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """((9, 6) the columns above for n = 2 … 10, (2,) HojiChar's sum of frequent 5-grams and of all).

    `symbols` are below 2^21, at most WINDOW of them; `offsets`, one more, are where they begin in
    characters, or none where each symbol is one. TOP_CHARACTERS is the length of the n-gram that is most
    frequent (the earliest of equals); the greedy REPEATED_CHARACTERS are datatrove's: of n-grams seen
    before, stepping over each one found.
    """
    length, plain = len(symbols), len(offsets) == 0
    result = np.zeros((9, 6), dtype=np.int64)
    frequent = np.zeros(2, dtype=np.int64)
    places = np.arange(length, dtype=np.int32)  # where an (n - 1)-gram begins that may occur again
    names = symbols.astype(np.int32)  # the number of the one at each of these places
    left = length
    memory = np.empty(1 << 12, dtype=np.uint64)
    before = np.empty(0, dtype=np.int32)  # how often each numbered (n - 1)-gram occurs
    counts = np.empty(length, dtype=np.int32)
    firsts = np.empty(length, dtype=np.int32)
    visited = np.empty(length, dtype=np.bool_)
    for n in range(2, min(10, length) + 1):
        size = 16
        while size < min(2 * left, len(memory)):
            size *= 2
        slots = memory[:size]  # name of the prefix, last symbol, number: 21 bits each
        slots[:] = _EMPTY
        shift = _shift(size)
        kept = found = repeated_characters = free_from = 0
        for index in range(left):
            at, prefix = places[index], names[index]
            if index + 1 == left or places[index + 1] != at + 1:
                continue  # what follows its first symbol occurs once, or the text ends
            if n > 2 and (before[prefix] == 1 or before[names[index + 1]] == 1):
                continue
            key = (np.uint64(prefix) << _SYMBOL_BITS) | np.uint64(symbols[at + n - 1])
            slot = np.int64((key * _MULTIPLIER) >> shift)
            while slots[slot] != _EMPTY and slots[slot] >> _SYMBOL_BITS != key:
                slot = (slot + 1) & (len(slots) - 1)
            if slots[slot] == _EMPTY:
                slots[slot] = (key << _SYMBOL_BITS) | np.uint64(found)
                number = np.int64(found)
                found += 1
                counts[number], firsts[number], visited[number] = 1, at, at >= free_from
                if found * 2 > len(slots):
                    memory = slots = _grown(slots)
                    shift = _shift(len(slots))
            else:
                number = np.int64(slots[slot] & _NUMBER_MASK)
                counts[number] += 1
                if at >= free_from and visited[number]:
                    repeated_characters += n if plain else offsets[at + n] - offsets[at]
                    free_from = at + n
                elif at >= free_from:
                    visited[number] = True
            places[kept], names[kept] = at, number
            kept += 1
        row = result[n - 2]
        row[TOTAL] = length - n + 1
        row[TYPES] = row[TOTAL] - kept + found
        row[REPEATED_CHARACTERS] = repeated_characters
        row[REPEATED_TYPES], row[TOP_COUNT], first = _most_frequent(counts[:found], firsts)
        row[TOP_CHARACTERS] = n if plain else offsets[first + n] - offsets[first]
        if n == _FREQUENT_ORDER:
            frequent[0] = _frequent_sum(counts[:found], row[REPEATED_TYPES], row[TYPES])
            frequent[1] = row[TOTAL]
        before = counts[:found].copy()
        left = kept
    return result, frequent


@compiled
def _most_frequent(counts: npt.NDArray[np.int32], firsts: npt.NDArray[np.int32]) -> tuple[int, int, int]:
    """(how many n-grams occur more than once, the highest count, where the first of that count begins)."""
    repeated, top, first = 0, 1, 0  # where every one occurs once, the text's first is the most frequent
    for number in range(len(counts)):
        repeated += counts[number] > 1
        if counts[number] > top:
            top, first = counts[number], firsts[number]
    return repeated, top, first


@compiled
def _shift(size: int) -> np.uint64:
    """How far to shift a 64-bit product so that the highest bits index a table of 2^k slots."""
    shift = np.uint64(64)
    while size > 1:
        size >>= 1
        shift -= np.uint64(1)
    return shift


@compiled
def _grown(slots: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    larger = np.full(len(slots) * 4, _EMPTY, dtype=np.uint64)
    shift = _shift(len(larger))
    for content in slots:
        if content != _EMPTY:
            slot = np.int64(((content >> _SYMBOL_BITS) * _MULTIPLIER) >> shift)
            while larger[slot] != _EMPTY:
                slot = (slot + 1) & (len(larger) - 1)
            larger[slot] = content
    return larger


@compiled
def _frequent_sum(counts: npt.NDArray[np.int32], repeated_types: int, types: int) -> int:
    """The sum of the √types highest counts, those above 1 only (BigScience's repetition, as in HojiChar)."""
    wanted = min(int(np.sqrt(types)), repeated_types)
    highest = 0
    for count in counts:
        highest = max(highest, count)
    how_many = np.zeros(highest + 1, dtype=np.int64)
    for count in counts:
        how_many[count] += 1
    total = 0
    for count in range(highest, 1, -1):
        taken = min(wanted, how_many[count])
        total += taken * count
        wanted -= taken
    return total
