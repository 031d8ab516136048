"""Held-out documents as rows in which every token is predicted exactly once.

Unlike training windows, which cut documents anywhere, a document starts at its opening end-of-text token and
is cut only where it is longer than a row; shorter ones share a row, one after the other, as long as they fit
whole. The rest of a row is padding.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from tsuzuri.data.box import TokenBox

Integers = npt.NDArray[np.int64]

IGNORE = -100
"""The target of a position that is not to be counted (PyTorch's ignore_index)."""


def heldout_rows(
    box: TokenBox, source: str, *, length: int, max_tokens: int, batch_rows: int = 16
) -> Iterator[tuple[Integers, Integers]]:
    """(inputs, targets), each (up to batch_rows, length), of a source's first `max_tokens` held-out tokens.

    A document's closing end-of-text token is predicted too. A source that holds nothing out gives nothing.
    """
    inputs = np.full((batch_rows, length), box.eos_id, np.int64)
    targets = np.full((batch_rows, length), IGNORE, np.int64)
    row = column = 0
    for context, following in _spans(box, source, length, max_tokens):
        if column + len(following) > length:
            row, column = row + 1, 0
        if row == batch_rows:
            yield inputs.copy(), targets.copy()
            inputs[:], targets[:], row = box.eos_id, IGNORE, 0
        inputs[row, column : column + len(context)] = context
        targets[row, column : column + len(following)] = following
        column += len(following)
    rows = row + (column > 0)
    if rows:
        yield inputs[:rows], targets[:rows]


def _spans(box: TokenBox, source: str, length: int, max_tokens: int) -> Iterator[tuple[Integers, Integers]]:
    """Documents in spans of at most `length` predicted tokens: (what they are predicted from, the tokens)."""
    left = max_tokens
    for document in box.shard("heldout", source):
        tokens = np.concatenate(([box.eos_id], document[:left])).astype(np.int64)
        for start in range(0, len(tokens) - 1, length):
            following = tokens[start + 1 : start + length + 1]
            yield tokens[start : start + len(following)], following
        left -= len(tokens) - 1
        if not left:
            return
