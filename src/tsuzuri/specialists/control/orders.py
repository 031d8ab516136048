"""Operators who wait: what they asked for, step by step, until its end."""

from __future__ import annotations

from collections.abc import Callable

from tsuzuri.specialists.registry.registry import Key

Tell = Callable[[str, str, str], None]
"""An order's number, a text for people, and how it stands: `working`, `done`, `failed`."""


class Orders:
    """Orders that have not come to their end, each about a revision, or about a specialist as a whole."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._waiting: dict[str, Key] = {}
        """Number → specialist and revision; none: the whole."""

    def __contains__(self, name: str) -> bool:
        """Whether somebody waits for a specialist."""
        return any(key[0] == name for key in self._waiting.values())

    def begin(self, number: str, name: str) -> None:
        """Somebody waits from now on, for the whole of a specialist."""
        self._waiting[number] = (name, "")

    def is_about(self, number: str, key: Key) -> None:
        """It is one revision that somebody waits for."""
        self._waiting[number] = key

    def tell(self, name: str, text: str) -> None:
        """Say a step to all who wait for a specialist."""
        for number, waited in self._waiting.items():
            if waited[0] == name:
                self._tell(number, text, "working")

    def answer(self, number: str, text: str, state: str) -> None:
        """The end of one order."""
        self._waiting.pop(number, None)
        self._tell(number, text, state)

    def end(self, key: Key, text: str, state: str) -> None:
        """The end for all who wait for a revision, or for the whole of a specialist."""
        for number in [number for number, waited in self._waiting.items() if waited == key]:
            self.answer(number, text, state)
