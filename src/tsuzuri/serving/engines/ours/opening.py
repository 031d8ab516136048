"""From a folder to an engine that runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch

from tsuzuri.core.errors import RecipeError, ResourceError
from tsuzuri.generation.rules import TokenRules, token_rules
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import GPT
from tsuzuri.model.hf import load_model, read_config
from tsuzuri.serving.engines.ours.accelerator import AcceleratorDecoder
from tsuzuri.serving.engines.ours.batching import Decoder
from tsuzuri.serving.engines.ours.config import EngineConfig
from tsuzuri.serving.engines.ours.cpu import CpuDecoder, slot_bytes
from tsuzuri.serving.engines.ours.engine import OurEngine
from tsuzuri.tokenizer.codec import Tokenizer

MIB = 1 << 20


def open_engine(folder: Path, config: EngineConfig | None = None, *, name: str = "ours") -> OurEngine:
    """The engine of a release, or of any GPT-2, Llama or Qwen3 folder with a tokenizer.json.

    InputError and IntegrityError as `load_model`; ResourceError where the device is not there, or the memory
    for keys and values does not hold one context.
    """
    config = config or EngineConfig()
    shape = read_config(folder)
    rules = token_rules(Tokenizer.load(folder), shape.vocab_size, folder)
    return engine_of(lambda: _model(folder, config), shape, rules, config, name=name)


def model_decoder(folder: Path, config: EngineConfig, *, slots: int) -> Decoder:
    """The decoder of a folder's model, to be opened on the thread that computes with it."""
    device = _device(config.device)
    return _decoder(_model(folder, config), device, _precision(config, device), slots)


def engine_of(
    open_model: Callable[[], GPT],
    shape: ModelConfig,
    rules: TokenRules,
    config: EngineConfig,
    *,
    name: str = "ours",
) -> OurEngine:
    """The engine of a model of that shape, opened on the engine's own thread."""
    device = _device(config.device)
    precision = _precision(config, device)
    slots = held_slots([shape], config)
    return OurEngine(
        lambda: _decoder(open_model(), device, precision, slots),
        rules,
        name=name,
        slots=slots,
        queue=config.queue,
        chunk_tokens=config.chunk_tokens,
        threads=config.threads,
    )


def _device(wanted: str) -> torch.device:
    has_cuda = torch.cuda.is_available()
    if wanted == "cuda" and not has_cuda:
        raise ResourceError("this machine's torch finds no cuda device", hint="engine: {device: cpu}")
    return torch.device("cuda" if has_cuda and wanted != "cpu" else "cpu")


def _precision(config: EngineConfig, device: torch.device) -> Literal["float32", "bfloat16", "int8"]:
    if config.precision == "auto":
        return "int8" if device.type == "cpu" else "bfloat16"
    if config.precision == "int8" and device.type != "cpu":
        raise RecipeError("int8 is for a CPU", hint="engine: {precision: bfloat16}")
    return config.precision


def held_slots(shapes: Sequence[ModelConfig], config: EngineConfig, *, also_bytes: int = 0) -> int:
    """As many as were asked for, or as the memory holds: of models that read the same, and what they take
    together beside it."""
    device = _device(config.device)
    precision = _precision(config, device)
    one = also_bytes + sum(_slot_bytes(shape, device, precision) for shape in shapes)
    held = config.cache_mib * MIB // one
    if not held:
        raise ResourceError(
            f"keys and values of one context take {one / MIB:,.0f} MiB, cache_mib is {config.cache_mib:,}",
            hint=f"engine: {{cache_mib: {-(-one // MIB)}}} or more",
        )
    return min(config.slots, held)


def _slot_bytes(model: ModelConfig, device: torch.device, precision: str) -> int:
    if device.type == "cpu":
        return slot_bytes(model, is_int8=precision == "int8")
    heads = 2 * model.num_hidden_layers * model.num_key_value_heads * model.head_dim
    return heads * (model.max_position_embeddings + 1) * (2 if precision == "bfloat16" else 4)


def _model(folder: Path, config: EngineConfig) -> GPT:
    device = _device(config.device)
    is_small = device.type != "cpu" and _precision(config, device) == "bfloat16"
    return load_model(folder, device=device, dtype=torch.bfloat16 if is_small else torch.float32)


def _decoder(model: GPT, device: torch.device, precision: str, slots: int) -> Decoder:
    if device.type == "cpu":
        return CpuDecoder(model, precision=precision, slots=slots)
    return AcceleratorDecoder(model, slots=slots)
