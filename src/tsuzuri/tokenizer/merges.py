"""Byte pair encoding learnt over characters, with the boundary rules inside the merges.

Sennrich et al. 2016 (arXiv 1508.07909), with these deviations:

- A rule says which two neighbouring pieces may become one (`Rules`). It depends on the pieces alone, so
  encoding with the merges, without any splitting of the text, never breaks it and gives the ids that
  splitting would give.
- Characters and merges compete for the places of the vocabulary by the tokens they save: a character of n
  bytes seen c times saves c·(n-1) tokens over its bytes, a pair seen c times saves c. There is no coverage
  to choose.
- Ties go to the pair of the smaller ids (characters by code point, then pieces by age): the same text gives
  the same merges, on one thread.

The whole text lies in three int32 arrays (12 bytes a character) and every merge is a handful of array
operations on the places where its pair stands, so memory is bounded by the text, however few spaces it has.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsuzuri.tokenizer.scripts import Script, script_of

Positions = npt.NDArray[np.int32]
Keys = npt.NDArray[np.int64]

RAREST_PAIR = 2
"""A pair seen once is no evidence."""
KEY_BITS = 24
"""A pair of symbols is one integer: left << KEY_BITS | right."""


@dataclass(frozen=True)
class Rules:
    """Which two neighbours may become one piece."""

    scripts: bool
    """No piece holds two of hiragana, katakana, kanji and the rest."""
    longest_piece: int
    """In characters."""

    def kind(self, character: str) -> Script:
        """The script of a character as far as these rules look at it."""
        script = script_of(character)
        return script if self.scripts or script is Script.SINGLE else Script.REST

    def neighbours(self) -> npt.NDArray[np.bool_]:
        """A table (left kind, right kind) of what may be joined.

        Nothing is joined to the right of a piece that opens with a mark: what the mark belongs to stands
        before it, where the merge cannot see it (`ーを` would cross in コーヒーを).
        """
        allowed = np.eye(len(Script), dtype=np.bool_)
        allowed[:, Script.MARK] = True
        allowed[[Script.SINGLE, Script.MARK], :] = False
        allowed[:, Script.SINGLE] = False
        return allowed


@dataclass(frozen=True)
class Learned:
    """What the text taught: the characters that have a piece of their own, and the merges in their order."""

    characters: list[str]
    merges: list[tuple[str, str]]

    @property
    def pieces(self) -> list[str]:
        """Characters and products of merges, each once, in the order of their ids."""
        return list(dict.fromkeys([*self.characters, *(left + right for left, right in self.merges)]))


def byte_prefixes(character: str) -> list[bytes]:
    """The byte strings longer than one byte that lead to a character, itself last."""
    encoded = character.encode()
    return [encoded[:end] for end in range(2, len(encoded) + 1)]


def learn(chunks: Mapping[str, int], places: int, rules: Rules, *, through_bytes: bool) -> Learned:
    """Characters and merges that fill at most `places` of a vocabulary (fewer where the text supports fewer).

    `chunks` are texts with the number of times each is seen; no pair across two chunks is counted. With
    `through_bytes`, a character is itself reached by merges of bytes, and the pieces on the way take places.
    """
    learner = _Learner(chunks, rules, places)
    waiting = learner.characters_by_savings()
    characters: list[str] = []
    merges: list[tuple[str, str]] = []
    taken: set[bytes] = set()

    def admit(savings: int) -> None:
        while waiting and waiting[-1][0] >= savings:
            character = waiting.pop()[1]
            new = {piece for piece in _stages(character, through_bytes) if piece not in taken}
            if len(taken) + len(new) <= places:
                taken.update(new)
                characters.append(character)

    while len(taken) < places:
        pair = learner.best()
        admit(pair[0] if pair else RAREST_PAIR)
        if pair is None:
            break
        left, right = learner.spelling[pair[1]], learner.spelling[pair[2]]
        product = (left + right).encode()
        if product in taken or len(taken) < places:
            learner.merge(pair[1], pair[2])
            merges.append((left, right))
            taken.add(product)
    return Learned(characters, merges)


def _stages(character: str, through_bytes: bool) -> list[bytes]:
    """The pieces that a character needs in the vocabulary."""
    return byte_prefixes(character) if through_bytes else [character.encode()]


class _Learner:
    """The text as symbols, the pairs in it, and where each pair stands."""

    def __init__(self, chunks: Mapping[str, int], rules: Rules, places: int) -> None:
        text = "\n".join(["", *chunks, ""])  # a chunk's neighbour is the end of a line, which joins nothing
        points = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
        alphabet, symbols = np.unique(points, return_inverse=True)
        self.spelling = [chr(point) for point in alphabet.tolist()]
        self._ids = {character: index for index, character in enumerate(self.spelling)}
        self._lengths = np.ones(len(alphabet) + places, dtype=np.int16)
        self._kinds = np.zeros(len(alphabet) + places, dtype=np.int8)
        self._kinds[: len(alphabet)] = [rules.kind(character) for character in self.spelling]
        self._allowed = rules.neighbours()
        self._longest = rules.longest_piece
        self._symbols: Positions = symbols.astype(np.int32)
        self._starts: Positions = np.arange(len(points), dtype=np.int32)  # read at a piece's last place
        sizes = np.fromiter((len(chunk) + 1 for chunk in chunks), dtype=np.int64, count=len(chunks))
        seen = np.fromiter(chunks.values(), dtype=np.int32, count=len(chunks))
        self._weights: Positions = np.concatenate([[0], np.repeat(seen, sizes)]).astype(np.int32)
        self._counts: dict[int, int] = {}
        self._places: dict[int, list[Positions]] = {}
        self._queue: list[tuple[int, int]] = []
        self._add(self._starts[:-1])

    def characters_by_savings(self) -> list[tuple[int, str]]:
        """(tokens saved over the character's bytes, character), the most worthwhile last."""
        counts = np.bincount(self._symbols, weights=self._weights, minlength=len(self.spelling)).astype(
            np.int64
        )
        savings = (
            (int(count) * max(1, len(character.encode()) - 1), character)
            for count, character in zip(counts, self.spelling, strict=True)
        )
        return sorted(savings, key=lambda item: (item[0], -ord(item[1])))

    def best(self) -> tuple[int, int, int] | None:
        """(times seen, left, right) of the pair seen most often, or None when none is seen often enough."""
        while self._queue:
            negative, key = self._queue[0]
            count = self._counts.get(key, 0)
            if count == -negative and count >= RAREST_PAIR:
                return count, key >> KEY_BITS, key & ((1 << KEY_BITS) - 1)
            heapq.heappop(self._queue)
            if RAREST_PAIR <= count < -negative:  # it was seen more often before other merges
                heapq.heappush(self._queue, (-count, key))
        return None

    def merge(self, left: int, right: int) -> None:
        """Make one piece of a pair wherever it stands."""
        key = left << KEY_BITS | right
        length = int(self._lengths[left])
        at = np.unique(np.concatenate(self._places.pop(key)))
        at = at[(self._symbols[at] == left) & (self._symbols[at + length] == right)]
        if left == right:
            at = _every_second(at, length)
        inner = at + np.int32(length)
        before, product = len(self.spelling), self._product(left, right)
        old = at[:0]
        if product < before:  # reached by another merge too: count its pairs anew, those seen once included
            old = np.flatnonzero(self._symbols == product).astype(np.int32)
        self._remove(np.unique(np.concatenate([self._starts[at - 1], inner, self._starts[old - 1], old])))
        self._symbols[inner] = -1
        self._symbols[at] = product
        self._starts[at + np.int32(self._lengths[product] - 1)] = at
        self._counts.pop(key, None)
        at = np.concatenate([at, old])
        self._add(np.unique(np.concatenate([self._starts[at - 1], at])))

    def _product(self, left: int, right: int) -> int:
        spelling = self.spelling[left] + self.spelling[right]
        product = self._ids.setdefault(spelling, len(self.spelling))
        if product == len(self.spelling):
            self.spelling.append(spelling)
            self._lengths[product] = len(spelling)
            self._kinds[product] = self._kinds[left]
        return product

    def _pairs(self, at: Positions) -> tuple[Keys, npt.NDArray[np.int64], list[int], Positions]:
        """(distinct keys, times seen, where each key's positions begin, positions by key) of lawful pairs."""
        left = self._symbols[at]
        right = self._symbols[at + self._lengths[left]]
        lawful = self._allowed[self._kinds[left], self._kinds[right]]
        lawful &= self._lengths[left] + self._lengths[right] <= self._longest
        at = at[lawful]
        keys = left[lawful].astype(np.int64) << KEY_BITS | right[lawful]
        order = np.argsort(keys, kind="stable")
        keys, at = keys[order], at[order]
        first = np.flatnonzero(np.diff(keys, prepend=-1))
        if not len(first):
            return keys, keys, [], at
        counts = np.add.reduceat(self._weights[at].astype(np.int64), first)
        return keys[first], counts, [*first.tolist(), len(at)], at

    def _add(self, at: Positions) -> None:
        keys, counts, bounds, places = self._pairs(at)
        for index in np.flatnonzero(counts >= RAREST_PAIR).tolist():
            key = int(keys[index])
            count = self._counts.get(key, 0) + int(counts[index])
            self._counts[key] = count
            self._places.setdefault(key, []).append(places[bounds[index] : bounds[index + 1]])
            heapq.heappush(self._queue, (-count, key))

    def _remove(self, at: Positions) -> None:
        keys, counts, _, _ = self._pairs(at)
        for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
            if key in self._counts:
                self._counts[key] -= count


def _every_second(at: Positions, step: int) -> Positions:
    """Of overlapping places (`aaa` holds `aa` twice), those that a scan from the left would take."""
    new_run = np.diff(at, prepend=np.int32(-step - 1)) != step
    run_starts = np.flatnonzero(new_run)
    offset = np.arange(len(at)) - np.repeat(run_starts, np.diff([*run_starts.tolist(), len(at)]))
    taken: Positions = at[offset % 2 == 0]
    return taken
