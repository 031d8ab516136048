"""Which faults come when: drawn from a seed alone, so that a run that failed can be run again."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from specialists.faults.house import RealHouse
from specialists.faults.nemeses import STRIKES
from tsuzuri.specialists.bus.base import BusDown

SOAK = (
    "kill worker",
    "pause worker",
    "kill broker",
    "pause broker",
    "slow link",
    "cut link",
    "half-open link",
    "trickling link",
    "duplicates",
    "poison records",
    "join and leave",
)
"""Of a soak: all that leave the gateway running, whose memory is watched."""
LASTS_S = {"pause worker": (2.0, 15.0), "pause broker": (1.0, 8.0), "half-open link": (1.0, 8.0)}
"""Others last as long as SHORT_S."""
SHORT_S = (1.0, 4.0)
CALM_S = (4.0, 10.0)
"""Between two."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault."""

    after_s: float
    """After the one before is over."""
    name: str
    lasts_s: float
    seed: int
    """Of what it draws itself: whom it meets, say."""


def plan(
    seed: int, seconds: float, names: Sequence[str] = SOAK, *, calm_s: tuple[float, float] = CALM_S
) -> list[Planned]:
    """Faults for about so long, each kind as often as the others; the same for the same seed."""
    drawn, found, deck, total_s = random.Random(seed), list[Planned](), list[str](), 0.0
    while True:
        if not deck:
            deck = list(names)
            drawn.shuffle(deck)
        name = deck.pop()
        one = Planned(
            drawn.uniform(*calm_s),
            name,
            drawn.uniform(*LASTS_S.get(name, SHORT_S)),
            drawn.randrange(2**32),
        )
        total_s += one.after_s + one.lasts_s
        if total_s > seconds:
            return found
        found.append(one)


def carry_out(house: RealHouse, faults: Sequence[Planned], *, until_s: float = float("inf")) -> None:
    """One after the other, none after `until_s` of `time.monotonic()`."""
    for one in faults:
        time.sleep(one.after_s)
        if time.monotonic() > until_s:
            return
        with suppress(BusDown):  # the broker is still away: who strikes over the bus can't
            STRIKES[one.name](house, random.Random(one.seed), one.lasts_s)
