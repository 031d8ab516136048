"""The memory that a run comes to hold, measured: beside it stands what was predicted."""

from __future__ import annotations

from tsuzuri.training.devices import Device


class PeakMemory:
    """The most memory of a device that is held from now on, above what is held now.

    On a CPU that is the resident memory of the process: what was touched.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        device.forget_peak_memory()
        self.before_bytes = device.peak_memory_bytes()

    @property
    def held_bytes(self) -> int:
        """Until now."""
        return max(0, self.device.peak_memory_bytes() - self.before_bytes)
