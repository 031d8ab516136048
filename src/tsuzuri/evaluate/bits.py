"""Bits per byte and per character of held-out documents: exact, and comparable between tokenizers.

The bits of a document are −Σ log2 p over its tokens, its closing piece included, each predicted from the
tokens of the same document alone; they are divided by the UTF-8 bytes, or the characters, that its pieces
stand for (the closing piece stands for none). No logits are kept: losses are computed in chunks.
"""

from __future__ import annotations

import math
from typing import TypedDict

import torch

from tsuzuri.core.errors import InputError
from tsuzuri.data.box import TokenBox
from tsuzuri.data.heldout import heldout_rows
from tsuzuri.model.gpt import GPT
from tsuzuri.model.loss import IGNORE, token_losses
from tsuzuri.model.packing import document_mask, document_positions


class Bits(TypedDict):
    """The held-out bits of one source."""

    bits_per_byte: float
    bits_per_character: float
    tokens: int
    """Predicted, the closing pieces included."""
    bytes: int
    characters: int


@torch.inference_mode()
def heldout_bits(
    model: GPT,
    box: TokenBox,
    *,
    max_tokens: int,
    length: int = 0,
    batch_rows: int = 8,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Bits]:
    """The bits of each source that has held-out documents, and of `all` of them together.

    `max_tokens` bounds each source; `length` is the context in tokens (0: the model's). Raises InputError
    where no source has held-out documents.
    """
    context = model.config.max_position_embeddings
    length = min(length, context) or context
    sums = {
        source: _sums(
            model, box, source, max_tokens=max_tokens, length=length, batch_rows=batch_rows, dtype=dtype
        )
        for source in box.sources
    }
    sums = {source: values for source, values in sums.items() if values[1]}
    if not sums:
        raise InputError(
            f"{box.path} holds no held-out documents",
            hint="collect more documents, or hold out a larger share of them",
        )
    everything = tuple(sum(values) for values in zip(*sums.values(), strict=True))
    return {source: _bits(*values) for source, values in {**sums, "all": everything}.items()}


def _sums(
    model: GPT,
    box: TokenBox,
    source: str,
    *,
    max_tokens: int,
    length: int,
    batch_rows: int,
    dtype: torch.dtype,
) -> tuple[float, int, int, int]:
    """Nats, tokens, bytes and characters of a source's first `max_tokens` held-out tokens."""
    device = model.head.device
    nats, tokens, size, characters = 0.0, 0, 0, 0
    for inputs, targets in heldout_rows(
        box, source, length=length, max_tokens=max_tokens, batch_rows=batch_rows
    ):
        rows = torch.from_numpy(inputs).to(device)
        positions = document_positions(rows, box.eos_id) if model.config.is_classic else None
        hidden = model(rows, mask=document_mask(rows, box.eos_id), positions=positions, dtype=dtype)
        losses = token_losses(
            hidden.flatten(0, 1), model.head, torch.from_numpy(targets).to(device).flatten()
        )
        nats += float(losses.double().sum())
        predicted = targets[targets != IGNORE]
        tokens += len(predicted)
        size += int(box.piece_bytes[predicted].sum())
        characters += int(box.piece_characters[predicted].sum())
    return nats, tokens, size, characters


def _bits(nats: float, tokens: int, size: int, characters: int) -> Bits:
    bits = nats / math.log(2)
    return Bits(
        bits_per_byte=bits / max(size, 1),
        bits_per_character=bits / max(characters, 1),
        tokens=tokens,
        bytes=size,
        characters=characters,
    )
