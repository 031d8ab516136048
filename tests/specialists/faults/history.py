"""What happened, one event a line: written by everybody who takes part in a run, judged afterwards.

    known      what an uninterrupted answer is           asked → accepted → shown … → ended | cancelled
    fault      begun, fault_over: the same number              └→ refused
    usage, held, closed, letters                               the books, read at the end
    memory     of a process                              over  everything above has been written

Times are of one monotonic clock, that of the process which writes. What the kinds hold: `KINDS`.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KINDS = {
    "known": ("key", "specialist", "text", "ends"),  # `ends[n]`: characters of it after n tokens
    "asked": ("id", "key", "tokens", "is_stream"),
    "accepted": ("id", "request_id"),
    "refused": ("id", "status", "code", "retry_after"),
    "shown": ("id", "text"),
    "ended": ("id", "how", "code", "specialist", "revision", "why", "tokens"),  # how: done, marked, cut, hung
    "cancelled": ("id",),
    "fault": ("number", "name", "target"),
    "fault_over": ("number",),
    "usage": ("request_id", "id", "outcome", "tokens"),  # `id` by the gateway's log, where that knows
    "held": ("requests", "tokens"),
    "closed": ("id", "outcome", "attempts", "specialist", "revision", "worker"),  # by the gateway's log
    "wrote_on": ("id", "worker", "after_s"),  # text of what was withdrawn, as overheard on the bus
    "letters": ("reasons",),
    "memory": ("process", "bytes"),
    "over": (),
}


@dataclass(frozen=True, slots=True)
class Event:
    """One line."""

    at_s: float
    kind: str
    values: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


class History:
    """Appends to a file, from any thread; what stands there is never changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 (closed by `close`)

    def note(self, kind: str, **values: Any) -> None:
        """Write down what has just happened."""
        assert set(values) == set(KINDS[kind]), (kind, sorted(values))
        with self._lock:
            if self._file.closed:
                return  # who is late, of a run that was given up
            line = {"at_s": round(time.monotonic(), 6), "kind": kind, **values}
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def flush(self) -> None:
        """So that others can read it."""
        with self._lock:
            self._file.flush()

    def read(self) -> list[Event]:
        """All that was noted until now."""
        self.flush()
        return list(read_history(self.path))

    def close(self) -> None:
        """Nothing more is noted."""
        with self._lock:
            self._file.close()


def read_history(path: Path) -> Iterator[Event]:
    """The events of a file; one that was cut off at its end is left out."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            if not line.endswith("\n"):
                return
            values = json.loads(line)
            yield Event(values.pop("at_s"), values.pop("kind"), values)
