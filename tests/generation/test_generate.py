"""Cached, batched, windowed writing against the plainest loop that can be written."""

from __future__ import annotations

import pytest
import torch
from tests.generation.conftest import random_model

from tsuzuri.core.errors import IntegrityError
from tsuzuri.generation.config import SamplingConfig
from tsuzuri.generation.generate import Continuation
from tsuzuri.generation.rules import TokenRules
from tsuzuri.generation.sampling import next_tokens, uniform_streams
from tsuzuri.model.gpt import GPT

PROMPT = [40, 41, 42, 43, 44]


def written(model: GPT, prompt: list[int], config: SamplingConfig, rules: TokenRules) -> list[list[int]]:
    """The tokens of each sample, its closing piece included, as a user of Continuation collects them."""
    continuation = Continuation(model, prompt, config, rules, dtype=torch.float32)
    samples: list[list[int]] = [[] for _ in range(config.samples)]
    while continuation.rows and continuation.new_tokens < config.max_new_tokens:
        tokens = continuation.step()
        for sample, token in zip(continuation.rows, tokens, strict=True):
            samples[sample].append(token)
        continuation.keep([place for place, token in enumerate(tokens) if token not in rules.ends])
    return samples


@torch.inference_mode()
def plainly_written(model: GPT, prompt: list[int], config: SamplingConfig, rules: TokenRules) -> list[int]:
    """One sample, the model reading its whole window anew for every token."""
    context = model.config.max_position_embeddings
    opening = list(rules.opening if prompt else [rules.start])
    text, window = list(prompt), opening + list(prompt)
    uniforms = uniform_streams(config.seed, 1, config.max_new_tokens)
    for step in range(config.max_new_tokens):
        if len(window) > context:
            window = opening + text[-(context // 2) :]
        logits = model.logits(model(torch.tensor([window]))[:, -1])
        banned = [*rules.unwritable, *(rules.ends if step < config.min_new_tokens else ())]
        history = torch.tensor([text], dtype=torch.long)
        token = int(next_tokens(logits, history, torch.tensor(banned), uniforms[:, step], config))
        text.append(token)
        window.append(token)
        if token in rules.ends:
            break
    return text[len(prompt) :]


@pytest.mark.parametrize("prompt_length", [0, 5, 63, 64, 200])
def test_writing_on_and_on_is_the_plain_loop(model: GPT, rules: TokenRules, prompt_length: int) -> None:
    prompt = [3 + place % 250 for place in range(prompt_length)]
    config = SamplingConfig(
        max_new_tokens=150, min_new_tokens=150, seed=3, repetition_penalty=1.1, no_repeat_ngram=4
    )
    assert written(model, prompt, config, rules) == [plainly_written(model, prompt, config, rules)]


def test_samples_of_a_batch_are_those_written_alone(model: GPT, rules: TokenRules) -> None:
    batch = written(model, PROMPT, SamplingConfig(max_new_tokens=90, seed=10, samples=5), rules)
    alone = [
        written(model, PROMPT, SamplingConfig(max_new_tokens=90, seed=10 + k), rules)[0] for k in range(5)
    ]
    assert batch == alone
    assert len(set(map(tuple, batch))) == 5


def test_samples_that_end_leave_the_batch_and_the_others_go_on(rules: TokenRules) -> None:
    model = random_model(spread=0.05)
    ends = TokenRules(start=0, opening=(0,), ends=tuple(range(40)), unwritable=(258, 259))
    batch = written(model, PROMPT, SamplingConfig(max_new_tokens=100, samples=8), ends)
    assert len({len(sample) for sample in batch}) > 3
    assert all(sample[-1] in ends.ends for sample in batch)
    for seed, sample in enumerate(batch):
        assert sample == plainly_written(model, PROMPT, SamplingConfig(max_new_tokens=100, seed=seed), ends)


def test_no_piece_without_text_is_written_and_the_closing_one_only_after_the_minimum(
    rules: TokenRules,
) -> None:
    model = random_model(spread=0.01)  # nearly uniform: a piece in 260 is drawn often enough
    config = SamplingConfig(max_new_tokens=400, min_new_tokens=300, samples=8)
    batch = written(model, PROMPT, config, rules)
    assert not any(token in (1, 2, 259) for sample in batch for token in sample)
    assert not any(0 in sample[:300] for sample in batch)
    assert any(sample[-1] == 0 for sample in batch)


def test_no_ngram_twice(model: GPT, rules: TokenRules) -> None:
    config = SamplingConfig(max_new_tokens=120, min_new_tokens=120, temperature=0, no_repeat_ngram=3)
    (sample,) = written(model, PROMPT, config, rules)
    text = PROMPT + sample
    grams = [tuple(text[start : start + 3]) for start in range(len(text) - 2)]
    assert len(grams) == len(set(grams))


def test_a_model_with_broken_weights_is_an_error(rules: TokenRules) -> None:
    model = random_model()
    with torch.no_grad():
        model.norm.weight[0] = torch.nan
    with pytest.raises(IntegrityError, match="not finite"):
        written(model, PROMPT, SamplingConfig(), rules)


def test_a_model_that_has_written_can_still_be_trained(rules: TokenRules) -> None:
    model = random_model()
    written(model, PROMPT, SamplingConfig(max_new_tokens=4), rules)
    model(torch.tensor([PROMPT])).sum().backward()
    assert model.embed_tokens.weight.grad is not None
