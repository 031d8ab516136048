"""How likely a text is to a domain, by an n-gram model of characters made in seconds. Imports no torch.

Interpolated absolute discounting (Ney, Essen and Kneser 1994) of orders 1 to `ORDER`, over the texts of one
domain alone, so that a specialist comes and goes without the others. What deviates: lower orders have plain
counts, not those of distinct contexts (Kneser-Ney), which a comparison of domains does not feel; n-grams from
order 3 on that occur once are left out, and their share goes to the order below.

A model is a table of numbers of n-grams (32 of their 64 bits: a wrong hit in 20,000) with what each adds to
the probability, and one of contexts with the share that they leave to the order below.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tsuzuri.core.compiled import compiled
from tsuzuri.core.errors import InputError
from tsuzuri.specialists.routing.arrays import read_arrays, write_arrays
from tsuzuri.specialists.routing.grams import OPENING, Codes, Keys, gram_keys, prepared

ORDER = 5
ONCE_FROM = 3
"""From this order on, n-grams that occur once are left out."""
MOST_CHARACTERS = 2_000_000
"""Of a domain's texts: 200 MB of memory, a few seconds."""
MOST_OF_A_TEXT = 8192
"""A domain is many texts and not one book."""
UNSEEN = 1 / 50_000
"""Probability, in the order below the first, of every character."""

ARRAYS = [f"{table}_{part}" for table in ("grams", "contexts") for part in ("keys", "values", "bounds")]

Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]
Short = npt.NDArray[np.uint32]
Searched = tuple[Short, Floats, Places]
"""Keys, values, and where to look (`_indexed`)."""


@dataclass(frozen=True)
class Table:
    """Numbers, sorted within each order, and a value each."""

    keys: Short
    values: Floats
    bounds: Places
    """(ORDER + 1,): where each order begins."""


@dataclass(frozen=True)
class NGramModel:
    """A domain, as far as five characters tell."""

    grams: Table
    """What an n-gram adds: (count - discount) / count of its context."""
    contexts: Table
    """What a context leaves to the order below; one that is not there leaves everything."""
    _searched: tuple[Searched, Searched] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_searched", (_indexed(self.grams), _indexed(self.contexts)))

    def nats(self, numbers: Keys) -> float:
        """-log p of characters, from `numbers_of` them."""
        return float(_nats(numbers, *self._searched))

    def save(self, path: Path) -> None:
        """Write a `.npz` of a few MB."""
        tables = (self.grams, self.contexts)
        arrays = [array for table in tables for array in (table.keys, table.values, table.bounds)]
        write_arrays(path, **dict(zip(ARRAYS, arrays, strict=True)))

    @classmethod
    def load(cls, path: Path) -> NGramModel:
        """What `save` wrote; IntegrityError where it is something else."""
        arrays = read_arrays(path, ARRAYS)
        return cls(Table(*arrays[:3]), Table(*arrays[3:]))


def numbers_of(codes: Codes) -> Keys:
    """(ORDER, characters): the numbers of the n-grams of `prepared` characters, by the place of their end."""
    numbers = np.empty((ORDER, len(codes)), np.uint64)
    for order in range(ORDER):
        gram_keys(codes, order + 1, numbers[order])
    return numbers


def train_ngrams(texts: Iterable[str], *, most_characters: int = MOST_CHARACTERS) -> NGramModel:
    """The model of a domain's texts, of which as many as `most_characters` are read; InputError for none."""
    parts: list[Codes] = []
    room = most_characters
    for text in texts:
        parts.append(prepared(text, min(room, MOST_OF_A_TEXT)))
        room -= len(parts[-1]) - 1
        if room <= 0:
            break
    codes = np.concatenate([*parts, np.empty(0, np.uint32)])
    if len(codes) == len(parts):
        raise InputError("no texts to learn a domain from")
    grams, contexts = [], []
    before: npt.NDArray[np.uint64] = np.empty(len(codes), np.uint64)
    for order in range(1, ORDER + 1):
        keys = np.empty(len(codes), np.uint64)
        gram_keys(codes, order, keys)
        whole = keys != 0
        whole &= codes != OPENING  # nothing predicts it
        context = np.zeros(len(codes), np.uint64)
        if order > 1:
            context[1:] = before[:-1]
        of_order = _discounted(keys[whole], context[whole], least=2 if order >= ONCE_FROM else 1)
        grams.append(of_order[:2])
        contexts.append(of_order[2:])
        before = keys
    return NGramModel(_table(grams), _table(contexts))


def _discounted(
    keys: npt.NDArray[np.uint64], contexts: npt.NDArray[np.uint64], *, least: int
) -> tuple[npt.NDArray[np.uint64], Floats, npt.NDArray[np.uint64], Floats]:
    """n-grams that occur `least` times, what each adds; contexts, what each leaves."""
    grams, firsts, counts = np.unique(keys, return_index=True, return_counts=True)
    of_gram = contexts[firsts]
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    discount = once / (once + 2 * twice) if once and twice else 0.5
    wholes, places = np.unique(of_gram, return_inverse=True)
    totals = np.bincount(places, counts, len(wholes))
    kept = counts >= least
    adds = ((counts - discount) / totals[places])[kept]
    leaves = 1 - np.bincount(places[kept], adds, len(wholes))
    is_met = np.bincount(places[kept], minlength=len(wholes)) > 0
    return (
        grams[kept],
        adds.astype(np.float32),
        wholes[is_met],
        leaves[is_met].clip(1e-6).astype(np.float32),
    )


def _table(orders: list[tuple[npt.NDArray[np.uint64], Floats]]) -> Table:
    """All orders' tables in one, by the high halves of the numbers; of two with one half, the first."""
    keys, values = [], []
    for numbers, weights in orders:
        halves, firsts = np.unique((numbers >> np.uint64(32)).astype(np.uint32), return_index=True)
        keys.append(halves)
        values.append(weights[firsts])
    bounds = np.cumsum([0, *map(len, keys)])
    return Table(np.concatenate(keys), np.concatenate(values), bounds.astype(np.int64))


def _indexed(table: Table) -> Searched:
    """The table with (ORDER, 2^16 + 1), where the numbers begin that have the same first 16 bits."""
    starts = np.empty((len(table.bounds) - 1, (1 << 16) + 1), np.int64)
    firsts = np.arange((1 << 16) + 1, dtype=np.uint64) << np.uint64(16)
    for order in range(len(starts)):
        low, high = table.bounds[order], table.bounds[order + 1]
        starts[order] = low + np.searchsorted(table.keys[low:high].astype(np.uint64), firsts)
    return table.keys, table.values, starts


@compiled
def _nats(numbers: Keys, grams: Searched, contexts: Searched) -> float:
    nats = 0.0
    for place in range(1, numbers.shape[1]):
        chance = UNSEEN
        for order in range(min(len(numbers), place + 1)):
            context = numbers[order - 1, place - 1] if order else np.uint64(0)
            at = _find(contexts, order, context)
            if at < 0:
                break  # nor is a longer one there
            chance *= contexts[1][at]
            at = _find(grams, order, numbers[order, place])
            if at >= 0:
                chance += grams[1][at]
        nats -= np.log(chance)
    return nats


@compiled
def _find(table: Searched, order: int, number: np.uint64) -> int:
    """Where a number stands in the table of an order, -1 where it does not."""
    half = np.uint32(number >> np.uint64(32))
    first = np.int64(half >> np.uint32(16))
    for at in range(table[2][order, first], table[2][order, first + 1]):
        if table[0][at] == half:
            return at
    return -1
