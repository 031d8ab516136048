"""Predicted memory: activations against autograd, and the ladder of bytes a parameter."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tsuzuri.core.errors import RecipeError
from tsuzuri.lab.devices import DEVICES, GIB
from tsuzuri.lab.memory import kept_bytes, predict, update_bytes
from tsuzuri.lab.step import Graph, Step
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import GPT
from tsuzuri.model.ladder import model_config
from tsuzuri.training.memory import CHUNK, RECIPES, memory_recipe

ROWS, LENGTH = 2, 48


def tiny(model_type: str, **changes: object) -> ModelConfig:
    """A model of that family, some fields changed; where it may group its heads, it does."""
    values = {
        "model_type": model_type,
        "vocab_size": 64,
        "hidden_size": 128,
        "intermediate_size": 320,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 4 if model_type == "gpt2" else 2,
        "head_dim": 32,
        "max_position_embeddings": LENGTH,
        **changes,
    }
    return ModelConfig.model_validate(values)


def saved_bytes(config: ModelConfig, dtype: torch.dtype, *, compiled: bool = False) -> int:
    """Bytes that autograd keeps of the first of a model's blocks, weights apart."""
    model = GPT(config, torch.Generator().manual_seed(1))
    if compiled:  # as inductor divides the graph, without the machine code that it would make of it
        model.layers[0].compile(dynamic=False, fullgraph=True, backend="aot_eager_decomp_partition")
    of_the_model = {
        tensor.untyped_storage().data_ptr()
        for tensor in (*model.parameters(), *model.rotary_tables(torch.device("cpu")))
    }
    kept: dict[int, torch.UntypedStorage] = {}  # held, or an address would be used again

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in of_the_model:
            kept[storage.data_ptr()] = storage
        return tensor

    x = torch.ones(ROWS, LENGTH, config.hidden_size, dtype=dtype, requires_grad=True)
    cos, sin = (table[None, :, None] for table in model.rotary_tables(torch.device("cpu")))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.layers[0](x, None if config.is_classic else (cos, sin), None)
    return sum(storage.nbytes() for storage in kept.values())


def predicted_bytes(config: ModelConfig, dtype: torch.dtype, graph: Graph) -> float:
    """What should be kept of a block: its activations and its matrices as they were cast."""
    matrices = sum(p.numel() for p in GPT(config).layers[0].parameters() if p.dim() == 2)
    casts = 0 if dtype == torch.float32 else dtype.itemsize * matrices
    return ROWS * LENGTH * kept_bytes(config, graph, dtype.itemsize, LENGTH) + casts


@pytest.mark.parametrize("model_type", ["llama", "qwen3", "arcee", "gpt2"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_a_block_keeps_is_what_autograd_keeps(model_type: str, dtype: torch.dtype) -> None:
    config = tiny(model_type)
    assert saved_bytes(config, dtype) == pytest.approx(predicted_bytes(config, dtype, "eager"), rel=0.005)


@pytest.mark.parametrize("model_type", ["llama", "arcee"])
@pytest.mark.parametrize("activation", ["silu", "gelu", "relu2"])
def test_every_activation_keeps_as_much(model_type: str, activation: str) -> None:
    config = tiny(model_type, hidden_act=activation)
    kept, dtype = saved_bytes(config, torch.bfloat16), torch.bfloat16
    assert kept == pytest.approx(predicted_bytes(config, dtype, "eager"), rel=0.005)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's, of its own parts, while it compiles
@pytest.mark.parametrize("model_type", ["qwen3", "arcee", "gpt2"])
def test_what_a_compiled_block_keeps_is_what_autograd_keeps(model_type: str) -> None:
    config, dtype = tiny(model_type), torch.bfloat16
    kept = saved_bytes(config, dtype, compiled=True)
    assert kept == pytest.approx(predicted_bytes(config, dtype, "compiled"), rel=0.01)


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ("adamw", 16),
        ("muon", 12),
        ("adamw-bf16-states", 12),
        ("adamw-8bit", 10.03),
        ("adafactor", 8),
        ("adagrad", 12),
        ("bf16-adamw-8bit", 6.03),
        ("bf16-adafactor", 4),
        ("bf16-adafactor-in-backward", 2),
        ("offload-adamw", 4),
    ],
)
def test_each_recipe_declares_its_bytes_a_parameter(recipe: str, expected: float) -> None:
    assert memory_recipe(recipe).bytes_per_parameter == pytest.approx(expected, abs=0.01)
    assert set(RECIPES) == {
        *("muon", "adamw", "adamw-bf16-states", "adamw-8bit", "adafactor", "adagrad", "bf16-adamw-8bit"),
        *("bf16-adafactor", "bf16-adafactor-in-backward", "offload-adamw"),
    }


def test_an_unknown_recipe_is_answered_with_the_closest() -> None:
    with pytest.raises(RecipeError, match="did you mean 'adafactor'"):
        memory_recipe("adafacto")


def step(size: str = "gpt3-760m", **changes: object) -> Step:
    """A step of a row of the ladder on a RTX 3090, replicated, with some fields changed."""
    base = Step(
        model=model_config(size, vocab_size=32_000),
        recipe=RECIPES["adamw"],
        device=DEVICES["rtx3090"],
        precision="bfloat16",
        batch_tokens=524_288,
        length=2048,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def test_weights_gradients_and_states_are_those_of_every_parameter() -> None:
    parts = predict(step()).parts
    parameters = step().model.num_parameters
    assert parts["weights"] == parts["gradients"] == 4 * parameters
    assert parts["optimizer states"] == 8 * parameters
    assert predict(step()).total == sum(parts.values())


@pytest.mark.parametrize(
    ("size", "gib"),
    [("gpt3-350m", 5.5), ("gpt3-760m", 11.6), ("gpt3-1.3b", 20.0), ("gpt3-2.7b", 39.9), ("gpt3-6.7b", 99.9)],
)
def test_the_ladder_is_that_which_was_worked_out_by_hand(size: str, gib: float) -> None:
    """Weights, gradients and states of AdamW in float32."""
    parts = predict(step(size)).parts
    states = sum(parts[part] for part in ("weights", "gradients", "optimizer states"))
    assert states / GIB == pytest.approx(gib, rel=0.1)


def test_muon_keeps_less_than_adamw_and_holds_a_chunk_while_it_iterates() -> None:
    """Its momentum is half of AdamW's moments; matrices are stacked, but never all of them."""
    wide = step("gpt3-2.7b", recompute=True, rows=1)
    muon = predict(replace(wide, recipe=RECIPES["muon"]))
    adamw = predict(wide)
    assert muon.parts["optimizer states"] < adamw.parts["optimizer states"]
    assert muon.total < adamw.total
    narrow = step("gpt3-1.3b", recompute=True)
    assert 0 == update(wide, "adamw") < update(narrow, "muon") == 16 * CHUNK
    assert (
        update(wide, "muon")
        == 16 * max(p.numel() for p in meta(wide.model).layers[0].parameters())
        > 16 * CHUNK
    )


def meta(config: ModelConfig) -> GPT:
    """A model without weights."""
    with torch.device("meta"):
        return GPT(config)


def update(made: Step, recipe: str) -> float:
    """Bytes that an optimizer holds within its step."""
    return update_bytes(replace(made, recipe=RECIPES[recipe]))


def test_recomputation_and_fewer_rows_take_less_and_plain_code_takes_more() -> None:
    total = {name: predict(step(**changes)).total for name, changes in WAYS.items()}  # type: ignore[arg-type]
    assert total["recompute"] < total["compiled"] < total["eager"] < total["plain"]
    assert total["compiled"] < total["two rows"]


WAYS = {
    "compiled": {},
    "two rows": {"rows": 2},
    "recompute": {"recompute": True},
    "eager": {"graph": "eager"},
    "plain": {"graph": "plain"},
}


def test_sharding_divides_what_every_rank_had_whole() -> None:
    node = step("gpt3-6.7b", device=DEVICES["a100-80x8"], recompute=True)
    whole, sharded = predict(node), predict(replace(node, sharded=True))
    for part in ("weights", "optimizer states"):
        assert sharded.parts[part] == whole.parts[part] / 8
    assert sharded.parts["gathered blocks"] > 0
    shared = predict(replace(node, sharded=True, tensor=8))
    assert shared.parts["activations"] == sharded.parts["activations"] / 8


def test_offloaded_states_stand_in_the_host() -> None:
    memory = predict(step(recipe=RECIPES["offload-adamw"]))
    assert memory.parts["optimizer states"] == 0
    assert memory.host_bytes == (16 + 14) * step().model.num_parameters  # and the copy for a checkpoint


def test_what_is_updated_in_the_backward_pass_keeps_one_gradient() -> None:
    memory = predict(step(recipe=RECIPES["bf16-adafactor-in-backward"], recompute=True))
    assert memory.parts.get("gradients", 0) < 0.1 * memory.parts["weights"]


def test_all_logits_are_the_hidden_memory() -> None:
    """32 rows of 2048 tokens and a vocabulary of 65,536 make 8 GiB of logits in bfloat16 (nanochat #443)."""
    model = model_config("gpt3-125m", vocab_size=65_536)
    plain = predict(step(model=model, rows=32, graph="plain"))
    chunked = predict(step(model=model, rows=32))
    assert plain.parts["loss"] == 4 * 8 * GIB
    assert chunked.parts["loss"] < 4 * GIB
