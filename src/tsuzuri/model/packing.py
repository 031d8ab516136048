"""Which positions of a packed row may see each other: documents do not look across their borders.

Every document in the token shards is closed by the end-of-text token, which so opens the next one too: a
document starts at an end-of-text token and its first token is predicted from that alone, as in generation.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask


def document_ids(tokens: Tensor, eos_id: int) -> Tensor:
    """(B, T) → (B, T): the running number of the document that each position belongs to."""
    return (tokens == eos_id).cumsum(dim=1)


def document_mask(tokens: Tensor, eos_id: int) -> Tensor:
    """(B, T) → (B, 1, T, T) bool: causal, and within one document."""
    ids = document_ids(tokens, eos_id)
    same = ids[:, :, None] == ids[:, None, :]
    return same.tril()[:, None]


def document_block_mask(
    tokens: Tensor, eos_id: int, create: Callable[..., BlockMask] = create_block_mask
) -> BlockMask:
    """The same as `document_mask`, as flex_attention's sparse blocks; `create` may be the compiled form."""
    ids = document_ids(tokens, eos_id)

    def allowed(b: Tensor, h: Tensor, q: Tensor, kv: Tensor) -> Tensor:
        return (q >= kv) & (ids[b, q] == ids[b, kv])

    B, T = tokens.shape
    return create(allowed, B=B, H=None, Q_LEN=T, KV_LEN=T, device=tokens.device)


def document_positions(tokens: Tensor, eos_id: int) -> Tensor:
    """(B, T) → (B, T): the position of each token within its document (what learned positions want)."""
    index = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
    starts = torch.where(tokens == eos_id, index, torch.zeros_like(index))
    return index - starts.cummax(dim=1).values
