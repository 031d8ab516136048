"""What was answered lately, so that what comes twice is answered twice with the same words."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from tsuzuri.specialists.bus.base import Record

MOST_BYTES = 16 * 2**20
"""Of all answers that are kept."""

Attempt = tuple[str, int]
"""A request's id and its attempt."""


class Remembered:
    """The last answers, each as the records that told it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._answers: OrderedDict[Attempt, Sequence[Record]] = OrderedDict()
        self._bytes = 0

    def keep(self, attempt: Attempt, records: Sequence[Record]) -> None:
        """Keep an answer, and of those before as many as there is room for."""
        self._bytes += _bytes(records) - _bytes(self._answers.pop(attempt, ()))
        self._answers[attempt] = records
        while len(self._answers) > self._most or self._bytes > MOST_BYTES:
            _, old = self._answers.popitem(last=False)
            self._bytes -= _bytes(old)

    def get(self, attempt: Attempt) -> Sequence[Record] | None:
        """The answer to an attempt."""
        return self._answers.get(attempt)

    def clear(self) -> None:
        """Forget all."""
        self._answers.clear()
        self._bytes = 0


def _bytes(records: Sequence[Record]) -> int:
    return sum(len(record.value or b"") for record in records)
