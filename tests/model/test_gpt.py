from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from tsuzuri.model.cache import KeyValueCache
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import GPT, RMSNorm

Build = Callable[[ModelConfig], GPT]


def new_cache(config: ModelConfig, rows: int) -> KeyValueCache:
    capacity = config.max_position_embeddings
    return KeyValueCache(
        config, rows=rows, capacity=capacity, device=torch.device("cpu"), dtype=torch.float32
    )


def test_hidden_states_and_logits_have_the_shapes_they_say(
    config: ModelConfig, random_model: Build, tokens: Tensor
) -> None:
    model = random_model(config)
    hidden = model(tokens)
    assert hidden.shape == (*tokens.shape, config.hidden_size)
    assert model.logits(hidden).shape == (*tokens.shape, config.vocab_size)
    assert model.head.shape == (config.vocab_size, config.hidden_size)


def test_no_position_sees_what_comes_after_it(
    config: ModelConfig, random_model: Build, tokens: Tensor
) -> None:
    model, changed, at = random_model(config), tokens.clone(), 17
    changed[:, at] = (changed[:, at] + 1) % config.vocab_size
    before, after = model(tokens), model(changed)
    assert_close(before[:, :at], after[:, :at])
    assert ((before[:, at:] - after[:, at:]).abs().amax(-1) > 1e-4).all()


@pytest.mark.parametrize("chunks", [[40], [1] * 40, [5, 1, 1, 13, 20], [39, 1]])
def test_reading_in_pieces_through_the_cache_is_reading_at_once(
    config: ModelConfig, random_model: Build, tokens: Tensor, chunks: list[int]
) -> None:
    model = random_model(config)
    cache = new_cache(config, rows=2)
    with torch.no_grad():
        pieces = [model(piece, cache=cache) for piece in tokens.split(chunks, dim=1)]
        assert cache.length == tokens.shape[1]
        assert_close(torch.cat(pieces, dim=1), model(tokens))


def test_a_truncated_cache_has_forgotten(config: ModelConfig, random_model: Build, tokens: Tensor) -> None:
    model = random_model(config)
    cache = new_cache(config, rows=2)
    with torch.no_grad():
        model(tokens.flip(1), cache=cache)
        cache.truncate(0)
        model(tokens[:, :30], cache=cache)
        model(tokens.flip(1)[:, :5], cache=cache)
        cache.truncate(30)
        assert_close(model(tokens[:, 30:], cache=cache), model(tokens)[:, 30:])


def test_explicit_positions_are_those_of_the_rotation_or_the_table(
    random_model: Build, tokens: Tensor
) -> None:
    for family in ("qwen3", "gpt2"):
        model = random_model(ModelConfig(model_type=family, vocab_size=97))
        default = model(tokens)
        assert_close(model(tokens, positions=torch.arange(40)[None]), default)
        assert (model(tokens, positions=2 * torch.arange(40)[None]) - default).abs().max() > 1e-3


def test_the_same_seed_draws_the_same_weights(config: ModelConfig) -> None:
    first, again, other = (
        GPT(config, torch.Generator().manual_seed(seed)).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["embed_tokens.weight"], other["embed_tokens.weight"])


def test_new_weights_have_the_spread_of_the_configuration() -> None:
    for family in ("qwen3", "arcee", "gpt2"):
        model = GPT(ModelConfig(model_type=family, num_hidden_layers=2), torch.Generator().manual_seed(0))
        for name, parameter in model.named_parameters():
            if parameter.dim() < 2:
                assert (parameter == (1.0 if "norm.weight" in name else 0.0)).all(), name
            else:
                writes = "o_proj" in name or "down_proj" in name
                assert parameter.std().item() == pytest.approx(0.02 / (2.0 if writes else 1.0), rel=0.02), (
                    name
                )


@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16])
def test_bfloat16_is_close_to_float32(
    config: ModelConfig, random_model: Build, tokens: Tensor, weights: torch.dtype
) -> None:
    model = random_model(config)
    exact = model(tokens)
    hidden = model.to(weights)(tokens, dtype=torch.bfloat16)
    assert hidden.dtype == torch.bfloat16
    assert model.logits(hidden).dtype == torch.float32
    similarity = torch.nn.functional.cosine_similarity(hidden.float().flatten(), exact.flatten(), dim=0)
    assert 0.999 < similarity < 1.0 - 1e-7  # nearly the same, and not secretly float32


def test_a_model_on_meta_holds_nothing_until_it_is_given_weights(
    config: ModelConfig, random_model: Build, tokens: Tensor
) -> None:
    with torch.device("meta"):
        model = GPT(config)
    assert all(parameter.is_meta for parameter in model.parameters())
    source = random_model(config)
    model.to_empty(device="cpu").load_state_dict(source.state_dict())
    assert torch.equal(model(tokens), source(tokens))


def test_every_parameter_gets_a_gradient(config: ModelConfig, random_model: Build, tokens: Tensor) -> None:
    model = random_model(config)
    model.logits(model(tokens)).logsumexp(-1).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        # A bias on all keys shifts every score of a query alike, so softmax does not feel it.
        assert name.endswith("k_proj.bias") or parameter.grad.abs().max() > 0, name


def test_rms_norm_keeps_its_precision_in_bfloat16() -> None:
    norm = RMSNorm(64, 1e-6)
    x = (torch.arange(64.0) * 300).to(torch.bfloat16)
    expected = x.float() / (x.float().square().mean() + 1e-6).sqrt()
    assert torch.equal(norm(x), expected.to(torch.bfloat16))
