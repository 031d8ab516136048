"""A soak: clients ask at random moments while faults come by their schedule, and the judge reads the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from specialists.faults.checker import Violation
from specialists.faults.house import RealHouse
from specialists.faults.report import report, write_report
from specialists.faults.schedule import SOAK, Planned, carry_out, plan

SAMPLE_S = 5.0
"""Between two looks at memory."""
TOKENS = 24
"""Of each answer."""
CALM_AT_END_S = 5.0
"""Without faults, so that what they left behind can be seen."""


def soak(
    house: RealHouse,
    *,
    seconds: float,
    seed: int,
    rate: float,
    names: Sequence[str] = SOAK,
    faults: Sequence[Planned] | None = None,
    about: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], list[Violation]]:
    """(report, violations); the report is written beside the history. `faults`: all of
    these, however long they take, and not those of the seed."""
    planned = plan(seed, seconds - CALM_AT_END_S, names) if faults is None else faults
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            house.note_memory()
            is_over.wait(SAMPLE_S)

    watching = threading.Thread(target=look, name="memory")
    watching.start()
    until_s = time.monotonic() + seconds
    try:
        with house.clients.load(rate=rate, seed=seed, tokens=TOKENS):
            carry_out(house, planned, until_s=until_s - CALM_AT_END_S if faults is None else float("inf"))
            time.sleep(max(CALM_AT_END_S, until_s - time.monotonic()))
    finally:
        is_over.set()
        watching.join()
    violations = house.judge()
    told = report(house.history.read(), violations, {"seed": seed, "seconds": seconds, **(about or {})})
    path: Path = write_report(house.folder, told)
    assert path.exists()
    return told, violations
