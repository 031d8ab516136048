"""An answer that specialists write, as a server sees it: with who they are, and why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from tsuzuri.serving.models import TextDelta, TextGeneration, TextRequest, Usage
from tsuzuri.specialists.gateway.calls import Answer
from tsuzuri.specialists.modes import Answer as Together

BEGUN_S = 0.5
"""For a worker to begin, before a client is told that its stream has."""


class SentAnswer:
    """An answer that specialists write: `serving.models.TextGeneration`, which says who they are."""

    def __init__(self, answer: Together, request: TextRequest, on_over: Callable[[SentAnswer], None]) -> None:
        self.answer, self.request = answer, request
        self._on_over = on_over
        self._first: asyncio.Task[TextDelta] | None = None
        self._is_over = False

    @property
    def usage(self) -> Usage:
        """See `TextGeneration`; the prompt's tokens are those of whoever reads it, once somebody has."""
        return self.answer.usage

    @property
    def filtered(self) -> Mapping[str, int]:
        """See `TextGeneration`."""
        return self.answer.filtered

    @property
    def written_by(self) -> Answer | None:
        """The answer that is shown, as it was sent."""
        choice = self.answer.choice
        sent: TextGeneration | None = self.answer.asked.get(choice.specialist) if choice else None
        return sent if isinstance(sent, Answer) else None

    @property
    def about(self) -> dict[str, Any]:
        """See `SentGeneration`."""
        choice, sent = self.answer.choice, self.written_by
        call = sent.call if sent is not None else None
        if choice is None:
            return {}
        notes = [choice.why, call.target.note if call else ""]
        return {
            "specialist": call.target.specialist if call else choice.specialist,
            "revision": call.target.revision if call else "",
            "why": "; ".join(filter(None, notes)),
            "posterior": {name: round(share, 4) for name, share in choice.posterior.items()},
        }

    async def begun(self) -> None:
        """See `SentGeneration`."""
        self._first = asyncio.create_task(self._next())
        done, _ = await asyncio.wait([self._first], timeout=BEGUN_S)
        if done and (error := self._first.exception()) is not None:
            self._first = None
            raise error

    def cancel(self) -> None:
        """See `TextGeneration`."""
        self.answer.cancel()

    def __aiter__(self) -> AsyncIterator[TextDelta]:
        return self

    async def __anext__(self) -> TextDelta:
        """See `TextGeneration`."""
        first = self._first
        if first is None:
            return await self._next()
        try:
            return await asyncio.shield(first)  # who stops waiting may come back
        finally:
            if first.done():
                self._first = None

    async def _next(self) -> TextDelta:
        if self._is_over:
            raise StopAsyncIteration
        try:
            delta = await anext(self.answer)
        except Exception:
            self._is_over = True
            self._on_over(self)
            raise
        if delta.finish is not None:
            self._is_over = True
            self._on_over(self)
        return delta
