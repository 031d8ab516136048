"""What goes on for as long as a process lives, though it fails now and then: that is told in the log, and
nothing ends in silence while the process looks well."""

from __future__ import annotations

from types import TracebackType

from tsuzuri.serving import logs


class Steady:
    """Around each turn of a loop. Of failures in a row the first, second, fourth, eighth, … are told."""

    def __init__(self, name: str) -> None:
        self._name, self.failures = name, 0

    def __enter__(self) -> Steady:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            self.failures = 0
        if not isinstance(error, Exception):
            return False
        self.failures += 1
        if self.failures & (self.failures - 1) == 0:
            logs.failure(self._name, error, failures=self.failures)
        return True
