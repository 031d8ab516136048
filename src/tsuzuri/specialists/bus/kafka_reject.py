"""What a queue over Kafka does with a record that can't be worked off, whichever kind of group it is in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from tsuzuri.core.errors import InputError
from tsuzuri.specialists.bus.base import BusFull, Record, Work
from tsuzuri.specialists.bus.callbacks import LOG
from tsuzuri.specialists.bus.client import Client
from tsuzuri.specialists.dead_letters import dead_letter
from tsuzuri.specialists.topics import Topics

Send = Callable[[Record, Callable[[Record, BaseException | None], None]], None]

REJECT_AGAIN_S = 1.0
CUT_BYTES = 65_536
"""Of a record that is too large to be put aside whole: a broker that takes any size had it."""


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
        """It becomes a dead letter (its beginning, where it is larger than records may be), and is
        acknowledged once that is stored."""
        topic, record = Topics(self._client.config.prefix).dead_letters, work.record
        letter = dead_letter(record, topic=topic, group=self._group, reason=reason, message=message)
        try:
            self._send(letter, partial(self._rejected, work))
        except InputError:
            whole = record.value or b""
            if len(whole) <= CUT_BYTES:
                raise
            message = f"the first {CUT_BYTES:,} of {len(whole):,} bytes: {message}"
            cut = replace(record, value=whole[:CUT_BYTES])
            self.reject(replace(work, record=cut), reason=reason, message=message)
        except BusFull as error:
            self._rejected(work, letter, error)

    def _rejected(self, work: Work, _: Record, error: BaseException | None) -> None:
        if error is None:
            self.ack(work)
        else:
            LOG.warning("a dead letter could not be stored: %s", error)
            self.release(work, delay_s=REJECT_AGAIN_S)
