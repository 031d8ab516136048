"""What a queue over Kafka does with a record that can't be worked off, whichever kind of group it is in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial

from tsuzuri.specialists.bus.base import BusFull, Record, Work
from tsuzuri.specialists.bus.client import LOG, Client
from tsuzuri.specialists.dead_letters import dead_letter
from tsuzuri.specialists.topics import Topics

Send = Callable[[Record, Callable[[Record, BaseException | None], None]], None]

REJECT_AGAIN_S = 1.0


class Rejecting(ABC):
    """A queue that sends dead letters."""

    def __init__(self, client: Client, send: Send, group: str) -> None:
        self._client, self._send, self._group = client, send, group

    @abstractmethod
    def ack(self, work: Work) -> None:
        """See `WorkQueue`."""

    @abstractmethod
    def release(self, work: Work, *, delay_s: float = 0.0) -> None:
        """See `WorkQueue`."""

    def reject(self, work: Work, *, reason: str, message: str = "") -> None:
        """It becomes a dead letter, and is acknowledged once that is stored."""
        topic = Topics(self._client.config.prefix).dead_letters
        letter = dead_letter(work.record, topic=topic, group=self._group, reason=reason, message=message)
        try:
            self._send(letter, partial(self._rejected, work))
        except BusFull as error:
            self._rejected(work, letter, error)

    def _rejected(self, work: Work, _: Record, error: BaseException | None) -> None:
        if error is None:
            self.ack(work)
        else:
            LOG.warning("a dead letter could not be stored: %s", error)
            self.release(work, delay_s=REJECT_AGAIN_S)
