"""What time it is where a deadline was set: clocks of two machines may be minutes apart.

What arrives is older than it was when it was sent: the least of `here − there` over the last messages is how
much this clock is ahead of the other, and a little of the way. So nothing is judged too early. Whose clock
it is says the sender's name, not the partition for its answer: that may be another's by tomorrow.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

from tsuzuri.specialists.messages import now_ms

KEPT = 64
"""Of the last messages."""
MOST_NAMES = 256


class Clocks:
    """Those of gateways, by name. For one event loop."""

    def __init__(self, now: Callable[[], int] = now_ms) -> None:
        self._now = now
        self._ahead_ms: dict[str, deque[int]] = {}

    def heard(self, name: str, sent_ms: int) -> None:
        """Something came that was sent then, by its sender's clock."""
        if sent_ms and name:
            self._ahead_ms.setdefault(name, deque(maxlen=KEPT)).append(self._now() - sent_ms)
            if len(self._ahead_ms) > MOST_NAMES:
                del self._ahead_ms[next(iter(self._ahead_ms))]

    def ahead_ms(self, name: str, sent_ms: int = 0) -> int:
        """How much this clock is ahead of theirs; of somebody unheard, by this one message of theirs."""
        return min(self._ahead_ms.get(name, ()), default=self._now() - sent_ms if sent_ms else 0)

    def age_s(self, name: str, sent_ms: int) -> float:
        """How long ago something was sent at a moment of another's clock; inf where that one is unheard."""
        return (self._now() - sent_ms - min(self._ahead_ms.get(name, ()), default=-math.inf)) / 1000

    def deadline(self, deadline_ms: int, name: str, sent_ms: int = 0) -> float | None:
        """`time.monotonic()` at a moment of another's clock; None for 0."""
        if not deadline_ms:
            return None
        left_ms = deadline_ms + self.ahead_ms(name, sent_ms) - self._now()
        return time.monotonic() + left_ms / 1000
