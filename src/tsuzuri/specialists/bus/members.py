"""Who of a group reads which partitions, where the members settle that among themselves.

Each member says over and over, in one partition that all of them read, that it lives and what it has. What
follows from these words follows from their order alone, which is the same for everybody; no reader's clock
has a say:

    gone     who said nothing while another member ticked `MISSED` times. A tick is said at most once in
             `TICK_S` by the clock of whoever says it, and never before the one before is stored: a broker
             that pauses, or a reader that is slow, is nobody's death
    owner    partitions are shared out evenly among the living by rendezvous hashing (Thaler and
             Ravishankar, 1998), with a quota for each, so that few of them move when somebody comes or goes
    begin    an owner reads a partition once no other that lives says that it has it
    lent     who gives a partition up works off what it has out of it; it says which records these are, the
             next reader leaves them alone, and gives them only if the lender goes before it is done

Two may believe in the same partition for a moment (one was slow and counted as gone, one read a word
before the other did): both are given its records, and what happens twice does not matter at either end. That
nothing is lost does not rest on any of this; see `kafka_assign`.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

import msgspec

from tsuzuri.specialists.bus.base import Place, Position

TICK_S = 0.5
MISSED = 5
"""Ticks of one member, without a word of another in between, after which that one is gone: 2 to 2.5 s."""
REMEMBERED = 256
"""Members that have gone whose last words are still known."""


class Word(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a member says of itself."""

    tick: int
    """How often it has ticked. What is said in between, because something is new, is no tick."""
    topics: tuple[str, ...] = ()
    """Of which it wants its part; none: it is about to go."""
    has: tuple[Place, ...] = ()
    """What it reads."""
    lent: tuple[Position, ...] = ()
    """What it works off of partitions that it has given up."""
    is_last: bool = False
    """It leaves with this word; what it has lent is not done."""


class Members:
    """The members of a group as the words that were heard so far say."""

    def __init__(self) -> None:
        self.living: dict[str, Word] = {}
        """By name, its last word."""
        self._gone: OrderedDict[str, Word] = OrderedDict()
        self._heard: dict[str, dict[str, int]] = {}
        """Of each that lives, how often the others had ticked when it was heard last."""

    def hear(self, name: str, word: Word) -> None:
        """The next word, in the order in which they are stored."""
        if word.is_last:
            self._go(name, word)
            return
        self._gone.pop(name, None)
        self.living[name] = word
        self._heard[name] = {other: said.tick for other, said in self.living.items()}
        for other in [other for other in self.living if other != name]:
            if word.tick - self._heard[other].setdefault(name, word.tick) >= MISSED:
                self._go(other, self.living[other])

    def _go(self, name: str, word: Word) -> None:
        self.living.pop(name, None)
        self._heard.pop(name, None)
        self._gone[name] = word
        while len(self._gone) > REMEMBERED:
            self._gone.popitem(last=False)

    def owners(self, topic: str, partitions: int) -> Sequence[str]:
        """Of each partition of a topic; nobody's where no member wants any."""
        return allot(topic, partitions, tuple(sorted(n for n, w in self.living.items() if topic in w.topics)))

    def moves(
        self, name: str, partitions: Mapping[str, int], has: Collection[Place]
    ) -> tuple[set[Place], set[Place]]:
        """What a member that has some partitions gives up, and what it begins with, given how many each topic
        has. It keeps what nobody wants."""
        owners = {
            (topic, number): owner
            for topic, count in partitions.items()
            for number, owner in enumerate(self.owners(topic, count))
        }
        ours = {place for place, owner in owners.items() if owner == name}
        taken = {place for other, word in self.living.items() if other != name for place in word.has}
        return {place for place in has if owners.get(place, name) != name}, ours - set(has) - taken

    def lent(self, name: str) -> dict[Position, str]:
        """What others than `name` work off of partitions that they have given up, and who does."""
        return {at: other for other, word in self.living.items() if other != name for at in word.lent}

    def is_left(self, lender: str, position: Position) -> bool:
        """Whether who had lent something went before it was done."""
        if lender in self.living:
            return False
        return lender not in self._gone or position in self._gone[lender].lent


@lru_cache(maxsize=256)
def allot(topic: str, partitions: int, names: tuple[str, ...]) -> tuple[str, ...]:
    """A name for each partition; every name gets as many as any other, or one more."""
    if not names:
        return ()
    least, more = divmod(partitions, len(names))
    counts = dict.fromkeys(names, 0)
    owners: dict[int, str] = {}
    for _, name, partition in sorted(_scores(topic, partitions, names)):
        if partition in owners or counts[name] >= least + (more > 0):
            continue
        more -= counts[name] == least
        counts[name] += 1
        owners[partition] = name
    return tuple(owners[partition] for partition in range(partitions))


def _scores(topic: str, partitions: int, names: Iterable[str]) -> Iterator[tuple[bytes, str, int]]:
    for name in names:
        for partition in range(partitions):
            drawn = hashlib.blake2b(f"{topic} {partition} {name}".encode(), digest_size=8).digest()
            yield drawn, name, partition
