"""Every rule of sampling against Transformers' own, and draws against their distribution."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from tsuzuri.generation.config import SamplingConfig
from tsuzuri.generation.sampling import (
    RANKED_AT_FIRST,
    ban_repeated_ngrams,
    draw,
    kept_candidates,
    next_tokens,
    penalize_repeated_tokens,
    uniform_streams,
)

VOCABULARY = 50


def random_logits(rows: int = 4, vocabulary: int = VOCABULARY, spread: float = 3.0) -> Tensor:
    return spread * torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(7))


def random_history(rows: int = 4, length: int = 60, vocabulary: int = 6) -> Tensor:
    return torch.randint(vocabulary, (rows, length), generator=torch.Generator().manual_seed(8))


def spread_out(probabilities: Tensor, candidates: Tensor, vocabulary: int) -> Tensor:
    kept = torch.zeros(len(probabilities), vocabulary)
    return kept.scatter(1, candidates, probabilities / probabilities.sum(-1, keepdim=True))


@pytest.mark.parametrize("penalty", [1.3, 0.8])
def test_repetition_penalty_is_transformers(penalty: float) -> None:
    expected = transformers.RepetitionPenaltyLogitsProcessor(penalty)(random_history(), random_logits())
    found = random_logits()
    penalize_repeated_tokens(found, random_history(), penalty)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("length", [0, 1, 4, 60])
def test_no_repeat_ngram_is_transformers(n: int, length: int) -> None:
    history = random_history(length=60)[:, :length]
    expected = (
        transformers.NoRepeatNGramLogitsProcessor(n)(history, random_logits()) if length else random_logits()
    )
    found = random_logits()
    ban_repeated_ngrams(found, history, n)
    assert torch.equal(found, expected)


def test_a_repeated_bigram_is_banned() -> None:
    logits = torch.zeros(1, 5)
    ban_repeated_ngrams(logits, torch.tensor([[1, 2, 3, 1]]), 2)
    assert logits[0].tolist() == [0, 0, -torch.inf, 0, 0]


@pytest.mark.parametrize(
    "rules",
    [{"top_k": 7}, {"top_p": 0.6}, {"min_p": 0.05}, {"top_k": 20, "top_p": 0.8, "min_p": 0.1}, {"top_k": 99}],
)
def test_candidates_are_those_of_transformers(rules: dict[str, Any]) -> None:
    logits = random_logits()
    expected = logits
    if "top_k" in rules:
        expected = transformers.TopKLogitsWarper(min(rules["top_k"], VOCABULARY))(None, expected)
    if "top_p" in rules:
        expected = transformers.TopPLogitsWarper(rules["top_p"])(None, expected)
    if "min_p" in rules:
        expected = transformers.MinPLogitsWarper(rules["min_p"])(None, expected)
    found = spread_out(*kept_candidates(logits, SamplingConfig(**{"min_p": 0, **rules})), VOCABULARY)
    torch.testing.assert_close(found, expected.softmax(-1))


@pytest.mark.parametrize("spread", [0.0, 5.0])
def test_top_p_ranks_further_where_the_first_ranks_do_not_reach_it(spread: float) -> None:
    vocabulary = 4 * RANKED_AT_FIRST
    logits = random_logits(2, vocabulary, spread) + torch.arange(vocabulary) * 1e-4
    found = spread_out(*kept_candidates(logits, SamplingConfig(top_p=0.9, min_p=0)), vocabulary)
    expected = transformers.TopPLogitsWarper(0.9)(None, logits).softmax(-1)
    assert (
        (found > 0) != (expected > 0)
    ).sum() <= 2  # the sums of thousands of probabilities differ in their last bits


def test_draws_follow_the_probabilities() -> None:
    probabilities = torch.tensor([[0.5, 0.0, 0.3, 0.2]])
    uniforms = torch.linspace(0, 1, 1001, dtype=torch.float64)[:-1]
    drawn = draw(probabilities.expand(1000, -1), torch.tensor([[9, 8, 7, 6]]).expand(1000, -1), uniforms)
    counts = {token: int((drawn == token).sum()) for token in (9, 8, 7, 6)}
    assert counts[8] == 0
    assert counts[9] == pytest.approx(500, abs=1)
    assert counts[7] == pytest.approx(300, abs=1)
    assert counts[6] == pytest.approx(200, abs=1)


def test_greedy_takes_the_likeliest_that_is_not_banned() -> None:
    logits = torch.tensor([[0.0, 3.0, 2.0, 1.0]])
    history, uniforms = torch.tensor([[0]]), torch.tensor([0.9])
    config = SamplingConfig(temperature=0)
    assert next_tokens(
        logits.clone(), history, torch.tensor([], dtype=torch.long), uniforms, config
    ).tolist() == [1]
    assert next_tokens(logits.clone(), history, torch.tensor([1]), uniforms, config).tolist() == [2]


def test_temperature_sharpens() -> None:
    logits = torch.tensor([[1.0, 0.0]])
    history, banned = torch.zeros(1, 0, dtype=torch.long), torch.tensor([], dtype=torch.long)
    uniforms = torch.tensor([0.8], dtype=torch.float64)  # p(0) is 0.73 at temperature 1, 0.88 at 0.5
    assert next_tokens(logits.clone(), history, banned, uniforms, SamplingConfig(temperature=1)).tolist() == [
        1
    ]
    assert next_tokens(
        logits.clone(), history, banned, uniforms, SamplingConfig(temperature=0.5)
    ).tolist() == [0]


def test_a_stream_depends_neither_on_the_batch_nor_on_the_length() -> None:
    batch = uniform_streams(seed=5, samples=3, steps=100)
    assert torch.equal(batch[2, :10], uniform_streams(seed=7, samples=1, steps=10)[0])
    assert not torch.equal(batch[0], batch[1])
