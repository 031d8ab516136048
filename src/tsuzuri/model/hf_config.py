"""config.json of Llama, Qwen3, Arcee and GPT-2, both ways, as Transformers 4.56 to 5.x name things; no torch.

What a config.json asks for and `model.gpt` does not compute (another activation, rotary positions scaled
otherwise than Llama 3.1's, biases in attention, sliding windows, quantised weights) is refused by name, never
ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tsuzuri.core.config import parse_config
from tsuzuri.core.errors import InputError, RecipeError
from tsuzuri.model.config import ModelConfig, RopeScaling

_CLASSES: Final = {
    "llama": ("LlamaForCausalLM", "LlamaModel"),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Model"),
    "arcee": ("ArceeForCausalLM", "ArceeModel"),
    "gpt2": ("GPT2LMHeadModel", "GPT2Model"),
}
"""model_type → the class that is written, and its base, whose tensors are the same."""

_CLASSIC_NAMES: Final = {
    "vocab_size": "vocab_size",
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "max_position_embeddings": "n_positions",
}
"""ModelConfig's field → GPT-2's own."""
_MODERN_NAMES: Final = {name: name for name in (*_CLASSIC_NAMES, "intermediate_size")}

_MODERN_ONLY: Final[dict[str, tuple[Any, ...]]] = {
    "hidden_act": ("silu", "gelu", "relu2", "swish"),
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "use_sliding_window": (False,),
    "quantization_config": (None,),
}
"""The values that `model.gpt` computes; an absent key means one of them."""
_CLASSIC_ONLY: Final[dict[str, tuple[Any, ...]]] = {
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
    "quantization_config": (None,),
}


def hf_config(config: ModelConfig, *, eos_id: int | None, dtype: str = "float32") -> dict[str, Any]:
    """The values of config.json for weights of `dtype` (torch's name) and documents between `eos_id`s."""
    common = {
        "architectures": [_CLASSES[config.model_type][0]],
        "model_type": config.model_type,
        "bos_token_id": eos_id,
        "eos_token_id": eos_id,
        "tie_word_embeddings": config.tie_word_embeddings,
        "initializer_range": config.initializer_range,
        "use_cache": True,
        "dtype": dtype,
        "torch_dtype": dtype,  # what readers older than Transformers 4.56 call it
    }
    return {**common, **(_classic_values(config) if config.is_classic else _modern_values(config))}


def config_from_hf(values: Mapping[str, Any]) -> ModelConfig:
    """The architecture that the values of a config.json describe.

    InputError names what they lack, and what they ask for that `model.gpt` does not compute.
    """
    kind = values.get("model_type")
    if kind not in _CLASSES:
        raise InputError(
            f"config.json: model_type {kind!r} is not computed here",
            hint=f"models of {', '.join(_CLASSES)} can be read",
        )
    _refuse_what_is_not_computed(values, kind)
    names = _CLASSIC_NAMES if kind == "gpt2" else _MODERN_NAMES
    wrong = [
        theirs for theirs in names.values() if not isinstance(values.get(theirs), int) or values[theirs] < 1
    ]
    if wrong:
        raise InputError(f"config.json: {', '.join(wrong)} must be given, as whole numbers from 1 on")
    fields = {
        "model_type": kind,
        **{ours: values[theirs] for ours, theirs in names.items()},
        **(_classic_fields(values) if kind == "gpt2" else _modern_fields(values, kind)),
        "initializer_range": values.get("initializer_range", 0.02),
    }
    try:
        return parse_config(ModelConfig, fields, where="config.json")
    except RecipeError as error:
        raise InputError(error.message) from error


def _modern_values(config: ModelConfig) -> dict[str, Any]:
    """Fields of LlamaConfig, Qwen3Config and ArceeConfig; rotary positions as 4.x and as 5.x write them."""
    scaling = config.rope_scaling
    scaled = {"rope_type": "llama3", **scaling.as_mapping()} if scaling else {}
    values = {
        **{name: getattr(config, name) for name in _MODERN_NAMES},
        "num_key_value_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "hidden_act": config.hidden_act,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": config.rope_theta,
        "rope_scaling": scaled or None,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta, **scaled},
        "attention_bias": False,
        "attention_dropout": 0.0,
    }
    if config.model_type != "qwen3":
        return {**values, "mlp_bias": False}
    return {
        **values,
        "use_sliding_window": False,
        "sliding_window": None,
        "max_window_layers": config.num_hidden_layers,
        "layer_types": ["full_attention"] * config.num_hidden_layers,
    }


def _classic_values(config: ModelConfig) -> dict[str, Any]:
    """Fields of GPT2Config, without dropout: the model was trained with none."""
    return {
        **{theirs: getattr(config, ours) for ours, theirs in _CLASSIC_NAMES.items()},
        "n_ctx": config.max_position_embeddings,  # the context's name in llama.cpp's converter
        "n_inner": config.intermediate_size,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": config.rms_norm_eps,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "scale_attn_weights": True,
    }


def _modern_fields(values: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The fields that a config.json may leave out, at the defaults of the configuration of its class."""
    heads, rope = values["num_attention_heads"], _rope_parameters(values)
    nested_theta, theta = rope.get("rope_theta"), values.get("rope_theta")
    if nested_theta and theta and nested_theta != theta:
        raise InputError(f"config.json: rope_parameters with {nested_theta} and rope_theta {theta} disagree")
    activation = values.get("hidden_act", "relu2" if kind == "arcee" else "silu")
    return {
        "hidden_act": "silu" if activation == "swish" else activation,
        "num_key_value_heads": values.get("num_key_value_heads") or heads,
        "head_dim": values.get("head_dim") or (128 if kind == "qwen3" else values["hidden_size"] // heads),
        "rms_norm_eps": values.get("rms_norm_eps", 1e-5 if kind == "arcee" else 1e-6),
        "rope_theta": nested_theta or theta or 10_000.0,
        "rope_scaling": _scaling(rope),
        "tie_word_embeddings": values.get("tie_word_embeddings", False),
    }


def _classic_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that a config.json may leave out, at the defaults of GPT2Config."""
    return {
        "intermediate_size": values.get("n_inner") or 4 * values["n_embd"],
        "num_key_value_heads": values["n_head"],
        "head_dim": values["n_embd"] // values["n_head"],
        "rms_norm_eps": values.get("layer_norm_epsilon", 1e-5),
        "tie_word_embeddings": values.get("tie_word_embeddings", True),
    }


def _refuse_what_is_not_computed(values: Mapping[str, Any], kind: str) -> None:
    for name in values.get("architectures") or []:
        if name not in _CLASSES[kind]:
            raise InputError(
                f"config.json: the architecture {name} is not computed here, only {_CLASSES[kind][0]}"
            )
    for key, computed in (_CLASSIC_ONLY if kind == "gpt2" else _MODERN_ONLY).items():
        if values.get(key, computed[0]) not in computed:
            known = " or ".join(map(repr, computed))
            raise InputError(f"config.json: {key} = {values[key]!r} is not computed here, only {known}")
    other_layers = {str(layer) for layer in values.get("layer_types") or []} - {"full_attention"}
    if other_layers:
        raise InputError(f"config.json: layers of {', '.join(sorted(other_layers))} are not computed here")
    rope = _rope_parameters(values) if kind != "gpt2" else {}
    partial = values.get("partial_rotary_factor") or rope.get("partial_rotary_factor") or 1.0
    if _rope_type(rope) not in ("default", "llama3") or partial != 1.0:
        raise InputError(f"config.json: rope_scaling or rope_parameters {dict(rope)} is not computed here")


def _rope_parameters(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The rotary settings of either notation; of both, rope_scaling counts, as in Transformers 5."""
    rope = values.get("rope_scaling") or values.get("rope_parameters") or {}
    if not isinstance(rope, Mapping):
        raise InputError(f"config.json: rope_scaling or rope_parameters {rope!r} is no mapping")
    return rope


def _rope_type(rope: Mapping[str, Any]) -> str:
    return str(rope.get("rope_type", rope.get("type", "default")))


def _scaling(rope: Mapping[str, Any]) -> dict[str, Any] | None:
    if _rope_type(rope) == "default":
        return None
    missing = RopeScaling.model_fields.keys() - rope.keys()
    if missing:
        raise InputError(f"config.json: the llama3 scaling lacks {', '.join(sorted(missing))}")
    return {name: rope[name] for name in RopeScaling.model_fields}
