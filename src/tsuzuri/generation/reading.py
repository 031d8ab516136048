"""Texts of any length as padded batches of windows that fit the context, for scores and vectors.

A text longer than the context is read in windows that overlap by half: every position is looked at once,
and all but those of the first window with at least half a context before them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

BATCH_TOKENS = 4096
"""Positions read at once, padding included."""


@dataclass(frozen=True)
class Window:
    """Positions start … end of a text, of which those from `fresh` on no earlier window held."""

    text: int
    start: int
    fresh: int
    end: int


def windows(text: int, length: int, context: int) -> Iterator[Window]:
    """The windows of a text of `length` positions."""
    fresh = 0
    while fresh < length:
        start = 0 if fresh == 0 else fresh - context // 2
        end = min(start + context, length)
        yield Window(text, start, fresh, end)
        fresh = end


def batches(texts: Sequence[Sequence[int]], context: int) -> Iterator[tuple[list[Window], Tensor]]:
    """All windows of all texts, those of like length together, and their tokens (B, T), padded with 0."""
    every = [
        window for number, tokens in enumerate(texts) for window in windows(number, len(tokens), context)
    ]
    every.sort(key=lambda window: (window.start - window.end, window.text, window.start))  # the longest first
    while every:
        longest = every[0].end - every[0].start
        batch, every = every[: max(1, BATCH_TOKENS // longest)], every[max(1, BATCH_TOKENS // longest) :]
        tokens = torch.zeros(len(batch), longest, dtype=torch.long)
        for row, window in enumerate(batch):
            tokens[row, : window.end - window.start] = torch.tensor(
                texts[window.text][window.start : window.end]
            )
        yield batch, tokens
