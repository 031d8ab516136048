"""How much of a text stands in words of a list: by rate, not by presence.

Aho and Corasick (CACM 1975) over code points, every occurrence found in one pass, its transitions in one
table keyed by (state, character). An occurrence counts where the word could stand by itself: an end of
katakana, Latin letters or digits has no more of the same beside it (アス is not in アスパラガス), and a word
that is one kanji stands between no other kanji. Hiragana has no such rule, since particles and endings follow
a word directly. No list comes with the package: those around have no clear license.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tsuzuri.core.compiled import compiled
from tsuzuri.core.errors import InputError
from tsuzuri.corpus.quality.characters import CodePoints, character_table
from tsuzuri.corpus.quality.config import NgWordsConfig

MAX_STATES = 1 << 22
_SYMBOL_BITS = np.uint64(21)
_STATE_BITS = np.uint64(22)
_STATE_MASK = np.uint64((1 << 22) - 1)
_EMPTY = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_MULTIPLIER = np.uint64(0x9E37_79B9_7F4A_7C15)
_KINDS_ASKED = ("katakana_script", "latin_script", "digit_script", "kanji_script")
_RUNS, _KANJI = 0b0111, 0b1000  # by their bits


@dataclass(frozen=True)
class Matches:
    """What of a text is in the list."""

    hits: int
    """Occurrences, overlapping ones too."""
    letters: int
    """Characters that stand in at least one of them."""


class NgWords:
    """A list of words, ready to be looked for."""

    def __init__(self, words: list[str]) -> None:
        children: list[dict[int, int]] = [{}]
        lengths = [0]
        for word in words:
            state = 0
            for point in map(ord, word):
                following = children[state].get(point)
                if following is None:
                    following = len(children)
                    children[state][point] = following
                    children.append({})
                    lengths.append(0)
                state = following
            lengths[state] = len(word)
        if len(children) > MAX_STATES:
            raise InputError(f"{len(words)} words are more than can be looked for at once")
        fails, shorter = _links(children, lengths)
        self._fails = np.array(fails, dtype=np.int32)
        self._shorter = np.array(shorter, dtype=np.int32)
        self._word_lengths = np.array(lengths, dtype=np.int32)
        edges = [(state, point, to) for state, row in enumerate(children) for point, to in row.items()]
        self._slots = _table(edges)

    @classmethod
    def read(cls, path: Path) -> NgWords:
        """The words of a UTF-8 text file, one a line; InputError where there is none."""
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"no readable list of words at {path}", hint="a UTF-8 text file, one word a line"
            ) from error
        words = [word for line in lines if (word := line.partition("#")[0].strip())]
        if not words:
            raise InputError(f"the list of words {path} is empty", hint="one word a line; # opens a comment")
        return cls(words)

    def find(self, points: CodePoints) -> Matches:
        """What of a text is in the list."""
        hits, covered = self._find(points)
        return Matches(hits, int(covered.sum()))

    def spans(self, points: CodePoints) -> list[tuple[int, int]]:
        """(start, end) of each stretch of a text that stands in the list, in order; what touches is one."""
        _, covered = self._find(points)
        edges = np.flatnonzero(np.diff(covered, prepend=False, append=False)).tolist()
        return list(zip(edges[::2], edges[1::2], strict=True))

    def _find(self, points: CodePoints) -> tuple[int, npt.NDArray[np.bool_]]:
        """(occurrences, which characters stand in one)."""
        table = character_table()
        return _find(
            points,
            (table.classes, table.bits_of(_KINDS_ASKED)),
            (self._slots, self._fails, self._shorter, self._word_lengths),
        )


def limit_broken(
    config: NgWordsConfig, matches: Matches, japanese_letters: int
) -> tuple[float, float] | None:
    """(value, limit) of the limit that a text breaks, or None; Swallow's rate is of Japanese letters."""
    rate = matches.letters / max(1, japanese_letters)
    if rate >= config.max_rate:
        return rate, config.max_rate
    if config.max_hits is not None and matches.hits > config.max_hits:
        return matches.hits, config.max_hits
    return None


def _links(children: list[dict[int, int]], lengths: list[int]) -> tuple[list[int], list[int]]:
    """(the longest proper suffix of each state that is a state, the longest such one that is a word)."""
    fails, shorter = [0] * len(children), [0] * len(children)
    queue = deque(children[0].values())
    while queue:
        state = queue.popleft()
        shorter[state] = fails[state] if lengths[fails[state]] else shorter[fails[state]]
        for point, following in children[state].items():
            suffix = fails[state]
            while suffix and point not in children[suffix]:
                suffix = fails[suffix]
            fails[following] = children[suffix].get(point, 0)
            queue.append(following)
    return fails, shorter


def _table(edges: list[tuple[int, int, int]]) -> npt.NDArray[np.uint64]:
    """Slots of (state, character) in the high 42 bits and the following state in the low 22."""
    size = 16
    while size < 4 * len(edges):
        size *= 2
    slots = np.full(size, _EMPTY, dtype=np.uint64)
    for state, point, following in edges:
        slot = int((_key(state, point) * int(_MULTIPLIER) & (2**64 - 1)) >> 40) & (size - 1)
        while slots[slot] != _EMPTY:
            slot = (slot + 1) & (size - 1)
        slots[slot] = np.uint64(_key(state, point) << 22 | following)
    return slots


def _key(state: int, point: int) -> int:
    return state << 21 | point


@compiled
def _find(
    points: CodePoints,
    characters: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint32]],
    automaton: tuple[
        npt.NDArray[np.uint64], npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32]
    ],
) -> tuple[int, npt.NDArray[np.bool_]]:
    slots, fails, shorter, lengths = automaton
    covered = np.zeros(len(points), dtype=np.bool_)
    state, hits = np.int64(0), 0
    for at in range(len(points)):
        following = _next(slots, state, points[at])
        while following < 0 and state != 0:
            state = np.int64(fails[state])
            following = _next(slots, state, points[at])
        state = max(following, np.int64(0))
        ending = state if lengths[state] else shorter[state]
        while ending != 0:
            start = at + 1 - lengths[ending]
            if _stands_alone(points, characters, start, at + 1):
                hits += 1
                covered[start : at + 1] = True
            ending = shorter[ending]
    return hits, covered


@compiled
def _next(slots: npt.NDArray[np.uint64], state: np.int64, point: np.uint32) -> np.int64:
    key = (np.uint64(state) << _SYMBOL_BITS) | np.uint64(point)
    mask = len(slots) - 1
    slot = np.int64((key * _MULTIPLIER) >> np.uint64(40)) & mask
    while slots[slot] != _EMPTY:
        if slots[slot] >> _STATE_BITS == key:
            return np.int64(slots[slot] & _STATE_MASK)
        slot = (slot + 1) & mask
    return np.int64(-1)


@compiled
def _stands_alone(
    points: CodePoints,
    characters: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint32]],
    start: int,
    end: int,
) -> bool:
    classes, kinds = characters
    sides = _RUNS | _KANJI if end - start == 1 else _RUNS
    before = kinds[classes[points[start - 1]]] if start > 0 else np.uint32(0)
    after = kinds[classes[points[end]]] if end < len(points) else np.uint32(0)
    first, last = kinds[classes[points[start]]], kinds[classes[points[end - 1]]]
    return bool((first & before & sides) == 0 and (last & after & sides) == 0)
