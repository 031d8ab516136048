"""How specialists answer together: one table, a row a mode, each with its cost. Imports no torch.

    route   the router's first choice answers                                       (the default)
    rerank  the first few answer in whole; the answer that all of them find likeliest is shown
    mix     a specialist that is itself a mixture of several in one process answers (ELMforest)

A row says what it needs and what it costs, and begins an answer; another mode is another row.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from tsuzuri.serving.models import TextGeneration, TextRequest
from tsuzuri.specialists.messages import Scored


class Dispatcher(Protocol):
    """What reaches specialists by name, wherever they are."""

    def ask(self, specialist: str, request: TextRequest) -> TextGeneration:
        """Begin an answer; of the prompt its text counts. Errors that come later come with it."""

    async def score(self, specialist: str, texts: Sequence[str], befores: Sequence[str] = ()) -> Scored:
        """How likely texts are to a specialist, each after what stands before it."""

    def up(self) -> Collection[str]:
        """Specialists that answer now."""
