"""From logits to the next token of each row: pure functions of tensors, applied in this order:

1. repetition penalty (Keskar et al. 2019, CTRL §4.1), on every token of the text so far, the prompt included
2. no-repeat n-gram (Paulus et al. 2017 §2.5): a token that would complete a run of n tokens seen before is
   banned
3. bans: pieces that are no text, and the closing piece before the minimum length
4. temperature; 0 stops here and takes the likeliest token
5. top-k (Fan et al. 2018 §5.2)
6. top-p (Holtzman et al. 2020 §3.1), within what top-k left
7. min-p (Nguyen et al. 2024), relative to the likeliest token
8. the draw: the inverse of the cumulative distribution at one uniform number a row

The order and every function agree with the logits processors of Transformers (tested). The uniform numbers
come from outside, one stream for each sample, so a sample does not depend on the batch that it is drawn in,
except through the rounding of matrix products.

Shapes: B rows, V vocabulary, L tokens of history, K candidates looked at.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tsuzuri.generation.config import SamplingConfig

RANKED_AT_FIRST = 1024
"""Tokens ranked for top-p before all of them are: sorting 32,768 takes 3 ms a row on one core."""


def next_tokens(
    logits: Tensor, history: Tensor, banned: Tensor, uniforms: Tensor, config: SamplingConfig
) -> Tensor:
    """The next token of each row (B,), from logits (B, V), history (B, L), banned ids (N,), uniforms (B,).

    Changes `logits` in place.
    """
    if config.repetition_penalty != 1:
        penalize_repeated_tokens(logits, history, config.repetition_penalty)
    if config.no_repeat_ngram:
        ban_repeated_ngrams(logits, history, config.no_repeat_ngram)
    logits[:, banned] = -torch.inf
    if config.temperature == 0:
        return logits.argmax(-1)
    probabilities, candidates = kept_candidates(logits.div_(config.temperature), config)
    return draw(probabilities, candidates, uniforms)


def penalize_repeated_tokens(logits: Tensor, history: Tensor, penalty: float) -> None:
    """Divide the logits (B, V) of every token in history (B, L) by `penalty`; multiply the negative ones."""
    found = logits.gather(1, history)
    logits.scatter_(1, history, torch.where(found < 0, found * penalty, found / penalty))


def ban_repeated_ngrams(logits: Tensor, history: Tensor, n: int) -> None:
    """Set to −∞ the logits (B, V) of the tokens that would complete an n-gram already in history (B, L)."""
    length = history.shape[1]
    if length < n:
        return
    seen = history.unfold(1, n, 1)  # (B, L − n + 1, n)
    current = history[:, length - n + 1 :]  # (B, n − 1)
    repeats = (seen[:, :, :-1] == current[:, None]).all(-1)  # (B, L − n + 1)
    rows, places = repeats.nonzero(as_tuple=True)
    logits[rows, seen[rows, places, -1]] = -torch.inf


def kept_candidates(logits: Tensor, config: SamplingConfig) -> tuple[Tensor, Tensor]:
    """Probabilities (B, K), 0 where a rule leaves a token out, and the ids (B, K) that they belong to."""
    probabilities, candidates = _ranked(logits, config)
    if config.top_p < 1:
        likelier = probabilities.cumsum(-1) - probabilities  # the probability of all tokens before each
        probabilities = probabilities.where(likelier < config.top_p, 0)
    if config.min_p > 0:
        probabilities = probabilities.where(
            probabilities >= config.min_p * probabilities.amax(-1, keepdim=True), 0
        )
    return probabilities, candidates


def _ranked(logits: Tensor, config: SamplingConfig) -> tuple[Tensor, Tensor]:
    """Probabilities and ids (B, K): likeliest first where top-k or top-p need that, else as they stand."""
    rows, vocab_size = logits.shape
    if 0 < config.top_k < vocab_size:
        values, candidates = logits.topk(config.top_k, dim=-1)
        return values.softmax(-1), candidates
    probabilities = logits.softmax(-1)
    if config.top_p == 1:
        return probabilities, torch.arange(vocab_size, device=logits.device).expand(rows, vocab_size)
    likeliest, candidates = probabilities.topk(min(RANKED_AT_FIRST, vocab_size), dim=-1)
    if bool((likeliest.sum(-1) < config.top_p).any()):
        likeliest, candidates = probabilities.sort(dim=-1, descending=True)
    return likeliest, candidates


def draw(probabilities: Tensor, candidates: Tensor, uniforms: Tensor) -> Tensor:
    """One id a row (B,): the candidate (B, K) at which the cumulative probability passes the uniform (B,)."""
    cumulative = probabilities.cumsum(-1, dtype=torch.float64)
    passed = cumulative <= uniforms[:, None] * cumulative[:, -1:]
    place = passed.sum(-1, keepdim=True).clamp_(max=candidates.shape[1] - 1)
    return candidates.gather(1, place)[:, 0]


def uniform_streams(seed: int, samples: int, steps: int) -> Tensor:
    """Uniform numbers in [0, 1), (samples, steps) float64: row k is the stream of seed + k."""
    rows = [
        torch.rand(steps, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + k))
        for k in range(samples)
    ]
    return torch.stack(rows)
