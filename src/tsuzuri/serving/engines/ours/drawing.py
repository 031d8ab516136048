"""The next token of every row at once, each by the rules of its own request.

The rules and their order are those of `generation.sampling`, which has one setting for all rows; here a row
is a core's, so that rows with different settings cost no more. The same uniform number gives the same token,
but for the rounding of sums.

Shapes: R rows with logits, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import prange

from tsuzuri.core.compiled import compiled_fast, compiled_parallel
from tsuzuri.generation.config import SamplingConfig
from tsuzuri.serving.engines.ours.kernels import LOWEST, ONE, ZERO, Floats, Integers, exponentials

ALWAYS_BANNED, BANNED_EARLY = 1, 2
LEAST_SHARES = tuple(np.float32(share) for share in (1e-1, 1e-3, 1e-5, 0.0))
"""Of the likeliest token's probability: what is sorted for top-k and top-p is what reaches the first of
these, and if that is not enough of the next."""


class Rules(NamedTuple):
    """What decides in each slot; arrays (slots) unless noted."""

    temperature: Floats
    top_k: Integers
    top_p: Floats
    min_p: Floats
    repetition_penalty: Floats
    min_new_tokens: Integers
    written: Integers
    """Tokens that the request has written."""
    uniform: npt.NDArray[np.float64]
    """In [0, 1), of the next draw."""
    seen: npt.NDArray[np.uint8]
    """(slots, V): 1 for tokens of the text so far."""
    banned: npt.NDArray[np.uint8]
    """(V): ALWAYS_BANNED, BANNED_EARLY or 0."""


class Drawing:
    """The rules of the requests in all slots."""

    def __init__(
        self, slots: int, vocab_size: int, unwritable: tuple[int, ...], ends: tuple[int, ...]
    ) -> None:
        def floats() -> Floats:
            return np.empty(slots, np.float32)

        def integers() -> Integers:
            return np.empty(slots, np.int32)

        self.rules = Rules(
            temperature=floats(),
            top_k=integers(),
            top_p=floats(),
            min_p=floats(),
            repetition_penalty=floats(),
            min_new_tokens=integers(),
            written=integers(),
            uniform=np.empty(slots, np.float64),
            seen=np.zeros((slots, vocab_size), np.uint8),
            banned=np.zeros(vocab_size, np.uint8),
        )
        self.rules.banned[list(unwritable)] = ALWAYS_BANNED
        self.rules.banned[list(ends)] = BANNED_EARLY

    def begin(self, slot: int, sampling: SamplingConfig, text: list[int], *, written: int = 0) -> None:
        """From now on the slot is a request's, whose text so far is given, and how many tokens of it count
        as written."""
        rules = self.rules
        rules.temperature[slot] = sampling.temperature
        rules.top_k[slot] = sampling.top_k
        rules.top_p[slot] = sampling.top_p
        rules.min_p[slot] = sampling.min_p
        rules.repetition_penalty[slot] = sampling.repetition_penalty
        rules.min_new_tokens[slot] = sampling.min_new_tokens
        rules.written[slot] = written
        rules.seen[slot] = 0
        rules.seen[slot, text] = 1

    def wrote(self, slot: int, token: int) -> None:
        """The request of the slot has written a token."""
        self.rules.written[slot] += 1
        self.rules.seen[slot, token] = 1

    def draw(self, logits: Floats, slots: Integers) -> Integers:
        """The next token (R,) of each slot (R,), from logits (R, V) and `rules.uniform`."""
        chosen = np.empty(len(slots), np.int32)
        draw_rows(logits, slots, self.rules, chosen)
        return chosen


def adjust(logits: Floats, bias: Mapping[int, float], history: list[int], ngram: int) -> None:
    """Add a request's bias to its logits (V,), and ban what would complete an n-gram of its text again."""
    for token, value in bias.items():
        logits[token] += value
    if ngram and len(history) >= ngram:
        text = np.array(history, np.int32)
        before = np.lib.stride_tricks.sliding_window_view(text[:-1], ngram - 1) if ngram > 1 else None
        ends = text if before is None else text[ngram - 1 :]
        again = slice(None) if before is None else (before == text[len(text) - ngram + 1 :]).all(1)
        logits[ends[again]] = LOWEST


@compiled_parallel
def draw_rows(logits: Floats, slots: Integers, rules: Rules, chosen: Integers) -> None:
    """chosen (R,) of logits (R, V)."""
    for r in prange(len(slots)):
        chosen[r] = draw_row(logits[r], slots[r], rules)


@compiled_fast
def draw_row(logits: Floats, slot: int, rules: Rules) -> Any:
    """One row's token."""
    temperature, penalty = rules.temperature[slot], rules.repetition_penalty[slot]
    is_early = rules.written[slot] < rules.min_new_tokens[slot]
    seen, heat = rules.seen[slot], temperature if temperature > ZERO else ONE
    shares = np.empty(len(logits), np.float32)
    best, most = 0, LOWEST
    for v in range(len(logits)):
        x = logits[v]
        if seen[v] and penalty != ONE:
            x = x * penalty if x < ZERO else x / penalty
        banned = rules.banned[v]
        if banned == ALWAYS_BANNED or (banned == BANNED_EARLY and is_early):
            x = LOWEST
        x /= heat
        shares[v] = x
        if x > most:
            best, most = v, x
    if temperature == ZERO:
        return best
    for v in range(len(logits)):
        shares[v] -= most
    exponentials(shares, np.empty(len(logits), np.int32))  # of the likeliest token's probability
    top_k, top_p, min_p = rules.top_k[slot], rules.top_p[slot], rules.min_p[slot]
    if top_k > 0 or top_p < ONE:
        candidates = likeliest(shares, top_k if top_k > 0 else len(shares), top_p)
        return candidates[inverse(shares[candidates], min_p, rules.uniform[slot])]
    return inverse(shares, min_p, rules.uniform[slot])


@compiled_fast
def likeliest(shares: Floats, top_k: int, top_p: np.float32) -> npt.NDArray[np.int64]:
    """The likeliest tokens, the likeliest first: at most top_k, and of these those that reach top_p."""
    everything = total(shares)
    ranked = np.empty(0, np.int64)
    for least in LEAST_SHARES:
        found = np.nonzero(shares >= least)[0]
        covered = total(shares[found])
        is_enough = len(found) >= top_k if top_k < len(shares) else covered >= top_p * everything
        if is_enough or least == ZERO:
            ranked = found[np.argsort(-shares[found])][:top_k]
            break
    if top_k < len(shares):
        everything = total(shares[ranked])
    before, kept = np.float64(0), 0
    while kept < len(ranked) and (before < top_p * everything or top_p == ONE):
        before += shares[ranked[kept]]
        kept += 1
    return ranked[:kept]


@compiled_fast
def total(shares: Floats) -> np.float64:
    """Their sum."""
    everything = np.float64(0)
    for v in range(len(shares)):
        everything += shares[v]
    return everything


@compiled_fast
def inverse(shares: Floats, min_p: np.float32, uniform: float) -> Any:
    """Where the cumulative sum of the shares of at least min_p passes `uniform` of the whole."""
    everything = np.float64(0)
    for v in range(len(shares)):
        if shares[v] >= min_p:
            everything += shares[v]
    wanted, passed, last = uniform * everything, np.float64(0), 0
    for v in range(len(shares)):
        if shares[v] >= min_p and shares[v] > ZERO:
            passed += shares[v]
            last = v
            if passed > wanted:
                break
    return last
