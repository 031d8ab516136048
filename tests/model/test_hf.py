"""Parity with the real Transformers, both ways, and one clear error for each folder that we cannot read."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.testing import assert_close

from tsuzuri.core.errors import InputError, IntegrityError, ResourceError
from tsuzuri.model.config import ModelConfig, RopeScaling
from tsuzuri.model.gpt import GPT, rotary_tables
from tsuzuri.model.hf import INDEX, WEIGHTS, hf_state, load_model, read_config, save_model, state_from_hf
from tsuzuri.model.hf_config import config_from_hf, hf_config

Build = Callable[[ModelConfig], GPT]

MODERN = {
    "vocab_size": 97,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 40,
}
CLASSIC = {"vocab_size": 97, "n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 40}

SCALED = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 30,
}
THEIRS = {
    "llama": transformers.LlamaConfig(**MODERN),
    "llama-grouped-tied": transformers.LlamaConfig(
        **MODERN,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        rms_norm_eps=1e-4,
        rope_theta=500_000.0,
    ),
    "llama-narrow-heads": transformers.LlamaConfig(**MODERN, head_dim=6),
    "llama-scaled": transformers.LlamaConfig(
        **MODERN, rope_parameters={"rope_theta": 1_000.0, **SCALED}, tie_word_embeddings=True
    ),
    "qwen3-scaled": transformers.Qwen3Config(
        **MODERN, num_key_value_heads=4, head_dim=12, rope_parameters={"rope_theta": 10_000.0, **SCALED}
    ),
    "qwen3": transformers.Qwen3Config(**MODERN, num_key_value_heads=4, head_dim=12, tie_word_embeddings=True),
    "qwen3-wide-heads": transformers.Qwen3Config(
        **MODERN,
        num_key_value_heads=1,
        head_dim=20,
        rope_theta=1_000_000.0,
    ),
    "llama-gelu": transformers.LlamaConfig(**MODERN, hidden_act="gelu"),
    "qwen3-relu2": transformers.Qwen3Config(**MODERN, num_key_value_heads=2, head_dim=12, hidden_act="relu2"),
    "arcee": transformers.ArceeConfig(**MODERN),
    "arcee-grouped-tied": transformers.ArceeConfig(
        **MODERN, num_key_value_heads=2, tie_word_embeddings=True, hidden_act="silu"
    ),
    "gpt2": transformers.GPT2Config(**CLASSIC),
    "gpt2-narrow-untied": transformers.GPT2Config(
        **CLASSIC, n_inner=80, layer_norm_epsilon=1e-3, tie_word_embeddings=False
    ),
}


def logits_of(model: GPT, tokens: Tensor) -> Tensor:
    with torch.no_grad():
        return model.logits(model(tokens))


def their_logits(model: Any, tokens: Tensor) -> Tensor:
    with torch.no_grad():
        return model.eval()(tokens).logits


def their_model(config: Any, kind: Any = transformers.AutoModelForCausalLM) -> Any:
    """A model of Transformers with every parameter random."""
    model = kind.from_config(config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2, generator=generator)
    return model


@pytest.fixture
def folder(tmp_path: Path, random_model: Build) -> Path:
    """A qwen3 model with an output head of its own."""
    save_model(
        random_model(ModelConfig(vocab_size=97, hidden_size=32, tie_word_embeddings=False)),
        tmp_path,
        eos_id=0,
    )
    return tmp_path


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_transformers_computes_the_logits_of_what_we_save(
    config: ModelConfig, random_model: Build, tokens: Tensor, tmp_path: Path
) -> None:
    model = random_model(config)
    save_model(model, tmp_path, eos_id=5)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(theirs).__name__ == hf_config(config, eos_id=5)["architectures"][0]
    assert theirs.dtype == torch.float32
    assert (theirs.config.bos_token_id, theirs.config.eos_token_id) == (5, 5)
    assert sum(parameter.numel() for parameter in theirs.parameters()) == config.num_parameters
    assert_close(logits_of(model, tokens), their_logits(theirs, tokens))


@pytest.mark.parametrize("kind", THEIRS)
def test_we_compute_the_logits_of_what_transformers_saves(kind: str, tokens: Tensor, tmp_path: Path) -> None:
    theirs = their_model(THEIRS[kind])
    theirs.save_pretrained(tmp_path)
    assert_close(logits_of(load_model(tmp_path), tokens), their_logits(theirs, tokens))


@pytest.mark.parametrize("kind", ["llama-grouped-tied", "qwen3", "gpt2"])
def test_a_base_model_without_the_prefix_is_read(kind: str, tokens: Tensor, tmp_path: Path) -> None:
    base = their_model(THEIRS[kind], transformers.AutoModel)
    base.save_pretrained(tmp_path)
    with torch.no_grad():
        assert_close(load_model(tmp_path)(tokens), base.eval()(tokens).last_hidden_state)


def test_saving_and_loading_keeps_every_bit_and_makes_the_same_files(
    config: ModelConfig, random_model: Build, tmp_path: Path
) -> None:
    model = random_model(config)
    save_model(model, tmp_path / "a", eos_id=None)
    loaded = load_model(tmp_path / "a")
    assert loaded.config == config
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in loaded.state_dict().items())
    save_model(loaded, tmp_path / "b", eos_id=None)
    for name in ("config.json", WEIGHTS):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_weights_can_be_saved_and_loaded_in_bfloat16(
    config: ModelConfig, random_model: Build, tokens: Tensor, tmp_path: Path
) -> None:
    model = random_model(config)
    save_model(model, tmp_path, eos_id=0, dtype=torch.bfloat16)
    assert all(tensor.dtype == torch.bfloat16 for tensor in load_file(tmp_path / WEIGHTS).values())
    assert transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto").dtype == torch.bfloat16
    rounded = load_model(tmp_path, dtype=torch.bfloat16)
    assert all(parameter.dtype == torch.bfloat16 for parameter in rounded.parameters())
    widened = load_model(tmp_path)
    assert all(parameter.dtype == torch.float32 for parameter in widened.parameters())
    assert torch.equal(logits_of(widened, tokens), logits_of(rounded.float(), tokens))


def test_our_shards_are_read_by_transformers_and_by_us(
    config: ModelConfig, random_model: Build, tokens: Tensor, tmp_path: Path
) -> None:
    model = random_model(config)
    save_model(model, tmp_path, eos_id=0, shard_bytes=30_000)
    shards = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert len(shards) > 2
    assert shards[0] == f"model-00001-of-{len(shards):05}.safetensors"
    total_bytes = json.loads((tmp_path / INDEX).read_text())["metadata"]["total_size"]
    assert total_bytes == 4 * config.num_parameters
    expected = logits_of(model, tokens)
    assert torch.equal(logits_of(load_model(tmp_path), tokens), expected)
    assert_close(their_logits(transformers.AutoModelForCausalLM.from_pretrained(tmp_path), tokens), expected)


def test_transformers_shards_are_read(tokens: Tensor, tmp_path: Path) -> None:
    theirs = their_model(THEIRS["gpt2"])
    theirs.save_pretrained(tmp_path, max_shard_size="60KB")
    assert (tmp_path / INDEX).exists()
    assert_close(logits_of(load_model(tmp_path), tokens), their_logits(theirs, tokens))


@pytest.mark.parametrize(
    ("kind", "constant"),
    [
        ("gpt2", "transformer.h.0.attn.bias"),
        ("gpt2", "h.1.attn.masked_bias"),
        ("llama", "model.layers.0.self_attn.rotary_emb.inv_freq"),
    ],
)
def test_constants_of_old_folders_and_a_copied_head_are_passed_over(
    random_model: Build, kind: Any, constant: str
) -> None:
    config = ModelConfig(model_type=kind, vocab_size=97)
    expected = random_model(config).state_dict()
    copies = {constant: torch.ones(2), "lm_head.weight": expected["embed_tokens.weight"].clone()}
    state = state_from_hf(config, {**hf_state(config, expected), **copies})
    assert state.keys() == expected.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in expected.items())


def test_transformers_is_imported_in_neither_direction() -> None:
    code = "import sys, tsuzuri.model.hf; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_both_notations_of_rotary_positions_are_read() -> None:
    values = hf_config(ModelConfig(model_type="llama", rope_theta=123_456), eos_id=0)
    old = {key: value for key, value in values.items() if key != "rope_parameters"}
    new = {key: value for key, value in values.items() if key not in ("rope_theta", "rope_scaling")}
    neither = {key: value for key, value in old.items() if key != "rope_theta"}
    assert config_from_hf(values) == config_from_hf(old) == config_from_hf(new)
    assert config_from_hf(old).rope_theta == 123_456
    assert config_from_hf(neither).rope_theta == 10_000


def test_far_positions_turn_exactly_as_transformers_have_them() -> None:
    shape = {**MODERN, "max_position_embeddings": 131_072, "head_dim": 128}
    scaling = {**SCALED, "original_max_position_embeddings": 8192}
    theirs = transformers.LlamaConfig(**shape, rope_parameters={"rope_theta": 500_000.0, **scaling})
    rotary = transformers.models.llama.modeling_llama.LlamaRotaryEmbedding(theirs)
    expected = rotary(torch.ones(1), torch.arange(131_072)[None])
    config = config_from_hf(theirs.to_dict())
    assert config.rope_scaling == RopeScaling()
    for ours, wanted in zip(rotary_tables(config, torch.device("cpu")), expected, strict=True):
        assert_close(ours, wanted[0], rtol=0, atol=1e-6)


def test_fields_that_old_folders_leave_out_have_the_defaults_of_their_class() -> None:
    llama = config_from_hf({"model_type": "llama", **MODERN})
    assert (llama.num_key_value_heads, llama.head_dim, llama.tie_word_embeddings) == (4, 12, False)
    qwen3 = config_from_hf({"model_type": "qwen3", **MODERN})
    assert (qwen3.head_dim, qwen3.rms_norm_eps) == (128, 1e-6)
    assert (llama.hidden_act, qwen3.hidden_act) == ("silu", "silu")
    arcee = config_from_hf({"model_type": "arcee", **MODERN})
    assert (arcee.hidden_act, arcee.rms_norm_eps, arcee.rope_theta) == ("relu2", 1e-5, 10_000)
    gpt2 = config_from_hf({"model_type": "gpt2", **CLASSIC})
    assert (gpt2.intermediate_size, gpt2.rms_norm_eps, gpt2.tie_word_embeddings) == (192, 1e-5, True)


@pytest.mark.parametrize(
    ("kind", "changes", "named"),
    [
        ("llama", {"model_type": "mamba"}, "mamba"),
        ("llama", {"architectures": ["LlamaForSequenceClassification"]}, "LlamaForSequenceClassification"),
        ("llama", {"hidden_act": "tanh"}, "'tanh' is not computed here, only 'silu' or 'gelu' or 'relu2'"),
        ("llama", {"attention_bias": True}, "attention_bias"),
        ("llama", {"mlp_bias": True}, "mlp_bias"),
        ("arcee", {"mlp_bias": True}, "mlp_bias"),
        ("arcee", {"hidden_act": "gelu_new"}, "gelu_new"),
        (
            "llama",
            {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}},
            "lacks high_freq_factor, low_freq_factor, original_max_position_embeddings",
        ),
        ("llama", {"rope_scaling": {**SCALED, "factor": "eight"}}, "factor"),
        ("llama", {"rope_scaling": {**SCALED, "high_freq_factor": 1.0}}, "must exceed low_freq_factor"),
        ("llama", {"rope_scaling": {"type": "linear", "factor": 2.0}}, "linear"),
        ("qwen3", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e6}}, "yarn"),
        ("qwen3", {"partial_rotary_factor": 0.5}, "not computed"),
        ("qwen3", {"rope_theta": 5e5}, "10000.0 and rope_theta 500000.0"),
        ("qwen3", {"rope_scaling": "linear"}, "no mapping"),
        ("qwen3", {"use_sliding_window": True}, "use_sliding_window"),
        ("qwen3", {"layer_types": ["full_attention", "sliding_attention"]}, "sliding_attention"),
        ("qwen3", {"quantization_config": {"quant_method": "fp8"}}, "quantization_config"),
        ("qwen3", {"num_key_value_heads": 3}, "num_key_value_heads"),
        ("qwen3", {"rms_norm_eps": "small"}, "rms_norm_eps"),
        ("qwen3", {"vocab_size": None}, "vocab_size"),
        ("qwen3", {"num_attention_heads": 0}, "num_attention_heads"),
        ("gpt2", {"activation_function": "relu"}, "relu"),
        ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
        ("gpt2", {"add_cross_attention": True}, "add_cross_attention"),
        ("gpt2", {"n_head": 7}, "head_dim"),
        ("gpt2", {"n_embd": "wide"}, "n_embd"),
    ],
)
def test_what_we_do_not_compute_is_refused_by_name(kind: Any, changes: dict[str, Any], named: str) -> None:
    values = hf_config(ModelConfig(model_type=kind), eos_id=0)
    assert config_from_hf(values).model_type == kind
    with pytest.raises(InputError, match=named):
        config_from_hf({**values, **changes})


def test_our_config_is_refused_by_nobody_and_comes_back(config: ModelConfig) -> None:
    values = hf_config(config, eos_id=3)
    assert json.loads(json.dumps(values)) == values
    assert config_from_hf(values) == config


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t.pop("model.layers.1.mlp.up_proj.weight"), r"layers\.1\.mlp\.up_proj\.weight: missing"),
        (lambda t: t.pop("lm_head.weight"), r"lm_head\.weight: missing"),
        (lambda t: t.update({"model.layers.9.extra": torch.ones(1)}), r"layers\.9\.extra: not part"),
        (lambda t: t.update({"model.norm.weight": torch.ones(3)}), r"norm\.weight has the shape \(3,\)"),
        (lambda t: t.update({"model.norm.weight": torch.ones(32, dtype=torch.int8)}), "int8"),
    ],
)
def test_tensors_that_are_not_the_models_are_named(
    folder: Path, change: Callable[[dict[str, Tensor]], Any], named: str
) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)
    with pytest.raises(IntegrityError, match=named) as error:
        load_model(folder)
    assert str(folder) in error.value.message


def test_a_head_that_is_not_the_embedding_it_is_said_to_be_is_named(folder: Path) -> None:
    edit_config(folder, tie_word_embeddings=True)
    with pytest.raises(IntegrityError, match=r"lm_head\.weight") as error:
        load_model(folder)
    assert "tie_word_embeddings" in error.value.hint


@pytest.mark.parametrize("kept_bytes", [0, 5, 8, 100, 2000, -1])
def test_a_torn_file_of_weights_is_named(folder: Path, kept_bytes: int) -> None:
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:kept_bytes])
    with pytest.raises(IntegrityError, match=WEIGHTS):
        load_model(folder)


def test_garbage_in_place_of_weights_is_named(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"\xff" * 500)
    with pytest.raises(IntegrityError, match=WEIGHTS):
        load_model(folder)


def test_a_missing_shard_is_named(tmp_path: Path, random_model: Build) -> None:
    save_model(random_model(ModelConfig(vocab_size=97)), tmp_path, eos_id=0, shard_bytes=500_000)
    shard = sorted(tmp_path.glob("model-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(IntegrityError, match=shard.name):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "text", ['{"weight_map": 3}', '{"weight_map": {"a": 1}}', "[]", '{"weight', "\ufeff"]
)
def test_a_damaged_index_is_named(folder: Path, text: str) -> None:
    (folder / WEIGHTS).rename(folder / "model-00001-of-00001.safetensors")
    (folder / INDEX).write_text(text)
    with pytest.raises(IntegrityError, match=INDEX):
        load_model(folder)


def test_pickled_weights_are_not_opened(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model\.bin is a pickle") as error:
        load_model(folder)
    assert "safetensors" in error.value.hint


def test_a_folder_without_weights_or_config_says_what_is_wanted(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    with pytest.raises(InputError, match=WEIGHTS):
        load_model(folder)
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match=r"config\.json"):
        load_model(folder)
    with pytest.raises(InputError, match=r"config\.json"):
        read_config(folder / "absent")


@pytest.mark.parametrize("data", [b"", b'{"model_type": "lla', b"\xff\xfe", b"[1]"])
def test_a_damaged_config_is_named(folder: Path, data: bytes) -> None:
    (folder / "config.json").write_bytes(data)
    with pytest.raises(IntegrityError, match=r"config\.json"):
        load_model(folder)


def test_weights_are_as_readable_as_any_file_made_here(tmp_path: Path) -> None:
    save_model(GPT(ModelConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1)), tmp_path, eos_id=0)
    modes = {(tmp_path / name).stat().st_mode for name in ("model.safetensors", "config.json")}
    assert len(modes) == 1


def test_a_full_disk_leaves_no_weights_and_says_so(tmp_path: Path, random_model: Build) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    model = random_model(config_from_hf(THEIRS["llama"].to_dict()))
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        with pytest.raises(ResourceError, match=r"model\.safetensors cannot be written"):
            save_model(model, tmp_path, eos_id=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []
