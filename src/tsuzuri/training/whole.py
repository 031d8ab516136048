"""The whole model, for who only reads it, where each rank holds a part: evaluation, samples, the release."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from tsuzuri.model.gpt import GPT


@contextmanager
def readable(model: GPT, dtype: torch.dtype) -> Iterator[GPT]:
    """A model of whole weights that computes in `dtype` what `model` does; itself where they are whole.

    Its blocks are gathered as they are used and given up again, so it needs the memory of one; every rank
    must use it alike.
    """
    if not any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        yield model
        return
    whole = _without_weights(model)
    for name, parameter in _outside_blocks(model):
        _set(whole, name, _whole(parameter, dtype))
    for part, block in zip(model.layers, whole.layers, strict=True):
        block.register_forward_pre_hook(partial(_gather, part, dtype))
        block.register_forward_hook(_give_up)
    yield whole


def gathered(model: GPT, *, keep: bool) -> GPT | None:
    """A copy of the model with whole weights in the host's memory on the ranks that `keep` it.

    All ranks give their parts of it, a parameter at a time.
    """
    state = {}
    for name, parameter in model.named_parameters():
        whole = _whole(parameter, parameter.dtype)
        if keep:
            state[name] = whole.to("cpu")
    if not keep:
        return None
    copy = _without_weights(model)
    copy.load_state_dict(state, assign=True)
    return copy


def _without_weights(model: GPT) -> GPT:
    with torch.device("meta"):
        return GPT(model.config)


def _outside_blocks(model: GPT) -> Iterator[tuple[str, nn.Parameter]]:
    return (item for item in model.named_parameters() if not item[0].startswith("layers."))


def _whole(parameter: Tensor, dtype: torch.dtype) -> Tensor:
    """The whole of a parameter; matrices in `dtype`, to which they are cast anyway where they are used."""
    part = parameter.detach()
    if part.dim() > 1:
        part = part.to(dtype)
    return part.full_tensor() if isinstance(part, DTensor) else part


def _gather(part: nn.Module, dtype: torch.dtype, block: nn.Module, inputs: Any) -> None:
    with torch.inference_mode(False), torch.no_grad():  # within inference no DTensor can be detached
        for name, parameter in part.named_parameters():
            _set(block, name, _whole(parameter, dtype))


def _give_up(block: nn.Module, inputs: Any, output: Tensor) -> None:
    for name, parameter in list(block.named_parameters()):
        _set(block, name, parameter.to("meta"))


def _set(module: nn.Module, name: str, value: Tensor) -> None:
    path, _, last = name.rpartition(".")
    module.get_submodule(path).register_parameter(last, nn.Parameter(value, requires_grad=False))
