"""A new revision takes over step by step, and goes back by itself when it is worse. No clock, no bus in it.

What counts is what gateways report: of the new revision within the present step, of the old one (or of the
generalist, for a specialist that is new) since the rollout began. A share is surely higher where the lower
end of its 95 % interval (Wilson 1927) lies above what is allowed, and two answers speak for it; times are
compared by their median and 95 % point from twenty of each on. A step in which few ask ends too, but not one
in which the revision was asked and answered nobody.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from tsuzuri.specialists.config import RolloutConfig
from tsuzuri.specialists.messages import Report

LEAST_BAD = 2
"""Answers that went wrong, before anything is concluded from their share."""
LEAST_TIMES = 20
"""Of each revision, before they are compared."""
KEPT_TIMES = 2000
Z_95 = 1.96

Key = tuple[str, str]


@dataclass(slots=True)
class Tally:
    """What gateways saw of a revision."""

    sent: int = 0
    finished: int = 0
    failed: int = 0
    poor: int = 0
    first_token_ms: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_TIMES))

    @property
    def answers(self) -> int:
        """However they ended."""
        return self.finished + self.failed


class Rollout:
    """How far the new revision has come. `now` is any clock's, the same in every call."""

    def __init__(
        self, config: RolloutConfig, new: Key, baseline: Key, *, now: float, share: float | None = None
    ) -> None:
        """It begins with the first step, or goes on with the one of `share`."""
        self.new, self.baseline = new, baseline
        self.state: Literal["ramping", "done", "back"] = "ramping"
        self.reason = ""
        """Why it went back."""
        self._config = config
        self._step = next((at for at, item in enumerate(config.shares) if item >= (share or 0)), 0)
        self._began = self._alive_at = now
        self._new, self._old = Tally(), Tally()

    @property
    def share(self) -> float:
        """Of the specialist's requests, for the new revision."""
        return 0.0 if self.state == "back" else self._config.shares[self._step]

    def take(self, report: Report) -> None:
        """Note what a gateway saw."""
        for item in report.traffic:
            key = (item.specialist, item.revision)
            for tally in ([self._new] if key == self.new else []) + (
                [self._old] if key == self.baseline else []
            ):
                tally.sent += item.sent
                tally.finished += item.finished
                tally.failed += item.failed
                tally.poor += item.poor
                tally.first_token_ms.extend(item.first_token_ms)

    def back(self, reason: str) -> None:
        """Give everything to the old revision again."""
        self.state, self.reason = "back", reason

    def look(self, now: float, *, is_alive: bool) -> bool:
        """Decide by what is known; whether the share or the state is another than before."""
        if self.state != "ramping":
            return False
        if is_alive:
            self._alive_at = now
        elif now - self._alive_at > self._config.silent_s:
            self.back(f"none of its workers has been heard of for {self._config.silent_s:.0f} s")
            return True
        if reason := self._worse():
            self.back(reason)
            return True
        elapsed_s = now - self._began
        is_watched = elapsed_s >= self._config.watch_s and self._new.answers >= self._config.least_answers
        is_idle = elapsed_s >= max(self._config.watch_s, self._config.idle_s)
        is_silent = self._new.sent > 0 and not self._new.finished  # it was asked, and has answered nobody
        if not is_watched and (is_silent or not is_idle):
            return False
        self._step += 1
        if self._step == len(self._config.shares):
            self._step, self.state = self._step - 1, "done"
        self._began, self._new = now, Tally()
        return True

    def _worse(self) -> str:
        """In what the new revision is surely worse; nothing where it is not."""
        new, old, config = self._new, self._old, self._config
        for what, bad, was, allowed, of, of_old in (
            ("failed", new.failed, old.failed, config.errors_above, new.answers, old.answers),
            ("was empty or a loop", new.poor, old.poor, config.poor_above, new.finished, old.finished),
        ):
            before = was / of_old if of_old else 0.0
            if bad >= LEAST_BAD and lowest_share(bad, of) > before + allowed:
                return f"{bad} of {of} answers {what}, where {before:.1%} did before"
        if min(len(new.first_token_ms), len(old.first_token_ms)) < LEAST_TIMES:
            return ""
        for what, percent in (("median", 50), ("95 % point", 95)):
            now_ms, then_ms = (_percentile(item.first_token_ms, percent) for item in (new, old))
            if now_ms > then_ms * config.slower and now_ms > then_ms + config.slower_ms:
                return f"the {what} of the time to the first text is {now_ms:.0f} ms, {then_ms:.0f} ms before"
        return ""


def lowest_share(bad: int, of: int) -> float:
    """The lower end of the 95 % interval of a share (Wilson)."""
    if not of:
        return 0.0
    share, z2 = bad / of, Z_95**2
    centre = share + z2 / (2 * of)
    spread = Z_95 * math.sqrt(share * (1 - share) / of + z2 / (4 * of**2))
    return max(0.0, (centre - spread) / (1 + z2 / of))


def _percentile(values: Iterable[float], percent: float) -> float:
    return float(np.percentile(list(values), percent))
