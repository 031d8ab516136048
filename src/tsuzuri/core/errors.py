"""The one tree of errors that a user of tsuzuri can meet.

    TsuzuriError
    ├── RecipeError        a key or value of a recipe, or an argument, is not allowed
    ├── InputError         what was given to read is missing, empty, undecodable or of the wrong shape
    ├── IntegrityError     a file is not what its checksum says, or two boxes do not belong together
    ├── ResumeError        the same folder was begun with another recipe or other inputs
    ├── ResourceError      disk, memory or a device is not there or not enough
    ├── TrainingError      a run went wrong by itself: too many of its steps had to be left out
    ├── Stopped            a run was asked to stop (SIGTERM, Ctrl-C), saved itself and can go on
    └── MissingExtraError  an optional part of the package is not installed

A message says what, which value and what was allowed; `hint` is the next thing to type. The command line
prints both and no traceback. `assert` is for our own mistakes only.
"""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable


class TsuzuriError(Exception):
    """A mistake that its user can mend; `hint` says how."""

    is_repeated = False
    """Whether another process that shares the work says the same."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.hint}" if self.hint else self.message


class RecipeError(TsuzuriError):
    """A key or value of a recipe, or an argument, is not allowed."""


class InputError(TsuzuriError):
    """What was given to read is missing, empty, undecodable or of the wrong shape."""


class IntegrityError(TsuzuriError):
    """A file is not what its checksum says, or two boxes do not belong together."""


class ResumeError(TsuzuriError):
    """The same folder was begun with another recipe or other inputs."""


class ResourceError(TsuzuriError):
    """Disk, memory or a device is not there or not enough."""


class TrainingError(TsuzuriError):
    """A run went wrong by itself: too many of its steps had to be left out."""


class Stopped(TsuzuriError):  # noqa: N818 (it reports no fault)
    """A run was asked to stop by a signal, saved itself and can go on."""

    def __init__(self, message: str, *, hint: str = "", by: signal.Signals = signal.SIGTERM) -> None:
        super().__init__(message, hint=hint)
        self.by = by


class MissingExtraError(TsuzuriError):
    """An optional part of the package is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs the package {package!r}, which is not installed",
            hint=f"pip install 'tsuzuri[{extra}]'",
        )
        self._wanted = (package, extra)

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        return type(self), self._wanted  # so that it comes whole out of another process


def closest(word: str, allowed: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the allowed word nearest to `word`, or an empty string."""
    matches = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.5)
    return f" (did you mean {matches[0]!r}?)" if matches else ""
