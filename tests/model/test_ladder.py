from __future__ import annotations

import pytest
import torch

from tsuzuri.core.errors import RecipeError
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import GPT
from tsuzuri.model.ladder import LADDER, model_config, rung

FIRST_VOCABULARY = 20_573


def count(config: ModelConfig) -> int:
    with torch.device("meta"):
        model = GPT(config)
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("size", LADDER)
def test_every_row_builds_and_its_formula_counts_its_parameters(size: str) -> None:
    config = model_config(size, vocab_size=32_000)
    assert count(config) == config.num_parameters
    row = LADDER[size]
    assert row.batch_tokens % row.context == 0


def test_the_formula_counts_every_family(config: ModelConfig) -> None:
    assert count(config) == config.num_parameters


def test_matrix_parameters_are_the_matrices_of_the_blocks_and_the_head(config: ModelConfig) -> None:
    with torch.device("meta"):
        model = GPT(config)
    blocks = sum(p.numel() for p in [*model.layers.parameters(), *model.norm.parameters()])
    assert config.num_matrix_parameters == blocks + model.head.numel()


@pytest.mark.parametrize(
    ("size", "parameters"),
    [("gpt2-small", 101_642_496), ("gpt2-medium", 324_426_752), ("gpt2-large", 736_034_560)],
)
def test_the_first_japanese_sizes_count_exactly(size: str, parameters: int) -> None:
    config = model_config(size, vocab_size=FIRST_VOCABULARY)
    assert config.num_parameters == parameters
    assert count(config) == parameters


# Brown et al. 2020, Table 2.1: parameters, n_layers, d_model, n_heads, d_head, batch tokens, learning rate;
# None where the table contradicts itself (24 heads of 128 are not the 2048 of XL, nor 40 the 5140 of 13B).
GPT3 = {
    "gpt3-125m": (125e6, 12, 768, 12, 64, 0.5e6, 6.0e-4),
    "gpt3-350m": (350e6, 24, 1024, 16, 64, 0.5e6, 3.0e-4),
    "gpt3-760m": (760e6, 24, 1536, 16, 96, 0.5e6, 2.5e-4),
    "gpt3-1.3b": (1.3e9, 24, 2048, None, 128, 1e6, 2.0e-4),
    "gpt3-2.7b": (2.7e9, 32, 2560, 32, 80, 1e6, 1.6e-4),
    "gpt3-6.7b": (6.7e9, 32, 4096, 32, 128, 2e6, 1.2e-4),
    "gpt3-13b": (13e9, 40, None, 40, 128, 2e6, 1.0e-4),
    "gpt3-175b": (175e9, 96, 12288, 96, 128, 3.2e6, 0.6e-4),
}


def test_all_rows_of_the_gpt3_table_are_there() -> None:
    assert [name for name in LADDER if name.startswith("gpt3-")] == list(GPT3)


@pytest.mark.parametrize("size", GPT3)
def test_gpt3_rows_are_those_of_the_paper(size: str) -> None:
    parameters, layers, width, heads, head_dim, batch_tokens, learning_rate = GPT3[size]
    row = LADDER[size]
    assert (row.layers, row.head_dim, row.learning_rate) == (layers, head_dim, learning_rate)
    assert row.width == (width or heads * head_dim)
    assert row.heads == (heads or width // head_dim)
    assert row.heads * row.head_dim == row.width
    assert row.batch_tokens == pytest.approx(
        batch_tokens, rel=0.05
    )  # the paper rounds; ours are powers of two
    assert row.context == 2048
    # The paper's names of its sizes are themselves rounded: 2.7B is 2.65, 350M is 356.
    assert model_config(size, vocab_size=50_257).num_parameters == pytest.approx(parameters, rel=0.03)
    if width is None or heads is None:
        assert "paper" in row.note


def test_an_mlp_without_a_gate_is_as_much_wider_as_it_has_fewer_matrices() -> None:
    gated, plain = (
        model_config("gpt3-125m", vocab_size=32_000, overrides={"model_type": kind})
        for kind in ("llama", "arcee")
    )
    assert (gated.intermediate_size, plain.intermediate_size) == (2048, 3072)
    assert plain.num_parameters == gated.num_parameters


def test_an_unknown_size_names_the_closest() -> None:
    with pytest.raises(RecipeError, match="'gpt2-small'") as error:
        rung("gpt2-smal")
    assert "gpt3-175b" in error.value.hint


def test_overrides_change_fields_and_unknown_ones_name_the_closest() -> None:
    config = model_config("tiny", vocab_size=300, overrides={"num_hidden_layers": 6, "model_type": "llama"})
    assert (config.num_hidden_layers, config.model_type, config.vocab_size) == (6, "llama", 300)
    with pytest.raises(RecipeError, match="num_hidden_layers") as error:
        model_config("tiny", vocab_size=300, overrides={"num_hiden_layers": 6})
    assert "tiny" in error.value.message
