"""Stop texts in a stream: found though they span tokens, never shown; nothing is held back without need."""

from __future__ import annotations

from collections.abc import Sequence


class StopFinder:
    """Passes a stream of text on until one of the stop texts begins: the one that is complete first.

    What is held back is only the longest end of the text so far that could still become a stop text.
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(stop)
        self._held = ""
        self.stopped = False
        """Whether a stop text has been found; nothing comes out after it."""

    def push(self, text: str) -> str:
        """What may be shown once `text` has arrived."""
        if self.stopped:
            return ""
        text = self._held + text
        found = [(place + len(stop), place) for stop in self._stop if (place := text.find(stop)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)[1]]
        held = max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def flush(self) -> str:
        """What was held back, once the stream is over."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that `stop` begins with."""
    lengths = range(min(len(text), len(stop) - 1), 0, -1)
    return next((length for length in lengths if text.endswith(stop[:length])), 0)
