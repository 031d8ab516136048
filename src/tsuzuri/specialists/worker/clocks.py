"""What time it is where a deadline was set: clocks of two machines may be minutes apart.

What arrives is older than it was when it was sent: the least of `here − there` over the last messages is how
much this clock is ahead of the other, and a little of the way. So nothing is judged too early.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from tsuzuri.specialists.messages import now_ms

KEPT = 64
"""Of the last messages."""


class Clocks:
    """Those of gateways, by any name. For one event loop."""

    def __init__(self, now: Callable[[], int] = now_ms) -> None:
        self._now = now
        self._ahead_ms: dict[str, deque[int]] = {}

    def heard(self, name: str, sent_ms: int) -> None:
        """Something came that was sent then, by its sender's clock."""
        if sent_ms:
            self._ahead_ms.setdefault(name, deque(maxlen=KEPT)).append(self._now() - sent_ms)

    def ahead_ms(self, *names: str) -> int:
        """How much this clock is ahead of that of whoever has these names."""
        found = [value for name in names for value in tuple(self._ahead_ms.get(name, ()))]
        return min(found, default=0)

    def deadline(self, deadline_ms: int, *names: str) -> float | None:
        """`time.monotonic()` at a moment of another's clock; None for 0."""
        if not deadline_ms:
            return None
        left_ms = deadline_ms + self.ahead_ms(*names) - self._now()
        return time.monotonic() + left_ms / 1000
