"""Records that nobody could work off: their own bytes, with what is known of them in headers beside.

The topic keeps them for thirty days. To drop or to replay one leaves a mark of it behind, a record without
a value under the letter's own place: what was marked is shown no more, by whomever.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from tsuzuri.core.errors import InputError, closest
from tsuzuri.specialists.bus.base import Bus, BusDown, Record
from tsuzuri.specialists.messages import HEADERS, now_ms

TOPIC, PARTITION, OFFSET, APPENDED, GROUP, REASON, MESSAGE, DEATHS = (
    f"x-tsuzuri-dead-{word}"
    for word in ("topic", "partition", "offset", "appended", "group", "reason", "message", "deaths")
)
MARK = "x-tsuzuri-dead-mark"
"""Header of a mark: the place of a letter that is done with."""
MESSAGE_CHARACTERS = 2000
DEADLINE, SENT, SENDER = (HEADERS[name][0] for name in ("deadline_ms", "sent_ms", "sender"))


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be worked off."""

    place: str
    """`partition-offset` among the dead letters: its name."""
    record: Record
    """As it was, its own topic, partition and offset included."""
    reason: str
    """A word."""
    message: str
    group: str
    deaths: int
    """Workers that ended while they had it."""
    died_ms: int
    """Unix time."""


def dead_letter(
    record: Record, *, topic: str, group: str, reason: str, message: str = "", deaths: int = 0
) -> Record:
    """What is to be sent to the topic of dead letters for a record."""
    said = {
        TOPIC: record.topic,
        PARTITION: str(record.partition),
        OFFSET: str(record.offset),
        APPENDED: str(record.appended_ms),
        GROUP: group,
        REASON: reason,
        MESSAGE: message[:MESSAGE_CHARACTERS],
        DEATHS: str(deaths),
    }
    own = tuple(item for item in record.headers if item[0] not in said)  # one that died before
    headers = (*own, *((name, word.encode("utf-8", "replace")) for name, word in said.items()))
    return Record(topic, value=record.value, key=record.key, headers=headers)


def list_letters(bus: Bus, topic: str, *, timeout_s: float = 30.0) -> list[DeadLetter]:
    """All that are not done with, the oldest first; BusDown where they could not be read in time."""
    records: list[Record] = []
    reading = bus.follow(topic, records.extend, begin="beginning")
    try:
        if not reading.wait(timeout_s):
            raise BusDown(f"the dead letters could not all be read within {timeout_s:.0f} s")
        found = list(records)
    finally:
        reading.close()
    marked = {
        content.decode("ascii", "replace") for record in found for content in [_mark(record)] if content
    }
    letters = [_read(record) for record in found if not _mark(record)]
    return sorted(
        (letter for letter in letters if letter.place not in marked),
        key=lambda letter: (letter.died_ms, letter.place),
    )


def show_letter(bus: Bus, topic: str, place: str) -> DeadLetter:
    """The letter of a name; InputError where there is none, or it is done with."""
    letters = {letter.place: letter for letter in list_letters(bus, topic)}
    if place not in letters:
        raise InputError(
            f"there is no dead letter {place!r}{closest(place, letters)}", hint="tsuzuri specialists dlq list"
        )
    return letters[place]


def replay_letters(
    bus: Bus, topic: str, letters: Sequence[DeadLetter], *, read: Collection[str], timeout_s: float = 30.0
) -> int:
    """Send each to where it came from, then mark it as done with; how many were sent. A request has as long
    again as it had at first; whoever asked and no longer waits is not told. InputError once the others are
    sent, where the topic of some is none of those that are `read`."""
    there = [letter for letter in letters if letter.record.topic in read]
    _send(bus, [_afresh(letter.record) for letter in there], timeout_s)
    drop_letters(bus, topic, there, timeout_s=timeout_s)
    gone = [letter for letter in letters if letter.record.topic not in read]
    if gone:
        places = " ".join(letter.place for letter in gone)
        raise InputError(
            f"{len(there)} were sent again; {len(gone)} came from topics that nobody reads any more "
            f"({', '.join(sorted({letter.record.topic for letter in gone}))})",
            hint=f"tsuzuri specialists dlq drop {places}",
        )
    return len(there)


def drop_letters(bus: Bus, topic: str, letters: Sequence[DeadLetter], *, timeout_s: float = 30.0) -> int:
    """Mark each as done with; how many there were."""
    marks = [
        Record(
            topic,
            key=b"mark",
            headers=((MARK, letter.place.encode()),),
            partition=int(letter.place.partition("-")[0]),
        )
        for letter in letters
    ]
    _send(bus, marks, timeout_s)
    return len(letters)


def _send(bus: Bus, records: Sequence[Record], timeout_s: float) -> None:
    """Send records and wait until they are stored; BusDown where one is not."""
    left, done, errors = len(records), threading.Event(), []

    def stored(_: Record, error: BaseException | None) -> None:
        nonlocal left
        left -= 1
        if error is not None:
            errors.append(error)
        if not left:
            done.set()

    for record in records:
        bus.send(record, stored)
    if records and not done.wait(timeout_s):
        raise BusDown(f"no broker took {len(records)} records within {timeout_s:.0f} s")
    if errors:
        raise errors[0]


def _afresh(record: Record) -> Record:
    """A record to be sent again, by the clock of whoever does so: a deadline that it has is as far off as
    when it was sent first."""
    headers = dict(record.headers)
    headers.pop(SENDER, None)
    deadline, sent = headers.get(DEADLINE, b""), headers.get(SENT, b"")
    if deadline.isdigit() and sent.isdigit():
        now = now_ms()
        headers[DEADLINE] = b"%d" % (now + max(0, int(deadline) - int(sent)))
        headers[SENT] = b"%d" % now
    return replace(record, headers=tuple(headers.items()), partition=-1, offset=-1)


def _mark(record: Record) -> bytes:
    return dict(record.headers).get(MARK, b"")


def _read(record: Record) -> DeadLetter:
    """A letter from its record, whoever wrote it: what is missing or no number is 0 or empty."""
    said = {name: content.decode("utf-8", "replace") for name, content in record.headers}

    def number(name: str, otherwise: int = 0) -> int:
        word = said.get(name, "")
        return int(word) if word.removeprefix("-").isdecimal() else otherwise

    ours = {TOPIC, PARTITION, OFFSET, APPENDED, GROUP, REASON, MESSAGE, DEATHS}
    original = Record(
        said.get(TOPIC, ""),
        value=record.value,
        key=record.key,
        headers=tuple(item for item in record.headers if item[0] not in ours),
        partition=number(PARTITION, -1),
        offset=number(OFFSET, -1),
        appended_ms=number(APPENDED),
    )
    return DeadLetter(
        place=f"{record.partition}-{record.offset}",
        record=original,
        reason=said.get(REASON, "unknown"),
        message=said.get(MESSAGE, ""),
        group=said.get(GROUP, ""),
        deaths=number(DEATHS),
        died_ms=record.appended_ms,
    )
