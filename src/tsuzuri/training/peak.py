"""The memory that a run comes to hold, measured: beside it stands what was predicted."""

from __future__ import annotations

from pathlib import Path

from tsuzuri.core.manifest import record_timing
from tsuzuri.core.progress import say
from tsuzuri.training.devices import Device

GIB = 2**30


class PeakMemory:
    """The most memory of a device that steps hold from now on, above what is held now.

    On a CPU that is the resident memory of the process: what was touched.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.held_bytes = 0
        self.is_over = False
        """Whether other things than steps have held memory since."""
        device.forget_peak_memory()
        self.before_bytes = device.peak_memory_bytes()

    def look(self) -> None:
        """A step has ended."""
        if not self.is_over:
            self.held_bytes = max(0, self.device.peak_memory_bytes() - self.before_bytes)

    def tell(self, box: Path, predicted_bytes: float | None) -> None:
        """Say what was held beside what was predicted, if anything, and record both in the box of the run."""
        if not self.held_bytes:
            return
        predicted = {} if predicted_bytes is None else {"predicted_bytes": predicted_bytes}
        words = f", {predicted_bytes / GIB:.2f} GiB predicted" if predicted_bytes is not None else ""
        say(f"peak memory of a step: {self.held_bytes / GIB:.2f} GiB measured{words}")
        record_timing(box, "memory", held_bytes=self.held_bytes, **predicted)
