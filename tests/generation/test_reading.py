"""Scores and vectors of many texts at once against one text read alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.generation.conftest import random_model

from tsuzuri.core.errors import RecipeError
from tsuzuri.generation.embed import hidden_states, text_vectors
from tsuzuri.generation.reading import windows
from tsuzuri.generation.score import token_log_probabilities
from tsuzuri.model.gpt import GPT

SHORT = [[0, 5], [0, 9, 8, 7, 6, 5, 4, 3], [0], [0, *range(3, 63)]]
LONG = [0, *(3 + place * 7 % 250 for place in range(150))]


@given(length=st.integers(0, 300), context=st.integers(2, 64))
def test_windows_hold_every_position_once_and_half_a_context_before_it(length: int, context: int) -> None:
    found = list(windows(0, length, context))
    assert [place for window in found for place in range(window.fresh, window.end)] == list(range(length))
    assert all(window.end - window.start <= context for window in found)
    assert all(window.fresh - window.start == (context // 2 if window.fresh else 0) for window in found)


@torch.inference_mode()
def plain_log_probabilities(model: GPT, tokens: list[int]) -> list[float]:
    predicted = model.logits(model(torch.tensor([tokens[:-1]])))[0].log_softmax(-1)
    return [float(predicted[place, token]) for place, token in enumerate(tokens[1:])]


def test_scores_of_a_batch_are_those_of_each_text(model: GPT) -> None:
    scored = token_log_probabilities(model, SHORT, dtype=torch.float32)
    assert [len(values) for values in scored] == [1, 7, 0, 60]
    for tokens, values in zip(SHORT, scored, strict=True):
        if len(tokens) > 1:
            assert values == pytest.approx(plain_log_probabilities(model, tokens), abs=1e-4)


def test_a_text_longer_than_the_context_is_scored_in_overlapping_windows(model: GPT) -> None:
    (values,) = token_log_probabilities(model, [LONG], dtype=torch.float32)
    assert values[:64] == pytest.approx(plain_log_probabilities(model, LONG[:65]), abs=1e-4)
    assert values[64:96] == pytest.approx(plain_log_probabilities(model, LONG[32:97])[32:], abs=1e-4)
    assert len(values) == 150


@pytest.mark.parametrize("layer", [0, 1, 2, -1, -3])
def test_hidden_states_are_those_between_the_layers(model: GPT, layer: int) -> None:
    tokens = torch.tensor([SHORT[1]])
    states = [
        model.embed_tokens(tokens) + (model.embed_positions.weight[:8] if model.config.is_classic else 0)
    ]
    rotary = None
    if not model.config.is_classic:
        cos, sin = model.rotary_tables(tokens.device)
        rotary = (cos[None, :8, None], sin[None, :8, None])
    for block in model.layers:
        states.append(block(states[-1], rotary, None))
    states[-1] = model.norm(states[-1])
    torch.testing.assert_close(hidden_states(model, tokens, layer, torch.float32), states[layer])


@torch.inference_mode()
def test_vectors_are_the_last_or_the_mean_of_the_text_alone(model: GPT) -> None:
    last = text_vectors(model, SHORT, opening=1, layer=1, pool="last", dtype=torch.float32)
    mean = text_vectors(model, SHORT, opening=1, layer=1, pool="mean", dtype=torch.float32)
    for row, tokens in enumerate(SHORT):
        states = hidden_states(model, torch.tensor([tokens]), 1, torch.float32)[0]
        np.testing.assert_allclose(last[row], states[-1].numpy(), atol=1e-4)
        np.testing.assert_allclose(
            mean[row], states[1:].mean(0).numpy() if len(tokens) > 1 else states[0], atol=1e-4
        )


def test_a_long_text_has_one_vector(model: GPT) -> None:
    last = text_vectors(model, [LONG], opening=1, layer=-1, pool="last", dtype=torch.float32)
    expected = text_vectors(model, [LONG[96:]], opening=1, layer=-1, pool="last", dtype=torch.float32)
    np.testing.assert_allclose(last, expected, atol=1e-4)


def test_a_layer_or_pooling_that_is_not_there_is_an_error() -> None:
    model = random_model()
    with pytest.raises(RecipeError, match="no layer 3"):
        text_vectors(model, SHORT, opening=1, layer=3, pool="last", dtype=torch.float32)
    with pytest.raises(RecipeError, match="no pooling 'max'"):
        text_vectors(model, SHORT, opening=1, layer=0, pool="max", dtype=torch.float32)  # type: ignore[arg-type]
