"""Whoever overhears the bus: whether workers go on writing what nobody wants any more."""

from __future__ import annotations

import time
from collections.abc import Sequence

from specialists.faults.history import History
from tsuzuri.specialists.bus.base import Bus, Record
from tsuzuri.specialists.messages import Cancel, Delta, Malformed, decode
from tsuzuri.specialists.topics import Topics

EVERY = 1 << 31
"""Attempts of a request, where it is withdrawn as a whole."""


class Witness:
    """Notes in the history each part with text that was written after its request was withdrawn."""

    def __init__(self, bus: Bus, topics: Topics, history: History) -> None:
        self._history = history
        self._withdrawn: dict[str, tuple[int, float]] = {}
        """By id: up to which attempt, and when."""
        self._following = [bus.follow(topics.control, self._take), bus.follow(topics.replies, self._take)]

    def close(self) -> None:
        """Overhear nothing more."""
        for one in self._following:
            one.close()

    def _take(self, records: Sequence[Record]) -> None:
        """On a thread of the bus."""
        now = time.monotonic()
        for record in records:
            try:
                envelope = decode(record.value, record.headers)
            except Malformed:
                continue
            body = envelope.body
            if isinstance(body, Cancel):
                attempts = body.attempts or (EVERY,) * len(body.ids)
                for id, attempt in zip(body.ids, attempts, strict=True):
                    self._withdrawn.setdefault(id, (attempt, now))
            elif isinstance(body, Delta) and body.text and envelope.id in self._withdrawn:
                attempt, since = self._withdrawn[envelope.id]
                if envelope.attempt <= attempt:
                    self._history.note(
                        "wrote_on", id=envelope.id, worker=envelope.worker, after_s=round(now - since, 3)
                    )
