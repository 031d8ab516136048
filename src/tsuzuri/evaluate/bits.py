"""Bits per byte and per character of held-out documents: exact, and comparable between tokenizers.

The bits of a document are −Σ log2 p over its tokens, its closing piece included, each predicted from the
tokens of the same document alone; they are divided by the UTF-8 bytes, or the characters, that its pieces
stand for (the closing piece stands for none). No logits are kept: losses are computed in chunks. What each
document costs is kept, so that `evaluate.intervals` can draw documents again.
"""

from __future__ import annotations

import math
from typing import TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt
import torch

from tsuzuri.core.errors import InputError
from tsuzuri.data.box import TokenBox
from tsuzuri.data.heldout import heldout_rows
from tsuzuri.model.gpt import GPT
from tsuzuri.model.loss import IGNORE, token_losses
from tsuzuri.model.packing import document_mask, document_positions

Sums: TypeAlias = npt.NDArray[np.float64]
"""(documents, 4): the nats, tokens, bytes and characters of each, in the order of the shard."""


class Bits(TypedDict):
    """The held-out bits of one source."""

    bits_per_byte: float
    bits_per_character: float
    tokens: int
    """Predicted, the closing pieces included."""
    bytes: int
    characters: int


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

    The arguments are those of `heldout_sums`.
    """
    sums = heldout_sums(model, box, max_tokens=max_tokens, length=length, batch_rows=batch_rows, dtype=dtype)
    return bits_of(sums)


@torch.inference_mode()
def heldout_sums(
    model: GPT,
    box: TokenBox,
    *,
    max_tokens: int,
    length: int = 0,
    batch_rows: int = 8,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Sums]:
    """What each held-out document of each source that has some costs; of the last one as much as was read.

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
    sums = {source: values for source, values in sums.items() if len(values)}
    if not sums:
        raise InputError(
            f"{box.path} holds no held-out documents",
            hint="collect more documents, or hold out a larger share of them",
        )
    return sums


def bits_of(sums: dict[str, Sums]) -> dict[str, Bits]:
    """The bits of each source, and of `all` of them together."""
    totals = {source: values.sum(0) for source, values in sums.items()}
    everything: Sums = np.sum(list(totals.values()), 0)
    return {source: _bits(*values.tolist()) for source, values in {**totals, "all": everything}.items()}


def _sums(
    model: GPT,
    box: TokenBox,
    source: str,
    *,
    max_tokens: int,
    length: int,
    batch_rows: int,
    dtype: torch.dtype,
) -> Sums:
    """What each of a source's first documents costs, up to `max_tokens` tokens."""
    device = model.head.device
    found: list[Sums] = []
    is_open = False  # whether the last document of the rows before goes on
    for inputs, targets in heldout_rows(
        box, source, length=length, max_tokens=max_tokens, batch_rows=batch_rows
    ):
        rows = torch.from_numpy(inputs).to(device)
        positions = document_positions(rows, box.eos_id) if model.config.is_classic else None
        hidden = model(rows, mask=document_mask(rows, box.eos_id), positions=positions, dtype=dtype)
        losses = token_losses(
            hidden.flatten(0, 1), model.head, torch.from_numpy(targets).to(device).flatten()
        )
        predicted = targets[targets != IGNORE]  # row by row: documents follow one another, each to its end
        costs = np.stack(
            [
                losses.double().cpu().numpy()[targets.ravel() != IGNORE],
                np.ones(len(predicted)),
                box.piece_bytes[predicted],
                box.piece_characters[predicted],
            ],
            axis=1,
        )
        begins = np.append(0, np.flatnonzero(predicted == box.eos_id) + 1)
        begins = begins[begins < len(predicted)]
        documents = np.add.reduceat(costs, begins, axis=0)
        if is_open:
            found[-1][-1] += documents[0]
            documents = documents[1:]
        if len(documents):
            found.append(documents)
        is_open = bool(predicted[-1] != box.eos_id)
    return np.concatenate(found) if found else np.zeros((0, 4))


def _bits(nats: float, tokens: float, size: float, characters: float) -> Bits:
    bits = nats / math.log(2)
    return Bits(
        bits_per_byte=bits / max(size, 1),
        bits_per_character=bits / max(characters, 1),
        tokens=int(tokens),
        bytes=int(size),
        characters=int(characters),
    )
