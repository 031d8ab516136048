"""The memory that a run comes to hold, measured: beside it stands what was predicted."""

from __future__ import annotations

from pathlib import Path

from tsuzuri.core.manifest import record_timing
from tsuzuri.core.progress import say
from tsuzuri.core.ranks import is_first
from tsuzuri.training.devices import Device

GIB = 2**30


class PeakMemory:
    """The most memory of a device that steps hold from now on, above what is held now.

    On a CPU that is the resident memory of the process: what was touched.
    """

    def __init__(self, device: Device, predicted_bytes: float | None = None) -> None:
        self.device, self.predicted_bytes = device, predicted_bytes
        self.held_bytes = 0
        self.is_over = False
        """Whether other things than steps have held memory since."""
        device.forget_peak_memory()
        self.before_bytes = device.peak_memory_bytes()

    def look(self) -> None:
        """A step has ended."""
        if not self.is_over:
            self.held_bytes = max(0, self.device.peak_memory_bytes() - self.before_bytes)

    def tell(self, box: Path) -> None:
        """Look no more, since other things than steps will hold memory now; and say, once, what was held
        beside what was predicted, which the box of the run records."""
        was_over, self.is_over = self.is_over, True
        if was_over or not self.held_bytes or not is_first():
            return
        known = self.predicted_bytes
        predicted = {} if known is None else {"predicted_bytes": known}
        words = "" if known is None else f", {known / GIB:.2f} GiB predicted"
        say(f"peak memory of a step: {self.held_bytes / GIB:.2f} GiB measured{words}")
        record_timing(box, "memory", held_bytes=self.held_bytes, **predicted)
