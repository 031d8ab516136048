"""Models in Hugging Face folders of Llama, Qwen3, Arcee and GPT-2, both ways: a renaming in safetensors.

Transformers itself is imported in neither direction. What a folder holds or asks for beyond what `model.gpt`
computes is an error: the logits are Transformers' or there are none.

GPT-2 keeps its projections as (in, out) matrices, the transpose of ours, and queries, keys and values in one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from tsuzuri.core.errors import InputError, IntegrityError
from tsuzuri.core.files import atomic_file, write_json
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import GPT
from tsuzuri.model.hf_config import config_from_hf, hf_config

WEIGHTS: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
SHARD_BYTES: Final = 5_000_000_000
"""Largest file of weights: the Hugging Face hub's old default, which every reader copes with."""

_PREFIXES: Final = {"llama": "model.", "qwen3": "model.", "arcee": "model.", "gpt2": "transformer."}
_CLASSIC_PARTS: Final = {
    "embed_tokens": "wte",
    "embed_positions": "wpe",
    "layers": "h",
    "input_layernorm": "ln_1",
    "self_attn": "attn",
    "q_proj": "c_attn",
    "k_proj": "c_attn",
    "v_proj": "c_attn",
    "o_proj": "c_proj",
    "post_attention_layernorm": "ln_2",
    "up_proj": "c_fc",
    "down_proj": "c_proj",
    "norm": "ln_f",
}
"""Parts of our parameters' names → GPT-2's own. Those of the others are ours."""
_FUSED: Final = ("q_proj", "k_proj", "v_proj")
_BUFFERS: Final = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")
"""Constants that older versions of Transformers kept among the weights."""


def hf_state(config: ModelConfig, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A GPT's state dict in the names and layouts of its Hugging Face class; views where they can be."""
    result: dict[str, Tensor] = {}
    for name, tensor in state.items():
        theirs = _hf_name(config, name)
        if theirs in result:
            continue  # keys and values, which went with the queries
        if config.is_classic and ".q_proj." in name:
            tensor = torch.cat([state[name.replace("q_proj", part)] for part in _FUSED])
        result[theirs] = tensor.T if _is_transposed(config, name, tensor) else tensor
    return result


def state_from_hf(
    config: ModelConfig, tensors: Mapping[str, Tensor], *, where: str = "the weights"
) -> dict[str, Tensor]:
    """A GPT's state dict from the tensors of its Hugging Face class, or of that class's base; views.

    IntegrityError, opening with `where`, names tensors that are missing, unexpected, of another shape or
    quantised, and an output head that differs from the embedding that it is said to be.
    """
    found = dict(_with_prefix(config, tensors))
    head = found.pop("lm_head.weight", None) if config.tie_word_embeddings else None
    ours = _empty_model(config).state_dict()
    _compare(hf_state(config, ours), found, where)
    if head is not None and not torch.equal(head, found[_hf_name(config, "embed_tokens.weight")]):
        raise IntegrityError(
            f"{where}: lm_head.weight is not the embedding, which tie_word_embeddings says it is",
            hint="set tie_word_embeddings to false in config.json",
        )
    return {name: _ours(config, name, found) for name in ours}


def save_model(
    model: GPT,
    folder: Path,
    *,
    eos_id: int | None,
    dtype: torch.dtype = torch.float32,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write config.json and model.safetensors (above `shard_bytes`: shards and an index) into `folder`."""
    folder = Path(folder)
    tensors = hf_state(model.config, {name: tensor.detach() for name, tensor in model.state_dict().items()})
    shards = _shards(tensors, dtype, shard_bytes)
    for file, names in shards.items():
        weights = {name: tensors[name].to("cpu", dtype).contiguous() for name in names}
        with atomic_file(folder / file) as opened:
            opened.write(save(weights, metadata={"format": "pt"}))  # save_file hides what the disk answers
    if len(shards) > 1:
        total_bytes = sum(tensor.numel() for tensor in tensors.values()) * dtype.itemsize
        weight_map = {name: file for file, names in shards.items() for name in names}
        write_json(folder / INDEX, {"metadata": {"total_size": total_bytes}, "weight_map": weight_map})
    dtype_name = str(dtype).removeprefix("torch.")
    write_json(folder / "config.json", hf_config(model.config, eos_id=eos_id, dtype=dtype_name))


def read_config(folder: Path) -> ModelConfig:
    """The architecture of a Hugging Face folder; InputError where it has none that is computed here."""
    return config_from_hf(_read_json(Path(folder) / "config.json"))


def load_model(
    folder: Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> GPT:
    """The model in a folder of ours or of Transformers', its weights in `dtype` on `device`."""
    folder = Path(folder)
    config = read_config(folder)
    tensors = {name: tensor for path in _weight_files(folder) for name, tensor in _read_tensors(path)}
    state = state_from_hf(config, tensors, where=str(folder))
    model = _empty_model(config).to(dtype).to_empty(device=device)
    model.load_state_dict(state)
    return model


def _hf_name(config: ModelConfig, name: str) -> str:
    if name.startswith("lm_head."):
        return name
    parts = _CLASSIC_PARTS if config.is_classic else {}
    return _PREFIXES[config.model_type] + ".".join(parts.get(part, part) for part in name.split("."))


def _with_prefix(config: ModelConfig, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The tensors without constants, under the names of the class with the output head."""
    prefix = _PREFIXES[config.model_type]
    for name, tensor in tensors.items():
        if not name.endswith(_BUFFERS):
            yield name if name.startswith((prefix, "lm_head.")) else prefix + name, tensor


def _is_transposed(config: ModelConfig, name: str, tensor: Tensor) -> bool:
    return config.is_classic and name.startswith("layers.") and tensor.dim() == 2


def _ours(config: ModelConfig, name: str, tensors: Mapping[str, Tensor]) -> Tensor:
    tensor = tensors[_hf_name(config, name)]
    tensor = tensor.T if _is_transposed(config, name, tensor) else tensor
    part = name.split(".")[-2]
    return tensor.chunk(3)[_FUSED.index(part)] if config.is_classic and part in _FUSED else tensor


def _empty_model(config: ModelConfig) -> GPT:
    with torch.device("meta"):
        return GPT(config)


def _compare(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], where: str) -> None:
    missing, unexpected = expected.keys() - found.keys(), found.keys() - expected.keys()
    for names, fault in (
        (missing, "missing"),
        (unexpected, "not part of the model that config.json describes"),
    ):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise IntegrityError(f"{where}: {', '.join(sorted(names)[:3])}{more}: {fault}")
    for name, tensor in expected.items():
        if tensor.shape != found[name].shape:
            shapes = f"{tuple(found[name].shape)}, where config.json asks for {tuple(tensor.shape)}"
            raise IntegrityError(f"{where}: {name} has the shape {shapes}")
        if not found[name].is_floating_point():
            raise IntegrityError(f"{where}: {name} holds {found[name].dtype}, not floating-point weights")


def _shards(tensors: Mapping[str, Tensor], dtype: torch.dtype, shard_bytes: int) -> dict[str, list[str]]:
    """File name → names of its tensors, in their order; a tensor larger than `shard_bytes` stands alone."""
    shards: list[list[str]] = []
    room_bytes = 0
    for name, tensor in tensors.items():
        size_bytes = tensor.numel() * dtype.itemsize
        if not shards or size_bytes > room_bytes:
            shards.append([])
            room_bytes = shard_bytes
        shards[-1].append(name)
        room_bytes -= size_bytes
    if len(shards) == 1:
        return {WEIGHTS: shards[0]}
    return {f"model-{i:05}-of-{len(shards):05}.safetensors": names for i, names in enumerate(shards, start=1)}


def _weight_files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS).exists():
        return [folder / WEIGHTS]
    if not (folder / INDEX).exists():
        pickled = sorted(path.name for path in folder.glob("*.bin"))
        found = f"; {pickled[0]} is a pickle, which could run code and is not opened" if pickled else ""
        raise InputError(
            f"{folder} has no {WEIGHTS}{found}",
            hint="save the model as safetensors, for example with Transformers' save_pretrained",
        )
    weight_map = _read_json(folder / INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise IntegrityError(
            f"{folder / INDEX} has no weight_map of file names", hint="copy it from its source again"
        )
    return [folder / name for name in sorted(set(weight_map.values()))]


def _read_tensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    if not path.is_file():
        raise IntegrityError(
            f"{path} is missing, though {INDEX} names it", hint="copy it from its source again"
        )
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (no mapping)
                yield name, file.get_tensor(name)
    except SafetensorError as error:
        raise IntegrityError(
            f"{path} is torn or damaged: {error}", hint="copy it from its source again"
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(
            f"{path} does not exist", hint="give a folder with config.json and model.safetensors"
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise IntegrityError(
            f"{path} is torn or damaged: {error}", hint="copy it from its source again"
        ) from error
    if not isinstance(values, dict):
        raise IntegrityError(f"{path} holds a {type(values).__name__}, where an object was wanted")
    return values
