"""Processes that are kept running: what ends is started again, after a pause that grows.

They are of sessions of their own, so that Ctrl-C reaches us alone, and are killed when this process is. All
of this is for one thread, which must live as long as they do.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tsuzuri.core.processes import tied
from tsuzuri.serving import logs

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 10.0
CALM_S = 60.0
"""After which a process that runs has its past ends forgiven."""
SAID_BYTES = 4096
USER_ERROR = 2
"""The status of a command that says what its user can mend."""
GRACE_S = 20.0
"""For a child to end, beyond the time to drain that it has of its own."""


@dataclass(slots=True)
class Child:
    """One process, of which there is always one."""

    name: str
    arguments: Sequence[str]
    """Of `tsuzuri`."""
    folder: Path
    """For its log and what it prints."""
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    ends: int = 0
    """How often it has ended since it last ran for long."""
    _began: float = 0.0
    _next: float = 0.0
    _pause_s: float = FIRST_PAUSE_S
    _is_stopping: bool = False
    _kill_at: float = math.inf

    @property
    def log(self) -> Path:
        """What it writes to standard error."""
        return self.folder / f"{self.name}.log"

    @property
    def printed(self) -> Path:
        """What it writes to standard output."""
        return self.folder / f"{self.name}.out"

    @property
    def is_running(self) -> bool:
        """Now."""
        return self.process is not None and self.process.poll() is None

    def tend(self) -> int | None:
        """Start it if it is time to; the status with which it has ended, if it has just."""
        if self.process is None:
            if not self._is_stopping and time.monotonic() >= self._next:
                self._start()
            return None
        status, now = self.process.poll(), time.monotonic()
        if status is None:
            if now >= self._kill_at:
                logs.event("child_killed", name=self.name, pid=self.process.pid)
                self.process.kill()
                self._kill_at = math.inf
            return None
        self.process = None
        if now - self._began > CALM_S:
            self.ends, self._pause_s = 0, FIRST_PAUSE_S
        self.ends += 1
        self._next, self._pause_s = now + self._pause_s, min(2 * self._pause_s, LONGEST_PAUSE_S)
        if not self._is_stopping:
            logs.event("child_ended", name=self.name, status=status, ends=self.ends)
        return status

    def stop(self, number: signal.Signals = signal.SIGTERM, *, patience_s: float = math.inf) -> None:
        """Ask it to end, and start it no more; `tend` kills it where it has not ended in time."""
        self._is_stopping, self._kill_at = True, time.monotonic() + patience_s
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)

    def said(self) -> str:
        """The last line of its log that is no JSON, which is what it says to people."""
        try:
            with open(self.log, "rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - SAID_BYTES))
                lines = file.read().decode("utf-8", "replace").strip().splitlines()
        except OSError:
            lines = []
        told = [line.strip() for line in lines if line.strip() and not line.startswith("{")]
        errors = [line for line in told if line.startswith("error:")]
        return (errors or told or ["it said nothing"])[-1][:500]

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log, open(self.printed, "wb") as printed:
            self.process = subprocess.Popen(
                tied([sys.executable, "-m", "tsuzuri", *self.arguments]),
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=log,
                env=os.environ | dict(self.environment),
                start_new_session=True,
            )
        self._began = time.monotonic()
        logs.event("child_started", name=self.name, pid=self.process.pid)


def end_all(children: Sequence[Child], patience_s: float, is_urgent: Callable[[], bool]) -> None:
    """Ask all of them to end, and kill what has not when patience, or somebody's, is at an end."""
    for child in children:
        child.stop()
    until = time.monotonic() + patience_s
    while any(child.is_running for child in children) and time.monotonic() < until and not is_urgent():
        time.sleep(0.02)
    for child in children:
        if child.is_running:
            child.stop(signal.SIGKILL)
        if child.process is not None:
            child.process.wait()
