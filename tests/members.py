"""A member of a group in a process of its own, for tests that end it: it takes, and writes what is done.

    python tests/members.py ADDRESS PREFIX TOPIC GROUP FILE [SECONDS A RECORD]

Each line of the file is a record that is worked off, the first one empty: it has one to begin with. SIGTERM
lets it leave, SIGKILL does not.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.opening import open_bus


class MemberProcess:
    """One that is running."""

    def __init__(
        self, address: str, prefix: str, topic: str, group: str, file: Path, *, each_s: float = 0.0
    ) -> None:
        self._file = file
        source = Path(__file__).parents[1] / "src"
        self._process = subprocess.Popen(
            [sys.executable, __file__, address, prefix, topic, group, file, str(each_s)],
            env={**os.environ, "PYTHONPATH": str(source)},
        )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def done(self) -> list[str]:
        """What it has worked off, whole lines alone."""
        text = self._file.read_text() if self._file.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines()[1:]

    @property
    def is_working(self) -> bool:
        """Whether it was given something."""
        return self._file.exists()

    def leave(self) -> None:
        """Ask it to go; wait for it with `wait`."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def wait(self) -> None:
        """Until it has gone."""
        self._process.wait(60)


def main(address: str, prefix: str, topic: str, group: str, file: str, each_s: str) -> None:
    """Work until told to go."""
    going = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: going.set())
    bus = open_bus(BusConfig(bootstrap=address, prefix=prefix))
    queue = bus.queue([topic], group, capacity=4)
    while not going.is_set():
        if work := queue.take(0.1):
            with open(file, "a", encoding="utf-8") as done:
                done.write("" if done.tell() else "\n")
                done.flush()
                time.sleep(float(each_s))
                done.write(f"{(work.record.value or b'').decode()}\n")
            queue.ack(work)
    bus.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
