"""Interpolated modified Kneser-Ney over characters: what counting alone makes of a text.

Chen and Goodman 1998 ("An Empirical Study of Smoothing Techniques for Language Modeling", §4.1.6 and eq.
26), after Kneser and Ney 1995: three discounts an order, estimated from the counts of counts; orders below
the highest count how many different characters come before an n-gram. Where a text is too small for the
estimate (a count of counts is 0, or nothing would be taken) they are 0.5, 1 and 1.5, KenLM's fallback.

Every document is opened by order − 1 end symbols and closed by one, which is predicted too, so that all
documents together are a proper distribution over texts. The vocabulary is open: below the unigrams lies a
uniform share, 1 / 1,112,065, for every Unicode scalar value and the end symbol. A character never seen
costs that times the unigrams' weight of new ones.

An n-gram's number is that of its prefix with a character: `np.unique` of (prefix, character) pairs, one
order after the other, in about 100 bytes a training character.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

END = 0x110000
"""The symbol that closes a document: one above Unicode's last."""
OUTCOMES = 0x110000 - 0x800 + 1
"""Unicode scalar values (surrogates are none) and the end symbol."""
FALLBACK_DISCOUNTS = (0.0, 0.5, 1.0, 1.5)


@dataclass(frozen=True)
class Level:
    """The n-grams of one length, in the order of their keys."""

    keys: Integers
    """(n,) prefix's number · radix + character."""
    probabilities: npt.NDArray[np.float32]
    """(n,) the discounted share of its context's count."""
    backoff: npt.NDArray[np.float32]
    """(contexts,) weight of the next shorter n-grams after each context; 1 after one never followed."""


class KneserNey:
    """A model of characters, counted from texts."""

    def __init__(self, texts: Iterable[str], order: int = 5) -> None:
        self.order = order
        codes, predicted = _stream(texts, order)
        alphabet = np.unique(codes)
        self.radix = len(alphabet) + 1
        self.character_ids = np.full(END + 1, len(alphabet), np.int32)
        """Of every code point; the last number is that of all unseen ones."""
        self.character_ids[alphabet] = np.arange(len(alphabet), dtype=np.int32)
        self.levels = _count(self.character_ids[codes], predicted, order, self.radix)

    def bits(self, texts: Iterable[str]) -> tuple[float, int]:
        """−Σ log2 p of the texts with their ends, and their characters, the ends not counted."""
        texts = list(texts)
        codes, predicted = _stream(texts, self.order)
        found = self.probabilities(self.character_ids[codes])[predicted]
        return float(-np.log2(found).sum()), sum(map(len, texts))

    def probabilities(self, ids: Integers) -> Floats:
        """(n,) p of each character (by its number) of a stream after the order − 1 before it."""
        result = np.full(len(ids), 1 / OUTCOMES)
        contexts = np.zeros(len(ids), np.int64)  # the empty one
        for level in self.levels:
            keys = contexts * self.radix + ids
            places = np.searchsorted(level.keys, keys).clip(max=len(level.keys) - 1)
            seen = (contexts >= 0) & (level.keys[places] == keys)
            backoff = np.where(contexts >= 0, level.backoff[contexts], 1.0)
            result = np.where(seen, level.probabilities[places], 0.0) + backoff * result
            contexts = _before(np.where(seen, places, -1))
        return result


def bits_per_character(train_texts: Iterable[str], heldout_texts: Iterable[str], order: int = 5) -> float:
    """Bits a character of the held-out texts, their ends included, after counting the training texts."""
    bits, characters = KneserNey(train_texts, order).bits(heldout_texts)
    return bits / characters


def _stream(texts: Iterable[str], order: int) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """Code points of all texts, each opened and closed, and which of them are predicted."""
    opening = np.full(order - 1, END, np.uint32)
    parts, lengths = [], []
    for text in texts:
        parts += [opening, np.frombuffer(text.encode("utf-32-le"), np.uint32), np.array([END], np.uint32)]
        lengths.append(len(text) + order)
    predicted = np.ones(sum(lengths), np.bool_)
    starts = np.cumsum([0, *lengths[:-1]])
    for place in range(order - 1):
        predicted[starts + place] = False
    return np.concatenate(parts), predicted


def _count(ids: Integers, predicted: npt.NDArray[np.bool_], order: int, radix: int) -> list[Level]:
    """The levels of all lengths up to `order`."""
    grams = np.zeros(len(ids), np.int32)  # of length 0: one, empty
    keys_of, suffix_of = [], []
    for _ in range(order):
        keys, numbers = np.unique(_before(grams).astype(np.int64) * radix + ids, return_inverse=True)
        suffixes = np.empty(len(keys), np.int32)
        suffixes[numbers] = grams
        grams = numbers.astype(np.int32)
        keys_of.append(keys)
        suffix_of.append(suffixes)
    counts = np.bincount(grams[predicted], minlength=len(keys_of[-1]))
    levels = []
    for length in reversed(range(order)):
        contexts = len(keys_of[length - 1]) if length else 1
        levels.append(_discount(keys_of[length], counts, contexts, radix))
        if length:  # how many different characters come before each shorter n-gram
            counts = np.bincount(suffix_of[length][counts > 0], minlength=contexts)
    return levels[::-1]


def _discount(keys: Integers, counts: Integers, contexts: int, radix: int) -> Level:
    discounts = _discounts(counts)[np.minimum(counts, 3)]
    prefixes = keys // radix
    totals = np.bincount(prefixes, weights=counts, minlength=contexts)
    freed = np.bincount(prefixes, weights=discounts, minlength=contexts)
    followed = totals > 0
    backoff = np.divide(freed, totals, out=np.ones(contexts), where=followed)
    kept = counts - discounts
    shares = np.divide(kept, totals[prefixes], out=np.zeros(len(keys)), where=followed[prefixes])
    return Level(keys, shares.astype(np.float32), backoff.astype(np.float32))


def _discounts(counts: Integers) -> Floats:
    """What is taken from counts of 0, 1, 2 and more (Chen and Goodman, eq. 26)."""
    one, two, three, four = (int((counts == count).sum()) for count in (1, 2, 3, 4))
    if not (one and two and three and four):
        return np.array(FALLBACK_DISCOUNTS)
    share = one / (one + 2 * two)
    found = [
        0.0,
        1 - 2 * share * two / one,
        2 - 3 * share * three / two,
        3 - 4 * share * four / three,
    ]
    if min(found[1:]) <= 0:  # nothing would be left for what never followed
        return np.array(FALLBACK_DISCOUNTS)
    return np.minimum(found, (0.0, 1.0, 2.0, 3.0))


def _before(values: npt.NDArray[np.int32] | Integers) -> npt.NDArray[np.int32] | Integers:
    """Each place's value at the place before it; the first place, which opens a document, gets 0."""
    return np.concatenate((values[:1] * 0, values[:-1]))
